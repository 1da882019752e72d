/*
 * breakpoints.c - the debug registers: what they hold, and what meets a breakpoint on code, data or
 * a port, when, and with what in DR6.
 *
 * Intel SDM vol. 3B, "Debug Registers", "Debug Exceptions"; vol. 3A, "Masking Exceptions and
 * Interrupts When Switching Stacks".
 */
#include "guest.h"

enum { EXECUTE = 0, WRITE = 1, PORT = 2, ACCESS = 3, HITS_MAX = 16, CR4_DE = 8 };
enum { FLAG_TF = 1 << 8, FLAG_RF = 1 << 16, DR6_BD = 1 << 13, DR6_BS = 1 << 14 };
#define DR6_NONE 0xffff0ff0u
#define DR7_NONE 0x400u

static struct {
    word ip, flags, dr6, cs;
} hits[HITS_MAX];
static volatile unsigned count;

/* RF lets the instruction pass the next time, if it is one on code. */
static void on_debug(struct frame *frame)
{
    if (count < HITS_MAX) {
        hits[count].ip = frame->ip;
        hits[count].flags = frame->flags;
        hits[count].dr6 = read_dr6();
        hits[count].cs = frame->cs;
    }
    count++;
    write_dr6(DR6_NONE);
    frame->flags |= FLAG_RF;
}

static void write_dr(unsigned n, word address)
{
    switch (n) {
    case 0:
        __asm__ volatile("mov %0, %%dr0" ::"r"(address));
        break;
    case 1:
        __asm__ volatile("mov %0, %%dr1" ::"r"(address));
        break;
    case 2:
        __asm__ volatile("mov %0, %%dr2" ::"r"(address));
        break;
    default:
        __asm__ volatile("mov %0, %%dr3" ::"r"(address));
        break;
    }
}

/* One breakpoint, enabled by its G bit; length is the field's value. */
static void set(unsigned n, word address, unsigned type, unsigned length)
{
    write_dr7(DR7_NONE);
    write_dr(n, address);
    write_dr6(DR6_NONE);
    count = 0;
    write_dr7(DR7_NONE | 2u << 2 * n | (type | length << 2) << (16 + 4 * n));
}

static void clear(void)
{
    write_dr7(DR7_NONE);
}

/* ------------------------------------------------------------------ registers */

static void put_dr6(word value)
{
    __asm__ volatile("mov %0, %%dr6" ::"r"(value));
}
static void put_dr7(word value)
{
    __asm__ volatile("mov %0, %%dr7" ::"r"(value));
}
static void get_dr7(word unused)
{
    (void)unused;
    read_dr7();
}
static void put_dr4(word value)
{
    __asm__ volatile(".byte 0x0f, 0x23, 0xe7" ::"D"(value)); /* mov %rdi, %dr4 */
}
static void get_dr5(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0x0f, 0x21, 0xe8" ::: "rax"); /* mov %dr5, %rax */
}
static void put_dr8(word value)
{
    __asm__ volatile(".byte 0x44, 0x0f, 0x23, 0xc7" ::"D"(value)); /* mov %rdi, %dr8 */
}

static void check_registers(void)
{
    word value = ~0ull;

    write_dr(0, value);
    write_dr(3, 0x123456789abcdef0);
    __asm__ volatile("mov %%dr0, %0" : "=r"(value));
    check_is(value, ~0ull, "DR0 holds any address");
    __asm__ volatile("mov %%dr3, %0" : "=r"(value));
    check_is(value, 0x123456789abcdef0, "and DR3");
    put_dr6(0);
    check_is(read_dr6() & 0xffff1ff0, 0xffff0ff0, "DR6's bits that are always 1, and bit 12");
    put_dr6(0xffffffff);
    check_is(read_dr6() & 0xffff1fff, 0xffff0fff, "DR6 can be written");
    write_dr6(DR6_NONE);
    put_dr7(0);
    check_is(read_dr7(), DR7_NONE, "DR7's bit that is always 1");
    put_dr7(0xffff0000 | 0x0300);
    check_is(read_dr7(), 0xffff0700, "DR7 can be written");
    check_fault(put_dr6, 1ull << 32, VECTOR_GP, 0, "DR6's upper half: #GP");
    check_fault(put_dr7, 1ull << 32, VECTOR_GP, 0, "DR7's upper half: #GP");
    clear();
    write_cr4(read_cr4() & ~(word)CR4_DE);
    put_dr4(0xffff0ff5);
    check_is(read_dr6() & 0xf, 5, "without CR4.DE DR4 is DR6");
    check_fault(get_dr5, 0, NO_FAULT, 0, "and DR5 is DR7");
    write_cr4(read_cr4() | CR4_DE);
    check_fault(put_dr4, 0, VECTOR_UD, 0, "with it DR4 is not there");
    check_fault(get_dr5, 0, VECTOR_UD, 0, "nor DR5");
    check_fault(put_dr8, 0, VECTOR_UD, 0, "nor ever DR8");
    attempt_user(get_dr7, 0);
    check_is(fault.vector, VECTOR_GP, "MOV from DR7 at CPL 3");
    attempt_user(put_dr4, 0);
    check(fault.vector == VECTOR_UD || fault.vector == VECTOR_GP, "MOV to DR4 at CPL 3");
}

