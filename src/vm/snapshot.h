/*
 * snapshot.h - snapshots of a machine: taken between two instructions, with the guest held.
 *
 *      DIR/state     everything but RAM: snapshot_state.h
 *      DIR/memory    RAM: snapshot_memory.h
 *
 * Both are written into a directory beside DIR, ".NAME.partial", made to last, and only then is
 * that given its name.  So DIR is a whole snapshot or not there, whenever this process ends.
 */
#ifndef VM_SNAPSHOT_H
#define VM_SNAPSHOT_H

#include <ringer/ringer.h>

#include "vm/snapshot_state.h"

#define SNAPSHOT_STATE  "state"
#define SNAPSHOT_MEMORY "memory"

/* Part of struct ringer. */
struct snapshot_order {
    bool wanted; /* ringer_snapshot_take() has been called, done() not yet */
    bool taking; /* ... and it is being carried out: the guest is held */
    bool replace;
    char *directory; /* owned */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes);
    void (*done)(void *context, int error, const char *line);
    void *context;
};

/* From the board's loop: carry out the order. */
void snapshot_serve(struct ringer *machine);

/* The machine goes, and the order with it. */
void snapshot_cancel(struct ringer *machine);

/* A snapshot that has been opened, to be restored. */
struct ringer_snapshot {
    char *directory;
    int memory_fd;
    u8 *bytes;                    /* of "state" */
    struct field_reader sections; /* at what comes after the description */
    struct snapshot_description description;
};

/* A machine is being made by it, and has no vCPU process yet: its RAM will be brought as it is
 * needed.  On virtual time it is all brought by snapshot_restore() instead.  0 or -errno. */
int snapshot_prepare(struct ringer *machine, const struct ringer_snapshot *snapshot);

/* Into a machine that has been made by it, and whose vCPUs are held.  0 or -errno with the reason
 * in ringer_error(). */
int snapshot_restore(struct ringer *machine, const struct ringer_snapshot *snapshot);

#endif
