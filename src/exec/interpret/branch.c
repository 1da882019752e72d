/*
 * branch.c - near jumps, calls and returns, and the loop instructions.
 *
 * A direct branch to its own page holds a pointer to the op there once it has been taken: within
 * one page and one line table, physical and virtual offsets are the same.  All others look into the
 * jump cache.  Targets are checked where a wrong one is possible: 64-bit indirect ones for being
 * canonical, those of 16- and 32-bit code against the limit of CS; the #GP belongs to the branch.
 */
#include "cpu/transfer.h"
#include "exec/interpret/code.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/stack.h"

/* ------------------------------------------------------------------ direct branches */

/* Go to op's target in the same page: imm is its op, or NULL before it was first taken; disp is the
 * target's offset in the page. */
ALWAYS_INLINE s64 branch_in_page(struct cpu *cpu, const struct op *op, s64 left)
{
    const struct op *target = (const struct op *)op->imm;

    if (likely(target) && !must_leave(cpu, left - 1)) {
        return target->fn(cpu, target, left - 1);
    }
    cpu->rip = cpu->gpr[GPR_CODE] + (u64)(s64)op->disp;
    cpu->exec->link = target ? NULL : (struct op *)op;
    return left - 1;
}

/* Go to op's target anywhere: imm is its displacement from the start of the page, size cuts it. */
ALWAYS_INLINE u64 far_target(const struct cpu *cpu, const struct op *op)
{
    u64 rip = cpu->gpr[GPR_CODE] + op->imm;
    return likely(op->size == 8) ? rip : op->size == 4 ? (u32)rip : (u16)rip;
}

/* May code of this mode run at rip?  False: #GP(0) is pending. */
static bool target_ok(struct cpu *cpu, u64 rip)
{
    return transfer_check_rip(cpu, &cpu->seg[SEG_CS], rip);
}

ALWAYS_INLINE bool direct_target_ok(struct cpu *cpu, u64 rip)
{
    if (likely(cpu->code_mode == INSN_MODE_64)) {
        return likely(bits_sign_extend(rip, 48) == rip) || target_ok(cpu, rip);
    }
    return likely(rip <= cpu->seg[SEG_CS].limit) || target_ok(cpu, rip);
}

/* Where a direct branch leads; true if that is in its own page and no other check is needed. */
static bool set_target(const struct cpu *cpu, const struct insn *insn, struct op *op)
{
    s64 target = (s64)op->offset + insn->length + (s64)insn->imm;
    bool narrowed = cpu->code_mode == INSN_MODE_32 && insn->operand_size == 2;

    op->size = insn->operand_size;
    if (cpu->code_mode == INSN_MODE_64) {
        op->size = 8;
    }
    if (target >= 0 && target < (s64)PAGE_SIZE && !narrowed) {
        op->disp = (s32)target;
        op->imm = 0;
        return true;
    }
    op->imm = (u64)target;
    return false;
}

#define JCC(code)                                                                                \
    static s64 jcc_##code(struct cpu *cpu, const struct op *op, s64 left)                        \
    {                                                                                            \
        if (condition(cpu, code)) {                                                              \
            return branch_in_page(cpu, op, left);                                                \
        }                                                                                        \
        return next(cpu, op, left);                                                              \
    }                                                                                            \
    static s64 jcc_far_##code(struct cpu *cpu, const struct op *op, s64 left)                    \
    {                                                                                            \
        if (condition(cpu, code)) {                                                              \
            u64 rip = far_target(cpu, op);                                                       \
            return direct_target_ok(cpu, rip) ? goto_rip(cpu, rip, left) : fault(cpu, op, left); \
        }                                                                                        \
        return next(cpu, op, left);                                                              \
    }

FOR_EACH_CONDITION(JCC)