/* ------------------------------------------------------------------ data */

static u8 data[4096 * 2] __attribute__((aligned(4096)));
#define AT (data + 4096 - 64) /* before a border of pages */

#define DATA(name, ...)                                                              \
    static void name(word address)                                                   \
    {                                                                                \
        __asm__ volatile(__VA_ARGS__ ::"D"(address)                                  \
                         : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "memory", "cc"); \
    }
DATA(read_1, "movb (%%rdi), %%al")
DATA(read_4, "movl (%%rdi), %%eax")
DATA(read_8, "mov (%%rdi), %%rax")
DATA(write_1, "movb $0, (%%rdi)")
DATA(write_2, "movw $0, (%%rdi)")
DATA(write_4, "movl $0, (%%rdi)")
DATA(write_8, "movq $0, (%%rdi)")
DATA(write_16, "movups %%xmm0, (%%rdi)")
DATA(read_16, "movups (%%rdi), %%xmm0")
DATA(modify, "addl $1, (%%rdi)")
DATA(compare, "cmpl $1, (%%rdi)")
DATA(exchange, "xchg %%eax, (%%rdi)")
DATA(cmpxchg_equal, "mov (%%rdi), %%eax; mov %%eax, %%ecx; lock cmpxchg %%ecx, (%%rdi)")
DATA(test_bit, "btl $3, (%%rdi)")
DATA(set_bit, "btsl $3, (%%rdi)")
DATA(push, "mov %%rsp, %%r8; lea 8(%%rdi), %%rsp; push %%rax; mov %%r8, %%rsp")
DATA(pop, "mov %%rsp, %%r8; mov %%rdi, %%rsp; pop %%rax; mov %%r8, %%rsp")
DATA(call, "mov %%rsp, %%r8; lea 8(%%rdi), %%rsp; call 1f; 1: mov %%r8, %%rsp")
DATA(stos, "xor %%eax, %%eax; cld; stosl")
DATA(lods, "mov %%rdi, %%rsi; cld; lodsl")
DATA(x87_store, "fldz; fstps (%%rdi)")
DATA(x87_load, "flds (%%rdi); fstp %%st(0)")
DATA(prefetch, "prefetcht0 (%%rdi)")
DATA(nothing, "lea (%%rdi), %%rax; nopl (%%rdi)")

static const struct {
    void (*what)(word);
    const char *name;
    u8 size;
    bool reads, writes;
} accesses[] = {
    {read_1, "a read of 1 byte", 1, true, false},
    {read_4, "a read of 4", 4, true, false},
    {read_8, "a read of 8", 8, true, false},
    {read_16, "a read of 16", 16, true, false},
    {write_1, "a write of 1", 1, false, true},
    {write_2, "a write of 2", 2, false, true},
    {write_4, "a write of 4", 4, false, true},
    {write_8, "a write of 8", 8, false, true},
    {write_16, "a write of 16", 16, false, true},
    {modify, "ADD", 4, true, true},
    {compare, "CMP", 4, true, false},
    {exchange, "XCHG", 4, true, true},
    {test_bit, "BT", 4, true, false},
    {set_bit, "BTS", 4, true, true},
    {push, "PUSH", 8, false, true},
    {pop, "POP", 8, true, false},
    {call, "CALL", 8, false, true},
    {stos, "STOS", 4, false, true},
    {lods, "LODS", 4, true, false},
    {x87_store, "FST", 4, false, true},
    {x87_load, "FLD", 4, true, false},
    {prefetch, "PREFETCH", 1, false, false},
    {nothing, "LEA and NOP", 4, false, false},
};

static const u8 lengths[4] = {1, 2, 8, 4};

/* Breakpoint n of that type and length at AT, rounded down by it, and an access at every distance.
 */
