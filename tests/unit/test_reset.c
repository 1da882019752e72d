/* test_reset.c - the reset control register and port 0x92. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/reset.h"
#include "fake_slot.h"

struct world {
    struct fake_slot f;
    struct device *reset;
};

static void init(struct world *w)
{
    fake_slot_init(&w->f);
    assert_int_equal(reset_create(&w->f.slot, &w->reset), 0);
}

static void done(struct world *w)
{
    device_destroy(w->reset);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static void reset_control(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    reset_write_control(w.reset, 0x02);
    assert_int_equal(w.f.powers, 0);
    assert_int_equal(reset_read_control(w.reset), 0x02);
    reset_write_control(w.reset, RESET_VALUE);
    assert_int_equal(w.f.powers, 1);
    assert_int_equal(w.f.event, POWER_RESET);
    reset_write_control(w.reset, 0x0e);
    assert_int_equal(w.f.powers, 2);
    w.reset->reset(w.reset);
    assert_int_equal(reset_read_control(w.reset), 0);
    done(&w);
}

static void port_92(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(inb(&w.f, 0x92), 0x02); /* A20 is on */
    outb(&w.f, 0x92, 0x00);
    assert_int_equal(inb(&w.f, 0x92), 0x00);
    assert_false(w.f.a20.on);
    w.f.a20.on = true; /* by another door */
    assert_int_equal(inb(&w.f, 0x92), 0x02);
    assert_int_equal(w.f.powers, 0);
    outb(&w.f, 0x92, 0x03);
    assert_int_equal(w.f.powers, 1);
    outb(&w.f, 0x92, 0x03); /* only the rise */
    assert_int_equal(w.f.powers, 1);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset_control),
        cmocka_unit_test(port_92),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
