/*
 * cpu_fixture.h - a whole CPU for unit tests: RAM from gpa 0, inbox, clock, and a bus_map for its
 * port.
 *
 * cpu_fixture_new() gives the power-on state.  The functions below it put the CPU into a usual mode
 * with a GDT, IDT and TSS in RAM, paging off unless said otherwise.
 */
#ifndef TESTS_UNIT_CPU_FIXTURE_H
#define TESTS_UNIT_CPU_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "bus/region.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/segment.h"
#include "mem/mem.h"

#define FIXTURE_RAM (8u << 20)

/* Where the tables are. */
#define FIXTURE_GDT    0x1000u
#define FIXTURE_IDT    0x2000u /* 256 gates of 8 bytes, or 16 in long mode */
#define FIXTURE_TSS    0x4000u
#define FIXTURE_LDT    0x5000u
#define FIXTURE_PML4   0x10000u /* and the tables below it: 4 GiB mapped to themselves, user */
#define FIXTURE_STACK0 0x80000u /* top of the TSS's stack for CPL 0 */
#define FIXTURE_STACK  0x90000u /* top of the current stack */
#define FIXTURE_IST1   0x70000u

/* Selectors: index n is of a descriptor at FIXTURE_GDT + 8 * n. */
enum {
    FIXTURE_CODE0 = 0x08, /* flat code and data, CPL 0; L in long mode, else 32-bit */
    FIXTURE_DATA0 = 0x10,
    FIXTURE_CODE3 = 0x18, /* the same at CPL 3, without the RPL */
    FIXTURE_DATA3 = 0x20,
    FIXTURE_CODE16 = 0x28,  /* 16-bit, 64 KiB, CPL 0 */
    FIXTURE_COMPAT3 = 0x30, /* 32-bit code, CPL 3, in long mode too */
    FIXTURE_TR = 0x40,      /* 16 bytes */
    FIXTURE_LDTR = 0x50,    /* 16 bytes */
    FIXTURE_FREE = 0x60,    /* from here to FIXTURE_GDT_LIMIT: a test's own */
};
#define FIXTURE_GDT_LIMIT 0xffu

struct cpu_fixture {
    struct cpu *cpu;
    struct mem mem;
    struct bus_map map; /* what the CPU's port reaches; empty at first */
    struct interrupt_inbox *inbox;
    struct vm_clock clock;
    u64 armed_deadline_ns; /* by the last cpu->ops.arm_timer() */
    u8 acknowledge_vector; /* what INTA gives */
    int eois;              /* how many the port has seen */
    u64 code_writes;       /* calls of the MMU's code_written */
};

#define FIXTURE_FLAT      (SEGMENT_P | SEGMENT_S | SEGMENT_G)
#define FIXTURE_TYPE_CODE (SEGMENT_TYPE_CODE | SEGMENT_TYPE_READABLE | SEGMENT_TYPE_ACCESSED)
#define FIXTURE_TYPE_DATA (SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED)
#define FIXTURE_DPL3      SEGMENT_DPL

static inline u64 port_read(void *context, enum bus_space space, u64 addr, unsigned size)
{
    struct cpu_fixture *f = context;
    return bus_map_read(&f->map, space, addr, size);
}

static inline void port_write(void *context, enum bus_space space, u64 addr, u64 value,
                              unsigned size)
{
    struct cpu_fixture *f = context;
    bus_map_write(&f->map, space, addr, value, size);
}

static inline int port_acknowledge(void *context)
{
    return ((struct cpu_fixture *)context)->acknowledge_vector;
}

static inline void port_eoi(void *context, u8 vector)
{
    (void)vector;
    ((struct cpu_fixture *)context)->eois++;
}

static inline void arm_timer(void *context, u64 deadline_ns)
{
    ((struct cpu_fixture *)context)->armed_deadline_ns = deadline_ns;
}

static inline u64 mmio_read(void *context, gpa_t gpa, unsigned size)
{
    return port_read(context, BUS_MMIO, gpa, size);
}

static inline void mmio_write(void *context, gpa_t gpa, u64 value, unsigned size)
{
    port_write(context, BUS_MMIO, gpa, value, size);
}

static inline void count_code_write(void *context, gpa_t gpa, unsigned size)
{
    (void)gpa;
    (void)size;
    ((struct cpu_fixture *)context)->code_writes++;
}

static const struct mmu_ops mmu_ops = {mmio_read, mmio_write, count_code_write};

static inline void *zeroed(size_t align, size_t size)
{
    size = (size + align - 1) & ~(align - 1);
    void *memory = aligned_alloc(align, size);
    if (!memory) {
        abort();
    }
    return memset(memory, 0, size);
}

