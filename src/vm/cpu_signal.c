/*
 * cpu_signal.c - the signals of a vCPU process.
 *
 *      SIGALRM             its host timer: the local APIC's deadline
 *      SIGUSR1             attention has been raised, while guest code runs on the host's CPU
 *      SIGUSR2             the thread of the board that made it has ended
 *      SIGFPE, SIGILL      of a thunk: it knows where to go on
 *      SIGSEGV and others  a failure of Ringer's own: left in the arena for the board to report
 *
 * Signals that a terminal or a service manager sends to whole groups are ignored: the board hears
 * them too, and ends its vCPUs.
 */
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <linux/prctl.h>
#include <linux/time.h>

#include "base/format.h"
#include "exec/interpret/code.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"

#define KICK_SIGNAL   SIGUSR1
#define PARENT_SIGNAL SIGUSR2
#define NS_PER_SECOND 1000000000ull

/* ------------------------------------------------------------------ the host timer */

static void set_timer(const struct vcpu_process *p, u64 delay_ns)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (long)(delay_ns / NS_PER_SECOND),
                     .tv_nsec = (long)(delay_ns % NS_PER_SECOND)},
    };

    syscall4(__NR_timer_settime, p->timer, 0, (long)&when, 0);
}

void vcpu_arm_timer(void *context, u64 deadline_ns)
{
    struct vcpu_process *p = context;
    u64 now_ns;

    if (p->vm->clock.icount) { /* cpu_run() goes by lapic.deadline_ns: have it look again */
        interrupt_kick(&p->cpu->fabric, p->index);
        return;
    }
    p->deadline_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX) {
        set_timer(p, 0);
        return;
    }
    now_ns = clock_ns(p->cpu);
    set_timer(p, deadline_ns > now_ns ? deadline_ns - now_ns : 1);
}

/* The kernel's clock and the TSC differ by a little: not before the TSC says so. */
void vcpu_on_timer(struct vcpu_process *p)
{
    u64 now_ns = clock_ns(p->cpu);

    if (p->deadline_ns == UINT64_MAX) {
        return;
    }
    if (now_ns < p->deadline_ns) {
        set_timer(p, p->deadline_ns - now_ns);
        return;
    }
    p->deadline_ns = UINT64_MAX;
    interrupt_post_event(&p->cpu->fabric, p->index, INBOX_TIMER);
}

/* ------------------------------------------------------------------ the board's death */

static _Noreturn void report_orphan(const struct vcpu_process *p)
{
    const struct cpu *cpu = p->cpu;
    char text[512];
    size_t length = format(
        text, sizeof(text),
        "ringer-cpu: vCPU %u: the board (process %d) has died; the guest was here:\n"
        "  rip %016lx  cs %04x  cr0 %08lx  cr3 %012lx  cr4 %06lx  cpl %u\n"
        "  rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n"
        "  rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx\n",
        p->index, p->vm->board_pid, cpu->rip, cpu->seg[SEG_CS].selector, cpu->mmu.paging.cr0,
        cpu->mmu.paging.cr3, cpu->mmu.paging.cr4, cpu->cpl, cpu->gpr[RAX], cpu->gpr[RBX],
        cpu->gpr[RCX], cpu->gpr[RDX], cpu->gpr[RSI], cpu->gpr[RDI], cpu->gpr[RBP], cpu->gpr[RSP]);

    sys_write(VCPU_FD_STDERR, text, length < sizeof(text) ? length : sizeof(text) - 1);
    sys_exit(125);
}

void vcpu_check_board(void)
{
    if (sys_getppid() != vcpu_process()->vm->board_pid) {
        report_orphan(vcpu_process());
    }
}

/* ------------------------------------------------------------------ failures */

static void on_fault(struct vcpu_process *p, int signal, const siginfo_t *info,
                     struct sigcontext *registers)
{
    struct vcpu_death *death = &p->control->death;

    if (signal == SIGFPE || signal == SIGILL) {
        u64 rip = thunk_fixup((struct thunk_cache *)&p->cpu->exec->thunks, registers->rip);
        if (rip) {
            registers->rip = rip;
            return;
        }
    }
    death->code = info->si_code;
    death->address = (u64)info->si_addr;
    death->host_rip = registers->rip;
    death->host_rsp = registers->rsp;
    atomic_store(&death->signal, (u32)signal);
    vcpu_give_up_piece(p);
    sys_exit(125);
}

/* It reads the time, which may trap, now that guest code is about to run or has just run. */
static void on_alarm(struct vcpu_process *p)
{
    if (p->vm->direct & VM_DIRECT && p->vm->clock.tsc_traps) {
        syscall3(__NR_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0);
    }
    vcpu_on_timer(p);
    if (p->time_traps) {
        syscall3(__NR_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0);
    }
}

/* The handler of all signals, while none of the guest's code runs. */
void vcpu_on_signal(int signal, siginfo_t *info, void *context)
{
    struct vcpu_process *p = vcpu_process();
    struct ucontext *uc = context;

    switch (signal) {
    case SIGALRM:
        on_alarm(p);
        break;
    case KICK_SIGNAL: /* it has come too late: attention has been raised */
        break;
    case PARENT_SIGNAL: /* the thread that made this process has ended; its process may live on */
        vcpu_check_board();
        break;
    default:
        if (signal == SIGTRAP && p->learning) {
            p->signal_rsp = (u64)uc - sizeof(u64);
            break;
        }
        on_fault(p, signal, info, &uc->uc_mcontext);
        break;
    }
}

/* ------------------------------------------------------------------ setting up */

static void *handler_of(const struct vcpu_process *p)
{
    return !(p->vm->direct & VM_DIRECT)     ? (void *)vcpu_on_signal
           : p->vm->direct & VM_DIRECT_KEYS ? (void *)vcpu_gate_signal
                                            : (void *)vcpu_gate_signal_without_keys;
}

static long set_handler(int signal, void *handler)
{
    struct sigaction action = {
        .sa_handler = (__sighandler_t)handler,
        .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER,
        .sa_restorer = vcpu_sigreturn,
        .sa_mask = ~0ul,
    };

    return syscall4(__NR_rt_sigaction, signal, (long)&action, 0, sizeof(action.sa_mask));
}

static long install_all(const struct vcpu_process *p)
{
    static const int handled[] = {SIGSEGV, SIGBUS,  SIGILL,      SIGFPE,       SIGTRAP,
                                  SIGSYS,  SIGALRM, KICK_SIGNAL, PARENT_SIGNAL};
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};
    long error = 0;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(handled) && error >= 0; i++) {
        error = set_handler(handled[i], handler_of(p));
    }
    for (i = 0; i < ARRAY_SIZE(ignored) && error >= 0; i++) {
        error = set_handler(ignored[i], (void *)SIG_IGN);
    }
    return error;
}

long vcpu_signals_init(struct vcpu_process *p)
{
    const stack_t stack = {.ss_sp = (void *)(VM_STACK_START + SIGNAL_OFFSET),
                           .ss_size = SIGNAL_BYTES};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    sigset_t none = 0;
    long error = syscall3(__NR_sigaltstack, (long)&stack, 0, 0);

    if (error >= 0) {
        error = install_all(p);
    }
    if (error >= 0) {
        error = syscall3(__NR_timer_create, CLOCK_MONOTONIC, (long)&event, (long)&p->timer);
    }
    if (error >= 0) {
        error = syscall4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
    }
    if (error >= 0) {
        error = syscall6(__NR_prctl, PR_SET_PDEATHSIG, PARENT_SIGNAL, 0, 0, 0, 0);
    }
    vcpu_check_board(); /* it may have died before the line above */
    return error;
}
