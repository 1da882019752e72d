/* ioapic.c - the IOAPIC: registers, routing of the PIT, level-triggered and remote IRR. */
#include "guest.h"

enum { VECTOR = 0x51, EOI = 0xb0, PIN_PIT = 2, PIN_COM1 = 4, MASKED = 1 << 16, LEVEL = 1 << 15 };

static volatile unsigned count;
static bool quiet_uart;

static void on_interrupt(struct frame *frame)
{
    (void)frame;
    count++;
    if (quiet_uart || count > 20) {
        outb(0x3f9, 0); /* no interrupt enabled: the line falls */
    }
    lapic_write(EOI, 0);
}

static void spin(u64 cycles)
{
    u64 end = rdtsc() + cycles;

    interrupts_on();
    while (rdtsc() < end) {}
    interrupts_off();
}

void guest_main(void)
{
    u64 hz = tsc_hz();

    pic_start(0);
    lapic_start();
    handlers[VECTOR] = on_interrupt;
    check_is(ioapic_read(1) >> 16 & 0xff, 23, "24 pins");
    check_is(ioapic_read(0x10) & MASKED, MASKED, "masked at the start");

    ioapic_route(PIN_PIT, VECTOR, 0);
    pit_start(2, 11932);
    for (unsigned i = 0; i < 3; i++) {
        wait_for_interrupt();
    }
    check(count >= 3, "the PIT on pin 2, edge");
    ioapic_route(PIN_PIT, MASKED | VECTOR, 0);
    spin(hz / 1000);
    count = 0;
    spin(hz / 25);
    check_is(count, 0, "masked");
    ioapic_route(PIN_PIT, VECTOR, 7);
    spin(hz / 25);
    check_is(count, 0, "to a CPU that is not there");
    ioapic_route(PIN_PIT, MASKED, 0);

    /* THRE of the UART holds the line. */
    ioapic_route(PIN_COM1, LEVEL | VECTOR, 0);
    quiet_uart = true;
    outb(0x3fc, 0x0b);
    outb(0x3f9, 2);
    spin(hz / 10);
    check_is(count, 1, "level: once, if the handler quiets the device");
    quiet_uart = false;
    count = 0;
    outb(0x3f9, 2);
    for (unsigned i = 0; i < 500 && count <= 20; i++) { /* on a busy host it takes a while */
        spin(hz / 100);
    }
    check(count > 20, "level: again and again if not");
    ioapic_write(0x10 + 2 * PIN_COM1, LEVEL | MASKED | VECTOR);
    outb(0x3f9, 0);
}
