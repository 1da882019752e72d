/*
 * mem.h - guest-physical RAM.
 *
 * RAM is one memfd, mapped whole and at the same address in every process of the VM:
 *
 *      gpa 0 .......... low_size        RAM (without the VGA's window, 0xa0000 to 0xb7fff)
 *      low_size ....... 4 GiB           no RAM: MMIO
 *          0xc0000000 . 1 MiB               PCI configuration space (ECAM)
 *          0xd0000000 . 0xfec00000          PCI BARs
 *          0xfec00000 .                     IOAPIC, local APICs
 *      4 GiB .......... + high_size     the rest of RAM
 *      2 TiB .......... 3 TiB           PCI BARs of 64 bits
 *
 * The VGA's text memory, 0xb8000 to 0xbffff, is RAM that the card shows: a guest that scrolls reads
 * all of it, and a read from a device is a thousand times as slow.  It is in no memory map.
 *
 * low_size is at most MEM_LOW_MAX, so the 32-bit hole is at least 1 GiB.  The file holds the two
 * parts one after the other: file offset of a gpa above 4 GiB is gpa - 4 GiB + low_size.
 */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include <stdatomic.h>

#include "base/types.h"

#define MEM_LOW_MAX    0xc0000000ull
#define MEM_HIGH_START 0x100000000ull
#define MEM_VGA_START  0xa0000ull
#define MEM_VGA_END    0xb8000ull

#define MEM_VGA_TEXT      0xb8000ull
#define MEM_VGA_TEXT_SIZE 0x8000u

#define MEM_ECAM_START  0xc0000000ull
#define MEM_ECAM_END    0xc0100000ull
#define MEM_PCI_START   0xd0000000ull
#define MEM_PCI_END     0xfec00000ull
#define MEM_PCI64_START 0x20000000000ull
#define MEM_PCI64_END   0x30000000000ull

/*
 * What one vCPU and the others tell each other about code that it holds decoded; the protocol is in
 * exec/interpret/coherence.h.
 */
#define MEM_STALE_SLOTS 16

enum { /* bits of struct mem_coherence's stale */
       MEM_STALE_SLOT = 1 << 0,
       MEM_STALE_ALL = 1 << 1, /* there was no free slot, or it is more than a page */
};

struct mem_coherence {
    _Atomic u32 inside;                    /* it may store into RAM now */
    _Atomic u32 asked, answered;           /* requests to forget its write permissions, counted */
    _Atomic u32 waiters, progress;         /* how many sleep until it answers or is not inside */
    _Atomic u32 stale;                     /* others have changed code: MEM_STALE_* */
    _Atomic u64 stale_at[MEM_STALE_SLOTS]; /* where: gpa << 13 | size, 0 for a free slot */
} __attribute__((aligned(64)));

/*
 * A machine that goes on from a snapshot has not all of its RAM yet.  Pieces of it are brought when
 * somebody first asks where they are: whoever has a hva has it from mem_ptr() or mem_range(), which
 * see to that.  The first process that needs a piece brings it, and others wait for it.
 */
enum mem_piece { MEM_PRESENT, MEM_ABSENT, MEM_COMING };

struct mem_absence {
    _Atomic u8 *pieces; /* enum mem_piece of each; NULL: all is there */
    unsigned piece_shift;
    void (*bring)(void *context, u64 piece); /* of this process; it always succeeds, or never comes
                                              * back, or has told of its failure */
    void *context;
};

struct mem {
    u8 *base; /* hva of the RAM file */
    u64 low_size, high_size;
    u8 *code_holders; /* for each page of the RAM file, how many vCPUs hold decoded code of it */
    struct mem_coherence *coherence; /* cpu_count of them, by vCPU; NULL where nobody executes */
    unsigned cpu_count;
    struct mem_absence absence;
};

/* Have [offset, offset + size) of the RAM file, which are in it, be there. */
void mem_bring(const struct mem *m, u64 offset, u64 size);

static inline void mem_need(const struct mem *m, u64 offset, u64 size)
{
    if (unlikely(m->absence.pieces)) {
        mem_bring(m, offset, size);
    }
}

/* Offset of gpa in the RAM file, or -1 where there is no RAM. */
static inline s64 mem_offset(const struct mem *m, gpa_t gpa)
{
    if (gpa < m->low_size) {
        return gpa - MEM_VGA_START < MEM_VGA_END - MEM_VGA_START ? -1 : (s64)gpa;
    }
    if (gpa - MEM_HIGH_START < m->high_size) {
        return (s64)(gpa - MEM_HIGH_START + m->low_size);
    }
    return -1;
}

/* The hva of the page that holds gpa (plus the offset in it), or NULL where there is no RAM.  Good
 * to the end of that 4 KiB page and no further. */
static inline u8 *mem_ptr(const struct mem *m, gpa_t gpa)
{
    s64 offset = mem_offset(m, gpa);
    if (offset < 0) {
        return NULL;
    }
    mem_need(m, (u64)offset, 1);
    return m->base + offset;
}

/* The gpa of a hva in RAM. */
static inline gpa_t mem_gpa(const struct mem *m, const u8 *hva)
{
    u64 offset = (u64)(hva - m->base);
    return offset < m->low_size ? offset : offset - m->low_size + MEM_HIGH_START;
}

/* Does a vCPU hold decoded instructions of the page of gpa, which is RAM? */
static inline bool mem_has_code(const struct mem *m, gpa_t gpa)
{
    return m->code_holders[(u64)mem_offset(m, gpa) >> PAGE_SHIFT] != 0;
}

/* Copy between RAM and a buffer.  False, and nothing copied, unless the whole of [gpa, gpa + size)
 * is RAM.  For the board, the boot loaders and the API: the vCPU's own accesses go through mmu/.
 * mem_write() makes the vCPUs drop what they have decoded if it changes any of that, at the latest
 * when they next look at their attention. */
bool mem_read(const struct mem *m, gpa_t gpa, void *buffer, u64 size);
bool mem_write(const struct mem *m, gpa_t gpa, const void *buffer, u64 size);

/* Tell one vCPU that [gpa, gpa + size), of which it may hold decoded code, has changed. */
void mem_tell_stale(struct mem_coherence *vcpu, gpa_t gpa, u64 size);

/* The hva of [gpa, gpa + size) if it is RAM in one piece, else NULL.  Who writes there tells
 * mem_changed() afterwards, as mem_write() does. */
u8 *mem_range(const struct mem *m, gpa_t gpa, u64 size);
void mem_changed(const struct mem *m, gpa_t gpa, u64 size);

#endif
