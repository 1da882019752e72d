/*
 * pic.c - the two 8259s and their cascade: priorities, nesting, every way to end an interrupt,
 * rotation, special mask and special fully nested mode, polling, edges and levels.
 *
 * Intel, "8259A Programmable Interrupt Controller", "Operation Command Words".  Interrupts are made
 * by COM2 (IRQ 3), the keyboard (1) and mouse (12) by the controller's own commands, and the RTC
 * (8).
 */
#include "guest.h"

enum { MASTER = 0x20, SLAVE = 0xa0, ELCR = 0x4d0, BASE = 0x40 };
enum { EOI = 0x20, SPECIFIC_EOI = 0x60, ROTATE_EOI = 0xa0, ROTATE_SPECIFIC = 0xe0 };
enum { SET_LOWEST = 0xc0, AUTO_ROTATE = 0x80, AUTO_FIXED = 0x00 };
enum { READ_IRR = 0x0a, READ_ISR = 0x0b, POLL = 0x0c, SPECIAL_MASK = 0x68, NORMAL_MASK = 0x48 };
enum { ICW4_AUTO_EOI = 2, ICW4_NESTED = 16 };
enum { KEYBOARD = 1, COM2_IRQ = 3, RTC = 8, MOUSE = 12 };

static volatile unsigned taken;

static void on_interrupt(struct frame *frame)
{
    taken = (unsigned)frame->vector;
    frame->flags &= ~(word)0x200; /* one at a time */
}

/* The IRQ that comes if there is one, or -1. */
static int take(void)
{
    taken = 0;
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    return taken ? (int)taken - BASE : -1;
}

/* Has its interrupt come?  Between an OUT and the INTR that follows there may be time. */
static void expect(int irq, const char *what)
{
    int got = take();
    u64 end = rdtsc() + (irq < 0 ? 0 : tsc_hz());

    while (got < 0 && irq >= 0 && rdtsc() < end) {
        got = take();
    }
    check(got == irq, what);
    if (got != irq) {
        print("     it is IRQ %x, not %x\n", (unsigned)got, (unsigned)irq);
    }
}

static u8 read_register(u16 port, u8 which)
{
    outb(port, which);
    return inb(port);
}

/* ------------------------------------------------------------------ sources */

static void wait_8042(u8 bit, u8 value)
{
    while ((inb(0x64) & bit) != value) {}
}

/* The keyboard controller puts a byte into its output buffer as if it came from the device. */
static void raise_8042(u8 command)
{
    wait_8042(2, 0);
    outb(0x64, command);
    wait_8042(2, 0);
    outb(0x60, 0x55);
    wait_8042(1, 1);
}

static void lower_8042(void)
{
    while (inb(0x64) & 1) {
        inb(0x60);
    }
}

static void init_8042(void)
{
    lower_8042();
    wait_8042(2, 0);
    outb(0x64, 0x60);
    wait_8042(2, 0);
    outb(0x60, 0x03); /* interrupts of both, devices enabled */
    wait_8042(2, 0);
}

static void raise(unsigned irq)
{
    switch (irq) {
    case KEYBOARD:
        raise_8042(0xd2);
        break;
    case MOUSE:
        raise_8042(0xd3);
        break;
    case COM2_IRQ:
        outb(0x2fc, 0x0b);
        outb(0x2f9, 2); /* the transmitter is empty */
        inb(0x2f9);
        break;
    case RTC:
        outb(0x70, 0x0a);
        outb(0x71, 0x26);
        outb(0x70, 0x0b);
        outb(0x71, inb(0x71) | 0x40); /* periodic: within a millisecond */
        do {
            outb(SLAVE, READ_IRR);
        } while (!(inb(SLAVE) & 1));
        break;
    }
}

static void lower(unsigned irq)
{
    switch (irq) {
    case KEYBOARD:
    case MOUSE:
        lower_8042();
        break;
    case COM2_IRQ:
        outb(0x2f9, 0);
        inb(0x2f9);
        break;
    case RTC:
        outb(0x70, 0x0b);
        outb(0x71, inb(0x71) & ~0x40);
        outb(0x70, 0x0c);
        inb(0x71);
        break;
    }
}

/* Both anew, with all that is used unmasked. */
static void start(u8 icw4)
{
    lower(KEYBOARD);
    lower(COM2_IRQ);
    lower(RTC);
    outb(MASTER, 0x11);
    outb(MASTER + 1, BASE | 5); /* the low bits do not count */
    outb(MASTER + 1, 4);
    outb(MASTER + 1, icw4 | 1);
    outb(SLAVE, 0x11);
    outb(SLAVE + 1, BASE + 8);
    outb(SLAVE + 1, 2);
    outb(SLAVE + 1, (icw4 & ~ICW4_NESTED) | 1);
    outb(MASTER + 1, (u8) ~(1u << KEYBOARD | 1u << 2 | 1u << COM2_IRQ));
    outb(SLAVE + 1, (u8) ~(1u << (RTC - 8) | 1u << (MOUSE - 8)));
    inb(MASTER + 1);
}

