/*
 * classify.h - the paper's classes of instructions, found by its definitions.
 *
 * The definitions say "there are states such that...".  So states are made at random, the
 * instruction is performed in them, and the class is what was seen.  A class that is claimed has a
 * witness; that an instruction is innocuous means that no witness was found in many thousands of
 * states.
 */
#ifndef LAB_CLASSIFY_H
#define LAB_CLASSIFY_H

#include "random.h"

struct classes {
    /* In all states S1 = <e, s, p, r> and S2 = <e, u, p, r> in which it does not memory-trap: it
     * traps in S2 and not in S1. */
    bool privileged;

    /* There is a state in which it does not trap, and changes M or R, or halts. */
    bool control_sensitive;

    /* There are two states that differ in l only, and accordingly in where the words that R names
     * lie; it traps in neither; and it does not do the same to these words and to P. */
    bool location_sensitive;

    /* As before, but the states differ in M only. */
    bool mode_sensitive;

    /* It is sensitive in supervisor mode; in user mode.  (An instruction that is sensitive only in
     * that it tells one mode from the other is neither: a monitor that keeps to theorem 3 never
     * runs it in the wrong mode.) */
    bool supervisor_sensitive, user_sensitive;
};

struct classes classify(struct random *random, enum kind kind, enum op op);

bool is_sensitive(const struct classes *classes);

#endif
