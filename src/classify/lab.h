/*
 * lab.h - the laboratory: a CPU with RAM and the interpreter on it, on which one instruction at a
 * time is executed from any state.
 *
 * Only for a process that was forked for it: the thunks of the interpreter want SIGFPE and SIGILL.
 */
#ifndef CLASSIFY_LAB_H
#define CLASSIFY_LAB_H

#include "classify/state.h"
#include "cpu/fpu.h"

/* What a program has besides its registers. */
struct lab_memory {
    u8 code[INSN_MAX_LENGTH];
    u8 data[DATA_BYTES];
    struct fpu_area fpu;
};

struct lab_outcome {
    bool completed;
    u8 vector; /* the exception, if it was not */
    struct machine_state state;
    u8 data[DATA_BYTES];
    struct fpu_area fpu;
};

struct lab;

/* NULL: no memory. */
struct lab *lab_new(void);
void lab_destroy(struct lab *lab);

/* What XCR0 may have here, and the state after power-on of MSRs and local APIC. */
u64 lab_xcr0(struct lab *lab);
void lab_power_on(struct lab *lab, struct machine_state *state);

/* Take the signals that thunks may raise. */
bool lab_signals(struct lab *lab);

/* The code, for all following runs. */
void lab_put_code(struct lab *lab, const u8 bytes[INSN_MAX_LENGTH]);

/* Execute the instruction at before->rip. */
void lab_run(struct lab *lab, enum code_kind kind, const struct machine_state *before,
             const struct lab_memory *memory, struct lab_outcome *outcome);

/* What differs between two outcomes in what is the program's own (E and P): its name, or NULL. */
const char *lab_difference(const struct lab_outcome *a, const struct lab_outcome *b);

#endif
