/* test_i8254.c - the timer's modes, counts and status, port 0x61, and what IRQ 0 does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/i8254.h"
#include "fake_slot.h"

#define IRQ0 0
#define OUT2 0x20

struct world {
    struct fake_slot f;
    struct device *pit;
};

static void init(struct world *w)
{
    struct i8254_config config;

    fake_slot_init(&w->f);
    config = (struct i8254_config){.irq = fake_irq(&w->f, IRQ0)};
    assert_int_equal(i8254_create(&w->f.slot, &config, &w->pit), 0);
}

static void done(struct world *w)
{
    device_destroy(w->pit);
    assert_int_equal(w->f.bus.count, 0);
    assert_null(w->f.timers.first);
    bus_map_destroy(&w->f.bus);
}

/* To a given tick of the PIT's clock. */
static void to_tick(struct world *w, u64 tick)
{
    u64 ns = (tick * 1000000000 + I8254_HZ - 1) / I8254_HZ;

    assert_true(ns >= w->f.now_ns);
    fake_advance(&w->f, ns - w->f.now_ns);
}

static void load(struct world *w, unsigned channel, unsigned mode, u16 count)
{
    outb(&w->f, 0x43, (u8)(channel << 6 | 0x30 | mode << 1));
    outb(&w->f, (u16)(0x40 + channel), (u8)count);
    outb(&w->f, (u16)(0x40 + channel), (u8)(count >> 8));
}

static u16 count(struct world *w, unsigned channel)
{
    u16 value;

    outb(&w->f, 0x43, (u8)(channel << 6));
    value = inb(&w->f, (u16)(0x40 + channel));
    return (u16)(value | inb(&w->f, (u16)(0x40 + channel)) << 8);
}

static bool out2(struct world *w)
{
    return inb(&w->f, 0x61) & OUT2;
}

static void mode_0(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 0, 1000);
    assert_false(w.f.level[IRQ0]);
    to_tick(&w, 501);
    assert_int_equal(count(&w, 0), 500);
    to_tick(&w, 1000);
    assert_int_equal(w.f.rises[IRQ0], 0);
    to_tick(&w, 1001);
    assert_int_equal(w.f.rises[IRQ0], 1);
    assert_true(w.f.level[IRQ0]);
    to_tick(&w, 200000);
    assert_int_equal(w.f.rises[IRQ0], 1); /* once */
    load(&w, 0, 0, 1000);
    assert_false(w.f.level[IRQ0]);
    done(&w);
}

static void mode_2_is_periodic(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 2, 11932); /* 100 Hz */
    assert_true(w.f.level[IRQ0]);
    w.f.rises[IRQ0] = 0;
    fake_advance(&w.f, 1000000000);
    assert_in_range(w.f.rises[IRQ0], 99, 100);
    to_tick(&w, 1 + 110 * 11932 + 100);
    assert_int_equal(count(&w, 0), 11832);
    done(&w);
}

static void mode_2_takes_a_new_count_later(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 2, 10000);
    w.f.rises[IRQ0] = 0;
    to_tick(&w, 5000);
    outb(&w.f, 0x40, 20000 & 0xff);
    outb(&w.f, 0x40, 20000 >> 8);
    to_tick(&w, 10000);
    assert_int_equal(w.f.rises[IRQ0], 0);
    to_tick(&w, 10001); /* the old period ends */
    assert_int_equal(w.f.rises[IRQ0], 1);
    to_tick(&w, 30000);
    assert_int_equal(w.f.rises[IRQ0], 1);
    to_tick(&w, 30001);
    assert_int_equal(w.f.rises[IRQ0], 2);
    done(&w);
}

static void mode_3_is_square(void **state)
{
    struct world w;
    unsigned tick, high = 0;

    (void)state;
    init(&w);
    outb(&w.f, 0x61, 1);
    load(&w, 2, 3, 101);
    for (tick = 1; tick <= 1010; tick++) {
        to_tick(&w, tick);
        high += out2(&w);
    }
    assert_int_equal(high, 510); /* an odd count is high one clock longer */
    load(&w, 2, 3, 100);
    to_tick(&w, 1010 + 1 + 10);
    assert_int_equal(count(&w, 2), 80); /* counts by two */
    to_tick(&w, 1010 + 1 + 60);
    assert_int_equal(count(&w, 2), 80);
    assert_false(out2(&w));
    done(&w);
}

