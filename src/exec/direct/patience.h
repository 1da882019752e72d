/*
 * patience.h - how long user code is interpreted before the host's CPU is given it.
 *
 * Each way into guest code and out again is a signal, and each page that its mirror has not is a
 * miss: microseconds, in which the interpreter does hundreds or thousands of instructions.  A
 * program that enters the kernel after a few hundred is better interpreted throughout, and one that
 * computes for a millisecond is not.  Nobody knows beforehand which it will be; so interpret for
 * about as long as entering would cost, and then enter: never more than twice what the better of
 * the two would have taken.  And see what came of it, so that the next time the guess is better.
 *
 *      a visit    user mode from its entry to the next entry of the kernel: costs a signal
 *      a tenure   the time for which the mirror holds one address space: costs its misses
 *
 * For both there is a patience, in instructions, which each address space has for itself: doubled
 * when it turned out that entering did not pay, halved when it did.  Something did not pay if it
 * took longer than the interpreter would have.
 *
 * Whatever is decided, the guest cannot tell but by its speed.
 */
#ifndef EXEC_DIRECT_PATIENCE_H
#define EXEC_DIRECT_PATIENCE_H

#include "base/types.h"

#define PATIENCE_SPACES 64u

/* Instructions, as powers of two. */
#define PATIENCE_VISIT_MIN    8
#define PATIENCE_VISIT_START  10
#define PATIENCE_VISIT_MAX    22
#define PATIENCE_TENURE_MIN   11
#define PATIENCE_TENURE_START 15
#define PATIENCE_TENURE_MAX   20

/* What things cost, on hosts of today. */
#define PATIENCE_TRAP_NS    2500 /* a signal, with what is around it */
#define PATIENCE_RUN_NS     5000 /* a run that has done something; the trap varies too much to tell */
#define PATIENCE_MISS_NS    6500 /* a piece of the mirror: trap, walk, mmap */
#define PATIENCE_SPEED_UP   8    /* of user code, when the host's CPU runs it */
#define PATIENCE_GIVE_UP_NS 40000

struct patience_space {
    u64 root;          /* of its page tables */
    u8 visit, tenure;  /* log2 of instructions */
    u8 missed_chances; /* long visits that were interpreted to their end */
};

struct patience {
    struct patience_space spaces[PATIENCE_SPACES];
    bool visiting;
    bool entered;     /* the host's CPU has run some of this visit */
    u64 root;         /* of the current space */
    u64 owner;        /* of the space that the mirror holds; PATIENCE_NOBODY: none yet */
    u64 interpreted;  /* instructions of this visit */
    u64 visit_left;   /* instructions to be interpreted before guest code is entered */
    u64 tenure_left;  /* the same, while the mirror is another space's */
    u64 drops;        /* of the mirror, when last looked at */
    s64 visit_won_ns; /* by not interpreting: less than nothing if it did not pay */
    s64 tenure_won_ns;
};

#define PATIENCE_NOBODY UINT64_MAX

void patience_init(struct patience *p);

/* User mode of the space of that root is about to be executed: a visit begins, unless it goes on.
 */
void patience_enter(struct patience *p, u64 root);

/* User mode has been left. */
void patience_leave(struct patience *p);

/* How many instructions are to be interpreted now?  0: the host's CPU is given them. */
u64 patience_left(const struct patience *p);

void patience_interpreted(struct patience *p, u64 instructions);

/* The mirror is the current space's now, and has dropped so many pieces as yet. */
void patience_take(struct patience *p, u64 drops);

/* The host's CPU has run guest code, for run_ns with the signal that ended it.  That was a miss
 * which filled a piece of the mirror, or not; drops as above. */
void patience_ran(struct patience *p, u64 run_ns, bool filled, u64 drops);

#endif
