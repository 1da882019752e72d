/*
 * dma8237.c - the registers of a PC's two 8237A DMA controllers and its page registers.
 *
 *      port 00..0F  channels 0 to 3, a byte apart     port C0..DF  channels 4 to 7, two apart
 *      port 80..8F  page registers; 80 is not used by a channel, and shows power-on test codes
 *
 *      0-7  address and count of each channel, low byte then high byte
 *      8  status, command    9  request    A  one mask bit    B  mode
 *      C  clear flip-flop    D  temporary, master clear       E  clear mask    F  all mask bits
 *
 * Intel, "8237A High Performance Programmable DMA Controller".
 *
 * LIMIT: the registers read back what a driver wrote, but no device here requests a transfer, so
 * none is ever done.
 */
#include "dev/dma8237.h"

#include <errno.h>
#include <stdlib.h>

struct controller {
    u16 base[8], current[8]; /* address, count of channel 0, then of 1, ... */
    u8 mode[4];
    u8 command, mask;
    bool high; /* the flip-flop */
};

struct dma {
    struct device device;
    struct slot slot;
    struct controller controllers[2];
    u8 pages[16];
};

static struct dma *from_device(struct device *device)
{
    return container_of(device, struct dma, device);
}

static void clear(struct controller *c)
{
    c->command = 0;
    c->mask = 0x0f;
    c->high = false;
}

static u8 controller_read(struct controller *c, unsigned n)
{
    u16 value;

    if (n >= 8) { /* status: no requests, no terminal counts; the rest: write-only */
        return n == 0x0f ? 0xf0 | c->mask : 0;
    }
    value = c->current[n];
    c->high = !c->high;
    return (u8)(c->high ? value : value >> 8);
}

static void write_word(struct controller *c, unsigned n, u8 value)
{
    u16 base = c->base[n];

    base = c->high ? (base & 0x00ff) | value << 8 : (base & 0xff00) | value;
    c->base[n] = c->current[n] = base;
    c->high = !c->high;
}

static void controller_write(struct controller *c, unsigned n, u8 value)
{
    unsigned channel = value & 3;

    switch (n) {
    case 0x08:
        c->command = value;
        break;
    case 0x09: /* a software request has no one to serve */
        break;
    case 0x0a:
        c->mask = value & 4 ? c->mask | 1 << channel : c->mask & ~(1 << channel);
        break;
    case 0x0b:
        c->mode[channel] = value;
        break;
    case 0x0c:
        c->high = false;
        break;
    case 0x0d:
        clear(c);
        break;
    case 0x0e:
        c->mask = 0;
        break;
    case 0x0f:
        c->mask = value & 0x0f;
        break;
    default:
        write_word(c, n, value);
        break;
    }
}

static u64 first_read(void *device, u64 offset, unsigned size)
{
    struct dma *d = device;
    (void)size;
    return controller_read(&d->controllers[0], (unsigned)offset);
}

static void first_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct dma *d = device;
    (void)size;
    controller_write(&d->controllers[0], (unsigned)offset, (u8)value);
}

static u64 second_read(void *device, u64 offset, unsigned size)
{
    struct dma *d = device;
    (void)size;
    return controller_read(&d->controllers[1], (unsigned)offset / 2);
}

static void second_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct dma *d = device;
    (void)size;
    controller_write(&d->controllers[1], (unsigned)offset / 2, (u8)value);
}

static u64 page_read(void *device, u64 offset, unsigned size)
{
    struct dma *d = device;
    (void)size;
    return d->pages[offset];
}

static void page_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct dma *d = device;
    (void)size;
    d->pages[offset] = (u8)value;
}

u8 dma8237_post_code(struct device *device)
{
    return from_device(device)->pages[0];
}

static const struct bus_region_ops first_ops = {first_read, first_write, 1, 1};
static const struct bus_region_ops second_ops = {second_read, second_write, 1, 1};
static const struct bus_region_ops page_ops = {page_read, page_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x00, .size = 16, .ops = &first_ops, .name = "dma8237 first"},
    {.space = BUS_PIO, .base = 0xc0, .size = 32, .ops = &second_ops, .name = "dma8237 second"},
    {.space = BUS_PIO, .base = 0x80, .size = 16, .ops = &page_ops, .name = "dma pages"},
};

static void reset(struct device *device)
{
    struct dma *d = from_device(device);
    unsigned i;

    for (i = 0; i < 2; i++) {
        d->controllers[i] = (struct controller){0};
        clear(&d->controllers[i]);
    }
    for (i = 0; i < ARRAY_SIZE(d->pages); i++) {
        d->pages[i] = 0;
    }
}

static void destroy(struct device *device)
{
    struct dma *d = from_device(device);

    device_remove_regions(&d->slot, regions, ARRAY_SIZE(regions));
    free(d);
}

static const struct field fields[] = {
    FIELD_ARRAY(struct dma, controllers[0].base),
    FIELD_ARRAY(struct dma, controllers[0].current),
    FIELD_ARRAY(struct dma, controllers[0].mode),
    FIELD(struct dma, controllers[0].command),
    FIELD(struct dma, controllers[0].mask),
    FIELD(struct dma, controllers[0].high),
    FIELD_ARRAY(struct dma, controllers[1].base),
    FIELD_ARRAY(struct dma, controllers[1].current),
    FIELD_ARRAY(struct dma, controllers[1].mode),
    FIELD(struct dma, controllers[1].command),
    FIELD(struct dma, controllers[1].mask),
    FIELD(struct dma, controllers[1].high),
    FIELD_ARRAY(struct dma, pages),
    FIELDS_END,
};

int dma8237_create(const struct slot *slot, struct device **device)
{
    struct dma *d = calloc(1, sizeof(*d));
    int error;

    if (!d) {
        return -ENOMEM;
    }
    d->device = (struct device){.name = "dma8237",
                                .block = d,
                                .block_bytes = sizeof(*d),
                                .state = {{fields, d}},
                                .reset = reset,
                                .destroy = destroy};
    d->slot = *slot;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), d);
    if (error) {
        free(d);
        return error;
    }
    reset(&d->device);
    *device = &d->device;
    return 0;
}
