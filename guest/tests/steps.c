/*
 * steps.c - single-step over every kind of boundary: after which instructions #DB comes, and where
 * it says that it was.
 *
 * Intel SDM vol. 3B, "Single-Step Exception Condition"; vol. 3A, "Masking Exceptions and Interrupts
 * When Switching Stacks"; vol. 2, SYSCALL, SYSRET, SYSENTER, HLT.
 */
#include "guest.h"

enum { FLAG_TF = 1 << 8, FLAG_RF = 1 << 16, DR6_BS = 1 << 14, STEPS_MAX = 64 };
enum {
    MSR_EFER = 0xc0000080u,
    MSR_STAR = 0xc0000081u,
    MSR_LSTAR = 0xc0000082u,
    MSR_FMASK = 0xc0000084u,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_DEBUGCTL = 0x1d9,
};

/* What the #DBs told. */
static struct {
    word ip, flags, dr6, cs;
} steps[STEPS_MAX];
static volatile unsigned count;

static void on_debug(struct frame *frame)
{
    if (count < STEPS_MAX) {
        steps[count].ip = frame->ip;
        steps[count].flags = frame->flags;
        steps[count].dr6 = read_dr6();
        steps[count].cs = frame->cs;
    }
    count++;
    write_dr6(0xffff0ff0);
}

/* Code under test lies between step_NAME and end_NAME.  It runs with TF from its second
 * instruction on: the first is the POPF that sets it.  The table after it says where the #DBs
 * have to be. */
#define TF_ON  "pushfq; orl $0x100, (%rsp); popfq;"
#define TF_OFF "pushfq; andl $~0x100, (%rsp); popfq;"

struct sequence {
    const char *name;
    void (*run)(void);
    const word *expected; /* of instruction pointers, 0 at the end */
};

