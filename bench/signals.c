/* signals.c - what the host takes for a SIGSEGV, its handler and the return: nanoseconds on stdout.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <ucontext.h>

#define ROUNDS 200000

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]++; /* past the HLT */
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct timespec start, end;

    sigaction(SIGSEGV, &action, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < ROUNDS; i++) {
        __asm__ volatile("hlt");
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("%.0f ns\n",
           ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) /
               ROUNDS);
    return 0;
}
