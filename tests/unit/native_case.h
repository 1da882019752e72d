/*
 * native_case.h - random instructions, and registers and memory that make them do something.
 *
 * Random bytes alone would fault nearly always: a memory operand is aimed at the area (mostly where
 * it can be accessed, often where a page ends), and a stack, count, selector or divisor is made one
 * that the instruction can use.
 */
#ifndef TESTS_UNIT_NATIVE_CASE_H
#define TESTS_UNIT_NATIVE_CASE_H

#include "native_guest.h"

static u64 random_state = 0x9e3779b97f4a7c15ull;

static inline u64 random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1dull;
}

static inline u64 below(u64 limit)
{
    return (random_u64() >> 11) % limit;
}

static inline bool one_in(unsigned n)
{
    return below(n) == 0;
}

/* ------------------------------------------------------------------ one case */

struct trial {
    struct pair pair;
    u8 contents[AREA_SIZE]; /* of the data pages before each case */
    bool is_intel;
    unsigned compared, faulted, undefined, hidden, skipped, different;
    unsigned by_id[INSN_COUNT]; /* cases compared */
    unsigned different_by_id[INSN_COUNT];
};

struct attempt {
    enum insn_mode mode;
    u8 bytes[32];
    enum insn_result decoded;
    struct insn insn;
    struct native_registers before;
    bool step; /* native by single-step, not up to an INT3 */
};

static inline u64 segment_base(const struct trial *t, const struct attempt *a, unsigned segment)
{
    const u64 selectors[] = {a->before.es, a->before.cs, a->before.ss,
                             a->before.ds, a->before.fs, a->before.gs};
    if (a->mode == INSN_MODE_64) {
        return segment == SEG_FS ? a->before.fs_base : segment == SEG_GS ? a->before.gs_base : 0;
    }
    return guest_segment(t->pair.f, (u16)selectors[segment]).base;
}

/* ---- registers */

static inline u64 random_target(void)
{
    static const u16 edges[] = {0x5000, 0x6000, 0x7000, 0x8000, 0x9000, 0xa000, 0xb000};
    switch (below(8)) {
    case 0:
        return AREA + edges[below(ARRAY_SIZE(edges))] - below(20);
    case 1:
        return AREA + 0x6000 - below(20);
    case 2:
        return DATA + below(DATA_SIZE);
    case 3:
        return (AREA + 0x5000 + below(0x1f00)) & ~15ull;
    default:
        return AREA + 0x5000 + below(0x1f00);
    }
}

static inline u64 random_value(void)
{
    switch (below(8)) {
    case 0:
        return below(64);
    case 1:
        return -below(64);
    case 2:
        return BIT(below(64)) - below(2);
    case 3:
        return random_target();
    case 4:
        return (u32)random_u64();
    default:
        return random_u64();
    }
}

static inline u16 random_selector(void)
{
    static const u16 some[] = {0,        1,         3,          0x23,     0x2b,       0x28,
                               0x2a,     0x33,      0x30,       0x10,     0x18,       0x1b,
                               0x40,     0x60,      0x80,       0xfff8,   LDT_CODE16, LDT_DATA16,
                               LDT_DOWN, LDT_SMALL, LDT_DATA32, LDT_READ, LDT_CODE32, LDT_EXECUTE,
                               0x47,     0x2b,      0x2b,       0x33};
    return some[below(ARRAY_SIZE(some))];
}

static inline void random_segments(struct native_registers *r, enum insn_mode mode)
{
    static const u16 flat[] = {NATIVE_DATA, NATIVE_DATA, LDT_DATA32, LDT_DATA16, LDT_SMALL,
                               LDT_DOWN,    LDT_READ,    LDT_CODE32, 0};
    static const u16 stack[] = {NATIVE_DATA, LDT_DATA32, LDT_DATA16, LDT_DOWN};
    r->cs = NATIVE_CODE64;
    r->ss = NATIVE_DATA;
    if (mode == INSN_MODE_64) {
        r->fs_base = random_u64() >> 17;
        r->gs_base = random_u64() >> 17;
        return;
    }
    r->cs = mode == INSN_MODE_16 ? LDT_CODE16 : one_in(3) ? LDT_CODE32 : NATIVE_CODE32;
    r->ss = mode == INSN_MODE_16 && one_in(2) ? LDT_DATA16 : stack[below(ARRAY_SIZE(stack))];
    r->ds = one_in(3) ? flat[below(ARRAY_SIZE(flat))] : one_in(2) ? LDT_DATA32 : NATIVE_DATA;
    r->es = one_in(3) ? flat[below(ARRAY_SIZE(flat))] : one_in(2) ? LDT_DATA32 : NATIVE_DATA;
    r->fs = flat[below(ARRAY_SIZE(flat))];
    r->gs = flat[below(ARRAY_SIZE(flat))];
}

