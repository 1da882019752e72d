/* test_vm_screen.c - what a guest writes to its text memory is what the API reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_fixture.h"

/* "Hi" in yellow on blue in the second row, and the cursor behind it: cell 82 is 0x52. */
static const uint8_t writer[] = {
    0xc7,      0x05, 0xa0, 0x80, 0x0b, 0x00, 'H', 0x1e, 'i', 0x1e, /* mov dword [0xb80a0], "Hi" */
    0x66,      0xba, 0xd4, 0x03,                                   /* mov dx, 0x3d4 */
    0x66,      0xb8, 0x0f, 0x52,                                   /* mov ax, 0x520f */
    0x66,      0xef,                                               /* out dx, ax */
    0xa1,      0xa0, 0x80, 0x0b, 0x00,                             /* mov eax, [0xb80a0] */
    CODE_EXIT,
};

static struct ringer_screen screen;

static void text(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, writer, sizeof(writer));
    struct ringer_exit end;
    uint32_t cells = 0;

    (void)state;
    ringer_screen_read(m, &screen);
    assert_int_equal(screen.columns, 80);
    assert_int_equal(screen.rows, 25);
    assert_int_equal(screen.cells[80], 0x0720);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_DEBUG);
    assert_int_equal(end.code & 0xff, 'H'); /* the guest reads it back, too */
    ringer_screen_read(m, &screen);
    assert_int_equal(screen.cells[80], 0x1e00 | 'H');
    assert_int_equal(screen.cells[81], 0x1e00 | 'i');
    assert_true(screen.cursor_shown && screen.blinks);
    assert_int_equal(screen.cursor_row, 1);
    assert_int_equal(screen.cursor_column, 2);
    assert_int_equal(ringer_read_memory(m, 0xb80a0, &cells, sizeof(cells)), 0);
    assert_int_equal(cells, 0x1e691e48);
    assert_int_equal(ringer_read_memory(m, 0xa0000, &cells, sizeof(cells)), -EFAULT);
    ringer_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
