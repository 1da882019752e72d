/*
 * area.h - the memory that both sides have: the same bytes at the same addresses with the same
 * rights, and segments over it.
 *
 *      AREA            data, a page: where the segments of 64 KiB begin
 *      AREA + 0x1000   code, two pages; after them nothing
 *      AREA + 0x5000   data, two pages, then a read-only one, then nothing
 *      AREA + 0x9000   data, two pages
 *      AREA + 0xf000   data, a page: where the segments end
 *      AREA + 0x18000  on the host only: where IRETQ finds its frame
 *
 * All else is absent.  What no case changes is the area's *contents*: INT3 in the code pages,
 * pseudo-random values elsewhere
 * (but never CPU_SEGMENT).
 */
#ifndef TESTS_DIFF_AREA_H
#define TESTS_DIFF_AREA_H

#include "base/types.h"

#define AREA       0x10000000u
#define AREA_SIZE  0x19000u
#define AREA_PAGES (AREA_SIZE / PAGE_SIZE)
#define CODE       (AREA + 0x1000)
#define CODE_SIZE  0x2000u
#define FRAME      (AREA + 0x18000)

#define INT3 0xcc

enum page_kind { PAGE_ABSENT, PAGE_CODE, PAGE_DATA, PAGE_READ_ONLY };

static const u8 area_pages[AREA_PAGES] = {
    [0] = PAGE_DATA,      [1] = PAGE_CODE, [2] = PAGE_CODE,  [5] = PAGE_DATA,  [6] = PAGE_DATA,
    [7] = PAGE_READ_ONLY, [9] = PAGE_DATA, [10] = PAGE_DATA, [15] = PAGE_DATA,
};

/* Linux's selectors, and those of the LDT: segments at AREA. */
enum {
    USER_CODE64 = 0x33,
    USER_CODE32 = 0x23,
    USER_DATA = 0x2b,
    LDT_CODE16 = 0x07,
    LDT_DATA16 = 0x0f,
    LDT_SMALL = 0x17,  /* data, 16-bit, limit 0x8fff */
    LDT_DOWN = 0x1f,   /* expand-down, 16-bit, offsets 0x6000 to 0xffff */
    LDT_DATA32 = 0x27, /* limit 0xbfff */
    LDT_READ = 0x2f,   /* read-only data */
    LDT_CODE32 = 0x37,
    LDT_EXECUTE = 0x3f,     /* code that may not be read */
    LDT_ABSENT_CODE = 0x47, /* not present */
    LDT_ABSENT_DATA = 0x4f,
    LDT_DOWN32 = 0x57, /* expand-down, 32-bit, offsets 0x6000 to 0xffffffff */
    LDT_COUNT = 11,
};

/* Of the GDT: by its limit Linux tells programs on which CPU they are. */
#define CPU_SEGMENT 0x78

static inline bool is_cpu_segment(u64 selector)
{
    return (selector & 0xfffc) == CPU_SEGMENT;
}

/* One side's view of it. */
struct area {
    u8 *live;           /* what instructions see */
    u8 *expected;       /* the contents with the present case's code and pokes */
    const u8 *contents; /* AREA_SIZE bytes each */
    /* Called after live has been changed in a code page by anything but an instruction; may be
     * NULL. */
    void (*code_changed)(void *context, unsigned offset, unsigned size);
    void *context;
};

struct diff_case;
struct outcome;

/* The contents, into AREA_SIZE bytes. */
void area_contents(u8 *contents);

/* Does [address, address + size) lie in pages that can be written, of code or data? */
bool area_has(u64 address, unsigned size);

/* Make live what the case wants it to be; it holds the contents before. */
void area_apply(const struct area *area, const struct diff_case *c);

/* Find what the case's instructions have changed, and bring the contents back. */
void area_collect(const struct area *area, const struct diff_case *c, struct outcome *o);

#endif
