/*
 * sequence.c - several instructions as a case: flags and registers that pass from one handler to
 * the next, lines of code with branches in them, and code that changes itself.
 *
 * A block of up to 20 instructions with branches among them and, half the time, a loop around them.
 * rSP, rBP, rSI and rDI point into data and are left alone by most, so that memory operands find
 * something.
 */
#include <string.h>

#include "cpu/cpu.h"
#include "generate.h"

#define BLOCK_INSNS 20
#define BLOCK_BYTES (CASE_CODE_MAX - 32)

/* What counts the rounds of the loop in 32-bit code; in 64-bit code r15 does. */
#define COUNTER (AREA + 0xa800)

static bool writes_pointer(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct operand *o = &insn->op[i];
        if (o->kind == OPERAND_REG && o->class == REG_GPR && o->written && o->reg >= RSP &&
            o->reg <= RDI) {
            return true;
        }
    }
    return insn->id == INSN_LEAVE || insn->id == INSN_ENTER || insn->id == INSN_POPA;
}

/* Instructions that stay in the block. */
static bool is_fit(const struct draft *d)
{
    const struct insn *insn = &d->insn;
    const struct insn_row *row = insn_row(insn);

    return d->decoded == INSN_OK && row->classes == CLASS_INNOCUOUS &&
           !(row->attributes & (ATTR_BRANCH | ATTR_CPL0)) && !writes_pointer(insn) &&
           d->g->usable(d->g->context, insn->row) &&
           !(d->g->aligned_locks && (insn->lock || insn->id == INSN_XCHG));
}

/* Is its memory operand where the pointers are? */
static bool is_placed(const struct insn *insn, enum insn_mode mode)
{
    unsigned wide = mode == INSN_MODE_64 ? 8 : mode == INSN_MODE_32 ? 4 : 2;
    const struct insn_mem *mem = &insn->mem;

    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return mem->base < 16 && mem->base >= RSP && mem->base <= RDI &&
                   mem->index == MEM_NO_REG && mem->disp < 0x400 && mem->disp > -0x400 &&
                   insn->address_size == wide && mem->segment < SEG_FS && mem->segment != SEG_CS;
        }
    }
    return true;
}

static void append_instruction(struct draft *d, enum insn_mode mode)
{
    struct diff_case *c = d->c;
    u8 bytes[ENCODE_BYTES];

    for (unsigned tries = 0; tries < 2000; tries++) {
        unsigned row = (unsigned)random_below(d->r, INSN_ROWS);
        if (!encode_possible(row, mode) || !d->g->usable(d->g->context, row)) {
            continue;
        }
        encode_row(&d->g->encodings, d->r, row, mode, bytes);
        d->decoded = insn_decode(&d->insn, mode, bytes, INSN_MAX_LENGTH);
        if (is_fit(d) && is_placed(&d->insn, mode)) {
            memcpy(c->code + c->code_size, bytes, d->insn.length);
            c->code_size += d->insn.length;
            return;
        }
    }
}

static void append(struct diff_case *c, const void *bytes, unsigned size)
{
    memcpy(c->code + c->code_size, bytes, size);
    c->code_size += (u16)size;
}

/* Back to the start as long as there are rounds. */
static void append_loop(struct diff_case *c)
{
    static const u8 dec_r15[] = {0x49, 0xff, 0xcf}, dec_memory[] = {0xff, 0x0d},
                    jnz[] = {0x0f, 0x85};
    u32 counter = COUNTER;

    if (c->mode == INSN_MODE_64) {
        append(c, dec_r15, sizeof(dec_r15));
    } else {
        append(c, dec_memory, sizeof(dec_memory));
        append(c, &counter, 4);
    }
    append(c, jnz, sizeof(jnz));
    u32 back = -(c->code_size + 4u);
    append(c, &back, 4);
}

/* A branch to be aimed: JMP, CALL or JCC with rel8 or rel32 (in 16-bit code rel16), LOOP, JCXZ. */
static unsigned append_branch(struct draft *d)
{
    static const u8 short_ones[] = {0xeb, 0xe0, 0xe1, 0xe2, 0xe3};
    struct diff_case *c = d->c;
    unsigned wide = c->mode == INSN_MODE_16 ? 2 : 4;
    u8 bytes[6] = {0};

    if (random_one_in(d->r, 3)) {
        unsigned kind = (unsigned)random_below(d->r, 3);
        unsigned size = kind == 2 ? 2 : 1;
        bytes[0] = kind == 2 ? 0x0f : kind ? 0xe8 : 0xe9;
        bytes[1] = (u8)(0x80 | random_below(d->r, 16));
        append(c, bytes, size);
        append(c, (const u8[4]){0}, wide);
        return wide;
    }
    bytes[0] =
        random_one_in(d->r, 3) ? RANDOM_OF(d->r, short_ones) : (u8)(0x70 | random_below(d->r, 16));
    append(c, bytes, 2);
    return 1;
}

/* Write the displacement that ends at `end` so that it leads to `to`, if it has room. */
static void aim_branch(struct diff_case *c, unsigned end, unsigned size, unsigned to)
{
    s32 distance = (s32)to - (s32)end;

    if (size > 1 || (distance <= INT8_MAX && distance >= INT8_MIN)) {
        memcpy(c->code + end - size, &distance, size);
    }
}

