/*
 * native_fixture.h - one instruction, executed by the host CPU from a given set of registers.
 *
 * IRETQ loads rIP, CS, RFLAGS, rSP and SS at once, so that any register may hold anything and the
 * code segment may be a 64-, 32- or 16-bit one.  The way back is always a signal: #DB of the
 * single-step flag, #BP of an INT3 after the instruction, or the exception that the instruction
 * met.  What the kernel says of it (vector, error code, CR2) is the CPU's own word.
 *
 * It needs a kernel that lets programs use RDFSBASE and its kin (since 5.9): the handler has to put
 * the C library's FS base back before it may do anything else.
 */
#ifndef TESTS_UNIT_NATIVE_FIXTURE_H
#define TESTS_UNIT_NATIVE_FIXTURE_H

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/types.h"

#define NATIVE_CODE64 0x33
#define NATIVE_CODE32 0x23
#define NATIVE_DATA   0x2b

/* The assembly below knows the offsets. */
struct native_registers {
    u64 gpr[16];          /* 0; in the manual's order */
    u64 rip;              /* 128 */
    u64 cs;               /* 136 */
    u64 flags;            /* 144 */
    u64 rsp;              /* 152: what IRETQ loads; a copy of gpr[4] */
    u64 ss;               /* 160 */
    u64 ds, es, fs, gs;   /* 168, 176, 184, 192 */
    u64 fs_base, gs_base; /* 200, 208; loaded if the selector is null */
    u64 frame; /* 216: top of a stack for IRETQ's frame.  Its bits 31 to 16 stay in ESP where SS is
                * a 16-bit segment, for IRET then loads only SP */
};

struct native_result {
    struct native_registers r;
    unsigned vector;
    u64 error, cr2; /* cr2: only of #PF */
};

/* What has to outlive the instruction, where the assembly finds it. */
struct native_saved {
    u64 rsp, fs_base;                 /* 0, 8 */
    u64 fs_base_after, gs_base_after; /* 16, 24 */
    u64 ds, es, fs, gs;               /* 32, 40, 48, 56: after the instruction */
    u64 running;                      /* 64 */
    struct native_result *result;
};

extern struct native_saved native_saved;
void native_enter(const struct native_registers *registers);
void native_signal_entry(int number, siginfo_t *info, void *context);
void native_signal(int number, siginfo_t *info, void *context);
_Noreturn void native_leave(void);

struct native_saved native_saved;

/* clang-format off */
__asm__(".pushsection .text\n"
        ".globl native_enter, native_signal_entry, native_leave\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, native_saved(%rip)\n"
        "    rdfsbase %rax\n"
        "    mov %rax, native_saved+8(%rip)\n"
        "    movq $1, native_saved+64(%rip)\n"
        "    mov 216(%rdi), %rsp\n"
        "    pushq 160(%rdi); pushq 152(%rdi); pushq 144(%rdi); pushq 136(%rdi); pushq 128(%rdi)\n"
        "    mov 168(%rdi), %ds\n"
        "    mov 176(%rdi), %es\n"
        "    mov 184(%rdi), %fs\n"
        "    mov 192(%rdi), %gs\n"
        "    cmpq $0, 184(%rdi)\n"
        "    jne 1f\n"
        "    mov 200(%rdi), %rax\n"
        "    wrfsbase %rax\n"
        "1:  cmpq $0, 192(%rdi)\n"
        "    jne 2f\n"
        "    mov 208(%rdi), %rax\n"
        "    wrgsbase %rax\n"
        "2:  mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
        "    mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
        "    mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
        "    mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
        "    mov 56(%rdi), %rdi\n"
        "    iretq\n"
        /* The kernel leaves the segment registers and AC as the instruction left them. */
        "native_signal_entry:\n"
        "    pushq $0x202\n"
        "    popfq\n"
        "    cmpq $0, native_saved+64(%rip)\n"
        "    je native_signal\n"
        "    rdfsbase %rax; mov %rax, native_saved+16(%rip)\n"
        "    rdgsbase %rax; mov %rax, native_saved+24(%rip)\n"
        "    xor %eax, %eax\n"
        "    mov %ds, %eax; mov %rax, native_saved+32(%rip)\n"
        "    mov %es, %eax; mov %rax, native_saved+40(%rip)\n"
        "    mov %fs, %eax; mov %rax, native_saved+48(%rip)\n"
        "    mov %gs, %eax; mov %rax, native_saved+56(%rip)\n"
        "    xor %eax, %eax\n"
        "    mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs\n"
        "    mov native_saved+8(%rip), %rax\n"
        "    wrfsbase %rax\n"
        "    jmp native_signal\n"
        "native_leave:\n"
        "    mov native_saved(%rip), %rsp\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    cld\n"
        "    ret\n"
        ".popsection\n");
/* clang-format on */

void native_signal(int number, siginfo_t *info, void *context)
{
    static const u8 order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};
    const greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct native_result *out = native_saved.result;

    (void)info;
    if (!native_saved.running) { /* the test's own fault */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    native_saved.running = 0;
    for (unsigned i = 0; i < 16; i++) {
        out->r.gpr[i] = (u64)gregs[order[i]];
    }
    out->r.rsp = out->r.gpr[4];
    out->r.rip = (u64)gregs[REG_RIP];
    out->r.flags = (u64)gregs[REG_EFL];
    out->r.cs = (u64)gregs[REG_CSGSFS] & 0xffff;
    out->r.ss = (u64)gregs[REG_CSGSFS] >> 48;
    out->r.ds = native_saved.ds;
    out->r.es = native_saved.es;
    out->r.fs = native_saved.fs;
    out->r.gs = native_saved.gs;
    out->r.fs_base = native_saved.fs_base_after;
    out->r.gs_base = native_saved.gs_base_after;
    out->vector = (unsigned)gregs[REG_TRAPNO];
    out->error = (u64)gregs[REG_ERR];
    out->cr2 = out->vector == 14 ? (u64)gregs[REG_CR2] : 0;
    native_leave();
}

/* May native_run() be used on this host? */
static inline bool native_possible(void)
{
    return getauxval(AT_HWCAP2) & 2; /* HWCAP2_FSGSBASE */
}

/* cmocka takes these signals for itself before each test: call it in each. */
static inline void native_signals(void)
{
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP};
    struct sigaction action = {.sa_sigaction = native_signal_entry,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    stack_t stack = {.ss_size = 1 << 16};

    stack.ss_sp =
        mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL)) {
        abort();
    }
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

/* Enter at registers->rip and run until the first signal. */
static inline void native_run(struct native_registers *registers, struct native_result *result)
{
    registers->rsp = registers->gpr[4];
    native_saved.result = result;
    native_enter(registers);
}

#endif
