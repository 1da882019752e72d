/*
 * refine.c - what some instructions need so that more is seen of them than their exceptions.
 */
#include <string.h>

#include "cpu/cpu.h"
#include "generate.h"
#include "state.h"

/* The linear address of the stack's top. */
static u64 stack_top(const struct draft *d)
{
    u64 ss = d->c->before.ss, rsp = d->c->before.gpr[RSP];

    if (d->c->mode == INSN_MODE_64) {
        return rsp;
    }
    return segment_of_ldt(ss) + (ss == LDT_DATA16 || ss == LDT_DOWN ? rsp & 0xffff : (u32)rsp);
}

static u64 some_code(struct draft *d)
{
    u64 address = random_one_in(d->r, 3) ? 0x1000 + random_below(d->r, PAGE_SIZE)
                                         : CODE + random_below(d->r, PAGE_SIZE);
    return address;
}

/* ------------------------------------------------------------------ control transfers */

/* What a far transfer or a load of a segment wants to find. */
static void poke_far(struct draft *d, u64 address, unsigned size, bool is_return)
{
    static const u16 code[] = {USER_CODE64, USER_CODE32, LDT_CODE16, LDT_CODE32, LDT_ABSENT_CODE};
    u64 selector = random_one_in(d->r, 3) ? draft_selector(d) : RANDOM_OF(d->r, code);

    case_poke(d->c, address, some_code(d), size);
    case_poke(d->c, address + size, selector, is_return ? size : 2);
}

static u16 data_selector(struct draft *d)
{
    static const u16 data[] = {USER_DATA, USER_DATA, LDT_DATA16, LDT_DATA32, LDT_DOWN, LDT_SMALL};

    return random_one_in(d->r, 2) ? draft_selector(d) : RANDOM_OF(d->r, data);
}

static void poke_iret(struct draft *d, u64 address, unsigned size)
{
    u64 never = RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP;
    u64 flags = random_u64(d->r) & ~never & ~(random_one_in(d->r, 4) ? 0 : RFLAGS_TF | RFLAGS_AC);

    poke_far(d, address, size, true);
    case_poke(d->c, address + size * 2, flags | RFLAGS_FIXED, size);
    if (d->c->mode == INSN_MODE_64) {
        u16 ss = random_one_in(d->r, 4) ? draft_selector(d) : USER_DATA;
        case_poke(d->c, address + size * 3, draft_target(d), size);
        case_poke(d->c, address + size * 4, ss, size);
    }
}

static void near_transfer(struct draft *d, u64 target)
{
    const struct operand *op = &d->insn.op[0];

    if (random_one_in(d->r, 4)) {
        return;
    }
    case_poke(d->c, target, CODE + random_below(d->r, PAGE_SIZE), 8);
    if (op->kind == OPERAND_REG && op->reg != RSP) {
        d->c->before.gpr[op->reg] =
            CODE - segment_of_ldt(d->c->before.cs) + random_below(d->r, PAGE_SIZE);
    }
}

/* ------------------------------------------------------------------ integers */

static void bit_offset(struct draft *d)
{
    const struct operand *op = &d->insn.op[1];

    if (op->kind == OPERAND_REG && op->reg != d->insn.mem.base && op->reg != d->insn.mem.index &&
        op->reg != RSP) {
        d->c->before.gpr[op->reg] =
            random_one_in(d->r, 8) ? random_u64(d->r) : random_below(d->r, 0x2000) - 0x1000;
    }
}

static void dividend(struct draft *d)
{
    u64 *gpr = d->c->before.gpr;

    if (!random_one_in(d->r, 4)) {
        gpr[RDX] = random_one_in(d->r, 2)   ? 0
                   : random_one_in(d->r, 2) ? random_below(d->r, 256)
                                            : -random_below(d->r, 3);
        gpr[RAX] = d->insn.op[0].size == 1 ? gpr[RAX] & ~0xff00ull : gpr[RAX];
    }
}

