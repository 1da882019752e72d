/*
 * test_mmu.c - the soft TLB: what it keeps and what it forgets, and the complete accesses behind
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "isa/control.h"
#include "isa/paging.h"
#include "isa/vector.h"
#include "mmu/mmu.h"

#define RAM 0x20000u
#define PT  0x4000u /* the last level: 512 pages from gva 0 */

#define USER_PAGE (PTE_P | PTE_RW | PTE_US)

struct access {
    gpa_t gpa;
    u64 value;
    unsigned size;
    bool is_write;
};

struct world {
    struct mem mem;
    struct mmu mmu;
    struct access mmio[16];
    unsigned mmio_count;
    gpa_t written; /* the last code_written() */
    unsigned written_size, written_count;
};

static u64 mmio_read(void *context, gpa_t gpa, unsigned size)
{
    struct world *w = context;
    w->mmio[w->mmio_count++] = (struct access){gpa, 0, size, false};
    return 0x8877665544332211ull + gpa;
}

static void mmio_write(void *context, gpa_t gpa, u64 value, unsigned size)
{
    struct world *w = context;
    w->mmio[w->mmio_count++] = (struct access){gpa, value, size, true};
}

static void on_code_written(void *context, gpa_t gpa, unsigned size)
{
    struct world *w = context;
    w->written = gpa;
    w->written_size = size;
    w->written_count++;
}

static void map(struct world *w, gva_t gva, u64 entry)
{
    memcpy(w->mem.base + PT + (gva >> PAGE_SHIFT) * 8, &entry, 8);
}

