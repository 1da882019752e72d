/*
 * op.h - what the interpreter executes: one struct op an instruction, in straight lines.
 *
 * The decoder's struct insn is complete but large.  It is prepared once into an op: a handler for
 * just this form and size of the instruction, with registers as byte offsets into struct cpu.  A
 * straight line is a row of ops in memory, from some entry to the first instruction that always
 * leaves it or to the end of its page; each handler ends in a tail call of the next one's:
 *
 *      handler(cpu, op, left):  do it;  return op[1].fn(cpu, op + 1, left - 1)
 *
 * Rules for handlers:
 *  1. A handler that completes returns next() (or goto_rip(), or leave()).
 *  2. One that met an exception (cpu->fault is pending) returns fault(), having changed nothing.
 *  3. `left` counts the instructions that may still be executed, this one included.  It is how
 *     instructions are counted, and never lost: it goes along and comes back.
 *  4. cpu->rip is stale inside a straight line.  rIP of an op is cpu->gpr[GPR_CODE] + op->offset.
 *  5. No function that ends in next() has a local variable whose address it passes to a function
 * that is not inlined: the compiler then would not make the tail call a jump, and the stack would
 *     grow with each instruction.  Slow paths hand over values in cpu->bounce.  A test looks.
 *  6. What changes how code is fetched or decoded (mode, CS, paging, IF from 0 to 1, debug
 *     registers) ends in leave().
 */
#ifndef EXEC_INTERPRET_OP_H
#define EXEC_INTERPRET_OP_H

#include "cpu/cpu.h"

struct op;

/* Returns what is left of `left`. */
typedef s64 op_fn(struct cpu *cpu, const struct op *op, s64 left);

enum { /* bits of op->ea: how the memory operand's address is made beyond 64-bit base + index + disp
        */
       EA_SEGMENT_BASE = 1 << 0, /* 64-bit mode: add the base of FS or GS */
       EA_ADDRESS_32 = 1 << 1,   /* cut the offset to 32 bits */
       EA_ADDRESS_16 = 1 << 2,
       EA_LEGACY = 1 << 3, /* not 64-bit mode: segment checks, linear address cut to 32 bits */
       EA_RIP =
           1
           << 4, /* RIP-relative, and too far for disp to count from the page: from the next rIP */
};

struct op {
    op_fn *fn;
    u64 imm;     /* immediate, branch target or thunk: by handler */
    s32 disp;    /* for RIP-relative operands from the start of the page: base is GPR_CODE */
    u8 base;     /* GPR slot */
    u8 index;    /* GPR slot */
    u8 scale;    /* shift */
    u8 ea;       /* EA_* */
    u8 dst, src; /* byte offsets of registers in struct cpu */
    u8 segment;  /* of the memory operand */
    u8 length;   /* of the instruction */
    u16 offset;  /* of its first byte in its page (its rIP - gpr[GPR_CODE]) */
    u8 size;     /* operand size in bytes, where the handler does not know it */
    u8 aux;      /* by handler */
};

_Static_assert(sizeof(struct op) == 32, "two ops a cache line");

static inline s64 next(struct cpu *cpu, const struct op *op, s64 left)
{
    return op[1].fn(cpu, op + 1, left - 1);
}

static inline u64 op_rip(const struct cpu *cpu, const struct op *op)
{
    return cpu->gpr[GPR_CODE] + op->offset;
}

/* rIP of the instruction after op.  In 16-bit code it does not wrap at 64 KiB: the limit of CS is
 * in the way. */
static inline u64 op_next_rip(const struct cpu *cpu, const struct op *op)
{
    u64 rip = op_rip(cpu, op) + op->length;
    return likely(cpu->code_mode == INSN_MODE_64) ? rip : (u32)rip;
}

/* The exception in cpu->fault belongs to this instruction: stop before it. */
static inline s64 fault(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left;
}

/* This instruction is done, and the run loop has to look before the next one. */
static inline s64 leave(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_next_rip(cpu, op);
    return left - 1;
}

/* Registers by byte offset: op->dst, op->src.  A write of 4 bytes clears the upper half. */
static inline void *op_reg(struct cpu *cpu, u8 offset)
{
    return (u8 *)cpu->gpr + offset;
}

#endif
