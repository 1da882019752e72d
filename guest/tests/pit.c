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

/* A read waits for what was written before: a write alone may take its time on a busy host. */
static void set_mask(u8 mask)
{
    outb(0x21, mask);
    inb(0x21);
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

    set_mask(0xff);
    spin(hz / 1000);
    ticks = 0;
    spin(hz / 20);
    check_is(ticks, 0, "masked: no tick");
    set_mask(0xfe);
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
    pit_start(0, 11932); /* 10 ms, once */
    inb(0x40);
    spin(hz / 10);
    ticks = 0;
    pit_start(0, 11932);
    inb(0x40);
    spin(hz / 5);
    check_is(ticks, 1, "mode 0 comes once");
}
