/*
 * segments64.c - segments in long mode: all descriptors (descriptors.h), null selectors, bases that
 * count and limits that do not, canonical addresses, and compatibility mode.
 *
 * Intel SDM vol. 3A, "Segmentation in IA-32e Mode"; vol. 1, "Canonical Addressing"; vol. 2, MOV.
 */
#include "descriptors.h"

enum { MSR_FS_BASE = 0xc0000100u, MSR_GS_BASE = 0xc0000101u, MSR_KERNEL_GS_BASE = 0xc0000102u };
enum { CR4_FSGSBASE = 1 << 16 };
#define LOW_END    0x0000800000000000ull
#define HIGH_START 0xffff800000000000ull

/* ------------------------------------------------------------------ canonical addresses */

#define ACCESS(name, instruction)                                              \
    static void name(word address)                                             \
    {                                                                          \
        __asm__ volatile(instruction ::"r"(address) : "rax", "rbx", "memory"); \
    }
ACCESS(by_register, "movb (%0), %%al")
ACCESS(by_es, "movb %%es:(%0), %%al")
ACCESS(by_rbp, "mov %%rbp, %%rbx; mov %0, %%rbp; movb (%%rbp), %%al; mov %%rbx, %%rbp")
ACCESS(by_rbp_ds, "mov %%rbp, %%rbx; mov %0, %%rbp; movb %%ds:(%%rbp), %%al; mov %%rbx, %%rbp")
ACCESS(by_rsp, "mov %%rsp, %%rbx; mov %0, %%rsp; movb (%%rsp), %%al; mov %%rbx, %%rsp")
ACCESS(by_eight, "mov (%0), %%rax")
ACCESS(by_rbp_index, "mov %%rbp, %%rbx; xor %%ebp, %%ebp; movb (%0,%%rbp), %%al; "
                     "mov %%rbx, %%rbp")
ACCESS(by_push, "mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp")
ACCESS(by_pop, "mov %%rsp, %%rbx; mov %0, %%rsp; pop %%rax; mov %%rbx, %%rsp")
ACCESS(by_leave, "mov %%rsp, %%rbx; mov %0, %%rbp; leave; mov %%rbx, %%rsp")
ACCESS(by_jump, "jmp *%0")
ACCESS(by_call, "call *%0")
ACCESS(by_return, "push %0; ret")
ACCESS(by_string, "mov %0, %%rdi; xor %%eax, %%eax; mov $1, %%ecx; rep stosb")
ACCESS(by_clflush, "clflush (%0)")
ACCESS(by_invlpg, "invlpg (%0)")
ACCESS(by_lea, "lea (%0), %%rax")
ACCESS(by_nop, "nopl (%0)")
ACCESS(by_lgdt, "sub $10, %%rsp; movw $0xff, (%%rsp); mov %0, 2(%%rsp); lgdt (%%rsp); "
                "add $10, %%rsp")
ACCESS(by_fs, "movb %%fs:(%0), %%al")

