/* test_reset.c - ports 0xcf9 and 0x92, and PCI's CONFIG_ADDRESS around the former. */
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
    outb(&w.f, RESET_PORT, 0x02);
    assert_int_equal(w.f.powers, 0);
    assert_int_equal(inb(&w.f, RESET_PORT), 0x02);
    outb(&w.f, RESET_PORT, RESET_VALUE);
    assert_int_equal(w.f.powers, 1);
    assert_int_equal(w.f.event, POWER_RESET);
    reset_write_control(w.reset, 0x0e);
    assert_int_equal(w.f.powers, 2);
    w.reset->reset(w.reset);
    assert_int_equal(inb(&w.f, RESET_PORT), 0);
    done(&w);
}

static void config_address_does_not_reset(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    fake_out(&w.f, 0xcf8, 0x80000604, 4); /* bus 0, device 0, function 6 */
    assert_int_equal(w.f.powers, 0);
    assert_int_equal(fake_in(&w.f, 0xcf8, 4), 0xffffffff);
    fake_out(&w.f, 0xcf8, 0x0606, 2);
    fake_out(&w.f, 0xcfa, 0x0606, 2);
    outb(&w.f, 0xcfb, 0x06);
    assert_int_equal(w.f.powers, 0);
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
        cmocka_unit_test(config_address_does_not_reset),
        cmocka_unit_test(port_92),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
