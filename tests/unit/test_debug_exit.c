/* test_debug_exit.c - isa-debug-exit in all widths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/debug_exit.h"
#include "fake_slot.h"

static void any_width(void **state)
{
    struct fake_slot f;
    struct device *device;

    (void)state;
    fake_slot_init(&f);
    assert_int_equal(debug_exit_create(&f.slot, &device), 0);
    assert_int_equal(fake_in(&f, DEBUG_EXIT_PORT, 4), 0);
    assert_int_equal(f.powers, 0);
    fake_out(&f, DEBUG_EXIT_PORT, 0x12, 1);
    assert_int_equal(f.event, POWER_DEBUG_EXIT);
    assert_int_equal(f.code, 0x12);
    fake_out(&f, DEBUG_EXIT_PORT, 0x1234, 2);
    assert_int_equal(f.code, 0x1234);
    fake_out(&f, DEBUG_EXIT_PORT, 0x12345678, 4);
    assert_int_equal(f.code, 0x12345678);
    assert_int_equal(f.powers, 3);
    device->reset(device);
    device_destroy(device);
    assert_int_equal(f.bus.count, 0);
    bus_map_destroy(&f.bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_width)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
