/*
 * mmu.h - a CPU's memory-management unit: the soft TLB, and accesses by guest-virtual address.
 *
 * The soft TLB caches, for one page, where it lies in our memory and what may be done with it:
 *
 *      tag = page of the gva | generation            one tag each for reads, writes, fetches
 *      hva = gva + addend
 *
 * so that an access is one compare and one add.  A generation is 12 bits wide: raising it flushes
 * everything.  There is a set for each way that permissions differ: user, supervisor, and
 * supervisor with RFLAGS.AC (SMAP off); and one that is never filled, for as long as every access
 * must be looked at (alignment checks, watchpoints).  Pages that are not RAM, and those that must
 * be watched (a store to a page with decoded instructions), simply have no tag: the slow path does
 * such accesses.
 *
 * As on the real CPU an entry may be stale until the guest invalidates it.
 */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "mmu/mirror.h"
#include "mmu/walk.h"

#define TLB_ENTRIES        1024
#define TLB_GENERATION_MAX 0xfffull

enum tlb_set { TLB_SUPERVISOR, TLB_SUPERVISOR_AC, TLB_USER, TLB_UNCACHED, TLB_SETS };

struct tlb_entry {
    u64 read_tag, write_tag, fetch_tag; /* 0 never matches: generations start at 1 */
    u64 addend;                         /* hva - gva */
};

/* What a debugger watches (cpu/debugger.h).  An access that meets one is noted in watch_hit, also
 * one that the CPU makes by itself: to its tables, or when it pushes an exception's frame. */
#define MMU_WATCHES 256u

struct mmu_watches {
    u32 count;
    struct mmu_watch {
        gva_t start;
        u64 size;
        bool reads, writes;
    } watch[MMU_WATCHES];
};

struct mmu;

/* What the MMU asks of the CPU around it. */
struct mmu_ops {
    u64 (*mmio_read)(void *context, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *context, gpa_t gpa, u64 value, unsigned size);
    /* A store has changed RAM in a page of which code is held: called after each. */
    void (*code_written)(void *context, gpa_t gpa, unsigned size);
};

struct mmu {
    struct paging paging;
    struct tlb_entry *set; /* the current one of sets[]: see mmu_select_set() */
    u64 generation;        /* 1 to TLB_GENERATION_MAX */
    const struct mem *mem;
    struct mirror *mirror; /* its other TLB, where guest code runs on the host's CPU; or NULL */
    const struct mmu_ops *ops;
    void *context; /* for ops */
    struct {       /* the page fault that the last failed access met */
        gva_t gva;
        u32 error;
    } fault;
    const struct mmu_watches *watches; /* NULL: none */
    u32 watch_hit;                     /* index + 1 of the first one met since it was 0 */
    gva_t watch_gva;                   /* where that was */
    u64 tlb_misses;
    u64 epoch; /* raised by every flush */
    struct tlb_entry sets[TLB_SETS][TLB_ENTRIES];
};

static inline struct tlb_entry *tlb_slot(const struct mmu *mmu, gva_t gva)
{
    return &mmu->set[(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

/* The hva of [gva, gva + size) for a read or a write at the current privilege, or NULL where the
 * slow path has to look.  An access that crosses its page never matches: the tag of its last byte's
 * page is compared with the entry of its first byte's. */
static inline void *tlb_read(const struct mmu *mmu, gva_t gva, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(mmu, gva);
    u64 tag = ((gva + size - 1) & PAGE_MASK) | mmu->generation;
    return likely(e->read_tag == tag) ? (void *)(gva + e->addend) : NULL;
}

static inline void *tlb_write(const struct mmu *mmu, gva_t gva, unsigned size)
{
    const struct tlb_entry *e = tlb_slot(mmu, gva);
    u64 tag = ((gva + size - 1) & PAGE_MASK) | mmu->generation;
    return likely(e->write_tag == tag) ? (void *)(gva + e->addend) : NULL;
}

void mmu_init(struct mmu *mmu, const struct mem *mem, const struct mmu_ops *ops, void *context);

/* Which set the inlines above use. */
static inline void mmu_select_set(struct mmu *mmu, enum tlb_set set)
{
    mmu->set = mmu->sets[set];
}

void mmu_flush(struct mmu *mmu);                  /* everything, global pages too */
void mmu_flush_page(struct mmu *mmu, gva_t gva);  /* INVLPG, in every set */
void mmu_watch_code(struct mmu *mmu, gpa_t page); /* forget write permission to that page */

/*
 * The complete accesses: any size up to 4096, any alignment, crossing pages, MMIO, page faults.
 * access is as for mmu_walk().  False on a page fault: it is in mmu->fault, and a store has then
 * written nothing (all pages are checked first).  Addresses wrap at 32 bits outside long mode, at
 * 64 bits in it; that they are canonical the caller has checked.
 */
bool mmu_read(struct mmu *mmu, gva_t gva, void *buffer, unsigned size, unsigned access);
bool mmu_write(struct mmu *mmu, gva_t gva, const void *buffer, unsigned size, unsigned access);

/* mmu_write() of the second half of a read-modify-write of 1, 2, 4 or 8 bytes: *stored is false,
 * and nothing has been written, if another vCPU has changed what was `expected` meanwhile. LIMIT:
 * where the access is not aligned, or not to RAM, nobody looks. */
bool mmu_write_expected(struct mmu *mmu, gva_t gva, u64 expected, u64 value, unsigned size,
                        unsigned access, bool *stored);

/* Check that a store of size bytes would succeed, setting dirty bits as it would. */
bool mmu_probe_write(struct mmu *mmu, gva_t gva, unsigned size, unsigned access);

/* The hva of [gva, gva + size) within one page of plain RAM that may be accessed so, or NULL:
 * either *faulted is true and mmu->fault is set, or it is MMIO, crosses a page or is watched, and
 * mmu_read() and mmu_write() have to do it.  Fills the TLB. */
void *mmu_host(struct mmu *mmu, gva_t gva, unsigned size, unsigned access, bool *faulted);

/* Translate for an instruction fetch.  *hva is NULL where it is not RAM. */
bool mmu_fetch(struct mmu *mmu, gva_t gva, unsigned access, gpa_t *gpa, u8 **hva);

#endif
