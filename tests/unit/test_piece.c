/*
 * test_piece.c - the pieces of a mirror: found by address, by memory and by age.
 *
 * At random, against a plain list of what is in the table, in the order in which it came.
 */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "mmu/piece.h"

#define LIST    600u
#define STEPS   200000u
#define RUNS    64u /* 4 MiB of addresses, and as much memory: what is asked for often is there */
#define ADDRESS (RUNS * PIECE_RUN_BYTES)

struct world {
    struct piece_table table;
    struct mirror_piece list[LIST]; /* oldest first */
    u32 count;
    u64 random;
};

static u64 random_below(struct world *w, u64 bound)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return (w->random >> 33) % bound;
}

static bool overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a < b + b_size && b < a + a_size;
}

static bool same(const struct mirror_piece *a, const struct mirror_piece *b)
{
    return a->gva == b->gva && a->offset == b->offset && a->size == b->size &&
           a->rights == b->rights;
}

static bool is_free(const struct world *w, const struct mirror_piece *piece)
{
    for (u32 i = 0; i < w->count; i++) {
        if (overlap(w->list[i].gva, w->list[i].size, piece->gva, piece->size)) {
            return false;
        }
    }
    return true;
}

static struct mirror_piece random_piece(struct world *w)
{
    struct mirror_piece piece = {.rights = (u8)(1 + random_below(w, 7))};

    if (random_below(w, 20) == 0) {
        piece.size = PIECE_LARGE_BYTES;
        piece.gva = random_below(w, ADDRESS / PIECE_LARGE_BYTES) * PIECE_LARGE_BYTES;
    } else {
        u64 first = random_below(w, 16), pages = 1 + random_below(w, 16 - first);
        piece.size = (u32)(pages * PAGE_SIZE);
        piece.gva = random_below(w, RUNS) * PIECE_RUN_BYTES + first * PAGE_SIZE;
    }
    piece.offset = random_below(w, ADDRESS / PAGE_SIZE) * PAGE_SIZE; /* not aligned to its size */
    return piece;
}

static void take_from_list(struct world *w, u32 i)
{
    w->count--;
    memmove(&w->list[i], &w->list[i + 1], (w->count - i) * sizeof(w->list[0]));
}

static void add_or_remove(struct world *w)
{
    struct mirror_piece piece = random_piece(w);

    if (w->count < LIST && is_free(w, &piece)) {
        piece_add(&w->table, &piece);
        w->list[w->count++] = piece;
    } else if (w->count) {
        u32 i = (u32)random_below(w, w->count);
        struct mirror_piece *p = piece_find(&w->table, w->list[i].gva + w->list[i].size - 1);
        assert_non_null(p);
        assert_true(same(p, &w->list[i]));
        piece_remove(&w->table, p);
        take_from_list(w, i);
    }
}

static void look_by_address(struct world *w)
{
    struct mirror_piece range = random_piece(w);
    bool found = !is_free(w, &range);
    const struct mirror_piece *p = piece_overlapping(&w->table, range.gva, range.size);

    assert_int_equal(p != NULL, found);
    assert_true(!p || overlap(p->gva, p->size, range.gva, range.size));
}

static void look_by_memory(struct world *w)
{
    u64 offset = random_below(w, ADDRESS + PIECE_LARGE_BYTES);
    unsigned rights = 1 + (unsigned)random_below(w, 7);
    const struct mirror_piece *p = piece_showing(&w->table, offset, rights);
    bool found = false;

    for (u32 i = 0; i < w->count; i++) {
        found |=
            w->list[i].rights & rights && overlap(w->list[i].offset, w->list[i].size, offset, 1);
    }
    assert_int_equal(p != NULL, found);
    assert_true(!p || (p->rights & rights && overlap(p->offset, p->size, offset, 1)));
}

static void look_by_age(struct world *w)
{
    u32 i = 0;

    assert_int_equal(w->table.count, w->count);
    for (struct mirror_piece *p = piece_oldest(&w->table); p; p = piece_newer(&w->table, p)) {
        assert_true(i < w->count && same(p, &w->list[i]));
        i++;
    }
    assert_int_equal(i, w->count);
}

static void finds_what_is_there(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        add_or_remove(w);
        look_by_address(w);
        look_by_memory(w);
        if (i % 64 == 0) {
            look_by_age(w);
        }
        if (i % 20000 == 0) {
            piece_remove_all(&w->table);
            w->count = 0;
            look_by_age(w);
        }
    }
    free(w);
}

/* A table in which pieces come and go takes no more room than they need at a time. */
static void uses_free_ones_again(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct mirror_piece piece = {.gva = 0x5000, .size = PAGE_SIZE, .rights = 1};

    (void)state;
    for (unsigned i = 0; i < 3 * PIECES; i++) {
        piece_add(&w->table, &piece);
        piece_remove(&w->table, piece_find(&w->table, 0x5000));
    }
    assert_int_equal(w->table.used, 1);
    assert_null(piece_find(&w->table, 0x5000));
    assert_null(piece_oldest(&w->table));
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(uses_free_ones_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
