/* testdev.c - QEMU's pc-testdev as a guest sees it: echo, interrupt lines, memory behind MMIO. */
#include "guest.h"

enum {
    ECHO = 0xe0,
    FLUSH = 0xe4,
    ECHO_BYTES = 0xe8,
    LINES = 0x2000,
    IRQ = 14,
    GSI = 20,
    GSI_VECTOR = 0x60,
    IOAPIC_LEVEL = 1 << 15,
};

#define MEMORY 0xff000000u

static volatile u32 interrupts;

static void on_irq(struct frame *frame)
{
    (void)frame;
    interrupts++;
    outb(LINES + IRQ, 0);
    pic_eoi(IRQ);
}

/* It stays up for two interrupts: level-triggered. */
static void on_gsi(struct frame *frame)
{
    (void)frame;
    if (++interrupts == 2) {
        outb(LINES + GSI, 0);
    }
    lapic_write(0xb0, 0);
}

static void echo(void)
{
    outl(ECHO, 0x11223344);
    check_is(inl(ECHO), 0x11223344, "echo: a dword");
    outw(ECHO + 2, 0xaabb);
    outb(ECHO, 0xcc);
    check_is(inl(ECHO), 0xaabb33cc, "echo: a word and a byte");
    check_is(inw(ECHO + 1), 0xbb33, "echo: a word in the middle");
    if (option("debug-console")) {
        check_is(inb(ECHO_BYTES + 1), 0xe9, "port E9 is the debug console's");
        return;
    }
    check_is(inl(ECHO_BYTES), 0xaabb33cc, "echo by bytes");
    outl(ECHO_BYTES, 0x01020304);
    check_is(inl(ECHO), 0x01020304, "  and back");
}

static void pic_line(void)
{
    interrupts = 0;
    handlers[PIC_VECTOR + IRQ] = on_irq;
    pic_start(1 << IRQ | 1 << 2);
    interrupts_on();
    check_is(interrupts, 0, "no interrupt yet");
    outb(LINES + IRQ, 1);
    while (interrupts == 0) {}
    interrupts_off();
    check_is(interrupts, 1, "IRQ 14, by the 8259");
    pic_start(0);
}

static void ioapic_line(void)
{
    interrupts = 0;
    handlers[GSI_VECTOR] = on_gsi;
    lapic_start();
    ioapic_route(GSI, GSI_VECTOR | IOAPIC_LEVEL, 0);
    interrupts_on();
    outb(LINES + GSI, 0x55);
    while (interrupts < 2) {}
    outb(ECHO, 0);
    inb(ECHO); /* everything has been served */
    interrupts_off();
    check_is(interrupts, 2, "GSI 20, by the IOAPIC, until it is lowered");
}

static void memory(void)
{
    volatile u8 *bytes = (volatile u8 *)MEMORY;

    *(volatile u64 *)(bytes + 8) = 0x8877665544332211;
    check_is(bytes[9], 0x22, "memory: a byte");
    check_is(*(volatile u16 *)(bytes + 13), 0x7766, "memory: a word that is not aligned");
    *(volatile u32 *)(bytes + 0xfffc) = 0x12345678;
    check_is(*(volatile u32 *)(bytes + 0xfffc), 0x12345678, "memory: its end");
    check_is(bytes[0x10000], 0xff, "memory: behind it");
}

/* Nothing that a guest sees; but it goes on to see what is in the page. */
static void flush(void)
{
    static volatile u32 page[1024] __attribute__((aligned(4096)));

    page[5] = 0x600d;
    outl(FLUSH, (u32)(word)page);
    check_is(page[5], 0x600d, "a page that was flushed");
    check_is(inl(FLUSH), 0, "flush reads as 0");
    outl(FLUSH, (u32)(word)guest_main);
}

void guest_main(void)
{
    echo();
    pic_line();
    ioapic_line();
    memory();
    flush();
}
