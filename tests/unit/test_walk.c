/*
 * test_walk.c - the page walker against a plain model of it, on random page tables.
 *
 * The model is written from the manual's tables (Intel SDM vol. 3A, "Paging": "Access Rights",
 * "Page-Fault Exceptions", and the formats of entries), one function for each paging mode, and
 * shares nothing with walk.c.  Page tables are made of entries with every combination of P, R/W,
 * U/S, A, D, PS, G, XD and of single reserved bits, and sometimes lie outside RAM.
 */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "isa/control.h"
#include "isa/vector.h"
#include "mmu/walk.h"

#define RAM   0x10000u
#define FRAME 0xfffff000u

static u64 random_state = 0x2545f4914f6cdd1dull;

static u64 random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x9e3779b97f4a7c15ull;
}

static bool one_in(unsigned n)
{
    return (random_u64() >> 20) % n == 0;
}

/* ------------------------------------------------------------------ the model */

struct model {
    const u8 *ram;
    const struct paging *p;
    unsigned access;
    /* what comes out */
    bool ok;
    u32 error;
    u64 gpa, page_size;
    bool user, writable, executable, global, dirty;
    gpa_t used[4]; /* the entries, from the top */
    unsigned used_count;
};

static u64 model_entry(struct model *m, gpa_t gpa, unsigned bytes)
{
    u64 value = bytes == 4 ? 0xffffffff : ~0ull;
    if (m->p->a20_off) {
        gpa &= ~0x100000ull;
    }
    if (gpa < RAM) {
        value = 0;
        memcpy(&value, m->ram + gpa, bytes);
    }
    m->used[m->used_count++] = gpa;
    return value;
}

static void model_fault(struct model *m, bool present, bool reserved)
{
    const struct paging *p = m->p;
    bool fetch_is_told = (p->cr4 & CR4_SMEP) || ((p->cr4 & CR4_PAE) && (p->efer & EFER_NXE));
    m->ok = false;
    m->error = (present ? 1 : 0) | (m->access & ACCESS_WRITE ? 2 : 0) |
               (m->access & ACCESS_USER ? 4 : 0) | (reserved ? 8 : 0) |
               ((m->access & ACCESS_FETCH) && fetch_is_told ? 16 : 0);
}

/* "Determination of Access Rights", case by case. */
static bool model_allows(const struct model *m)
{
    const struct paging *p = m->p;
    bool wp = p->cr0 & CR0_WP, smap = p->cr4 & CR4_SMAP, smep = p->cr4 & CR4_SMEP;
    bool no_smap = !smap || (m->access & ACCESS_AC);

    if (m->access & ACCESS_USER) {
        if (!m->user) {
            return false;
        }
        if (m->access & ACCESS_FETCH) {
            return m->executable;
        }
        return m->access & ACCESS_WRITE ? m->writable : true;
    }
    if (m->access & ACCESS_FETCH) {
        return m->user ? !smep && m->executable : m->executable;
    }
    if (m->access & ACCESS_WRITE) {
        if (m->user) {
            return no_smap && (!wp || m->writable);
        }
        return !wp || m->writable;
    }
    return m->user ? no_smap : true;
}

static void model_page(struct model *m, u64 entry, u64 base, u64 size, gva_t gva)
{
    if (!model_allows(m)) {
        model_fault(m, true, false);
        return;
    }
    m->ok = true;
    m->gpa = base + (gva & (size - 1));
    m->page_size = size;
    if (m->p->a20_off) {
        m->gpa &= ~0x100000ull;
        m->page_size = 0x1000;
    }
    m->global = (entry >> 8 & 1) && (m->p->cr4 & CR4_PGE);
    m->dirty = entry >> 6 & 1;
}

static void model_rights(struct model *m, u64 entry, bool has_xd)
{
    m->writable = m->writable && (entry >> 1 & 1);
    m->user = m->user && (entry >> 2 & 1);
    m->executable = m->executable && !(has_xd && entry >> 63);
}

