/* generate.c - single instructions as cases: see generate.h. */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "state.h"

/* ------------------------------------------------------------------ memory */

u64 draft_target(struct draft *d)
{
    static const u32 edges[] = {0x5000, 0x6000, 0x7000, 0x8000,  0x9000,
                                0xa000, 0xb000, 0xf000, 0x10000, 0x10000};
    struct random *r = d->r;

    switch (random_below(r, 8)) {
    case 0:
        return AREA + RANDOM_OF(r, edges) - random_below(r, 40);
    case 1:
        return AREA + 0x6000 - random_below(r, 40);
    case 2:
        return AREA + random_below(r, 0x10000);
    case 3:
        return (AREA + 0x5000 + random_below(r, 0x1f00)) & ~63ull;
    case 4:
        return (AREA + 0x5000 + random_below(r, 0x1f00)) & ~15ull;
    default:
        return AREA + 0x5000 + random_below(r, 0x1f00);
    }
}

/* ------------------------------------------------------------------ registers */

static u64 value_or_target(struct draft *d)
{
    return random_one_in(d->r, 8) ? draft_target(d) : random_value(d->r);
}

u16 draft_selector(struct draft *d)
{
    static const u16 some[] = {0,
                               1,
                               3,
                               0x23,
                               0x2b,
                               0x28,
                               0x2a,
                               0x33,
                               0x30,
                               0x10,
                               0x18,
                               0x1b,
                               0x40,
                               0x60,
                               0x80,
                               0xfff8,
                               0x2b,
                               0x2b,
                               0x33,
                               LDT_CODE16,
                               0x5f,
                               0x7f,
                               0x7b,
                               0x78,
                               0xfffc,
                               LDT_DATA16,
                               LDT_DOWN,
                               LDT_SMALL,
                               LDT_DATA32,
                               LDT_READ,
                               0x2e,
                               0x2c,
                               LDT_CODE32,
                               LDT_EXECUTE,
                               LDT_ABSENT_CODE,
                               LDT_ABSENT_DATA,
                               LDT_DOWN32};
    return RANDOM_OF(d->r, some);
}

u64 draft_segment_base(const struct draft *d, unsigned segment)
{
    const struct registers *r = &d->c->before;
    const u64 selectors[] = {r->es, r->cs, r->ss, r->ds, r->fs, r->gs};

    if (d->c->mode != INSN_MODE_64) {
        return segment_of_ldt(selectors[segment]);
    }
    return segment < SEG_FS || selectors[segment] ? 0 : segment == SEG_FS ? r->fs_base : r->gs_base;
}

static void random_segments(struct draft *d)
{
    static const u16 data[] = {USER_DATA, USER_DATA, LDT_DATA32, LDT_DATA16, LDT_SMALL,
                               LDT_DOWN,  LDT_READ,  LDT_CODE32, LDT_DOWN32, 0};
    static const u16 stack[] = {USER_DATA, LDT_DATA32, LDT_DATA16, LDT_DOWN, LDT_DOWN32};
    struct registers *r = &d->c->before;
    struct random *n = d->r;

    r->cs = USER_CODE64;
    r->ss = USER_DATA;
    r->ds = random_one_in(n, 4) ? USER_DATA : 0;
    r->es = random_one_in(n, 4) ? USER_DATA : 0;
    if (d->c->mode == INSN_MODE_64) {
        r->fs_base = random_u64(n) >> 17;
        r->gs_base = random_u64(n) >> 17;
        return;
    }
    r->cs = USER_CODE32;
    r->ds = r->es = r->fs = r->gs = USER_DATA;
    if (!d->g->ldt) {
        return;
    }
    r->cs = d->c->mode == INSN_MODE_16 ? LDT_CODE16
            : random_one_in(n, 3)      ? LDT_CODE32
                                       : USER_CODE32;
    r->ss = d->c->mode == INSN_MODE_16 && random_one_in(n, 2) ? LDT_DATA16 : RANDOM_OF(n, stack);
    u64 *segments[] = {&r->ds, &r->es, &r->fs, &r->gs};
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        *segments[i] = random_one_in(n, 3)   ? RANDOM_OF(n, data)
                       : random_one_in(n, 2) ? (u16)LDT_DATA32
                                             : (u16)USER_DATA;
    }
}

