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

/* ------------------------------------------------------------------ pieces that are brought */

struct bringer {
    struct mem m;
    u8 ram[8 << 12];
    _Atomic u8 pieces[4]; /* of two pages */
    unsigned brought[4];
};

static void bring_piece(void *context, u64 piece)
{
    struct bringer *b = context;

    assert_true(piece < 4 && b->pieces[piece] == MEM_COMING);
    memset(b->ram + piece * 0x2000, (int)piece + 1, 0x2000);
    b->brought[piece]++;
}

static void bringer_init(struct bringer *b)
{
    *b = (struct bringer){.pieces = {MEM_ABSENT, MEM_PRESENT, MEM_ABSENT, MEM_ABSENT}};
    b->m = (struct mem){
        .base = b->ram,
        .low_size = sizeof(b->ram),
        .absence = {.pieces = b->pieces, .piece_shift = 13, .bring = bring_piece, .context = b},
    };
}

static void test_pieces_are_brought(void **state)
{
    static struct bringer b;
    u8 byte = 0, bytes[0x2002];

    (void)state;
    bringer_init(&b);
    assert_true(mem_offset(&b.m, 0x4000) == 0x4000); /* asks for nothing */
    assert_int_equal(b.brought[2], 0);
    assert_int_equal(*mem_ptr(&b.m, 0x5fff), 3);
    assert_int_equal(b.brought[2], 1);
    assert_int_equal(b.pieces[2], MEM_PRESENT);
    *mem_ptr(&b.m, 0x5fff) = 77; /* and never again, or that would be lost */
    assert_int_equal(*mem_ptr(&b.m, 0x5fff), 77);
    assert_true(mem_read(&b.m, 0x2000, &byte, 1)); /* it has always been there */
    assert_int_equal(byte, 0);
    assert_true(mem_read(&b.m, 0x1fff, bytes, sizeof(bytes))); /* three pieces */
    assert_true(bytes[0] == 1 && bytes[1] == 0 && bytes[0x2001] == 3);
    assert_true(b.brought[0] == 1 && b.brought[1] == 0 && b.brought[2] == 1 && b.brought[3] == 0);
    assert_non_null(mem_range(&b.m, 0x7fff, 1));
    assert_int_equal(b.brought[3], 1);
    assert_null(mem_range(&b.m, 0x7fff, 2)); /* beyond the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_brought),
        cmocka_unit_test(ranges),
        cmocka_unit_test(copies),
        cmocka_unit_test(small_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
