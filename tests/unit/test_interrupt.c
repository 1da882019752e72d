/* test_interrupt.c - which inboxes a message reaches, by destination mode, and what it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/interrupt.h"

#define VCPUS 4

static _Atomic u32 *woken[8];
static unsigned wakes;

static void wake(_Atomic u32 *attention)
{
    woken[wakes++ % 8] = attention;
}

struct world {
    struct interrupt_inbox inboxes[VCPUS];
    struct interrupt_fabric fabric;
};

/* Four APICs with IDs 0 to 3, in flat mode with one bit each. */
static void init(struct world *w)
{
    unsigned i;

    *w = (struct world){.fabric = {.count = VCPUS, .wake = wake}};
    w->fabric.inboxes = w->inboxes;
    for (i = 0; i < VCPUS; i++) {
        w->inboxes[i].apic_id = i;
        w->inboxes[i].ldr = 1u << (24 + i);
        w->inboxes[i].dfr = 0xffffffff;
        w->inboxes[i].mode = 1;
    }
    wakes = 0;
}

/* Send, and say as a bit mask who got vector 0x41. */
static unsigned reached(struct world *w, struct interrupt_message m)
{
    unsigned i, mask = 0, sent;

    m.vector = 0x41;
    sent = interrupt_send(&w->fabric, &m);
    for (i = 0; i < VCPUS; i++) {
        if (w->inboxes[i].irr[1] & 2) {
            mask |= 1u << i;
            sent--;
            assert_int_equal(w->inboxes[i].attention, 1);
        }
        w->inboxes[i].irr[1] = 0;
        w->inboxes[i].attention = 0;
    }
    if (m.delivery == INTERRUPT_FIXED) {
        assert_int_equal(sent, 0);
    }
    return mask;
}

#define TO(...) reached(&w, (struct interrupt_message){__VA_ARGS__})

static void physical(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(TO(.dest = 2), 4);
    assert_int_equal(TO(.dest = 7), 0);
    assert_int_equal(TO(.dest = 0xff), 15);
    assert_int_equal(TO(.dest = 0x102), 4); /* 8 bits wide */
    assert_int_equal(TO(.dest = 0xff, .dest_wide = true), 0);
    assert_int_equal(TO(.dest = 0xffffffff, .dest_wide = true), 15);
    w.inboxes[3].mode = 2;
    w.inboxes[3].apic_id = 0x102;
    assert_int_equal(TO(.dest = 0x102, .dest_wide = true), 8);
    assert_int_equal(TO(.dest = 0x102), 4);
    w.inboxes[2].mode = 0; /* disabled: hears nothing */
    assert_int_equal(TO(.dest = 2), 0);
    assert_int_equal(TO(.dest = 0xff), 11);
}

static void logical_flat(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(TO(.dest = 0x05, .dest_logical = true), 5);
    assert_int_equal(TO(.dest = 0x10, .dest_logical = true), 0);
    assert_int_equal(TO(.dest = 0xff, .dest_logical = true), 15);
    assert_int_equal(TO(.dest = 0, .dest_logical = true), 0);
}

static void logical_cluster(void **state)
{
    struct world w;
    unsigned i;

    (void)state;
    init(&w);
    for (i = 0; i < VCPUS; i++) { /* clusters 1 and 2, two CPUs each */
        w.inboxes[i].dfr = 0x0fffffff;
        w.inboxes[i].ldr = ((i / 2 + 1) << 4 | 1u << (i % 2)) << 24;
    }
    assert_int_equal(TO(.dest = 0x12, .dest_logical = true), 2);
    assert_int_equal(TO(.dest = 0x23, .dest_logical = true), 12);
    assert_int_equal(TO(.dest = 0x33, .dest_logical = true), 0);
    assert_int_equal(TO(.dest = 0xff, .dest_logical = true), 15);
    w.inboxes[0].dfr = 0x5fffffff; /* no such model */
    assert_int_equal(TO(.dest = 0x11, .dest_logical = true), 0);
}

static void logical_x2apic(void **state)
{
    struct world w;
    unsigned i;

    (void)state;
    init(&w);
    for (i = 0; i < VCPUS; i++) {
        w.inboxes[i].mode = 2;
        w.inboxes[i].ldr = (i / 2) << 16 | 1u << (i % 2);
    }
    assert_int_equal(TO(.dest = 0x10003, .dest_logical = true, .dest_wide = true), 12);
    assert_int_equal(TO(.dest = 0x00002, .dest_logical = true, .dest_wide = true), 2);
    assert_int_equal(TO(.dest = 0x20001, .dest_logical = true, .dest_wide = true), 0);
    assert_int_equal(TO(.dest = 0xffffffff, .dest_logical = true, .dest_wide = true), 15);
    assert_int_equal(TO(.dest = 0x03, .dest_logical = true), 3); /* an MSI reaches cluster 0 */
}

