/*
 * shift.c - ROL ROR RCL RCR SHL SHR SAR, and SHLD, SHRD.
 *
 * By the host's own instructions, flags included: a count of 0 leaves them alone there as well.
 */
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

/* The flags go into the host's before the shift, and come back after it: OF by adding 0x7f to AL,
 * which is 0 or 1, then the rest by SAHF. */
#define FLAGS_IN  "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"

#define SHIFT_ASM(type, insn)                         \
    ({                                                \
        type x = (type)a;                             \
        __asm__(FLAGS_IN insn " %%cl, %[x]" FLAGS_OUT \
                : [x] "+&r"(x), "+&a"(f)              \
                : "c"(count)                          \
                : "cc");                              \
        r = x;                                        \
    })

#define SHIFT_OPERATION(name)                                                    \
    ALWAYS_INLINE u64 do_##name(struct cpu *cpu, u64 a, u8 count, unsigned size) \
    {                                                                            \
        u16 f = cpu->flags;                                                      \
        u64 r;                                                                   \
        switch (size) {                                                          \
        case 1:                                                                  \
            SHIFT_ASM(u8, #name "b");                                            \
            break;                                                               \
        case 2:                                                                  \
            SHIFT_ASM(u16, #name "w");                                           \
            break;                                                               \
        case 4:                                                                  \
            SHIFT_ASM(u32, #name "l");                                           \
            break;                                                               \
        default:                                                                 \
            SHIFT_ASM(u64, #name "q");                                           \
            break;                                                               \
        }                                                                        \
        cpu->flags = f;                                                          \
        return r;                                                                \
    }

SHIFT_OPERATION(rol)
SHIFT_OPERATION(ror)
SHIFT_OPERATION(rcl)
SHIFT_OPERATION(rcr)
SHIFT_OPERATION(shl)
SHIFT_OPERATION(shr)
SHIFT_OPERATION(sar)

typedef u64 shift_fn(struct cpu *cpu, u64 a, u8 count, unsigned size);

/* The count: imm, or CL where op->aux is set. */
ALWAYS_INLINE u8 shift_count(const struct cpu *cpu, const struct op *op)
{
    return op->aux ? (u8)cpu->gpr[RCX] : (u8)op->imm;
}

ALWAYS_INLINE s64 shift_r(struct cpu *cpu, const struct op *op, s64 left, shift_fn *f,
                          unsigned size)
{
    u64 r = f(cpu, reg_read(cpu, op->dst, size), shift_count(cpu, op), size);
    reg_write(cpu, op->dst, size, r);
    return next(cpu, op, left);
}

ALWAYS_INLINE s64 shift_m(struct cpu *cpu, const struct op *op, s64 left, shift_fn *f,
                          unsigned size)
{
    u16 flags = cpu->flags;
    void *p = rmw_begin(cpu, op, size);

    if (!p) {
        return fault(cpu, op, left);
    }
    write_bytes(p, f(cpu, read_bytes(p, size), shift_count(cpu, op), size), size);
    if (!rmw_end(cpu, size, p)) {
        cpu->flags = flags;
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

#define SHIFT_SIZE(name, size)                                                 \
    static s64 name##_r_##size(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                          \
        return shift_r(cpu, op, left, do_##name, size);                        \
    }                                                                          \
    static s64 name##_m_##size(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                          \
        return shift_m(cpu, op, left, do_##name, size);                        \
    }

#define SHIFT_INSTANCES(name) \
    SHIFT_SIZE(name, 1) SHIFT_SIZE(name, 2) SHIFT_SIZE(name, 4) SHIFT_SIZE(name, 8)

SHIFT_INSTANCES(rol)
SHIFT_INSTANCES(ror)
SHIFT_INSTANCES(rcl)
SHIFT_INSTANCES(rcr)
SHIFT_INSTANCES(shl)
SHIFT_INSTANCES(shr)
SHIFT_INSTANCES(sar)

#define SHIFT_ROW(name)                                       \
    {                                                         \
        {name##_r_1, name##_r_2, name##_r_4, name##_r_8},     \
            {name##_m_1, name##_m_2, name##_m_4, name##_m_8}, \
    }

bool prepare_shift(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    /* By the /digit of the group; /6 is another SHL. */
    static op_fn *const handlers[8][2][4] = {
        SHIFT_ROW(rol), SHIFT_ROW(ror), SHIFT_ROW(rcl), SHIFT_ROW(rcr),
        SHIFT_ROW(shl), SHIFT_ROW(shr), SHIFT_ROW(shl), SHIFT_ROW(sar),
    };
    const struct operand *a = &insn->op[0], *b = &insn->op[1];
    bool is_memory = a->kind == OPERAND_MEM;

    (void)cpu;
    op->imm = b->kind == OPERAND_ONE ? 1 : insn->imm & 0xff;
    op->aux = b->kind == OPERAND_REG;
    op->dst = is_memory ? 0 : reg_offset(a);
    op->fn = handlers[(insn->modrm >> 3) & 7][is_memory][__builtin_ctz(a->size)];
    return true;
}

/* ------------------------------------------------------------------ SHLD, SHRD */

#define DOUBLE_ASM(type, insn)                              \
    ({                                                      \
        type x = (type)a;                                   \
        __asm__(FLAGS_IN insn " %%cl, %[b], %[x]" FLAGS_OUT \
                : [x] "+&r"(x), "+&a"(f)                    \
                : [b] "r"((type)b), "c"(count)              \
                : "cc");                                    \
        r = x;                                              \
    })

#define DOUBLE_OPERATION(name)                                                   \
    static u64 do_##name(struct cpu *cpu, u64 a, u64 b, u8 count, unsigned size) \
    {                                                                            \
        u16 f = cpu->flags;                                                      \
        u64 r;                                                                   \
        switch (size) {                                                          \
        case 2:                                                                  \
            DOUBLE_ASM(u16, #name "w");                                          \
            break;                                                               \
        case 4:                                                                  \
            DOUBLE_ASM(u32, #name "l");                                          \
            break;                                                               \
        default:                                                                 \
            DOUBLE_ASM(u64, #name "q");                                          \
            break;                                                               \
        }                                                                        \
        cpu->flags = f;                                                          \
        return r;                                                                \
    }

DOUBLE_OPERATION(shld)
DOUBLE_OPERATION(shrd)

typedef u64 double_fn(struct cpu *cpu, u64 a, u64 b, u8 count, unsigned size);

ALWAYS_INLINE s64 double_r(struct cpu *cpu, const struct op *op, s64 left, double_fn *f)
{
    u64 a = cpu->gpr[op->dst >> 3], b = cpu->gpr[op->src >> 3];
    u64 r = f(cpu, a, b, shift_count(cpu, op), op->size);

    if (op->size == 2) {
        reg_write(cpu, op->dst, 2, r);
    } else {
        cpu->gpr[op->dst >> 3] = r;
    }
    return next(cpu, op, left);
}

ALWAYS_INLINE s64 double_m(struct cpu *cpu, const struct op *op, s64 left, double_fn *f)
{
    u64 a = 0, b = cpu->gpr[op->src >> 3];
    u16 flags = cpu->flags;
    void *p = op->size == 2   ? rmw_begin(cpu, op, 2)
              : op->size == 4 ? rmw_begin(cpu, op, 4)
                              : rmw_begin(cpu, op, 8);

    if (!p) {
        return fault(cpu, op, left);
    }
    a = op->size == 2 ? read_bytes(p, 2) : op->size == 4 ? read_bytes(p, 4) : read_bytes(p, 8);
    write_bytes(p, f(cpu, a, b, shift_count(cpu, op), op->size), op->size);
    if (!rmw_end(cpu, op->size, p)) {
        cpu->flags = flags;
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

static s64 shld_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return double_r(cpu, op, left, do_shld);
}

static s64 shld_m(struct cpu *cpu, const struct op *op, s64 left)
{
    return double_m(cpu, op, left, do_shld);
}

static s64 shrd_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return double_r(cpu, op, left, do_shrd);
}

static s64 shrd_m(struct cpu *cpu, const struct op *op, s64 left)
{
    return double_m(cpu, op, left, do_shrd);
}

bool prepare_double_shift(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool is_memory = insn->op[0].kind == OPERAND_MEM, is_left = insn->id == INSN_SHLD;

    (void)cpu;
    op->imm = insn->imm & 0xff;
    op->aux = insn->op[2].kind == OPERAND_REG;
    op->src = reg_offset(&insn->op[1]);
    op->dst = is_memory ? 0 : reg_offset(&insn->op[0]);
    op->fn = is_memory ? (is_left ? shld_m : shrd_m) : (is_left ? shld_r : shrd_r);
    return true;
}
