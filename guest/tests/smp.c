/*
 * smp.c - a second CPU: INIT and start-up by the local APIC, locked instructions on both at once,
 * an interrupt from one to the other, and INIT again.
 *
 * Intel SDM vol. 3A, "Multiple-Processor (MP) Initialization Protocol".
 */
#include "guest.h"

enum {
    ICR = 0x300,
    ICR_HIGH = 0x310,
    EOI = 0xb0,
    TRAMPOLINE = 0x90000,
    SHARED = TRAMPOLINE + 0x4000
};
enum { ROUNDS = 100000, VECTOR = 0x55, INIT = 0x4500, START_UP = 0x4600 | TRAMPOLINE >> 12 };

/* At SHARED, in the segment that the second CPU starts in.  Code is on another page: see the limit
 * of locked accesses in src/exec/interpret/access.c. */
struct shared {
    u32 started, sum, done, go;
};

extern u8 trampoline[], trampoline_end[];
__asm__(".code16\n"
        "trampoline:\n"
        "  cli; mov %cs, %ax; mov %ax, %ds\n"
        "  lock incl 0x4000\n"
        "1: cmpl $0, 0x400c; je 1b\n"
        "  mov $100000, %ecx\n"
        "2: lock incl 0x4004; dec %ecx; jnz 2b\n"
        "  movl $1, 0x4008\n"
        "3: hlt; jmp 3b\n"
        "trampoline_end:\n"
        ".code64\n");

static volatile unsigned count;

static void on_interrupt(struct frame *frame)
{
    (void)frame;
    count++;
    lapic_write(EOI, 0);
}

static void send(u32 low)
{
    lapic_write(ICR_HIGH, 1u << 24);
    lapic_write(ICR, low);
}

static bool wait_for(const volatile u32 *flag, u32 value, u64 hz)
{
    u64 end = rdtsc() + 5 * hz;

    while (*flag != value && rdtsc() < end) {
        __asm__ volatile("pause");
    }
    return *flag == value;
}

void guest_main(void)
{
    word at = SHARED, code = TRAMPOLINE;
    u64 hz = tsc_hz();

    __asm__("" : "+r"(at), "+r"(code));
    volatile struct shared *shared = (struct shared *)at;
    for (u8 *p = trampoline; p < trampoline_end; p++) {
        ((u8 *)code)[p - trampoline] = *p;
    }
    *shared = (struct shared){0};
    handlers[VECTOR] = on_interrupt;
    lapic_start();
    send(START_UP);
    check(wait_for(&shared->started, 1, hz), "start-up after power-on, which waits for it");
    *shared = (struct shared){0};
    send(INIT);
    send(START_UP);
    check(wait_for(&shared->started, 1, hz), "INIT and start-up");
    send(START_UP);
    shared->go = 1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("lock incl %0" : "+m"(shared->sum));
    }
    check(wait_for(&shared->done, 1, hz), "it runs");
    check_is(shared->sum, 2 * ROUNDS, "locked increments by both");
    check_is(shared->started, 1, "another start-up has no effect");

    lapic_write(ICR_HIGH, 0);
    lapic_write(ICR, 2u << 18 | VECTOR); /* all, with itself */
    wait_for_interrupt();
    check_is(count, 1, "an interrupt to all comes to itself, too");

    send(INIT);
    send(START_UP);
    check(wait_for(&shared->started, 2, hz), "INIT and start-up again");
}
