/* stack.h - pushes and pops by rSP, in 64-bit mode inline and in the others by segment. */
#ifndef EXEC_INTERPRET_STACK_H
#define EXEC_INTERPRET_STACK_H

#include "exec/interpret/operand.h"

/* Of other modes: stack.c.  displacement is from rSP. */
bool stack_store_legacy(struct cpu *cpu, s64 displacement, unsigned size, u64 value);
bool stack_load_legacy(struct cpu *cpu, s64 displacement, unsigned size, u64 *value);

static inline void stack_set_pointer(struct cpu *cpu, u64 rsp)
{
    cpu->gpr[RSP] = (cpu->gpr[RSP] & ~cpu->stack_mask) | (rsp & cpu->stack_mask);
}

static inline void stack_add(struct cpu *cpu, s64 bytes)
{
    if (likely(cpu->code_mode == INSN_MODE_64)) {
        cpu->gpr[RSP] += (u64)bytes;
    } else {
        stack_set_pointer(cpu, cpu->gpr[RSP] + (u64)bytes);
    }
}

/* Store at rSP + displacement, leaving rSP as it is. */
ALWAYS_INLINE bool stack_store(struct cpu *cpu, s64 displacement, unsigned size, u64 value)
{
    if (unlikely(cpu->code_mode != INSN_MODE_64)) {
        return stack_store_legacy(cpu, displacement, size, value);
    }
    gva_t gva = cpu->gpr[RSP] + (u64)displacement;
    void *p = tlb_write(&cpu->mmu, gva, size);
    if (unlikely(!p)) {
        return store_slow(cpu, SEG_SS, gva, &value, size);
    }
    write_bytes(p, value, size);
    return true;
}

ALWAYS_INLINE bool stack_load(struct cpu *cpu, s64 displacement, unsigned size, u64 *value)
{
    if (unlikely(cpu->code_mode != INSN_MODE_64)) {
        return stack_load_legacy(cpu, displacement, size, value);
    }
    gva_t gva = cpu->gpr[RSP] + (u64)displacement;
    const void *p = tlb_read(&cpu->mmu, gva, size);
    if (unlikely(!p)) {
        *value = 0;
        return load_slow(cpu, SEG_SS, gva, value, size);
    }
    *value = size == 2   ? *(const u16_alias *)p
             : size == 4 ? *(const u32_alias *)p
                         : *(const u64_alias *)p;
    return true;
}

ALWAYS_INLINE bool stack_push(struct cpu *cpu, unsigned size, u64 value)
{
    if (!stack_store(cpu, -(s64)size, size, value)) {
        return false;
    }
    stack_add(cpu, -(s64)size);
    return true;
}

ALWAYS_INLINE bool stack_pop(struct cpu *cpu, unsigned size, u64 *value)
{
    if (!stack_load(cpu, 0, size, value)) {
        return false;
    }
    stack_add(cpu, size);
    return true;
}

#endif
