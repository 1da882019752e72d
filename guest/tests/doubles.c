/*
 * doubles.c - exceptions in the delivery of exceptions: each kind of first event by each way in
 * which its delivery fails, and the shutdown that follows a third.
 *
 * Intel SDM vol. 3A, "Interrupt 8 - Double Fault Exception (#DF)", "Error Code".  With "third=n" on
 * the command line it ends in a shutdown, of which the n-th cause is in the gate of #DF.
 */
#include "guest.h"

enum { ERROR_EXT = 1, ERROR_IDT = 2, PF_WRITE = 2, SELF_VECTOR = 0x51, INT_VECTOR = 0x40 };
enum { ABSENT_CODE = FREE_SELECTOR, CODE_32 = CODE32_CS };
enum { ICR = 0x300, SELF = 1 << 18, EOI = 0xb0 };
/* A page that is not there, and an address that is not canonical. */
#define ABSENT        0x8000000000ull
#define NOT_CANONICAL 0x0000800000000040ull

/* ------------------------------------------------------------------ first events */

static void do_de(word unused)
{
    (void)unused;
    __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
}
static void do_int1(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0xf1");
}
static void do_int3(word unused)
{
    (void)unused;
    __asm__ volatile("int3");
}
static void do_ud(word unused)
{
    (void)unused;
    __asm__ volatile("ud2");
}
static void do_nm(word unused)
{
    (void)unused;
    write_cr0(read_cr0() | 8);
    __asm__ volatile("fnop");
}
static void do_ts(word unused)
{
    (void)unused;
    /* By INT through a gate whose stack is beyond the TSS's end. */
    __asm__ volatile("int $0x41");
}
static void do_np(word unused)
{
    (void)unused;
    __asm__ volatile("mov %w0, %%fs" ::"r"(ABSENT_CODE));
}
static void do_ss(word unused)
{
    (void)unused;
    __asm__ volatile(
        "mov %%rbp, %%rax; mov %0, %%rbp; mov (%%rbp), %%rcx; mov %%rax, %%rbp" ::"r"(NOT_CANONICAL)
        : "rax", "rcx");
}
static void do_gp(word unused)
{
    (void)unused;
    __asm__ volatile("mov %w0, %%fs" ::"r"(0xfff8));
}
static void do_pf(word unused)
{
    (void)unused;
    __asm__ volatile("movb (%0), %%al" ::"r"(ABSENT) : "rax");
}
static void do_mf(word unused)
{
    (void)unused;
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"((u16){0x33b}));
}
static void do_xm(word unused)
{
    (void)unused;
    __asm__ volatile("ldmxcsr %0; xorps %%xmm0, %%xmm0; divss %%xmm0, %%xmm0" ::"m"((u32){0x1f00}));
}
static void do_int(word unused)
{
    (void)unused;
    __asm__ volatile("int $0x40");
}
static void do_external(word unused)
{
    (void)unused;
    lapic_write(ICR, SELF | SELF_VECTOR);
    __asm__ volatile("sti; nop; nop; nop; cli");
}

enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static const struct first {
    void (*what)(word);
    const char *name;
    u8 vector;
    enum class class;
    bool software; /* EXT stays clear */
} firsts[] = {
    {do_de, "#DE", VECTOR_DE, CONTRIBUTORY, false},
    {do_int1, "INT1", VECTOR_DB, BENIGN, false},
    {do_int3, "INT3", VECTOR_BP, BENIGN, true},
    {do_ud, "#UD", VECTOR_UD, BENIGN, false},
    {do_nm, "#NM", VECTOR_NM, BENIGN, false},
    {do_ts, "#TS", VECTOR_TS, CONTRIBUTORY, false},
    {do_np, "#NP", VECTOR_NP, CONTRIBUTORY, false},
    {do_ss, "#SS", VECTOR_SS, CONTRIBUTORY, false},
    {do_gp, "#GP", VECTOR_GP, CONTRIBUTORY, false},
    {do_pf, "#PF", VECTOR_PF, PAGE_FAULT, false},
    {do_mf, "#MF", VECTOR_MF, BENIGN, false},
    {do_xm, "#XM", VECTOR_XM, BENIGN, false},
    {do_int, "INT n", INT_VECTOR, BENIGN, true},
    {do_external, "an interrupt", SELF_VECTOR, BENIGN, false},
};

/* ------------------------------------------------------------------ how a delivery fails */

enum { IST_BAD = 1, IST_ABSENT, IST_BEYOND };