static int set_up(void **state)
{
    static const struct mmu_ops ops = {mmio_read, mmio_write, on_code_written};
    struct world *w = calloc(1, sizeof(*w));
    w->mem.base = aligned_alloc(PAGE_SIZE, RAM);
    memset(w->mem.base, 0, RAM);
    w->mem.low_size = RAM;
    w->mem.code_holders = calloc(RAM / PAGE_SIZE, 1);
    for (u64 level = 1; level < 4; level++) {
        u64 entry = (level + 1) << PAGE_SHIFT | USER_PAGE;
        memcpy(w->mem.base + level * PAGE_SIZE, &entry, 8);
    }
    mmu_init(&w->mmu, &w->mem, &ops, w);
    w->mmu.paging = (struct paging){.cr0 = CR0_PE | CR0_PG | CR0_WP,
                                    .cr3 = 0x1000,
                                    .cr4 = CR4_PAE,
                                    .efer = EFER_LMA | EFER_NXE,
                                    .physical_bits = 40};
    for (gva_t page = 8; page < 16; page++) {
        map(w, page << PAGE_SHIFT, page << PAGE_SHIFT | USER_PAGE);
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    free(w->mem.base);
    free(w->mem.code_holders);
    free(w);
    return 0;
}

static void *host(struct world *w, gva_t gva, unsigned access)
{
    bool faulted;
    void *hva = mmu_host(&w->mmu, gva, 1, access, &faulted);
    assert_false(faulted);
    return hva;
}

/* ------------------------------------------------------------------ the TLB */

static void a_read_proves_no_write(void **state)
{
    struct world *w = *state;
    assert_null(tlb_read(&w->mmu, 0x8010, 4));
    assert_ptr_equal(host(w, 0x8010, ACCESS_READ), w->mem.base + 0x8010);
    assert_ptr_equal(tlb_read(&w->mmu, 0x8ffc, 4), w->mem.base + 0x8ffc);
    assert_null(tlb_write(&w->mmu, 0x8010, 4)); /* the dirty bit is not set */
    assert_non_null(host(w, 0x8010, ACCESS_WRITE));
    assert_ptr_equal(tlb_write(&w->mmu, 0x8ff8, 8), w->mem.base + 0x8ff8);
    assert_ptr_equal(tlb_read(&w->mmu, 0x8000, 8), w->mem.base + 0x8000);
    /* Once it is set, a read fills both. */
    mmu_flush(&w->mmu);
    host(w, 0x8010, ACCESS_READ);
    assert_non_null(tlb_write(&w->mmu, 0x8010, 4));
}

static void no_access_across_pages_matches(void **state)
{
    struct world *w = *state;
    host(w, 0x8000, ACCESS_WRITE);
    host(w, 0x9000, ACCESS_WRITE);
    for (unsigned size = 2; size <= 8; size *= 2) {
        for (unsigned over = 1; over < size; over++) {
            assert_null(tlb_read(&w->mmu, 0x9000 - size + over, size));
            assert_null(tlb_write(&w->mmu, 0x9000 - size + over, size));
        }
        assert_non_null(tlb_read(&w->mmu, 0x9000 - size, size));
    }
}

static void entries_are_stale_until_flushed(void **state)
{
    struct world *w = *state;
    u64 epoch = w->mmu.epoch;
    host(w, 0x8000, ACCESS_WRITE);
    host(w, 0x9000, ACCESS_WRITE);
    map(w, 0x8000, 0);
    assert_non_null(tlb_read(&w->mmu, 0x8000, 8));
    mmu_flush_page(&w->mmu, 0x8123);
    assert_null(tlb_read(&w->mmu, 0x8000, 8));
    assert_null(tlb_write(&w->mmu, 0x8000, 8));
    assert_non_null(tlb_write(&w->mmu, 0x9000, 8));
    assert_true(w->mmu.epoch > epoch);
    epoch = w->mmu.epoch;
    mmu_flush(&w->mmu);
    assert_null(tlb_read(&w->mmu, 0x9000, 8));
    assert_true(w->mmu.epoch > epoch);
}

static void pages_with_one_slot_replace_each_other(void **state)
{
    struct world *w = *state;
    gva_t other = 0x8000 + TLB_ENTRIES * PAGE_SIZE;
    u64 table = 0x5000 | USER_PAGE;
    memcpy(w->mem.base + 0x3000 + (other >> 21) * 8, &table, 8);
    table = 0xa000 | USER_PAGE;
    memcpy(w->mem.base + 0x5000 + (other >> 12 & 511) * 8, &table, 8);
    host(w, 0x8000, ACCESS_WRITE);
    host(w, other, ACCESS_READ);
    assert_null(tlb_read(&w->mmu, 0x8000, 1));
    assert_null(tlb_write(&w->mmu, 0x8000, 1));
    assert_ptr_equal(tlb_read(&w->mmu, other, 1), w->mem.base + 0xa000);
    assert_null(tlb_write(&w->mmu, other, 1));
}

/* A generation that comes round again must not bring old entries back. */
static void the_generation_wraps(void **state)
{
    struct world *w = *state;
    for (unsigned start = 0; start < 3; start++) {
        host(w, 0x8000, ACCESS_WRITE);
        for (u64 i = 0; i < 2 * TLB_GENERATION_MAX + 3; i++) {
            mmu_flush(&w->mmu);
            assert_null(tlb_read(&w->mmu, 0x8000, 1));
            assert_null(tlb_write(&w->mmu, 0x8000, 1));
            assert_in_range(w->mmu.generation, 1, TLB_GENERATION_MAX);
        }
    }
}

static void privileges_have_sets_of_their_own(void **state)
{
    struct world *w = *state;
    u32 faults = 0;
    bool faulted;
    map(w, 0x8000, 0x8000 | PTE_P | PTE_RW);
    host(w, 0x8000, ACCESS_READ);
    mmu_select_set(&w->mmu, TLB_USER);
    assert_null(tlb_read(&w->mmu, 0x8000, 1));
    assert_null(mmu_host(&w->mmu, 0x8000, 1, ACCESS_USER, &faulted));
    faults += faulted;
    assert_int_equal(w->mmu.fault.error, PF_PRESENT | PF_USER);
    assert_int_equal(w->mmu.fault.gva, 0x8000);
    /* SMAP: only the set of AC holds a user page. */
    w->mmu.paging.cr4 |= CR4_SMAP;
    host(w, 0x9000, ACCESS_READ | ACCESS_AC);
    mmu_select_set(&w->mmu, TLB_SUPERVISOR);
    assert_null(tlb_read(&w->mmu, 0x9000, 1));
    assert_null(mmu_host(&w->mmu, 0x9000, 1, ACCESS_READ, &faulted));
    faults += faulted;
    mmu_select_set(&w->mmu, TLB_SUPERVISOR_AC);
    assert_non_null(tlb_read(&w->mmu, 0x9000, 1));
    mmu_select_set(&w->mmu, TLB_UNCACHED);
    assert_null(tlb_read(&w->mmu, 0x9000, 1));
    assert_int_equal(faults, 2);
}

static void fetches_are_kept_apart(void **state)
{
    struct world *w = *state;
    gpa_t gpa;
    u8 *hva;
    map(w, 0x8000, 0x8000 | USER_PAGE | PTE_XD);
    host(w, 0x8000, ACCESS_READ);
    assert_false(mmu_fetch(&w->mmu, 0x8004, 0, &gpa, &hva));
    assert_int_equal(w->mmu.fault.error, PF_PRESENT | PF_FETCH);
    for (unsigned i = 0; i < 2; i++) { /* by the walker, then by the TLB */
        u64 misses = w->mmu.tlb_misses;
        assert_true(mmu_fetch(&w->mmu, 0x9004, 0, &gpa, &hva));
        assert_int_equal(gpa, 0x9004);
        assert_ptr_equal(hva, w->mem.base + 0x9004);
        assert_int_equal(w->mmu.tlb_misses - misses, i == 0);
    }
    assert_null(tlb_read(&w->mmu, 0x9004, 1));
    map(w, 0xa000, 0xfee00000 | USER_PAGE);
    assert_true(mmu_fetch(&w->mmu, 0xa004, 0, &gpa, &hva));
    assert_int_equal(gpa, 0xfee00004);
    assert_null(hva);
}

/* ------------------------------------------------------------------ whole accesses */

static void an_access_crosses_into_another_page(void **state)
{
    struct world *w = *state;
    u8 bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8}, back[16];
    map(w, 0x9000, 0xc000 | USER_PAGE); /* not the next one in memory */
    assert_true(mmu_write(&w->mmu, 0x8ffd, bytes, 8, 0));
    assert_memory_equal(w->mem.base + 0x8ffd, bytes, 3);
    assert_memory_equal(w->mem.base + 0xc000, bytes + 3, 5);
    assert_true(mmu_read(&w->mmu, 0x8ffd, back, 8, 0));
    assert_memory_equal(back, bytes, 8);
}