static void shorthands(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(TO(.shorthand = INTERRUPT_TO_SELF, .source = 1), 2);
    assert_int_equal(TO(.shorthand = INTERRUPT_TO_ALL, .source = 1), 15);
    assert_int_equal(TO(.shorthand = INTERRUPT_TO_OTHERS, .source = 1), 13);
}

static void lowest_picks_one(void **state)
{
    struct world w;
    unsigned i, mask;

    (void)state;
    init(&w);
    mask = TO(.dest = 0x0d, .dest_logical = true, .delivery = INTERRUPT_LOWEST);
    assert_true(mask == 1 || mask == 4 || mask == 8);
    assert_int_equal(TO(.dest = 0x10, .dest_logical = true, .delivery = INTERRUPT_LOWEST), 0);
    for (i = 0, mask = 0; i < 8; i++) { /* different vectors spread */
        struct interrupt_message m = {
            .dest = 0xff, .delivery = INTERRUPT_LOWEST, .vector = (u8)(0x40 + i)};
        assert_int_equal(interrupt_send(&w.fabric, &m), 4);
    }
    for (i = 0; i < VCPUS; i++) {
        assert_int_equal(__builtin_popcountll(w.inboxes[i].irr[1]), 2);
    }
}

static void trigger_mode(void **state)
{
    struct world w;
    struct interrupt_message m = {.dest = 1, .vector = 0xfe, .level = true};

    (void)state;
    init(&w);
    interrupt_send(&w.fabric, &m);
    assert_true(w.inboxes[1].irr[3] == 1ull << 62);
    assert_true(w.inboxes[1].tmr[3] == 1ull << 62);
    m.level = false;
    interrupt_send(&w.fabric, &m);
    assert_true(w.inboxes[1].tmr[3] == 0);
    m.vector = 15; /* illegal */
    interrupt_send(&w.fabric, &m);
    assert_true(w.inboxes[1].irr[0] == 0);
}

static void events(void **state)
{
    struct world w;
    struct interrupt_message m = {.dest = 2};

    (void)state;
    init(&w);
    m.delivery = INTERRUPT_NMI;
    interrupt_send(&w.fabric, &m);
    assert_int_equal(w.inboxes[2].events, INBOX_NMI);
    m.delivery = INTERRUPT_INIT;
    interrupt_send(&w.fabric, &m);
    m.delivery = INTERRUPT_SIPI;
    m.vector = 0x9a;
    interrupt_send(&w.fabric, &m);
    assert_int_equal(w.inboxes[2].events, INBOX_NMI | INBOX_INIT | INBOX_SIPI);
    assert_int_equal(w.inboxes[2].sipi_vector, 0x9a);
    m.delivery = INTERRUPT_SMI;
    interrupt_send(&w.fabric, &m);
    m.delivery = INTERRUPT_EXTINT;
    interrupt_send(&w.fabric, &m);
    assert_int_equal(w.inboxes[2].events,
                     INBOX_NMI | INBOX_INIT | INBOX_SIPI | INBOX_SMI | INBOX_EXTINT);
    m.delivery = 3; /* reserved */
    interrupt_send(&w.fabric, &m);
    assert_int_equal(w.inboxes[2].irr[2], 0);
}

static void wakes_only_sleepers(void **state)
{
    struct world w;
    struct interrupt_message m = {.dest = 3, .vector = 0x40};

    (void)state;
    init(&w);
    interrupt_send(&w.fabric, &m);
    assert_int_equal(wakes, 0);
    w.inboxes[3].attention = 2;
    interrupt_send(&w.fabric, &m);
    assert_int_equal(wakes, 1);
    assert_ptr_equal(woken[0], &w.inboxes[3].attention);
    assert_int_equal(w.inboxes[3].attention, 1);
    w.inboxes[0].attention = 2;
    interrupt_post_event(&w.fabric, 0, INBOX_PAUSE);
    assert_int_equal(wakes, 2);
    assert_int_equal(w.inboxes[0].events, INBOX_PAUSE);
    w.inboxes[1].attention = 2;
    interrupt_kick(&w.fabric, 1);
    assert_int_equal(wakes, 3);
    interrupt_kick(&w.fabric, VCPUS); /* no such vCPU */
    interrupt_post_event(&w.fabric, VCPUS, INBOX_NMI);
    assert_int_equal(wakes, 3);
    w.fabric.wake = NULL;
    w.inboxes[1].attention = 2;
    interrupt_kick(&w.fabric, 1);
    assert_int_equal(w.inboxes[1].attention, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(physical),
        cmocka_unit_test(logical_flat),
        cmocka_unit_test(logical_cluster),
        cmocka_unit_test(logical_x2apic),
        cmocka_unit_test(shorthands),
        cmocka_unit_test(lowest_picks_one),
        cmocka_unit_test(trigger_mode),
        cmocka_unit_test(events),
        cmocka_unit_test(wakes_only_sleepers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
