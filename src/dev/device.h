/*
 * device.h - what a device is plugged into.
 *
 * A device is one file with one exported constructor.  The constructor adds its regions to the map,
 * and gives back a struct device by which the machine resets and destroys it.  A device knows the
 * bus, the clock and its own lines; never a CPU or an engine.
 */
#ifndef DEV_DEVICE_H
#define DEV_DEVICE_H

#include "base/fields.h"
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

/* What a snapshot keeps of a device: the fields of one or more of its structures. */
#define DEVICE_PARTS 3

struct device_part {
    const struct field *fields;
    void *base; /* of the structure that they are in */
};

struct device {
    const char *name;
    void *block; /* all that changes of the device lies in this memory, and no I/O is under way; */
    size_t block_bytes; /* NULL: not so, and the machine cannot be taken back (vm/checkpoint.h) */
    struct device_part state[DEVICE_PARTS]; /* none: it cannot be in a snapshot */
    u32 state_version;                      /* raised when the same fields mean something else */
    /* Before it is saved; optional: wait until no I/O is under way.  NULL, or why that cannot be.
     */
    const char *(*settle)(struct device *device);
    /* Its fields have been read into a device that was just made; optional: check what they must be
     * to each other, and do what follows from them.  False where they cannot be. */
    bool (*loaded)(struct device *device);
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

/* Can it be in a snapshot at all? */
static inline bool device_has_state(const struct device *device)
{
    return device->state[0].fields != NULL;
}

/* Write its state, and read it into another of the same kind, which has just been made.  False with
 * an error in the reader. */
void device_save(const struct device *device, struct field_writer *writer);
bool device_load(struct device *device, struct field_reader *reader);

static inline void device_destroy(struct device *device)
{
    if (device) {
        device->destroy(device);
    }
}

#endif