bool prepare_jcc(struct cpu *cpu, const struct insn *insn, struct op *op)
{
#define NEAR(code) jcc_##code,
#define FAR(code)  jcc_far_##code,
    static op_fn *const in_page[16] = {FOR_EACH_CONDITION(NEAR)};
    static op_fn *const far[16] = {FOR_EACH_CONDITION(FAR)};

    op->fn = (set_target(cpu, insn, op) ? in_page : far)[insn->opcode & 15];
    return true;
}

static s64 jmp_in_page(struct cpu *cpu, const struct op *op, s64 left)
{
    return branch_in_page(cpu, op, left);
}

static s64 jmp_far_rel(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 rip = far_target(cpu, op);
    return direct_target_ok(cpu, rip) ? goto_rip(cpu, rip, left) : fault(cpu, op, left);
}

/* ------------------------------------------------------------------ indirect branches */

ALWAYS_INLINE bool indirect_target(struct cpu *cpu, const struct op *op, unsigned size,
                                   bool is_memory, u64 *rip)
{
    if (is_memory) {
        if (!op_load(cpu, op, size, rip)) {
            return false;
        }
    } else {
        *rip = reg_read(cpu, op->src, size);
    }
    return direct_target_ok(cpu, *rip);
}

#define INDIRECT(name, size, is_memory)                                             \
    static s64 jmp_##name##_##size(struct cpu *cpu, const struct op *op, s64 left)  \
    {                                                                               \
        u64 rip;                                                                    \
        if (!indirect_target(cpu, op, size, is_memory, &rip)) {                     \
            return fault(cpu, op, left);                                            \
        }                                                                           \
        return goto_rip(cpu, rip, left);                                            \
    }                                                                               \
    static s64 call_##name##_##size(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                               \
        u64 rip;                                                                    \
        if (!indirect_target(cpu, op, size, is_memory, &rip) ||                     \
            !stack_push(cpu, size, op_next_rip(cpu, op))) {                         \
            return fault(cpu, op, left);                                            \
        }                                                                           \
        return goto_rip(cpu, rip, left);                                            \
    }

INDIRECT(r, 2, false)
INDIRECT(r, 4, false)
INDIRECT(r, 8, false)
INDIRECT(m, 2, true)
INDIRECT(m, 4, true)
INDIRECT(m, 8, true)

/* JMP or CALL: to a target in the page or elsewhere, or to one that a register or memory holds. */
static bool prepare_near(struct cpu *cpu, const struct insn *insn, struct op *op, op_fn *in_page,
                         op_fn *rel, op_fn *r, op_fn *m)
{
    if (insn->op[0].kind == OPERAND_REL) {
        op->fn = set_target(cpu, insn, op) ? in_page : rel;
    } else if (insn->op[0].kind == OPERAND_MEM) {
        op->fn = m;
    } else {
        op->src = reg_offset(&insn->op[0]);
        op->fn = r;
    }
    return true;
}

bool prepare_jmp(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = {jmp_r_2, jmp_r_4, jmp_r_8};
    static op_fn *const m[] = {jmp_m_2, jmp_m_4, jmp_m_8};
    unsigned s = (unsigned)__builtin_ctz(insn->operand_size) - 1;

    return prepare_near(cpu, insn, op, jmp_in_page, jmp_far_rel, r[s], m[s]);
}

/* ------------------------------------------------------------------ CALL */

