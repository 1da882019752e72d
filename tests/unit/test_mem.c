/* test_mem.c - where guest RAM is, and copies that must not leave it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem/mem.h"

#define LOW  0x200000ull
#define HIGH 0x3000ull

static struct mem make(void)
{
    return (struct mem){.base = calloc(1, LOW + HIGH), .low_size = LOW, .high_size = HIGH};
}

static void ranges(void **state)
{
    struct mem m = make();

    (void)state;
    assert_ptr_equal(mem_range(&m, 0, 1), m.base);
    assert_ptr_equal(mem_range(&m, 0, MEM_VGA_START), m.base);
    assert_null(mem_range(&m, 0, MEM_VGA_START + 1));
    assert_null(mem_range(&m, MEM_VGA_START, 1));
    assert_null(mem_range(&m, MEM_VGA_END - 1, 1));
    assert_null(mem_range(&m, 0x1000, LOW - 0x1000)); /* spans the window */
    assert_ptr_equal(mem_range(&m, MEM_VGA_END, LOW - MEM_VGA_END), m.base + MEM_VGA_END);
    assert_null(mem_range(&m, LOW - 4, 5));
    assert_null(mem_range(&m, LOW, 1));
    assert_null(mem_range(&m, MEM_HIGH_START - 1, 2));
    assert_ptr_equal(mem_range(&m, MEM_HIGH_START, HIGH), m.base + LOW);
    assert_null(mem_range(&m, MEM_HIGH_START, HIGH + 1));
    assert_null(mem_range(&m, MEM_HIGH_START + HIGH, 1));
    assert_null(mem_range(&m, 0x100000, ~0ull));
    assert_null(mem_range(&m, ~0ull, 2));
    assert_null(mem_range(&m, MEM_HIGH_START, ~0ull - 1));
    free(m.base);
}

static void copies(void **state)
{
    struct mem m = make();
    char buffer[8] = "unused";

    (void)state;
    assert_true(mem_write(&m, MEM_HIGH_START + 4, "ringer", 7));
    assert_string_equal((char *)m.base + LOW + 4, "ringer");
    assert_true(mem_read(&m, MEM_HIGH_START + 4, buffer, 7));
    assert_string_equal(buffer, "ringer");
    assert_false(mem_read(&m, LOW - 3, buffer, 7));
    assert_string_equal(buffer, "ringer"); /* nothing was copied */
    assert_false(mem_write(&m, LOW - 3, "abcdef", 7));
    assert_int_equal(m.base[LOW - 3], 0);
    assert_true(mem_read(&m, LOW, buffer, 0));
    assert_true(mem_write(&m, ~0ull, buffer, 0));
    free(m.base);
}

static void small_machines(void **state)
{
    struct mem m = {.base = calloc(1, 0x8000), .low_size = 0x8000};

    (void)state;
    assert_non_null(mem_range(&m, 0, 0x8000));
    assert_null(mem_range(&m, 0x7fff, 2));
    assert_null(mem_range(&m, MEM_HIGH_START, 1));
    assert_null(mem_range(&m, MEM_HIGH_START, 0));
    free(m.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(copies),
        cmocka_unit_test(small_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
