/*
 * ioapic.c - the 82093AA I/O APIC with the EOI register of later ones (version 20h).
 *
 *      base + 00   IOREGSEL        base + 10   IOWIN        base + 40   EOI
 *
 *      register 00  ID (27-24)     01  version, last pin    02  arbitration ID
 *      10 + 2n, 11 + 2n            redirection entry n:
 *
 *       63..56   16    15     14         13        12      11        10..8     7..0
 *       dest     mask  level  remoteIRR  polarity  status  logical   delivery  vector
 *
 * Intel, "82093AA I/O Advanced Programmable Interrupt Controller"; Intel, "I/O Controller Hub 9
 * Family Datasheet", "Advanced Programmable Interrupt Controller (APIC)", for the EOI register.
 *
 * LIMIT: a line is asserted or not; the polarity bit is kept and means nothing.  A guest that sets
 * another polarity than the ACPI tables say still gets its interrupts.
 */
#include "dev/ioapic.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    IOREGSEL = 0x00,
    IOWIN = 0x10,
    EOI = 0x40,
    REGISTER_ID = 0x00,
    REGISTER_VERSION = 0x01,
    REGISTER_ARBITRATION = 0x02,
    REGISTER_ENTRIES = 0x10,
    VERSION = 0x20,
    REGION_SIZE = 0x1000,
};

#define ENTRY_VECTOR    0xffull
#define ENTRY_LOGICAL   BIT(11)
#define ENTRY_STATUS    BIT(12)
#define ENTRY_REMOTEIRR BIT(14)
#define ENTRY_LEVEL     BIT(15)
#define ENTRY_MASKED    BIT(16)
#define ENTRY_WRITABLE  (0xff0000000001ffffull & ~(ENTRY_STATUS | ENTRY_REMOTEIRR))

struct ioapic {
    struct device device;
    struct slot slot;
    const struct interrupt_fabric *fabric;
    gpa_t base;
    u8 config_id;
    u8 id, select;
    u32 lines; /* levels of the pins */
    u64 entries[IOAPIC_PINS];
};

static struct ioapic *from_device(struct device *device)
{
    return container_of(device, struct ioapic, device);
}

static bool deliver(struct ioapic *io, u64 entry)
{
    struct interrupt_message m = {
        .dest = (u32)(entry >> 56),
        .dest_logical = entry & ENTRY_LOGICAL,
        .level = entry & ENTRY_LEVEL,
        .vector = entry & ENTRY_VECTOR,
        .delivery = bits_get(entry, 8, 3),
        .shorthand = INTERRUPT_TO_DEST,
    };

    return interrupt_send(io->fabric, &m) > 0;
}

static bool has_remote_irr(u64 entry)
{
    unsigned delivery = bits_get(entry, 8, 3);
    return delivery == INTERRUPT_FIXED || delivery == INTERRUPT_LOWEST;
}

/* Send a level-triggered pin's interrupt if it is due.  Where no APIC takes it, it stays due. */
static void serve_level(struct ioapic *io, unsigned pin)
{
    u64 entry = io->entries[pin];

    if (!(io->lines & BIT(pin)) || !(entry & ENTRY_LEVEL) ||
        entry & (ENTRY_MASKED | ENTRY_REMOTEIRR)) {
        return;
    }
    if (deliver(io, entry) && has_remote_irr(entry)) {
        io->entries[pin] |= ENTRY_REMOTEIRR;
    }
}

/* An edge at a masked pin is lost, as the 82093AA says. */
static void set_pin(void *context, unsigned pin, bool level)
{
    struct ioapic *io = context;
    bool rises = level && !(io->lines & BIT(pin));

    if (!level) {
        io->lines &= ~BIT(pin);
        return;
    }
    io->lines |= BIT(pin);
    if (io->entries[pin] & ENTRY_LEVEL) {
        serve_level(io, pin);
    } else if (rises && !(io->entries[pin] & ENTRY_MASKED)) {
        deliver(io, io->entries[pin]);
    }
}

/* Where an invalid pin's line leads. */
static void set_nothing(void *context, unsigned pin, bool level)
{
    (void)context;
    (void)pin;
    (void)level;
}

struct irq ioapic_irq(struct device *device, unsigned pin)
{
    return (struct irq){.set = pin < IOAPIC_PINS ? set_pin : set_nothing,
                        .context = from_device(device),
                        .number = pin};
}

