/*
 * mmu.c - the soft TLB and the complete, slow accesses behind it.
 *
 * Everything that is not one compare and one add is here: filling the TLB from the page walker,
 * accesses that cross a page, MMIO, and stores into pages with decoded instructions.
 */
#include "mmu/mmu.h"

#include "base/string.h"
#include "isa/control.h"

void mmu_init(struct mmu *mmu, const struct mem *mem, const struct mmu_ops *ops, void *context)
{
    memset(mmu, 0, sizeof(*mmu));
    mmu->mem = mem;
    mmu->ops = ops;
    mmu->context = context;
    mmu->generation = 1;
    mmu_select_set(mmu, TLB_SUPERVISOR);
}

void mmu_flush(struct mmu *mmu)
{
    mmu->epoch++;
    if (mmu->mirror) {
        mirror_flush(mmu->mirror);
    }
    if (mmu->generation < TLB_GENERATION_MAX) {
        mmu->generation++;
        return;
    }
    memset(mmu->sets, 0, sizeof(mmu->sets));
    mmu->generation = 1;
}

void mmu_flush_page(struct mmu *mmu, gva_t gva)
{
    mmu->epoch++;
    if (mmu->mirror) {
        mirror_drop(mmu->mirror, gva);
    }
    for (unsigned set = 0; set < TLB_SETS; set++) {
        struct tlb_entry *e = &mmu->sets[set][(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
        *e = (struct tlb_entry){0};
    }
}

void mmu_watch_code(struct mmu *mmu, gpa_t page)
{
    u64 hva = (u64)mem_ptr(mmu->mem, page & PAGE_MASK);

    if (mmu->mirror) {
        mirror_revoke(mmu->mirror, page, MIRROR_WRITE);
    }
    for (unsigned set = 0; set < TLB_SETS; set++) {
        for (unsigned i = 0; i < TLB_ENTRIES; i++) {
            struct tlb_entry *e = &mmu->sets[set][i];
            if (e->write_tag && (e->write_tag & PAGE_MASK) + e->addend == hva) {
                e->write_tag = 0;
            }
        }
    }
}

/* Addresses are 32 bits wide outside long mode, also those of a later page of one access. */
static gva_t gva_cut(const struct mmu *mmu, gva_t gva)
{
    return mmu->paging.efer & EFER_LMA ? gva : (u32)gva;
}

static bool translate(struct mmu *mmu, gva_t gva, unsigned access, struct walk *walk)
{
    u32 error;

    mmu->tlb_misses++;
    if (mmu_walk(mmu->mem, &mmu->paging, gva, access, walk, &error)) {
        return true;
    }
    mmu->fault.gva = gva;
    mmu->fault.error = error;
    return false;
}

/* ------------------------------------------------------------------ what a debugger watches */

/* Modulo 2^64: neither range may wrap in itself, or it would meet everything. */
static bool meets(const struct mmu_watch *w, gva_t gva, u64 size)
{
    return gva - w->start < w->size || w->start - gva < size;
}

static bool is_watched_page(const struct mmu *mmu, gva_t gva)
{
    for (u32 i = 0; i < mmu->watches->count; i++) {
        if (meets(&mmu->watches->watch[i], gva & PAGE_MASK, PAGE_SIZE)) {
            return true;
        }
    }
    return false;
}

static void look_for_watch(struct mmu *mmu, gva_t gva, unsigned size, bool is_write)
{
    for (u32 i = 0; i < mmu->watches->count && !mmu->watch_hit; i++) {
        const struct mmu_watch *w = &mmu->watches->watch[i];
        if ((is_write ? w->writes : w->reads) && meets(w, gva, size)) {
            mmu->watch_hit = i + 1;
            mmu->watch_gva = gva - w->start < w->size ? gva : w->start;
        }
    }
}

/* ------------------------------------------------------------------ filling the TLB */

/* The set that holds entries made by accesses with these bits. */
static enum tlb_set set_of_access(unsigned access)
{
    return access & ACCESS_USER ? TLB_USER
           : access & ACCESS_AC ? TLB_SUPERVISOR_AC
                                : TLB_SUPERVISOR;
}

/* Enter a translation.  Only what this kind of access has proved is entered beside what is there.
 */
static void fill(struct mmu *mmu, gva_t gva, unsigned access, const struct walk *walk, u8 *hva)
{
    struct tlb_entry *e =
        &mmu->sets[set_of_access(access)][(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
    u64 tag = (gva & PAGE_MASK) | mmu->generation;
    u64 addend = (u64)hva - gva;

    if ((e->read_tag != tag && e->write_tag != tag && e->fetch_tag != tag) || e->addend != addend) {
        *e = (struct tlb_entry){.addend = addend};
    }
    if (access & ACCESS_FETCH) {
        e->fetch_tag = tag;
        return;
    }
    if (unlikely(mmu->watches) && is_watched_page(mmu, gva)) {
        return; /* each access has to be looked at */
    }
    e->read_tag = tag;
    if (walk->writable && !mem_has_code(mmu->mem, walk->gpa)) {
        e->write_tag = tag;
    }
}

void *mmu_host(struct mmu *mmu, gva_t gva, unsigned size, unsigned access, bool *faulted)
{
    struct walk walk;

    *faulted = false;
    if ((gva & ~PAGE_MASK) + size > PAGE_SIZE) {
        return NULL;
    }
    if (!translate(mmu, gva, access, &walk)) {
        *faulted = true;
        return NULL;
    }
    u8 *hva = mem_ptr(mmu->mem, walk.gpa);
    if (!hva) {
        return NULL;
    }
    fill(mmu, gva, access, &walk, hva);
    if (unlikely(mmu->watches) && !(access & ACCESS_FETCH) && is_watched_page(mmu, gva)) {
        return NULL;
    }
    return (access & ACCESS_WRITE) && mem_has_code(mmu->mem, walk.gpa) ? NULL : hva;
}

bool mmu_fetch(struct mmu *mmu, gva_t gva, unsigned access, gpa_t *gpa, u8 **hva)
{
    const struct tlb_entry *e =
        &mmu->sets[set_of_access(access)][(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
    struct walk walk;

    if (e->fetch_tag == ((gva & PAGE_MASK) | mmu->generation)) {
        *hva = (u8 *)(gva + e->addend);
        u64 offset = (u64)(*hva - mmu->mem->base);
        *gpa = offset < mmu->mem->low_size ? offset : offset - mmu->mem->low_size + MEM_HIGH_START;
        return true;
    }
    if (!translate(mmu, gva, access | ACCESS_FETCH, &walk)) {
        return false;
    }
    *gpa = walk.gpa;
    *hva = mem_ptr(mmu->mem, walk.gpa);
    if (*hva) {
        fill(mmu, gva, access | ACCESS_FETCH, &walk, *hva);
    }
    return true;
}

/* ------------------------------------------------------------------ pieces within one page */

/* The largest naturally aligned access of 8, 4, 2 or 1 bytes that [gpa, gpa + size) begins with. */
static unsigned mmio_unit(gpa_t gpa, unsigned size)
{
    unsigned unit = 8;
    while (unit > size || (gpa & (unit - 1))) {
        unit >>= 1;
    }
    return unit;
}

/* As memcpy(), but an aligned 1, 2, 4 or 8 bytes at once: as one access, for other vCPUs. */
static void copy(void *to, const void *from, unsigned size)
{
    if (size == 8) {
        *(volatile u64_alias *)to = *(const u64_alias *)from;
    } else if (size == 4) {
        *(volatile u32_alias *)to = *(const u32_alias *)from;
    } else if (size == 2) {
        *(volatile u16_alias *)to = *(const u16_alias *)from;
    } else {
        memcpy(to, from, size);
    }
}

static void read_piece(struct mmu *mmu, gpa_t gpa, u8 *buffer, unsigned size)
{
    const u8 *hva = mem_ptr(mmu->mem, gpa);

    if (hva) {
        copy(buffer, hva, size);
        return;
    }
    while (size) {
        unsigned unit = mmio_unit(gpa, size);
        u64 value = mmu->ops->mmio_read(mmu->context, gpa, unit);
        memcpy(buffer, &value, unit);
        buffer += unit;
        gpa += unit;
        size -= unit;
    }
}

static void write_piece(struct mmu *mmu, gpa_t gpa, const u8 *buffer, unsigned size)
{
    u8 *hva = mem_ptr(mmu->mem, gpa);

    if (hva) {
        copy(hva, buffer, size);
        if (mem_has_code(mmu->mem, gpa)) {
            mmu->ops->code_written(mmu->context, gpa, size);
        }
        return;
    }
    while (size) {
        unsigned unit = mmio_unit(gpa, size);
        u64 value = 0;
        memcpy(&value, buffer, unit);
        mmu->ops->mmio_write(mmu->context, gpa, value, unit);
        buffer += unit;
        gpa += unit;
        size -= unit;
    }
}

/* ------------------------------------------------------------------ whole accesses */

/* An access touches at most two pages: gpa[0] for the first `split` bytes, gpa[1] for the rest. */
struct span {
    gpa_t gpa[2];
    unsigned split;
};

static bool translate_span(struct mmu *mmu, gva_t gva, unsigned size, unsigned access,
                           struct span *span)
{
    struct walk walk;
    unsigned room = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));

    gva = gva_cut(mmu, gva);
    if (!translate(mmu, gva, access, &walk)) {
        return false;
    }
    u8 *hva = mem_ptr(mmu->mem, walk.gpa);
    if (hva) {
        fill(mmu, gva, access, &walk, hva);
    }
    span->gpa[0] = walk.gpa;
    span->split = size < room ? size : room;
    if (size > room) {
        if (!translate(mmu, gva_cut(mmu, gva + room), access, &walk)) {
            return false;
        }
        span->gpa[1] = walk.gpa;
    }
    return true;
}

bool mmu_read(struct mmu *mmu, gva_t gva, void *buffer, unsigned size, unsigned access)
{
    struct span span = {0};

    if (!translate_span(mmu, gva, size, access, &span)) {
        return false;
    }
    if (unlikely(mmu->watches)) {
        look_for_watch(mmu, gva_cut(mmu, gva), size, false);
    }
    read_piece(mmu, span.gpa[0], buffer, span.split);
    if (span.split < size) {
        read_piece(mmu, span.gpa[1], (u8 *)buffer + span.split, size - span.split);
    }
    return true;
}

bool mmu_write(struct mmu *mmu, gva_t gva, const void *buffer, unsigned size, unsigned access)
{
    struct span span = {0};

    if (!translate_span(mmu, gva, size, access | ACCESS_WRITE, &span)) {
        return false;
    }
    if (unlikely(mmu->watches)) {
        look_for_watch(mmu, gva_cut(mmu, gva), size, true);
    }
    write_piece(mmu, span.gpa[0], buffer, span.split);
    if (span.split < size) {
        write_piece(mmu, span.gpa[1], (const u8 *)buffer + span.split, size - span.split);
    }
    return true;
}

static bool exchange_expected(void *p, u64 expected, u64 value, unsigned size)
{
    u8 old1 = (u8)expected;
    u16 old2 = (u16)expected;
    u32 old4 = (u32)expected;

    switch (size) {
    case 1:
        return __atomic_compare_exchange_n((u8 *)p, &old1, (u8)value, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    case 2:
        return __atomic_compare_exchange_n((u16 *)p, &old2, (u16)value, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    case 4:
        return __atomic_compare_exchange_n((u32 *)p, &old4, (u32)value, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    default:
        return __atomic_compare_exchange_n((u64 *)p, &expected, value, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    }
}

bool mmu_write_expected(struct mmu *mmu, gva_t gva, u64 expected, u64 value, unsigned size,
                        unsigned access, bool *stored)
{
    struct span span;

    *stored = true;
    if (!translate_span(mmu, gva, size, access | ACCESS_WRITE, &span)) {
        return false;
    }
    u8 *hva = mem_ptr(mmu->mem, span.gpa[0]);
    if (!hva || (gva & (size - 1))) {
        return mmu_write(mmu, gva, &value, size, access);
    }
    *stored = exchange_expected(hva, expected, value, size);
    if (*stored && unlikely(mmu->watches)) {
        look_for_watch(mmu, gva_cut(mmu, gva), size, true);
    }
    if (*stored && mem_has_code(mmu->mem, span.gpa[0])) {
        mmu->ops->code_written(mmu->context, span.gpa[0], size);
    }
    return true;
}

bool mmu_probe_write(struct mmu *mmu, gva_t gva, unsigned size, unsigned access)
{
    struct span span = {0};

    return translate_span(mmu, gva, size, access | ACCESS_WRITE, &span);
}