static void model_32(struct model *m, gva_t gva)
{
    u64 pde = model_entry(m, (m->p->cr3 & FRAME) + (gva >> 22 & 1023) * 4, 4);
    bool outside = m->used[0] >= RAM, large = (pde & 0x80) && (m->p->cr4 & CR4_PSE);
    unsigned width = m->p->physical_bits < 40 ? m->p->physical_bits : 40;

    if (!(pde & 1)) {
        model_fault(m, false, false);
        return;
    }
    for (unsigned bit = 13; large && bit <= 21; bit++) {
        bool is_reserved = bit == 21 || bit + 19 >= width;
        if (is_reserved && (pde >> bit & 1)) {
            model_fault(m, true, true);
            return;
        }
    }
    if (outside) {
        model_fault(m, true, true);
        return;
    }
    model_rights(m, pde, false);
    if (large) {
        model_page(m, pde, (pde & 0xffc00000) + ((pde >> 13 & 0xff) << 32), 1 << 22, gva);
        return;
    }
    u64 pte = model_entry(m, (pde & FRAME) + (gva >> 12 & 1023) * 4, 4);
    if (!(pte & 1)) {
        model_fault(m, false, false);
    } else if (m->used[1] >= RAM) {
        model_fault(m, true, true);
    } else {
        model_rights(m, pte, false);
        model_page(m, pte, pte & FRAME, 4096, gva);
    }
}

/* Has a 64-bit entry reserved bits?  top: of the address field's reserved part. */
static bool model_reserved(const struct model *m, u64 entry, unsigned top, unsigned low_reserved)
{
    for (unsigned bit = m->p->physical_bits; bit <= top; bit++) {
        if (entry >> bit & 1) {
            return true;
        }
    }
    for (unsigned bit = 13; bit < low_reserved; bit++) {
        if (entry >> bit & 1) {
            return true;
        }
    }
    return entry >> 63 && !(m->p->efer & EFER_NXE);
}

/* The levels from shift down, of PAE and 4-level paging. */
static void model_64(struct model *m, gpa_t table, gva_t gva, unsigned shift, unsigned top)
{
    for (;; shift -= 9) {
        u64 e = model_entry(m, table + (gva >> shift & 511) * 8, 8);
        bool outside = m->used[m->used_count - 1] >= RAM;
        bool is_large = (shift == 30 || shift == 21) && (e & 0x80);
        if (!(e & 1)) {
            model_fault(m, false, false);
            return;
        }
        if (outside || model_reserved(m, e, top, is_large ? shift : 0) ||
            (shift == 39 && (e & 0x80))) {
            model_fault(m, true, true);
            return;
        }
        model_rights(m, e, true);
        if (shift == 12 || is_large) {
            model_page(m, e, e & 0x000ffffffffff000ull & ~((1ull << shift) - 1), 1ull << shift,
                       gva);
            return;
        }
        table = e & 0x000ffffffffff000ull;
    }
}

static struct model model_walk(const u8 *ram, const struct paging *p, gva_t gva, unsigned access)
{
    struct model m = {
        .ram = ram, .p = p, .access = access, .user = true, .writable = true, .executable = true};
    if (p->efer & EFER_LMA) {
        model_64(&m, p->cr3 & 0x000ffffffffff000ull, gva, 39, 51);
    } else if (p->cr4 & CR4_PAE) {
        u64 pdpte = p->pdpte[gva >> 30 & 3];
        if (pdpte & 1) {
            model_64(&m, pdpte & 0x000ffffffffff000ull, gva, 21, 62);
        } else {
            model_fault(&m, false, false);
        }
    } else {
        model_32(&m, gva);
    }
    return m;
}

/* ------------------------------------------------------------------ random tables */

struct world {
    struct mem mem;
    u8 before[RAM];
    struct paging p;
    unsigned succeeded, faulted, reserved;
};

static u64 random_table(void)
{
    u64 outside = one_in(2) ? 0x7ff00000 : 0x100000; /* the latter is inside where A20 is off */
    return (one_in(40) ? outside : 0) + (random_u64() % (RAM / 4096) << 12);
}

