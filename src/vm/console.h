/* console.h - the machine's virtio console, RINGER_PORT_HVC0: serial.c is what stands behind it. */
#ifndef VM_CONSOLE_H
#define VM_CONSOLE_H

#include "base/types.h"

struct device;
struct pci_bus;
struct ringer;

struct console {
    struct device *device; /* NULL: the machine has none */
    u16 size[2];           /* columns and rows, as the user's terminal has them */
    bool size_due;         /* the guest has not been told yet */
};

/* 0 or -errno: a machine has at most one. */
int console_create(struct ringer *machine, struct pci_bus *bus, struct device **device);

/* What is behind it has room again. */
void console_resume(struct ringer *machine);

/* ------------------------------------------------------------------ for input.c */

/* Two sources: what is typed, and the size (struct console's). */
size_t console_offer(struct ringer *machine, const u8 *bytes, size_t size);
size_t console_offer_size(struct ringer *machine, const u8 *bytes, size_t size);

/* Offer the size, if it is due. */
void console_ask_size(struct ringer *machine);

#endif