static void random_flags(struct draft *d)
{
    u32 flags = RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_NT | RFLAGS_ID;
    struct registers *r = &d->c->before;

    r->flags = (random_u64(d->r) & flags) | RFLAGS_FIXED | RFLAGS_IF;
    if (!random_one_in(d->r, 4)) {
        r->flags &= ~(u64)(RFLAGS_NT | RFLAGS_DF);
    }
    r->flags |= random_one_in(d->r, 16) ? RFLAGS_AC : 0;
    r->flags |= random_one_in(d->r, 24) ? RFLAGS_TF : 0;
}

static void random_fpu(struct draft *d)
{
    static const u32 mxcsr[] = {0x1f80, 0x9f80, 0x1fc0, 0x9fc0, 0x3f80, 0x5f80, 0x7f80,
                                0x1fbf, 0x0000, 0x1f00, 0x1d80, 0x1b80, 0x1780, 0x0f80};
    static const u16 fcw[] = {0x37f, 0x27f, 0x07f, 0x77f, 0xb7f, 0xf7f, 0x37e, 0x37d,
                              0x37b, 0x377, 0x36f, 0x35f, 0x340, 0x040, 0x1340};
    struct fpu_area *area = &d->c->fpu;
    struct random *r = d->r;

    d->c->fpu_seed = random_u64(r);
    state_fill(area, d->c->fpu_seed);
    if (random_one_in(r, 3)) {
        area->mxcsr = RANDOM_OF(r, mxcsr);
    }
    if (random_one_in(r, 3)) {
        area->fcw = RANDOM_OF(r, fcw);
    }
    if (random_one_in(r, 6)) {
        area->fsw |= (u16)(random_u64(r) & 0x7f);
    }
    area->fsw = fpu_fsw_summary(area->fsw, area->fcw);
    if (random_one_in(r, 3)) { /* as compilers leave it; or all full */
        area->ftw = random_one_in(r, 2) ? 0 : 0xff;
    }
}

static void random_start(struct draft *d)
{
    u64 start = CODE + random_below(d->r, 0xf80);

    if (random_one_in(d->r, 8)) {
        start = CODE + PAGE_SIZE * (1 + random_below(d->r, 2)) - 1 - random_below(d->r, 15);
    }
    d->c->before.rip = start - segment_of_ldt(d->c->before.cs);
}

void draft_state(struct draft *d)
{
    struct registers *r = &d->c->before;

    memset(r, 0, sizeof(*r));
    random_segments(d);
    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = value_or_target(d);
    }
    random_flags(d);
    random_fpu(d);
    r->gpr[RSP] = draft_target(d) & (random_one_in(d->r, 3) ? ~0ull : ~7ull);
    r->gpr[RBP] = random_one_in(d->r, 2) ? r->gpr[RSP] + random_below(d->r, 64) : draft_target(d);
    random_start(d);
    if (d->c->mode != INSN_MODE_64) {
        r->gpr[RSP] -= segment_of_ldt(r->ss);
        r->gpr[RBP] -= segment_of_ldt(r->ss);
        for (unsigned i = 0; i < 16; i++) {
            r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
        }
    }
}

/* ------------------------------------------------------------------ operands */

void draft_decode(struct draft *d)
{
    d->decoded = insn_decode(&d->insn, d->c->mode, d->c->code, INSN_MAX_LENGTH);
}

static const struct operand *memory_operand(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return &insn->op[i];
        }
    }
    return NULL;
}

static bool is_string(const struct insn *insn)
{
    return insn->id == INSN_MOVS || insn->id == INSN_STOS || insn->id == INSN_LODS ||
           insn->id == INSN_CMPS || insn->id == INSN_SCAS;
}