static void check_canonical(void)
{
    static const struct {
        void (*what)(word);
        word address;
        u32 vector;
        const char *name;
    } rows[] = {
        {by_register, LOW_END, VECTOR_GP, "the first that is not canonical"},
        {by_register, HIGH_START - 1, VECTOR_GP, "the last"},
        {by_register, 0xdead000000000000, VECTOR_GP, "one between"},
        {by_es, LOW_END, VECTOR_GP, "by ES"},
        {by_rbp, LOW_END, VECTOR_SS, "by RBP: #SS"},
        {by_rbp_ds, LOW_END, VECTOR_SS, "a DS prefix does not count in 64-bit mode"},
        {by_rsp, LOW_END, VECTOR_SS, "by RSP: #SS"},
        {by_rbp_index, LOW_END, VECTOR_GP, "RBP as an index is not a base: #GP"},
        {by_eight, LOW_END - 4, VECTOR_GP, "across the end of the lower half"},
        {by_push, LOW_END + 8, VECTOR_SS, "PUSH"},
        {by_pop, LOW_END, VECTOR_SS, "POP"},
        {by_leave, LOW_END, VECTOR_SS, "LEAVE"},
        {by_jump, LOW_END, VECTOR_GP, "JMP"},
        {by_call, HIGH_START - 1, VECTOR_GP, "CALL"},
        {by_return, LOW_END, VECTOR_GP, "RET"},
        {by_string, LOW_END, VECTOR_GP, "STOS"},
        {by_clflush, LOW_END, VECTOR_GP, "CLFLUSH"},
        {by_invlpg, LOW_END, NO_FAULT, "INVLPG does nothing"},
        {by_lea, LOW_END, NO_FAULT, "LEA only computes"},
        {by_nop, LOW_END, NO_FAULT, "NOP does not access"},
        {by_lgdt, LOW_END, VECTOR_GP, "LGDT"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        /* At CPL 3: a fault needs a stack that is good. */
        bool privileged = rows[i].what == by_invlpg || rows[i].what == by_lgdt;
        attempt_at(privileged ? 0 : 3, rows[i].what, rows[i].address);
        check(fault.vector == rows[i].vector && fault.error == 0, rows[i].name);
    }
    attempt(by_jump, LOW_END);
    check(fault.ip < LOW_END, "a jump there faults at the jump");
    /* The last byte of the lower half is canonical, but nothing is mapped there. */
    check_fault(by_register, LOW_END - 1, VECTOR_PF, 0, "the last canonical one below");
    check_fault(by_register, HIGH_START, VECTOR_PF, 0, "the first one above");
}

/* ------------------------------------------------------------------ bases */

static u64 value = 0x1122334455667788;

static u64 read_fs(word offset)
{
    u64 v;
    __asm__ volatile("mov %%fs:(%1), %0" : "=r"(v) : "r"(offset));
    return v;
}
static void write_fs_base_msr(word base)
{
    wrmsr(MSR_FS_BASE, base);
}
static void write_gs_base_msr(word base)
{
    wrmsr(MSR_GS_BASE, base);
}
static void write_kernel_base_msr(word base)
{
    wrmsr(MSR_KERNEL_GS_BASE, base);
}
static void wrfsbase(word base)
{
    __asm__ volatile("wrfsbase %0" ::"r"(base));
}
static void wrfsbase32(word base)
{
    __asm__ volatile("wrfsbase %k0" ::"r"(base));
}
static void swapgs(word unused)
{
    (void)unused;
    __asm__ volatile("swapgs; swapgs");
}
static void load_fs(word selector)
{
    __asm__ volatile("mov %w0, %%fs" ::"r"(selector));
}

static void check_bases(void)
{
    u32 features[4];

    wrmsr(MSR_FS_BASE, (word)&value - 0x1000);
    check_is(read_fs(0x1000), value, "FS adds its base");
    wrmsr(MSR_FS_BASE, 0x100);
    check_is(read_fs((word)&value - 0x100), value, "  with any offset");
    wrmsr(MSR_FS_BASE, HIGH_START);
    check_is(read_fs((word)&value - HIGH_START), value, "  the sum has to be canonical, not both");
    wrmsr(MSR_FS_BASE, 0x1000);
    check_fault(by_fs, LOW_END - 0x1000, VECTOR_GP, 0, "  and #GP if it is not");
    check_fault(write_fs_base_msr, LOW_END, VECTOR_GP, 0, "MSR_FS_BASE has to be canonical");
    check_fault(write_gs_base_msr, LOW_END, VECTOR_GP, 0, "MSR_GS_BASE has to be canonical");
    check_fault(write_kernel_base_msr, LOW_END, VECTOR_GP, 0,
                "MSR_KERNEL_GS_BASE has to be canonical");
    set_descriptor(TESTED, 0x12345678, 0, 0x0093);
    load_fs(TESTED);
    check_is(rdmsr(MSR_FS_BASE), 0x12345678, "a load sets the base, to 32 bits");
    check_is(read_fs((word)&value - 0x12345678), value, "its limit does not matter");
    load_fs(0);
    check_is(rdmsr(MSR_FS_BASE), 0, "null in FS: Intel's base is 0 then");
    wrmsr(MSR_FS_BASE, (word)&value);
    check_is(read_fs(0), value, "and it can be used");
    set_descriptor(TESTED, 0x1000, 0xfffff, 0x0093);
    __asm__ volatile("mov %w0, %%es" ::"r"(TESTED));
    u64 v;
    __asm__ volatile("mov %%es:(%1), %0" : "=r"(v) : "r"(&value));
    check_is(v, value, "the base of ES does not count");
    __asm__ volatile("mov %w0, %%es" ::"r"(KERNEL_DS));

    wrmsr(MSR_GS_BASE, 0x1111);
    wrmsr(MSR_KERNEL_GS_BASE, 0x2222);
    __asm__ volatile("swapgs");
    check(rdmsr(MSR_GS_BASE) == 0x2222 && rdmsr(MSR_KERNEL_GS_BASE) == 0x1111, "SWAPGS");
    check_fault(swapgs, 0, NO_FAULT, 0, "SWAPGS twice");
    attempt_user(swapgs, 0);
    check_is(fault.vector, VECTOR_GP, "SWAPGS at CPL 3");

    cpuid(7, 0, features);
    write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
    check_fault(wrfsbase, 0, VECTOR_UD, 0, "WRFSBASE without CR4.FSGSBASE");
    if (features[1] & 1) {
        write_cr4(read_cr4() | CR4_FSGSBASE);
        check_fault(wrfsbase, LOW_END, VECTOR_GP, 0, "WRFSBASE of what is not canonical");
        check_fault(wrfsbase32, 0xffffffff12345678, NO_FAULT, 0, "WRFSBASE of 32 bits");
        check_is(rdmsr(MSR_FS_BASE), 0x12345678, "  clears the upper half");
        attempt_user(wrfsbase, 0x4000);
        check(fault.vector == NO_FAULT && rdmsr(MSR_FS_BASE) == 0x4000, "WRFSBASE at CPL 3");
    }
}

/* ------------------------------------------------------------------ null selectors */

static void load_ss(word selector)
{
    __asm__ volatile("mov %w0, %%ss; push %%rax; pop %%rax; mov %w1, %%ss" ::"r"(selector),
                     "r"(KERNEL_DS)
                     : "rax");
}
static void use_null(word selector)
{
    __asm__ volatile("mov %w0, %%ds; movb (%1), %%al" ::"r"(selector), "r"(&value) : "rax");
}

static void check_null(void)
{
    check_fault(load_ss, 0, NO_FAULT, 0, "null in SS at CPL 0, and its use");
    for (unsigned rpl = 1; rpl < 4; rpl++) {
        check_fault(load_ss, rpl, VECTOR_GP, 0, "null in SS with another RPL");
    }
    for (unsigned rpl = 0; rpl < 4; rpl++) {
        attempt_user(load_ss, rpl);
        check(fault.vector == VECTOR_GP && fault.error == 0, "null in SS at CPL 3");
        check_fault(use_null, rpl, NO_FAULT, 0, "null in DS can be used");
    }
    __asm__ volatile("mov %w0, %%ds" ::"r"(KERNEL_DS));
}

/* ------------------------------------------------------------------ code segments */

static void jump_far(word selector)
{
    __asm__ volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::"r"(selector)
                     : "rax", "memory");
}

