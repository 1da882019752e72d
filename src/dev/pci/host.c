/*
 * host.c - the PCI host bridge, with both ways to configuration space.
 *
 *      port CF8   CONFIG_ADDRESS   31 enable   23-16 bus   15-11 slot   10-8 function   7-2
 * register port CFC   CONFIG_DATA      the dword chosen; CFD to CFF its other bytes
 *
 *      MEM_ECAM_START + (bus << 20 | slot << 15 | function << 12 | register)
 *
 * CONFIG_ADDRESS is only ever accessed as a dword.  A byte at CF9 is the reset control register's.
 *
 * The bridge itself is function 0 in slot 0, a generic one: the ID is that of QEMU's, which every
 * system takes for what its class says and for nothing more.
 *
 * PCI Local Bus Specification 3.0, "Configuration Mechanism #1"; PCI Firmware Specification,
 * "Memory Mapped Configuration Space".
 *
 * LIMIT: bus 0 only.
 */
#include "dev/pci/host.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    ADDRESS_ENABLE_BIT = 31,
    ECAM_BYTES = MEM_ECAM_END - MEM_ECAM_START,
};

#define ADDRESS_KEPT 0x80fffffcu

struct pci_host {
    struct device device;
    struct slot slot;
    struct pci_host_config config;
    struct pci_bus bus;
    struct pci_function bridge;
    u32 address;
};

static struct pci_host *from_device(struct device *device)
{
    return container_of(device, struct pci_host, device);
}

/* ------------------------------------------------------------------ ports */

static u64 address_read(void *device, u64 offset, unsigned size)
{
    struct pci_host *h = device;

    if (size == 4) {
        return h->address;
    }
    return offset == 1 && size == 1 ? h->config.read_cf9(h->config.context) : ~0ull;
}

static void address_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct pci_host *h = device;

    if (size == 4) {
        h->address = (u32)value & ADDRESS_KEPT;
    } else if (offset == 1 && size == 1) {
        h->config.write_cf9(h->config.context, (u8)value);
    }
}

/* Bus 0, function 0: else nothing is there. */
static bool chooses_slot(const struct pci_host *h, unsigned *slot)
{
    *slot = (unsigned)bits_get(h->address, 11, 5);
    return h->address & BIT(ADDRESS_ENABLE_BIT) && !bits_get(h->address, 16, 8) &&
           !bits_get(h->address, 8, 3);
}

static u64 data_read(void *device, u64 offset, unsigned size)
{
    struct pci_host *h = device;
    unsigned slot;

    return chooses_slot(h, &slot)
               ? pci_config_read(&h->bus, slot, (h->address & 0xfc) + (unsigned)offset, size)
               : ~0ull;
}

static void data_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct pci_host *h = device;
    unsigned slot;

    if (chooses_slot(h, &slot)) {
        pci_config_write(&h->bus, slot, (h->address & 0xfc) + (unsigned)offset, size, (u32)value);
    }
}

/* ------------------------------------------------------------------ memory-mapped */

static u64 ecam_read(void *device, u64 offset, unsigned size)
{
    struct pci_host *h = device;

    return bits_get(offset, 12, 3)
               ? ~0ull
               : pci_config_read(&h->bus, (unsigned)(offset >> 15), (unsigned)offset & 0xfff, size);
}

static void ecam_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct pci_host *h = device;

    if (!bits_get(offset, 12, 3)) {
        pci_config_write(&h->bus, (unsigned)(offset >> 15), (unsigned)offset & 0xfff, size,
                         (u32)value);
    }
}

static const struct bus_region_ops address_ops = {address_read, address_write, 1, 4};
static const struct bus_region_ops data_ops = {data_read, data_write, 1, 4};
static const struct bus_region_ops ecam_ops = {ecam_read, ecam_write, 1, 4};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0xcf8, .size = 4, .ops = &address_ops, .name = "pci address"},
    {.space = BUS_PIO, .base = 0xcfc, .size = 4, .ops = &data_ops, .name = "pci data"},
    {.space = BUS_MMIO,
     .base = MEM_ECAM_START,
     .size = ECAM_BYTES,
     .ops = &ecam_ops,
     .name = "pci ecam"},
};

/* ------------------------------------------------------------------ life */

static void bridge_reset(struct pci_function *function)
{
    (void)function; /* it has no registers of its own */
}

static const struct pci_ops bridge_ops = {.reset = bridge_reset};

static void reset(struct device *device)
{
    from_device(device)->address = 0;
}

static void destroy(struct device *device)
{
    struct pci_host *h = from_device(device);

    pci_detach(&h->bridge);
    device_remove_regions(&h->slot, regions, ARRAY_SIZE(regions));
    free(h);
}

struct pci_bus *pci_host_bus(struct device *device)
{
    return &from_device(device)->bus;
}

static const struct field fields[] = {
    FIELD(struct pci_host, address),
    FIELD_ARRAY(struct pci_host, bus.line_users),
    FIELDS_END,
};

static bool loaded(struct device *device)
{
    struct pci_host *h = from_device(device);

    h->address &= ADDRESS_KEPT;
    pci_function_loaded(&h->bridge);
    return true;
}

int pci_host_create(const struct slot *slot, const struct pci_host_config *config,
                    struct device **device)
{
    static const struct pci_identity identity = {.vendor = 0x1b36,
                                                 .device = 0x0008,
                                                 .subsystem_vendor = 0x1af4,
                                                 .subsystem = 0x1100,
                                                 .class_code = 0x060000};
    struct pci_host *h = calloc(1, sizeof(*h));
    int error;

    if (!h) {
        return -ENOMEM;
    }
    h->device = (struct device){.name = "pci",
                                .block = h,
                                .block_bytes = sizeof(*h),
                                .state = {{fields, h}, {pci_function_fields, &h->bridge}},
                                .loaded = loaded,
                                .reset = reset,
                                .destroy = destroy};
    h->slot = *slot;
    h->config = *config;
    h->bus = (struct pci_bus){.slot = &h->slot, .fabric = config->fabric, .mem = config->mem};
    for (unsigned i = 0; i < PCI_LINES; i++) {
        h->bus.lines[i] = config->lines[i];
    }
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), h);
    if (error) {
        free(h);
        return error;
    }
    pci_function_init(&h->bridge, "pci host bridge", &bridge_ops, &identity);
    pci_attach(&h->bus, &h->bridge); /* an empty bus has room */
    *device = &h->device;
    return 0;
}