static inline void random_registers(struct trial *t, struct attempt *a)
{
    struct native_registers *r = &a->before;
    u32 flags = RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_NT | RFLAGS_ID;

    *r = (struct native_registers){.frame = AREA + AREA_SIZE - 16};
    random_segments(r, a->mode);
    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = random_value();
    }
    r->flags = (random_u64() & flags) | RFLAGS_FIXED | RFLAGS_IF | (one_in(12) ? RFLAGS_AC : 0);
    if (!one_in(4)) {
        r->flags &= ~(u64)(RFLAGS_NT | RFLAGS_DF);
    }
    r->gpr[RSP] = random_target() & (one_in(3) ? ~0ull : ~7ull);
    r->gpr[RBP] = one_in(2) ? r->gpr[RSP] + below(64) : random_target();
    u64 start = CODE + below(0xf80);
    if (one_in(8)) {
        start = CODE + PAGE_SIZE * (1 + below(2)) - 1 - below(15);
    }
    r->rip = start - (a->mode == INSN_MODE_64 ? 0 : segment_base(t, a, SEG_CS));
    if (a->mode != INSN_MODE_64) {
        r->gpr[RSP] -= segment_base(t, a, SEG_SS);
        r->gpr[RBP] -= segment_base(t, a, SEG_SS);
        for (unsigned i = 0; i < 16; i++) {
            r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
        }
    }
}

/* See struct native_registers, frame. */
static inline void keep_stack_pointer(const struct trial *t, struct attempt *a)
{
    struct native_registers *r = &a->before;
    if (a->mode != INSN_MODE_64 &&
        !(guest_segment(t->pair.f, (u16)r->ss).attributes & SEGMENT_DB)) {
        r->gpr[RSP] = AREA | (u16)r->gpr[RSP];
    }
}

static inline u64 start_linear(const struct trial *t, const struct attempt *a)
{
    return a->before.rip + (a->mode == INSN_MODE_64 ? 0 : segment_base(t, a, SEG_CS));
}

/* ---- bytes */

static inline void random_bytes(struct attempt *a, unsigned map, unsigned opcode, unsigned reg)
{
    static const u8 prefixes[] = {0x66, 0x66, 0x66, 0x67, 0x67, 0xf2, 0xf3,
                                  0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65};
    unsigned at = 0, count = one_in(2) ? 0 : (unsigned)below(3);

    for (unsigned i = 0; i < sizeof(a->bytes); i++) {
        a->bytes[i] = (u8)(random_u64() >> 32);
    }
    if (one_in(200)) {
        count = 8 + (unsigned)below(7); /* up to and over the 15 bytes */
    }
    while (count--) {
        a->bytes[at++] = prefixes[below(ARRAY_SIZE(prefixes))];
    }
    if (map && (opcode == 0xae || opcode >> 3 == 0x17) && one_in(2)) {
        a->bytes[at++] = 0xf3; /* TZCNT and its kin, WRFSBASE and its kin */
    }
    if (a->mode == INSN_MODE_64 && one_in(2)) {
        a->bytes[at++] = (u8)(0x40 | below(16));
    }
    if (map) {
        a->bytes[at++] = 0x0f;
    }
    a->bytes[at++] = (u8)opcode;
    a->bytes[at] = (u8)((a->bytes[at] & 0xc7) | reg << 3 | (one_in(3) ? 0xc0 : 0));
}

static inline void decode(struct attempt *a)
{
    a->decoded = insn_decode(&a->insn, a->mode, a->bytes, INSN_MAX_LENGTH);
}

static inline const struct operand *memory_operand(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return &insn->op[i];
        }
    }
    return NULL;
}

static inline bool is_string(const struct insn *insn)
{
    return insn->id == INSN_MOVS || insn->id == INSN_STOS || insn->id == INSN_LODS ||
           insn->id == INSN_CMPS || insn->id == INSN_SCAS;
}

/* Does it lock the bus if its operand crosses a line of the host's cache?  On Intel the kernel may
 * punish that with a pause for each. */
static inline bool is_locked(const struct insn *insn)
{
    return insn->lock || insn->id == INSN_XCHG;
}