/* In compatibility mode a 32-bit stack: it lies below 4 GiB. */
__asm__(".code32\n"
        "compatible:\n"
        "  mov $0xffffffff, %eax\n"
        "  inc %eax\n" /* in 64-bit mode a REX prefix */
        "  mov $0x12345678, %edx\n"
        "  push %edx; pop %edx\n"
        "  movb %fs:0, %cl\n"
        "  lret\n"
        "compatible_limit:\n"
        "  movb %fs:0x10, %cl\n"
        "  lret\n"
        ".code64\n");
extern u8 compatible[], compatible_limit[];

static u64 rax_after;

static void call_compatible(word at)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } to = {(u32)at, CODE32_CS};
    u64 a = ~0ull;

    __asm__ volatile("lcall *%1" : "+a"(a) : "m"(to) : "rcx", "rdx", "memory");
    rax_after = a;
}

static void check_code(void)
{
    set_descriptor(TESTED, 0, 0xfffff, 0xe09b);
    check_fault(jump_far, TESTED, VECTOR_GP, TESTED, "a code segment with both L and D");
    set_descriptor(TESTED, 0x123456, 0, 0x209b);
    check_fault(jump_far, TESTED, NO_FAULT, 0, "base and limit of 64-bit code do not count");
    jump_far(KERNEL_CS);
    set_descriptor(TESTED, (u32)(word)&value, 0xf, 0x4093);
    load_fs(TESTED);
    check_fault(call_compatible, (word)compatible, NO_FAULT, 0, "compatibility mode and back");
    check_is(rax_after, 0, "  where 40h is INC");
    check_fault(call_compatible, (word)compatible_limit, VECTOR_GP, 0, "  where limits count");
    load_fs(0);
    check_fault(call_compatible, (word)compatible, VECTOR_GP, 0, "  and null cannot be used");
}

void guest_main(void)
{
    open_pages_to_user();
    check_descriptors();
    check_canonical();
    check_bases();
    check_null();
    check_code();
}
