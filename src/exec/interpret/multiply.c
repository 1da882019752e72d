/*
 * multiply.c - MUL IMUL DIV IDIV, and the decimal adjustments.
 */
#include "base/bits.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

/* The source: register, or memory where aux is set. */
ALWAYS_INLINE bool source(struct cpu *cpu, const struct op *op, u64 *value)
{
    if (!op->aux) {
        *value = op->size == 1 ? reg_read(cpu, op->src, 1) : cpu->gpr[op->src >> 3];
        return true;
    }
    return op->size == 1   ? op_load(cpu, op, 1, value)
           : op->size == 2 ? op_load(cpu, op, 2, value)
           : op->size == 4 ? op_load(cpu, op, 4, value)
                           : op_load(cpu, op, 8, value);
}

/* rDX:rAX, or AX for bytes, from two halves. */
static void write_pair(struct cpu *cpu, unsigned size, u64 low, u64 high)
{
    switch (size) {
    case 1:
        reg_write(cpu, RAX * 8, 2, (low & 0xff) | (high & 0xff) << 8);
        break;
    case 2:
        reg_write(cpu, RAX * 8, 2, low);
        reg_write(cpu, RDX * 8, 2, high);
        break;
    case 4:
        reg_write(cpu, RAX * 8, 4, low);
        reg_write(cpu, RDX * 8, 4, high);
        break;
    default:
        cpu->gpr[RAX] = low;
        cpu->gpr[RDX] = high;
        break;
    }
}

/* ------------------------------------------------------------------ one-operand MUL and IMUL */

/* Which flags a multiplication leaves alone is the host's affair: it gets the guest's. */
#define PUT_FLAGS "xchg %%rax, %[ah]\n\tsahf\n\txchg %%rax, %[ah]\n\t"

/* The operands' type picks the host's instruction.  MOV and XCHG around LAHF leave the flags alone.
 */
#define MULTIPLY_WIDE(type, insn)                                                     \
    ({                                                                                \
        type lo = (type)cpu->gpr[RAX], hi;                                            \
        u8 overflow;                                                                  \
        u64 ah = cpu->flags;                                                          \
        __asm__(PUT_FLAGS insn                                                        \
                " %[b]\n\tseto %[o]\n\tmov %%rax, %[ah]\n\tlahf\n\txchg %%rax, %[ah]" \
                : "+&a"(lo), "=&d"(hi), [o] "=&q"(overflow), [ah] "+&r"(ah)           \
                : [b] "r"((type)value)                                                \
                : "cc");                                                              \
        cpu->flags = (u16)((ah & 0xff00) | overflow);                                 \
        write_pair(cpu, sizeof(type), lo, hi);                                        \
    })

#define MULTIPLY_BYTES(insn)                                                          \
    ({                                                                                \
        u16 ax = (u8)cpu->gpr[RAX];                                                   \
        u8 overflow;                                                                  \
        u64 ah = cpu->flags;                                                          \
        __asm__(PUT_FLAGS insn                                                        \
                " %[b]\n\tseto %[o]\n\tmov %%rax, %[ah]\n\tlahf\n\txchg %%rax, %[ah]" \
                : "+&a"(ax), [o] "=&q"(overflow), [ah] "+&r"(ah)                      \
                : [b] "q"((u8)value)                                                  \
                : "cc");                                                              \
        cpu->flags = (u16)((ah & 0xff00) | overflow);                                 \
        reg_write(cpu, RAX * 8, 2, ax);                                               \
    })

