/*
 * case.h - a case: instructions with the state before them, and what came of them.
 *
 * A case runs from its first instruction to its first exception.  Mostly that is the #BP of the
 * INT3 after the last instruction, for all of the code pages' rest is INT3.
 */
#ifndef TESTS_DIFF_CASE_H
#define TESTS_DIFF_CASE_H

#include <stdlib.h>
#include <string.h>

#include "area.h"
#include "base/types.h"
#include "cpu/fpu.h"
#include "isa/insn.h"

#define CASE_CODE_MAX 400
#define CASE_POKES    16
#define CASE_CHANGES  256

enum case_kind {
    CASE_SINGLE,    /* one instruction of the table: row */
    CASE_SEQUENCE,  /* several */
    CASE_UNDEFINED, /* one that the decoder says is undefined, or too long; row: what it was made
                     * of, or CASE_NO_ROW
                     */
};

#define CASE_NO_ROW 0xffff

struct registers {
    u64 gpr[16]; /* in the manual's order */
    u64 rip, flags;
    u64 cs, ss, ds, es, fs, gs;
    u64 fs_base, gs_base; /* before: used where the selector is null */
};

struct poke {
    u64 address, value;
    u8 size;
};

struct diff_case {
    struct fpu_area fpu __attribute__((aligned(64)));
    u64 fpu_seed; /* what st, xmm and ymm_high were made from: state.h */
    struct registers before;
    u8 kind;    /* enum case_kind */
    u8 mode;    /* enum insn_mode */
    bool alone; /* the interpreter takes each instruction by itself, not in lines */
    u16 row;
    u16 code_size;
    u8 code[CASE_CODE_MAX];
    u8 pokes;
    struct poke poke[CASE_POKES];
};

struct change {
    u16 offset; /* in the area, of 8 bytes */
    u64 value;
};

struct outcome {
    struct fpu_area fpu __attribute__((aligned(64)));
    struct registers after;
    u8 vector;
    u32 error;
    u64 cr2;           /* of #PF */
    bool code_changed; /* of the first instruction, or of what follows it */
    u32 changes;       /* of memory: how many words */
    u64 rest;          /* a hash of those for which there is no room */
    struct change change[CASE_CHANGES];
};

/* Zeroed memory for what is aligned to 64. */
static inline void *case_alloc(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, size);
    if (!memory) {
        abort();
    }
    return memset(memory, 0, size);
}

/* The base of a segment of 16- or 32-bit code. */
static inline u64 segment_of_ldt(u64 selector)
{
    return selector & 4 ? AREA : 0;
}

/* The linear address of the first instruction. */
static inline u64 case_start(const struct diff_case *c)
{
    return c->before.rip + segment_of_ldt(c->before.cs);
}

/* On the host IRETQ loads only SP where SS is a 16-bit segment: so ESP's upper half has to be what
 * that of its frame's address is. */
static inline void case_keep_stack_pointer(struct diff_case *c)
{
    struct registers *r = &c->before;
    bool is_small = r->ss == LDT_DATA16 || r->ss == LDT_DOWN;

    if (c->mode != INSN_MODE_64 && is_small) {
        r->gpr[RSP] = (FRAME & 0xffff0000) | (u16)r->gpr[RSP];
    }
}

/* Add a write of memory before the case starts.  Ignored outside of what can be written, over the
 * code and the INT3s after it, and where the case has no more room. */
static inline void case_poke(struct diff_case *c, u64 address, u64 value, unsigned size)
{
    u64 start = case_start(c);
    bool over_code = address + size > start && address < start + 2 * INSN_MAX_LENGTH;

    if (c->pokes < CASE_POKES && area_has(address, size) && !over_code) {
        c->poke[c->pokes++] = (struct poke){address, value, (u8)size};
    }
}

#endif