static void try_data(unsigned n, unsigned type, unsigned length, word where)
{
    word start = where & ~(word)(lengths[length] - 1);

    for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
        bool kind = type == ACCESS ? accesses[i].reads || accesses[i].writes : accesses[i].writes;
        for (int distance = -17; distance <= 9; distance++) {
            word at = start + (word)distance;
            bool meets = at < start + lengths[length] && start < at + accesses[i].size;
            set(n, where, type, length);
            accesses[i].what(at);
            clear();
            unsigned expected = kind && meets;
            check_case(count == expected && (!count || (hits[0].dr6 & 0xe00f) == 1u << n),
                       "%s at %l, breakpoint %u at %l, type %u, length %u: %u hits, DR6 %l",
                       accesses[i].name, (u64)at, n, (u64)start, type, lengths[length], count,
                       (u64)hits[0].dr6);
        }
    }
}

static void check_data(void)
{
    for (unsigned length = 0; length < 4; length++) {
        try_data(length, WRITE, length, (word)AT);
        try_data(3 - length, ACCESS, length, (word)AT);
        /* The low bits do not count. */
        try_data(1, WRITE, length, (word)AT + (length ? 1 : 0));
    }
    /* Across a border of pages. */
    set(0, (word)data + 4096, WRITE, 0);
    write_8((word)data + 4096 - 7);
    check_is(count, 1, "a write across pages, at its last byte");
    set(0, (word)data + 4096 - 1, WRITE, 0);
    write_8((word)data + 4096 - 1);
    check_is(count, 1, "  at its first");
    set(0, (word)AT, ACCESS, 3);
    cmpxchg_equal((word)AT);
    check_is(count, 2, "CMPXCHG");
    write_dr7(DR7_NONE);
    print("ok   breakpoints on data\n");
}

extern u8 movs_at[], movs_after[];
static void check_strings(void)
{
    void *from = AT - 32, *to = AT + 4;
    word n = 8;

    set(0, (word)AT + 8, WRITE, 0);
    __asm__ volatile("cld; movs_at: rep movsb; movs_after:"
                     : "+D"(to), "+S"(from), "+c"(n)::"memory");
    check_is(count, 1, "REP MOVSB meets it once");
    check_is(hits[0].ip, (word)movs_at, "  after that iteration");
    check(hits[0].flags & FLAG_RF, "  with RF");
    to = AT + 4;
    n = 5;
    set(0, (word)AT + 8, WRITE, 0);
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
    check_is(count, 1, "REP STOSB meets it with its last byte");
    check(!(hits[0].flags & FLAG_RF), "  without RF");
    set(0, (word)movs_at, EXECUTE, 0);
    to = AT;
    from = AT + 32;
    n = 8;
    __asm__ volatile("call again" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    check_is(count, 1, "a breakpoint on a string instruction is met once");
    clear();
}
__asm__("again: lea movs_again(%rip), %rax; mov %rax, %dr0; movs_again: rep movsb; ret");

/* Two at once, and with a single-step. */
static void check_several(void)
{
    write_dr(0, (word)AT);
    write_dr(1, (word)AT + 1);
    write_dr(2, (word)AT + 2);
    write_dr(3, (word)AT + 8);
    count = 0;
    write_dr7(DR7_NONE | 0xaa | 0x1111u << 16);
    write_4((word)AT);
    clear();
    check(count == 1 && (hits[0].dr6 & 0xf) == 7, "three at once");
    count = 0;
    write_dr7(DR7_NONE | 0x55 | 0x1111u << 16);
    write_4((word)AT);
    clear();
    check_is(count, 1, "L bits do as well");
    set(0, (word)AT, WRITE, 0);
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; movb $0, (%0); pushf; andl $~0x100, "
                     "(%%rsp); popf" ::"r"(AT)
                     : "memory", "cc");
    clear();
    check_is(hits[0].dr6 & 0xe00f, DR6_BS | 1, "with a single-step: one #DB with both bits");
    write_dr6(DR6_NONE | DR6_BS);
    set(0, (word)AT, WRITE, 0);
    write_dr6(DR6_NONE | DR6_BS | 4);
    write_1((word)AT);
    clear();
    check_is(hits[0].dr6 & (DR6_BS | 1), DR6_BS | 1, "#DB clears no BS of before");
}

/* ------------------------------------------------------------------ ports */

static void check_ports(void)
{
    static const u8 two[2];
    const void *from = two;
    word n = 2;

    set(0, 0x80, PORT, 0);
    outb(0x80, 0);
    check_is(count, 1, "OUT to the port");
    inb(0x80);
    check_is(count, 2, "IN from it");
    outw(0x7f, 0);
    check_is(count, 3, "a word that covers it");
    outb(0x81, 0);
    outb(0x7f, 0);
    check_is(count, 3, "not those beside it");
    __asm__ volatile("mov $0x80, %%edx; rep outsb" : "+S"(from), "+c"(n)::"rdx", "memory");
    check_is(count, 5, "each OUTSB of two");
    set(0, 0x80, PORT, 3);
    outb(0x83, 0);
    check_is(count, 1, "four ports");
    outb(0x84, 0);
    check_is(count, 1, "  not a fifth");
    (void)*(volatile u8 *)(word)0x800080;
    set(1, 0x800080, PORT, 0);
    (void)*(volatile u8 *)(word)0x800080;
    check_is(count, 0, "memory at that number is no port");
    clear();
}