/* Aim the memory operand at linear address target, by its base, its index or its displacement. */
static inline void aim(struct trial *t, struct attempt *a, u64 target)
{
    struct insn *insn = &a->insn;
    u64 *gpr = a->before.gpr, rest;
    u64 offset = target - segment_base(t, a, insn->mem.segment);

    if (insn->mem.base < 16) {
        rest = insn->mem.index < 16 ? gpr[insn->mem.index] << insn->mem.scale : 0;
        if (insn->mem.index == insn->mem.base) {
            gpr[insn->mem.base] = (offset - (u64)insn->mem.disp) / (1 + BIT(insn->mem.scale));
        } else {
            gpr[insn->mem.base] = offset - (u64)insn->mem.disp - rest;
        }
        if (insn->address_size < 8 && a->mode == INSN_MODE_64 && insn->mem.base != RSP) {
            gpr[insn->mem.base] += random_u64() << 32;
        }
        if (a->mode != INSN_MODE_64) {
            gpr[insn->mem.base] = (u32)gpr[insn->mem.base];
        }
        return;
    }
    if (insn->mem.index < 16) {
        gpr[insn->mem.index] = (offset - (u64)insn->mem.disp) >> insn->mem.scale;
        return;
    }
    bool is_moffs = !insn->has_modrm;
    unsigned size = is_moffs || insn->address_size == 2 ? insn->address_size : 4;
    unsigned at = is_moffs ? insn->opcode_offset + 1u : insn->imm_offset - size;
    if (insn->mem.base == MEM_RIP) {
        offset -= a->before.rip + insn->length;
    }
    memcpy(a->bytes + at, &offset, size);
    decode(a);
}

static inline void aim_strings(struct trial *t, struct attempt *a)
{
    u64 *gpr = a->before.gpr;
    u64 from = random_target(), to = one_in(2) ? random_target() : from + below(64) - 32;

    gpr[RSI] = from - segment_base(t, a, a->insn.mem.segment);
    gpr[RDI] = to - segment_base(t, a, SEG_ES);
    gpr[RCX] = one_in(4) ? below(0x3000) : below(40);
    if (a->insn.id == INSN_STOS || a->insn.id == INSN_SCAS) {
        gpr[RAX] = one_in(2) ? 0x6161616161616161 : gpr[RAX];
    }
    if (a->mode != INSN_MODE_64) {
        gpr[RSI] = (u32)gpr[RSI];
        gpr[RDI] = (u32)gpr[RDI];
    }
    if (a->insn.address_size < 8 && one_in(2)) {
        u64 garbage = a->insn.address_size == 2 ? 0xffff0000 : a->mode == INSN_MODE_64 ? ~0u : 0;
        gpr[RCX] |= (random_u64() & garbage) << (a->insn.address_size == 2 ? 0 : 32);
    }
}

/* Put what a far transfer or a load of a segment wants to find at a linear address. */
static inline void poke_far(struct trial *t, u64 address, unsigned size, bool is_return)
{
    struct pair *p = &t->pair;
    static const u16 code[] = {0x33, 0x23, LDT_CODE16, LDT_CODE32};

    pair_poke(p, address, one_in(3) ? 0x1000 + below(PAGE_SIZE) : CODE + below(PAGE_SIZE), size);
    u64 selector = one_in(3) ? random_selector() : code[below(4)];
    pair_poke(p, address + size, selector, is_return ? size : 2);
}

static inline void poke_iret(struct trial *t, const struct attempt *a, u64 address, unsigned size)
{
    struct pair *p = &t->pair;
    u32 never = RFLAGS_TF | RFLAGS_VM | RFLAGS_AC | RFLAGS_VIF | RFLAGS_VIP;
    poke_far(t, address, size, true);
    pair_poke(p, address + size * 2, (random_u64() & ~(u64)never) | RFLAGS_FIXED, size);
    if (a->mode == INSN_MODE_64) {
        pair_poke(p, address + size * 3, random_target(), size);
        pair_poke(p, address + size * 4, one_in(4) ? random_selector() : NATIVE_DATA, size);
    }
}

