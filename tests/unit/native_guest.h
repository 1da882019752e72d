/*
 * native_guest.h - a guest of the interpreter that sees what native_fixture.h's code sees: the same
 * bytes at the same addresses with the same rights, and Linux's segments.
 *
 *      AREA + 0x1000   code, two pages; after them nothing
 *      AREA + 0x4000   data: eight pages, of which some are read-only and some not there
 *      AREA + 0xf000   natively only: the stack of native_enter()
 */
#ifndef TESTS_UNIT_NATIVE_GUEST_H
#define TESTS_UNIT_NATIVE_GUEST_H

#include <asm/ldt.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interpret_fixture.h"
#include "isa/paging.h"
#include "native_fixture.h"

#define AREA      0x10000000u
#define AREA_SIZE 0x10000u
#define CODE      (AREA + 0x1000)
#define CODE_SIZE 0x2000u
#define DATA      (AREA + 0x4000)
#define DATA_SIZE 0x8000u
#define AREA_GPA  0x200000u /* where the guest has it */

#define UPPER_HALF 0xffff800000000000ull /* the guest's physical memory, for the supervisor */

enum page_kind { PAGE_ABSENT, PAGE_CODE, PAGE_DATA, PAGE_READ_ONLY };

static const u8 area_pages[AREA_SIZE / PAGE_SIZE] = {
    [1] = PAGE_CODE,      [2] = PAGE_CODE, [5] = PAGE_DATA,  [6] = PAGE_DATA,
    [7] = PAGE_READ_ONLY, [9] = PAGE_DATA, [10] = PAGE_DATA,
};

/* Segments of the LDT, all at AREA. */
enum {
    LDT_CODE16 = 0x07,
    LDT_DATA16 = 0x0f,
    LDT_SMALL = 0x17,  /* data, 16-bit, limit 0x8fff */
    LDT_DOWN = 0x1f,   /* expand-down, 16-bit, offsets 0x6000 to 0xffff */
    LDT_DATA32 = 0x27, /* limit 0xbfff */
    LDT_READ = 0x2f,   /* read-only data */
    LDT_CODE32 = 0x37,
    LDT_EXECUTE = 0x3f, /* code that may not be read */
    LDT_COUNT = 8,
};

struct pair {
    struct cpu_fixture *f;
    u8 *guest;  /* the area in the guest's RAM */
    u8 *native; /* the area here */
};

static inline bool native_ldt_write(void)
{
    static const struct user_desc entries[LDT_COUNT] = {
        {0, AREA, 0xefff, 0, 2, 0, 0, 0, 0, 0}, {1, AREA, 0xefff, 0, 0, 0, 0, 0, 0, 0},
        {2, AREA, 0x8fff, 0, 0, 0, 0, 0, 0, 0}, {3, AREA, 0x5fff, 0, 1, 0, 0, 0, 0, 0},
        {4, AREA, 0xbfff, 1, 0, 0, 0, 0, 0, 0}, {5, AREA, 0xefff, 1, 0, 1, 0, 0, 0, 0},
        {6, AREA, 0xefff, 1, 2, 0, 0, 0, 0, 0}, {7, AREA, 0xefff, 1, 2, 1, 0, 0, 0, 0},
    };
    for (unsigned i = 0; i < LDT_COUNT; i++) {
        struct user_desc entry = entries[i];
        if (syscall(SYS_modify_ldt, 0x11, &entry, sizeof(entry))) {
            return false;
        }
    }
    return true;
}

static inline void guest_descriptors(struct cpu_fixture *f)
{
    const u16 user = FIXTURE_FLAT | FIXTURE_DPL3, local = SEGMENT_P | SEGMENT_S | FIXTURE_DPL3;
    const u16 code = FIXTURE_TYPE_CODE, data = FIXTURE_TYPE_DATA, db = SEGMENT_DB;
    static const u16 ldt_limits[] = {0xefff, 0xefff, 0x8fff, 0x5fff,
                                     0xbfff, 0xefff, 0xefff, 0xefff};
    const u16 ldt_types[] = {code,      data,
                             data,      data | SEGMENT_TYPE_EXPAND,
                             data | db, SEGMENT_TYPE_ACCESSED | db,
                             code | db, SEGMENT_TYPE_CODE | SEGMENT_TYPE_ACCESSED | db};

    memset(f->mem.base + FIXTURE_GDT, 0, 0x100);
    cpu_fixture_descriptor(f, 0x08, 0, 0xfffff, FIXTURE_FLAT | code | db);
    cpu_fixture_descriptor(f, 0x10, 0, 0xfffff, FIXTURE_FLAT | code | SEGMENT_L);
    cpu_fixture_descriptor(f, 0x18, 0, 0xfffff, FIXTURE_FLAT | data | db);
    cpu_fixture_descriptor(f, 0x20, 0, 0xfffff, user | code | db);
    cpu_fixture_descriptor(f, 0x28, 0, 0xfffff, user | data | db);
    cpu_fixture_descriptor(f, 0x30, 0, 0xfffff, user | code | SEGMENT_L);
    u32 limit = 0; /* of the segment that tells programs which CPU they are on */
    __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(0x7b) : "cc");
    cpu_fixture_descriptor(f, 0x78, 0, limit,
                           local | SEGMENT_TYPE_EXPAND | SEGMENT_TYPE_ACCESSED | db);
    for (u16 i = 0; i < LDT_COUNT; i++) {
        cpu_fixture_descriptor(f, (u16)(i * 8 + SELECTOR_TI), AREA, ldt_limits[i],
                               local | ldt_types[i]);
    }
}