/* ------------------------------------------------------------------ code */

extern u8 ud_here[], after_ss[], ss_after[], in_handler[], first_int[], popf_here[];

static void run_ud(word unused)
{
    (void)unused;
    __asm__ volatile("ud_here: ud2");
}

/* Its first instruction is at in_handler. */
void raw_handler(void);
__asm__("raw_handler: in_handler: nop; iretq");

u16 memory_ss = KERNEL_DS;

static void check_code(void)
{
    set(0, (word)ud_here, EXECUTE, 0);
    attempt(run_ud, 0);
    clear();
    check(count == 1 && fault.vector == VECTOR_UD, "before an instruction that faults");
    check(fault.flags & FLAG_RF, "  RF is set in that fault's flags");
    check(!(hits[0].flags & FLAG_RF), "  not in those of #DB");
    check_is(hits[0].dr6 & 0xe00f, 1, "  DR6");

    set(2, (word)after_ss, EXECUTE, 0);
    __asm__ volatile("mov %%ss, %%eax; mov %%eax, %%ss; after_ss: nop" ::: "rax");
    check_is(count, 0, "none on the instruction after MOV SS");

    /* A data breakpoint met by MOV SS waits for the next instruction. */
    set(0, (word)&memory_ss, ACCESS, 1);
    __asm__ volatile("mov %0, %%ss; nop; ss_after: nop" ::"m"(memory_ss));
    check(count == 1 && hits[0].ip == (word)ss_after, "data met by MOV SS: after the next one");
    set_gate(0x40, (word)raw_handler, KERNEL_CS, 0x8e, 0);
    set(0, (word)&memory_ss, ACCESS, 1);
    __asm__ volatile("mov %0, %%ss; int $0x40" ::"m"(memory_ss));
    check(count == 1 && hits[0].ip == (word)in_handler, "  in its handler, if that is INT n");

    set(0, (word)in_handler, EXECUTE, 0);
    __asm__ volatile("int $0x40");
    check(count == 1 && hits[0].ip == (word)in_handler, "on a handler's first instruction");

    /* POPF does not set RF. */
    set(0, (word)popf_here, EXECUTE, 0);
    __asm__ volatile("pushf; orl $0x10000, (%%rsp); popf; popf_here: nop" ::: "memory", "cc");
    check_is(count, 1, "POPF sets no RF");
    clear();
}

/* Without RF the handler of a fault-class #DB would be entered for ever; DR7 off is the other way.
 */
static void once(struct frame *frame)
{
    hits[0].ip = frame->ip;
    hits[0].dr6 = read_dr6();
    count++;
    write_dr7(DR7_NONE);
}

extern u8 detect_here[];
static void check_detect(void)
{
    handlers[VECTOR_DB] = once; /* which clears GD */
    count = 0;
    write_dr6(DR6_NONE);
    write_dr7(DR7_NONE | 1u << 13);
    __asm__ volatile("detect_here: mov %%dr0, %%rax" ::: "rax");
    check(count == 1 && hits[0].ip == (word)detect_here, "general detect: before the access");
    check(hits[0].dr6 & DR6_BD, "  DR6.BD");
    write_dr7(DR7_NONE | 1u << 13);
    __asm__ volatile("mov %%rax, %%dr6" ::"a"((word)DR6_NONE));
    check_is(count, 2, "  of DR6, too");
    write_dr7(DR7_NONE | 1u << 13);
    attempt_user(get_dr7, 0);
    check_is(fault.vector, VECTOR_GP, "  but at CPL 3 it is #GP");
    write_dr7(DR7_NONE); /* traps, and is clear then */
    write_dr7(DR7_NONE | 1u << 13);
    handlers[VECTOR_DB] = NULL;
    check_fault(get_dr7, 0, VECTOR_DB, 0, "  the handler may use them");
    check(!(read_dr7() & 1u << 13), "  for it is clear there");
    check(fault.flags & FLAG_RF, "  and RF is set in what is pushed");
}

void guest_main(void)
{
    open_pages_to_user();
    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9);
    __asm__ volatile("fninit");
    handlers[VECTOR_DB] = on_debug;
    check_registers();
    check_data();
    check_strings();
    check_several();
    check_ports();
    check_code();
    check_detect();
}