static void a_store_that_faults_has_stored_nothing(void **state)
{
    struct world *w = *state;
    u8 zero[8] = {0};
    u64 value = ~0ull;
    map(w, 0x9000, 0x9000 | PTE_P | PTE_US);
    assert_false(mmu_write(&w->mmu, 0x8ffc, &value, 8, ACCESS_USER));
    assert_int_equal(w->mmu.fault.gva, 0x9000);
    assert_int_equal(w->mmu.fault.error, PF_PRESENT | PF_WRITE | PF_USER);
    assert_memory_equal(w->mem.base + 0x8ffc, zero, 4);
    assert_false(mmu_probe_write(&w->mmu, 0x8ffc, 8, ACCESS_USER));
    assert_true(mmu_probe_write(&w->mmu, 0x8ff8, 8, ACCESS_USER));
    assert_true(mmu_read(&w->mmu, 0x8ffc, &value, 8, ACCESS_USER));
    map(w, 0x9000, 0);
    mmu_flush(&w->mmu);
    assert_false(mmu_read(&w->mmu, 0x8fff, &value, 2, ACCESS_USER));
    assert_int_equal(w->mmu.fault.gva, 0x9000);
    assert_int_equal(w->mmu.fault.error, PF_USER);
}

static void check_mmio(struct world *w, unsigned i, gpa_t gpa, unsigned size, bool is_write)
{
    assert_true(i < w->mmio_count);
    assert_int_equal(w->mmio[i].gpa, gpa);
    assert_int_equal(w->mmio[i].size, size);
    assert_int_equal(w->mmio[i].is_write, is_write);
}

static void mmio_units(void **state)
{
    static const struct {
        unsigned offset, size;
        u8 units[5];
    } cases[] = {
        {0, 8, {8}},          {0, 4, {4}},       {4, 4, {4}},    {4, 8, {4, 4}},    {2, 4, {2, 2}},
        {3, 8, {1, 4, 2, 1}}, {1, 4, {1, 2, 1}}, {7, 2, {1, 1}}, {6, 8, {2, 4, 2}}, {8, 16, {8, 8}},
    };
    struct world *w = *state;
    map(w, 0x8000, 0xfee00000 | USER_PAGE);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        for (unsigned is_write = 0; is_write < 2; is_write++) {
            u64 buffer[2] = {0x8877665544332211ull, 0};
            gpa_t gpa = 0xfee00000 + cases[i].offset;
            w->mmio_count = 0;
            if (is_write) {
                assert_true(mmu_write(&w->mmu, 0x8000 + cases[i].offset, buffer, cases[i].size, 0));
                assert_int_equal(w->mmio[0].value, buffer[0] & bits_mask(cases[i].units[0] * 8));
            } else {
                assert_true(mmu_read(&w->mmu, 0x8000 + cases[i].offset, buffer, cases[i].size, 0));
            }
            for (unsigned k = 0; cases[i].units[k]; k++) {
                check_mmio(w, k, gpa, cases[i].units[k], is_write);
                gpa += cases[i].units[k];
            }
            assert_int_equal(gpa, 0xfee00000 + cases[i].offset + cases[i].size);
        }
    }
}

