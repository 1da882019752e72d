/*
 * native.c - see native.h.
 *
 * Between the instructions and the signal handler no register can be trusted, not even the C
 * library's thread pointer in FS.  What is to outlive it lies at the bottom of the alternate signal
 * stack, whose address the kernel hands to every handler, in ucontext.uc_stack.ss_sp.
 */
#define _GNU_SOURCE /* REG_RAX, ... */
#include "host/native.h"

#include <errno.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ucontext.h>

#define STACK_BYTES  (1u << 16)
#define HAS_FSGSBASE 2 /* bit of AT_HWCAP2 */

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif

struct native {       /* the assembly below knows the offsets */
    u64 rsp, fs_base; /* 0, 8 */
    u64 selector;     /* 16: its first byte: 1 makes a system call a SIGSYS */
    u64 running;      /* 24 */
    struct {          /* 32: what the kernel does not save */
        u64 fs_base, gs_base, ds, es, fs, gs;
    } after;
    struct native_result *result;
};

_Static_assert(offsetof(ucontext_t, uc_stack.ss_sp) == 16, "native_signal_entry");
_Static_assert(offsetof(struct native, after.gs) == 72, "native_signal_entry");
_Static_assert(offsetof(struct native_registers, fpu) == 224, "native_enter");

void native_enter(struct native *native, const struct native_registers *registers);
void native_signal_entry(int number, siginfo_t *info, void *context);
void native_signal(int number, siginfo_t *info, void *context);
_Noreturn void native_leave(struct native *native);

/* clang-format off */
__asm__(".pushsection .text\n"
        ".globl native_enter, native_signal_entry, native_leave\n"
        ".hidden native_enter, native_signal_entry, native_leave, native_signal\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, 0(%rdi)\n"
        "    rdfsbase %rax\n"
        "    mov %rax, 8(%rdi)\n"
        "    mov 224(%rsi), %rcx\n"
        "    jrcxz 3f\n"
        "    mov $7, %eax\n"
        "    xor %edx, %edx\n"
        "    xrstor64 (%rcx)\n"
        "3:  mov 216(%rsi), %rsp\n"
        "    pushq 160(%rsi); pushq 152(%rsi); pushq 144(%rsi); pushq 136(%rsi); pushq 128(%rsi)\n"
        "    movq $1, 24(%rdi)\n"
        "    movb $1, 16(%rdi)\n" /* no system calls from here on */
        "    mov 168(%rsi), %ds\n"
        "    mov 176(%rsi), %es\n"
        "    mov 184(%rsi), %fs\n"
        "    mov 192(%rsi), %gs\n"
        "    cmpq $0, 184(%rsi)\n"
        "    jne 1f\n"
        "    mov 200(%rsi), %rax\n"
        "    wrfsbase %rax\n"
        "1:  cmpq $0, 192(%rsi)\n"
        "    jne 2f\n"
        "    mov 208(%rsi), %rax\n"
        "    wrgsbase %rax\n"
        "2:  mov 0(%rsi), %rax; mov 8(%rsi), %rcx; mov 16(%rsi), %rdx; mov 24(%rsi), %rbx\n"
        "    mov 40(%rsi), %rbp; mov 56(%rsi), %rdi\n"
        "    mov 64(%rsi), %r8; mov 72(%rsi), %r9; mov 80(%rsi), %r10; mov 88(%rsi), %r11\n"
        "    mov 96(%rsi), %r12; mov 104(%rsi), %r13; mov 112(%rsi), %r14; mov 120(%rsi), %r15\n"
        "    mov 48(%rsi), %rsi\n"
        "    iretq\n"
        /* The kernel leaves the segment registers and AC as the instructions left them. */
        "native_signal_entry:\n"
        "    pushq $0x202\n"
        "    popfq\n"
        "    mov 16(%rdx), %rax\n"
        "    cmpq $0, 24(%rax)\n"
        "    je native_signal\n"
        "    movb $0, 16(%rax)\n"
        "    rdfsbase %rcx; mov %rcx, 32(%rax)\n"
        "    rdgsbase %rcx; mov %rcx, 40(%rax)\n"
        "    mov %ds, %ecx; mov %rcx, 48(%rax)\n"
        "    mov %es, %ecx; mov %rcx, 56(%rax)\n"
        "    mov %fs, %ecx; mov %rcx, 64(%rax)\n"
        "    mov %gs, %ecx; mov %rcx, 72(%rax)\n"
        "    xor %ecx, %ecx\n"
        "    mov %ecx, %ds; mov %ecx, %es; mov %ecx, %fs; mov %ecx, %gs\n"
        "    mov 8(%rax), %rax\n"
        "    wrfsbase %rax\n"
        "    jmp native_signal\n"
        "native_leave:\n"
        "    mov 0(%rdi), %rsp\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    cld\n"
        "    ret\n"
        ".popsection\n");
/* clang-format on */

static void take_registers(const struct native *native, const mcontext_t *m,
                           struct native_registers *r)
{
    static const u8 order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};
    const greg_t *gregs = m->gregs;

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        r->gpr[i] = (u64)gregs[order[i]];
    }
    r->rsp = r->gpr[4];
    r->rip = (u64)gregs[REG_RIP];
    r->flags = (u64)gregs[REG_EFL];
    r->cs = (u64)gregs[REG_CSGSFS] & 0xffff;
    r->ss = (u64)gregs[REG_CSGSFS] >> 48;
    r->ds = native->after.ds;
    r->es = native->after.es;
    r->fs = native->after.fs;
    r->gs = native->after.gs;
    r->fs_base = native->after.fs_base;
    r->gs_base = native->after.gs_base;
    r->fpu = m->fpregs;
}

void native_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    const greg_t *gregs = uc->uc_mcontext.gregs;
    struct native *native = uc->uc_stack.ss_sp;
    struct native_result *out = native->result;

    (void)info;
    if (!native->running) { /* a fault of our own */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    native->running = 0;
    take_registers(native, &uc->uc_mcontext, &out->r);
    out->system_call = number == SIGSYS;
    out->vector = out->system_call ? 0 : (unsigned)gregs[REG_TRAPNO];
    out->error = (u64)gregs[REG_ERR];
    out->cr2 = out->vector == 14 ? (u64)gregs[REG_CR2] : 0;
    native_leave(native);
}

static bool take_signals(struct native *native)
{
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGSYS};
    struct sigaction action = {.sa_sigaction = native_signal_entry,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    stack_t stack = {.ss_sp = native, .ss_size = STACK_BYTES};

    if (sigaltstack(&stack, NULL)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        if (sigaction(signals[i], &action, NULL)) {
            return false;
        }
    }
    return true;
}

struct native *native_new(void)
{
    if (!(getauxval(AT_HWCAP2) & HAS_FSGSBASE)) {
        return NULL;
    }
    struct native *native =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (native == MAP_FAILED) {
        return NULL;
    }
    if (!take_signals(native) ||
        prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0L, 0L, &native->selector)) {
        munmap(native, STACK_BYTES);
        return NULL;
    }
    return native;
}

void native_run(struct native *native, struct native_registers *registers,
                struct native_result *result)
{
    registers->rsp = registers->gpr[4];
    native->result = result;
    native_enter(native, registers);
}
