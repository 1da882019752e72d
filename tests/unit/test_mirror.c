/*
 * test_mirror.c - the mirror: what is mapped, with which rights, and when it goes.
 *
 * The process around it is a fake one, with a page of rights for each page of a small address
 * space.
 */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "isa/control.h"
#include "isa/paging.h"
#include "isa/vector.h"
#include "mmu/mirror.h"

#define RAM          0x800000u /* 8 MiB */
#define PD           0x3000u   /* of the first GiB */
#define PT           0x4000u   /* of the first 2 MiB */
#define HIDDEN_START 0x400000u
#define HIDDEN_END   0x600000u
#define END          0x40000000u
#define PAGES        (END >> PAGE_SHIFT)

#define USER_PAGE (PTE_P | PTE_RW | PTE_US)
#define USED      (PTE_A | PTE_D)

struct world {
    struct mem mem;
    struct paging paging;
    struct mirror mirror;
    u8 rights[PAGES];  /* what the fake process has mapped where, MIRROR_* */
    u64 offset[PAGES]; /* in RAM, or of a copy in copies[] */
    unsigned maps, unmaps;
    bool map_fails, unmap_fails, may_execute;
    u8 *copies;          /* RAM's size */
    u64 moved, moved_to; /* the copy of this page is not at its place but there */
    u64 no_join;         /* code must not run on from the copy of this page */
    gpa_t let_go;        /* the last page that was let go */
};

static bool map(void *context, gva_t gva, u64 size, const u8 *hva, unsigned rights)
{
    struct world *w = context;
    u64 offset = (u64)(hva - (rights & MIRROR_EXECUTE ? w->copies : w->mem.base));

    if (w->map_fails) {
        return false;
    }
    w->maps++;
    for (u64 at = 0; at < size; at += PAGE_SIZE) {
        w->rights[(gva + at) >> PAGE_SHIFT] = (u8)rights;
        w->offset[(gva + at) >> PAGE_SHIFT] = offset + at;
    }
    return true;
}

static bool unmap(void *context, gva_t start, gva_t end)
{
    struct world *w = context;

    if (w->unmap_fails && end - start > PIECE_LARGE_BYTES) {
        return false;
    }
    w->unmaps++;
    memset(&w->rights[start >> PAGE_SHIFT], 0, (end - start) >> PAGE_SHIFT);
    return true;
}

static const u8 *copy_of_code(void *context, gva_t gva, gpa_t gpa)
{
    struct world *w = context;

    (void)gva;
    if (!w->may_execute) {
        return NULL;
    }
    w->mem.code_holders[gpa >> PAGE_SHIFT] = 1; /* as an executor does that has judged it */
    return w->copies + (gpa == w->moved ? w->moved_to : gpa);
}

static bool may_join(void *context, const u8 *page, const u8 *next)
{
    const struct world *w = context;

    (void)next;
    return page != w->copies + w->no_join;
}

static void let_go(void *context, gpa_t gpa)
{
    struct world *w = context;

    w->let_go = gpa;
    w->mem.code_holders[gpa >> PAGE_SHIFT] &= 0x80; /* another vCPU's stays */
}

static void put(struct world *w, gpa_t table, unsigned index, u64 entry)
{
    memcpy(w->mem.base + table + index * 8, &entry, 8);
}

