/*
 * stack.c - PUSH, POP and their forms for all registers and the flags, ENTER and LEAVE.
 */
#include "exec/interpret/stack.h"

#include "cpu/control.h"
#include "exec/interpret/handlers.h"

bool stack_store_sized(struct cpu *cpu, s64 displacement, unsigned size, u64 value)
{
    return size == 2   ? stack_store(cpu, displacement, 2, value)
           : size == 4 ? stack_store(cpu, displacement, 4, value)
                       : stack_store(cpu, displacement, 8, value);
}

bool stack_load_sized(struct cpu *cpu, s64 displacement, unsigned size, u64 *value)
{
    return size == 2   ? stack_load(cpu, displacement, 2, value)
           : size == 4 ? stack_load(cpu, displacement, 4, value)
                       : stack_load(cpu, displacement, 8, value);
}

/* ------------------------------------------------------------------ PUSH */

#define PUSH_SIZE(bytes)                                                          \
    static s64 push_r_##bytes(struct cpu *cpu, const struct op *op, s64 left)     \
    {                                                                             \
        if (!stack_push(cpu, bytes, reg_read(cpu, op->src, bytes))) {             \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        return next(cpu, op, left);                                               \
    }                                                                             \
    static s64 push_i_##bytes(struct cpu *cpu, const struct op *op, s64 left)     \
    {                                                                             \
        if (!stack_push(cpu, bytes, op->imm)) {                                   \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        return next(cpu, op, left);                                               \
    }                                                                             \
    static s64 push_m_##bytes(struct cpu *cpu, const struct op *op, s64 left)     \
    {                                                                             \
        u64 value;                                                                \
        if (!op_load(cpu, op, bytes, &value) || !stack_push(cpu, bytes, value)) { \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        return next(cpu, op, left);                                               \
    }                                                                             \
    static s64 pop_r_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                             \
        u64 value;                                                                \
        if (!stack_pop(cpu, bytes, &value)) {                                     \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        reg_write(cpu, op->dst, bytes, value);                                    \
        return next(cpu, op, left);                                               \
    }

PUSH_SIZE(2)
PUSH_SIZE(4)
PUSH_SIZE(8)

bool prepare_push(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = {push_r_2, push_r_4, push_r_8};
    static op_fn *const i[] = {push_i_2, push_i_4, push_i_8};
    static op_fn *const m[] = {push_m_2, push_m_4, push_m_8};
    unsigned s = (unsigned)__builtin_ctz(insn->operand_size) - 1;

    (void)cpu;
    switch (insn->op[0].kind) {
    case OPERAND_IMM:
        op->imm = insn->imm;
        op->fn = i[s];
        break;
    case OPERAND_MEM:
        op->fn = m[s];
        break;
    default:
        op->src = reg_offset(&insn->op[0]);
        op->fn = r[s];
        break;
    }
    return true;
}

/* ------------------------------------------------------------------ POP */

/* The address is computed with rSP already raised: POP [rSP] stores above what it popped. */
static s64 pop_m(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value, rsp = cpu->gpr[RSP];

    if (!(op->size == 2   ? stack_pop(cpu, 2, &value)
          : op->size == 4 ? stack_pop(cpu, 4, &value)
                          : stack_pop(cpu, 8, &value))) {
        return fault(cpu, op, left);
    }
    if (!(op->size == 2   ? op_store(cpu, op, 2, value)
          : op->size == 4 ? op_store(cpu, op, 4, value)
                          : op_store(cpu, op, 8, value))) {
        cpu->gpr[RSP] = rsp;
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

bool prepare_pop(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = {pop_r_2, pop_r_4, pop_r_8};

    (void)cpu;
    if (insn->op[0].kind == OPERAND_MEM) {
        op->fn = pop_m;
    } else {
        op->dst = reg_offset(&insn->op[0]);
        op->fn = r[(unsigned)__builtin_ctz(insn->operand_size) - 1];
    }
    return true;
}

/* ------------------------------------------------------------------ PUSHA, POPA: not in 64-bit
 * mode */

static s64 pusha(struct cpu *cpu, const struct op *op, s64 left)
{
    for (int reg = RAX; reg <= RDI; reg++) {
        if (!stack_store_sized(cpu, -(reg + 1) * (s64)op->size, op->size, cpu->gpr[reg])) {
            return fault(cpu, op, left);
        }
    }
    stack_add(cpu, -8 * (s64)op->size);
    return next(cpu, op, left);
}

bool prepare_pusha(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = pusha;
    return true;
}

APART bool do_popa(struct cpu *cpu, const struct op *op)
{
    u64 values[8];

    for (int i = 0; i < 8; i++) {
        if (!stack_load_sized(cpu, i * (s64)op->size, op->size, &values[i])) {
            return false;
        }
    }
    stack_add(cpu, 8 * (s64)op->size);
    for (unsigned i = 0; i < 8; i++) {
        unsigned reg = RDI - i;
        if (reg != RSP) {
            cpu->gpr[reg] = op->size == 2 ? (cpu->gpr[reg] & ~0xffffull) | values[i] : values[i];
        }
    }
    return true;
}

static s64 popa(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_popa(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_popa(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = popa;
    return true;
}

/* ------------------------------------------------------------------ PUSHF, POPF */

APART bool do_pushf(struct cpu *cpu, const struct op *op)
{
    u64 image;

    if (!control_pushf(cpu, op->size, &image) ||
        !stack_store_sized(cpu, -(s64)op->size, op->size, image)) {
        return false;
    }
    stack_add(cpu, -(s64)op->size);
    return true;
}

static s64 pushf(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_pushf(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_pushf(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = pushf;
    return true;
}

static s64 popf(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 image;
    u32 before = cpu->rflags;

    if (!(op->size == 8   ? stack_load(cpu, 0, 8, &image)
          : op->size == 4 ? stack_load(cpu, 0, 4, &image)
                          : stack_load(cpu, 0, 2, &image)) ||
        !control_popf(cpu, op->size, image)) {
        return fault(cpu, op, left);
    }
    stack_add(cpu, op->size);
    return (cpu->rflags ^ before) & (RFLAGS_IF | RFLAGS_TF) ? leave(cpu, op, left)
                                                            : next(cpu, op, left);
}

bool prepare_popf(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = popf;
    return true;
}

/* ------------------------------------------------------------------ ENTER, LEAVE */

/* imm is the size of the frame's locals, aux the nesting level (0 to 31).  Everything is stored
 * before a register changes; the last store that could fault is at the final rSP. */
APART bool do_enter(struct cpu *cpu, const struct op *op)
{
    s64 size = op->size, at = -size;
    u64 below = cpu->gpr[RSP] - (u64)size, value;
    /* ESP after the first push: its upper half stays where the stack is a 16-bit one. */
    u64 frame = (cpu->gpr[RSP] & ~cpu->stack_mask) | (below & cpu->stack_mask);
    gva_t gva;
    void *hva;

    if (!stack_store_sized(cpu, at, op->size, cpu->gpr[RBP])) {
        return false;
    }
    for (s64 level = 1; level < op->aux; level++) {
        s64 from = (s64)(cpu->gpr[RBP] - (u64)(level * size) - cpu->gpr[RSP]);
        at -= size;
        if (!stack_load_sized(cpu, from, op->size, &value) ||
            !stack_store_sized(cpu, at, op->size, value)) {
            return false;
        }
    }
    if (op->aux) {
        at -= size;
        if (!stack_store_sized(cpu, at, op->size, frame)) {
            return false;
        }
    }
    at -= (s64)op->imm;
    if (!stack_address(cpu, at, op->size, ACCESS_WRITE, &gva) ||
        !probe_slow(cpu, SEG_SS, gva, op->size, &hva)) {
        return false;
    }
    stack_add(cpu, at);
    if (op->size == 2) {
        reg_write(cpu, RBP * 8, 2, frame);
    } else {
        cpu->gpr[RBP] = op->size == 4 ? (u32)frame : frame;
    }
    return true;
}

static s64 enter(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_enter(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_enter(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->imm = insn->imm & 0xffff;
    op->aux = insn->imm2 & 31;
    op->fn = enter;
    return true;
}

static s64 leave_8(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!load(cpu, SEG_SS, cpu->gpr[RBP], 8, &value)) {
        return fault(cpu, op, left);
    }
    cpu->gpr[RSP] = cpu->gpr[RBP] + 8;
    cpu->gpr[RBP] = value;
    return next(cpu, op, left);
}

APART bool do_leave(struct cpu *cpu, const struct op *op)
{
    s64 from = (s64)(cpu->gpr[RBP] - cpu->gpr[RSP]);
    u64 value;

    if (!stack_load_sized(cpu, from, op->size, &value)) {
        return false;
    }
    stack_add(cpu, from + op->size);
    if (op->size == 2) {
        reg_write(cpu, RBP * 8, 2, value);
    } else {
        cpu->gpr[RBP] = value;
    }
    return true;
}

static s64 leave_sized(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_leave(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_leave(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->fn = insn->operand_size == 8 ? leave_8 : leave_sized;
    return true;
}
