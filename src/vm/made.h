/*
 * made.h - what a machine is made of, in a form that outlives its configuration: so much of a
 * snapshot says how to make the machine that the rest is read into.
 *
 * Files are named by absolute paths, for a snapshot may be restored from anywhere.
 */
#ifndef VM_MADE_H
#define VM_MADE_H

#include <ringer/ringer.h>

#include "base/fields.h"

struct made {
    u64 memory_bytes;
    u32 cpus, device_count;
    bool icount, debug_exit, debug_console, testdev;
    u32 protocol; /* enum ringer_protocol; this and the rest by ringer_load(): for a reset */
    const char *kernel, *initrd, *command_line; /* owned, as are the devices' */
    struct ringer_device *devices;
};

extern const struct field made_fields[]; /* of struct made, without its devices */

/* What a snapshot has of a device's configuration: fields of struct ringer_device.  NULL: a device
 * of that kind cannot be in a snapshot. */
const struct field *made_device_fields(unsigned kind);

/* Copies.  0 or -ENOMEM. */
int made_keep_config(struct made *made, const struct ringer_config *config);
int made_keep_boot(struct made *made, enum ringer_protocol protocol, const char *kernel,
                   const char *initrd, const char *command_line);
void made_destroy(struct made *made);

#endif
