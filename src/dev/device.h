/*
 * device.h - what a device is plugged into.
 *
 * A device is one file with one exported constructor.  The constructor adds its regions to the map,
 * and gives back a struct device by which the machine resets and destroys it.  A device knows the
 * bus, the clock and its own lines; never a CPU or an engine.
 */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include "base/timer.h"
#include "bus/a20.h"
#include "bus/irq.h"
#include "bus/region.h"

enum power_event {
    POWER_OFF,        /* ACPI S5 */
    POWER_RESET,      /* i8042, ACPI reset register, port 0xcf9, port 0x92 */
    POWER_DEBUG_EXIT, /* isa-debug-exit; code is what the guest wrote */
};

/* The slot: everything that the machine lends to a device.  Outlives the device. */
struct slot {
    struct bus_map *bus;
    struct timer_queue *timers;
    struct a20_gate *a20;
    void (*power)(void *context, enum power_event event, u32 code);
    void *power_context;
    void (*log)(void *context, const char *line); /* a line for the user; NULL: nobody wants it */
    void *log_context;
};

struct device {
    const char *name;
    void *block; /* all that changes of the device lies in this memory, and no I/O is under way; */
    size_t block_bytes; /* NULL: not so, and the machine cannot be taken back (vm/checkpoint.h) */
    void (*reset)(struct device *device);   /* to its power-on state; lines low */
    void (*destroy)(struct device *device); /* frees; removes its regions from the map */
};

/* Add all of the regions, with device as theirs: 0, or -errno and none of them added. */
int device_add_regions(const struct slot *slot, const struct bus_region *regions, unsigned count,
                       void *device);
void device_remove_regions(const struct slot *slot, const struct bus_region *regions,
                           unsigned count);

/* Tell the user.  What a guest can cause again and again is told only a few times. */
void device_log(const struct slot *slot, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static inline void device_destroy(struct device *device)
{
    if (device) {
        device->destroy(device);
    }
}

#endif
