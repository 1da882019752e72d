/*
 * sample.h - random states of a program in which an instruction can show what it does.
 *
 * Nothing here is made for a particular instruction.  Registers, the memory operand, the stack and
 * immediates are filled with what system code deals with: selectors, pointers to code and data,
 * frames of interrupts and far calls, values that control registers may have, numbers of MSRs,
 * small numbers; in many mixtures, so that chance finds the one that an instruction wants.
 */
#ifndef CLASSIFY_SAMPLE_H
#define CLASSIFY_SAMPLE_H

#include "classify/lab.h"

struct chance {
    u64 state; /* not 0 */
};

struct sample {
    struct insn insn;
    u64 gpr[16];
    u32 flags; /* the program's: arithmetic, DF, NT, ID */
    struct lab_memory memory;
};

u64 chance_u64(struct chance *chance);
u64 chance_below(struct chance *chance, u64 limit);

/* A sample of the row.  False: this kind of code has no such instruction, or not this time. */
bool sample_make(struct sample *sample, unsigned row, enum code_kind kind, struct chance *chance);

enum insn_mode sample_mode(enum code_kind kind);

#endif
