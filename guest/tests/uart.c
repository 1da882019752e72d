/* uart.c - COM2, to which nothing is connected: loopback, interrupts, scratch register. */
#include "guest.h"

enum { COM2 = 0x2f8, DATA = COM2, IER = COM2 + 1, IIR = COM2 + 2, LCR = COM2 + 3, MCR = COM2 + 4 };
enum { LSR = COM2 + 5, MSR = COM2 + 6, SCR = COM2 + 7, MCR_LOOP = 0x10, MCR_OUT2 = 8 };

static volatile unsigned count;
static volatile u8 cause, received;

static void on_uart(struct frame *frame)
{
    (void)frame;
    count++;
    cause = inb(IIR);
    if ((cause & 0xf) == 4) {
        received = inb(DATA);
    }
    pic_eoi(3);
}

void guest_main(void)
{
    outb(SCR, 0x5a);
    check_is(inb(SCR), 0x5a, "scratch");
    outb(LCR, 0x83);
    outb(DATA, 1);
    check_is(inb(DATA), 1, "the divisor reads back");
    outb(LCR, 3);
    outb(COM2 + 2, 7);
    check_is(inb(IIR) & 0xc0, 0xc0, "FIFOs are on");
    outb(MCR, MCR_LOOP | MCR_OUT2 | 3);
    check_is(inb(MSR) & 0xf0, 0xb0, "modem lines loop back");
    outb(DATA, 'x');
    while (!(inb(LSR) & 1)) {}
    check_is(inb(DATA), 'x', "a character loops back");

    handlers[PIC_VECTOR + 3] = on_uart;
    pic_start(1 << 3);
    outb(COM2 + 2, 1);
    outb(IER, 1);
    outb(DATA, 'y');
    while (!count) {
        wait_for_interrupt();
    }
    check(received == 'y', "an interrupt for a character");
    outb(IER, 0);
    count = 0;
    outb(IER, 2);
    while (!count) {
        wait_for_interrupt();
    }
    check_is(cause & 0xf, 2, "an interrupt for room");
    check_is(inb(IIR) & 1, 1, "  which reading IIR takes away");
}
