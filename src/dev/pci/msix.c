/*
 * msix.c - MSI-X: a table of messages, and bits for those that wait.
 *
 *      BAR + 000 + 16 n    address (64), data (32), control (32; bit 0 masks)
 *      BAR + 800           pending bits, read only
 *
 *      capability + 2      15 enable   14 mask all   10-0 number of vectors - 1
 *
 * A message is a write of 4 bytes.  To 0xfee00000 and the MiB above it is an interrupt:
 *
 *      address   31-20 0xfee   19-12 destination   3 redirection hint   2 logical
 *      data      15 level   10-8 delivery mode   7-0 vector
 *
 * PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structure"; Intel SDM vol. 3A,
 * "Message Signalled Interrupts".
 */
#include <assert.h>
#include <string.h>

#include "base/bits.h"
#include "dev/pci/pci.h"

enum {
    CAP_MSIX = 0x11,
    CAP_SIZE = 12,
    CONTROL = 2, /* offset in the capability */
    CONTROL_ENABLE = 1 << 15,
    CONTROL_MASK = 1 << 14,
    TABLE_SIZE = 0x800,
    BAR_SIZE = 0x1000,
    ENTRY_SIZE = 16,
    ENTRY_MASKED = 1,
};

#define INTERRUPT_ADDRESS 0xfeeull

static u16 control(const struct pci_function *f)
{
    return pci_get16(f->config + f->msix.cap + CONTROL);
}

bool pci_msix_is_enabled(const struct pci_function *f)
{
    return f->msix.count && control(f) & CONTROL_ENABLE;
}

static void send_message(const struct pci_function *f, u64 address, u32 data)
{
    struct interrupt_message m = {
        .dest = (u32)bits_get(address, 12, 8),
        .dest_logical = address & BIT(2),
        .level = data & BIT(15),
        .vector = (u8)data,
        .delivery = (u8)bits_get(data, 8, 3),
        .shorthand = INTERRUPT_TO_DEST,
    };

    if (address >> 20 != INTERRUPT_ADDRESS) {
        mem_write(f->bus->mem, address, &data, sizeof(data));
        return;
    }
    if (address & BIT(3) && m.dest_logical && m.delivery == INTERRUPT_FIXED) {
        m.delivery = INTERRUPT_LOWEST; /* the redirection hint: one of them */
    }
    interrupt_send(f->bus->fabric, &m);
}

static bool may_send(const struct pci_function *f, unsigned vector)
{
    return !(control(f) & CONTROL_MASK) && pci_is_master(f) &&
           !(f->msix.entries[vector].control & ENTRY_MASKED);
}

void pci_msix_send(struct pci_function *f, unsigned vector)
{
    if (vector >= f->msix.count || !f->bus || !pci_msix_is_enabled(f)) {
        return;
    }
    if (may_send(f, vector)) {
        send_message(f, f->msix.entries[vector].address, f->msix.entries[vector].data);
    } else {
        f->msix.pending[vector / 64] |= BIT(vector % 64);
    }
}

static void send_pending(struct pci_function *f, unsigned vector)
{
    u64 bit = BIT(vector % 64);

    if (f->msix.pending[vector / 64] & bit && may_send(f, vector)) {
        f->msix.pending[vector / 64] &= ~bit;
        pci_msix_send(f, vector);
    }
}

void pci_msix_update(struct pci_function *f)
{
    for (unsigned i = 0; pci_msix_is_enabled(f) && i < f->msix.count; i++) {
        send_pending(f, i);
    }
}

void pci_msix_reset(struct pci_function *f)
{
    memset(f->msix.pending, 0, sizeof(f->msix.pending));
    for (unsigned i = 0; i < f->msix.count; i++) {
        f->msix.entries[i] = (struct pci_msix_entry){.control = ENTRY_MASKED};
    }
}

void pci_msix_loaded(struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_MSIX_MAX; i++) {
        f->msix.entries[i].control &= ENTRY_MASKED;
        f->msix.entries[i].address &= ~3ull;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(f->msix.pending); i++) {
        unsigned vectors = f->msix.count > 64 * i ? f->msix.count - 64 * i : 0;
        f->msix.pending[i] &= vectors < 64 ? bits_mask(vectors) : ~0ull;
    }
}

/* ------------------------------------------------------------------ the table */

static u64 table_read(void *device, u64 offset, unsigned size)
{
    const struct pci_function *f = device;
    const struct pci_msix_entry *entry = &f->msix.entries[offset / ENTRY_SIZE];
    u64 value = 0;

    if (offset / ENTRY_SIZE >= f->msix.count) {
        return 0;
    }
    memcpy(&value, (const u8 *)entry + offset % ENTRY_SIZE, size);
    return value;
}

static void table_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct pci_function *f = device;
    unsigned vector = (unsigned)(offset / ENTRY_SIZE);

    if (vector >= f->msix.count) {
        return;
    }
    memcpy((u8 *)&f->msix.entries[vector] + offset % ENTRY_SIZE, &value, size);
    f->msix.entries[vector].control &= ENTRY_MASKED;
    f->msix.entries[vector].address &= ~3ull;
    if (pci_msix_is_enabled(f)) {
        send_pending(f, vector);
    }
}

static u64 pending_read(void *device, u64 offset, unsigned size)
{
    const struct pci_function *f = device;
    u64 value = 0;

    if (offset < sizeof(f->msix.pending)) {
        memcpy(&value, (const u8 *)f->msix.pending + offset, size);
    }
    return value;
}

static void pending_write(void *device, u64 offset, u64 value, unsigned size)
{
    (void)device;
    (void)offset;
    (void)value;
    (void)size;
}

static const struct bus_region_ops table_ops = {table_read, table_write, 4, 8};
static const struct bus_region_ops pending_ops = {pending_read, pending_write, 4, 8};

_Static_assert(sizeof(struct pci_msix_entry) == ENTRY_SIZE, "a table entry has 16 bytes");
_Static_assert(PCI_MSIX_MAX *ENTRY_SIZE <= TABLE_SIZE, "the table ends before the pending bits");

void pci_add_msix(struct pci_function *f, unsigned index, unsigned count)
{
    const struct pci_bar bar = {
        .kind = PCI_BAR_MEM32,
        .size = BAR_SIZE,
        .parts = {{.base = 0, .size = TABLE_SIZE, .ops = &table_ops, .device = f},
                  {.base = TABLE_SIZE, .size = TABLE_SIZE, .ops = &pending_ops, .device = f}},
        .count = 2,
    };
    u8 *cap;

    assert(count >= 1 && count <= PCI_MSIX_MAX);
    pci_set_bar(f, index, &bar);
    f->msix.count = count;
    f->msix.cap = pci_add_capability(f, CAP_MSIX, CAP_SIZE);
    cap = f->config + f->msix.cap;
    pci_put16(cap + CONTROL, (u16)(count - 1));
    pci_put16(f->writable + f->msix.cap + CONTROL, CONTROL_ENABLE | CONTROL_MASK);
    pci_put32(cap + 4, index);              /* table: offset 0 in that BAR */
    pci_put32(cap + 8, TABLE_SIZE | index); /* pending bits */
}
