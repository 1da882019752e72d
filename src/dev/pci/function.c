/*
 * function.c - describing a PCI function, and its configuration space on the bus.
 *
 * A write changes the bits that `writable` has; what follows from that (BARs move, interrupts come
 * free, the function is reset) is done after it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "dev/pci/pci.h"

enum {
    REVISION = 0x08,
    SUBSYSTEM_VENDOR = 0x2c,
    FIRST_CAPABILITY = 0x40,
    CAP_EXPRESS = 0x10,
    EXPRESS_SIZE = 0x3c,
    EXPRESS_FLAGS = 0x02,
    EXPRESS_DEVCAP = 0x04,
    EXPRESS_DEVCTL = 0x08,
    EXPRESS_VERSION = 2,
    EXPRESS_INTEGRATED_ENDPOINT = 9 << 4,
    DEVCAP_ROLE_BASED_ERRORS = 1 << 15,
    DEVCAP_FLR = 1 << 28,
    DEVCTL_FLR = 1 << 15,
};

/* ------------------------------------------------------------------ describing */

void pci_function_init(struct pci_function *f, const char *name, const struct pci_ops *ops,
                       const struct pci_identity *identity)
{
    f->name = name;
    f->ops = ops;
    f->caps_end = FIRST_CAPABILITY;
    pci_put16(f->config, identity->vendor);
    pci_put16(f->config + 2, identity->device);
    pci_put32(f->config + REVISION, identity->class_code << 8 | identity->revision);
    pci_put16(f->config + SUBSYSTEM_VENDOR, identity->subsystem_vendor);
    pci_put16(f->config + SUBSYSTEM_VENDOR + 2, identity->subsystem);
    pci_put16(f->writable + PCI_COMMAND,
              PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    f->writable[0x0c] = 0xff; /* the cache line size: kept, and means nothing */
}

void pci_set_bar(struct pci_function *f, unsigned index, const struct pci_bar *bar)
{
    u64 writable = ~(bar->size - 1);
    u8 *low = f->config + PCI_BAR0 + 4 * index;

    assert(bits_is_power_of_two(bar->size) && bar->count <= PCI_BAR_PARTS);
    assert(index + (bar->kind == PCI_BAR_MEM64) < PCI_BARS);
    f->bars[index] = *bar;
    pci_put32(f->writable + PCI_BAR0 + 4 * index, (u32)writable);
    switch (bar->kind) {
    case PCI_BAR_NONE:
    case PCI_BAR_MEM32:
        break;
    case PCI_BAR_IO:
        low[0] = 1;
        break;
    case PCI_BAR_MEM64:
        low[0] = 4;
        pci_put32(f->writable + PCI_BAR0 + 4 * index + 4, (u32)(writable >> 32));
        break;
    }
}

unsigned pci_add_capability(struct pci_function *f, u8 id, unsigned size)
{
    unsigned offset = f->caps_end;

    assert(offset + size <= PCI_CONFIG_BYTES);
    f->config[offset] = id;
    f->config[offset + 1] = f->config[PCI_CAPABILITIES];
    f->config[PCI_CAPABILITIES] = (u8)offset;
    f->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    f->caps_end = (unsigned)bits_align_up(offset + size, 4);
    return offset;
}

void pci_add_express(struct pci_function *f)
{
    u8 *cap;

    f->express = pci_add_capability(f, CAP_EXPRESS, EXPRESS_SIZE);
    cap = f->config + f->express;
    pci_put16(cap + EXPRESS_FLAGS, EXPRESS_VERSION | EXPRESS_INTEGRATED_ENDPOINT);
    pci_put32(cap + EXPRESS_DEVCAP, DEVCAP_ROLE_BASED_ERRORS | DEVCAP_FLR);
    pci_put16(f->writable + f->express + EXPRESS_DEVCTL, 0x7fff);
}

void pci_use_intx(struct pci_function *f)
{
    f->config[PCI_INTERRUPT_PIN] = 1;
    f->writable[PCI_INTERRUPT_LINE] = 0xff;
}

int pci_attach(struct pci_bus *bus, struct pci_function *f)
{
    unsigned slot;

    for (slot = 0; slot < PCI_SLOTS && bus->functions[slot]; slot++) {}
    if (slot == PCI_SLOTS) {
        return -ENOSPC;
    }
    bus->functions[slot] = f;
    f->bus = bus;
    f->slot = slot;
    memcpy(f->power_on, f->config, sizeof(f->power_on));
    pci_msix_reset(f);
    return 0;
}

void pci_detach(struct pci_function *f)
{
    if (!f->bus) {
        return;
    }
    pci_put16(f->config + PCI_COMMAND, 0);
    f->intx = false;
    pci_update_bars(f);
    pci_update_intx(f);
    f->bus->functions[f->slot] = NULL;
    f->bus = NULL;
}

/* ------------------------------------------------------------------ interrupts */

bool pci_is_master(const struct pci_function *f)
{
    return f->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* INTA# of slot n is line n modulo 4, as the _PRT says: boot/acpi_pci.c. */
void pci_update_intx(struct pci_function *f)
{
    unsigned n = f->slot % PCI_LINES;
    bool off = pci_get16(f->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF || pci_msix_is_enabled(f);

    if (!f->bus) {
        return;
    }
    if (f->intx) {
        f->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        f->config[PCI_STATUS] &= (u8)~PCI_STATUS_INTERRUPT;
    }
    if (f->intx && !off) {
        f->bus->line_users[n] |= 1u << f->slot;
    } else {
        f->bus->line_users[n] &= ~(1u << f->slot);
    }
    irq_set(&f->bus->lines[n], f->bus->line_users[n] != 0);
}

void pci_set_intx(struct pci_function *f, bool level)
{
    f->intx = level;
    pci_update_intx(f);
}

/* ------------------------------------------------------------------ configuration accesses */

static void reset_function(struct pci_function *f)
{
    memcpy(f->config, f->power_on, sizeof(f->config));
    f->intx = false;
    pci_msix_reset(f);
    pci_update_bars(f);
    pci_update_intx(f);
    f->ops->reset(f);
}

u32 pci_config_read(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size)
{
    struct pci_function *f = slot < PCI_SLOTS ? bus->functions[slot] : NULL;
    u32 value = 0;

    if (!f) {
        return (u32)bits_mask(8 * size);
    }
    if (offset >= PCI_CONFIG_BYTES) { /* no extended capabilities */
        return 0;
    }
    if (!f->ops->config_read || !f->ops->config_read(f, offset, size, &value)) {
        memcpy(&value, f->config + offset, size);
    }
    return value;
}

static void store(struct pci_function *f, unsigned offset, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; i++) {
        u8 changes = f->writable[offset + i];
        u8 byte = (u8)(value >> (8 * i));
        f->config[offset + i] = (u8)((f->config[offset + i] & ~changes) | (byte & changes));
    }
}

/* Does an access to [offset, size) write the byte at? */
static bool covers(unsigned offset, unsigned size, unsigned at)
{
    return at - offset < size;
}

void pci_config_write(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size, u32 value)
{
    struct pci_function *f = slot < PCI_SLOTS ? bus->functions[slot] : NULL;
    unsigned control = f ? f->express + EXPRESS_DEVCTL + 1 : 0;

    if (!f || offset >= PCI_CONFIG_BYTES ||
        (f->ops->config_write && f->ops->config_write(f, offset, size, value))) {
        return;
    }
    if (f->express && covers(offset, size, control) &&
        value >> (8 * (control - offset)) & (DEVCTL_FLR >> 8)) {
        reset_function(f);
        return;
    }
    store(f, offset, size, value);
    if (offset < PCI_COMMAND + 2 || (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BARS)) {
        pci_update_bars(f);
    }
    pci_update_intx(f);
    pci_msix_update(f);
}

/* ------------------------------------------------------------------ snapshots */

const struct field pci_function_fields[] = {
    FIELD_ARRAY(struct pci_function, config),
    FIELD(struct pci_function, intx),
    FIELD_EACH(struct pci_function, msix.entries, address),
    FIELD_EACH(struct pci_function, msix.entries, data),
    FIELD_EACH(struct pci_function, msix.entries, control),
    FIELD_ARRAY(struct pci_function, msix.pending),
    FIELDS_END,
};

/* What the guest cannot write is as this function has it, whatever was read. */
void pci_function_loaded(struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        f->config[i] = (u8)((f->power_on[i] & ~f->writable[i]) | (f->config[i] & f->writable[i]));
    }
    pci_msix_loaded(f);
    pci_update_bars(f);
    pci_update_intx(f);
}
