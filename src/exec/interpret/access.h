/*
 * access.h - an op's memory operand: its address, and loads and stores.
 *
 * The first lines of each function are the fast path, all inline: 64-bit flat addressing and a hit
 * in the soft TLB.  Everything else is in access.c.
 */
#ifndef EXEC_INTERPRET_ACCESS_H
#define EXEC_INTERPRET_ACCESS_H

#include "exec/interpret/op.h"

/* The effective address (offset in its segment), cut to the address size: what LEA gives. */
static inline u64 effective_address(const struct cpu *cpu, const struct op *op)
{
    u64 ea = cpu->gpr[op->base] + (cpu->gpr[op->index] << op->scale) + (u64)(s64)op->disp;
    if (unlikely(op->ea & (EA_ADDRESS_32 | EA_ADDRESS_16 | EA_RIP))) {
        ea += op->ea & EA_RIP ? op->offset + op->length : 0u;
        ea &= op->ea & EA_ADDRESS_32 ? 0xffffffff : op->ea & EA_ADDRESS_16 ? 0xffff : ~0ull;
    }
    return ea;
}

/* Offset to linear address, with all checks of a segment that 16- and 32-bit modes make; access is
 * ACCESS_READ or ACCESS_WRITE.  In 64-bit mode it adds FS and GS bases and checks that the result
 * is canonical.  False: #GP or #SS is pending. */
bool linear_address(struct cpu *cpu, unsigned segment, u64 offset, unsigned size, unsigned access,
                    gva_t *gva);

/* access bits (ACCESS_USER, ACCESS_AC) for an explicit access at the current CPL. */
static inline unsigned access_privilege(const struct cpu *cpu)
{
    return cpu->cpl == 3 ? ACCESS_USER : cpu->rflags & RFLAGS_AC ? ACCESS_AC : 0;
}

/* The slow paths: canonical and alignment checks, TLB misses, page crossings, MMIO, watchpoints.
 * gva is linear.  size is up to 4096.  False: an exception is pending and nothing was written. */
bool load_slow(struct cpu *cpu, unsigned segment, gva_t gva, void *value, unsigned size);
bool store_slow(struct cpu *cpu, unsigned segment, gva_t gva, const void *value, unsigned size);

/* All that a store could meet, met before it (read-modify-write, stores after other effects).
 * Returns through *hva where the bytes are if they lie in plain RAM in one page, else NULL there.
 */
bool probe_slow(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size, void **hva);

/* False: #AC is pending, which is on and finds gva misaligned; align is a power of two. */
bool check_aligned(struct cpu *cpu, gva_t gva, unsigned align);

/* The same without #AC, which masked moves and gathers never raise. */
bool load_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, void *value, unsigned size);
bool store_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, const void *value,
                     unsigned size);
bool probe_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size, void **hva);

/* linear_address() for what nearly all 32-bit code has: a writable data segment of 4 GiB, in which
 * only an offset that wraps could be wrong.  False: ask linear_address(). */
static inline bool flat_address(const struct cpu *cpu, unsigned segment, u64 offset, unsigned size,
                                gva_t *gva)
{
    const struct segment *s = &cpu->seg[segment];
    u16 kind = s->attributes & (SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_CODE | SEGMENT_TYPE_EXPAND |
                                SEGMENT_TYPE_WRITABLE);

    *gva = (u32)(s->base + offset);
    return s->limit == 0xffffffff && kind == (SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE) &&
           offset + size - 1 <= 0xffffffff;
}

/* The linear address of op's memory operand. */
static inline bool op_address(struct cpu *cpu, const struct op *op, unsigned size, unsigned access,
                              gva_t *gva)
{
    *gva = effective_address(cpu, op);
    if (unlikely(op->ea & (EA_SEGMENT_BASE | EA_LEGACY))) {
        u64 offset = *gva;
        if (op->ea & EA_LEGACY && likely(flat_address(cpu, op->segment, offset, size, gva))) {
            return true;
        }
        if (!linear_address(cpu, op->segment, offset, size, access, &cpu->bounce_gva)) {
            return false;
        }
        *gva = cpu->bounce_gva;
    }
    return true;
}

static inline __attribute__((always_inline)) u64 read_bytes(const void *p, unsigned size)
{
    return size == 1   ? *(const u8_alias *)p
           : size == 2 ? *(const u16_alias *)p
           : size == 4 ? *(const u32_alias *)p
                       : *(const u64_alias *)p;
}

static inline __attribute__((always_inline)) void write_bytes(void *p, u64 value, unsigned size)
{
    if (size == 1) {
        *(u8_alias *)p = (u8)value;
    } else if (size == 2) {
        *(u16_alias *)p = (u16)value;
    } else if (size == 4) {
        *(u32_alias *)p = (u32)value;
    } else {
        *(u64_alias *)p = value;
    }
}

/* Load size (1, 2, 4, 8) bytes at a linear address, zero-extended. */
static inline __attribute__((always_inline)) bool load(struct cpu *cpu, unsigned segment, gva_t gva,
                                                       unsigned size, u64 *value)
{
    const void *p = tlb_read(&cpu->mmu, gva, size);

    if (likely(p)) {
        *value = read_bytes(p, size);
        return true;
    }
    cpu->bounce[0] = 0;
    if (!load_slow(cpu, segment, gva, cpu->bounce, size)) {
        return false;
    }
    *value = cpu->bounce[0];
    return true;
}

static inline __attribute__((always_inline)) bool store(struct cpu *cpu, unsigned segment,
                                                        gva_t gva, unsigned size, u64 value)
{
    void *p = tlb_write(&cpu->mmu, gva, size);

    if (likely(p)) {
        write_bytes(p, value, size);
        return true;
    }
    cpu->bounce[0] = value;
    return store_slow(cpu, segment, gva, cpu->bounce, size);
}

/* The same for op's memory operand. */
static inline __attribute__((always_inline)) bool op_load(struct cpu *cpu, const struct op *op,
                                                          unsigned size, u64 *value)
{
    gva_t gva;

    return op_address(cpu, op, size, ACCESS_READ, &gva) && load(cpu, op->segment, gva, size, value);
}

static inline __attribute__((always_inline)) bool op_store(struct cpu *cpu, const struct op *op,
                                                           unsigned size, u64 value)
{
    gva_t gva;

    return op_address(cpu, op, size, ACCESS_WRITE, &gva) &&
           store(cpu, op->segment, gva, size, value);
}

/* Off the fast path of rmw_begin() and rmw_end(): see operand.h. */
void *rmw_begin_slow(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size);
bool rmw_end_slow(struct cpu *cpu, unsigned size);

/* What the CPU's MMU asks for: its local APIC, the bus, and the code cache. */
extern const struct mmu_ops cpu_mmu_ops;

#endif
