/* test_virtqueue.c - virtqueues of both formats: what is right works, what is wrong is a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "virtq_driver.h"

#define EACH_FORMAT(packed) for (unsigned packed = 0; packed < 2; packed++)

static const struct driver_part two_parts[] = {{DRIVER_DATA, 5, 0},
                                               {DRIVER_DATA + 0x100, 7, VIRTQ_WRITE}};

static struct virtq_chain *take(struct driver *d)
{
    struct virtq_chain *chain = virtq_take(&d->queue);

    assert_null(d->queue.fault);
    assert_non_null(chain);
    return chain;
}

static void expect_fault(struct driver *d, const char *words)
{
    assert_null(virtq_take(&d->queue));
    assert_non_null(d->queue.fault);
    if (!strstr(d->queue.fault, words)) {
        fail_msg("'%s' does not say '%s'", d->queue.fault, words);
    }
    assert_null(virtq_take(&d->queue)); /* and it stays stopped */
}

static void carries_bytes_both_ways(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        struct virtq_chain *chain;
        u32 id, length;
        char text[16] = "";

        driver_init(&d, packed, 8);
        driver_enable(&d);
        assert_null(virtq_take(&d.queue));
        for (unsigned round = 0; round < 40; round++) {
            memcpy(driver_at(&d, DRIVER_DATA), "hello", 5);
            u16 expected = driver_add(&d, two_parts, 2);
            chain = take(&d);
            assert_null(virtq_take(&d.queue));
            assert_int_equal(chain->out_count, 1);
            assert_int_equal(chain->in_count, 1);
            assert_int_equal(chain->out_bytes, 5);
            assert_int_equal(chain->in_bytes, 7);
            assert_int_equal(virtq_read(chain, 1, text, sizeof(text)), 4);
            assert_memory_equal(text, "ello", 4);
            assert_int_equal(virtq_write(chain, 2, "0123456789", 10), 5);
            assert_false(driver_take(&d, &id, &length));
            virtq_give(chain, 7);
            assert_memory_equal(driver_at(&d, DRIVER_DATA + 0x102), "01234\0", 6);
            assert_true(driver_take(&d, &id, &length));
            assert_int_equal(id, expected);
            assert_int_equal(length, 7);
            assert_true(virtq_wants_interrupt(&d.queue));
        }
        driver_done(&d);
    }
}

/* Chains of many parts, given back in another order than they came. */
static void gives_back_out_of_order(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        struct virtq_chain *chains[4];
        struct driver_part parts[4];
        u32 id, length;

        driver_init(&d, packed, 16);
        driver_enable(&d);
        for (unsigned i = 0; i < 4; i++) {
            parts[i] = (struct driver_part){DRIVER_DATA + i * 64, 64, VIRTQ_WRITE};
        }
        for (unsigned round = 0; round < 30; round++) {
            u16 ids[4];
            for (unsigned i = 0; i < 4; i++) {
                ids[i] = driver_add(&d, parts, i + 1);
            }
            for (unsigned i = 0; i < 4; i++) {
                chains[i] = take(&d);
                assert_int_equal(chains[i]->in_count, i + 1);
            }
            for (unsigned i = 4; i-- > 0;) {
                virtq_give(chains[i], i);
            }
            for (unsigned i = 4; i-- > 0;) {
                assert_true(driver_take(&d, &id, &length));
                assert_int_equal(id, ids[i]);
                assert_int_equal(length, i);
            }
        }
        driver_done(&d);
    }
}

static void follows_indirect_tables(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        struct virtq_chain *chain;
        struct driver_part parts[100];
        u32 id, length;

        driver_init(&d, packed, 8);
        d.queue.indirect = true;
        driver_enable(&d);
        for (unsigned i = 0; i < 100; i++) { /* more than the ring has descriptors */
            parts[i] = (struct driver_part){DRIVER_DATA + 100 - i, 1, i < 50 ? 0 : VIRTQ_WRITE};
        }
        for (unsigned round = 0; round < 20; round++) {
            u16 expected = driver_add_indirect(&d, round % 4, parts, 100);
            chain = take(&d);
            assert_int_equal(chain->out_count, 50);
            assert_int_equal(chain->in_count, 50);
            assert_ptr_equal(virtq_in(chain)[1].iov_base, driver_at(&d, DRIVER_DATA + 49));
            virtq_give(chain, 50);
            assert_true(driver_take(&d, &id, &length));
            assert_int_equal(id, expected);
        }
        driver_done(&d);
    }
}

