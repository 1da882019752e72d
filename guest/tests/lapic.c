/* lapic.c - the local APIC's timer in each mode, self-IPI and priorities; xAPIC, or x2APIC. */
#include "guest.h"

enum {
    ID = 0x20,
    TPR = 0x80,
    EOI = 0xb0,
    SVR = 0xf0,
    ISR = 0x100,
    IRR = 0x200,
    ICR = 0x300,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    INITIAL_COUNT = 0x380,
    CURRENT_COUNT = 0x390,
    DIVIDE = 0x3e0,
    VECTOR = 0x41,
    HIGH_VECTOR = 0x81,
    MSR_DEADLINE = 0x6e0,
};

static volatile unsigned count, high_count;
static volatile u64 last_tsc;

static void on_timer(struct frame *frame)
{
    (void)frame;
    last_tsc = rdtsc();
    count++;
    lapic_write(EOI, 0);
}

static void on_high(struct frame *frame)
{
    (void)frame;
    high_count++;
    lapic_write(EOI, 0);
}

static void spin(u64 cycles)
{
    u64 end = rdtsc() + cycles;

    interrupts_on();
    while (rdtsc() < end) {}
    interrupts_off();
}

/* How fast the timer counts, in Hz, divided by 1. */
static u64 timer_hz(u64 hz)
{
    u64 end = rdtsc() + hz / 100;

    lapic_write(LVT_TIMER, 1u << 16 | VECTOR);
    lapic_write(DIVIDE, 0xb);
    lapic_write(INITIAL_COUNT, 0xffffffff);
    while (rdtsc() < end) {}
    return (0xffffffffu - lapic_read(CURRENT_COUNT)) * 100ull;
}

static void check_timer(u64 hz)
{
    u64 rate = timer_hz(hz), start;

    print("     timer at %l Hz\n", rate);
    check(rate > 1000000, "the timer counts");
    lapic_write(LVT_TIMER, VECTOR);
    count = 0;
    start = rdtsc();
    lapic_write(INITIAL_COUNT, (u32)(rate / 100));
    wait_for_interrupt();
    check(count == 1, "one-shot comes");
    check(last_tsc - start > hz / 110 && last_tsc - start < hz, "  after about 10 ms");
    spin(hz / 20);
    check_is(count, 1, "  and once only");
    check_is(lapic_read(CURRENT_COUNT), 0, "  its count is 0 then");

    lapic_write(LVT_TIMER, 1u << 17 | VECTOR);
    count = 0;
    lapic_write(INITIAL_COUNT, (u32)(rate / 200));
    while (count < 10) {
        wait_for_interrupt();
    }
    check(rdtsc() - start > hz / 25, "periodic: 10 of 5 ms");
    lapic_write(INITIAL_COUNT, 0);
    spin(hz / 1000);
    count = 0;
    spin(hz / 50);
    check_is(count, 0, "a count of 0 stops it");
}

static void check_deadline(u64 hz)
{
    u64 deadline;

    lapic_write(LVT_TIMER, 2u << 17 | VECTOR);
    count = 0;
    deadline = rdtsc() + hz / 100;
    wrmsr(MSR_DEADLINE, deadline);
    check(rdmsr(MSR_DEADLINE) == deadline, "the deadline reads back");
    wait_for_interrupt();
    check(count == 1 && last_tsc >= deadline, "TSC deadline: not before it");
    check_is(rdmsr(MSR_DEADLINE), 0, "  and it is 0 then");
    wrmsr(MSR_DEADLINE, rdtsc() - 1);
    wait_for_interrupt();
    check_is(count, 2, "a deadline that has passed comes at once");
    wrmsr(MSR_DEADLINE, rdtsc() + hz / 100);
    wrmsr(MSR_DEADLINE, 0);
    spin(hz / 25);
    check_is(count, 2, "0 disarms it");
    lapic_write(LVT_TIMER, VECTOR);
    wrmsr(MSR_DEADLINE, rdtsc() + 1000);
    check_is(rdmsr(MSR_DEADLINE), 0, "in another mode it cannot be written");
}

static void send_self(u32 vector)
{
    lapic_write(ICR, 1u << 18 | vector);
}

static void check_ipi(u64 hz)
{
    count = high_count = 0;
    send_self(VECTOR);
    send_self(HIGH_VECTOR);
    check_is(lapic_read(IRR + 0x10 * (VECTOR / 32)) >> VECTOR % 32 & 1, 1, "pending in IRR");
    lapic_write(TPR, 0x50);
    spin(hz / 1000);
    check(high_count == 1 && count == 0, "TPR holds the lower one back");
    lapic_write(TPR, 0);
    spin(hz / 1000);
    check(count == 1, "  and then lets it come");
    /* With LINT0 masked the PIC cannot interrupt. */
    lapic_write(LVT_LINT0, 1u << 16 | 0x700);
    pic_start(1 << 0);
    pit_start(2, 1193);
    spin(hz / 100);
    check(true, "a masked LINT0 shuts the PIC out");
    outb(0x21, 0xff);
}

static void rdmsr_of(word index)
{
    rdmsr((u32)index);
}
static void write_reserved(word value)
{
    wrmsr(0x80f, (u64)value << 32);
}

static void check_x2apic(void)
{
    wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);
    check(rdmsr(0x802) == 0, "x2APIC ID");
    check_fault(rdmsr_of, 0x80b, VECTOR_GP, 0, "EOI cannot be read");
    check_fault(rdmsr_of, 0x80e, VECTOR_GP, 0, "DFR is not there");
    check_fault(write_reserved, 1, VECTOR_GP, 0, "reserved bits of SVR");
    high_count = 0;
    wrmsr(0x83f, HIGH_VECTOR);
    wait_for_interrupt();
    check_is(high_count, 1, "SELF IPI");
}

void guest_main(void)
{
    u64 hz = tsc_hz();

    handlers[VECTOR] = on_timer;
    handlers[HIGH_VECTOR] = on_high;
    pic_start(0);
    lapic_start();
    if (option("x2apic")) {
        check_x2apic();
    }
    check_timer(hz);
    check_deadline(hz);
    check_ipi(hz);
}
