/* test_fpu_error.c - FERR#, IRQ 13, ports F0 and F1, IGNNE#. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/fpu_error.h"
#include "fake_slot.h"

enum { IRQ, IGNNE };

struct world {
    struct fake_slot f;
    struct device *device;
};

static void init(struct world *w)
{
    struct fpu_error_config config;

    fake_slot_init(&w->f);
    config =
        (struct fpu_error_config){.irq = fake_irq(&w->f, IRQ), .ignne = fake_irq(&w->f, IGNNE)};
    assert_int_equal(fpu_error_create(&w->f.slot, &config, &w->device), 0);
}

static void done(struct world *w)
{
    device_destroy(w->device);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static void expect_lines(const struct world *w, bool irq, bool ignne)
{
    assert_int_equal(w->f.level[IRQ], irq);
    assert_int_equal(w->f.level[IGNNE], ignne);
}

static void one_exception(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    expect_lines(&w, false, false);
    fpu_error_set(w.device, true);
    expect_lines(&w, true, false);
    outb(&w.f, 0xf0, 0);
    expect_lines(&w, false, true);
    fpu_error_set(w.device, true); /* it is still there: no edge, no interrupt */
    expect_lines(&w, false, true);
    fpu_error_set(w.device, false);
    expect_lines(&w, false, false);
    fpu_error_set(w.device, true);
    expect_lines(&w, true, false);
    assert_int_equal(w.f.rises[IRQ], 2);
    done(&w);
}

static void the_latch_stays(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    fpu_error_set(w.device, true);
    fpu_error_set(w.device, false);
    expect_lines(&w, true, false); /* whoever cleared the exception: the latch is the port's */
    outb(&w.f, 0xf1, 0xff);
    expect_lines(&w, false, false); /* and no IGNNE# without FERR# */
    done(&w);
}

static void reads_and_reset(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    fpu_error_set(w.device, true);
    assert_int_equal(inb(&w.f, 0xf0), 0xff);
    assert_int_equal(inb(&w.f, 0xf1), 0xff);
    expect_lines(&w, true, false);
    w.device->reset(w.device);
    expect_lines(&w, false, false);
    outb(&w.f, 0xf0, 0);
    expect_lines(&w, false, false);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_exception),
        cmocka_unit_test(the_latch_stays),
        cmocka_unit_test(reads_and_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
