/*
 * move.c - instructions that move values without computing: MOV and its widening forms, LEA, XCHG,
 * conditional moves and byte swaps.
 */
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/locked.h"

#define BY_SIZE(prefix)                                \
    {                                                  \
        prefix##_1, prefix##_2, prefix##_4, prefix##_8 \
    }

/* ------------------------------------------------------------------ MOV */

#define MOV_SIZE(bytes)                                                       \
    static s64 mov_rr_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        reg_write(cpu, op->dst, bytes, reg_read(cpu, op->src, bytes));        \
        return next(cpu, op, left);                                           \
    }                                                                         \
    static s64 mov_ri_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        reg_write(cpu, op->dst, bytes, op->imm);                              \
        return next(cpu, op, left);                                           \
    }                                                                         \
    static s64 mov_rm_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        u64 value;                                                            \
        if (!op_load(cpu, op, bytes, &value)) {                               \
            return fault(cpu, op, left);                                      \
        }                                                                     \
        reg_write(cpu, op->dst, bytes, value);                                \
        return next(cpu, op, left);                                           \
    }                                                                         \
    static s64 mov_mr_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        if (!op_store(cpu, op, bytes, reg_read(cpu, op->src, bytes))) {       \
            return fault(cpu, op, left);                                      \
        }                                                                     \
        return next(cpu, op, left);                                           \
    }                                                                         \
    static s64 mov_mi_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        if (!op_store(cpu, op, bytes, op->imm)) {                             \
            return fault(cpu, op, left);                                      \
        }                                                                     \
        return next(cpu, op, left);                                           \
    }

MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

/* MOV AL, moffs64: an address that does not fit into disp is in imm; aux is the operand's size. */
APART bool load_moffs64(struct cpu *cpu, const struct op *op)
{
    gva_t gva;
    u64 value = 0;

    if (!linear_address(cpu, op->segment, op->imm, op->aux, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, &value, op->aux)) {
        return false;
    }
    u64 mask = op->aux == 4 ? ~0ull : bits_mask(op->aux * 8);
    cpu->gpr[RAX] = (cpu->gpr[RAX] & ~mask) | value;
    return true;
}

