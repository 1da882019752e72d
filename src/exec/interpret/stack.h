/* stack.h - pushes and pops by rSP, in 64-bit mode inline and in the others by segment. */
#ifndef EXEC_INTERPRET_STACK_H
#define EXEC_INTERPRET_STACK_H

#include "exec/interpret/operand.h"

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

/* The linear address of rSP + displacement. */
ALWAYS_INLINE bool stack_address(struct cpu *cpu, s64 displacement, unsigned size, unsigned access,
                                 gva_t *gva)
{
    *gva = cpu->gpr[RSP] + (u64)displacement;
    if (likely(cpu->code_mode == INSN_MODE_64)) {
        return true;
    }
    u64 offset = *gva & cpu->stack_mask;
    if (likely(flat_address(cpu, SEG_SS, offset, size, gva))) {
        return true;
    }
    if (!linear_address(cpu, SEG_SS, offset, size, access, &cpu->bounce_gva)) {
        return false;
    }
    *gva = cpu->bounce_gva;
    return true;
}

/* Store at rSP + displacement, leaving rSP as it is. */
ALWAYS_INLINE bool stack_store(struct cpu *cpu, s64 displacement, unsigned size, u64 value)
{
    gva_t gva;

    return stack_address(cpu, displacement, size, ACCESS_WRITE, &gva) &&
           store(cpu, SEG_SS, gva, size, value);
}

ALWAYS_INLINE bool stack_load(struct cpu *cpu, s64 displacement, unsigned size, u64 *value)
{
    gva_t gva;

    return stack_address(cpu, displacement, size, ACCESS_READ, &gva) &&
           load(cpu, SEG_SS, gva, size, value);
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

/* The same where the size (2, 4 or 8) is not known when this is compiled. */
bool stack_store_sized(struct cpu *cpu, s64 displacement, unsigned size, u64 value);
bool stack_load_sized(struct cpu *cpu, s64 displacement, unsigned size, u64 *value);

#endif