static bool is_implicit_di(const struct insn *insn)
{
    return insn->id == INSN_MASKMOVQ || insn->id == INSN_MASKMOVDQU || insn->id == INSN_VMASKMOVDQU;
}

/* Write what a displacement has to be into the bytes. */
static void aim_displacement(struct draft *d, u64 offset)
{
    const struct insn *insn = &d->insn;
    bool is_moffs = !insn->has_modrm;
    unsigned size = is_moffs || insn->address_size == 2 ? insn->address_size : 4;
    unsigned at = is_moffs ? insn->opcode_offset + 1u : insn->imm_offset - size;

    if (insn->mem.base == MEM_RIP) {
        offset -= d->c->before.rip + insn->length;
    }
    memcpy(d->c->code + at, &offset, size);
    draft_decode(d);
}

/* Aim the memory operand at a linear address, by its base, its index or its displacement. */
static void aim(struct draft *d, u64 target)
{
    const struct insn *insn = &d->insn;
    u64 *gpr = d->c->before.gpr, index = 0;
    u64 offset = target - draft_segment_base(d, insn->mem.segment);
    bool is64 = d->c->mode == INSN_MODE_64;

    if (insn->mem.base < 16) {
        u64 *base = &gpr[insn->mem.base];
        if (insn->mem.index < 16 && !insn->mem.vsib) {
            index = gpr[insn->mem.index] << insn->mem.scale;
        }
        if (insn->mem.index == insn->mem.base && !insn->mem.vsib) {
            *base = (offset - (u64)insn->mem.disp) / (1 + BIT(insn->mem.scale));
        } else {
            *base = offset - (u64)insn->mem.disp - index;
        }
        if (insn->address_size < 8 && is64 && insn->mem.base != RSP) {
            *base += random_u64(d->r) << 32;
        }
        *base = is64 ? *base : (u32)*base;
    } else if (insn->mem.index < 16 && !insn->mem.vsib) {
        gpr[insn->mem.index] = (offset - (u64)insn->mem.disp) >> insn->mem.scale;
    } else {
        aim_displacement(d, offset);
    }
}

static void aim_strings(struct draft *d)
{
    struct random *r = d->r;
    u64 *gpr = d->c->before.gpr;
    u64 from = draft_target(d);
    u64 to = random_one_in(r, 2) ? draft_target(d) : from + random_below(r, 64) - 32;

    gpr[RSI] = from - draft_segment_base(d, d->insn.mem.segment);
    gpr[RDI] = to - draft_segment_base(d, SEG_ES);
    gpr[RCX] = random_one_in(r, 8) ? random_below(r, 0x1800) : random_below(r, 40);
    if (d->insn.id == INSN_STOS || d->insn.id == INSN_SCAS) {
        gpr[RAX] = random_one_in(r, 2) ? 0x6161616161616161 : gpr[RAX];
    }
    if (d->c->mode != INSN_MODE_64) {
        gpr[RSI] = (u32)gpr[RSI];
        gpr[RDI] = (u32)gpr[RDI];
    }
    if (d->insn.address_size == 2 && random_one_in(r, 2)) {
        gpr[RCX] |= random_u64(r) & 0xffff0000;
    } else if (d->insn.address_size == 4 && d->c->mode == INSN_MODE_64 && random_one_in(r, 2)) {
        gpr[RCX] |= random_u64(r) << 32;
    }
}

static bool is_state_image(const struct insn *insn)
{
    return insn->id == INSN_FXSAVE || insn->id == INSN_FXRSTOR || insn->id == INSN_XSAVE ||
           insn->id == INSN_XSAVEC || insn->id == INSN_XSAVEOPT || insn->id == INSN_XRSTOR;
}

/* Where the instruction wants alignment, mostly aligned; an image of all the state mostly where it
 * has room. */
static u64 suitable_target(struct draft *d)
{
    u64 target = draft_target(d);

    if (random_one_in(d->r, 4)) {
        return target;
    }
    if (is_state_image(&d->insn)) {
        target = AREA + (random_one_in(d->r, 2) ? 0x5000 : 0x9000) + random_below(d->r, 0x1c00);
        return target & ~63ull;
    }
    return insn_row(&d->insn)->attributes & ATTR_ALIGN16 ? target & ~31ull : target;
}

