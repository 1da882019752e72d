/* balloon.h - the machine's memory balloon: pages go back to the host, and what is wanted of it. */
#ifndef VM_BALLOON_H
#define VM_BALLOON_H

#include <ringer/ringer.h>

#include "base/types.h"

struct device;
struct pci_bus;

struct balloon {
    struct device *device; /* NULL: the machine has none */
    struct balloon_order { /* as it is recorded */
        u32 pages;         /* that should be in the balloon */
        u32 ask;           /* 1: for statistics, instead */
    } order;
    bool failed;             /* the host takes no memory back: said once */
    bool order_due, ask_due; /* the device has not got it yet */
    void (*answered)(void *context);
    void *context;
};

/* 0 or -errno: a machine has at most one. */
int balloon_create(struct ringer *machine, const struct ringer_device *config, struct pci_bus *bus,
                   struct device **device);

/* For input.c. */
size_t balloon_offer(struct ringer *machine, unsigned unit, const u8 *bytes, size_t size);
void balloon_ask(struct ringer *machine, unsigned unit);

#endif
