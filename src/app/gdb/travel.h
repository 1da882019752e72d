/*
 * travel.h - back in a replay: to an instruction, and to the last stop before one.
 *
 * The machine is taken back to a checkpoint and runs on from there, which in a replay is the same
 * run again.  The first checkpoint is the beginning of history; more are taken as the machine goes
 * on, and one shortly before each place to which it was taken back, for the next such place is
 * mostly near.  When there are too many, the one that its neighbours miss the least is dropped.
 *
 * The last stop before an instruction is found by running towards it from the nearest checkpoint
 * with all breakpoints set, and noting each stop; if there is none, from the checkpoint before.
 */
#ifndef APP_GDB_TRAVEL_H
#define APP_GDB_TRAVEL_H

#include <ringer/ringer.h>

#define GDB_CHECKPOINTS 16

struct gdb_travel {
    struct ringer *machine;
    struct ringer_checkpoint *kept[GDB_CHECKPOINTS]; /* by instructions, ascending */
    unsigned count;
    volatile bool cancelled; /* the search is to end where it is */
    bool found;              /* by the search under way: the last stop, ... */
    struct ringer_stop last; /* ... which was this one */
};

/* A machine that has just been made, whose history begins here.  -ENOTSUP where it cannot be taken
 * back. */
int gdb_travel_begin(struct gdb_travel *travel, struct ringer *machine);
void gdb_travel_end(struct gdb_travel *travel);

/* The instruction at which the next checkpoint is due; and take it, with the machine there. */
uint64_t gdb_travel_next(const struct gdb_travel *travel);
int gdb_travel_pass(struct gdb_travel *travel);

/* How many instructions have been executed: where the machine is. */
uint64_t gdb_travel_position(const struct gdb_travel *travel);

/* Where history begins. */
uint64_t gdb_travel_start(const struct gdb_travel *travel);

/* Take the machine to that instruction, or to history's beginning if that is later.  It must have
 * no breakpoints and stay so.  0 or -errno. */
int gdb_travel_to(struct gdb_travel *travel, uint64_t instructions);

/* Find the last stop before that instruction; travel->found and last say which.  The machine is
 * somewhere afterwards.  0 or -errno. */
int gdb_travel_search(struct gdb_travel *travel, uint64_t before);

/* From a callback: end the search or the journey under way. */
void gdb_travel_cancel(struct gdb_travel *travel);

#endif
