/*
 * timer.h - one-shot timers in one queue, on whatever clock the owner of the queue has.
 *
 * The board has one queue for all its devices.  In real time its clock is CLOCK_MONOTONIC; under
 * --icount it is the guest's instruction count.  A device cannot tell which.  Not thread-safe: the
 * board's event loop is the only caller.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/types.h"

#define TIMER_NEVER UINT64_MAX

struct timer {
    struct timer_queue *queue;
    struct timer *next; /* in the queue, by deadline; meaningful while armed */
    u64 deadline_ns;
    void (*fire)(void *arg);
    void *arg;
    u64 armed_in_run; /* queue->run when it was armed */
    bool armed;
};

struct timer_queue {
    u64 (*clock_ns)(void *clock); /* monotonic, starts near 0 at power-on */
    void *clock;
    struct timer *first;
    u64 run; /* counts timer_queue_run(): what a callback arms waits for the next one */
};

void timer_init(struct timer *t, struct timer_queue *queue, void (*fire)(void *arg), void *arg);

/* Fire once at deadline_ns on the queue's clock (at the next timer_queue_run() if that is past).
 * Arming an armed timer moves it.  Timers with equal deadlines fire in the order of arming. */
void timer_arm(struct timer *t, u64 deadline_ns);
void timer_cancel(struct timer *t);

/* The first deadline, or TIMER_NEVER. */
u64 timer_queue_next(const struct timer_queue *queue);

/* Fire everything due, in order of deadline; a callback may arm and cancel any timer. */
void timer_queue_run(struct timer_queue *queue);

static inline u64 timer_now(const struct timer_queue *queue)
{
    return queue->clock_ns(queue->clock);
}

#endif
