/*
 * board.h - the board at work: serves the vCPUs' messages, runs device timers, and sleeps in the
 * event loop while there is nothing to do.
 */
#ifndef VM_BOARD_H
#define VM_BOARD_H

#include "base/types.h"

struct ringer;

/* The event loop with what belongs to it.  0 or -errno. */
int board_create(struct ringer *machine);
void board_destroy(struct ringer *machine);

/* Run until machine_is_done() or ringer_stop(). */
void board_run(struct ringer *machine);

/* --icount: serve messages until the vCPU waits at a SYNC, or the machine has ended. */
void board_reach_sync(struct ringer *machine);

/* Serve messages until all vCPUs are held or gone; nothing else is looked at.  0 or -errno. */
int board_wait_held(struct ringer *machine);

/* The vCPUs are held: serve what they have posted before.  0, or -EIO where the machine has ended.
 */
int board_serve_rest(struct ringer *machine);

/* Have the loop go round once more. */
void board_wake(struct ringer *machine);

/* Send what the guest has written to serial ports and to the trace. */
void board_flush(struct ringer *machine);

/* The machine stops: the same, and whoever takes it slowly is waited for. */
void board_finish(struct ringer *machine);

#endif
