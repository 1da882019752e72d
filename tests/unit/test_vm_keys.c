/*
 * test_vm_keys.c - what terminals send for their keys, as scan codes in a guest; code page 437.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <iconv.h>

#include "app/cp437.h"
#include "app/keys.h"
#include "vm_fixture.h"

/* Sends each scan code to port 0xe9, and ends when the keypad's + goes up. */
static const uint8_t reader[] = {
    0xe4,      0x64, /* 0: in al, 0x64 */
    0xa8,      0x01, /*    test al, 1 */
    0x74,      0xfa, /*    jz 0b */
    0xe4,      0x60, /*    in al, 0x60 */
    0xe6,      0xe9, /*    out 0xe9, al */
    0x3c,      0xce, /*    cmp al, 0xce */
    0x75,      0xf2, /*    jne 0b */
    CODE_EXIT,
};

enum { KEY_BETWEEN = 0x4c, KEY_LAST = 0x4e }; /* the keypad's 5 and + */

static const struct {
    const char *sent;     /* by the terminal; then some time passes */
    const char *expected; /* scan codes in hexadecimal, of keys that go down */
} rows[] = {
    {"a", "1e"},
    {"\r", "1c"},
    {"\x7f", "0e"},
    {"\t", "0f"},
    {"\x03", "1d2e"},
    {"\x1b", "01"},
    {"\x1b\x1b[A", "01e048"},
    {"\x1b[A\x1b[B\x1b[C\x1b[D", "e048e050e04de04b"},
    {"\x1bOA\x1bOH\x1bOF", "e048e047e04f"},
    {"\x1b[H\x1b[F\x1b[1~\x1b[4~", "e047e04fe047e04f"},
    {"\x1b[2~\x1b[3~\x1b[5~\x1b[6~", "e052e053e049e051"},
    {"\x1bOP\x1bOQ\x1bOR\x1bOS", "3b3c3d3e"},
    {"\x1b[11~\x1b[14~\x1b[15~\x1b[17~", "3b3e3f40"},
    {"\x1b[18~\x1b[19~\x1b[20~\x1b[21~\x1b[23~\x1b[24~", "414243445758"},
    {"\x1b[[A\x1b[[E", "3b3f"},
    {"\x1b[1;2A", "2ae048"},
    {"\x1b[1;5D", "1de04b"},
    {"\x1b[3;3~", "38e053"},
    {"\x1b[1;8P", "1d382a3b"},
    {"\x1b[Z", "2a0f"},
    {"\x1bx", "382d"},
    {"\x1bX", "382a2d"},
    {"\x1b[", "381a"},                               /* Alt-[, for nothing follows */
    {"\xc3\xa4z", "2c"},                             /* no key has that character */
    {"\x1b[999~\x1b[1;99zq", "10"},                  /* no keys either */
    {"\x1b[01234567890123456789", "0405060708090a"}, /* nor that; its end is taken for text */
};

static void put(char *text, size_t *size, uint8_t code)
{
    *size += (size_t)sprintf(text + *size, "%02x", code);
}

/* The codes of keys that go down, from *at to the key between two rows, as text. */
static void read_codes(const struct transcript *t, size_t *at, char *text)
{
    size_t size = 0;
    bool prefix = false;

    *text = 0;
    while (*at < t->size) {
        uint8_t code = (uint8_t)t->text[(*at)++];
        if (code == KEY_BETWEEN) {
            return;
        }
        if (!(code & 0x80)) {
            if (prefix) {
                put(text, &size, 0xe0);
            }
            put(text, &size, code);
        }
        prefix = code == 0xe0;
    }
}

static void strike(struct ringer *m, unsigned key)
{
    ringer_keyboard_key(m, key, true);
    ringer_keyboard_key(m, key, false);
}

/* All rows are typed before the guest runs. */
static void sequences(void **state)
{
    static struct transcript t;
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer *m;
    size_t at = 0;

    (void)state;
    config.debug_console = true;
    config.debug_output = transcript_add;
    config.debug_context = &t;
    m = machine_with_code(&config, reader, sizeof(reader));
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct keys keys = {.length = 0};
        for (const char *c = rows[i].sent; *c; c++) {
            keys_input(&keys, m, (uint8_t)*c);
        }
        keys_tick(&keys, m);
        keys_tick(&keys, m);
        assert_int_equal(keys.length, 0);
        strike(m, KEY_BETWEEN);
    }
    strike(m, KEY_LAST);
    assert_int_equal(ringer_run(m, &end), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        char codes[256];
        read_codes(&t, &at, codes);
        assert_string_equal(codes, rows[i].expected);
    }
    ringer_destroy(m);
}

static void code_page(void **state)
{
    iconv_t converter = iconv_open("UTF-8", "CP437");

    (void)state;
    if (converter == (iconv_t)-1) {
        skip(); /* this host's iconv does not know it */
    }
    for (unsigned c = 0x20; c < 0xff; c++) {
        char in = (char)c, *from = &in, expected[4], *to = expected, out[3];
        size_t in_size = 1, room = sizeof(expected), size = cp437_to_utf8((uint8_t)c, out);
        assert_int_equal(iconv(converter, &from, &in_size, &to, &room), 0);
        if (c != 0x7f) { /* a house, on the screen */
            assert_int_equal(size, to - expected);
            assert_memory_equal(out, expected, size);
        }
    }
    iconv_close(converter);
}

static void what_looks_blank(void **state)
{
    static const uint8_t blanks[] = {0x00, 0x20, 0xff};
    char out[3];

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(blanks); i++) {
        assert_int_equal(cp437_to_utf8(blanks[i], out), 1);
        assert_int_equal(out[0], ' ');
    }
    for (unsigned c = 1; c < 0x20; c++) { /* no control characters to the terminal */
        assert_true(cp437_to_utf8((uint8_t)c, out) >= 2);
    }
    assert_int_equal(cp437_to_utf8(0x7f, out), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences),
        cmocka_unit_test(code_page),
        cmocka_unit_test(what_looks_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
