/* ioapic.h - the I/O APIC: interrupt lines to interrupt messages. */
#ifndef DEV_IOAPIC_H
#define DEV_IOAPIC_H

#include "bus/interrupt.h"
#include "dev/device.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

struct ioapic_config {
    const struct interrupt_fabric *fabric; /* outlives the device */
    gpa_t base;                            /* IOAPIC_BASE for the first one */
    u8 id;                                 /* 0 to 15, as the MADT and the MP table say */
};

/* 0 or -errno. */
int ioapic_create(const struct slot *slot, const struct ioapic_config *config,
                  struct device **device);

/* Input pin, 0 to IOAPIC_PINS - 1. */
struct irq ioapic_irq(struct device *device, unsigned pin);

/* A local APIC's EOI of a level-triggered vector. */
void ioapic_eoi(struct device *device, u8 vector);

#endif