#define MULTIPLY(name)                                                     \
    static s64 name##_wide(struct cpu *cpu, const struct op *op, s64 left) \
    {                                                                      \
        u64 value;                                                         \
        if (!source(cpu, op, &value)) {                                    \
            return fault(cpu, op, left);                                   \
        }                                                                  \
        switch (op->size) {                                                \
        case 1:                                                            \
            MULTIPLY_BYTES(#name "b");                                     \
            break;                                                         \
        case 2:                                                            \
            MULTIPLY_WIDE(u16, #name "w");                                 \
            break;                                                         \
        case 4:                                                            \
            MULTIPLY_WIDE(u32, #name "l");                                 \
            break;                                                         \
        default:                                                           \
            MULTIPLY_WIDE(u64, #name "q");                                 \
            break;                                                         \
        }                                                                  \
        return next(cpu, op, left);                                        \
    }

MULTIPLY(mul)
MULTIPLY(imul)

static void set_source(const struct operand *from, struct op *op)
{
    op->aux = from->kind == OPERAND_MEM;
    op->src = op->aux ? 0 : reg_offset(from);
    op->size = from->size;
}

bool prepare_multiply(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    set_source(&insn->op[0], op);
    op->fn = insn->id == INSN_MUL ? mul_wide : imul_wide;
    return true;
}

/* ------------------------------------------------------------------ two- and three-operand IMUL */

#define IMUL_ASM(type, insn)                                       \
    ({                                                             \
        type x = (type)a;                                          \
        __asm__("sahf\n\t" insn " %[b], %[x]\n\tlahf\n\tseto %%al" \
                : [x] "+&r"(x), "+&a"(f)                           \
                : [b] "r"((type)b)                                 \
                : "cc");                                           \
        r = x;                                                     \
    })

ALWAYS_INLINE void imul_into(struct cpu *cpu, const struct op *op, u64 a, u64 b)
{
    u16 f = cpu->flags;
    u64 r;

    switch (op->size) {
    case 2:
        IMUL_ASM(u16, "imulw");
        reg_write(cpu, op->dst, 2, r);
        break;
    case 4:
        IMUL_ASM(u32, "imull");
        reg_write(cpu, op->dst, 4, r);
        break;
    default:
        IMUL_ASM(u64, "imulq");
        reg_write(cpu, op->dst, 8, r);
        break;
    }
    cpu->flags = f;
}

static s64 imul_2(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!source(cpu, op, &value)) {
        return fault(cpu, op, left);
    }
    imul_into(cpu, op, cpu->gpr[op->dst >> 3], value);
    return next(cpu, op, left);
}

static s64 imul_3(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!source(cpu, op, &value)) {
        return fault(cpu, op, left);
    }
    imul_into(cpu, op, op->imm, value);
    return next(cpu, op, left);
}

bool prepare_imul(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    if (insn->operands < 2 || insn->op[1].implicit) {
        return prepare_multiply(cpu, insn, op);
    }
    set_source(&insn->op[1], op);
    op->dst = reg_offset(&insn->op[0]);
    op->imm = insn->imm;
    op->fn = insn->operands > 2 && insn->op[2].kind == OPERAND_IMM ? imul_3 : imul_2;
    return true;
}

/* ------------------------------------------------------------------ DIV, IDIV */

/* Does the quotient fit, and is the divisor not 0? */
static bool fits_unsigned(unsigned __int128 n, u64 d, unsigned bits)
{
    return (n >> bits) < d;
}

/* The quotient is cut off towards 0, and may be from -limit to limit - 1. */
static bool fits_signed(__int128 n, s64 d, unsigned bits)
{
    unsigned __int128 magnitude = n < 0 ? -(unsigned __int128)n : (unsigned __int128)n;
    u64 divisor = d < 0 ? -(u64)d : (u64)d, limit = BIT(bits - 1);

    return magnitude < (unsigned __int128)divisor * (limit + ((n < 0) != (d < 0)));
}

/* All flags are undefined after a division: the host's is done with the guest's flags, and what it
 * makes of them they are. */
#define DIVIDE(type, insn)                                                                    \
    ({                                                                                        \
        type lo = (type)low, hi = (type)high;                                                 \
        u8 overflow;                                                                          \
        u64 ah = cpu->flags;                                                                  \
        __asm__("xchg %%rax, %[ah]\n\taddb $0x7f, %%al\n\tsahf\n\txchg %%rax, %[ah]\n\t" insn \
                " %[b]\n\tseto %[o]\n\tmov %%rax, %[ah]\n\tlahf\n\txchg %%rax, %[ah]"         \
                : "+&a"(lo), "+&d"(hi), [o] "=&q"(overflow), [ah] "+&r"(ah)                   \
                : [b] "r"((type)d)                                                            \
                : "cc");                                                                      \
        cpu->flags = (u16)((ah & 0xff00) | overflow);                                         \
        write_pair(cpu, sizeof(type), lo, hi);                                                \
    })

#define DIVIDE_BYTES(insn)                                                                    \
    ({                                                                                        \
        u16 ax = (u16)cpu->gpr[RAX];                                                          \
        u8 overflow;                                                                          \
        u64 ah = cpu->flags;                                                                  \
        __asm__("xchg %%rax, %[ah]\n\taddb $0x7f, %%al\n\tsahf\n\txchg %%rax, %[ah]\n\t" insn \
                " %[b]\n\tseto %[o]\n\tmov %%rax, %[ah]\n\tlahf\n\txchg %%rax, %[ah]"         \
                : "+&a"(ax), [o] "=&q"(overflow), [ah] "+&r"(ah)                              \
                : [b] "q"((u8)d)                                                              \
                : "cc");                                                                      \
        cpu->flags = (u16)((ah & 0xff00) | overflow);                                         \
        reg_write(cpu, RAX * 8, 2, ax);                                                       \
    })

#define DIVIDE_SIZES(name)      \
    switch (op->size) {         \
    case 1:                     \
        DIVIDE_BYTES(name "b"); \
        break;                  \
    case 2:                     \
        DIVIDE(u16, name "w");  \
        break;                  \
    case 4:                     \
        DIVIDE(u32, name "l");  \
        break;                  \
    default:                    \
        DIVIDE(u64, name "q");  \
        break;                  \
    }

ALWAYS_INLINE s64 divide(struct cpu *cpu, const struct op *op, s64 left, bool is_signed)
{
    unsigned bits = op->size * 8;
    u64 d, low, high;
    bool fits;

    if (!source(cpu, op, &d)) {
        return fault(cpu, op, left);
    }
    d &= bits_mask(bits);
    low = cpu->gpr[RAX] & bits_mask(bits);
    high = op->size == 1 ? (cpu->gpr[RAX] >> 8) & 0xff : cpu->gpr[RDX] & bits_mask(bits);
    unsigned __int128 n = (unsigned __int128)high << bits | low;
    if (is_signed) {
        __int128 wide = (__int128)(n << (128 - 2 * bits)) >> (128 - 2 * bits);
        fits = fits_signed(wide, (s64)bits_sign_extend(d, bits), bits);
    } else {
        fits = fits_unsigned(n, d, bits);
    }
    if (!fits) {
        cpu_raise(cpu, VECTOR_DE);
        return fault(cpu, op, left);
    }
    if (is_signed) {
        DIVIDE_SIZES("idiv");
    } else {
        DIVIDE_SIZES("div");
    }
    return next(cpu, op, left);
}

static s64 div_(struct cpu *cpu, const struct op *op, s64 left)
{
    return divide(cpu, op, left, false);
}

static s64 idiv(struct cpu *cpu, const struct op *op, s64 left)
{
    return divide(cpu, op, left, true);
}

bool prepare_divide(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    set_source(&insn->op[0], op);
    op->fn = insn->id == INSN_DIV ? div_ : idiv;
    return true;
}

/* ------------------------------------------------------------------ AAA AAS AAD AAM DAA DAS */

/* SF, ZF and PF by the byte al, as the host sets them; CF, AF and OF as given. */
static void set_decimal_flags(struct cpu *cpu, u8 al, bool carry, bool adjust)
{
    u16 f;

    __asm__("testb %[al], %[al]\n\tlahf\n\tseto %%al" : "=&a"(f) : [al] "q"(al) : "cc");
    cpu->flags = (u16)((f & ~(AX_CF | AX_AF)) | (carry ? AX_CF : 0) | (adjust ? AX_AF : 0));
}

static s64 aaa_aas(struct cpu *cpu, const struct op *op, s64 left)
{
    u16 ax = (u16)cpu->gpr[RAX];
    bool adjust = (ax & 15) > 9 || (cpu->flags & AX_AF);

    if (adjust) {
        ax = (u16)(op->imm ? ax - 0x106 : ax + 0x106);
    }
    reg_write(cpu, RAX * 8, 2, ax & 0xff0f);
    set_decimal_flags(cpu, (u8)(ax & 15), adjust, adjust);
    return next(cpu, op, left);
}

static s64 daa_das(struct cpu *cpu, const struct op *op, s64 left)
{
    u8 old = (u8)cpu->gpr[RAX], al = old;
    bool carry = cpu->flags & AX_CF, adjust = (al & 15) > 9 || (cpu->flags & AX_AF);
    bool high = old > 0x99 || carry;

    if (adjust) {
        carry = op->imm ? carry || al < 6 : carry || al > 0xf9;
        al = (u8)(op->imm ? al - 6 : al + 6);
    }
    if (high) {
        al = (u8)(op->imm ? al - 0x60 : al + 0x60);
    }
    reg_write(cpu, RAX * 8, 1, al);
    set_decimal_flags(cpu, al, high || (op->imm && carry), adjust);
    return next(cpu, op, left);
}

static s64 aam(struct cpu *cpu, const struct op *op, s64 left)
{
    u8 al = (u8)cpu->gpr[RAX], base = (u8)op->imm;

    if (!base) {
        cpu_raise(cpu, VECTOR_DE);
        return fault(cpu, op, left);
    }
    reg_write(cpu, RAX * 8, 2, (u64)(al / base) << 8 | al % base);
    set_decimal_flags(cpu, al % base, false, false);
    return next(cpu, op, left);
}

static s64 aad(struct cpu *cpu, const struct op *op, s64 left)
{
    u8 al = (u8)(cpu->gpr[RAX] + (u8)(cpu->gpr[RAX] >> 8) * (u8)op->imm);

    reg_write(cpu, RAX * 8, 2, al);
    set_decimal_flags(cpu, al, false, false);
    return next(cpu, op, left);
}

bool prepare_decimal(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    switch (insn->id) {
    case INSN_AAM:
        op->imm = insn->imm & 0xff;
        op->fn = aam;
        break;
    case INSN_AAD:
        op->imm = insn->imm & 0xff;
        op->fn = aad;
        break;
    case INSN_AAA:
    case INSN_AAS:
        op->imm = insn->id == INSN_AAS;
        op->fn = aaa_aas;
        break;
    default:
        op->imm = insn->id == INSN_DAS;
        op->fn = daa_das;
        break;
    }
    return true;
}
