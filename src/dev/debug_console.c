/*
 * debug_console.c - port E9: each byte written is a character of output; reads give E9, by which a
 * guest knows that the console is there.
 *
 * Bochs, "The configuration file bochsrc", port_e9_hack.
 */
#include "dev/debug_console.h"

#include <errno.h>
#include <stdlib.h>

struct debug_console {
    struct device device;
    struct slot slot;
    struct debug_console_config config;
};

static u64 port_read(void *device, u64 offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return DEBUG_CONSOLE_PORT;
}

static void port_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct debug_console *d = device;
    u8 byte = (u8)value;

    (void)offset;
    (void)size;
    if (d->config.ops && d->config.ops->transmit) {
        d->config.ops->transmit(d->config.context, &byte, 1);
    }
}

static const struct bus_region_ops port_ops = {port_read, port_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO,
     .base = DEBUG_CONSOLE_PORT,
     .size = 1,
     .ops = &port_ops,
     .name = "debug console"},
};

static void reset(struct device *device)
{
    (void)device; /* no state */
}

static void destroy(struct device *device)
{
    struct debug_console *d = container_of(device, struct debug_console, device);

    device_remove_regions(&d->slot, regions, ARRAY_SIZE(regions));
    free(d);
}

int debug_console_create(const struct slot *slot, const struct debug_console_config *config,
                         struct device **device)
{
    struct debug_console *d = calloc(1, sizeof(*d));
    int error;

    if (!d) {
        return -ENOMEM;
    }
    d->device = (struct device){.name = "debug console",
                                .block = d,
                                .block_bytes = sizeof(*d),
                                .state = {{fields_none, d}},
                                .reset = reset,
                                .destroy = destroy};
    d->slot = *slot;
    d->config = *config;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), d);
    if (error) {
        free(d);
        return error;
    }
    *device = &d->device;
    return 0;
}
