/*
 * alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST, and INC DEC NEG NOT.
 *
 * The host CPU does the arithmetic and so makes the flags, the undefined ones too; LAHF and SETO
 * catch them in AX, and they stay in that form until somebody wants RFLAGS.
 *
 * One template per operand form; each is instantiated for each operation and size by the X-macros
 * at the end, which only name functions.
 */
#include "exec/interpret/handlers.h"
#include "exec/interpret/locked.h"

/* ------------------------------------------------------------------ the operations */

/* f is AX: the flags before (for the carry) and after. */
#define BINARY_ASM(type, before, insn)                         \
    ({                                                         \
        type x = (type)a;                                      \
        __asm__(before insn " %[b], %[x]\n\tlahf\n\tseto %%al" \
                : [x] "+&r"(x), "+&a"(f)                       \
                : [b] "r"((type)b)                             \
                : "cc");                                       \
        r = x;                                                 \
    })

#define BINARY_OPERATION(name, before)                                        \
    ALWAYS_INLINE u64 do_##name(struct cpu *cpu, u64 a, u64 b, unsigned size) \
    {                                                                         \
        u16 f = cpu->flags;                                                   \
        u64 r;                                                                \
        switch (size) {                                                       \
        case 1:                                                               \
            BINARY_ASM(u8, before, #name "b");                                \
            break;                                                            \
        case 2:                                                               \
            BINARY_ASM(u16, before, #name "w");                               \
            break;                                                            \
        case 4:                                                               \
            BINARY_ASM(u32, before, #name "l");                               \
            break;                                                            \
        default:                                                              \
            BINARY_ASM(u64, before, #name "q");                               \
            break;                                                            \
        }                                                                     \
        cpu->flags = f;                                                       \
        return r;                                                             \
    }

/* CF is bit 0 of AH. */
#define CARRY_IN "btw $8, %%ax\n\t"

BINARY_OPERATION(add, "")
BINARY_OPERATION(or, "")
BINARY_OPERATION(adc, CARRY_IN)
BINARY_OPERATION(sbb, CARRY_IN)
BINARY_OPERATION(and, "")
BINARY_OPERATION(sub, "")
BINARY_OPERATION(xor, "")
BINARY_OPERATION(cmp, "")
BINARY_OPERATION(test, "")

#define UNARY_ASM(type, insn)                                                                  \
    ({                                                                                         \
        type x = (type)a;                                                                      \
        __asm__(CARRY_IN insn " %[x]\n\tlahf\n\tseto %%al" : [x] "+&r"(x), "+&a"(f) : : "cc"); \
        r = x;                                                                                 \
    })

/* The carry goes in since INC and DEC leave it as it is. */
#define UNARY_OPERATION(name)                                          \
    ALWAYS_INLINE u64 do_##name(struct cpu *cpu, u64 a, unsigned size) \
    {                                                                  \
        u16 f = cpu->flags;                                            \
        u64 r;                                                         \
        switch (size) {                                                \
        case 1:                                                        \
            UNARY_ASM(u8, #name "b");                                  \
            break;                                                     \
        case 2:                                                        \
            UNARY_ASM(u16, #name "w");                                 \
            break;                                                     \
        case 4:                                                        \
            UNARY_ASM(u32, #name "l");                                 \
            break;                                                     \
        default:                                                       \
            UNARY_ASM(u64, #name "q");                                 \
            break;                                                     \
        }                                                              \
        cpu->flags = f;                                                \
        return r;                                                      \
    }

UNARY_OPERATION(inc)
UNARY_OPERATION(dec)
UNARY_OPERATION(neg)

ALWAYS_INLINE u64 do_not(struct cpu *cpu, u64 a, unsigned size)
{
    (void)cpu;
    (void)size;
    return ~a;
}

/* ------------------------------------------------------------------ the forms */

typedef u64 binary_fn(struct cpu *cpu, u64 a, u64 b, unsigned size);
typedef u64 unary_fn(struct cpu *cpu, u64 a, unsigned size);

/* Register or immediate into register; writes is false for CMP and TEST. */
ALWAYS_INLINE s64 form_rr(struct cpu *cpu, const struct op *op, s64 left, binary_fn *f,
                          unsigned size, bool writes)
{
    u64 r = f(cpu, reg_read(cpu, op->dst, size), reg_read(cpu, op->src, size), size);
    if (writes) {
        reg_write(cpu, op->dst, size, r);
    }
    return next(cpu, op, left);
}

ALWAYS_INLINE s64 form_ri(struct cpu *cpu, const struct op *op, s64 left, binary_fn *f,
                          unsigned size, bool writes)
{
    u64 r = f(cpu, reg_read(cpu, op->dst, size), op->imm, size);
    if (writes) {
        reg_write(cpu, op->dst, size, r);
    }
    return next(cpu, op, left);
}

ALWAYS_INLINE s64 form_rm(struct cpu *cpu, const struct op *op, s64 left, binary_fn *f,
                          unsigned size, bool writes)
{
    u64 b;
    if (!op_load(cpu, op, size, &b)) {
        return fault(cpu, op, left);
    }
    u64 r = f(cpu, reg_read(cpu, op->dst, size), b, size);
    if (writes) {
        reg_write(cpu, op->dst, size, r);
    }
    return next(cpu, op, left);
}

/* Memory with b: read, modify, write; or only read. */
ALWAYS_INLINE s64 form_m(struct cpu *cpu, const struct op *op, s64 left, binary_fn *f,
                         unsigned size, bool writes, u64 b)
{
    u64 a;

    if (!writes) {
        if (!op_load(cpu, op, size, &a)) {
            return fault(cpu, op, left);
        }
        f(cpu, a, b, size);
        return next(cpu, op, left);
    }
    void *p = rmw_begin(cpu, op, size);
    if (!p) {
        return fault(cpu, op, left);
    }
    u16 flags = cpu->flags;
    write_bytes(p, f(cpu, read_bytes(p, size), b, size), size);
    if (!rmw_end(cpu, size, p)) {
        cpu->flags = flags;
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

/* LOCK: the same by compare-and-exchange on the host's memory, atomic for all processes of the VM.
 */
ALWAYS_INLINE s64 form_lock(struct cpu *cpu, const struct op *op, s64 left, binary_fn *f,
                            unsigned size, u64 b)
{
    u64 a, r;
    u16 flags = cpu->flags;
    void *p = rmw_begin(cpu, op, size);

    if (!p) {
        return fault(cpu, op, left);
    }
    do {
        cpu->flags = flags;
        a = read_bytes(p, size);
        r = f(cpu, a, b, size);
    } while (locked_compare_exchange(p, a, r, size) != a);
    if (!rmw_end(cpu, size, p)) {
        cpu->flags = flags;
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

/* ------------------------------------------------------------------ instances */

struct binary_handlers {
    op_fn *rr[4], *ri[4], *rm[4], *mr[4], *mi[4], *lock_mr[4],
        *lock_mi[4]; /* by log2 of the size */
};

#define BINARY_SIZE(name, bytes, writes)                                              \
    static s64 name##_rr_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                                 \
        return form_rr(cpu, op, left, do_##name, bytes, writes);                      \
    }                                                                                 \
    static s64 name##_ri_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                                 \
        return form_ri(cpu, op, left, do_##name, bytes, writes);                      \
    }                                                                                 \
    static s64 name##_rm_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                                 \
        return form_rm(cpu, op, left, do_##name, bytes, writes);                      \
    }                                                                                 \
    static s64 name##_mr_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                                 \
        u64 b = reg_read(cpu, op->src, bytes);                                        \
        return form_m(cpu, op, left, do_##name, bytes, writes, b);                    \
    }                                                                                 \
    static s64 name##_mi_##bytes(struct cpu *cpu, const struct op *op, s64 left)      \
    {                                                                                 \
        return form_m(cpu, op, left, do_##name, bytes, writes, op->imm);              \
    }                                                                                 \
    static s64 name##_lock_mr_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                                 \
        u64 b = reg_read(cpu, op->src, bytes);                                        \
        return form_lock(cpu, op, left, do_##name, bytes, b);                         \
    }                                                                                 \
    static s64 name##_lock_mi_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                                 \
        return form_lock(cpu, op, left, do_##name, bytes, op->imm);                   \
    }

#define BY_SIZE(prefix)                                \
    {                                                  \
        prefix##_1, prefix##_2, prefix##_4, prefix##_8 \
    }

#define BINARY_INSTANCES(name, writes)                                                           \
    BINARY_SIZE(name, 1, writes)                                                                 \
    BINARY_SIZE(name, 2, writes)                                                                 \
    BINARY_SIZE(name, 4, writes)                                                                 \
    BINARY_SIZE(name, 8, writes)                                                                 \
    static const struct binary_handlers name##_handlers = {                                      \
        BY_SIZE(name##_rr), BY_SIZE(name##_ri),      BY_SIZE(name##_rm),     BY_SIZE(name##_mr), \
        BY_SIZE(name##_mi), BY_SIZE(name##_lock_mr), BY_SIZE(name##_lock_mi)};

BINARY_INSTANCES(add, true)
BINARY_INSTANCES(or, true)
BINARY_INSTANCES(adc, true)
BINARY_INSTANCES(sbb, true)
BINARY_INSTANCES(and, true)
BINARY_INSTANCES(sub, true)
BINARY_INSTANCES(xor, true)
BINARY_INSTANCES(cmp, false)
BINARY_INSTANCES(test, false)

static bool prepare_binary(const struct insn *insn, struct op *op, const struct binary_handlers *h)
{
    const struct operand *a = &insn->op[0], *b = &insn->op[1];
    unsigned s = (unsigned)__builtin_ctz(a->size);

    if (a->kind == OPERAND_MEM) {
        if (b->kind == OPERAND_IMM) {
            op->imm = insn->imm;
            op->fn = insn->lock ? h->lock_mi[s] : h->mi[s];
        } else {
            op->src = reg_offset(b);
            op->fn = insn->lock ? h->lock_mr[s] : h->mr[s];
        }
        return true;
    }
    op->dst = reg_offset(a);
    if (b->kind == OPERAND_IMM) {
        op->imm = insn->imm;
        op->fn = h->ri[s];
    } else if (b->kind == OPERAND_MEM) {
        op->fn = h->rm[s];
    } else {
        op->src = reg_offset(b);
        op->fn = h->rr[s];
    }
    return true;
}

bool prepare_alu(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    switch (insn->id) {
    case INSN_ADD:
        return prepare_binary(insn, op, &add_handlers);
    case INSN_OR:
        return prepare_binary(insn, op, &or_handlers);
    case INSN_ADC:
        return prepare_binary(insn, op, &adc_handlers);
    case INSN_SBB:
        return prepare_binary(insn, op, &sbb_handlers);
    case INSN_AND:
        return prepare_binary(insn, op, &and_handlers);
    case INSN_SUB:
        return prepare_binary(insn, op, &sub_handlers);
    case INSN_XOR:
        return prepare_binary(insn, op, &xor_handlers);
    case INSN_CMP:
        return prepare_binary(insn, op, &cmp_handlers);
    default:
        return prepare_binary(insn, op, &test_handlers);
    }
}

/* ------------------------------------------------------------------ one operand */

struct unary_handlers {
    op_fn *r[4], *m[4], *lock[4];
};

/* The unary operations as binary ones, so that they share the memory forms. */
#define UNARY_AS_BINARY(name)                                                        \
    ALWAYS_INLINE u64 do_##name##_only(struct cpu *cpu, u64 a, u64 b, unsigned size) \
    {                                                                                \
        (void)b;                                                                     \
        return do_##name(cpu, a, size);                                              \
    }

#define UNARY_SIZE(name, bytes)                                                    \
    static s64 name##_r_##bytes(struct cpu *cpu, const struct op *op, s64 left)    \
    {                                                                              \
        u64 r = do_##name(cpu, reg_read(cpu, op->dst, bytes), bytes);              \
        reg_write(cpu, op->dst, bytes, r);                                         \
        return next(cpu, op, left);                                                \
    }                                                                              \
    static s64 name##_m_##bytes(struct cpu *cpu, const struct op *op, s64 left)    \
    {                                                                              \
        return form_m(cpu, op, left, do_##name##_only, bytes, true, 0);            \
    }                                                                              \
    static s64 name##_lock_##bytes(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                              \
        return form_lock(cpu, op, left, do_##name##_only, bytes, 0);               \
    }

#define UNARY_INSTANCES(name)                                                                   \
    UNARY_AS_BINARY(name)                                                                       \
    UNARY_SIZE(name, 1)                                                                         \
    UNARY_SIZE(name, 2)                                                                         \
    UNARY_SIZE(name, 4)                                                                         \
    UNARY_SIZE(name, 8)                                                                         \
    static const struct unary_handlers name##_handlers = {BY_SIZE(name##_r), BY_SIZE(name##_m), \
                                                          BY_SIZE(name##_lock)};

UNARY_INSTANCES(inc)
UNARY_INSTANCES(dec)
UNARY_INSTANCES(neg)
UNARY_INSTANCES(not )

bool prepare_unary(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    const struct operand *a = &insn->op[0];
    const struct unary_handlers *h = insn->id == INSN_INC   ? &inc_handlers
                                     : insn->id == INSN_DEC ? &dec_handlers
                                     : insn->id == INSN_NEG ? &neg_handlers
                                                            : &not_handlers;
    unsigned s = (unsigned)__builtin_ctz(a->size);

    (void)cpu;
    if (a->kind == OPERAND_MEM) {
        op->fn = insn->lock ? h->lock[s] : h->m[s];
    } else {
        op->dst = reg_offset(a);
        op->fn = h->r[s];
    }
    return true;
}