static const struct second {
    const char *name;
    u16 selector;
    u8 attributes, ist;
    u8 vector;
    bool names_gate; /* the error code is the gate's, else it is `error` */
    u32 error;
    bool not_canonical;
} seconds[] = {
    {"its gate is not present", KERNEL_CS, 0x0e, 0, VECTOR_NP, true, 0, false},
    {"its gate is a call gate", KERNEL_CS, 0x8c, 0, VECTOR_GP, true, 0, false},
    {"its gate is a task gate", MAIN_TSS, 0x85, 0, VECTOR_GP, true, 0, false},
    {"its gate is a segment", KERNEL_CS, 0x9e, 0, VECTOR_GP, true, 0, false},
    {"its code is null", 0, 0x8e, 0, VECTOR_GP, false, 0, false},
    {"its code is data", KERNEL_DS, 0x8e, 0, VECTOR_GP, false, KERNEL_DS, false},
    {"its code has 32 bits", CODE_32, 0x8e, 0, VECTOR_GP, false, CODE_32, false},
    {"its code is for CPL 3", USER_CS64 & ~3, 0x8e, 0, VECTOR_GP, false, USER_CS64 & ~3, false},
    {"its code is not present", ABSENT_CODE, 0x8e, 0, VECTOR_NP, false, ABSENT_CODE, false},
    {"its code is not in the GDT", 0xff0, 0x8e, 0, VECTOR_GP, false, 0xff0, false},
    {"its address is not canonical", KERNEL_CS, 0x8e, 0, VECTOR_GP, false, 0, true},
    {"its stack is not canonical", KERNEL_CS, 0x8e, IST_BAD, VECTOR_SS, false, 0, false},
    {"its stack is not there", KERNEL_CS, 0x8e, IST_ABSENT, VECTOR_PF, false, PF_WRITE, false},
    {"its stack is not in the TSS", KERNEL_CS, 0x8e, IST_BEYOND, VECTOR_TS, false, MAIN_TSS, false},
};

static void break_gate(unsigned vector, const struct second *second)
{
    set_gate(vector, second->not_canonical ? NOT_CANONICAL : (word)(interrupt_stubs + 16 * vector),
             second->selector, second->attributes, second->ist);
}

static void mend_gate(unsigned vector)
{
    set_gate(vector, (word)(interrupt_stubs + 16 * vector), KERNEL_CS, 0x8e, 0);
}

static void prepare(void)
{
    /* The IST ends after its second entry. */
    *(u64 *)(main_tss + 0x1c + 8 * IST_BAD) = NOT_CANONICAL;
    *(u64 *)(main_tss + 0x1c + 8 * IST_ABSENT) = ABSENT + 0x100;
    set_descriptor(MAIN_TSS, (u32)(word)main_tss, 0x1c + 8 * IST_BEYOND - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    set_descriptor(ABSENT_CODE, 0, 0xfffff, 0xa01b);
    set_gate(0x41, (word)interrupt_stubs, KERNEL_CS, 0x8e, IST_BEYOND);
    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9);
    pic_start(0);
    lapic_start();
}

/* The bad event that was never taken has to go. */
static void settle(void)
{
    write_cr0(read_cr0() & ~(word)8);
    __asm__ volatile("fninit; ldmxcsr %0" ::"m"((u32){0x1f80}));
    lapic_write(EOI, 0);
}

static bool becomes_double(const struct first *first, const struct second *second)
{
    bool contributory = second->vector != VECTOR_PF;

    return first->class == CONTRIBUTORY ? contributory : first->class == PAGE_FAULT;
}

static void try_two(const struct first *first, const struct second *second)
{
    u32 vector = second->vector, error = second->error;

    if (becomes_double(first, second)) {
        vector = VECTOR_DF;
        error = 0;
    } else {
        error = second->names_gate ? first->vector * 8u | ERROR_IDT : error;
        error |= vector != VECTOR_PF && !first->software ? ERROR_EXT : 0;
    }
    break_gate(first->vector, second);
    attempt(first->what, 0);
    mend_gate(first->vector);
    bool good = fault.vector == vector && fault.error == error;
    if (vector == VECTOR_PF) {
        good &= fault.cr2 >= ABSENT && fault.cr2 < ABSENT + 0x100;
    }
    check_case(good, "%s, and %s: vector %x error %x cr2 %l, not %x %x", first->name, second->name,
               fault.vector, fault.error, (u64)fault.cr2, vector, error);
    settle();
}

/* Each is what it should be when nothing is in its way. */
static void check_firsts(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(firsts); i++) {
        if (firsts[i].vector < 32) {
            attempt(firsts[i].what, 0);
            check_is(fault.vector, firsts[i].vector, firsts[i].name);
            settle();
        }
    }
}

static void shut_down(unsigned third)
{
    break_gate(VECTOR_DF, &seconds[third]);
    break_gate(VECTOR_GP, &seconds[0]);
    print("shutting down by a double fault: %s\n", seconds[third].name);
    do_gp(0);
}

void guest_main(void)
{
    u64 third = option_number("third", ~0ull);

    prepare();
    check_firsts();
    for (unsigned i = 0; i < ARRAY_SIZE(firsts); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(seconds); j++) {
            try_two(&firsts[i], &seconds[j]);
        }
    }
    if (third < ARRAY_SIZE(seconds)) {
        shut_down((unsigned)third);
    }
}
