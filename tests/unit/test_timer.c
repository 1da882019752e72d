/* test_timer.c - the order in which timers fire, and what callbacks may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timer.h"

struct world {
    struct timer_queue queue;
    u64 now_ns;
    struct timer timers[4];
    unsigned order[16], fired;
    u64 rearm_ns;    /* timer 3 arms itself again for this time */
    unsigned cancel; /* and cancels this one */
};

static u64 clock_ns(void *clock)
{
    return ((struct world *)clock)->now_ns;
}

struct tag {
    struct world *world;
    unsigned number;
};

static void fire(void *arg)
{
    struct tag *tag = arg;
    struct world *w = tag->world;

    w->order[w->fired++ % 16] = tag->number;
    if (tag->number == 3) {
        timer_cancel(&w->timers[w->cancel]);
        timer_arm(&w->timers[3], w->rearm_ns);
    }
}

static void init(struct world *w, struct tag tags[4])
{
    unsigned i;

    *w = (struct world){.queue = {.clock_ns = clock_ns, .clock = w}, .cancel = 3};
    for (i = 0; i < 4; i++) {
        tags[i] = (struct tag){w, i};
        timer_init(&w->timers[i], &w->queue, fire, &tags[i]);
    }
}

static void fires_in_order_of_deadline(void **state)
{
    struct world w;
    struct tag tags[4];

    (void)state;
    init(&w, tags);
    assert_int_equal(timer_queue_next(&w.queue), TIMER_NEVER);
    timer_arm(&w.timers[0], 30);
    timer_arm(&w.timers[1], 10);
    timer_arm(&w.timers[2], 30);
    assert_int_equal(timer_queue_next(&w.queue), 10);
    w.now_ns = 9;
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 0);
    w.now_ns = 30;
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 3);
    assert_int_equal(w.order[0], 1);
    assert_int_equal(w.order[1], 0); /* equal deadlines: in the order of arming */
    assert_int_equal(w.order[2], 2);
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 3);
    assert_false(w.timers[0].armed);
}

static void arming_moves_and_cancel_stops(void **state)
{
    struct world w;
    struct tag tags[4];

    (void)state;
    init(&w, tags);
    timer_arm(&w.timers[0], 10);
    timer_arm(&w.timers[1], 20);
    timer_arm(&w.timers[0], 40);
    timer_cancel(&w.timers[1]);
    timer_cancel(&w.timers[1]); /* harmless */
    timer_cancel(&w.timers[2]); /* never armed */
    assert_int_equal(timer_queue_next(&w.queue), 40);
    w.now_ns = 39;
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 0);
    w.now_ns = 100;
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 1);
    assert_int_equal(w.order[0], 0);
}

static void a_callback_arms_for_the_next_run(void **state)
{
    struct world w;
    struct tag tags[4];

    (void)state;
    init(&w, tags);
    w.now_ns = 50;
    w.rearm_ns = 1; /* long past */
    timer_arm(&w.timers[3], 5);
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 1); /* and it has ended */
    assert_int_equal(timer_queue_next(&w.queue), 1);
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 2);
}

static void a_callback_cancels_a_due_timer(void **state)
{
    struct world w;
    struct tag tags[4];

    (void)state;
    init(&w, tags);
    w.cancel = 1;
    w.rearm_ns = 1000;
    timer_arm(&w.timers[3], 5);
    timer_arm(&w.timers[1], 6);
    timer_arm(&w.timers[2], 7);
    w.now_ns = 10;
    timer_queue_run(&w.queue);
    assert_int_equal(w.fired, 2);
    assert_int_equal(w.order[0], 3);
    assert_int_equal(w.order[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order_of_deadline),
        cmocka_unit_test(arming_moves_and_cancel_stops),
        cmocka_unit_test(a_callback_arms_for_the_next_run),
        cmocka_unit_test(a_callback_cancels_a_due_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
