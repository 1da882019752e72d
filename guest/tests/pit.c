/* pit.c - PIC and PIT: ticks at a rate, masks, priorities, the end of interrupts. */
#include "guest.h"

static volatile unsigned ticks;
static volatile unsigned last_vector;

static void on_tick(struct frame *frame)
{
    last_vector = (unsigned)frame->vector;
    ticks++;
    pic_eoi(0);
}

static void on_tick_without_eoi(struct frame *frame)
{
    (void)frame;
    ticks++;
}

/* Spin, not halt: for so many TSC ticks. */
static void spin(u64 cycles)
{
    u64 end = rdtsc() + cycles;

    interrupts_on();
    while (rdtsc() < end) {}
    interrupts_off();
}

void guest_main(void)
{
    u64 hz = tsc_hz(), start, cycles;

    handlers[PIC_VECTOR] = on_tick;
    pic_start(1 << 0);
    pit_start(2, 11932); /* 100 Hz */
    wait_for_interrupt();
    start = rdtsc();
    ticks = 0;
    while (ticks < 10) {
        wait_for_interrupt();
    }
    cycles = rdtsc() - start;
    check(last_vector == PIC_VECTOR, "IRQ 0 is the PIC's first vector");
    check(cycles > hz / 13 && cycles < hz * 2, "10 ticks at 100 Hz take about 100 ms");

    outb(0x21, 0xff);
    spin(hz / 1000);
    ticks = 0;
    spin(hz / 20);
    check_is(ticks, 0, "masked: no tick");
    outb(0x21, 0xfe);
    spin(hz / 1000);
    check(ticks >= 1, "unmasked: the one that was waiting");

    handlers[PIC_VECTOR] = on_tick_without_eoi;
    ticks = 0;
    spin(hz / 20);
    check_is(ticks, 1, "without an EOI no second one comes");
    outb(0x20, 0x0b);
    check_is(inb(0x20) & 1, 1, "  and it is in service");
    pic_eoi(0);
    outb(0x20, 0x0b);
    check_is(inb(0x20) & 1, 0, "after the EOI it is not");

    handlers[PIC_VECTOR] = on_tick;
    pit_start(0, 1193); /* 1 ms, once */
    spin(hz / 100);
    ticks = 0;
    pit_start(0, 1193);
    spin(hz / 20);
    check_is(ticks, 1, "mode 0 comes once");
}