static void mode_4_strobes(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 4, 1000);
    assert_true(w.f.level[IRQ0]);
    w.f.rises[IRQ0] = 0;
    to_tick(&w, 1001);
    assert_int_equal(w.f.rises[IRQ0], 0);
    to_tick(&w, 1002);
    assert_int_equal(w.f.rises[IRQ0], 1);
    to_tick(&w, 100000);
    assert_int_equal(w.f.rises[IRQ0], 1);
    outb(&w.f, 0x61, 1);
    load(&w, 2, 4, 50);
    to_tick(&w, 100050);
    assert_true(out2(&w));
    to_tick(&w, 100051);
    assert_false(out2(&w));
    to_tick(&w, 100052);
    assert_true(out2(&w));
    done(&w);
}

static void modes_1_and_5_wait_for_the_gate(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 2, 1, 100);
    to_tick(&w, 500);
    assert_true(out2(&w));
    outb(&w.f, 0x61, 1);
    to_tick(&w, 600);
    assert_false(out2(&w));
    to_tick(&w, 601);
    assert_true(out2(&w));
    outb(&w.f, 0x61, 0);
    load(&w, 2, 5, 100);
    outb(&w.f, 0x61, 1);
    to_tick(&w, 701);
    assert_true(out2(&w));
    to_tick(&w, 702);
    assert_false(out2(&w));
    to_tick(&w, 703);
    assert_true(out2(&w));
    done(&w);
}

/* What Linux's quick_pit_calibrate() and pit_calibrate_tsc() do. */
static void channel_2_and_its_gate(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x61, 0);
    load(&w, 2, 0, 1000);
    to_tick(&w, 5000);
    assert_false(out2(&w)); /* the gate is shut */
    outb(&w.f, 0x61, 1);
    to_tick(&w, 5501);
    outb(&w.f, 0x61, 0);
    to_tick(&w, 9000);
    assert_int_equal(count(&w, 2), 500); /* paused */
    outb(&w.f, 0x61, 1);
    to_tick(&w, 9499);
    assert_false(out2(&w));
    to_tick(&w, 9501);
    assert_true(out2(&w));
    assert_int_equal(inb(&w.f, 0x61) & 3, 1);
    done(&w);
}

static void gates_restart(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x61, 1);
    load(&w, 2, 2, 1000);
    to_tick(&w, 401);
    assert_int_equal(count(&w, 2), 600);
    outb(&w.f, 0x61, 0);
    to_tick(&w, 5000);
    assert_true(out2(&w));
    outb(&w.f, 0x61, 1); /* a new period */
    to_tick(&w, 5000 + 1 + 100);
    assert_int_equal(count(&w, 2), 900);
    load(&w, 2, 1, 100);
    outb(&w.f, 0x61, 0);
    outb(&w.f, 0x61, 1);
    to_tick(&w, 5150);
    outb(&w.f, 0x42, 200); /* for the next trigger */
    outb(&w.f, 0x42, 0);
    to_tick(&w, 5202);
    assert_true(out2(&w));
    outb(&w.f, 0x61, 0);
    outb(&w.f, 0x61, 1);
    to_tick(&w, 5402);
    assert_false(out2(&w));
    to_tick(&w, 5403);
    assert_true(out2(&w));
    done(&w);
}

static void latches(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 2, 0); /* 65,536 */
    to_tick(&w, 1 + 0x1234);
    outb(&w.f, 0x43, 0x00);
    to_tick(&w, 0x5000);
    outb(&w.f, 0x43, 0x00); /* the first latch stays */
    assert_int_equal(inb(&w.f, 0x40), (0x10000 - 0x1234) & 0xff);
    assert_int_equal(inb(&w.f, 0x40), (0x10000 - 0x1234) >> 8);
    assert_int_equal(count(&w, 0), 0x10001 - 0x5000);
    done(&w);
}

