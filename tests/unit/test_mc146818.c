/* test_mc146818.c - the clock's calendar, its three interrupts, its formats, and the CMOS memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/mc146818.h"
#include "fake_slot.h"

#define IRQ8   0
#define SECOND 1000000000ull
#define MIB    (1024 * 1024ull)

struct world {
    struct fake_slot f;
    struct device *rtc;
};

static void init(struct world *w, s64 epoch_s)
{
    struct mc146818_config config;

    fake_slot_init(&w->f);
    config = (struct mc146818_config){.irq = fake_irq(&w->f, IRQ8),
                                      .epoch_s = epoch_s,
                                      .low_size = 3072 * MIB,
                                      .high_size = 5120 * MIB,
                                      .cpus = 4};
    assert_int_equal(mc146818_create(&w->f.slot, &config, &w->rtc), 0);
}

static void done(struct world *w)
{
    device_destroy(w->rtc);
    assert_int_equal(w->f.bus.count, 0);
    assert_null(w->f.timers.first);
    bus_map_destroy(&w->f.bus);
}

static u8 get(struct world *w, u8 index)
{
    outb(&w->f, 0x70, index);
    return inb(&w->f, 0x71);
}

static void put(struct world *w, u8 index, u8 value)
{
    outb(&w->f, 0x70, index);
    outb(&w->f, 0x71, value);
}

static void check_date(struct world *w, u8 century, u8 year, u8 month, u8 day, u8 weekday)
{
    assert_int_equal(get(w, 0x32), century);
    assert_int_equal(get(w, 9), year);
    assert_int_equal(get(w, 8), month);
    assert_int_equal(get(w, 7), day);
    assert_int_equal(get(w, 6), weekday);
}

static void check_time(struct world *w, u8 hours, u8 minutes, u8 seconds)
{
    assert_int_equal(get(w, 4), hours);
    assert_int_equal(get(w, 2), minutes);
    assert_int_equal(get(w, 0), seconds);
}

static void tells_the_time(void **state)
{
    struct world w;

    (void)state;
    init(&w, 951827696); /* Tue 2000-02-29 12:34:56 UTC */
    check_date(&w, 0x20, 0x00, 0x02, 0x29, 3);
    check_time(&w, 0x12, 0x34, 0x56);
    fake_advance(&w.f, 86400 * SECOND);
    check_date(&w, 0x20, 0x00, 0x03, 0x01, 4);
    done(&w);
    init(&w, 1798761599); /* Thu 2026-12-31 23:59:59 */
    check_date(&w, 0x20, 0x26, 0x12, 0x31, 5);
    fake_advance(&w.f, SECOND);
    check_date(&w, 0x20, 0x27, 0x01, 0x01, 6);
    check_time(&w, 0, 0, 0);
    done(&w);
    init(&w, -1); /* 1969 */
    check_date(&w, 0x19, 0x69, 0x12, 0x31, 4);
    done(&w);
}

static void formats(void **state)
{
    struct world w;

    (void)state;
    init(&w, 951827696 + 3600 * 3); /* 15:34:56 */
    put(&w, 0x0b, 0x06);
    check_time(&w, 15, 34, 56);
    put(&w, 0x0b, 0x00);
    assert_int_equal(get(&w, 4), 0x83); /* 3 p.m. */
    put(&w, 0x0b, 0x04);
    assert_int_equal(get(&w, 4), 0x83);
    fake_advance(&w.f, 9 * 3600 * SECOND);
    assert_int_equal(get(&w, 4), 12); /* midnight */
    fake_advance(&w.f, 12 * 3600 * SECOND);
    assert_int_equal(get(&w, 4), 0x80 | 12); /* noon */
    done(&w);
}

static void can_be_set(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    fake_advance(&w.f, SECOND * 3 / 10);
    put(&w, 0x0b, 0x82); /* SET */
    put(&w, 0x32, 0x19);
    put(&w, 9, 0x99);
    put(&w, 8, 0x12);
    put(&w, 7, 0x31);
    put(&w, 6, 6);
    put(&w, 4, 0x23);
    put(&w, 2, 0x59);
    put(&w, 0, 0x58);
    fake_advance(&w.f, 10 * SECOND);
    check_time(&w, 0x23, 0x59, 0x58); /* held */
    put(&w, 0x0b, 0x02);
    fake_advance(&w.f, SECOND * 8 / 10);
    check_time(&w, 0x23, 0x59, 0x59);
    fake_advance(&w.f, SECOND);
    check_time(&w, 0, 0, 0);
    check_date(&w, 0x20, 0x00, 0x01, 0x01, 7);
    put(&w, 2, 0x30); /* without SET, at once */
    check_time(&w, 0, 0x30, 0);
    done(&w);
}

