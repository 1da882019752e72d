/*
 * sync.h - virtual time (--icount) as the board sees it.
 *
 * The board has no clock of its own: the time is that of the vCPU's last message, and while the
 * vCPU runs on, nothing happens on the board.  A vCPU comes to a SYNC when a device timer is due,
 * and at least every millisecond; only then may input come in.  A halted vCPU's SYNC takes as long
 * as the host needs to reach the next event, which then happens at exactly its time.
 */
#ifndef VM_SYNC_H
#define VM_SYNC_H

#include "bus/ring.h"

struct ringer;

/* The vCPU's time: device timers that are due by then fire. */
void sync_set_time(struct ringer *machine, u64 time_ns);

/* Tell the vCPU when the board's next event is; before every answer. */
void sync_publish(struct ringer *machine);

/* A SYNC message has come: it is pending until sync_end(). */
void sync_begin(struct ringer *machine, const struct ring_message *message);

/* Let input in; then answer, unless the vCPU is halted and still has nothing to do. */
void sync_serve(struct ringer *machine);

/* The vCPU is held, perhaps by itself: it comes to no SYNC, so what input has waited for one is let
 * in now. */
void sync_serve_held(struct ringer *machine);

/* Is the pending one to be answered without waiting for the host's time? */
bool sync_is_due(struct ringer *machine);

/* Answer the pending one now. */
void sync_end(struct ringer *machine);

/* When the pending one is to be looked at again, on the host's monotonic clock; or TIMER_NEVER. */
u64 sync_wake_host_ns(const struct ringer *machine);

#endif
