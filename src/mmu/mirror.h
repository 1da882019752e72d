/*
 * mirror.h - the mirror: guest pages at their own addresses in the vCPU's process.
 *
 * The host's page tables are its entries, and the host's own MMU looks them up: an access of guest
 * code that the mirror holds costs nothing at all.  Everything else is a TLB's, in software:
 *
 *      TLB miss               SIGSEGV: mirror_fill() walks the guest's page tables and maps a piece
 *      permission, A, D bits  a piece may be written only once its dirty bit is set
 *      INVLPG                 mirror_drop(): the piece is unmapped
 *      MOV to CR3, CR4, ...   mirror_flush(): noted, and done when guest code is next entered; a
 *                             piece stays if the guest's tables still say the same of it
 *                             (and if it is another space that comes back, it gets again what it
 * had) capacity               PIECES; the oldest goes first
 *
 * A piece (piece.h) is one mapping of RAM's memfd: pages that follow one another in guest-virtual
 * and in guest-physical memory, at most 2 MiB, and never across a 2 MiB boundary.
 *
 * Code is executed from copies.  Whoever says that a page may be executed has taken a copy of it,
 * has looked at that, and does not change it; a piece that can be executed maps the copies.  So
 * nothing is ever executed that has not been looked at, whoever stores into the page: another vCPU,
 * a device, a walk that sets a bit in a page table.  A store is noticed later, and the piece goes.
 *
 * What cannot be mapped (MMIO, page 0, the hidden zone, the upper half) is refused: the access
 * faults each time, and whoever runs guest code has the interpreter perform that instruction.
 *
 * Stores into pages of which code is held (mem_has_code()) must be seen, so those are never
 * writable here; and what is executable here is such a page.  Hence no page is ever both.
 *
 * Who runs in the mirror, it does not know: guest code itself, or a translation of it.
 */
#ifndef MMU_MIRROR_H
#define MMU_MIRROR_H

#include "mmu/piece.h"
#include "mmu/walk.h"

enum { /* rights of a piece */
       MIRROR_READ = 1 << 0,
       MIRROR_WRITE = 1 << 1,
       MIRROR_EXECUTE = 1 << 2,
};

/* What the process around it does for the mirror. */
struct mirror_host {
    /* Map at gva the size bytes that are at hva: of RAM, or copies.  False: it cannot be had. */
    bool (*map)(void *context, gva_t gva, u64 size, const u8 *hva, unsigned rights);
    /* Unmap all that is mapped of [start, end); false if it could not be done at once. */
    bool (*unmap)(void *context, gva_t start, gva_t end);
    /* A copy of this page, gpa's, which the host's CPU may execute at gva; NULL if it may not.  The
     * copy stays as it is until mirror_revoke() takes it away, or mirror_flush_all().  From now on
     * all stores into the page are seen.  No function: nothing may ever be executed. */
    const u8 *(*copy_of_code)(void *context, gva_t gva, gpa_t gpa);
    /* May code run on from the end of one such copy to the start of another? */
    bool (*may_join)(void *context, const u8 *page, const u8 *next);
    /* A store is wanted into a page of which code is held: let go of it, if possible. */
    void (*let_go)(void *context, gpa_t gpa);
    void *context;
    gva_t hidden_start, hidden_end; /* where nothing may be mapped: our own memory */
    gva_t end;                      /* of what can be mapped */
};

struct mirror_stats {
    u64 fills, refusals, drops, flushes;
    u64 kept;     /* pieces that outlived a flush */
    u64 recalled; /* ... and those that were filled again for a space that came back */
};

/* What a space had in the mirror when another one took it: the newest pieces, newest first. */
#define MIRROR_PASTS       16u
#define MIRROR_PAST_PIECES 48u

struct mirror_past {
    u64 root; /* of its page tables */
    u32 count;
    struct {
        gva_t gva;
        unsigned access; /* ACCESS_WRITE, ACCESS_FETCH, ACCESS_USER */
    } piece[MIRROR_PAST_PIECES];
};

struct mirror {
    const struct mem *mem;
    struct mirror_host host;
    bool user_only;       /* all accesses are made at CPL 3: what a space had, it may have again */
    bool flush_wanted;    /* before guest code is entered */
    bool flush_all;       /* ... without looking whether a piece could stay */
    struct paging filled; /* what the pieces were made under */
    struct mirror_stats stats;
    struct piece_table pieces;
    struct mirror_past past[MIRROR_PASTS];
};

enum mirror_result {
    MIRROR_FILLED,  /* try the access again */
    MIRROR_FAULT,   /* it is a page fault of the guest's: *error is its code */
    MIRROR_REFUSED, /* it cannot be had by the host's MMU: let software do it */
};

void mirror_init(struct mirror *m, const struct mem *mem, const struct mirror_host *host);

/* May [gva, gva + size) be mapped at all? */
static inline bool mirror_is_mappable(const struct mirror *m, gva_t gva, u64 size)
{
    return gva + size <= m->host.end && gva + size > gva &&
           (gva + size <= m->host.hidden_start || gva >= m->host.hidden_end);
}

/* A TLB miss at gva.  access as for mmu_walk(). */
enum mirror_result mirror_fill(struct mirror *m, const struct paging *paging, gva_t gva,
                               unsigned access, u32 *error);

/* INVLPG. */
void mirror_drop(struct mirror *m, gva_t gva);

/* All translations may have changed: to be looked at by mirror_enter(). */
void mirror_flush(struct mirror *m);

/* Forget everything, whatever the guest's tables say: executable pages are no longer held, say. */
void mirror_flush_all(struct mirror *m);

/* Do what a flush has left to do.  Before guest code is entered. */
void mirror_enter(struct mirror *m, const struct paging *paging);

/* Take the given rights away from all pieces of the page of gpa, which is RAM. */
void mirror_revoke(struct mirror *m, gpa_t gpa, unsigned rights);

#endif