/* The three of TF_OFF give three more: after PUSHF, AND and POPF. */
#define SEQUENCE(name, body, ...)                                                                  \
    extern const word expected_##name[];                                                           \
    void run_##name(void);                                                                         \
    __asm__("run_" #name ": push %rbx; push %rbp;" TF_ON body "off_" #name ": pushfq; off2_" #name \
            ": andl $~0x100, (%rsp); off3_" #name ": popfq; off4_" #name                           \
            ": pop %rbp; pop %rbx; ret\n"                                                          \
            ".section .rodata\n.balign 8\nexpected_" #name ": .quad " #__VA_ARGS__ ", off2_" #name \
            ", off3_" #name ", off4_" #name ", 0\n.text\n");

SEQUENCE(nop, "1: nop; 2: nop; 3:", 2b, 3b)
SEQUENCE(jump, "jmp 2f; 1: ud2; 2: clc; 3: jc 1b; 4: jnc 5f; ud2; 5:", 2b, 3b, 4b, 5b)
SEQUENCE(loop, "mov $2, %ecx; 1: loop 1b; 2: jrcxz 3f; ud2; 3: call 4f; 4: pop %rax; 5:", 1b, 1b,
         2b, 3b, 4b, 5b)
SEQUENCE(near_return, "lea 2f(%rip), %rax; 1: push %rax; 3: ret; 2:", 1b, 3b, 2b)
SEQUENCE(far, "mov %cs, %eax; 1: push %rax; 2: lea 4f(%rip), %rax; 3: push %rax; 5: lretq; 4:", 1b,
         2b, 3b, 5b, 4b)
SEQUENCE(frame, "enter $16, $0; 1: leave; 2: pushfq; 3: popq %rax; 4:", 1b, 2b, 3b, 4b)
SEQUENCE(string,
         "lea string_bytes(%rip), %rdi; 1: mov %rdi, %rsi; 2: mov $3, %ecx; 3: cld; 4: "
         "rep movsb; 5: xor %ecx, %ecx; 6: rep stosb; 7:",
         1b, 2b, 3b, 4b, 4b, 4b, 5b, 6b, 7b)
SEQUENCE(compare,
         "lea string_bytes(%rip), %rdi; 1: xor %eax, %eax; 2: mov $3, %ecx; 3: "
         "repne scasb; 4:",
         1b, 2b, 3b, 4b)
SEQUENCE(port,
         "mov $0x80, %edx; 1: outb %al, %dx; 2: inb %dx, %al; 3: lea string_bytes(%rip), "
         "%rsi; 4: mov $2, %ecx; 5: rep outsb; 6:",
         1b, 2b, 3b, 4b, 5b, 5b, 6b)
SEQUENCE(system,
         "xor %eax, %eax; 1: cpuid; 2: rdtsc; 3: mov %cr3, %rax; 4: mov %rax, %cr3; 5: "
         "mov %cr0, %rax; 6: mov %rax, %cr0; 7: invlpg string_bytes; 8: wbinvd; 9:",
         1b, 2b, 3b, 4b, 5b, 6b, 7b, 8b, 9b)
SEQUENCE(registers,
         "mov %dr7, %rax; 1: mov %rax, %dr7; 2: sgdt gdt_image; 3: lgdt gdt_image; 4: "
         "sidt gdt_image; 5: lidt gdt_image; 6: smsw %ax; 7: lmsw %ax; 8: swapgs; 9: "
         "swapgs; 10:",
         1b, 2b, 3b, 4b, 5b, 6b, 7b, 8b, 9b, 10b)
SEQUENCE(msr,
         "mov $0xc0000102, %ecx; 1: rdmsr; 2: wrmsr; 3: mov %cr8, %rax; 4: mov %rax, %cr8; 5:", 1b,
         2b, 3b, 4b, 5b)
SEQUENCE(locked,
         "lock incl string_bytes; 1: lock cmpxchg8b string_bytes; 2: xchg %eax, "
         "string_bytes; 3: lock btsl $3, string_bytes; 4:",
         1b, 2b, 3b, 4b)
SEQUENCE(fpu,
         "fninit; 1: fld1; 2: fstpl string_bytes; 3: movups string_bytes, %xmm0; 4: addps "
         "%xmm0, %xmm0; 5: ldmxcsr mxcsr; 6: fxsave fx_area; 7:",
         1b, 2b, 3b, 4b, 5b, 6b, 7b)
/* A load of SS holds #DB back until after the next instruction; STI and CLI do not. */
SEQUENCE(stack, "mov %ss, %eax; 1: mov %eax, %ss; 2: nop; 3: push %rax; 4: pop %rax; 5:", 1b, 3b,
         4b, 5b)
SEQUENCE(flags, "cli; 1: sti; 2: nop; 3: cli; 4:", 1b, 2b, 3b, 4b)
/* INT clears TF, and the step over it is lost; IRET sets it, and the next instruction traps. */
SEQUENCE(interrupt, "int $0x40; 1: nop; 2:", 2b)
SEQUENCE(breakpoint, "int3; 1: nop; 2:", 2b)
SEQUENCE(fault, "ud2; 1: nop; 2:", 2b)
/* #DB awakens. */
SEQUENCE(halt, "hlt; 1: nop; 2:", 1b, 2b)
SEQUENCE(iret,
         "mov %rsp, %rcx; 1: mov %ss, %eax; 2: push %rax; 3: push %rcx; 4: pushfq; 5: mov "
         "%cs, %eax; 6: push %rax; 7: lea 9f(%rip), %rax; 8: push %rax; 10: iretq; 9:",
         1b, 2b, 3b, 4b, 5b, 6b, 7b, 8b, 10b, 9b)

u8 string_bytes[64] __attribute__((aligned(16))) = {1, 0};
u8 gdt_image[16], fx_area[512] __attribute__((aligned(16)));
u32 mxcsr = 0x1f80;

static const struct sequence sequences[] = {
#define ROW(name)                          \
    {                                      \
#name, run_##name, expected_##name \
    }
    ROW(nop),    ROW(jump),    ROW(loop),  ROW(near_return), ROW(far),       ROW(frame),
    ROW(string), ROW(compare), ROW(port),  ROW(system),      ROW(registers), ROW(msr),
    ROW(locked), ROW(fpu),     ROW(stack), ROW(flags),       ROW(interrupt), ROW(breakpoint),
    ROW(fault),  ROW(halt),    ROW(iret),
};

static void check_sequence(const struct sequence *s)
{
    unsigned n = 0;

    count = 0;
    string_bytes[0] = 0;
    s->run();
    for (; s->expected[n]; n++) {
        check_case(n < count && steps[n].ip == s->expected[n], "%s: step %u is at %l, not %l",
                   s->name, n, (u64)steps[n].ip, (u64)s->expected[n]);
        check_case(n >= count || (steps[n].dr6 & 0xe00f) == DR6_BS, "%s: step %u has DR6 %l",
                   s->name, n, (u64)steps[n].dr6);
    }
    check(count == n, s->name);
    if (count != n) {
        print("     there are %u steps, not %u\n", count, n);
    }
}

static void skip_two(struct frame *frame)
{
    frame->ip += 2;
}
static void just_return(struct frame *frame)
{
    (void)frame;
}

/* RF in what is pushed: 1 between the iterations of a string instruction, 0 after the last. */
static void check_resume_flag(void)
{
    count = 0;
    run_string();
    check(count > 6 && steps[4].flags & FLAG_RF && steps[5].flags & FLAG_RF,
          "RF between iterations");
    check(!(steps[6].flags & FLAG_RF), "  not after the last");
    check(!(steps[0].flags & FLAG_RF), "  nor after another instruction");
    check(steps[0].flags & FLAG_TF, "TF is set in what is pushed");
}

/* With DEBUGCTL.BTF only taken branches trap, and a #DB clears it. */
static void check_branches(void)
{
    word at = expected_jump[0];

    count = 0;
    wrmsr(MSR_DEBUGCTL, 2);
    run_jump();
    check(steps[0].ip == at, "BTF: a taken jump traps");
    check_is(rdmsr(MSR_DEBUGCTL), 0, "  #DB clears BTF");
    check_is(count, 7, "  and so every instruction traps then");
    count = 0;
    wrmsr(MSR_DEBUGCTL, 2);
    run_string();
    check_is(count, 0, "BTF: a string instruction is no branch");
    wrmsr(MSR_DEBUGCTL, 0);
}

/* ------------------------------------------------------------------ CPL 3 */

extern u8 kernel_entry[], user_after_syscall[], user_next[], sysenter_entry[], sysenter_next[];
word saved_rsp;
__asm__("kernel_entry: nop; sysretq\n"
        "sysenter_entry: nop; sysenter_next: andq $~0x100, sysenter_flags; pushq sysenter_flags;"
        " popfq; mov %rbp, %rcx; mov %r9, %rdx; sysexitq\n");
word sysenter_flags;

static void user_syscall(word unused)
{
    (void)unused;
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; syscall; user_after_syscall: nop; "
                     "user_next: pushfq; andl $~0x100, (%%rsp); popfq" ::
                         : "rcx", "r11", "memory", "cc");
}