/* What some instructions need so that more than their exceptions is seen. */
static inline void refine(struct trial *t, struct attempt *a, u64 target)
{
    struct pair *p = &t->pair;
    const struct insn *insn = &a->insn;
    u64 *gpr = a->before.gpr, value = 0;
    u64 stack = (gpr[RSP] & (a->mode == INSN_MODE_64   ? ~0ull
                             : a->mode == INSN_MODE_32 ? 0xffffffff
                                                       : 0xffff)) +
                (a->mode == INSN_MODE_64 ? 0 : segment_base(t, a, SEG_SS));
    switch (insn->id) {
    case INSN_BT:
    case INSN_BTS:
    case INSN_BTR:
    case INSN_BTC:
        if (insn->op[1].kind == OPERAND_REG && insn->op[1].reg != insn->mem.base &&
            insn->op[1].reg != insn->mem.index) {
            gpr[insn->op[1].reg] = one_in(8) ? random_u64() : below(0x2000) - 0x1000;
        }
        break;
    case INSN_DIV:
    case INSN_IDIV:
        if (!one_in(4)) {
            gpr[RDX] = one_in(2) ? 0 : one_in(2) ? below(256) : -below(3);
            gpr[RAX] = insn->op[0].size == 1 ? gpr[RAX] & ~0xff00ull : gpr[RAX];
        }
        break;
    case INSN_CMPXCHG:
        if (one_in(2) && insn->op[0].kind == OPERAND_MEM && pair_has(target, 8)) {
            memcpy(&gpr[RAX], p->guest + (target - AREA), 8);
        }
        break;
    case INSN_CMPXCHG8B:
        if (one_in(2) && pair_has(target, 16)) {
            unsigned half = insn->operand_size == 8 ? 8 : 4;
            memcpy(&gpr[RAX], p->guest + (target - AREA), half);
            memcpy(&gpr[RDX], p->guest + (target - AREA) + half, half);
        }
        break;
    case INSN_LOOP:
    case INSN_LOOPE:
    case INSN_LOOPNE:
    case INSN_JCXZ:
        gpr[RCX] = (gpr[RCX] & (one_in(2) ? ~0xffffull : ~0xffffffffull)) | below(3);
        break;
    case INSN_POPF:
        memcpy(&value, pair_has(stack, 8) ? p->guest + (stack - AREA) : a->bytes, 8);
        pair_poke(p, stack, value & ~(u64)(RFLAGS_TF | RFLAGS_AC | RFLAGS_VM), 8);
        break;
    case INSN_IRET:
        poke_iret(t, a, stack, insn->operand_size);
        break;
    case INSN_RET_FAR:
        poke_far(t, stack, insn->operand_size, true);
        break;
    case INSN_RET:
        pair_poke(p, stack, CODE + below(PAGE_SIZE), 8);
        break;
    case INSN_INTO: /* that it is taken, test_interpret_modes.c shows */
        a->before.flags &= ~(u64)RFLAGS_OF;
        break;
    case INSN_POP_SEG:
        pair_poke(p, stack, random_selector(), 2);
        break;
    case INSN_JMP_FAR:
    case INSN_CALL_FAR:
    case INSN_LDS:
    case INSN_LES:
    case INSN_LSS:
    case INSN_LFS:
    case INSN_LGS:
        poke_far(t, target, insn->operand_size, false);
        if (one_in(2)) {
            pair_poke(p, target + insn->operand_size, random_selector(), 2);
        }
        break;
    case INSN_MOV_SEG:
    case INSN_LAR:
    case INSN_LSL:
    case INSN_VERR:
    case INSN_VERW:
        pair_poke(p, target, random_selector(), 2);
        for (unsigned i = 0; i < insn->operands; i++) {
            if (insn->op[i].kind == OPERAND_REG && insn->op[i].class == REG_GPR) {
                gpr[insn->op[i].reg] = random_selector() | (u64)below(2) << 20;
            }
        }
        break;
    case INSN_JMP:
    case INSN_CALL:
        if (one_in(2)) {
            pair_poke(p, target, CODE + below(PAGE_SIZE), 8);
            if (insn->op[0].kind == OPERAND_REG && insn->op[0].reg != RSP) {
                gpr[insn->op[0].reg] = CODE + below(PAGE_SIZE);
            }
        }
        break;
    default:
        break;
    }
}

/* The immediate of some: mostly small, or a selector that there is. */
static inline void tame_immediate(struct attempt *a)
{
    unsigned at = a->insn.imm_offset;
    u16 selector = one_in(2) ? NATIVE_CODE32 : random_selector();

    switch (a->insn.id) {
    case INSN_ENTER:
        a->bytes[at + 1] &= 3;
        a->bytes[at + 2] &= one_in(4) ? 0xff : 7;
        break;
    case INSN_JMP_FAR:
    case INSN_CALL_FAR:
        if (a->insn.op[0].kind == OPERAND_FAR) {
            memcpy(a->bytes + a->insn.length - 2, &selector, 2);
        }
        break;
    case INSN_JMP:
    case INSN_CALL:
    case INSN_JCC:
        if (a->mode != INSN_MODE_64 && a->insn.op[0].kind == OPERAND_REL && one_in(2) &&
            a->insn.length - at >= 2) {
            memset(a->bytes + at + 1, a->bytes[at] & 0x80 ? 0xff : 0, a->insn.length - at - 1);
        }
        break;
    default:
        break;
    }
    decode(a);
}

#endif