static void read_back(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x43, 0x34);
    outb(&w.f, 0x43, 0xe2);
    assert_int_equal(inb(&w.f, 0x40), 0xf4); /* OUT, null count, word, mode 2 */
    load(&w, 0, 2, 1000);
    to_tick(&w, 11);
    outb(&w.f, 0x43, 0xc2); /* status and count */
    to_tick(&w, 100);
    assert_int_equal(inb(&w.f, 0x40), 0xb4);
    assert_int_equal(inb(&w.f, 0x40), 990 & 0xff);
    assert_int_equal(inb(&w.f, 0x40), 990 >> 8);
    done(&w);
}

static void bytes_and_bcd(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x43, 0x10); /* low byte, mode 0 */
    outb(&w.f, 0x40, 200);
    to_tick(&w, 51);
    assert_int_equal(inb(&w.f, 0x40), 150);
    outb(&w.f, 0x43, 0x20); /* high byte */
    outb(&w.f, 0x40, 0x10);
    to_tick(&w, 51 + 1 + 0x100);
    assert_int_equal(inb(&w.f, 0x40), 0x0f);
    outb(&w.f, 0x43, 0x35); /* word, mode 2, BCD */
    outb(&w.f, 0x40, 0x00);
    outb(&w.f, 0x40, 0x00); /* 10,000 */
    to_tick(&w, 51 + 1 + 0x100 + 1 + 1);
    assert_int_equal(count(&w, 0), 0x9999);
    done(&w);
}

static void missed_ticks_coalesce(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    load(&w, 0, 2, 1193);
    w.f.rises[IRQ0] = 0;
    fake_jump(&w.f, 3600ull * 1000000000); /* an hour: 3.6 million ticks */
    assert_int_equal(w.f.rises[IRQ0], 1);
    fake_advance(&w.f, 10000000);
    assert_in_range(w.f.rises[IRQ0], 10, 12);
    done(&w);
}

static void hostile_counts(void **state)
{
    static const u16 counts[] = {0, 1, 2, 3};
    struct world w;
    unsigned i, mode;

    (void)state;
    init(&w);
    for (mode = 0; mode < 6; mode++) {
        for (i = 0; i < 4; i++) {
            load(&w, 0, mode, counts[i]);
            w.f.rises[IRQ0] = 0;
            fake_advance(&w.f, 10000000);
            assert_in_range(w.f.rises[IRQ0], 0, 201); /* no oftener than every 50 us */
            count(&w, 0);
        }
    }
    done(&w);
}

static void refresh_toggles(void **state)
{
    struct world w;
    unsigned i, changes = 0;
    u8 last, value;

    (void)state;
    init(&w);
    last = inb(&w.f, 0x61);
    for (i = 0; i < 1000; i++) {
        fake_advance(&w.f, 1000);
        value = inb(&w.f, 0x61);
        changes += (value ^ last) >> 4 & 1;
        last = value;
    }
    assert_in_range(changes, 65, 67);
    outb(&w.f, 0x61, 0xff);
    assert_int_equal(inb(&w.f, 0x61) & 0xcf, 0x0f);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mode_0),
        cmocka_unit_test(mode_2_is_periodic),
        cmocka_unit_test(mode_2_takes_a_new_count_later),
        cmocka_unit_test(mode_3_is_square),
        cmocka_unit_test(mode_4_strobes),
        cmocka_unit_test(modes_1_and_5_wait_for_the_gate),
        cmocka_unit_test(channel_2_and_its_gate),
        cmocka_unit_test(gates_restart),
        cmocka_unit_test(latches),
        cmocka_unit_test(read_back),
        cmocka_unit_test(bytes_and_bcd),
        cmocka_unit_test(missed_ticks_coalesce),
        cmocka_unit_test(hostile_counts),
        cmocka_unit_test(refresh_toggles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
