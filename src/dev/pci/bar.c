/*
 * bar.c - BARs: where a function's registers are in the bus map, and giving them addresses.
 *
 * While a guest moves BARs about, two may lie over each other for a moment, or one over the
 * IOAPIC.  What would overlap stays out of the map until there is room: so after each change every
 * function is looked at.  Over RAM the RAM answers, since no access to it reaches the bus.
 *
 * PCI Local Bus Specification 3.0, "Base Addresses".
 */
#include "base/bits.h"
#include "dev/pci/pci.h"

const u8 pci_isa_irqs[PCI_LINES] = {10, 11, 10, 11};

static bool is_io(const struct pci_bar *bar)
{
    return bar->kind == PCI_BAR_IO;
}

u64 pci_bar_address(const struct pci_function *f, unsigned index)
{
    const u8 *at = f->config + PCI_BAR0 + 4 * index;
    u64 value = pci_get32(at);

    if (f->bars[index].kind == PCI_BAR_MEM64) {
        value |= (u64)pci_get32(at + 4) << 32;
    }
    return value & ~(f->bars[index].size - 1);
}

void pci_write_bar(struct pci_function *f, unsigned index, u64 address)
{
    u8 *at = f->config + PCI_BAR0 + 4 * index;

    pci_put32(at, (u32)address | (at[0] & (is_io(&f->bars[index]) ? 3 : 15)));
    if (f->bars[index].kind == PCI_BAR_MEM64) {
        pci_put32(at + 4, (u32)(address >> 32));
    }
}

/* Where the BAR answers now; 0: nowhere. */
static u64 decoded_at(const struct pci_function *f, unsigned index)
{
    const struct pci_bar *bar = &f->bars[index];
    u64 address = pci_bar_address(f, index);

    if (bar->kind == PCI_BAR_NONE ||
        !(f->config[PCI_COMMAND] & (is_io(bar) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) ||
        (is_io(bar) && address + bar->size > PCI_IO_END)) {
        return 0;
    }
    return address;
}

static enum bus_space space_of(const struct pci_bar *bar)
{
    return is_io(bar) ? BUS_PIO : BUS_MMIO;
}

static void unmap(struct pci_function *f, unsigned index)
{
    const struct pci_bar *bar = &f->bars[index];

    for (unsigned i = 0; i < bar->count && f->mapped_at[index]; i++) {
        bus_map_remove(f->bus->slot->bus, space_of(bar), f->mapped_at[index] + bar->parts[i].base);
    }
    f->mapped_at[index] = 0;
}

/* All of the BAR's parts, or none. */
static void map(struct pci_function *f, unsigned index, u64 address)
{
    const struct pci_bar *bar = &f->bars[index];

    for (unsigned i = 0; i < bar->count; i++) {
        struct bus_region region = bar->parts[i];
        region.space = space_of(bar);
        region.base += address;
        region.name = f->name;
        if (bus_map_add(f->bus->slot->bus, &region)) {
            while (i-- > 0) {
                bus_map_remove(f->bus->slot->bus, space_of(bar), address + bar->parts[i].base);
            }
            return;
        }
    }
    f->mapped_at[index] = address;
}

void pci_update_bars(struct pci_function *f)
{
    if (!f->bus) {
        return;
    }
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (f->mapped_at[i] != decoded_at(f, i)) {
            unmap(f, i);
        }
    }
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        struct pci_function *other = f->bus->functions[slot];
        for (unsigned i = 0; other && i < PCI_BARS; i++) {
            u64 address = decoded_at(other, i);
            if (address && other->mapped_at[i] != address) {
                map(other, i, address);
            }
        }
    }
}

/* ------------------------------------------------------------------ what firmware does */

struct window {
    u64 next, end;
};

/* The next multiple of size in the window; 0 where it is full. */
static u64 take(struct window *w, u64 size)
{
    u64 at = bits_align_up(w->next, size);

    if (at < w->next || at >= w->end || size > w->end - at) {
        return 0;
    }
    w->next = at + size;
    return at;
}

void pci_assign(struct pci_bus *bus)
{
    struct window io = {PCI_IO_START, PCI_IO_END};
    struct window mem32 = {PCI_MEM32_START, PCI_MEM32_END};
    struct window mem64 = {PCI_MEM64_START, PCI_MEM64_END};

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        struct pci_function *f = bus->functions[slot];
        for (unsigned i = 0; f && i < PCI_BARS; i++) {
            const struct pci_bar *bar = &f->bars[i];
            u64 address = 0;
            if (bar->kind == PCI_BAR_NONE) {
                continue;
            }
            /* Below 4 GiB while there is room, for guests that reach no further. */
            address = take(is_io(bar) ? &io : &mem32, bar->size);
            if (!address && bar->kind == PCI_BAR_MEM64) {
                address = take(&mem64, bar->size);
            }
            pci_write_bar(f, i, address);
        }
        if (f) {
            f->config[PCI_COMMAND] |=
                f->writable[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
            f->config[PCI_INTERRUPT_LINE] =
                f->config[PCI_INTERRUPT_PIN] ? pci_isa_irqs[slot % PCI_LINES] : 0;
            pci_update_bars(f);
        }
    }
}
