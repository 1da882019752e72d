/* test_vm_keyboard.c - what is typed by the API reaches a guest that reads the keyboard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm_fixture.h"

/* Sends each scan code to port 0xe9, and ends when Escape goes up. */
static const uint8_t reader[] = {
    0xe4,      0x64, /* 0: in al, 0x64 */
    0xa8,      0x01, /*    test al, 1 */
    0x74,      0xfa, /*    jz 0b */
    0xe4,      0x60, /*    in al, 0x60 */
    0xe6,      0xe9, /*    out 0xe9, al */
    0x3c,      0x81, /*    cmp al, 0x81 */
    0x75,      0xf2, /*    jne 0b */
    CODE_EXIT,
};

static struct ringer *machine(struct transcript *t, bool icount)
{
    struct ringer_config config = small_config();

    t->size = 0;
    config.icount = icount;
    config.debug_console = true;
    config.debug_output = transcript_add;
    config.debug_context = t;
    return machine_with_code(&config, reader, sizeof(reader));
}

static void run(struct ringer *m)
{
    struct ringer_exit end;

    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_DEBUG);
    ringer_destroy(m);
}

static void typing(bool icount)
{
    static const uint8_t expected[] = {
        0x1e, 0x9e, 0x2a, 0x2c, 0xac, 0xaa, 0x1c, 0x9c,             /* a Z Enter */
        0x1d, 0x2e, 0xae, 0x9d, 0x2a, 0x0c, 0x8c, 0xaa,             /* Ctrl-C _ */
        0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d, 0x44, 0xc4, /* Ctrl-Alt-Delete, F10 */
        0xe0, 0x48, 0xe0, 0xc8, 0x01, 0x81,                         /* up, Escape */
    };
    static struct transcript t;
    struct ringer *m = machine(&t, icount);

    assert_int_equal(ringer_keyboard_type(m, "aZ\n\003_", 5), 5);
    assert_int_equal(ringer_keyboard_press(m, "ctrl-alt-delete"), 0);
    assert_int_equal(ringer_keyboard_press(m, "F10"), 0);
    assert_int_equal(ringer_keyboard_key(m, 0xe048, true), 0);
    assert_int_equal(ringer_keyboard_key(m, 0xe048, false), 0);
    assert_int_equal(ringer_keyboard_press(m, "esc"), 0);
    run(m);
    assert_int_equal(t.size, sizeof(expected));
    assert_memory_equal(t.text, expected, sizeof(expected));
}

static void in_real_time(void **state)
{
    (void)state;
    typing(false);
}

static void in_virtual_time(void **state)
{
    (void)state;
    typing(true);
}

/* Every printable character has a key, and no two the same. */
static void all_characters(void **state)
{
    static struct transcript t;
    bool seen[2][128] = {{false}};
    struct ringer *m = machine(&t, false);
    unsigned shift = 0, characters = 0;

    (void)state;
    for (char c = ' '; c < 0x7f; c++) {
        assert_int_equal(ringer_keyboard_type(m, &c, 1), 1);
    }
    ringer_keyboard_press(m, "esc");
    run(m);
    for (size_t i = 0; i < t.size; i++) {
        uint8_t code = (uint8_t)t.text[i];
        if ((code & 0x7f) == 0x2a) {
            shift = code == 0x2a;
        } else if (code < 0x80 && code != 0x01) {
            assert_false(seen[shift][code]);
            seen[shift][code] = true;
            characters++;
        }
    }
    assert_int_equal(characters, 0x7f - ' ');
}

static void mistakes(void **state)
{
    static const char *const wrong[] = {"", "f13", "ctrl-", "-", "a-b-c-d-e-f-g-h-i", "\303\244"};
    static struct transcript t;
    struct ringer *m = machine(&t, false);

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(ringer_keyboard_press(m, wrong[i]), -EINVAL);
        assert_non_null(strstr(ringer_error(m), "no keys"));
    }
    assert_int_equal(ringer_keyboard_key(m, 0, true), -EINVAL);
    assert_int_equal(ringer_keyboard_key(m, 0x9e, true), -EINVAL);
    assert_int_equal(ringer_keyboard_key(m, 0x11e, true), -EINVAL);
    assert_int_equal(ringer_keyboard_key(m, 0xe01e1e, true), -EINVAL);
    assert_int_equal(ringer_keyboard_type(m, "\303\244", 2), 0);
    assert_int_equal(ringer_keyboard_type(m, "", 1), 0);
    assert_int_equal(ringer_keyboard_press(m, "esc"), 0);
    run(m);
    assert_int_equal(t.size, 2);
}

/* Nobody reads: so much is kept, and no more. */
static void too_much(void **state)
{
    static struct transcript t;
    struct ringer *m = machine(&t, false);
    size_t typed = 0, n;

    (void)state;
    while ((n = ringer_keyboard_type(m, "A", 1)) > 0) {
        typed += n;
        assert_true(typed < 10000);
    }
    assert_true(typed >= 1000);
    assert_int_equal(ringer_keyboard_press(m, "ctrl-alt-delete"), -EAGAIN);
    ringer_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_real_time),   cmocka_unit_test(in_virtual_time),
        cmocka_unit_test(all_characters), cmocka_unit_test(mistakes),
        cmocka_unit_test(too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
