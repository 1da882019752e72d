/* test_ring.c - the message ring, with a thread for the vCPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bus/ring.h"

struct both {
    struct ring ring;
    struct ring_bell bell;
    struct ring_host host;
    _Atomic unsigned kicks, waits, wakes;
    unsigned count; /* messages that the thread sends */
    u64 sum;        /* of the answers it got */
};

static void kick(void *context)
{
    atomic_fetch_add(&((struct both *)context)->kicks, 1);
}

static void wait(void *context, _Atomic u32 *futex, u32 value)
{
    atomic_fetch_add(&((struct both *)context)->waits, 1);
    while (atomic_load(futex) == value) {
        sched_yield();
    }
}

static void wake(void *context, _Atomic u32 *futex)
{
    (void)futex;
    atomic_fetch_add(&((struct both *)context)->wakes, 1);
}

static int set_up(void **state)
{
    struct both *b = aligned_alloc(64, (sizeof(*b) + 63) & ~63ul);

    memset(b, 0, sizeof(*b));
    b->host = (struct ring_host){
        .bell = &b->bell, .kick = kick, .wait = wait, .wake = wake, .context = b};
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void test_messages_keep_their_order(void **state)
{
    struct both *b = *state;
    struct ring_message m;

    for (u64 i = 0; i < RING_SLOTS; i++) {
        ring_post(&b->ring, &b->host, &(struct ring_message){.kind = RING_WRITE, .value = i});
    }
    for (u64 i = 0; i < RING_SLOTS; i++) {
        assert_true(ring_has_message(&b->ring));
        assert_true(ring_take(&b->ring, &b->host, &m));
        assert_int_equal(m.value, i);
        assert_false(m.wants_reply);
    }
    assert_false(ring_has_message(&b->ring));
    assert_false(ring_take(&b->ring, &b->host, &m));
    assert_int_equal(b->waits, 0);
}

static void test_kick_only_while_asleep(void **state)
{
    struct both *b = *state;
    struct ring_message m = {.kind = RING_EOI};

    ring_post(&b->ring, &b->host, &m);
    assert_int_equal(b->kicks, 0);
    atomic_store(&b->bell.asleep, 1);
    ring_post(&b->ring, &b->host, &m);
    ring_post(&b->ring, &b->host, &m);
    assert_int_equal(b->kicks, 1);
    assert_int_equal(atomic_load(&b->bell.asleep), 0);
}

static void *post_many(void *argument)
{
    struct both *b = argument;

    for (u64 i = 0; i < b->count; i++) {
        ring_post(&b->ring, &b->host, &(struct ring_message){.kind = RING_WRITE, .value = i});
    }
    return NULL;
}

static void test_full_ring_waits_and_loses_nothing(void **state)
{
    struct both *b = *state;
    struct ring_message m;
    pthread_t thread;

    b->count = 10 * RING_SLOTS;
    assert_int_equal(pthread_create(&thread, NULL, post_many, b), 0);
    while (atomic_load(&b->waits) == 0) { /* until it is full */
        sched_yield();
    }
    for (u64 i = 0; i < b->count;) {
        if (ring_take(&b->ring, &b->host, &m)) {
            assert_int_equal(m.value, i++);
        }
    }
    pthread_join(thread, NULL);
    assert_true(b->wakes > 0);
}

/* Posted writes before each read. */
static void *call_many(void *argument)
{
    struct both *b = argument;

    for (u64 i = 0; i < b->count; i++) {
        ring_post(&b->ring, &b->host, &(struct ring_message){.kind = RING_WRITE, .value = i});
        b->sum += ring_call(&b->ring, &b->host, &(struct ring_message){.kind = RING_READ});
    }
    return NULL;
}

static void run_calls(struct both *b)
{
    struct ring_message m;
    pthread_t thread;
    u64 written = 0, expected = 0;

    b->count = 2000;
    assert_int_equal(pthread_create(&thread, NULL, call_many, b), 0);
    for (unsigned reads = 0; reads < b->count;) {
        if (!ring_take(&b->ring, &b->host, &m)) {
            sched_yield();
        } else if (m.kind == RING_WRITE) {
            written = m.value;
        } else {
            assert_true(m.wants_reply);
            assert_int_equal(written, reads); /* the write came first */
            ring_reply(&b->ring, &b->host, written * 3);
            expected += written * 3;
            reads++;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(b->sum, expected);
}

static void test_calls_that_sleep(void **state)
{
    run_calls(*state);
}

static void test_calls_that_spin(void **state)
{
    struct both *b = *state;

    b->host.spin_ticks = 1ull << 40;
    run_calls(b);
    assert_int_equal(b->waits, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kick_only_while_asleep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_ring_waits_and_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_that_sleep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_that_spin, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
