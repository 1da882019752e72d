/*
 * debug_exit.c - port F4, 1 to 4 bytes: what is written is POWER_DEBUG_EXIT's code.
 *
 * As QEMU's isa-debug-exit with iobase=0xf4, iosize=4.  Reads give 0.
 */
#include "dev/debug_exit.h"

#include <errno.h>
#include <stdlib.h>

struct debug_exit {
    struct device device;
    struct slot slot;
};

static u64 port_read(void *device, u64 offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void port_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct debug_exit *d = device;

    (void)offset;
    (void)size;
    d->slot.power(d->slot.power_context, POWER_DEBUG_EXIT, (u32)value);
}

static const struct bus_region_ops port_ops = {port_read, port_write, 1, 4};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = DEBUG_EXIT_PORT, .size = 4, .ops = &port_ops, .name = "debug exit"},
};

static void reset(struct device *device)
{
    (void)device; /* no state */
}

static void destroy(struct device *device)
{
    struct debug_exit *d = container_of(device, struct debug_exit, device);

    device_remove_regions(&d->slot, regions, ARRAY_SIZE(regions));
    free(d);
}

int debug_exit_create(const struct slot *slot, struct device **device)
{
    struct debug_exit *d = calloc(1, sizeof(*d));
    int error;

    if (!d) {
        return -ENOMEM;
    }
    d->device = (struct device){.name = "debug exit",
                                .block = d,
                                .block_bytes = sizeof(*d),
                                .state = {{fields_none, d}},
                                .reset = reset,
                                .destroy = destroy};
    d->slot = *slot;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), d);
    if (error) {
        free(d);
        return error;
    }
    *device = &d->device;
    return 0;
}