static s64 mov_load_moffs64(struct cpu *cpu, const struct op *op, s64 left)
{
    return load_moffs64(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool store_moffs64(struct cpu *cpu, const struct op *op)
{
    gva_t gva;

    return linear_address(cpu, op->segment, op->imm, op->aux, ACCESS_WRITE, &gva) &&
           store_slow(cpu, op->segment, gva, &cpu->gpr[RAX], op->aux);
}

static s64 mov_store_moffs64(struct cpu *cpu, const struct op *op, s64 left)
{
    return store_moffs64(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static bool has_wide_address(const struct insn *insn)
{
    return insn->mem.base == MEM_NO_REG && insn->mem.disp != (s32)insn->mem.disp;
}

bool prepare_mov(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const rr[] = BY_SIZE(mov_rr), *const ri[] = BY_SIZE(mov_ri),
                        *const rm[] = BY_SIZE(mov_rm), *const mr[] = BY_SIZE(mov_mr),
                        *const mi[] = BY_SIZE(mov_mi);
    const struct operand *a = &insn->op[0], *b = &insn->op[1];
    unsigned s = (unsigned)__builtin_ctz(a->size);

    (void)cpu;
    if ((a->kind == OPERAND_MEM || b->kind == OPERAND_MEM) && has_wide_address(insn)) {
        op->aux = a->size;
        op->imm = (u64)insn->mem.disp;
        op->fn = a->kind == OPERAND_MEM ? mov_store_moffs64 : mov_load_moffs64;
    } else if (a->kind == OPERAND_MEM && b->kind == OPERAND_IMM) {
        op->imm = insn->imm;
        op->fn = mi[s];
    } else if (a->kind == OPERAND_MEM) {
        op->src = reg_offset(b);
        op->fn = mr[s];
    } else {
        op->dst = reg_offset(a);
        op->imm = insn->imm;
        op->src = b->kind == OPERAND_REG ? reg_offset(b) : 0;
        op->fn = b->kind == OPERAND_IMM ? ri[s] : b->kind == OPERAND_MEM ? rm[s] : rr[s];
    }
    return true;
}

/* ------------------------------------------------------------------ MOVZX, MOVSX, MOVSXD */

ALWAYS_INLINE u64 extend(u64 value, unsigned from, bool is_signed)
{
    return is_signed ? bits_sign_extend(value, from * 8) : value;
}

#define WIDEN(name, from, to, is_signed)                                                    \
    static s64 name##_r_##from##_##to(struct cpu *cpu, const struct op *op, s64 left)       \
    {                                                                                       \
        reg_write(cpu, op->dst, to, extend(reg_read(cpu, op->src, from), from, is_signed)); \
        return next(cpu, op, left);                                                         \
    }                                                                                       \
    static s64 name##_m_##from##_##to(struct cpu *cpu, const struct op *op, s64 left)       \
    {                                                                                       \
        u64 value;                                                                          \
        if (!op_load(cpu, op, from, &value)) {                                              \
            return fault(cpu, op, left);                                                    \
        }                                                                                   \
        reg_write(cpu, op->dst, to, extend(value, from, is_signed));                        \
        return next(cpu, op, left);                                                         \
    }

#define WIDEN_ALL(name, is_signed)                  \
    WIDEN(name, 1, 2, is_signed)                    \
    WIDEN(name, 1, 4, is_signed)                    \
    WIDEN(name, 1, 8, is_signed)                    \
    WIDEN(name, 2, 2, is_signed)                    \
    WIDEN(name, 2, 4, is_signed)                    \
    WIDEN(name, 2, 8, is_signed)                    \
    WIDEN(name, 4, 2, is_signed)                    \
    WIDEN(name, 4, 4, is_signed)                    \
    WIDEN(name, 4, 8, is_signed)                    \
    static op_fn *const name##_r[3][3] = {          \
        {name##_r_1_2, name##_r_1_4, name##_r_1_8}, \
        {name##_r_2_2, name##_r_2_4, name##_r_2_8}, \
        {name##_r_4_2, name##_r_4_4, name##_r_4_8}, \
    };                                              \
    static op_fn *const name##_m[3][3] = {          \
        {name##_m_1_2, name##_m_1_4, name##_m_1_8}, \
        {name##_m_2_2, name##_m_2_4, name##_m_2_8}, \
        {name##_m_4_2, name##_m_4_4, name##_m_4_8}, \
    };

WIDEN_ALL(movzx, false)
WIDEN_ALL(movsx, true)

static bool prepare_widen(const struct insn *insn, struct op *op, op_fn *const r[3][3],
                          op_fn *const m[3][3])
{
    const struct operand *a = &insn->op[0], *b = &insn->op[1];
    unsigned from = (unsigned)__builtin_ctz(b->size), to = (unsigned)__builtin_ctz(a->size) - 1;

    op->dst = reg_offset(a);
    if (b->kind == OPERAND_MEM) {
        op->fn = m[from][to];
    } else {
        op->src = reg_offset(b);
        op->fn = r[from][to];
    }
    return true;
}

bool prepare_movzx(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    return prepare_widen(insn, op, movzx_r, movzx_m);
}

bool prepare_movsx(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    return prepare_widen(insn, op, movsx_r, movsx_m);
}

/* ------------------------------------------------------------------ LEA */

static s64 lea_2(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, op->dst, 2, effective_address(cpu, op));
    return next(cpu, op, left);
}

static s64 lea_4(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, op->dst, 4, effective_address(cpu, op));
    return next(cpu, op, left);
}

static s64 lea_8(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, op->dst, 8, effective_address(cpu, op));
    return next(cpu, op, left);
}

bool prepare_lea(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->dst = reg_offset(&insn->op[0]);
    op->fn = insn->op[0].size == 2 ? lea_2 : insn->op[0].size == 4 ? lea_4 : lea_8;
    return true;
}

/* ------------------------------------------------------------------ XCHG */

#define XCHG_SIZE(bytes)                                                          \
    static s64 xchg_rr_##bytes(struct cpu *cpu, const struct op *op, s64 left)    \
    {                                                                             \
        u64 a = reg_read(cpu, op->dst, bytes), b = reg_read(cpu, op->src, bytes); \
        reg_write(cpu, op->dst, bytes, b);                                        \
        reg_write(cpu, op->src, bytes, a);                                        \
        return next(cpu, op, left);                                               \
    }                                                                             \
    static s64 xchg_mr_##bytes(struct cpu *cpu, const struct op *op, s64 left)    \
    {                                                                             \
        void *p = rmw_begin(cpu, op, bytes);                                      \
        if (!p) {                                                                 \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        u64 old = locked_exchange(p, reg_read(cpu, op->src, bytes), bytes);       \
        if (!rmw_end(cpu, bytes, p)) {                                            \
            return fault(cpu, op, left);                                          \
        }                                                                         \
        reg_write(cpu, op->src, bytes, old);                                      \
        return next(cpu, op, left);                                               \
    }

XCHG_SIZE(1)
XCHG_SIZE(2)
XCHG_SIZE(4)
XCHG_SIZE(8)

bool prepare_xchg(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const rr[] = BY_SIZE(xchg_rr), *const mr[] = BY_SIZE(xchg_mr);
    const struct operand *a = &insn->op[0], *b = &insn->op[1];
    unsigned s = (unsigned)__builtin_ctz(a->size);

    (void)cpu;
    if (a->kind == OPERAND_MEM || b->kind == OPERAND_MEM) {
        op->src = reg_offset(a->kind == OPERAND_MEM ? b : a);
        op->fn = mr[s];
    } else {
        op->dst = reg_offset(a);
        op->src = reg_offset(b);
        op->fn = rr[s];
    }
    return true;
}

/* ------------------------------------------------------------------ CMOVcc, SETcc */

/* aux is the condition.  With a false condition a 32-bit CMOV still clears the upper half. */
ALWAYS_INLINE s64 cmov_r(struct cpu *cpu, const struct op *op, s64 left, unsigned size)
{
    u64 a = reg_read(cpu, op->dst, size), b = reg_read(cpu, op->src, size);
    reg_write(cpu, op->dst, size, condition(cpu, op->aux) ? b : a);
    return next(cpu, op, left);
}

/* The load is made, and may fault, whatever the condition. */
ALWAYS_INLINE s64 cmov_m(struct cpu *cpu, const struct op *op, s64 left, unsigned size)
{
    u64 a = reg_read(cpu, op->dst, size), b;
    if (!op_load(cpu, op, size, &b)) {
        return fault(cpu, op, left);
    }
    reg_write(cpu, op->dst, size, condition(cpu, op->aux) ? b : a);
    return next(cpu, op, left);
}

#define CMOV_SIZE(bytes)                                                      \
    static s64 cmov_r_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        return cmov_r(cpu, op, left, bytes);                                  \
    }                                                                         \
    static s64 cmov_m_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                         \
        return cmov_m(cpu, op, left, bytes);                                  \
    }

CMOV_SIZE(2)
CMOV_SIZE(4)
CMOV_SIZE(8)

bool prepare_cmovcc(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = {cmov_r_2, cmov_r_4, cmov_r_8};
    static op_fn *const m[] = {cmov_m_2, cmov_m_4, cmov_m_8};
    unsigned s = (unsigned)__builtin_ctz(insn->op[0].size) - 1;

    (void)cpu;
    op->aux = insn->opcode & 15;
    op->dst = reg_offset(&insn->op[0]);
    if (insn->op[1].kind == OPERAND_MEM) {
        op->fn = m[s];
    } else {
        op->src = reg_offset(&insn->op[1]);
        op->fn = r[s];
    }
    return true;
}

static s64 setcc_r(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, op->dst, 1, condition(cpu, op->aux));
    return next(cpu, op, left);
}

static s64 setcc_m(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!op_store(cpu, op, 1, condition(cpu, op->aux))) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

bool prepare_setcc(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->opcode & 15;
    if (insn->op[0].kind == OPERAND_MEM) {
        op->fn = setcc_m;
    } else {
        op->dst = reg_offset(&insn->op[0]);
        op->fn = setcc_r;
    }
    return true;
}

/* ------------------------------------------------------------------ BSWAP */

static s64 bswap(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value = cpu->gpr[op->dst >> 3];

    if (op->size == 8) {
        reg_write(cpu, op->dst, 8, __builtin_bswap64(value));
    } else if (op->size == 4) {
        reg_write(cpu, op->dst, 4, __builtin_bswap32((u32)value));
    } else {
        reg_write(cpu, op->dst, 2, 0); /* undefined by the manual; what processors do */
    }
    return next(cpu, op, left);
}

bool prepare_bswap(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->dst = reg_offset(&insn->op[0]);
    op->fn = bswap;
    return true;
}

/* ------------------------------------------------------------------ CBW, CWD and their wider forms
 */

static s64 cbw(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 half = bits_sign_extend(cpu->gpr[RAX], op->size * 4);

    if (op->size == 2) {
        reg_write(cpu, RAX * 8, 2, half);
    } else if (op->size == 4) {
        reg_write(cpu, RAX * 8, 4, half);
    } else {
        cpu->gpr[RAX] = half;
    }
    return next(cpu, op, left);
}

bool prepare_cbw(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = cbw;
    return true;
}

static s64 cwd(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 sign = (cpu->gpr[RAX] >> (op->size * 8 - 1)) & 1 ? ~0ull : 0;

    if (op->size == 2) {
        reg_write(cpu, RDX * 8, 2, sign);
    } else if (op->size == 4) {
        reg_write(cpu, RDX * 8, 4, sign);
    } else {
        cpu->gpr[RDX] = sign;
    }
    return next(cpu, op, left);
}

bool prepare_cwd(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = cwd;
    return true;
}

/* ------------------------------------------------------------------ XLAT, SALC */

static s64 xlat(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 offset = (cpu->gpr[RBX] + (u8)cpu->gpr[RAX]) & bits_mask(op->aux * 8), value;

    if (!linear_address(cpu, op->segment, offset, 1, ACCESS_READ, &cpu->bounce_gva) ||
        !load(cpu, op->segment, cpu->bounce_gva, 1, &value)) {
        return fault(cpu, op, left);
    }
    reg_write(cpu, RAX * 8, 1, value);
    return next(cpu, op, left);
}

bool prepare_xlat(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->address_size;
    op->segment = insn->mem.segment;
    op->fn = xlat;
    return true;
}

static s64 salc(struct cpu *cpu, const struct op *op, s64 left)
{
    reg_write(cpu, RAX * 8, 1, cpu->flags & AX_CF ? 0xff : 0);
    return next(cpu, op, left);
}

bool prepare_salc(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    (void)insn;
    op->fn = salc;
    return true;
}
