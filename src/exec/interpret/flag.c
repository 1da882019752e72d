/* flag.c - CLC and its like, LAHF and SAHF; and NOP, hints and fences, which change nothing. */
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"

/* ------------------------------------------------------------------ single flags */

static s64 clc(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->flags &= (u16)~AX_CF;
    return next(cpu, op, left);
}

static s64 stc(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->flags |= AX_CF;
    return next(cpu, op, left);
}

static s64 cmc(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->flags ^= AX_CF;
    return next(cpu, op, left);
}

static s64 cld(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rflags &= ~RFLAGS_DF;
    return next(cpu, op, left);
}

static s64 std(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rflags |= RFLAGS_DF;
    return next(cpu, op, left);
}

static s64 lahf(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, RAX * 8 + 1, 1, cpu_arithmetic_flags(cpu) | RFLAGS_FIXED);
    return next(cpu, op, left);
}

static s64 sahf(struct cpu *cpu, const struct op *op, s64 left)
{
    u32 ah = (u32)reg_read(cpu, RAX * 8 + 1, 1);
    cpu_set_arithmetic_flags(cpu, (cpu_arithmetic_flags(cpu) & RFLAGS_OF) | ah);
    return next(cpu, op, left);
}

bool prepare_flag(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->fn = insn->id == INSN_CLC    ? clc
             : insn->id == INSN_STC  ? stc
             : insn->id == INSN_CMC  ? cmc
             : insn->id == INSN_CLD  ? cld
             : insn->id == INSN_STD  ? std
             : insn->id == INSN_LAHF ? lahf
                                     : sahf;
    return true;
}

/* ------------------------------------------------------------------ NOP, hints, fences */

static s64 nop(struct cpu *cpu, const struct op *op, s64 left)
{
    return next(cpu, op, left);
}

static s64 fence(struct cpu *cpu, const struct op *op, s64 left)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return next(cpu, op, left);
}

bool prepare_nop(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->fn =
        insn->id == INSN_MFENCE || insn->id == INSN_SFENCE || insn->id == INSN_LFENCE ? fence : nop;
    return true;
}
