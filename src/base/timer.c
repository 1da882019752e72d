/*
 * timer.c - the queue of one-shot timers: a list sorted by deadline.
 *
 * A machine has a dozen timers, so a list is quicker than anything cleverer.
 */
#include "base/timer.h"

void timer_init(struct timer *t, struct timer_queue *queue, void (*fire)(void *arg), void *arg)
{
    *t = (struct timer){.queue = queue, .fire = fire, .arg = arg};
}

void timer_cancel(struct timer *t)
{
    struct timer **link;

    if (!t->armed) {
        return;
    }
    for (link = &t->queue->first; *link != t; link = &(*link)->next) {}
    *link = t->next;
    t->next = NULL;
    t->armed = false;
}

void timer_arm(struct timer *t, u64 deadline_ns)
{
    struct timer **link;

    timer_cancel(t);
    t->deadline_ns = deadline_ns;
    t->armed_in_run = t->queue->run;
    for (link = &t->queue->first; *link && (*link)->deadline_ns <= deadline_ns;
         link = &(*link)->next) {}
    t->next = *link;
    *link = t;
    t->armed = true;
}

u64 timer_queue_next(const struct timer_queue *queue)
{
    return queue->first ? queue->first->deadline_ns : TIMER_NEVER;
}

/* The first due timer that was not armed in this very run, or NULL. */
static struct timer *first_due(const struct timer_queue *queue, u64 now_ns)
{
    struct timer *t;

    for (t = queue->first; t && t->deadline_ns <= now_ns; t = t->next) {
        if (t->armed_in_run != queue->run) {
            return t;
        }
    }
    return NULL;
}

void timer_queue_run(struct timer_queue *queue)
{
    u64 now_ns = timer_now(queue);
    struct timer *t;

    queue->run++;
    while ((t = first_due(queue, now_ns)) != NULL) {
        timer_cancel(t);
        t->fire(t->arg);
    }
}