static inline struct cpu_fixture *cpu_fixture_new(void)
{
    struct cpu_fixture *f = zeroed(64, sizeof(*f));
    f->mem.base = zeroed(PAGE_SIZE, FIXTURE_RAM);
    f->mem.low_size = FIXTURE_RAM;
    f->mem.code_holders = zeroed(64, FIXTURE_RAM / PAGE_SIZE);
    f->inbox = zeroed(64, sizeof(*f->inbox));
    f->clock.icount = true;
    f->clock.tsc_khz = 1000000;
    f->clock.ns_per_tsc_32 = 1ull << 32;
    f->cpu = zeroed(64, sizeof(*f->cpu));
    f->cpu->cpu_count = 1;
    f->cpu->inbox = f->inbox;
    f->cpu->fabric = (struct interrupt_fabric){.inboxes = f->inbox, .count = 1};
    f->cpu->port = (struct bus_port){.read = port_read,
                                     .write = port_write,
                                     .acknowledge = port_acknowledge,
                                     .eoi = port_eoi,
                                     .context = f};
    f->cpu->ops = (struct cpu_ops){.arm_timer = arm_timer, .context = f};
    f->cpu->clock = &f->clock;
    mmu_init(&f->cpu->mmu, &f->mem, &mmu_ops, f);
    cpu_reset(f->cpu);
    return f;
}

static inline void cpu_fixture_free(struct cpu_fixture *f)
{
    bus_map_destroy(&f->map);
    free(f->mem.base);
    free(f->mem.code_holders);
    free(f->inbox);
    free(f->cpu);
    free(f);
}

static inline u64 cpu_fixture_get(struct cpu_fixture *f, gpa_t gpa, unsigned size)
{
    u64 value = 0;
    memcpy(&value, f->mem.base + gpa, size);
    return value;
}

static inline void cpu_fixture_put(struct cpu_fixture *f, gpa_t gpa, u64 value, unsigned size)
{
    memcpy(f->mem.base + gpa, &value, size);
}

/* Descriptors: attributes as in struct segment; limit in bytes, or in pages with SEGMENT_G. */
static inline void cpu_fixture_descriptor(struct cpu_fixture *f, u16 selector, u32 base, u32 limit,
                                          u16 attributes)
{
    u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)attributes << 40 |
            (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
    gpa_t table = selector & SELECTOR_TI ? FIXTURE_LDT : FIXTURE_GDT;
    cpu_fixture_put(f, table + (selector & ~7u), d, 8);
}

static inline void put_gate(struct cpu_fixture *f, gpa_t gpa, u16 target, u64 offset,
                            u16 attributes, u8 low)
{
    u64 d = (offset & 0xffff) | (u64)target << 16 | (u64)low << 32 | (u64)attributes << 40 |
            (offset >> 16 & 0xffff) << 48;
    cpu_fixture_put(f, gpa, d, 8);
    if (f->cpu->long_mode) {
        cpu_fixture_put(f, gpa + 8, offset >> 32, 8);
    }
}

/* A gate in the GDT, of the size of the current mode; attributes as above. */
static inline void cpu_fixture_gate(struct cpu_fixture *f, u16 selector, u16 target, u64 offset,
                                    u16 attributes, u8 parameters)
{
    put_gate(f, FIXTURE_GDT + (selector & ~7u), target, offset, attributes, parameters);
}

/* The same at an IDT vector. */
static inline void cpu_fixture_idt(struct cpu_fixture *f, u8 vector, u16 target, u64 offset,
                                   u16 attributes, u8 ist)
{
    put_gate(f, FIXTURE_IDT + vector * (f->cpu->long_mode ? 16u : 8u), target, offset, attributes,
             ist);
}

/* Modes: rIP is 0x100000 (in real mode 0:0x1000), rSP at FIXTURE_STACK (0:0x8000). */
static inline void cpu_fixture_real(struct cpu_fixture *f)
{
    struct cpu *cpu = f->cpu;
    segment_load_real(cpu, SEG_CS, 0);
    cpu->rip = 0x1000;
    cpu->gpr[RSP] = 0x8000;
    cpu_update_mode(cpu);
}

static inline void load_selector(struct cpu_fixture *f, unsigned seg, u16 selector)
{
    struct descriptor d = {.low = cpu_fixture_get(f, FIXTURE_GDT + (selector & ~7u), 8)};
    d.attributes = descriptor_attributes(d.low);
    f->cpu->seg[seg] = segment_from(&d, selector);
}

