/*
 * snapshot_state.h - a machine as the sections of a snapshot's state, and back.
 *
 *      machine/0          what it is made of (made.h)
 *      configuration/N    its PCI devices, and what their disks were
 *      memory/0           the pieces of the file "memory"
 *      board/0            time, and what else is the board's own
 *      cpu/N, inbox/N     the vCPUs
 *      keyboard/0         what has been typed, but not yet read
 *      NAME/N             the devices, each by what its struct device says: those of the PC by
 *                         their slots, then those on the PCI bus
 */
#ifndef VM_SNAPSHOT_STATE_H
#define VM_SNAPSHOT_STATE_H

#include "vm/made.h"
#include "vm/snapshot_memory.h"

struct disk_identity; /* disk.h */

/* What of a snapshot is known before there is a machine. */
struct snapshot_description {
    struct made made; /* its texts lie in the file's bytes */
    struct ringer_device *devices;
    struct disk_identity *disks; /* one for each device, zeros where it is no disk */
    struct memory_pieces memory;
};

/* The machine is held, its devices are settled.  The bytes are the caller's to free.  0 or
 * -errno. */
int state_save(struct ringer *machine, const struct memory_pieces *memory, u8 **bytes, u64 *size);

/* NULL, or the name of a device that hinders a snapshot. */
const char *state_hindrance(const struct ringer *machine);

/* The sections that describe the machine, with disks one for each device; and back, from a checked
 * file's.  False with an error in them.  snapshot_description.c */
void state_save_description(const struct made *made, const struct disk_identity *disks,
                            const struct memory_pieces *memory, struct field_writer *writer);
bool state_load_description(struct snapshot_description *description,
                            struct field_reader *sections);
void state_description_destroy(struct snapshot_description *description);

/* Read the rest into a machine that was made by it, and is held.  RAM has been read.  False with an
 * error in sections. */
bool state_load(struct ringer *machine, struct field_reader *sections);

#endif
