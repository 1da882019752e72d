/*
 * descriptor.c - the instructions on descriptor tables and selectors: LGDT and its like, LLDT, LTR,
 * LAR, LSL, VERR, VERW, ARPL; and SMSW and LMSW, which look like them.
 */
#include "base/string.h"
#include "cpu/control.h"
#include "cpu/segment.h"
#include "exec/interpret/code.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

/* ------------------------------------------------------------------ SGDT SIDT LGDT LIDT */

/* #GP(0) by CR4.UMIP: SGDT, SIDT, SLDT, STR and SMSW outside CPL 0. */
static bool umip_allows(struct cpu *cpu)
{
    return cpu->cpl == 0 || !(cpu->mmu.paging.cr4 & CR4_UMIP) || cpu_raise_gp0(cpu);
}

APART bool do_store_table(struct cpu *cpu, const struct op *op)
{
    const struct table_register *table = op->aux ? &cpu->idtr : &cpu->gdtr;
    unsigned size = cpu->code_mode == INSN_MODE_64 ? 10 : 6;
    u8 bytes[10];
    gva_t gva;

    memcpy(bytes, &table->limit, 2);
    memcpy(bytes + 2, &table->base, 8);
    if (!umip_allows(cpu) || !op_address(cpu, op, size, ACCESS_WRITE, &gva) ||
        !check_aligned(cpu, gva, 4) || !store_unaligned(cpu, op->segment, gva, bytes, size)) {
        return false;
    }
    return true;
}

static s64 store_table(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_store_table(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool do_load_table(struct cpu *cpu, const struct op *op)
{
    struct table_register *table = op->aux ? &cpu->idtr : &cpu->gdtr;
    unsigned size = cpu->code_mode == INSN_MODE_64 ? 10 : 6;
    u8 bytes[10] = {0};
    u64 base;
    gva_t gva;

    if (!is_privileged(cpu) || !op_address(cpu, op, size, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, bytes, size)) {
        return false;
    }
    memcpy(&base, bytes + 2, 8);
    if (cpu->code_mode == INSN_MODE_64 && bits_sign_extend(base, 48) != base) {
        cpu_raise_gp0(cpu);
        return false;
    }
    memcpy(&table->limit, bytes, 2);
    table->base = op->size == 2 ? base & 0xffffff : base;
    return true;
}

static s64 load_table(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_load_table(cpu, op) ? leave(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_descriptor_table(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->id == INSN_SIDT || insn->id == INSN_LIDT;
    op->fn = insn->id == INSN_SGDT || insn->id == INSN_SIDT ? store_table : load_table;
    return true;
}

/* ------------------------------------------------------------------ instructions with a selector
 */

/* The r/m16 operand: aux is set for memory, src is the register. */
ALWAYS_INLINE bool load_word(struct cpu *cpu, const struct op *op, u64 *value)
{
    if (op->aux) {
        return op_load(cpu, op, 2, value);
    }
    *value = (u16)cpu->gpr[op->src >> 3];
    return true;
}

/* A 16-bit result: to memory 16 bits, to a register the operand size. */
static s64 store_word(struct cpu *cpu, const struct op *op, s64 left, u64 value)
{
    if (op->aux) {
        return op_store(cpu, op, 2, value) ? next(cpu, op, left) : fault(cpu, op, left);
    }
    if (op->size == 2) {
        reg_write(cpu, op->src, 2, value);
    } else {
        cpu->gpr[op->src >> 3] = op->size == 4 ? (u32)value : value;
    }
    return next(cpu, op, left);
}

static s64 sldt(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->seg[SEG_LDTR].selector)
                            : fault(cpu, op, left);
}

static s64 str(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->seg[SEG_TR].selector)
                            : fault(cpu, op, left);
}

static s64 smsw(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->mmu.paging.cr0) : fault(cpu, op, left);
}

static s64 lmsw(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !control_lmsw(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

static s64 lldt(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !segment_lldt(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

static s64 ltr(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !segment_ltr(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

APART bool do_verify(struct cpu *cpu, const struct op *op, bool for_write)
{
    u64 value;
    bool ok;

    if (!load_word(cpu, op, &value) || !segment_verify(cpu, (u16)value, for_write, &ok)) {
        return false;
    }
    set_zero_flag(cpu, ok);
    return true;
}

static s64 verr(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_verify(cpu, op, false) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 verw(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_verify(cpu, op, true) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool descriptor_part(struct cpu *cpu, const struct op *op,
                           bool (*part)(struct cpu *, u16, u32 *, bool *))
{
    u64 value;
    u32 result = 0;
    bool ok;

    if (!load_word(cpu, op, &value) || !part(cpu, (u16)value, &result, &ok)) {
        return false;
    }
    if (ok && op->size == 2) {
        reg_write(cpu, op->dst, 2, result);
    } else if (ok) {
        cpu->gpr[op->dst >> 3] = result;
    }
    set_zero_flag(cpu, ok);
    return true;
}

static s64 lar(struct cpu *cpu, const struct op *op, s64 left)
{
    return descriptor_part(cpu, op, segment_lar) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 lsl(struct cpu *cpu, const struct op *op, s64 left)
{
    return descriptor_part(cpu, op, segment_lsl) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* dst is the register with the RPL to have at least. */
static s64 arpl(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value, rpl = cpu->gpr[op->dst >> 3] & 3;

    if (!load_word(cpu, op, &value)) {
        return fault(cpu, op, left);
    }
    bool raise = (value & 3) < rpl;
    u64 result = raise ? (value & ~3ull) | rpl : value;
    if (op->aux ? !op_store(cpu, op, 2, result) : false) {
        return fault(cpu, op, left);
    }
    if (!op->aux) {
        reg_write(cpu, op->src, 2, result);
    }
    set_zero_flag(cpu, raise);
    return next(cpu, op, left);
}

bool prepare_selector(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool has_two = insn->id == INSN_LAR || insn->id == INSN_LSL;
    const struct operand *rm = &insn->op[has_two];

    (void)cpu;
    op->aux = rm->kind == OPERAND_MEM;
    op->src = op->aux ? 0 : reg_offset(rm);
    op->dst = has_two                 ? reg_offset(&insn->op[0])
              : insn->id == INSN_ARPL ? reg_offset(&insn->op[1])
                                      : 0;
    op->fn = insn->id == INSN_SLDT   ? sldt
             : insn->id == INSN_STR  ? str
             : insn->id == INSN_SMSW ? smsw
             : insn->id == INSN_LMSW ? lmsw
             : insn->id == INSN_LLDT ? lldt
             : insn->id == INSN_LTR  ? ltr
             : insn->id == INSN_VERR ? verr
             : insn->id == INSN_VERW ? verw
             : insn->id == INSN_LAR  ? lar
             : insn->id == INSN_LSL  ? lsl
                                     : arpl;
    return true;
}