static u64 random_entry64(unsigned physical_bits)
{
    u64 e = random_table() | (random_u64() & 0x1e6) | 1;
    e |= one_in(4) ? 0x80 : 0;
    e |= one_in(4) ? 1ull << 63 : 0;
    e &= one_in(12) ? ~1ull : ~0ull;
    e |= one_in(20) ? 1ull << (physical_bits + random_u64() % (63 - physical_bits)) : 0;
    if (e & 0x80) {
        e &= one_in(3) ? ~0ull : one_in(2) ? ~0x1fe000ull : ~0x3fffe000ull;
        e |= one_in(10) ? 1ull << (12 + random_u64() % 18) : 0;
    }
    return one_in(6) ? e : e | 6;
}

static u32 random_entry32(void)
{
    u32 e = (u32)random_table() | (u32)(random_u64() & 0x1e6) | 1;
    e |= one_in(4) ? 0x80 : 0;
    e &= one_in(12) ? ~1u : ~0u;
    if ((e & 0x80) && !one_in(3)) {
        e = (e & ~0x3fe000u) | (one_in(4) ? 1u << (13 + random_u64() % 9) : 0);
    }
    return one_in(6) ? e : e | 6;
}

static void randomize(struct world *w)
{
    static const u8 widths[] = {32, 36, 39, 40, 46, 52};
    unsigned mode = random_u64() % 3;
    u64 random = random_u64();

    w->p = (struct paging){.cr0 = CR0_PE | CR0_PG | (random & CR0_WP)};
    w->p.physical_bits = widths[random_u64() % ARRAY_SIZE(widths)];
    w->p.a20_off = one_in(8) ? BIT(20) : 0;
    w->p.cr3 = random_table() | (random_u64() & 0xfff);
    w->p.cr4 = random & (CR4_PSE | CR4_PGE | CR4_SMEP | CR4_SMAP);
    w->p.efer = random & EFER_NXE;
    if (mode > 0) {
        w->p.cr4 |= CR4_PAE;
        w->p.efer |= mode == 2 ? EFER_LMA | EFER_LME : 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        w->p.pdpte[i] = random_table() | !one_in(8);
    }
    for (unsigned at = 0; at < RAM; at += 8) {
        u64 e = mode ? random_entry64(w->p.physical_bits)
                     : random_entry32() | (u64)random_entry32() << 32;
        memcpy(w->mem.base + at, &e, 8);
    }
    memcpy(w->before, w->mem.base, RAM);
}

static unsigned random_access(void)
{
    static const unsigned kinds[] = {ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH};
    unsigned access = kinds[random_u64() % 3];
    return access | (one_in(2) ? ACCESS_USER : one_in(2) ? ACCESS_AC : 0);
}

/* After a walk: accessed and dirty bits where they belong, all else as before. */
static void check_memory(struct world *w, const struct model *m, unsigned access)
{
    if (m->ok) {
        for (unsigned i = 0; i < m->used_count; i++) {
            w->before[m->used[i]] |= 0x20;
        }
        if (access & ACCESS_WRITE) {
            w->before[m->used[m->used_count - 1]] |= 0x40;
        }
    }
    assert_memory_equal(w->mem.base, w->before, RAM);
}

static void try_one(struct world *w)
{
    gva_t gva = random_u64();
    unsigned access = random_access();
    struct walk walk;
    u32 error = 0;

    gva = w->p.efer & EFER_LMA ? bits_sign_extend(gva, 48) : (u32)gva;
    struct model m = model_walk(w->before, &w->p, gva, access);
    bool ok = mmu_walk(&w->mem, &w->p, gva, access, &walk, &error);
    assert_int_equal(ok, m.ok);
    if (!ok) {
        assert_int_equal(error, m.error);
        w->faulted++;
        w->reserved += error >> 3 & 1;
        return;
    }
    w->succeeded++;
    assert_int_equal(walk.gpa, m.gpa);
    assert_int_equal(walk.page_size, m.page_size);
    assert_int_equal(walk.user, m.user);
    assert_int_equal(walk.executable, m.executable);
    assert_int_equal(walk.global, m.global);
    /* A store may use the TLB entry if it would be allowed, and has nothing left to set. */
    struct model store = m;
    store.access = (access & ~(unsigned)ACCESS_FETCH) | ACCESS_WRITE;
    assert_int_equal(walk.writable, model_allows(&store) && (m.dirty || (access & ACCESS_WRITE)));
    check_memory(w, &m, access);
}