/* Aim what memory operand there is.  Returns where. */
static u64 aim_operand(struct draft *d)
{
    u64 target = suitable_target(d);

    if (d->c->mode == INSN_MODE_64 && random_one_in(d->r, 40)) {
        target = BIT(47) - random_below(d->r, 16); /* where canonical addresses end */
    }
    if (d->g->aligned_locks && (d->insn.lock || d->insn.id == INSN_XCHG)) {
        target &= ~15ull;
    }
    if (is_string(&d->insn)) {
        aim_strings(d);
    } else if (is_implicit_di(&d->insn)) {
        d->c->before.gpr[RDI] = target - draft_segment_base(d, d->insn.mem.segment);
        if (d->c->mode != INSN_MODE_64) {
            d->c->before.gpr[RDI] = (u32)d->c->before.gpr[RDI];
        }
    } else if (memory_operand(&d->insn)) {
        aim(d, target);
    }
    return target;
}

/* ------------------------------------------------------------------ single instructions */

/* May bytes that our decoder finds undefined be executed here?  Not where other processors have
 * instructions that would do harm, or wait. */
static bool may_try_undefined(const struct draft *d)
{
    const struct insn *insn = &d->insn;

    if (insn->length > 6 && d->decoded == INSN_UNDEFINED) {
        return false; /* how long an undefined instruction is, is a question of its own */
    }
    if (insn->vex) {
        return true;
    }
    if (insn->map == 1) {
        return insn->opcode != 0x01 && insn->opcode != 0x05 && insn->opcode != 0x34 &&
               insn->opcode != 0xae && insn->opcode != 0xc7;
    }
    return true;
}

static bool finish_undefined(struct draft *d)
{
    struct diff_case *c = d->c;

    if (!may_try_undefined(d)) {
        return false;
    }
    c->kind = CASE_UNDEFINED;
    /* Only what the decoder has looked at: INT3s follow, should the host know the instruction. */
    c->code_size = d->insn.length;
    if (d->decoded == INSN_UNDEFINED && case_start(c) >= CODE + PAGE_SIZE) {
        c->before.rip -= PAGE_SIZE; /* nor whether its last bytes can be fetched */
    }
    case_keep_stack_pointer(d->c);
    return true;
}

static struct draft start_draft(const struct generator *g, struct random *r, unsigned row,
                                enum insn_mode mode, struct diff_case *c)
{
    c->mode = (u8)mode;
    c->kind = CASE_SINGLE;
    c->row = (u16)row;
    c->pokes = 0;
    c->alone = random_one_in(r, 2);
    return (struct draft){.g = g, .r = r, .c = c};
}

bool generate_single(const struct generator *g, struct random *r, unsigned row, enum insn_mode mode,
                     struct diff_case *c)
{
    struct draft d = start_draft(g, r, row, mode, c);

    encode_row(&g->encodings, r, row, mode, c->code);
    draft_decode(&d);
    draft_state(&d);
    if (d.decoded == INSN_UNDEFINED || d.decoded == INSN_TOO_LONG) {
        return finish_undefined(&d);
    }
    if (d.decoded != INSN_OK) {
        return false;
    }
    refine_immediate(&d);
    u64 target = aim_operand(&d);
    if (d.decoded != INSN_OK) {
        return false;
    }
    refine_operands(&d, target);
    refine_vector_state(&d);
    case_keep_stack_pointer(c);
    c->row = d.insn.row;
    c->code_size = d.insn.length;
    return true;
}

bool generate_no_row(const struct generator *g, struct random *r, enum insn_mode mode,
                     struct diff_case *c)
{
    struct draft d = start_draft(g, r, CASE_NO_ROW, mode, c);

    if (!encode_no_row(r, mode, c->code)) {
        return false;
    }
    draft_decode(&d);
    draft_state(&d);
    return d.decoded == INSN_UNDEFINED && finish_undefined(&d);
}
