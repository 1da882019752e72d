/*
 * generate.h - cases: an instruction of a given row, or of none, or a sequence, with registers and
 * memory that make it do something.
 *
 * Random bytes alone would fault nearly always: a memory operand is aimed at the area (mostly where
 * it can be accessed, often where a page ends), and a stack, count, selector, divisor or saved
 * state is made one that the instruction can use.
 */
#ifndef TESTS_DIFF_GENERATE_H
#define TESTS_DIFF_GENERATE_H

#include "case.h"
#include "encode.h"
#include "random.h"

struct generator {
    struct encodings encodings;
    bool ldt;           /* there are segments of the LDT */
    bool aligned_locks; /* the host's kernel punishes locked operands that cross a cache line */
    bool (*usable)(void *context, unsigned row); /* may the row stand in a sequence? */
    void *context;
};

/* All draw from *r alone: the same *r gives the same case.  False: nothing came of it. */
bool generate_single(const struct generator *g, struct random *r, unsigned row, enum insn_mode mode,
                     struct diff_case *c);
bool generate_no_row(const struct generator *g, struct random *r, enum insn_mode mode,
                     struct diff_case *c);
bool generate_sequence(const struct generator *g, struct random *r, enum insn_mode mode,
                       struct diff_case *c);

/* ------------------------------------------------------------------ shared by generate.c, refine.c
 * and sequence.c */

/* A case while it is made. */
struct draft {
    const struct generator *g;
    struct random *r;
    struct diff_case *c;
    struct insn insn;
    enum insn_result decoded;
};

/* Somewhere in the area, mostly in data pages, often where they end. */
u64 draft_target(struct draft *d);

u16 draft_selector(struct draft *d);

/* The base of a segment with the registers as they are before the case. */
u64 draft_segment_base(const struct draft *d, unsigned segment);

/* Registers, flags, segments and vector state at random; rIP too. */
void draft_state(struct draft *d);

/* Read c->code into insn and decoded again, after a change. */
void draft_decode(struct draft *d);

/* refine.c: before the memory operand is aimed, after it was at target, and the vector state. */
void refine_immediate(struct draft *d);
void refine_operands(struct draft *d, u64 target);
void refine_vector_state(struct draft *d);

#endif