static void untakes(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        struct virtq_chain *chain;
        u32 id, length;

        driver_init(&d, packed, 5 + 3 * !packed);
        driver_enable(&d);
        for (unsigned round = 0; round < 30; round++) {
            driver_add(&d, two_parts, 2);
            for (unsigned again = 0; again < 3; again++) {
                chain = take(&d);
                assert_int_equal(d.queue.in_flight, 1);
                virtq_untake(chain);
                assert_int_equal(d.queue.in_flight, 0);
            }
            virtq_give(take(&d), 0);
            assert_true(driver_take(&d, &id, &length));
        }
        driver_done(&d);
    }
}

/* With an event index, one interrupt for many, and one notification for many. */
static void counts_events(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        unsigned interrupts = 0;
        u32 id, length;

        driver_init(&d, packed, 8);
        d.queue.event_index = true;
        driver_enable(&d);
        for (unsigned i = 0; i < 64; i++) {
            driver_add(&d, two_parts, 1);
            virtq_give(take(&d), 0);
            if (i == 0) {
                assert_true(virtq_wants_interrupt(&d.queue)); /* the first time, in any case */
            } else {
                interrupts += virtq_wants_interrupt(&d.queue);
            }
            assert_true(driver_take(&d, &id, &length));
            if (i % 4 == 0) { /* the driver asks for the interrupt of the fourth from here */
                u16 event = (u16)(d.used_seen + 3);
                if (packed) {
                    driver_avail(&d)[0] = (u16)(event % 8 | (d.used_wrap ^ (event >= 8)) << 15);
                    driver_avail(&d)[1] = 2;
                } else {
                    driver_avail(&d)[2 + 8] = event;
                }
            }
        }
        assert_int_equal(interrupts, 15); /* every fourth */

        /* It asks to be notified of the next, and of none before. */
        assert_null(virtq_take(&d.queue));
        if (packed) {
            assert_int_equal(driver_used(&d)[0], d.next | d.wrap << 15);
            assert_int_equal(driver_used(&d)[1], 2);
        } else {
            assert_int_equal(driver_used(&d)[2 + 4 * 8], d.avail_index);
        }
        driver_done(&d);
    }
}

static void leaves_interrupts_off(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;

        driver_init(&d, packed, 8);
        driver_enable(&d);
        driver_avail(&d)[packed ? 1 : 0] = 1;
        driver_add(&d, two_parts, 2);
        virtq_give(take(&d), 0);
        assert_false(virtq_wants_interrupt(&d.queue));
        driver_avail(&d)[packed ? 1 : 0] = 0;
        assert_false(virtq_wants_interrupt(&d.queue)); /* nothing new */
        driver_add(&d, two_parts, 2);
        virtq_give(take(&d), 0);
        assert_true(virtq_wants_interrupt(&d.queue));
        driver_done(&d);
    }
}

/* A chain given back after its queue was reset changes nothing. */
static void forgets_on_reset(void **state)
{
    (void)state;
    EACH_FORMAT(packed)
    {
        struct driver d;
        struct virtq_chain *chain;
        u8 *before = malloc(DRIVER_RAM);

        driver_init(&d, packed, 8);
        driver_enable(&d);
        driver_add(&d, two_parts, 2);
        chain = take(&d);
        virtq_reset(&d.queue);
        assert_false(d.queue.enabled);
        memcpy(before, d.mem.base, DRIVER_RAM);
        virtq_give(chain, 0);
        assert_memory_equal(before, d.mem.base, DRIVER_RAM);
        assert_int_equal(d.queue.in_flight, 0);
        free(before);
        driver_done(&d);
    }
}

/* ------------------------------------------------------------------ what a guest must not do */