static inline void load_all(struct cpu_fixture *f, unsigned cpl)
{
    static const u8 data[] = {SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    struct cpu *cpu = f->cpu;
    u16 rpl = (u16)cpl;
    cpu->gdtr = (struct table_register){FIXTURE_GDT, FIXTURE_GDT_LIMIT};
    cpu->idtr = (struct table_register){FIXTURE_IDT, cpu->long_mode ? 0xfff : 0x7ff};
    load_selector(f, SEG_CS, (cpl ? FIXTURE_CODE3 : FIXTURE_CODE0) | rpl);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        load_selector(f, data[i], (cpl ? FIXTURE_DATA3 : FIXTURE_DATA0) | rpl);
    }
    load_selector(f, SEG_TR, FIXTURE_TR);
    load_selector(f, SEG_LDTR, FIXTURE_LDTR);
    cpu->cpl = (u8)cpl;
    cpu->rip = 0x100000;
    cpu->gpr[RSP] = FIXTURE_STACK;
    cpu_update_mode(cpu);
}

static inline void write_gdt(struct cpu_fixture *f, u16 code_size)
{
    cpu_fixture_descriptor(f, FIXTURE_CODE0, 0, 0xfffff,
                           FIXTURE_FLAT | FIXTURE_TYPE_CODE | code_size);
    cpu_fixture_descriptor(f, FIXTURE_DATA0, 0, 0xfffff,
                           FIXTURE_FLAT | FIXTURE_TYPE_DATA | SEGMENT_DB);
    cpu_fixture_descriptor(f, FIXTURE_CODE3, 0, 0xfffff,
                           FIXTURE_FLAT | FIXTURE_TYPE_CODE | code_size | FIXTURE_DPL3);
    cpu_fixture_descriptor(f, FIXTURE_DATA3, 0, 0xfffff,
                           FIXTURE_FLAT | FIXTURE_TYPE_DATA | SEGMENT_DB | FIXTURE_DPL3);
    cpu_fixture_descriptor(f, FIXTURE_CODE16, 0, 0xffff, SEGMENT_P | SEGMENT_S | FIXTURE_TYPE_CODE);
    cpu_fixture_descriptor(f, FIXTURE_COMPAT3, 0, 0xfffff,
                           FIXTURE_FLAT | FIXTURE_TYPE_CODE | SEGMENT_DB | FIXTURE_DPL3);
    cpu_fixture_descriptor(f, FIXTURE_TR, FIXTURE_TSS, 0x1ff, SEGMENT_P | SYSTEM_TSS_BUSY);
    cpu_fixture_descriptor(f, FIXTURE_LDTR, FIXTURE_LDT, 0xff, SEGMENT_P | SYSTEM_LDT);
}

static inline void cpu_fixture_protected(struct cpu_fixture *f, unsigned cpl)
{
    f->cpu->mmu.paging.cr0 = CR0_PE | CR0_ET | CR0_NE;
    write_gdt(f, SEGMENT_DB);
    cpu_fixture_put(f, FIXTURE_TSS + 4, FIXTURE_STACK0, 4);
    cpu_fixture_put(f, FIXTURE_TSS + 8, FIXTURE_DATA0, 2);
    cpu_fixture_put(f, FIXTURE_TSS + 0x66, 0x88, 2); /* I/O map after the redirection bitmap */
    cpu_update_mode(f->cpu);
    load_all(f, cpl);
}

/* PML4, PDPT and four page directories of 2 MiB pages. */
static inline void map_all(struct cpu_fixture *f)
{
    cpu_fixture_put(f, FIXTURE_PML4, (FIXTURE_PML4 + 0x1000) | 7, 8);
    for (u64 i = 0; i < 4; i++) {
        cpu_fixture_put(f, FIXTURE_PML4 + 0x1000 + i * 8, (FIXTURE_PML4 + 0x2000 + i * 0x1000) | 7,
                        8);
    }
    for (u64 i = 0; i < 4 * 512; i++) {
        cpu_fixture_put(f, FIXTURE_PML4 + 0x2000 + i * 8, i << 21 | 0x87, 8);
    }
}

/* Paging is on. */
static inline void cpu_fixture_long(struct cpu_fixture *f, unsigned cpl)
{
    struct paging *p = &f->cpu->mmu.paging;
    p->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | CR0_WP;
    p->cr3 = FIXTURE_PML4;
    p->cr4 = CR4_PAE;
    p->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    map_all(f);
    write_gdt(f, SEGMENT_L);
    cpu_fixture_put(f, FIXTURE_TSS + 4, FIXTURE_STACK0, 8);
    cpu_fixture_put(f, FIXTURE_TSS + 0x24, FIXTURE_IST1, 8);
    cpu_fixture_put(f, FIXTURE_TSS + 0x66, 0x88, 2);
    cpu_update_mode(f->cpu);
    load_all(f, cpl);
}

/* Is just this exception pending?  error is -1 for none.  Clears it. */
static inline bool cpu_fixture_faulted(struct cpu_fixture *f, u8 vector, s64 error)
{
    struct fault fault = f->cpu->fault;
    f->cpu->fault = (struct fault){0};
    return fault.pending && fault.vector == vector && fault.has_error == (error >= 0) &&
           (error < 0 || fault.error == (u64)error);
}

#endif
