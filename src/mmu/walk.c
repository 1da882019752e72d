/*
 * walk.c - the page walker, for 32-bit, PAE and 4-level paging.
 *
 * The three formats differ in the width of an entry, the number of levels and which bits are
 * reserved; struct format says so, and one loop walks them all.  Intel SDM vol. 3A, "Paging":
 * "32-Bit Paging", "PAE Paging", "4-Level Paging", "Access Rights", "Page-Fault Exceptions".
 */
#include "mmu/walk.h"

#include "base/bits.h"
#include "isa/control.h"
#include "isa/paging.h"
#include "isa/vector.h"

#define MAX_LEVELS 4

struct format {
    u8 entry_bytes; /* 4 or 8 */
    u8 levels;
    u8 index_bits;          /* of the address, per level */
    bool large[MAX_LEVELS]; /* by level, 0 being the last: may an entry map a page (PS)? */
};

static const struct format format_32 = {4, 2, 10, {true, true}};
static const struct format format_pae = {8, 2, 9, {true, true}};
static const struct format format_4level = {8, 4, 9, {true, true, true, false}};

static u8 *entry_ptr(const struct mem *mem, const struct format *f, gpa_t table, gva_t gva,
                     unsigned level, u64 a20_off)
{
    unsigned shift = PAGE_SHIFT + level * f->index_bits;
    u64 index = bits_get(gva, shift, f->index_bits);
    return mem_ptr(mem, (table + index * f->entry_bytes) & ~a20_off);
}

static u64 entry_load(const struct format *f, const u8 *entry)
{
    if (!entry) {
        return ~0ull; /* nothing answers on the bus: the entry has reserved bits set */
    }
    return f->entry_bytes == 4 ? __atomic_load_n((const u32 *)entry, __ATOMIC_RELAXED)
                               : __atomic_load_n((const u64 *)entry, __ATOMIC_RELAXED);
}