/* A store into the code: over one of two NOPs at its start, to which a branch or the loop may
 * lead. */
static void append_store(struct draft *d, unsigned nop)
{
    static const u8 instead[] = {0xf5, 0xf8, 0xf9, 0x98, 0x99, 0x91, 0x92, 0x93, 0x9e, 0x9f};
    struct diff_case *c = d->c;
    u8 byte = RANDOM_OF(d->r, instead);
    u32 address = (u32)(c->before.rip + nop);

    if (c->mode == INSN_MODE_64) {
        address = nop - (c->code_size + 7u);
    }
    append(c, (const u8[]){0xc6, c->mode == INSN_MODE_16 ? 0x06 : 0x05}, 2);
    append(c, &address, c->mode == INSN_MODE_16 ? 2 : 4);
    append(c, &byte, 1);
}

struct branch {
    unsigned insn, end, size; /* which of the block; where its displacement ends, and its bytes */
};

static void build_block(struct draft *d)
{
    unsigned starts[BLOCK_INSNS + 1], insns, branches = 0, nop = 0;
    unsigned wanted = 2 + (unsigned)random_below(d->r, BLOCK_INSNS - 1);
    bool changes_itself = random_one_in(d->r, 4);
    struct branch branch[BLOCK_INSNS];
    struct diff_case *c = d->c;

    c->code_size = 0;
    if (changes_itself) {
        nop = (unsigned)random_below(d->r, 2);
        append(c, (const u8[]){0x90, 0x90}, 2);
    }
    for (insns = 0; insns < wanted && c->code_size < BLOCK_BYTES - INSN_MAX_LENGTH; insns++) {
        starts[insns] = c->code_size;
        if (random_one_in(d->r, 5)) {
            branch[branches].insn = insns;
            branch[branches].size = append_branch(d);
            branch[branches++].end = c->code_size;
        } else if (changes_itself && random_one_in(d->r, 4)) {
            append_store(d, nop);
        } else {
            append_instruction(d, c->mode);
        }
    }
    starts[insns] = c->code_size;
    for (unsigned k = 0; k < branches; k++) { /* mostly forward, or it would often never end */
        unsigned first = random_one_in(d->r, 8) ? 0 : branch[k].insn + 1;
        unsigned to = first + (unsigned)random_below(d->r, insns + 1 - first);
        aim_branch(c, branch[k].end, branch[k].size, starts[to]);
    }
    if (c->mode != INSN_MODE_16 && random_one_in(d->r, 2)) {
        append_loop(c);
        case_poke(c, COUNTER, 1 + random_below(d->r, 4), 4);
    }
}

static void aim_pointers(struct draft *d)
{
    struct registers *r = &d->c->before;
    struct random *n = d->r;
    u64 base = draft_segment_base(d, SEG_SS), data = draft_segment_base(d, SEG_DS);

    r->gpr[RSP] = AREA - base + 0x5800 + random_below(n, 64) * 8;
    r->gpr[RBP] = AREA - base + 0x5800 + random_below(n, 0x200);
    r->gpr[RSI] = AREA - data + 0x5e00 + random_below(n, 0x400); /* pages meet there */
    r->gpr[RDI] = AREA - data + 0x9800 + random_below(n, 0x400);
    if (random_one_in(n, 2)) { /* aligned */
        for (unsigned i = RSP; i <= RDI; i++) {
            r->gpr[i] &= ~15ull;
        }
    }
    r->gpr[15] = d->c->mode == INSN_MODE_64 ? 1 + random_below(n, 4) : 0;
    r->gpr[RCX] = random_one_in(n, 2) ? random_below(n, 40) : r->gpr[RCX];
}

/* Segments with which the pointers' memory is there. */
static void plain_segments(struct draft *d)
{
    struct registers *r = &d->c->before;

    if (d->c->mode == INSN_MODE_16) {
        r->cs = LDT_CODE16;
        r->ss = r->ds = r->es = random_one_in(d->r, 2) ? (u16)LDT_DATA16 : (u16)LDT_DATA32;
    } else if (d->c->mode == INSN_MODE_32) {
        r->cs = USER_CODE32;
        r->ss = r->ds = r->es = USER_DATA;
    }
}

bool generate_sequence(const struct generator *g, struct random *r, enum insn_mode mode,
                       struct diff_case *c)
{
    struct draft d = {.g = g, .r = r, .c = c};

    c->mode = (u8)mode;
    c->kind = CASE_SEQUENCE;
    c->row = 0;
    c->pokes = 0;
    c->alone = random_one_in(r, 6);
    draft_state(&d);
    plain_segments(&d);
    c->before.flags &= ~(u64)(RFLAGS_AC | RFLAGS_NT | (random_one_in(r, 12) ? 0 : RFLAGS_TF));
    aim_pointers(&d);
    c->before.rip = CODE + random_below(r, 0x1f00 - CASE_CODE_MAX) - segment_of_ldt(c->before.cs);
    build_block(&d);
    case_keep_stack_pointer(c);
    return true;
}
