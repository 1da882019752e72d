/*
 * operand.h - reading and writing register operands by their byte offset in struct cpu.
 *
 * A register is always written whole, 8 bytes at once: a narrow store would stall the next wide
 * load of it in the host's store buffer.
 */
#ifndef EXEC_INTERPRET_OPERAND_H
#define EXEC_INTERPRET_OPERAND_H

#include "exec/interpret/access.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* For the part of a handler that has variables whose addresses escape: see rule 5 in op.h. */
#define APART static __attribute__((noinline))

ALWAYS_INLINE u64 reg_read(struct cpu *cpu, u8 offset, unsigned size)
{
    return read_bytes(op_reg(cpu, offset), size);
}

ALWAYS_INLINE void reg_write(struct cpu *cpu, u8 offset, unsigned size, u64 value)
{
    u64 *reg = &cpu->gpr[offset >> 3];

    if (size == 8) {
        *reg = value;
    } else if (size == 4) {
        *reg = (u32)value;
    } else if (size == 2) {
        *reg = (*reg & ~0xffffull) | (u16)value;
    } else {
        unsigned shift = (offset & 7) * 8; /* 8 for AH, CH, DH, BH */
        *reg = (*reg & ~(0xffull << shift)) | ((u64)(u8)value << shift);
    }
}

/* The byte offset of a general register operand. */
static inline u8 reg_offset(const struct operand *operand)
{
    return (u8)(operand->reg * 8 + (operand->class == REG_GPR_HIGH));
}

/* op's memory operand for a read-modify-write: a pointer to the bytes in RAM, or to cpu->bounce
 * with the bytes copied in, which rmw_end() then stores.  Everything that the store could meet has
 * been met.  NULL: an exception is pending. */
ALWAYS_INLINE void *rmw_begin(struct cpu *cpu, const struct op *op, unsigned size)
{
    gva_t gva;

    if (!op_address(cpu, op, size, ACCESS_WRITE, &gva)) {
        return NULL;
    }
    void *p = tlb_write(&cpu->mmu, gva, size);
    return likely(p) ? p : rmw_begin_slow(cpu, op->segment, gva, size);
}

/* False: an exception is pending, or another vCPU was faster; the instruction starts over then. */
ALWAYS_INLINE bool rmw_end(struct cpu *cpu, unsigned size, const void *p)
{
    return likely(p != cpu->bounce) || rmw_end_slow(cpu, size);
}

#endif