/* AL where decimal adjustment changes its mind. */
static void decimal(struct draft *d)
{
    static const u8 edges[] = {0x00, 0x05, 0x06, 0x07, 0x09, 0x0a, 0x0f, 0x10, 0x59,
                               0x60, 0x90, 0x99, 0x9a, 0x9f, 0xa0, 0xf9, 0xfa, 0xff};

    if (random_one_in(d->r, 2)) {
        d->c->before.gpr[RAX] = (d->c->before.gpr[RAX] & ~0xffull) | RANDOM_OF(d->r, edges);
    }
}

/* Bounds near the index, on both sides of it. */
static void bounds(struct draft *d, u64 target)
{
    unsigned size = d->insn.operand_size;
    u64 index = d->c->before.gpr[d->insn.op[0].reg];

    case_poke(d->c, target, index + random_below(d->r, 8) - 5, size);
    case_poke(d->c, target + size, index + random_below(d->r, 8) - 2, size);
}

/* So that the comparison is true half the time. */
static void compare_and_exchange(struct draft *d, u64 target, unsigned size, bool is_pair)
{
    u64 *gpr = d->c->before.gpr;
    u64 low = random_value(d->r), high = random_value(d->r);

    case_poke(d->c, target, low, size);
    if (is_pair) {
        case_poke(d->c, target + size, high, size);
    }
    if (random_one_in(d->r, 2)) {
        gpr[RAX] = low & bits_mask(size * 8);
        gpr[RDX] = is_pair ? high & bits_mask(size * 8) : gpr[RDX];
    }
}

static void selector_operand(struct draft *d, u64 target)
{
    case_poke(d->c, target, data_selector(d), 2);
    for (unsigned i = 0; i < d->insn.operands; i++) {
        const struct operand *op = &d->insn.op[i];
        if (op->kind == OPERAND_REG && op->class == REG_GPR && op->reg != RSP) {
            d->c->before.gpr[op->reg] = data_selector(d) | random_below(d->r, 2) << 20;
        }
    }
}

/* ------------------------------------------------------------------ saved x87 and vector state */

static void poke_state(struct draft *d, u64 target, bool is_xsave)
{
    u64 *gpr = d->c->before.gpr;
    u64 components = random_below(d->r, 8), compact = random_one_in(d->r, 3) ? BIT(63) : 0;
    u32 mxcsr = random_one_in(d->r, 6) ? (u32)random_u64(d->r) : random_u64(d->r) & 0xffff;

    case_poke(d->c, target + 0, random_u64(d->r), 8); /* FCW, FSW, FTW, FOP */
    case_poke(d->c, target + 24, mxcsr, 4);
    if (!is_xsave) {
        return;
    }
    gpr[RAX] = (gpr[RAX] & ~0xffull) | random_below(d->r, 8);
    gpr[RDX] = 0;
    if (compact) {
        compact |= random_one_in(d->r, 4) ? random_below(d->r, 8) : components;
    }
    case_poke(d->c, target + 512, components, 8);
    case_poke(d->c, target + 520, random_one_in(d->r, 12) ? random_value(d->r) : compact, 8);
    for (unsigned i = 2; i < 8; i++) {
        case_poke(d->c, target + 512 + i * 8, random_one_in(d->r, 60) ? random_u64(d->r) : 0, 8);
    }
}

/* FLDENV, FRSTOR: control, status and tag word. */
static void poke_environment(struct draft *d, u64 target)
{
    unsigned unit = d->insn.operand_size == 2 ? 2 : 4;

    case_poke(d->c, target, random_u64(d->r) & 0x1f7f, unit);
    case_poke(d->c, target + unit, random_u64(d->r), unit);
    case_poke(d->c, target + unit * 2, random_u64(d->r), unit);
}

/* ------------------------------------------------------------------ by instruction */

