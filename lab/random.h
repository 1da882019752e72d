/*
 * random.h - random programs for the machine of machine.h.
 *
 * Words at random would trap at once.  These programs are made of instructions, whose operands are
 * mostly addresses of instructions, of data or of what the machine knows; their data are mostly
 * PSWs and pointers; their new PSW is mostly of use, and most have a trap handler that returns, or
 * one that halts. A few words of each are anything at all.
 */
#ifndef LAB_RANDOM_H
#define LAB_RANDOM_H

#include "machine.h"

struct random {
    uint64_t state; /* not 0 */
};

/* A random number below limit, which is not 0. */
word random_below(struct random *random, word limit);

enum { RANDOM_PROGRAM_WORDS = 160 };

/* Fill program, RANDOM_PROGRAM_WORDS words, for this kind of machine. */
void random_program(struct random *random, enum kind kind, word *program);

#endif