static void pulse(unsigned irq)
{
    lower(irq);
    raise(irq);
}

/* ------------------------------------------------------------------ what it does */

static void check_start(void)
{
    outb(MASTER + 1, 0xa5);
    check_is(inb(MASTER + 1), 0xa5, "the mask reads back");
    start(0);
    outb(MASTER, 0x11);
    outb(MASTER + 1, BASE);
    outb(MASTER + 1, 4);
    outb(MASTER + 1, 1);
    check_is(inb(MASTER + 1), 0, "ICW1 clears the mask");
    check_is(read_register(MASTER, READ_ISR), 0, "nothing is in service");
    start(0);
    raise(COM2_IRQ);
    check_is(read_register(MASTER, READ_IRR) & 8, 8, "a request is in IRR");
    outb(MASTER, 0x11);
    outb(MASTER + 1, BASE);
    outb(MASTER + 1, 4);
    outb(MASTER + 1, 1);
    check_is(inb(MASTER), 0, "ICW1 forgets edges, and selects IRR");
    expect(-1, "so no interrupt comes");
}

static void check_nesting(void)
{
    start(0);
    raise(COM2_IRQ);
    expect(COM2_IRQ, "IRQ 3");
    check_is(read_register(MASTER, READ_ISR), 8, "  is in service");
    check_is(read_register(MASTER, READ_IRR) & 8, 0, "  and its edge is used up");
    pulse(COM2_IRQ);
    expect(-1, "not again while it is in service");
    raise(KEYBOARD);
    expect(KEYBOARD, "IRQ 1 interrupts it");
    check_is(read_register(MASTER, READ_ISR), 0x0a, "  both are in service");
    outb(MASTER, EOI);
    check_is(read_register(MASTER, READ_ISR), 8, "an EOI ends that of the highest priority");
    expect(-1, "IRQ 3 is still held back");
    outb(MASTER, EOI);
    expect(COM2_IRQ, "  and comes after its EOI");
    outb(MASTER, EOI);
    start(0);
    raise(KEYBOARD);
    expect(KEYBOARD, "IRQ 1");
    raise(COM2_IRQ);
    expect(-1, "holds IRQ 3 back");
    outb(MASTER, SPECIFIC_EOI | COM2_IRQ);
    expect(-1, "  and a specific EOI of another does not matter");
    outb(MASTER, SPECIFIC_EOI | KEYBOARD);
    expect(COM2_IRQ, "  its own does");
    outb(MASTER, EOI);
    start(0);
    raise(COM2_IRQ);
    raise(KEYBOARD);
    expect(KEYBOARD, "of two the higher one first");
    outb(MASTER, EOI);
    expect(COM2_IRQ, "  then the other");
    outb(MASTER, EOI);
    expect(-1, "and no more");
}

static void check_cascade(void)
{
    start(0);
    raise(MOUSE);
    expect(MOUSE, "IRQ 12 by the cascade");
    check_is(read_register(SLAVE, READ_ISR), 0x10, "  is in service on the slave");
    check_is(read_register(MASTER, READ_ISR), 4, "  and input 2 on the master");
    raise(COM2_IRQ);
    expect(-1, "it holds IRQ 3 back");
    outb(SLAVE, EOI);
    expect(-1, "  after the slave's EOI, too");
    outb(MASTER, EOI);
    expect(COM2_IRQ, "  not after both");
    outb(MASTER, EOI);
    start(0);
    raise(MOUSE);
    expect(MOUSE, "IRQ 12");
    raise(RTC);
    expect(-1, "IRQ 8 is higher on the slave, but the master has input 2 in service");
    outb(SLAVE, EOI);
    outb(MASTER, EOI);
    expect(RTC, "  it comes after the EOIs");
    start(ICW4_NESTED);
    raise(MOUSE);
    expect(MOUSE, "special fully nested: IRQ 12");
    raise(RTC);
    expect(RTC, "  and IRQ 8 interrupts it");
    check_is(read_register(SLAVE, READ_ISR), 0x11, "  both are in service on the slave");
    start(0);
    raise(MOUSE);
    outb(MASTER + 1, 0xff);
    inb(MASTER + 1);
    expect(-1, "masked on the master");
    outb(MASTER + 1, 0xfb);
    inb(MASTER + 1);
    expect(MOUSE, "  it waits");
}

