/*
 * bits.c - BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT.
 */
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/locked.h"

/* ------------------------------------------------------------------ BT and its kin */

enum change { CHANGE_NONE, CHANGE_SET, CHANGE_RESET, CHANGE_COMPLEMENT };

ALWAYS_INLINE u64 changed(u64 value, u64 bit, enum change change)
{
    switch (change) {
    case CHANGE_NONE:
        return value;
    case CHANGE_SET:
        return value | bit;
    case CHANGE_RESET:
        return value & ~bit;
    case CHANGE_COMPLEMENT:
        return value ^ bit;
    }
    return value;
}

/* Only CF changes: that OF, SF, AF and PF are undefined leaves them alone on all processors. */
ALWAYS_INLINE void set_carry(struct cpu *cpu, bool carry)
{
    cpu->flags = (u16)((cpu->flags & ~AX_CF) | (carry ? AX_CF : 0));
}

/* The bit index: a register (op->src), or imm where op->aux is set. */
ALWAYS_INLINE u64 bit_index(struct cpu *cpu, const struct op *op)
{
    return op->aux ? op->imm : cpu->gpr[op->src >> 3];
}

ALWAYS_INLINE s64 bit_r(struct cpu *cpu, const struct op *op, s64 left, enum change change)
{
    u64 value = cpu->gpr[op->dst >> 3];
    u64 bit = BIT(bit_index(cpu, op) & (op->size * 8u - 1));

    set_carry(cpu, value & bit);
    if (change != CHANGE_NONE) {
        value = changed(value, bit, change);
        if (op->size == 2) {
            reg_write(cpu, op->dst, 2, value);
        } else {
            cpu->gpr[op->dst >> 3] = op->size == 4 ? (u32)value : value;
        }
    }
    return next(cpu, op, left);
}

/* The address of the unit that holds the bit.  A register index reaches beyond the operand: it
 * selects a unit of the operand's size, signed. */
ALWAYS_INLINE bool bit_address(struct cpu *cpu, const struct op *op, unsigned access, gva_t *gva)
{
    u64 offset = effective_address(cpu, op);

    if (!op->aux) {
        s64 index = (s64)bits_sign_extend(cpu->gpr[op->src >> 3], op->size * 8);
        offset += (u64)((index >> __builtin_ctz(op->size * 8)) * op->size);
        if (op->ea & (EA_ADDRESS_32 | EA_ADDRESS_16)) {
            offset &= op->ea & EA_ADDRESS_32 ? 0xffffffff : 0xffff;
        }
    }
    if (!linear_address(cpu, op->segment, offset, op->size, access, &cpu->bounce_gva)) {
        return false;
    }
    *gva = cpu->bounce_gva;
    return true;
}

static s64 bt_m(struct cpu *cpu, const struct op *op, s64 left)
{
    gva_t gva;
    u64 value;

    if (!bit_address(cpu, op, ACCESS_READ, &gva) ||
        !(op->size == 2   ? load(cpu, op->segment, gva, 2, &value)
          : op->size == 4 ? load(cpu, op->segment, gva, 4, &value)
                          : load(cpu, op->segment, gva, 8, &value))) {
        return fault(cpu, op, left);
    }
    set_carry(cpu, (value >> (bit_index(cpu, op) & (op->size * 8u - 1))) & 1);
    return next(cpu, op, left);
}

/* Returns whether the bit was set. */
ALWAYS_INLINE bool update_unit(void *p, u64 bit, unsigned size, enum change change)
{
    u64 old;

    do {
        old = read_bytes(p, size);
    } while (locked_compare_exchange(p, old, changed(old, bit, change), size) != old);
    return old & bit;
}

/* Always atomic, with LOCK or without. */
ALWAYS_INLINE s64 bit_m(struct cpu *cpu, const struct op *op, s64 left, enum change change)
{
    u64 bit = BIT(bit_index(cpu, op) & (op->size * 8u - 1));
    gva_t gva;

    if (!bit_address(cpu, op, ACCESS_WRITE, &gva)) {
        return fault(cpu, op, left);
    }
    void *p = tlb_write(&cpu->mmu, gva, op->size);
    if (unlikely(!p)) {
        p = rmw_begin_slow(cpu, op->segment, gva, op->size);
        if (!p) {
            return fault(cpu, op, left);
        }
    }
    bool carry = op->size == 2   ? update_unit(p, bit, 2, change)
                 : op->size == 4 ? update_unit(p, bit, 4, change)
                                 : update_unit(p, bit, 8, change);
    if (!rmw_end(cpu, op->size, p)) {
        return fault(cpu, op, left);
    }
    set_carry(cpu, carry);
    return next(cpu, op, left);
}