static void refuses_rings(void **state)
{
    static const struct {
        u16 size;
        u64 ring, driver, device;
        bool packed_too;
        const char *words;
    } cases[] = {
        {0, DRIVER_RING, DRIVER_AVAIL, DRIVER_USED, true, "size"},
        {1025, DRIVER_RING, DRIVER_AVAIL, DRIVER_USED, true, "size"},
        {3, DRIVER_RING, DRIVER_AVAIL, DRIVER_USED, false, "size"},
        {8, DRIVER_RING + 8, DRIVER_AVAIL, DRIVER_USED, true, "aligned"},
        {8, DRIVER_RING, DRIVER_AVAIL + 1, DRIVER_USED, true, "aligned"},
        {8, DRIVER_RING, DRIVER_AVAIL, DRIVER_USED + 2, true, "aligned"},
        {8, DRIVER_RAM - 64, DRIVER_AVAIL, DRIVER_USED, true, "memory"},
        {8, DRIVER_RING, DRIVER_RAM, DRIVER_USED, true, "memory"},
        {8, DRIVER_RING, DRIVER_AVAIL, 0xfffffffffffffffc, true, "memory"},
        {8, 0xfffffffffffffff0, DRIVER_AVAIL, DRIVER_USED, true, "memory"},
        {8, DRIVER_RING, DRIVER_RAM - 16, DRIVER_USED, false, "memory"},
    };

    (void)state;
    EACH_FORMAT(packed)
    {
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
            struct driver d;
            if (packed && !cases[i].packed_too) {
                continue;
            }
            driver_init(&d, packed, 8);
            d.queue = (struct virtq){.mem = &d.mem,
                                     .size = cases[i].size,
                                     .packed = packed,
                                     .descriptors = cases[i].ring,
                                     .driver = cases[i].driver,
                                     .device = cases[i].device};
            assert_false(virtq_enable(&d.queue));
            assert_non_null(strstr(d.queue.fault, cases[i].words));
            assert_null(virtq_take(&d.queue));
            assert_false(virtq_wants_interrupt(&d.queue));
            driver_done(&d);
        }
    }
}

static void refuses_buffers(void **state)
{
    static const struct {
        struct driver_part parts[2];
        unsigned count;
        const char *words;
    } cases[] = {
        {{{DRIVER_RAM, 1, 0}}, 1, "not in memory"},
        {{{DRIVER_RAM - 4, 5, VIRTQ_WRITE}}, 1, "not in memory"},
        {{{0xffffffffffffffff, 2, 0}}, 1, "not in memory"},
        {{{0x100000000, 16, 0}}, 1, "not in memory"},
        {{{DRIVER_DATA, 0xffffffff, 0}}, 1, "not in memory"},
        {{{DRIVER_DATA, 4, VIRTQ_WRITE}, {DRIVER_DATA, 4, 0}}, 2, "after one for it to write"},
        {{{DRIVER_DATA, 16, VIRTQ_INDIRECT}}, 1, "not negotiated"},
    };

    (void)state;
    EACH_FORMAT(packed)
    {
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
            struct driver d;
            driver_init(&d, packed, 8);
            driver_enable(&d);
            driver_add(&d, cases[i].parts, cases[i].count);
            expect_fault(&d, cases[i].words);
            driver_done(&d);
        }
    }
}

static void refuses_indirect_tables(void **state)
{
    static const struct {
        struct driver_part part;
        const char *words;
    } cases[] = {
        {{DRIVER_TABLE, 0, VIRTQ_INDIRECT}, "broken length"},
        {{DRIVER_TABLE, 17, VIRTQ_INDIRECT}, "broken length"},
        {{DRIVER_TABLE, 16 * 1025, VIRTQ_INDIRECT}, "more descriptors"},
        {{DRIVER_TABLE, 0xfffffff0, VIRTQ_INDIRECT}, "more descriptors"},
        {{DRIVER_RAM - 16, 32, VIRTQ_INDIRECT}, "not in memory"},
        {{DRIVER_TABLE, 16, VIRTQ_INDIRECT | VIRTQ_NEXT}, "indirect descriptor"},
    };

    (void)state;
    EACH_FORMAT(packed)
    {
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
            struct driver d;
            driver_init(&d, packed, 8);
            d.queue.indirect = true;
            driver_enable(&d);
            driver_add(&d, &cases[i].part, 1);
            expect_fault(&d, cases[i].words);
            driver_done(&d);
        }
        struct driver d; /* after other buffers; only split rings may have that */
        driver_init(&d, packed, 8);
        d.queue.indirect = true;
        driver_enable(&d);
        driver_add(
            &d, (struct driver_part[]){{DRIVER_DATA, 1, 0}, {DRIVER_TABLE, 16, VIRTQ_INDIRECT}}, 2);
        if (packed) {
            expect_fault(&d, "with others");
        } else {
            virtq_give(take(&d), 0);
        }
        driver_done(&d);
    }
}