static void random_tables(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    (void)state;
    w->mem.base = test_calloc(1, RAM);
    w->mem.low_size = RAM;
    for (unsigned i = 0; i < 300; i++) {
        randomize(w);
        for (unsigned k = 0; k < 1000; k++) {
            try_one(w);
        }
        assert_memory_equal(w->mem.base, w->before, RAM);
    }
    printf("%u walks succeeded, %u faulted, %u of them by reserved bits\n", w->succeeded,
           w->faulted, w->reserved);
    assert_true(w->succeeded > 50000 && w->faulted > 50000 && w->reserved > 20000);
    test_free(w->mem.base);
    test_free(w);
}

/* ------------------------------------------------------------------ by hand */

static void paging_off(void **state)
{
    struct mem mem = {0};
    struct paging p = {.cr0 = CR0_PE};
    struct walk walk;
    u32 error;
    (void)state;
    assert_true(mmu_walk(&mem, &p, 0x123456789abcull, ACCESS_WRITE | ACCESS_USER, &walk, &error));
    assert_int_equal(walk.gpa, 0x56789abc);
    assert_true(walk.writable && walk.executable && walk.user && !walk.global);
}

/* One path through tables at 0x1000, 0x2000, ... to a page. */
static struct mem one_path(u64 last)
{
    static u64 ram[RAM / 8];
    memset(ram, 0, sizeof(ram));
    ram[0x1000 / 8] = 0x2000 | 7;
    ram[0x2000 / 8] = 0x3000 | 7;
    ram[0x3000 / 8] = 0x4000 | 7;
    ram[0x4000 / 8] = last;
    return (struct mem){.base = (u8 *)ram, .low_size = RAM};
}

static void peeking_sets_nothing(void **state)
{
    struct mem mem = one_path(0x5000 | 7);
    struct paging p = {.cr0 = CR0_PE | CR0_PG,
                       .cr3 = 0x1000,
                       .cr4 = CR4_PAE | CR4_SMAP,
                       .efer = EFER_LMA,
                       .physical_bits = 40};
    struct walk walk;
    u32 error;
    u8 before[RAM];
    (void)state;
    memcpy(before, mem.base, RAM);
    assert_false(mmu_walk(&mem, &p, 0, ACCESS_READ, &walk, &error)); /* SMAP */
    assert_int_equal(error, PF_PRESENT);
    assert_true(mmu_walk(&mem, &p, 0, ACCESS_READ | ACCESS_PEEK, &walk, &error));
    assert_int_equal(walk.gpa, 0x5000);
    assert_memory_equal(mem.base, before, RAM);
}

static void page_tables_outside_ram(void **state)
{
    struct mem mem = one_path(7);
    struct paging p = {.cr0 = CR0_PE | CR0_PG,
                       .cr3 = 0xfee00000,
                       .cr4 = CR4_PAE,
                       .efer = EFER_LMA | EFER_NXE,
                       .physical_bits = 52};
    struct walk walk;
    u32 error;
    (void)state;
    assert_false(mmu_walk(&mem, &p, 0, ACCESS_WRITE | ACCESS_USER, &walk, &error));
    assert_int_equal(error, PF_PRESENT | PF_RESERVED | PF_WRITE | PF_USER);
    p.cr3 = RAM; /* just after it */
    assert_false(mmu_walk(&mem, &p, 0, ACCESS_READ, &walk, &error));
    assert_int_equal(error, PF_PRESENT | PF_RESERVED);
    p.cr3 = 0x1000;
    assert_true(mmu_walk(&mem, &p, 0, ACCESS_READ, &walk, &error));
    assert_int_equal(walk.gpa, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tables),
        cmocka_unit_test(paging_off),
        cmocka_unit_test(peeking_sets_nothing),
        cmocka_unit_test(page_tables_outside_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
