/* test_debug_console.c - port 0xe9. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/debug_console.h"
#include "fake_slot.h"

static char out[16];
static size_t out_count;

static void transmit(void *context, const u8 *bytes, size_t count)
{
    assert_null(context);
    assert_int_equal(count, 1);
    out[out_count++] = (char)bytes[0];
}

static void prints(void **state)
{
    static const struct serial_port_ops ops = {.transmit = transmit};
    struct debug_console_config config = {.ops = &ops};
    struct fake_slot f;
    struct device *device, *second = NULL;

    (void)state;
    fake_slot_init(&f);
    assert_int_equal(debug_console_create(&f.slot, &config, &device), 0);
    assert_int_equal(debug_console_create(&f.slot, &config, &second), -EEXIST);
    assert_null(second);
    assert_int_equal(inb(&f, DEBUG_CONSOLE_PORT), 0xe9);
    outb(&f, DEBUG_CONSOLE_PORT, 'o');
    outb(&f, DEBUG_CONSOLE_PORT, 'k');
    assert_string_equal(out, "ok");
    device_destroy(device);
    assert_int_equal(f.bus.count, 0);
    config.ops = NULL; /* to nowhere */
    assert_int_equal(debug_console_create(&f.slot, &config, &device), 0);
    outb(&f, DEBUG_CONSOLE_PORT, 'x');
    device->reset(device);
    device_destroy(device);
    bus_map_destroy(&f.bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