/* The lower half: the area, for the user; the upper half: all of RAM, for the supervisor. */
static inline void guest_page_tables(struct cpu_fixture *f)
{
    const gpa_t pdpt = 0x20000, pd = 0x21000, pt = 0x22000;

    cpu_fixture_put(f, FIXTURE_PML4 + 256 * 8, (FIXTURE_PML4 + 0x1000) | 3, 8);
    cpu_fixture_put(f, FIXTURE_PML4, pdpt | 7, 8);
    cpu_fixture_put(f, pdpt, pd | 7, 8);
    cpu_fixture_put(f, pd + (AREA >> 21) * 8, pt | 7, 8);
    for (unsigned i = 0; i < AREA_SIZE / PAGE_SIZE; i++) {
        static const u64 rights[] = {
            [PAGE_CODE] = 7, [PAGE_DATA] = 7 | PTE_XD, [PAGE_READ_ONLY] = 5 | PTE_XD};
        u64 entry = rights[area_pages[i]];
        cpu_fixture_put(f, pt + i * 8, entry ? entry | (AREA_GPA + i * PAGE_SIZE) : 0, 8);
    }
}

static inline struct cpu_fixture *guest_new(void)
{
    struct cpu_fixture *f = interpret_fixture_new();
    struct cpu *cpu = f->cpu;

    cpu_fixture_long(f, 3);
    guest_page_tables(f);
    guest_descriptors(f);
    cpu->mmu.paging.cr0 |= CR0_AM;
    cpu->mmu.paging.cr4 |= CR4_FSGSBASE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->gdtr = (struct table_register){UPPER_HALF + FIXTURE_GDT, 0x7f};
    cpu->idtr = (struct table_register){UPPER_HALF + FIXTURE_IDT, 0};
    cpu->seg[SEG_TR].base += UPPER_HALF;
    cpu->seg[SEG_TR].limit = 0x67; /* no I/O permission bitmap */
    cpu->seg[SEG_LDTR].base = UPPER_HALF + FIXTURE_LDT;
    cpu->seg[SEG_LDTR].limit = LDT_COUNT * 8 - 1;
    mmu_flush(&cpu->mmu);
    return f;
}