static void refine_integer(struct draft *d, u64 target)
{
    const struct insn *insn = &d->insn;
    struct registers *r = &d->c->before;
    u64 mask = random_one_in(d->r, 2) ? ~0xffffull : ~0xffffffffull;

    switch (insn->id) {
    case INSN_BT:
    case INSN_BTS:
    case INSN_BTR:
    case INSN_BTC:
        bit_offset(d);
        break;
    case INSN_DIV:
    case INSN_IDIV:
        dividend(d);
        break;
    case INSN_CMPXCHG:
        compare_and_exchange(d, target, insn->op[0].size, false);
        break;
    case INSN_CMPXCHG8B:
        compare_and_exchange(d, target, insn->operand_size == 8 ? 8 : 4, true);
        break;
    case INSN_LOOP:
    case INSN_LOOPE:
    case INSN_LOOPNE:
    case INSN_JCXZ:
        r->gpr[RCX] = (r->gpr[RCX] & mask) | random_below(d->r, 3);
        break;
    case INSN_POPF:
        case_poke(d->c, stack_top(d), random_u64(d->r) & ~(u64)(RFLAGS_TF | RFLAGS_AC | RFLAGS_VM),
                  8);
        break;
    case INSN_AAA:
    case INSN_AAS:
    case INSN_DAA:
    case INSN_DAS:
        decimal(d);
        break;
    case INSN_BOUND:
        bounds(d, target);
        break;
    case INSN_CPUID:
        r->gpr[RAX] = random_one_in(d->r, 2) ? random_below(d->r, 32) : r->gpr[RAX];
        break;
    case INSN_XGETBV:
        r->gpr[RCX] = random_one_in(d->r, 2) ? random_below(d->r, 3) : r->gpr[RCX];
        break;
    default:
        break;
    }
}

static void refine_transfer(struct draft *d, u64 target)
{
    const struct insn *insn = &d->insn;

    switch (insn->id) {
    case INSN_IRET:
        poke_iret(d, stack_top(d), insn->operand_size);
        break;
    case INSN_RET_FAR:
        poke_far(d, stack_top(d), insn->operand_size, true);
        break;
    case INSN_RET:
        case_poke(d->c, stack_top(d),
                  CODE - segment_of_ldt(d->c->before.cs) + random_below(d->r, PAGE_SIZE), 8);
        break;
    case INSN_POP_SEG:
        case_poke(d->c, stack_top(d), data_selector(d), 2);
        break;
    case INSN_LDS:
    case INSN_LES:
    case INSN_LSS:
    case INSN_LFS:
    case INSN_LGS:
        case_poke(d->c, target, random_value(d->r), insn->operand_size);
        case_poke(d->c, target + insn->operand_size, data_selector(d), 2);
        break;
    case INSN_JMP_FAR:
    case INSN_CALL_FAR:
        poke_far(d, target, insn->operand_size, false);
        if (random_one_in(d->r, 2)) {
            case_poke(d->c, target + insn->operand_size, draft_selector(d), 2);
        }
        break;
    case INSN_MOV_SEG:
    case INSN_LAR:
    case INSN_LSL:
    case INSN_VERR:
    case INSN_VERW:
    case INSN_ARPL:
        selector_operand(d, target);
        break;
    case INSN_JMP:
    case INSN_CALL:
        near_transfer(d, target);
        break;
    default:
        break;
    }
}

static void refine_state(struct draft *d, u64 target)
{
    static const u16 fcw[] = {0x37f, 0x27f, 0x000, 0x340, 0xf7f, 0x07f};

    switch (d->insn.id) {
    case INSN_FXSAVE:
    case INSN_FXRSTOR:
        poke_state(d, target, false);
        break;
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XRSTOR:
        poke_state(d, target, true);
        break;
    case INSN_FLDENV:
    case INSN_FRSTOR:
        poke_environment(d, target);
        break;
    case INSN_FLDCW:
        case_poke(d->c, target, random_one_in(d->r, 3) ? random_u64(d->r) : RANDOM_OF(d->r, fcw),
                  2);
        break;
    case INSN_LDMXCSR:
    case INSN_VLDMXCSR:
        case_poke(d->c, target,
                  random_one_in(d->r, 6) ? random_u64(d->r) : random_u64(d->r) & 0xffff, 4);
        break;
    default:
        break;
    }
}

