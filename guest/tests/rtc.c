/* rtc.c - the RTC: its periodic and update interrupts on IRQ 8, and a plausible date. */
#include "guest.h"

static volatile unsigned count;
static volatile u8 causes;

static u8 cmos_read(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void cmos_write(u8 index, u8 value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void on_rtc(struct frame *frame)
{
    (void)frame;
    count++;
    causes |= cmos_read(0xc);
    pic_eoi(8);
}

static unsigned from_bcd(u8 value)
{
    return (value >> 4) * 10 + (value & 15);
}

void guest_main(void)
{
    u64 hz = tsc_hz(), start;

    handlers[PIC_VECTOR + 8] = on_rtc;
    pic_start(1 << 8 | 1 << 2);
    check(from_bcd(cmos_read(8)) - 1 < 12 && from_bcd(cmos_read(7)) - 1 < 31, "month and day");
    check(from_bcd(cmos_read(0)) < 60, "second");
    cmos_write(0xa, 0x26); /* 1024 Hz */
    cmos_read(0xc);
    cmos_write(0xb, cmos_read(0xb) | 0x40);
    start = rdtsc();
    while (count < 100) {
        wait_for_interrupt();
    }
    start = rdtsc() - start;
    check(causes & 0x40, "periodic");
    check(start > hz / 13 && start < hz * 2, "  100 of 1024 Hz take about 98 ms");
    cmos_write(0xb, (cmos_read(0xb) & ~0x40) | 0x10);
    causes = 0;
    count = 0;
    cmos_read(0xc);
    while (!(causes & 0x10)) { /* the PIC may still have an edge of before */
        wait_for_interrupt();
    }
    check(true, "the update of a second");
    cmos_write(0xb, cmos_read(0xb) & ~0x10);
}
