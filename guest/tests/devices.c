/* devices.c - the chips that test guests use.  See guest.h. */
#include "guest.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, PIT_CHANNEL0 = 0x40, PIT_MODE = 0x43 };
enum { APIC_SVR = 0xf0, MSR_APIC_BASE = 0x1b, MSR_X2APIC = 0x800 };

void pic_start(u16 unmasked)
{
    outb(PIC1, 0x11);
    outb(PIC1 + 1, PIC_VECTOR);
    outb(PIC1 + 1, 0x04);
    outb(PIC1 + 1, 0x01);
    outb(PIC2, 0x11);
    outb(PIC2 + 1, PIC_VECTOR + 8);
    outb(PIC2 + 1, 0x02);
    outb(PIC2 + 1, 0x01);
    outb(PIC1 + 1, (u8)~unmasked);
    outb(PIC2 + 1, (u8)(~unmasked >> 8));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8) {
        outb(PIC2, 0x20);
    }
    outb(PIC1, 0x20);
}

void pit_start(unsigned mode, u16 count)
{
    outb(PIT_MODE, (u8)(0x30 | mode << 1));
    outb(PIT_CHANNEL0, (u8)count);
    outb(PIT_CHANNEL0, (u8)(count >> 8));
}

static bool is_x2apic(void)
{
    return rdmsr(MSR_APIC_BASE) & 1u << 10;
}

u32 lapic_read(u32 offset)
{
    if (is_x2apic()) {
        return (u32)rdmsr(MSR_X2APIC + offset / 16);
    }
    return *(volatile u32 *)(word)(LAPIC_BASE + offset);
}

void lapic_write(u32 offset, u32 value)
{
    if (is_x2apic()) {
        wrmsr(MSR_X2APIC + offset / 16, value);
    } else {
        *(volatile u32 *)(word)(LAPIC_BASE + offset) = value;
    }
}

void lapic_start(void)
{
    lapic_write(APIC_SVR, 0x1fe);
}

u32 ioapic_read(u32 index)
{
    volatile u32 *ioapic = (volatile u32 *)(word)IOAPIC_ADDRESS;

    ioapic[0] = index;
    return ioapic[4];
}

void ioapic_write(u32 index, u32 value)
{
    volatile u32 *ioapic = (volatile u32 *)(word)IOAPIC_ADDRESS;

    ioapic[0] = index;
    ioapic[4] = value;
    (void)ioapic[4]; /* waits until the writes have come there */
}

void ioapic_route(unsigned pin, u32 low, u32 destination)
{
    ioapic_write(0x11 + 2 * pin, destination << 24);
    ioapic_write(0x10 + 2 * pin, low);
}

/* By the PIT's channel 2: 59659 counts are 50 ms. */
static u64 measure_tsc(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1);
    outb(PIT_MODE, 0xb0);
    outb(PIT_CHANNEL0 + 2, 59659 & 0xff);
    outb(PIT_CHANNEL0 + 2, 59659 >> 8);
    u64 start = rdtsc();
    while (!(inb(0x61) & 0x20)) {}
    return (rdtsc() - start) * 20;
}

u64 tsc_hz(void)
{
    u32 r[4];

    cpuid(0x40000000, 0, r);
    if (r[0] < 0x40000010 || r[1] != 0x4b4d564b /* "KVMK" */) {
        return measure_tsc();
    }
    cpuid(0x40000010, 0, r);
    return r[0] * 1000ull;
}