/* Floating-point operands in memory like those in registers. */
static void refine_memory(struct draft *d, u64 target)
{
    const struct fpu_area *area = &d->c->fpu;
    u8 bytes[32];

    if (!(insn_row(&d->insn)->attributes & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX)) ||
        d->c->pokes || random_one_in(d->r, 4)) {
        return;
    }
    unsigned from = (unsigned)random_below(d->r, 8);
    bool is_x87 = insn_row(&d->insn)->attributes & ATTR_X87 && random_one_in(d->r, 2);
    memcpy(bytes, is_x87 ? area->st[from] : area->xmm[from], 16);
    memcpy(bytes + 16, area->ymm_high[from], 16);
    for (unsigned i = 0; i < 32; i += 8) {
        u64 value;
        memcpy(&value, bytes + i, 8);
        case_poke(d->c, target + i, value, 8);
    }
}

void refine_operands(struct draft *d, u64 target)
{
    refine_integer(d, target);
    refine_transfer(d, target);
    refine_state(d, target);
    refine_memory(d, target);
}

/* ------------------------------------------------------------------ immediates */

void refine_immediate(struct draft *d)
{
    u8 *code = d->c->code;
    unsigned at = d->insn.imm_offset, length = d->insn.length;
    u16 selector = random_one_in(d->r, 2) ? (u16)USER_CODE32 : draft_selector(d);

    switch (d->insn.id) {
    case INSN_ENTER:
        code[at + 1] &= 3;
        code[at + 2] &= random_one_in(d->r, 4) ? 0xff : 7;
        break;
    case INSN_JMP_FAR:
    case INSN_CALL_FAR:
        if (d->insn.op[0].kind == OPERAND_FAR) {
            u64 offset = some_code(d);
            memcpy(code + at, &offset, length - at - 2);
            memcpy(code + length - 2, &selector, 2);
        }
        break;
    case INSN_JMP:
    case INSN_CALL:
    case INSN_JCC:
        if (d->insn.op[0].kind == OPERAND_REL && random_one_in(d->r, 2) && length - at >= 2) {
            memset(code + at + 1, code[at] & 0x80 ? 0xff : 0, length - at - 1);
        }
        break;
    default:
        break;
    }
    draft_decode(d);
}

/* ------------------------------------------------------------------ vector state */

static void put_element(struct fpu_area *area, unsigned reg, unsigned at, u64 value, unsigned size)
{
    memcpy((at < 16 ? area->xmm[reg] + at : area->ymm_high[reg] + at - 16), &value, size);
}

/* A gather's indices: near, so that base and displacement say where; its mask: any. */
static void gather_operands(struct draft *d)
{
    const struct insn *insn = &d->insn;
    unsigned size = insn->opcode & 1 ? 8 : 4, element = insn->rex & 8 ? 8 : 4;
    bool is_wide = random_one_in(d->r, 4);

    for (unsigned i = 0; i < 32; i += size) {
        u64 index = random_below(d->r, is_wide ? 0x800 : 64) - (is_wide ? 0x400 : 32);
        put_element(&d->c->fpu, insn->mem.index, i, index, size);
    }
    for (unsigned i = 0; i < 32; i += element) {
        u64 mask = random_u64(d->r) | (random_one_in(d->r, 2) ? BIT(element * 8 - 1) : 0);
        put_element(&d->c->fpu, insn->op[2].reg, i, mask, element);
    }
}

void refine_vector_state(struct draft *d)
{
    struct fpu_area *area = &d->c->fpu;

    if (d->insn.mem.vsib && d->insn.op[2].reg < 16) {
        gather_operands(d);
    }
    switch (d->insn.id) {
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XRSTOR:
    case INSN_XGETBV:
        if (random_one_in(d->r, 2)) {
            area->xstate_bv = random_below(d->r, 8);
            state_normalize(area);
        }
        break;
    default:
        break;
    }
}