/* Sets the date of 20xx and lets a day pass. */
static void next_day(struct world *w, u8 year, u8 month, u8 day)
{
    put(w, 0x0b, 0x82);
    put(w, 0x32, 0x20);
    put(w, 9, year);
    put(w, 8, month);
    put(w, 7, day);
    put(w, 0x0b, 0x02);
    fake_advance(&w->f, 86400 * SECOND);
}

static void months_end(void **state)
{
    static const u8 last_days[] = {0x31, 0x28, 0x31, 0x30, 0x31, 0x30,
                                   0x31, 0x31, 0x30, 0x31, 0x30, 0x31};
    struct world w;
    unsigned i;

    (void)state;
    init(&w, 0);
    for (i = 0; i < 12; i++) {
        unsigned month = i + 1, next_month = (i + 1) % 12 + 1;
        next_day(&w, 0x25, (u8)(month / 10 << 4 | month % 10), last_days[i]);
        assert_int_equal(get(&w, 7), 0x01);
        assert_int_equal(get(&w, 8), next_month / 10 << 4 | next_month % 10);
        assert_int_equal(get(&w, 9), i == 11 ? 0x26 : 0x25);
    }
    next_day(&w, 0x24, 0x02, 0x28);
    assert_int_equal(get(&w, 7), 0x29);
    next_day(&w, 0x99, 0x12, 0x31);
    assert_int_equal(get(&w, 0x32), 0x21);
    next_day(&w, 0x00, 0x01, 0x15);
    assert_int_equal(get(&w, 7), 0x16);
    assert_int_equal(get(&w, 9), 0x00);
    done(&w);
}

static void divider_reset_starts_half_a_second_early(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    fake_advance(&w.f, SECOND * 9 / 10);
    put(&w, 0x0a, 0x76);
    fake_advance(&w.f, 5 * SECOND);
    check_time(&w, 0, 0, 0);
    put(&w, 0x0a, 0x26);
    fake_advance(&w.f, SECOND * 49 / 100);
    check_time(&w, 0, 0, 0);
    fake_advance(&w.f, SECOND * 2 / 100);
    check_time(&w, 0, 0, 1);
    done(&w);
}

static void update_in_progress(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    assert_int_equal(get(&w, 0x0a), 0x26);
    fake_advance(&w.f, SECOND - 100000);
    assert_int_equal(get(&w, 0x0a), 0xa6);
    fake_advance(&w.f, 100000);
    assert_int_equal(get(&w, 0x0a), 0x26);
    done(&w);
}

static void update_ended_interrupt(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    put(&w, 0x0b, 0x12);
    fake_advance(&w.f, SECOND - 1);
    assert_false(w.f.level[IRQ8]);
    fake_advance(&w.f, 1);
    assert_true(w.f.level[IRQ8]);
    fake_advance(&w.f, 5 * SECOND);
    assert_int_equal(w.f.rises[IRQ8], 1);
    assert_int_equal(get(&w, 0x0c) & 0x90, 0x90);
    assert_false(w.f.level[IRQ8]);
    assert_int_equal(get(&w, 0x0c) & 0x90, 0);
    fake_advance(&w.f, SECOND);
    assert_int_equal(w.f.rises[IRQ8], 2);
    put(&w, 0x0b, 0x02); /* disabled: the line falls, the flag stays */
    assert_false(w.f.level[IRQ8]);
    assert_int_equal(get(&w, 0x0c) & 0x90, 0x10);
    fake_advance(&w.f, SECOND);
    assert_int_equal(get(&w, 0x0c) & 0x90, 0x10); /* a guest that polls sees it too */
    done(&w);
}