static void entry_set_bits(const struct format *f, u8 *entry, u64 old, u64 bits)
{
    if ((old & bits) == bits) {
        return;
    }
    if (f->entry_bytes == 4) {
        __atomic_fetch_or((u32 *)entry, (u32)bits, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_or((u64 *)entry, bits, __ATOMIC_RELAXED);
    }
}

/* The bits that must be 0 in a present entry at this level. */
static u64 reserved_bits(const struct paging *paging, const struct format *f, unsigned level,
                         u64 entry)
{
    if (f == &format_32) {
        if (level == 0 || !(entry & PTE_PS) || !(paging->cr4 & CR4_PSE)) {
            return 0;
        }
        /* PSE-36: bits 20:13 are address bits 39:32, bit 21 is reserved. */
        u64 high =
            bits_mask(40) & ~bits_mask(paging->physical_bits < 40 ? paging->physical_bits : 40);
        return BIT(21) | (high >> 32 << 13);
    }
    u64 reserved = f == &format_pae ? bits_mask(63) & ~bits_mask(paging->physical_bits)
                                    : bits_mask(52) & ~bits_mask(paging->physical_bits);
    if (!(paging->efer & EFER_NXE)) {
        reserved |= PTE_XD;
    }
    if (level == 3) {
        reserved |= PTE_PS;
    } else if (level > 0 && (entry & PTE_PS)) {
        reserved |= bits_mask(PAGE_SHIFT + level * 9) & ~bits_mask(13);
    }
    return reserved;
}

static bool maps_page(const struct paging *paging, const struct format *f, unsigned level,
                      u64 entry)
{
    if (level == 0) {
        return true;
    }
    return f->large[level] && (entry & PTE_PS) && (f != &format_32 || (paging->cr4 & CR4_PSE));
}

static gpa_t page_address(const struct format *f, unsigned level, u64 entry)
{
    if (f == &format_32) {
        return level ? (entry & 0xffc00000) | (bits_get(entry, 13, 8) << 32) : entry & 0xfffff000;
    }
    return entry & PTE_ADDRESS & ~bits_mask(PAGE_SHIFT + level * 9);
}

/* May this access use a page with these combined rights? */
static bool permitted(const struct paging *paging, unsigned access, bool user, bool writable,
                      bool executable)
{
    if (access & ACCESS_USER) {
        return user && (!(access & ACCESS_WRITE) || writable) &&
               (!(access & ACCESS_FETCH) || executable);
    }
    if (access & ACCESS_FETCH) {
        return executable && !(user && (paging->cr4 & CR4_SMEP));
    }
    if (user && (paging->cr4 & CR4_SMAP) && !(access & (ACCESS_AC | ACCESS_PEEK))) {
        return false;
    }
    return !(access & ACCESS_WRITE) || writable || !(paging->cr0 & CR0_WP);
}

static u32 error_code(const struct paging *paging, unsigned access, u32 why)
{
    bool tells_fetch =
        (paging->cr4 & CR4_SMEP) || ((paging->cr4 & CR4_PAE) && (paging->efer & EFER_NXE));
    return why | (access & ACCESS_WRITE ? PF_WRITE : 0) | (access & ACCESS_USER ? PF_USER : 0) |
           (access & ACCESS_FETCH && tells_fetch ? PF_FETCH : 0);
}

static bool walk_tables(const struct mem *mem, const struct paging *paging, const struct format *f,
                        gpa_t table, gva_t gva, unsigned access, struct walk *walk, u32 *error)
{
    u8 *entries[MAX_LEVELS];
    u64 values[MAX_LEVELS];
    bool user = true, writable = true, executable = true, accessed = true;
    unsigned level = f->levels;
    u64 entry;

    do {
        level--;
        u8 *p = entry_ptr(mem, f, table, gva, level, paging->a20_off);
        entry = entry_load(f, p);
        if (!(entry & PTE_P)) {
            *error = error_code(paging, access, 0);
            return false;
        }
        if (!p || (entry & reserved_bits(paging, f, level, entry))) {
            *error = error_code(paging, access, PF_PRESENT | PF_RESERVED);
            return false;
        }
        entries[level] = p;
        values[level] = entry;
        user &= !!(entry & PTE_US);
        writable &= !!(entry & PTE_RW);
        executable &= f->entry_bytes == 4 || !(entry & PTE_XD);
        accessed &= !!(entry & PTE_A);
        table = f == &format_32 ? entry & 0xfffff000 : entry & PTE_ADDRESS;
    } while (!maps_page(paging, f, level, entry));

    if (!permitted(paging, access, user, writable, executable)) {
        *error = error_code(paging, access, PF_PRESENT);
        return false;
    }
    if (!(access & ACCESS_PEEK)) {
        for (unsigned i = f->levels; i-- > level;) {
            u64 bits = PTE_A | (i == level && (access & ACCESS_WRITE) ? PTE_D : 0);
            entry_set_bits(f, entries[i], values[i], bits);
        }
    }
    walk->page_size = BIT(PAGE_SHIFT + level * f->index_bits);
    walk->gpa = (page_address(f, level, entry) | (gva & (walk->page_size - 1))) & ~paging->a20_off;
    if (paging->a20_off) {
        walk->page_size = PAGE_SIZE; /* a large page is no longer in one piece */
    }
    walk->writable =
        ((entry & PTE_D) || (access & ACCESS_WRITE)) &&
        permitted(paging, (access & ~ACCESS_FETCH) | ACCESS_WRITE, user, writable, true);
    walk->executable = executable;
    walk->accessed = accessed;
    walk->user = user;
    walk->global = (entry & PTE_G) && (paging->cr4 & CR4_PGE);
    return true;
}

bool mmu_walk(const struct mem *mem, const struct paging *paging, gva_t gva, unsigned access,
              struct walk *walk, u32 *error)
{
    if (!(paging->cr0 & CR0_PG)) {
        *walk = (struct walk){.gpa = (u32)gva & ~paging->a20_off,
                              .page_size = PAGE_SIZE,
                              .writable = true,
                              .executable = true,
                              .user = true,
                              .accessed = true};
        return true;
    }
    if (paging->efer & EFER_LMA) {
        return walk_tables(mem, paging, &format_4level, paging->cr3 & PTE_ADDRESS, gva, access,
                           walk, error);
    }
    if (paging->cr4 & CR4_PAE) {
        u64 pdpte = paging->pdpte[bits_get(gva, 30, 2)];
        if (!(pdpte & PTE_P)) {
            *error = error_code(paging, access, 0);
            return false;
        }
        return walk_tables(mem, paging, &format_pae, pdpte & PTE_ADDRESS, (u32)gva, access, walk,
                           error);
    }
    return walk_tables(mem, paging, &format_32, paging->cr3 & 0xfffff000, (u32)gva, access, walk,
                       error);
}