static u64 get(const struct world *w, gpa_t table, unsigned index)
{
    u64 entry;

    memcpy(&entry, w->mem.base + table + index * 8, 8);
    return entry;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct mirror_host host = {.map = map,
                                     .unmap = unmap,
                                     .copy_of_code = copy_of_code,
                                     .may_join = may_join,
                                     .let_go = let_go,
                                     .context = w,
                                     .hidden_start = HIDDEN_START,
                                     .hidden_end = HIDDEN_END,
                                     .end = END};

    w->mem.base = aligned_alloc(PAGE_SIZE, RAM);
    w->copies = aligned_alloc(PAGE_SIZE, RAM); /* nobody reads them */
    memset(w->mem.base, 0, RAM);
    w->mem.low_size = RAM;
    w->mem.code_holders = calloc(RAM / PAGE_SIZE, 1);
    put(w, 0x1000, 0, 0x2000 | USER_PAGE | PTE_A);
    put(w, 0x2000, 0, PD | USER_PAGE | PTE_A);
    put(w, PD, 0, PT | USER_PAGE | PTE_A);
    w->paging = (struct paging){.cr0 = CR0_PE | CR0_PG | CR0_WP,
                                .cr3 = 0x1000,
                                .cr4 = CR4_PAE,
                                .efer = EFER_LMA | EFER_NXE,
                                .physical_bits = 40};
    w->may_execute = true;
    mirror_init(&w->mirror, &w->mem, &host);
    w->mirror.user_only = true;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    free(w->mem.base);
    free(w->copies);
    free(w->mem.code_holders);
    free(w);
    return 0;
}

static enum mirror_result fill(struct world *w, gva_t gva, unsigned access)
{
    u32 error = 0;

    return mirror_fill(&w->mirror, &w->paging, gva, access | ACCESS_USER, &error);
}

static unsigned rights(const struct world *w, gva_t gva)
{
    return w->rights[gva >> PAGE_SHIFT];
}

/* ------------------------------------------------------------------ filling */

static void a_read_maps_a_clean_page_read_only(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x10, 0x20000 | USER_PAGE);
    assert_int_equal(fill(w, 0x10123, ACCESS_READ), MIRROR_FILLED);
    assert_int_equal(rights(w, 0x10000), MIRROR_READ);
    assert_int_equal(w->offset[0x10], 0x20000);
    assert_int_equal(get(w, PT, 0x10), 0x20000 | USER_PAGE | PTE_A); /* and no D */

    assert_int_equal(fill(w, 0x10123, ACCESS_WRITE), MIRROR_FILLED);
    assert_int_equal(rights(w, 0x10000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(get(w, PT, 0x10), 0x20000 | USER_PAGE | USED);
}

static void a_page_fault_is_the_guests(void **state)
{
    struct world *w = *state;
    u32 error = 0;

    put(w, PT, 0x11, 0x21000 | PTE_P | PTE_US);
    assert_int_equal(
        mirror_fill(&w->mirror, &w->paging, 0x11000, ACCESS_USER | ACCESS_WRITE, &error),
        MIRROR_FAULT);
    assert_int_equal(error, PF_PRESENT | PF_WRITE | PF_USER);
    assert_int_equal(fill(w, 0x12000, ACCESS_READ), MIRROR_FAULT);
    put(w, PT, 0x13, 0x23000 | PTE_P); /* a supervisor's */
    assert_int_equal(fill(w, 0x13000, ACCESS_READ), MIRROR_FAULT);
    assert_int_equal(w->maps, 0);
}

static void what_is_not_ram_or_is_ours_is_refused(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x14, 0xfee00000 | USER_PAGE);
    assert_int_equal(fill(w, 0x14000, ACCESS_READ), MIRROR_REFUSED);
    put(w, PD, 2, 0x5000 | USER_PAGE); /* 0x400000: the hidden zone */
    put(w, 0x5000, 0, 0x20000 | USER_PAGE);
    assert_int_equal(fill(w, HIDDEN_START, ACCESS_READ), MIRROR_REFUSED);
    put(w, PT, 0x15, 0x25000 | USER_PAGE);
    w->map_fails = true;
    assert_int_equal(fill(w, 0x15000, ACCESS_READ), MIRROR_REFUSED);
    assert_int_equal(w->mirror.stats.refusals, 3);
    assert_int_equal(w->mirror.pieces.count, 0);
}