static void user_sysenter(word unused)
{
    (void)unused;
    __asm__ volatile("mov %%rsp, %%rbp; sub $128, %%rbp; lea 1f(%%rip), %%r9; pushfq; orl $0x100, "
                     "(%%rsp); popfq; sysenter; 1: add $128, %%rsp" ::
                         : "rcx", "rdx", "rbp", "r9", "memory", "cc");
}

static void check_syscalls(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
    wrmsr(MSR_STAR, (u64)KERNEL_CS << 32 | (u64)USER_CS32 << 48);
    wrmsr(MSR_LSTAR, (word)kernel_entry);
    wrmsr(MSR_FMASK, FLAG_TF);
    count = 0;
    attempt_user(user_syscall, 0);
    check_is(fault.vector, NO_FAULT, "SYSCALL with TF, which FMASK clears");
    check(steps[0].ip == (word)user_after_syscall && (steps[0].cs & 3) == 3,
          "  no #DB inside; SYSRET, unlike IRET, traps at once if it sets TF");
    check(steps[1].ip == (word)user_next, "  and after the next instruction");
    check_is(count, 5, "  and so on");

    /* FMASK leaves TF: #DB at the first instruction inside. */
    wrmsr(MSR_FMASK, 0);
    count = 0;
    attempt_user(user_syscall, 0);
    check(steps[0].ip == (word)kernel_entry && (steps[0].cs & 3) == 0, "TF that FMASK leaves: #DB");
    check(steps[1].ip == (word)kernel_entry + 1, "  and on");
    check(steps[2].ip == (word)user_after_syscall, "  and after SYSRET");

    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (word)kernel_stack_end - 16384);
    wrmsr(MSR_SYSENTER_EIP, (word)sysenter_entry);
    sysenter_flags = read_flags();
    count = 0;
    attempt_user(user_sysenter, 0);
    check_is(fault.vector, NO_FAULT, "SYSENTER with TF");
    check(steps[0].ip == (word)sysenter_entry, "  leaves it: #DB at the first instruction");
    check(steps[1].ip == (word)sysenter_next, "  and on");
}

void guest_main(void)
{
    open_pages_to_user();
    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9);
    handlers[VECTOR_DB] = on_debug;
    handlers[VECTOR_UD] = skip_two;
    handlers[VECTOR_BP] = just_return;
    handlers[0x40] = just_return;
    __asm__ volatile("sidt gdt_image");
    for (unsigned i = 0; i < ARRAY_SIZE(sequences); i++) {
        check_sequence(&sequences[i]);
    }
    check_resume_flag();
    check_branches();
    check_syscalls();
}