void ioapic_eoi(struct device *device, u8 vector)
{
    struct ioapic *io = from_device(device);
    unsigned pin;

    for (pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 entry = io->entries[pin];
        if (entry & ENTRY_LEVEL && entry & ENTRY_REMOTEIRR && (entry & ENTRY_VECTOR) == vector) {
            io->entries[pin] &= ~ENTRY_REMOTEIRR;
            serve_level(io, pin);
        }
    }
}

static u32 read_window(const struct ioapic *io)
{
    unsigned pin = (io->select - REGISTER_ENTRIES) / 2u;

    switch (io->select) {
    case REGISTER_ID:
    case REGISTER_ARBITRATION:
        return (u32)io->id << 24;
    case REGISTER_VERSION:
        return (IOAPIC_PINS - 1) << 16 | VERSION;
    default:
        break;
    }
    if (io->select < REGISTER_ENTRIES || pin >= IOAPIC_PINS) {
        return 0;
    }
    return (u32)(io->entries[pin] >> (io->select & 1 ? 32 : 0));
}

static void write_entry(struct ioapic *io, unsigned pin, bool high, u32 value)
{
    u64 entry = io->entries[pin];
    u64 changes = high ? 0xffffffff00000000ull : 0xffffffffull;

    changes &= ENTRY_WRITABLE;
    entry = (entry & ~changes) | (((u64)value << (high ? 32 : 0)) & changes);
    if (!(entry & ENTRY_LEVEL)) {
        entry &= ~ENTRY_REMOTEIRR;
    }
    io->entries[pin] = entry;
    serve_level(io, pin);
}

static void write_window(struct ioapic *io, u32 value)
{
    unsigned pin = (io->select - REGISTER_ENTRIES) / 2u;

    if (io->select == REGISTER_ID) {
        io->id = value >> 24 & 15;
    } else if (io->select >= REGISTER_ENTRIES && pin < IOAPIC_PINS) {
        write_entry(io, pin, io->select & 1, value);
    }
}

static u64 mmio_read(void *device, u64 offset, unsigned size)
{
    struct ioapic *io = device;

    (void)size;
    switch (offset) {
    case IOREGSEL:
        return io->select;
    case IOWIN:
        return read_window(io);
    default:
        return 0;
    }
}

static void mmio_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct ioapic *io = device;

    (void)size;
    switch (offset) {
    case IOREGSEL:
        io->select = (u8)value;
        break;
    case IOWIN:
        write_window(io, (u32)value);
        break;
    case EOI:
        ioapic_eoi(&io->device, (u8)value);
        break;
    default:
        break;
    }
}

static const struct bus_region_ops mmio_ops = {mmio_read, mmio_write, 4, 4};

static struct bus_region region(const struct ioapic *io)
{
    return (struct bus_region){.space = BUS_MMIO,
                               .base = io->base,
                               .size = REGION_SIZE,
                               .ops = &mmio_ops,
                               .name = "ioapic"};
}

/* The pins' levels are other devices' business: they stay. */
static void reset(struct device *device)
{
    struct ioapic *io = from_device(device);
    unsigned pin;

    io->id = io->config_id;
    io->select = 0;
    for (pin = 0; pin < IOAPIC_PINS; pin++) {
        io->entries[pin] = ENTRY_MASKED;
    }
}

static void destroy(struct device *device)
{
    struct ioapic *io = from_device(device);
    struct bus_region r = region(io);

    device_remove_regions(&io->slot, &r, 1);
    free(io);
}

static const struct field fields[] = {
    FIELD(struct ioapic, id),
    FIELD(struct ioapic, select),
    FIELD(struct ioapic, lines),
    FIELD_ARRAY(struct ioapic, entries),
    FIELDS_END,
};

int ioapic_create(const struct slot *slot, const struct ioapic_config *config,
                  struct device **device)
{
    struct ioapic *io = calloc(1, sizeof(*io));
    struct bus_region r;
    int error;

    if (!io) {
        return -ENOMEM;
    }
    io->device = (struct device){.name = "ioapic",
                                 .block = io,
                                 .block_bytes = sizeof(*io),
                                 .state = {{fields, io}},
                                 .reset = reset,
                                 .destroy = destroy};
    io->slot = *slot;
    io->fabric = config->fabric;
    io->base = config->base;
    io->config_id = config->id & 15;
    r = region(io);
    error = device_add_regions(slot, &r, 1, io);
    if (error) {
        free(io);
        return error;
    }
    reset(&io->device);
    *device = &io->device;
    return 0;
}
