/*
 * mappings.c - what a vCPU's page tables map, run by run.
 *
 * It reads the tables itself, level by level, so that empty parts of the address space cost
 * nothing; the rights of a page are what the walker says.  Intel SDM vol. 3A, "Paging".
 */
#include <errno.h>

#include "vm/machine.h"

#define TABLES_MAX 65536u

struct run {
    gva_t gva;
    u64 size;
    gpa_t gpa;
    bool writable, user, executable;
};

struct tour {
    const struct mem *mem;
    const struct paging *paging;
    unsigned entry_bytes; /* 4 or 8 */
    unsigned index_bits;  /* 9 or 10 */
    unsigned root_bits;   /* of the topmost table */
    unsigned tables_left; /* tables may name themselves: a bound on how many are read */
    struct run run;       /* gathered so far; size 0: none */
    void (*each)(void *context, uint64_t gva, uint64_t size, uint64_t gpa, bool writable, bool user,
                 bool executable);
    void *context;
};

static void finish_run(struct tour *t)
{
    const struct run *r = &t->run;

    if (r->size) {
        t->each(t->context, r->gva, r->size, r->gpa, r->writable, r->user, r->executable);
        t->run.size = 0;
    }
}

/* One present page (or a whole untranslated piece). */
static void add(struct tour *t, const struct run *page)
{
    struct run *r = &t->run;

    if (r->size && r->gva + r->size == page->gva && r->gpa + r->size == page->gpa &&
        r->writable == page->writable && r->user == page->user &&
        r->executable == page->executable) {
        r->size += page->size;
        return;
    }
    finish_run(t);
    *r = *page;
}

static u64 read_entry(const struct tour *t, gpa_t table, u64 index)
{
    u64 entry = 0;

    mem_read(t->mem, table + index * t->entry_bytes, &entry, t->entry_bytes);
    return entry;
}

struct level {
    gpa_t table;
    unsigned shift; /* of the part of the gva that indexes it */
    bool writable, user, executable;
};

static bool is_leaf(const struct tour *t, u64 entry, unsigned shift)
{
    bool may_be_large = t->entry_bytes == 4 ? (t->paging->cr4 & CR4_PSE) != 0 : shift <= 30;

    return shift == PAGE_SHIFT || (may_be_large && (entry & BIT(7)));
}

static gpa_t leaf_gpa(const struct tour *t, u64 entry, unsigned shift)
{
    if (t->entry_bytes == 4 && shift > PAGE_SHIFT) { /* PSE-36: bits 13 to 20 are 32 to 39 */
        return (entry & 0xffc00000) | bits_get(entry, 13, 8) << 32;
    }
    return bits_get(entry, shift, 52 - shift) << shift;
}

static void tour_table(struct tour *t, const struct level *l, gva_t gva, unsigned bits)
{
    if (t->tables_left == 0) {
        return;
    }
    t->tables_left--;
    for (u64 i = 0; i < BIT(bits); i++) {
        u64 entry = read_entry(t, l->table, i);
        gva_t at = gva | i << l->shift;
        bool pae_root = t->root_bits == 2 && bits == 2; /* PDPTEs of PAE paging have no rights */
        struct level next = {
            .table = bits_get(entry, PAGE_SHIFT, 40) << PAGE_SHIFT,
            .shift = l->shift - t->index_bits,
            .writable = l->writable && (pae_root || (entry & BIT(1))),
            .user = l->user && (pae_root || (entry & BIT(2))),
            .executable = l->executable && !(t->entry_bytes == 8 && (entry & BIT(63))),
        };
        if (!(entry & 1)) {
            continue;
        }
        if (!is_leaf(t, entry, l->shift) || pae_root) {
            tour_table(t, &next, at, t->index_bits);
            continue;
        }
        add(t, &(struct run){
                   .gva = bits_sign_extend(at, t->entry_bytes == 8 && t->root_bits == 9 ? 48 : 64),
                   .size = BIT(l->shift),
                   .gpa = leaf_gpa(t, entry, l->shift),
                   .writable = next.writable,
                   .user = next.user,
                   .executable = next.executable});
    }
}

int ringer_walk_mappings(struct ringer *m, unsigned index,
                         void (*each)(void *context, uint64_t gva, uint64_t size, uint64_t gpa,
                                      bool writable, bool user, bool executable),
                         void *context)
{
    struct tour t = {
        .mem = &m->vm->mem, .each = each, .context = context, .tables_left = TABLES_MAX};
    struct level root = {.writable = true, .user = true, .executable = true};
    const struct paging *p;

    if (index >= m->vm->cpu_count) {
        return machine_fail(m, -EINVAL, "there is no CPU %u", index);
    }
    if (!m->held) {
        return machine_fail(m, -EBUSY, "the guest is running: pause it first");
    }
    t.paging = p = &m->vm->cpus[index].mmu.paging;
    if (!(p->cr0 & CR0_PG)) {
        each(context, 0, BIT(32), 0, true, true, true);
        return 0;
    }
    t.entry_bytes = p->cr4 & CR4_PAE ? 8 : 4;
    t.index_bits = p->cr4 & CR4_PAE ? 9 : 10;
    t.root_bits = p->efer & EFER_LMA ? 9 : p->cr4 & CR4_PAE ? 2 : 10;
    root.shift = p->efer & EFER_LMA ? 39 : p->cr4 & CR4_PAE ? 30 : 22;
    root.table = p->efer & EFER_LMA ? bits_get(p->cr3, 12, 40) << 12
                                    : p->cr3 & (p->cr4 & CR4_PAE ? 0xffffffe0 : 0xfffff000);
    tour_table(&t, &root, 0, t.root_bits);
    finish_run(&t);
    return 0;
}