/* A part of every size that there may be, 1024 of them, is taken; a chain over 4 GiB is not. */
static void limits_totals(void **state)
{
    struct driver d;
    struct driver_part part = {DRIVER_DATA, 1, 0};

    (void)state;
    driver_init(&d, false, 1024);
    driver_enable(&d);
    for (unsigned i = 0; i < 1024; i++) {
        driver_ring(&d)[i] = (struct virtq_descriptor){
            .address = part.gpa, .length = 1, .split = {i < 1023 ? VIRTQ_NEXT : 0, (u16)(i + 1)}};
    }
    driver_make_available(&d, 0);
    virtq_give(take(&d), 0);
    driver_done(&d);

    /* Where RAM is large: buffers may overlap, so a small table makes a large chain. */
    driver_init(&d, false, 8);
    d.queue.indirect = true;
    driver_enable(&d);
    struct driver_part large[64];
    for (unsigned i = 0; i < 64; i++) {
        large[i] = (struct driver_part){0x100000000, 0x4000000, 0};
    }
    d.mem.high_size = 0x4000000; /* nobody touches it */
    driver_add_indirect(&d, 0, large, 63);
    virtq_give(take(&d), 0);
    driver_add_indirect(&d, 0, large, 64);
    expect_fault(&d, "4 GiB");
    driver_done(&d);
}

static void refuses_split_loops(void **state)
{
    struct driver d;

    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        driver_init(&d, false, 8);
        d.queue.indirect = true;
        driver_enable(&d);
        driver_ring(&d)[0] =
            (struct virtq_descriptor){DRIVER_DATA, 1, .split = {VIRTQ_NEXT, kind == 0 ? 0 : 1}};
        driver_ring(&d)[1] =
            (struct virtq_descriptor){DRIVER_DATA, 1, .split = {VIRTQ_NEXT, kind == 1 ? 0 : 8}};
        driver_make_available(&d, kind == 3 ? 8 : 0);
        expect_fault(&d, kind < 2 ? "loop" : "beyond the table");
        driver_done(&d);
    }
    /* In an indirect table; and one that names itself. */
    for (unsigned kind = 0; kind < 2; kind++) {
        struct driver_part parts[2] = {{DRIVER_DATA, 1, 0}, {DRIVER_DATA, 1, 0}};
        struct virtq_descriptor *table;
        driver_init(&d, false, 8);
        d.queue.indirect = true;
        driver_enable(&d);
        driver_add_indirect(&d, 0, parts, 2);
        table = (struct virtq_descriptor *)(void *)driver_at(&d, DRIVER_TABLE);
        if (kind) {
            table[1] = (struct virtq_descriptor){DRIVER_TABLE, 32, .split = {VIRTQ_INDIRECT, 0}};
        } else {
            table[1].split.flags = VIRTQ_NEXT;
            table[1].split.next = 0;
        }
        expect_fault(&d, kind ? "in an indirect table" : "loop");
        driver_done(&d);
    }
}

static void refuses_packed_overlength(void **state)
{
    struct driver d;

    (void)state;
    driver_init(&d, true, 8);
    driver_enable(&d);
    for (unsigned i = 0; i < 8; i++) { /* every descriptor has a next one */
        driver_ring(&d)[i] =
            (struct virtq_descriptor){DRIVER_DATA, 1, .packed = {0, VIRTQ_NEXT | VIRTQ_AVAIL}};
    }
    expect_fault(&d, "longer than the ring");
    driver_done(&d);
}

/* The available index jumps; and one makes available what is in flight, again and again. */
static void refuses_too_many(void **state)
{
    struct driver d;
    struct virtq_chain *chains[8];

    (void)state;
    driver_init(&d, false, 8);
    driver_enable(&d);
    driver_avail(&d)[1] = 9;
    expect_fault(&d, "jumped");
    driver_done(&d);
    driver_init(&d, false, 8);
    driver_enable(&d);
    driver_avail(&d)[1] = 0xffff;
    expect_fault(&d, "jumped");
    driver_done(&d);

    EACH_FORMAT(packed)
    {
        driver_init(&d, packed, 8);
        driver_enable(&d);
        for (unsigned i = 0; i < 8; i++) {
            driver_add(&d, two_parts, 1);
            chains[i] = take(&d);
        }
        driver_add(&d, two_parts, 1);
        expect_fault(&d, "at a time");
        for (unsigned i = 0; i < 8; i++) {
            virtq_give(chains[i], 0);
        }
        driver_done(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_bytes_both_ways),
        cmocka_unit_test(gives_back_out_of_order),
        cmocka_unit_test(follows_indirect_tables),
        cmocka_unit_test(untakes),
        cmocka_unit_test(counts_events),
        cmocka_unit_test(leaves_interrupts_off),
        cmocka_unit_test(forgets_on_reset),
        cmocka_unit_test(refuses_rings),
        cmocka_unit_test(refuses_buffers),
        cmocka_unit_test(refuses_indirect_tables),
        cmocka_unit_test(limits_totals),
        cmocka_unit_test(refuses_split_loops),
        cmocka_unit_test(refuses_packed_overlength),
        cmocka_unit_test(refuses_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