static inline u8 *native_area_new(void)
{
    u8 *area = mmap((void *)(uintptr_t)AREA, AREA_SIZE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (area != (u8 *)(uintptr_t)AREA) {
        return NULL;
    }
    for (unsigned i = 0; i < AREA_SIZE / PAGE_SIZE; i++) {
        bool is_stack = i == AREA_SIZE / PAGE_SIZE - 1;
        if (area_pages[i] || is_stack) {
            mprotect(area + i * PAGE_SIZE, PAGE_SIZE,
                     PROT_READ | PROT_WRITE | (area_pages[i] == PAGE_CODE ? PROT_EXEC : 0));
            memset(area + i * PAGE_SIZE, 0xcc, PAGE_SIZE);
        }
    }
    mlock(area + PAGE_SIZE, 2 * PAGE_SIZE);
    return area;
}

/* All pages as in contents; the read-only ones only once. */
static inline void pair_fill(struct pair *p, const u8 *contents)
{
    for (unsigned i = 0; i < AREA_SIZE / PAGE_SIZE; i++) {
        u8 *native = p->native + i * PAGE_SIZE;
        if (area_pages[i] == PAGE_READ_ONLY) {
            mprotect(native, PAGE_SIZE, PROT_READ | PROT_WRITE);
            memcpy(native, contents + i * PAGE_SIZE, PAGE_SIZE);
            memcpy(p->guest + i * PAGE_SIZE, contents + i * PAGE_SIZE, PAGE_SIZE);
            mprotect(native, PAGE_SIZE, PROT_READ);
        }
    }
}

static inline void pair_put_data(struct pair *p, const u8 *contents)
{
    for (unsigned i = 0; i < AREA_SIZE / PAGE_SIZE; i++) {
        if (area_pages[i] == PAGE_DATA) {
            memcpy(p->native + i * PAGE_SIZE, contents + i * PAGE_SIZE, PAGE_SIZE);
            memcpy(p->guest + i * PAGE_SIZE, contents + i * PAGE_SIZE, PAGE_SIZE);
        }
    }
}

/* The first offset in the area at which they differ, or -1. */
static inline int pair_compare(const struct pair *p)
{
    for (unsigned i = 0; i < AREA_SIZE / PAGE_SIZE; i++) {
        const u8 *a = p->native + i * PAGE_SIZE, *b = p->guest + i * PAGE_SIZE;
        if (area_pages[i] == PAGE_DATA && memcmp(a, b, PAGE_SIZE) != 0) {
            for (unsigned k = 0; k < PAGE_SIZE; k++) {
                if (a[k] != b[k]) {
                    return (int)(i * PAGE_SIZE + k);
                }
            }
        }
    }
    return -1;
}

/* Does [address, address + size) lie in writable pages of the area? */
static inline bool pair_has(u64 address, unsigned size)
{
    u64 first = address - AREA, last = first + size - 1;
    return first < AREA_SIZE && last < AREA_SIZE && area_pages[first / PAGE_SIZE] == PAGE_DATA &&
           area_pages[last / PAGE_SIZE] == PAGE_DATA;
}

static inline void pair_poke(struct pair *p, u64 address, u64 value, unsigned size)
{
    if (pair_has(address, size)) {
        memcpy(p->native + (address - AREA), &value, size);
        memcpy(p->guest + (address - AREA), &value, size);
    }
}

static inline void pair_put_code(struct pair *p, u64 address, const u8 *bytes, unsigned size)
{
    for (unsigned i = 0; i < size && address + i < CODE + CODE_SIZE; i++) {
        p->native[address + i - AREA] = bytes[i];
        interpret_fixture_code(p->f, AREA_GPA + address + i - AREA, bytes + i, 1);
    }
}

/* ------------------------------------------------------------------ the guest's registers */

static inline struct segment guest_segment(struct cpu_fixture *f, u16 selector)
{
    gpa_t table = selector & SELECTOR_TI ? FIXTURE_LDT : FIXTURE_GDT;
    struct descriptor d = {.low = cpu_fixture_get(f, table + (selector & ~7u), 8)};
    if (!(selector & ~3u)) {
        return (struct segment){.selector = selector};
    }
    d.attributes = descriptor_attributes(d.low);
    return segment_from(&d, selector);
}

static inline void guest_load(struct cpu_fixture *f, const struct native_registers *r)
{
    struct cpu *cpu = f->cpu;

    memcpy(cpu->gpr, r->gpr, sizeof(r->gpr));
    cpu->rip = r->rip;
    cpu->seg[SEG_CS] = guest_segment(f, (u16)r->cs);
    cpu->seg[SEG_SS] = guest_segment(f, (u16)r->ss);
    cpu->seg[SEG_DS] = guest_segment(f, (u16)r->ds);
    cpu->seg[SEG_ES] = guest_segment(f, (u16)r->es);
    cpu->seg[SEG_FS] = guest_segment(f, (u16)r->fs);
    cpu->seg[SEG_GS] = guest_segment(f, (u16)r->gs);
    cpu->seg[SEG_FS].base = r->fs ? cpu->seg[SEG_FS].base : r->fs_base;
    cpu->seg[SEG_GS].base = r->gs ? cpu->seg[SEG_GS].base : r->gs_base;
    cpu->fault = (struct fault){0};
    cpu->interrupt_shadow = cpu->debug_shadow = false;
    cpu->activity = ACTIVITY_RUNNING;
    cpu->cpl = 3;
    cpu_set_rflags(cpu, (u32)r->flags & ~RFLAGS_TF);
    cpu_update_mode(cpu);
}

static inline void guest_store(const struct cpu *cpu, struct native_registers *r)
{
    memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
    r->rip = cpu->rip;
    r->flags = cpu_rflags(cpu);
    r->cs = cpu->seg[SEG_CS].selector;
    r->ss = cpu->seg[SEG_SS].selector;
    r->ds = cpu->seg[SEG_DS].selector;
    r->es = cpu->seg[SEG_ES].selector;
    r->fs = cpu->seg[SEG_FS].selector;
    r->gs = cpu->seg[SEG_GS].selector;
    r->fs_base = cpu->seg[SEG_FS].base;
    r->gs_base = cpu->seg[SEG_GS].base;
}

#endif
