/*
 * trapping.c - a guest that keeps to instructions which trap in user mode, where they are sensitive
 * at all: Popek and Goldberg's theorem 1 holds for it, and it runs right on every engine.
 *
 * Its pages are in the lower half, and its selectors are such that a processor in user mode refuses
 * them (or are not used to transfer control at all).
 */
#include "guest.h"

enum { COM_VECTOR = 0x40, TICKS = 5, PTE_P = 1, PTE_RW = 2, PTE_US = 4, CR0_WP = 1 << 16 };
enum { MSR_LSTAR = 0xc0000082 };
enum { TICK_HZ = 2000, WHILE = 300000 }; /* several ticks, on any engine */
enum {
    SHORT_TICK_HZ = 25000,
    SHORT_WHILE = 10000
}; /* with "short", where an instruction takes 1 ns */

static volatile unsigned ticks, calls;
static u8 page[3][4096] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));

static void on_tick(struct frame *frame)
{
    (void)frame;
    ticks++;
    pic_eoi(0);
}

/* In a page with the bytes of a WRPKRU, which no engine lets the host's CPU run. */
void wait_apart(void);
__asm__(".balign 4096\n"
        "wait_apart: sti; hlt; cli; ret\n"
        ".byte 0x0f, 0x01, 0xef\n"
        ".balign 4096\n");

static void interrupts(void)
{
    bool is_short = option("short");

    handlers[PIC_VECTOR] = on_tick;
    pic_start(1);
    pit_start(2, is_short ? SHORT_TICK_HZ : TICK_HZ);
    while (ticks < TICKS) {
        wait_for_interrupt();
    }
    check(true, "the timer interrupts, between STI and CLI");
    unsigned before = ticks;
    wait_apart();
    check(ticks > before, "HLT waits in a page that is interpreted, too");
    before = ticks;
    for (volatile unsigned i = 0; i < (is_short ? SHORT_WHILE : WHILE); i++) {}
    check_is(ticks, before, "and not after CLI");
    pic_start(0);
}

static void on_call(struct frame *frame)
{
    calls += (unsigned)frame->ax;
    frame->ax = calls;
}

static void control_registers(void)
{
    word cr0 = read_cr0();

    write_cr0(cr0 | CR0_WP);
    check_is(read_cr0(), cr0 | CR0_WP, "CR0 is what was written");
    write_cr0(cr0);
    write_cr2(0x123456789000);
    check_is(read_cr2(), 0x123456789000, "and CR2");
    wrmsr(MSR_LSTAR, 0x77777000);
    check_is(rdmsr(MSR_LSTAR), 0x77777000, "and an MSR");
    write_dr0(0x4242);
    check_is(read_dr0(), 0x4242, "and DR0");
}

static void software_interrupts(void)
{
    word value = 5;

    handlers[COM_VECTOR] = on_call;
    __asm__ volatile("int $0x40" : "+a"(value)::"memory");
    check_is(value, 5, "INT n calls a handler");
    __asm__ volatile("int $0x40" : "+a"(value)::"memory");
    check_is(value, 10, "and again");
}

/* The page at 1 GiB by a table of our own: its PML4 and PDPT entries are there already. */
static volatile u8 *map(u8 *what, u64 bits)
{
    u64 *pml4 = (u64 *)(read_cr3() & ~0xfffull), *pdpt = (u64 *)(pml4[0] & ~0xfffull);
    u64 *directory = (u64 *)(pdpt[1] & ~0xfffull);

    table[0] = (u64)what | bits;
    directory[0] = (u64)table | PTE_P | PTE_RW | PTE_US;
    __asm__ volatile("invlpg (%0)" ::"r"(0x40000000ull) : "memory");
    return (volatile u8 *)0x40000000;
}

static void store(word address)
{
    *(volatile u8 *)address = 1;
}

static void paging(void)
{
    page[0][7] = 'a';
    page[1][7] = 'b';
    check_is(map(page[0], PTE_P | PTE_RW)[7], 'a', "a page is mapped");
    check_is(map(page[1], PTE_P | PTE_RW)[7], 'b', "another in its place, after INVLPG");
    map(page[1], PTE_P | PTE_RW)[8] = 'c';
    check_is(page[1][8], 'c', "a store goes where it is mapped");
    check_is(table[0] & 0x60, 0x60, "accessed and dirty bits are set");
    map(page[1], 0);
    check_fault(store, 0x40000123, VECTOR_PF, 2, "a page that is not there faults");
    check_is(fault.cr2, 0x40000123, "with its address in CR2");
    table[0] = (u64)page[2] | PTE_P | PTE_RW;
    write_cr3(read_cr3());
    store(0x40000009);
    check_is(page[2][9], 1, "MOV to CR3 forgets the fault");
}

/* ---- at CPL 3 */

static void compute(word rounds)
{
    word sum = 0, calls_back = rounds;

    for (word i = 0; i < rounds; i++) {
        sum = sum * 31 + i;
    }
    __asm__ volatile("int $0x40" : "+a"(calls_back)::"memory");
    page[0][0] = (u8)sum;
}

static void swap(word value)
{
    word borrow;

    __asm__ volatile("clc\n\tbswap %1\n\tsbb %0, %0" : "=r"(borrow), "+r"(value) : : "cc");
    page[0][1] = (u8)borrow;
}

static void halt(word unused)
{
    (void)unused;
    __asm__ volatile("hlt");
}

static void read_control(word unused)
{
    (void)unused;
    read_cr0();
}

static void read_port(word unused)
{
    (void)unused;
    inb(0x60);
}

static void check_user(void (*what)(word), word argument, u32 vector, u32 error, const char *name)
{
    attempt_user(what, argument);
    check(fault.vector == vector && (vector == NO_FAULT || fault.error == error), name);
}

static void user_mode(void)
{
    word sum = 0;
    unsigned before = calls;

    open_pages_to_user();
    for (word i = 0; i < 1000; i++) {
        sum = sum * 31 + i;
    }
    set_gate(COM_VECTOR, (word)interrupt_stubs + 16 * COM_VECTOR, KERNEL_CS, 0xee, 0);
    check_user(compute, 1000, NO_FAULT, 0, "a program at CPL 3 runs to its end");
    check_is(page[0][0], (u8)sum, "with the right result");
    check_is(calls, before + 1000, "and has called the kernel");
    check_user(swap, 1, NO_FAULT, 0, "BSWAP, at CPL 3");
    check_is(page[0][1], 0, "which leaves the carry flag alone");
    check_user(halt, 0, VECTOR_GP, 0, "HLT is refused there");
    check_user(read_control, 0, VECTOR_GP, 0, "and MOV from CR0");
    check_user(read_port, 0, VECTOR_GP, 0, "and IN");
    map(page[0], PTE_P | PTE_RW);
    check_user(store, 0x40000000, VECTOR_PF, 7, "and a supervisor's page");
}

void guest_main(void)
{
    attempt_without_flags = true;
    control_registers();
    software_interrupts();
    interrupts();
    paging();
    user_mode();
}