#define CALL_SIZE(size)                                                                    \
    static s64 call_in_page_##size(struct cpu *cpu, const struct op *op, s64 left)         \
    {                                                                                      \
        if (!stack_push(cpu, size, op_next_rip(cpu, op))) {                                \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        return branch_in_page(cpu, op, left);                                              \
    }                                                                                      \
    static s64 call_rel_##size(struct cpu *cpu, const struct op *op, s64 left)             \
    {                                                                                      \
        u64 rip = far_target(cpu, op);                                                     \
        if (!direct_target_ok(cpu, rip) || !stack_push(cpu, size, op_next_rip(cpu, op))) { \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        return goto_rip(cpu, rip, left);                                                   \
    }

CALL_SIZE(2)
CALL_SIZE(4)
CALL_SIZE(8)

bool prepare_call(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const in_page[] = {call_in_page_2, call_in_page_4, call_in_page_8};
    static op_fn *const rel[] = {call_rel_2, call_rel_4, call_rel_8};
    static op_fn *const r[] = {call_r_2, call_r_4, call_r_8};
    static op_fn *const m[] = {call_m_2, call_m_4, call_m_8};
    unsigned s = (unsigned)__builtin_ctz(insn->operand_size) - 1;

    return prepare_near(cpu, insn, op, in_page[s], rel[s], r[s], m[s]);
}

/* ------------------------------------------------------------------ RET */

/* imm is what RET imm16 pops beyond the return address. */
#define RET_SIZE(size)                                                        \
    static s64 ret_##size(struct cpu *cpu, const struct op *op, s64 left)     \
    {                                                                         \
        u64 rip;                                                              \
        if (!stack_load(cpu, 0, size, &rip) || !direct_target_ok(cpu, rip)) { \
            return fault(cpu, op, left);                                      \
        }                                                                     \
        stack_add(cpu, size + (s64)op->imm);                                  \
        return goto_rip(cpu, rip, left);                                      \
    }

RET_SIZE(2)
RET_SIZE(4)
RET_SIZE(8)

bool prepare_ret(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const ret[] = {ret_2, ret_4, ret_8};

    (void)cpu;
    op->imm = insn->operands && insn->op[0].kind == OPERAND_IMM ? insn->imm & 0xffff : 0;
    op->fn = ret[(unsigned)__builtin_ctz(insn->operand_size) - 1];
    return true;
}

/* ------------------------------------------------------------------ LOOP, LOOPE, LOOPNE, JCXZ */

/* aux is the address size: which of CX, ECX and RCX counts. */
static u64 count_down(struct cpu *cpu, unsigned size)
{
    u64 count = (cpu->gpr[RCX] - 1) & bits_mask(size * 8);

    if (size == 2) {
        reg_write(cpu, RCX * 8, 2, count);
    } else {
        cpu->gpr[RCX] = count;
    }
    return count;
}

ALWAYS_INLINE s64 loop(struct cpu *cpu, const struct op *op, s64 left, bool by_zf, bool zf)
{
    u64 rip = far_target(cpu, op);
    u64 count = (cpu->gpr[RCX] - 1) & bits_mask(op->aux * 8);
    bool taken = count && (!by_zf || !!(cpu->flags & AX_ZF) == zf);

    if (taken && !direct_target_ok(cpu, rip)) {
        return fault(cpu, op, left);
    }
    count_down(cpu, op->aux);
    return taken ? goto_rip(cpu, rip, left) : next(cpu, op, left);
}

static s64 loop_any(struct cpu *cpu, const struct op *op, s64 left)
{
    return loop(cpu, op, left, false, false);
}

static s64 loope(struct cpu *cpu, const struct op *op, s64 left)
{
    return loop(cpu, op, left, true, true);
}

static s64 loopne(struct cpu *cpu, const struct op *op, s64 left)
{
    return loop(cpu, op, left, true, false);
}

static s64 jcxz(struct cpu *cpu, const struct op *op, s64 left)
{
    if (cpu->gpr[RCX] & bits_mask(op->aux * 8)) {
        return next(cpu, op, left);
    }
    u64 rip = far_target(cpu, op);
    return direct_target_ok(cpu, rip) ? goto_rip(cpu, rip, left) : fault(cpu, op, left);
}

bool prepare_loop(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    if (set_target(cpu, insn, op)) {
        op->imm = (u64)(s64)op->disp; /* these are rare: no link */
    }
    op->aux = insn->address_size;
    op->fn = insn->id == INSN_LOOP     ? loop_any
             : insn->id == INSN_LOOPE  ? loope
             : insn->id == INSN_LOOPNE ? loopne
                                       : jcxz;
    return true;
}