static s64 bt_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_r(cpu, op, left, CHANGE_NONE);
}

static s64 bts_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_r(cpu, op, left, CHANGE_SET);
}

static s64 btr_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_r(cpu, op, left, CHANGE_RESET);
}

static s64 btc_r(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_r(cpu, op, left, CHANGE_COMPLEMENT);
}

static s64 bts_m(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_m(cpu, op, left, CHANGE_SET);
}

static s64 btr_m(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_m(cpu, op, left, CHANGE_RESET);
}

static s64 btc_m(struct cpu *cpu, const struct op *op, s64 left)
{
    return bit_m(cpu, op, left, CHANGE_COMPLEMENT);
}

bool prepare_bit_test(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const handlers[][2] = {
        {bt_r, bt_m}, {bts_r, bts_m}, {btr_r, btr_m}, {btc_r, btc_m}};
    unsigned which = insn->id == INSN_BT    ? 0
                     : insn->id == INSN_BTS ? 1
                     : insn->id == INSN_BTR ? 2
                                            : 3;
    bool is_memory = insn->op[0].kind == OPERAND_MEM;

    (void)cpu;
    op->aux = insn->op[1].kind == OPERAND_IMM;
    op->imm = insn->imm;
    op->src = op->aux ? 0 : reg_offset(&insn->op[1]);
    op->dst = is_memory ? 0 : reg_offset(&insn->op[0]);
    op->fn = handlers[which][is_memory];
    return true;
}

/* ------------------------------------------------------------------ scans and counts */

/* The flags go in because some leave a part of them alone, and the whole of the old register
 * because a source of 0 leaves that alone: how much of it is the host's affair. */
#define SCAN_ASM(type, insn, width)                                                             \
    ({                                                                                          \
        __asm__("addb $0x7f, %%al\n\tsahf\n\t" insn " %[b], %" width "[r]\n\tlahf\n\tseto %%al" \
                : [r] "+&r"(r), "+&a"(f)                                                        \
                : [b] "r"((type)b)                                                              \
                : "cc");                                                                        \
    })

/* a is the destination's old value, which BSF and BSR keep for a source of 0. */
#define SCAN_OPERATION(name)                                           \
    static u64 do_##name(struct cpu *cpu, u64 a, u64 b, unsigned size) \
    {                                                                  \
        u16 f = cpu->flags;                                            \
        u64 r = a;                                                     \
        switch (size) {                                                \
        case 2:                                                        \
            SCAN_ASM(u16, #name "w", "w");                             \
            break;                                                     \
        case 4:                                                        \
            SCAN_ASM(u32, #name "l", "k");                             \
            break;                                                     \
        default:                                                       \
            SCAN_ASM(u64, #name "q", "q");                             \
            break;                                                     \
        }                                                              \
        cpu->flags = f;                                                \
        return r;                                                      \
    }                                                                  \
    static s64 name(struct cpu *cpu, const struct op *op, s64 left)    \
    {                                                                  \
        u64 a = cpu->gpr[op->dst >> 3], b;                             \
        if (!scan_source(cpu, op, &b)) {                               \
            return fault(cpu, op, left);                               \
        }                                                              \
        u64 r = do_##name(cpu, a, b, op->size);                        \
        if (op->size == 2) {                                           \
            reg_write(cpu, op->dst, 2, r);                             \
        } else {                                                       \
            cpu->gpr[op->dst >> 3] = r;                                \
        }                                                              \
        return next(cpu, op, left);                                    \
    }

/* aux is set for a source in memory. */
ALWAYS_INLINE bool scan_source(struct cpu *cpu, const struct op *op, u64 *value)
{
    if (!op->aux) {
        *value = cpu->gpr[op->src >> 3];
        return true;
    }
    return op->size == 2   ? op_load(cpu, op, 2, value)
           : op->size == 4 ? op_load(cpu, op, 4, value)
                           : op_load(cpu, op, 8, value);
}

SCAN_OPERATION(bsf)
SCAN_OPERATION(bsr)
SCAN_OPERATION(tzcnt)
SCAN_OPERATION(lzcnt)
SCAN_OPERATION(popcnt)

bool prepare_bit_scan(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->op[1].kind == OPERAND_MEM;
    op->src = op->aux ? 0 : reg_offset(&insn->op[1]);
    op->dst = reg_offset(&insn->op[0]);
    op->fn = insn->id == INSN_BSF     ? bsf
             : insn->id == INSN_BSR   ? bsr
             : insn->id == INSN_TZCNT ? tzcnt
             : insn->id == INSN_LZCNT ? lzcnt
                                      : popcnt;
    return true;
}