static void check_masks(void)
{
    start(0);
    outb(MASTER + 1, 0xff);
    raise(COM2_IRQ);
    check_is(read_register(MASTER, READ_IRR) & 8, 8, "a masked request is in IRR");
    expect(-1, "  and does not come");
    outb(MASTER + 1, 0xf7);
    inb(MASTER + 1);
    expect(COM2_IRQ, "  until it is unmasked");
    start(0);
    raise(KEYBOARD);
    expect(KEYBOARD, "IRQ 1");
    raise(COM2_IRQ);
    outb(MASTER + 1, 0xf7);
    inb(MASTER + 1);
    expect(-1, "masking what is in service does not let lower ones through");
    outb(MASTER, SPECIAL_MASK);
    inb(MASTER + 1);
    expect(COM2_IRQ, "  in special mask mode it does");
    outb(MASTER, EOI);
    check_is(read_register(MASTER, READ_ISR), 2, "  where an EOI does not end what is masked");
    outb(MASTER, SPECIFIC_EOI | KEYBOARD);
    check_is(read_register(MASTER, READ_ISR), 0, "  a specific one does");
    outb(MASTER, NORMAL_MASK);
}

static void check_rotation(void)
{
    start(0);
    outb(MASTER, SET_LOWEST | 2);
    raise(KEYBOARD);
    raise(COM2_IRQ);
    expect(COM2_IRQ, "with 2 the lowest, 3 is the highest");
    expect(-1, "  and 1 waits");
    outb(MASTER, EOI);
    expect(KEYBOARD, "  for its EOI");
    outb(MASTER, EOI);
    start(0);
    raise(KEYBOARD);
    expect(KEYBOARD, "IRQ 1");
    outb(MASTER, ROTATE_EOI);
    check_is(read_register(MASTER, READ_ISR), 0, "an EOI with rotation");
    pulse(KEYBOARD);
    raise(COM2_IRQ);
    expect(COM2_IRQ, "  makes 1 the lowest");
    outb(MASTER, ROTATE_SPECIFIC | COM2_IRQ);
    check_is(read_register(MASTER, READ_ISR), 0, "a specific EOI with rotation");
    pulse(COM2_IRQ);
    expect(KEYBOARD, "  makes 3 the lowest");
    outb(MASTER, EOI);
    start(ICW4_AUTO_EOI);
    raise(KEYBOARD);
    expect(KEYBOARD, "automatic EOI");
    check_is(read_register(MASTER, READ_ISR), 0, "  nothing stays in service");
    raise(COM2_IRQ);
    expect(COM2_IRQ, "  so the next one comes at once");
    outb(MASTER, AUTO_ROTATE);
    pulse(KEYBOARD);
    expect(KEYBOARD, "automatic rotation: IRQ 1");
    pulse(KEYBOARD);
    pulse(COM2_IRQ);
    expect(COM2_IRQ, "  is the lowest then");
    expect(KEYBOARD, "  and still comes");
    outb(MASTER, AUTO_FIXED);
    start(0);
}

static u8 poll(u16 port)
{
    outb(port, POLL);
    return inb(port);
}

static void check_poll(void)
{
    start(0);
    check(!(poll(MASTER) & 0x80), "a poll of nothing");
    raise(COM2_IRQ);
    check_is(poll(MASTER) & 0x87, 0x83, "a poll finds IRQ 3");
    check_is(read_register(MASTER, READ_ISR), 8, "  and takes it into service");
    expect(-1, "  so no interrupt comes");
    outb(MASTER, EOI);
    raise(MOUSE);
    check_is(poll(MASTER) & 0x87, 0x82, "a poll of the master finds the cascade");
    check_is(poll(SLAVE) & 0x87, 0x84, "a poll of the slave finds IRQ 12");
    outb(SLAVE, EOI);
    outb(MASTER, EOI);
    outb(MASTER, READ_ISR);
    poll(MASTER);
    check_is(inb(MASTER), 0, "after it what is read is what was selected before");
}

static void check_levels(void)
{
    start(0);
    raise(COM2_IRQ);
    expect(COM2_IRQ, "an edge");
    outb(MASTER, EOI);
    expect(-1, "comes once, though the line stays");
    lower(COM2_IRQ);
    outb(ELCR, 0xff);
    outb(ELCR + 1, 0xff);
    check_is(inb(ELCR), 0xf8, "IRQ 0 to 2 are always edges");
    check_is(inb(ELCR + 1), 0xde, "and 8 and 13");
    outb(ELCR, 1 << COM2_IRQ);
    outb(ELCR + 1, 0);
    start(0);
    raise(COM2_IRQ);
    expect(COM2_IRQ, "a level");
    outb(MASTER, EOI);
    inb(MASTER);
    expect(COM2_IRQ, "comes again while the line stays");
    lower(COM2_IRQ);
    outb(MASTER, EOI);
    inb(MASTER);
    expect(-1, "  and no more");
    raise(COM2_IRQ);
    lower(COM2_IRQ);
    check_is(read_register(MASTER, READ_IRR) & 8, 0, "a level that has gone is no request");
    expect(-1, "  and no interrupt");
    outb(ELCR, 0);
}

void guest_main(void)
{
    for (unsigned i = 0; i < 16; i++) {
        handlers[BASE + i] = on_interrupt;
    }
    init_8042();
    check_start();
    check_nesting();
    check_cascade();
    check_masks();
    check_rotation();
    check_poll();
    check_levels();
    lower(RTC);
}
