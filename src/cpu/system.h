/*
 * system.h - memory as the CPU itself uses it: system structures, and the stacks of control
 * transfers.
 *
 * A struct stack is a stack that is being used but not yet committed: pushes and pops move its sp,
 * not the CPU's, so that a transfer that faults half-way has changed no register.
 */
#ifndef CPU_SYSTEM_H
#define CPU_SYSTEM_H

#include "cpu/cpu.h"

/* Read or write a descriptor table or TSS: as supervisor, whatever CPL is.  False: #PF. */
bool system_read(struct cpu *cpu, gva_t gva, void *buffer, unsigned size);
bool system_write(struct cpu *cpu, gva_t gva, const void *buffer, unsigned size);

/* base + offset, cut to 32 bits outside long mode. */
gva_t system_address(const struct cpu *cpu, u64 base, u64 offset);

struct stack {
    struct segment ss; /* its selector, base, limit, attributes; unused if `wide` */
    u64 sp;
    u64 mask;  /* 0xffff, 0xffffffff or ~0 */
    bool wide; /* 64-bit: no segment */
    u8 cpl;    /* the privilege with which it is accessed */
    u32 error; /* of the #SS where it does not fit */
};

/* The current stack at the current CPL; #SS(0). */
struct stack system_stack_current(const struct cpu *cpu);

/* Another one: ss and sp at cpl.  wide: 64-bit mode. */
struct stack system_stack_other(const struct segment *ss, u64 sp, unsigned cpl, bool wide,
                                u32 error);

/* Would pushing size bytes stay inside?  Raises #SS. */
bool system_check_push(struct cpu *cpu, const struct stack *stack, unsigned size);

/* Push or pop one value of size 2, 4 or 8 bytes. */
bool system_push(struct cpu *cpu, struct stack *stack, u64 value, unsigned size);
bool system_pop(struct cpu *cpu, struct stack *stack, u64 *value, unsigned size);

/* Push count values, the first one first; or pop them. */
bool system_push_all(struct cpu *cpu, struct stack *stack, const u64 *values, unsigned count,
                     unsigned size);
bool system_pop_all(struct cpu *cpu, struct stack *stack, u64 *values, unsigned count,
                    unsigned size);

/* Discard bytes, as RET imm16 does. */
void system_release(struct stack *stack, u64 bytes);

/* Make stack->sp the CPU's rSP, changing as many of its bits as the stack is wide. */
void system_commit(struct cpu *cpu, const struct stack *stack);

#endif
