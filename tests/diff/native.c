/* native.c - the process of the native side, seen from outside: see native.h. */
#include "native.h"

#include <cpuid.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE 2
#define PATIENCE_MS     20000         /* for a batch, on a busy machine */
#define STACK_GROWTH    (64ull << 20) /* below the stack, an access may make it grow */

struct native_process {
    struct native_batch *batch;
    struct host_ranges ranges;
    pid_t pid;
    int socket;
};

/* One byte from the process; 0 if it is dead or does not answer. */
static char answer(struct native_process *n)
{
    struct pollfd poll_fd = {.fd = n->socket, .events = POLLIN};
    char byte = 0;
    int ready;

    do {
        ready = poll(&poll_fd, 1, PATIENCE_MS);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && read(n->socket, &byte, 1) == 1 ? byte : 0;
}

static void stop(struct native_process *n)
{
    if (n->pid > 0) {
        kill(n->pid, SIGKILL);
        waitpid(n->pid, NULL, 0);
        close(n->socket);
    }
    n->pid = 0;
}

static void read_ranges(struct native_process *n)
{
    char name[64], line[512];

    n->ranges.count = 0;
    snprintf(name, sizeof(name), "/proc/%d/maps", (int)n->pid);
    FILE *maps = fopen(name, "r");
    while (maps && fgets(line, sizeof(line), maps)) {
        struct host_range r;
        if (n->ranges.count == ARRAY_SIZE(n->ranges.range) ||
            sscanf(line, "%lx-%lx", &r.start, &r.end) != 2) {
            abort();
        }
        if (r.start - AREA < AREA_SIZE) {
            continue;
        }
        r.start -= strstr(line, "[stack]") ? STACK_GROWTH : 0;
        n->ranges.range[n->ranges.count++] = r;
    }
    if (maps) {
        fclose(maps);
    }
}

/* 0, or what the process said first. */
static char start(struct native_process *n)
{
    int ends[2];

    fflush(NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        return 0;
    }
    n->pid = fork();
    if (n->pid == 0) {
        close(ends[0]);
        native_child(n->batch, ends[1]);
    }
    close(ends[1]);
    n->socket = ends[0];
    char said = n->pid > 0 ? answer(n) : 0;
    read_ranges(n);
    return said;
}

/* The cases' vector state has AVX's in it. */
static bool has_avx(void)
{
    u32 eax, ebx, ecx = 0, edx, low = 0, high;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & bit_OSXSAVE) {
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    }
    return (low & FPU_COMPONENTS) == FPU_COMPONENTS;
}

struct native_process *native_process_new(const char **reason, bool *ldt)
{
    struct native_process *n = calloc(1, sizeof(*n));

    *reason = NULL;
    n->batch =
        mmap(NULL, sizeof(*n->batch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        *reason = "this kernel does not let programs use WRFSBASE (Linux has since 5.9)";
    } else if (!has_avx()) {
        *reason = "this host does not have AVX";
    } else if (n->batch == MAP_FAILED) {
        *reason = "no memory to share with the native process";
    } else {
        char said = start(n);
        *ldt = said == 'L';
        *reason = said == 'L' || said == 'N' ? NULL : "the native process could not be set up";
    }
    if (*reason) {
        native_process_free(n);
        return NULL;
    }
    return n;
}

void native_process_free(struct native_process *n)
{
    stop(n);
    if (n->batch != MAP_FAILED) {
        munmap(n->batch, sizeof(*n->batch));
    }
    free(n);
}

const struct host_ranges *native_ranges(const struct native_process *n)
{
    return &n->ranges;
}

struct native_batch *native_batch(struct native_process *n)
{
    return n->batch;
}

void native_start(struct native_process *n, unsigned first)
{
    n->batch->current = first;
    if (write(n->socket, "b", 1) != 1) {
        stop(n); /* which native_wait() finds */
    }
}

unsigned native_wait(struct native_process *n)
{
    if (n->pid && answer(n) == 'd') {
        return n->batch->count;
    }
    stop(n);
    if (!start(n)) {
        fprintf(stderr, "diff: no new native process\n");
        exit(1);
    }
    return n->batch->current;
}