static void alarm(void **state)
{
    struct world w;

    (void)state;
    init(&w, 86400 * 100 + 12 * 3600);
    put(&w, 5, 0x11); /* 11:59:30: tomorrow */
    put(&w, 3, 0x59);
    put(&w, 1, 0x30);
    put(&w, 0x0b, 0x22);
    fake_advance(&w.f, (86400 - 31) * SECOND);
    assert_false(w.f.level[IRQ8]);
    fake_advance(&w.f, SECOND);
    assert_true(w.f.level[IRQ8]);
    assert_int_equal(get(&w, 0x0c) & 0xa0, 0xa0);
    put(&w, 5, 0xc0); /* any hour, any minute, second 5 */
    put(&w, 3, 0xff);
    put(&w, 1, 0x05);
    w.f.rises[IRQ8] = 0;
    fake_advance(&w.f, 34 * SECOND);
    assert_int_equal(w.f.rises[IRQ8], 0);
    fake_advance(&w.f, SECOND);
    assert_int_equal(w.f.rises[IRQ8], 1);
    get(&w, 0x0c);
    put(&w, 1, 0x77); /* never */
    fake_advance(&w.f, 3 * 86400 * SECOND);
    assert_int_equal(w.f.rises[IRQ8], 1);
    assert_int_equal(get(&w, 0x0c) & 0x20, 0);
    done(&w);
}

static void periodic(void **state)
{
    struct world w;
    unsigned i;

    (void)state;
    init(&w, 0);
    put(&w, 0x0a, 0x26); /* 1,024 Hz */
    put(&w, 0x0b, 0x42);
    for (i = 0; i < 2048; i++) {
        fake_advance(&w.f, 1000000000 / 2048);
        if (w.f.level[IRQ8]) {
            assert_int_equal(get(&w, 0x0c) & 0xc0, 0xc0);
        }
    }
    assert_in_range(w.f.rises[IRQ8], 1022, 1024);
    w.f.rises[IRQ8] = 0;
    fake_advance(&w.f, 10 * SECOND);
    assert_int_equal(w.f.rises[IRQ8], 1); /* not read, not repeated */
    put(&w, 0x0a, 0x23);                  /* 8,192 Hz, and the host was away for a day */
    get(&w, 0x0c);
    fake_jump(&w.f, 86400 * SECOND);
    assert_int_equal(w.f.rises[IRQ8], 2);
    put(&w, 0x0a, 0x20);
    get(&w, 0x0c);
    fake_advance(&w.f, SECOND);
    assert_int_equal(get(&w, 0x0c) & 0x40, 0);
    done(&w);
}

static void memory_sizes(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    assert_int_equal(get(&w, 0x15) | get(&w, 0x16) << 8, 640);
    assert_int_equal(get(&w, 0x17) | get(&w, 0x18) << 8, 0xffff);
    assert_int_equal(get(&w, 0x30) | get(&w, 0x31) << 8, 0xffff);
    assert_int_equal(get(&w, 0x34) | get(&w, 0x35) << 8, (3072 - 16) * 16);
    assert_int_equal(get(&w, 0x5b) | get(&w, 0x5c) << 8 | get(&w, 0x5d) << 16, 5120 * 16);
    assert_int_equal(get(&w, 0x5f), 3);
    done(&w);
}

static void cmos_is_memory(void **state)
{
    struct world w;

    (void)state;
    init(&w, 0);
    put(&w, 0x8f, 0x5a); /* bit 7 is not of the index */
    assert_int_equal(get(&w, 0x0f), 0x5a);
    put(&w, 0x0d, 0);
    assert_int_equal(get(&w, 0x0d), 0x80);
    put(&w, 0x0b, 0x72);
    fake_advance(&w.f, SECOND);
    assert_true(w.f.level[IRQ8]);
    w.rtc->reset(w.rtc);
    assert_false(w.f.level[IRQ8]);
    assert_int_equal(get(&w, 0x0b), 0x02);
    assert_int_equal(get(&w, 0x0f), 0x5a); /* it has a battery */
    assert_int_equal(get(&w, 0), 0x01);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_time),
        cmocka_unit_test(formats),
        cmocka_unit_test(can_be_set),
        cmocka_unit_test(months_end),
        cmocka_unit_test(divider_reset_starts_half_a_second_early),
        cmocka_unit_test(update_in_progress),
        cmocka_unit_test(update_ended_interrupt),
        cmocka_unit_test(alarm),
        cmocka_unit_test(periodic),
        cmocka_unit_test(memory_sizes),
        cmocka_unit_test(cmos_is_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
