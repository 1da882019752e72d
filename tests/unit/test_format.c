/* test_format.c - base/format.c: each conversion against what snprintf() gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"

#define CHECK(...)                                             \
    do {                                                       \
        char ours[128], theirs[128];                           \
        size_t n = format(ours, sizeof(ours), __VA_ARGS__);    \
        int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__); \
        assert_string_equal(ours, theirs);                     \
        assert_int_equal(n, m);                                \
    } while (0)

static void test_numbers(void **state)
{
    (void)state;
    CHECK("%d %i %u", 0, -1, 42u);
    CHECK("%d %d", INT_MIN, INT_MAX);
    CHECK("%ld %lld", LONG_MIN, LLONG_MIN);
    CHECK("%lu %llx %lx", ULONG_MAX, 0x123456789abcdefull, 0xdeadul);
    CHECK("%x %X %08x", 0xabcu, 0xabcu, 0xabcu);
    CHECK("%zu %zx", sizeof(ours), (size_t)255);
    CHECK("[%5d] [%-5d] [%05d]", -42, -42, -42);
    CHECK("[%016llx] [%*d] [%-*d]", 0x10ull, 6, 1, 6, 1);
    CHECK("[%*d]", -6, 1);
    CHECK("%hhx %hx %hhd %hd", (unsigned char)0x80, (unsigned short)0x8000, (signed char)-1,
          (short)-2);
    CHECK("%p", (void *)0x1234);
}

static void test_strings(void **state)
{
    (void)state;
    CHECK("%s %c%%", "text", 'x');
    CHECK("[%8s] [%-8s] [%.2s] [%.*s]", "abc", "abc", "abc", 1, "abc");
    CHECK("[%3c] [%-3c]", 'a', 'b');
    CHECK("%s", "");
    CHECK("nothing to convert");
}

static void test_bounds(void **state)
{
    char buffer[8];

    (void)state;
    memset(buffer, 'z', sizeof(buffer));
    assert_int_equal(format(buffer, 4, "%s", "abcdef"), 6);
    assert_string_equal(buffer, "abc");
    assert_int_equal(buffer[4], 'z');
    assert_int_equal(format(buffer, 0, "%d", 123), 3);
    assert_int_equal(buffer[0], 'a');
    assert_int_equal(format(NULL, 0, "%d", 123), 3);
    assert_int_equal(format(buffer, 1, "%d", 123), 3);
    assert_string_equal(buffer, "");
    assert_int_equal(format(buffer, sizeof(buffer), "1234567"), 7);
    assert_string_equal(buffer, "1234567");
}

static void test_odd(void **state)
{
    char buffer[32];
    const char *volatile null = NULL; /* volatile: the compiler would warn */
    const char *trailing = "ab%", *unknown = "%y";

    (void)state;
    format(buffer, sizeof(buffer), "%s", null);
    assert_string_equal(buffer, "(null)");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    format(buffer, sizeof(buffer), trailing);
    assert_string_equal(buffer, "ab");
    format(buffer, sizeof(buffer), unknown);
    assert_string_equal(buffer, "y");
#pragma GCC diagnostic pop
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_odd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