static void an_access_may_be_half_mmio(void **state)
{
    struct world *w = *state;
    u64 value = 0x8877665544332211ull;
    map(w, 0x9000, 0xfee00000 | USER_PAGE);
    assert_true(mmu_write(&w->mmu, 0x8ffc, &value, 8, 0));
    assert_memory_equal(w->mem.base + 0x8ffc, &value, 4);
    check_mmio(w, 0, 0xfee00000, 4, true);
    assert_int_equal(w->mmio[0].value, 0x88776655);
    assert_int_equal(w->mmio_count, 1);
}

static void stores_into_code_are_seen(void **state)
{
    struct world *w = *state;
    u32 value = 0x90909090;
    host(w, 0x8000, ACCESS_WRITE);
    host(w, 0x9000, ACCESS_WRITE);
    w->mem.code_holders[8] = 1;
    mmu_watch_code(&w->mmu, 0x8000);
    assert_null(tlb_write(&w->mmu, 0x8000, 4));
    assert_non_null(tlb_read(&w->mmu, 0x8000, 4));
    assert_non_null(tlb_write(&w->mmu, 0x9000, 4));
    assert_null(host(w, 0x8000, ACCESS_WRITE)); /* nobody may store there directly */
    assert_null(tlb_write(&w->mmu, 0x8000, 4));
    assert_true(mmu_write(&w->mmu, 0x8ffe, &value, 4, 0));
    assert_int_equal(w->written_count, 1);
    assert_int_equal(w->written, 0x8ffe);
    assert_int_equal(w->written_size, 2);
    assert_true(mmu_write(&w->mmu, 0x9100, &value, 4, 0));
    assert_int_equal(w->written_count, 1);
    /* The same page by another address. */
    map(w, 0xa000, 0x8000 | USER_PAGE);
    assert_null(host(w, 0xa000, ACCESS_WRITE));
    assert_true(mmu_write(&w->mmu, 0xa010, &value, 4, 0));
    assert_int_equal(w->written, 0x8010);
}

static void watching_reaches_every_alias_and_set(void **state)
{
    struct world *w = *state;
    map(w, 0xa000, 0x8000 | USER_PAGE);
    host(w, 0x8000, ACCESS_WRITE);
    host(w, 0xa000, ACCESS_WRITE);
    host(w, 0x8000, ACCESS_WRITE | ACCESS_USER);
    w->mem.code_holders[8] = 1;
    mmu_watch_code(&w->mmu, 0x8000);
    assert_null(tlb_write(&w->mmu, 0x8000, 1));
    assert_null(tlb_write(&w->mmu, 0xa000, 1));
    mmu_select_set(&w->mmu, TLB_USER);
    assert_null(tlb_write(&w->mmu, 0x8000, 1));
}

/* Outside long mode linear addresses are 32 bits wide: an access wraps at 4 GiB. */
static void legacy_addresses_wrap(void **state)
{
    struct world *w = *state;
    static const u8 wrapped[] = {0x33, 0x44};
    u32 value = 0x44332211;
    w->mmu.paging.cr0 = CR0_PE;
    w->mmu.paging.efer = 0;
    assert_true(mmu_write(&w->mmu, 0xfffffffe, &value, 4, 0));
    check_mmio(w, 0, 0xfffffffe, 2, true);
    assert_memory_equal(w->mem.base, wrapped, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_read_proves_no_write),
        TEST(no_access_across_pages_matches),
        TEST(entries_are_stale_until_flushed),
        TEST(pages_with_one_slot_replace_each_other),
        TEST(the_generation_wraps),
        TEST(privileges_have_sets_of_their_own),
        TEST(fetches_are_kept_apart),
        TEST(an_access_crosses_into_another_page),
        TEST(a_store_that_faults_has_stored_nothing),
        TEST(mmio_units),
        TEST(an_access_may_be_half_mmio),
        TEST(stores_into_code_are_seen),
        TEST(watching_reaches_every_alias_and_set),
        TEST(legacy_addresses_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