static void small_pages_that_follow_are_one_piece(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0x20; i < 0x30; i++) { /* an aligned 64 KiB, used before, but for one */
        put(w, PT, i, (u64)(i + 0x20) << PAGE_SHIFT | USER_PAGE | (i == 0x2c ? 0 : USED));
    }
    put(w, PT, 0x22, 0x99000 | USER_PAGE | USED); /* elsewhere in memory */
    assert_int_equal(fill(w, 0x26000, ACCESS_READ), MIRROR_FILLED);
    assert_int_equal(w->maps, 1);
    for (unsigned i = 0x20; i < 0x30; i++) {
        assert_int_equal(rights(w, i << PAGE_SHIFT) != 0, i > 0x22 && i < 0x2c);
    }
    assert_int_equal(w->offset[0x2b], 0x4b000);
    assert_int_equal(get(w, PT, 0x2c) & PTE_A, 0); /* looking sets no bits */
}

static void a_large_page_is_one_piece(void **state)
{
    struct world *w = *state;

    put(w, PD, 4, 0x200000 | USER_PAGE | PTE_PS | USED);
    assert_int_equal(fill(w, 0x812345, ACCESS_READ), MIRROR_FILLED);
    assert_int_equal(w->maps, 1);
    assert_int_equal(rights(w, 0x800000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(rights(w, 0x9ff000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(w->offset[0x9ff], 0x3ff000);

    put(w, PD, 5, 0x600000 | USER_PAGE | PTE_PS | USED);
    w->mem.code_holders[0x612] = 1; /* there is code in it: only small pieces can be written */
    assert_int_equal(fill(w, 0xa00000, ACCESS_WRITE), MIRROR_FILLED);
    assert_int_equal(rights(w, 0xa00000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(rights(w, 0xa12000), 0);
}

/* ------------------------------------------------------------------ code */

static void nothing_is_writable_and_executable(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x16, 0x26000 | USER_PAGE);
    assert_int_equal(fill(w, 0x16000, ACCESS_WRITE), MIRROR_FILLED);
    assert_int_equal(fill(w, 0x16000, ACCESS_FETCH), MIRROR_FILLED);
    assert_int_equal(rights(w, 0x16000), MIRROR_READ | MIRROR_EXECUTE);
    assert_int_equal(fill(w, 0x16000, ACCESS_WRITE), MIRROR_FILLED); /* let go of, first */
    assert_int_equal(w->let_go, 0x26000);
    assert_int_equal(rights(w, 0x16000), MIRROR_READ | MIRROR_WRITE);

    w->mem.code_holders[0x26] = 0x80; /* another vCPU holds it */
    mirror_revoke(&w->mirror, 0x26000, MIRROR_WRITE);
    assert_int_equal(rights(w, 0x16000), 0);
    assert_int_equal(fill(w, 0x16000, ACCESS_WRITE), MIRROR_REFUSED);
    assert_int_equal(fill(w, 0x16000, ACCESS_READ), MIRROR_FILLED);
    assert_int_equal(rights(w, 0x16000), MIRROR_READ);
}

static void code_that_may_not_run_is_refused(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x17, 0x27000 | USER_PAGE);
    w->may_execute = false;
    assert_int_equal(fill(w, 0x17000, ACCESS_FETCH), MIRROR_REFUSED);
    assert_int_equal(fill(w, 0x17000, ACCESS_READ), MIRROR_FILLED); /* its bytes may be read */
    assert_int_equal(rights(w, 0x17000), MIRROR_READ);
    put(w, PT, 0x18, 0x28000 | USER_PAGE | PTE_XD);
    assert_int_equal(fill(w, 0x18000, ACCESS_FETCH), MIRROR_FAULT);
}

/* Pages 0x20 to 0x2f, an aligned 64 KiB, of code that has run before. */
static void put_code(struct world *w)
{
    for (unsigned i = 0x20; i < 0x30; i++) {
        put(w, PT, i, (u64)(i + 0x20) << PAGE_SHIFT | USER_PAGE | USED);
    }
}

static void code_is_mapped_from_copies(void **state)
{
    struct world *w = *state;

    put_code(w);
    w->moved = 0x42000; /* the copy of page 0x22 */
    w->moved_to = 0x7000;
    assert_int_equal(fill(w, 0x26000, ACCESS_FETCH), MIRROR_FILLED);
    assert_int_equal(w->maps, 1);
    for (unsigned i = 0x20; i < 0x30; i++) { /* the others follow one another */
        assert_int_equal(rights(w, i << PAGE_SHIFT), i > 0x22 ? MIRROR_READ | MIRROR_EXECUTE : 0);
    }
    assert_int_equal(w->offset[0x2f], 0x4f000);
    assert_int_equal(fill(w, 0x22000, ACCESS_FETCH), MIRROR_FILLED);
    assert_int_equal(w->offset[0x22], w->moved_to);
    mirror_revoke(&w->mirror, 0x42000, MIRROR_EXECUTE); /* by the page, not by the copy */
    assert_int_equal(rights(w, 0x22000), 0);
    mirror_revoke(&w->mirror, 0x4a000, MIRROR_EXECUTE);
    assert_int_equal(rights(w, 0x2a000), 0);
}

static void pages_that_must_not_join_are_not_mapped_side_by_side(void **state)
{
    struct world *w = *state;

    put_code(w);
    w->no_join = 0x47000; /* from 0x27 to 0x28 */
    assert_int_equal(fill(w, 0x25000, ACCESS_FETCH), MIRROR_FILLED);
    assert_int_not_equal(rights(w, 0x20000), 0);
    assert_int_not_equal(rights(w, 0x27000), 0);
    assert_int_equal(rights(w, 0x28000), 0);
    assert_int_equal(fill(w, 0x28000, ACCESS_FETCH), MIRROR_REFUSED);
    mirror_drop(&w->mirror, 0x27000);
    assert_int_equal(fill(w, 0x28000, ACCESS_FETCH), MIRROR_FILLED);
    assert_int_not_equal(rights(w, 0x2f000), 0);
    assert_int_equal(rights(w, 0x27000), 0);
    assert_int_equal(fill(w, 0x27000, ACCESS_FETCH), MIRROR_REFUSED);
    assert_int_equal(fill(w, 0x26000, ACCESS_FETCH), MIRROR_FILLED); /* a piece that ends there */
    assert_int_equal(rights(w, 0x27000), 0);
}

/* The guest has changed its tables and not invalidated: what counts is what is mapped. */
static void a_stale_neighbour_is_a_neighbour(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x60, 0x60000 | USER_PAGE);
    put(w, PT, 0x61, 0x61000 | USER_PAGE);
    assert_int_equal(fill(w, 0x60000, ACCESS_FETCH), MIRROR_FILLED);
    w->no_join = 0x60000;
    put(w, PT, 0x60, 0x62000 | USER_PAGE | USED);
    assert_int_equal(fill(w, 0x61000, ACCESS_FETCH), MIRROR_REFUSED);
    mirror_drop(&w->mirror, 0x60000);
    assert_int_equal(fill(w, 0x61000, ACCESS_FETCH), MIRROR_FILLED);
}

static void an_executable_piece_can_be_revoked(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x19, 0x29000 | USER_PAGE);
    put(w, PT, 0x1b, 0x29000 | USER_PAGE); /* the same page twice */
    put(w, PT, 0x1c, 0x2a000 | USER_PAGE);
    fill(w, 0x19000, ACCESS_FETCH);
    fill(w, 0x1b000, ACCESS_FETCH);
    fill(w, 0x1c000, ACCESS_FETCH);
    mirror_revoke(&w->mirror, 0x29123, MIRROR_EXECUTE);
    assert_int_equal(rights(w, 0x19000), 0);
    assert_int_equal(rights(w, 0x1b000), 0);
    assert_int_equal(rights(w, 0x1c000), MIRROR_READ | MIRROR_EXECUTE);
}

/* ------------------------------------------------------------------ forgetting */

static void invlpg_drops_the_whole_piece(void **state)
{
    struct world *w = *state;

    put(w, PT, 0x30, 0x40000 | USER_PAGE | USED);
    put(w, PT, 0x31, 0x41000 | USER_PAGE | USED);
    fill(w, 0x30000, ACCESS_READ);
    assert_int_not_equal(rights(w, 0x31000), 0);
    mirror_drop(&w->mirror, 0x32000);
    assert_int_not_equal(rights(w, 0x30000), 0);
    mirror_drop(&w->mirror, 0x31fff);
    assert_int_equal(rights(w, 0x30000), 0);
}

static void a_flush_keeps_what_is_still_so(void **state)
{
    struct world *w = *state;
    struct mirror *m = &w->mirror;

    for (unsigned i = 0; i < 6; i++) { /* apart from one another */
        put(w, PT, 0x40 + 2 * i, (u64)(0x60 + i) << PAGE_SHIFT | USER_PAGE | USED);
        fill(w, (0x40 + 2 * i) << PAGE_SHIFT, ACCESS_WRITE);
    }
    mirror_flush(m);
    put(w, PT, 0x40, 0x70000 | USER_PAGE | USED);       /* moved */
    put(w, PT, 0x42, 0x61000 | USER_PAGE | PTE_A);      /* cleaned */
    put(w, PT, 0x44, 0x62000 | USER_PAGE);              /* aged */
    put(w, PT, 0x46, 0x63000 | PTE_P | PTE_US | PTE_A); /* write-protected */
    put(w, PT, 0x48, 0);                                /* gone */
    assert_int_not_equal(rights(w, 0x40000), 0);        /* until guest code is entered */
    mirror_enter(m, &w->paging);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(rights(w, (0x40 + 2 * i) << PAGE_SHIFT), 0);
    }
    assert_int_equal(rights(w, 0x4a000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(m->stats.kept, 1);
}

static void another_address_space_keeps_nothing(void **state)
{
    struct world *w = *state;

    for (int fails = 0; fails < 2; fails++) {
        put(w, PT, 0x50, 0x50000 | USER_PAGE | USED);
        put(w, PT, 0x52, 0x52000 | USER_PAGE | USED);
        w->paging.cr3 = 0x1000;
        mirror_flush(&w->mirror);
        mirror_enter(&w->mirror, &w->paging);
        fill(w, 0x50000, ACCESS_READ);
        fill(w, 0x52000, ACCESS_READ);
        w->paging.cr3 = 0x9000;
        w->unmap_fails = fails;
        mirror_flush(&w->mirror);
        mirror_enter(&w->mirror, &w->paging);
        assert_int_equal(rights(w, 0x50000), 0);
        assert_int_equal(rights(w, 0x52000), 0);
        assert_int_equal(w->mirror.pieces.count, 0);
        w->unmap_fails = false;
    }
}

static void go_to(struct world *w, u64 root)
{
    w->paging.cr3 = root;
    mirror_flush(&w->mirror);
    mirror_enter(&w->mirror, &w->paging);
}

/* ... without a miss for each page, but with nothing that a miss would not have given it now. */
static void a_space_that_comes_back_gets_what_it_had(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0x50; i < 0x60; i++) { /* every other one, so that none joins */
        put(w, PT, i, i % 2 ? 0 : (u64)i << PAGE_SHIFT | USER_PAGE | USED);
    }
    fill(w, 0x50000, ACCESS_READ);
    fill(w, 0x52000, ACCESS_WRITE);
    fill(w, 0x54000, ACCESS_FETCH);
    fill(w, 0x56000, ACCESS_WRITE);
    fill(w, 0x58000, ACCESS_READ);
    fill(w, 0x5a000, ACCESS_READ);
    fill(w, 0x5c000, ACCESS_WRITE);
    go_to(w, 0x9000);
    assert_int_equal(w->mirror.pieces.count, 0);
    put(w, PT, 0x56, 0x56000 | USER_PAGE | PTE_A);                  /* clean again */
    put(w, PT, 0x58, 0x58000 | USER_PAGE);                          /* not accessed since */
    put(w, PT, 0x5a, 0x6a000 | (USER_PAGE & ~(u64)PTE_US) | PTE_A); /* the supervisor's */
    w->mem.code_holders[0x5c] = 0x80;                               /* it holds code now */
    w->let_go = 0;
    go_to(w, 0x1000 | 5); /* with another PCID */
    assert_int_equal(rights(w, 0x50000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(rights(w, 0x52000), MIRROR_READ | MIRROR_WRITE);
    assert_int_equal(rights(w, 0x54000), MIRROR_READ | MIRROR_EXECUTE);
    assert_int_equal(rights(w, 0x56000), 0);
    assert_int_equal(rights(w, 0x58000), 0);
    assert_int_equal(rights(w, 0x5a000), 0);
    assert_int_equal(rights(w, 0x5c000), 0);
    assert_int_equal(w->let_go, 0);
    assert_int_equal(w->mirror.pieces.count, 3);
    assert_int_equal(w->mirror.stats.recalled, 3);
    assert_int_equal(get(w, PT, 0x58), 0x58000 | USER_PAGE); /* and no bits were set for it */
    assert_int_equal(get(w, PT, 0x56), 0x56000 | USER_PAGE | PTE_A);
}

/* Of many pieces, the newest; and what was forgotten for another reason stays forgotten. */
static void not_all_comes_back(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 512; i++) {
        put(w, PT, i, i % 2 ? 0 : (u64)i << PAGE_SHIFT | USER_PAGE | USED);
    }
    for (unsigned i = 2; i <= 2 * (MIRROR_PAST_PIECES + 1); i += 2) {
        fill(w, (gva_t)i << PAGE_SHIFT, ACCESS_READ);
    }
    go_to(w, 0x9000);
    go_to(w, 0x1000);
    assert_int_equal(w->mirror.stats.recalled, MIRROR_PAST_PIECES);
    assert_int_equal(rights(w, 2 * PAGE_SIZE), 0);
    assert_int_equal(piece_oldest(&w->mirror.pieces)->gva, 4 * PAGE_SIZE); /* as old as it was */
    mirror_flush_all(&w->mirror);
    mirror_enter(&w->mirror, &w->paging);
    assert_int_equal(w->mirror.pieces.count, 0);

    fill(w, 2 * PAGE_SIZE, ACCESS_READ);
    w->mirror.user_only = false; /* who knows as what it would be accessed now? */
    go_to(w, 0x9000);
    go_to(w, 0x1000);
    assert_int_equal(w->mirror.pieces.count, 0);
}

static void the_oldest_makes_room(void **state)
{
    struct world *w = *state;

    /* All of the fake process but the hidden zone, by every other page, so that none joins. */
    for (unsigned i = 0; i < 512; i++) {
        put(w, PT, i, i % 2 ? 0 : (u64)i << PAGE_SHIFT | USER_PAGE | USED);
    }
    for (unsigned i = 0; i < 512; i++) {
        put(w, PD, i, PT | USER_PAGE | PTE_A);
    }
    unsigned filled = 0;
    for (gva_t gva = 0; filled <= PIECES; gva += 2 * PAGE_SIZE) {
        filled += fill(w, gva, ACCESS_READ) == MIRROR_FILLED;
    }
    assert_int_equal(w->mirror.pieces.count, PIECES);
    assert_int_equal(rights(w, 0), 0);
    assert_int_not_equal(rights(w, 2 * PAGE_SIZE), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_read_maps_a_clean_page_read_only),
        TEST(a_page_fault_is_the_guests),
        TEST(what_is_not_ram_or_is_ours_is_refused),
        TEST(small_pages_that_follow_are_one_piece),
        TEST(a_large_page_is_one_piece),
        TEST(nothing_is_writable_and_executable),
        TEST(code_that_may_not_run_is_refused),
        TEST(code_is_mapped_from_copies),
        TEST(pages_that_must_not_join_are_not_mapped_side_by_side),
        TEST(a_stale_neighbour_is_a_neighbour),
        TEST(an_executable_piece_can_be_revoked),
        TEST(invlpg_drops_the_whole_piece),
        TEST(a_flush_keeps_what_is_still_so),
        TEST(another_address_space_keeps_nothing),
        TEST(a_space_that_comes_back_gets_what_it_had),
        TEST(not_all_comes_back),
        TEST(the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
