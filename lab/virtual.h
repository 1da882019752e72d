/*
 * virtual.h - a program on a machine of its own, beside the same program on a virtual machine.
 *
 * The virtual machine map f of the paper takes a state of the machine to the state of a machine
 * that has a monitor in it and, behind the monitor, the former's storage.  The proof of equivalence
 * says that f(i(S)) = i'(f(S)) for every instruction i, where i' is what the other machine does for
 * it: the same instruction, or a trap and the monitor's work.  Here both machines run in step, and
 * after each instruction f is undone and the states are compared: E, M, P, R.
 *
 *     0          end                2 end                   q            + GUARD_WORDS
 *     +----------+------------------+-----------------------+------------+
 *     | monitor  | monitor          | the program           | guard      |
 *     +----------+------------------+-----------------------+------------+
 *                 <- storage of the first virtual machine ->
 *                                    <- of the second ----->
 */
#ifndef LAB_VIRTUAL_H
#define LAB_VIRTUAL_H

#include "assemble.h"

enum { GUARD_WORDS = 32, STORAGE_WORDS = 4096 };

struct monitor {
    struct program program;
    enum kind kind; /* of the machines that it is for */
    bool hybrid;
    word start, again, end; /* where its code begins, goes on with the guest, and ends */
    word vM, vP, vl, vb;    /* where it keeps the guest's PSW */
};

/* What is compared. */
struct setup {
    const struct monitor *monitor;
    unsigned depth;     /* how many monitors the virtual machine stands on: itself inside itself */
    unsigned carried;   /* how many more of them belong to the program: they run on both machines */
    word program_words; /* the storage of the program, without these */
};

/* What one step of the program was, and what it took. */
struct step {
    word op;        /* its code; OPS if it could not be fetched */
    bool user;      /* the program was in user mode */
    enum trap trap; /* on the machine of its own */
    unsigned cost;  /* instructions of the real machine; 0 if the virtual machine was lost */
};

struct pair {
    struct setup setup;
    struct machine bare;  /* the program on a machine of its own */
    struct machine real;  /* the machine with the monitors */
    struct machine inner; /* the virtual machine: f undone; its E lies in that of real */
    bool escaped;         /* resource control was lost */

    /* Called before each step of the real machine, unless it is NULL. */
    void (*watch)(void *context, const struct machine *real);
    void *context;

    word bare_E[STORAGE_WORDS];
    word real_E[STORAGE_WORDS];
};

/* Assemble the VMM of theorem 1, or the hybrid VMM of theorem 3, for this kind of machine. */
void monitor_build(struct monitor *monitor, bool hybrid, enum kind kind);

/*
 * Load the program, setup->program_words words, into both machines, and let the monitors start.
 * Returns false if the virtual machine does not get there.
 */
bool pair_start(struct pair *pair, const struct setup *setup, const word *program);

/* Let the program do one step in both. */
struct step pair_step(struct pair *pair);

/* Are the machine and the virtual machine in the same state? */
bool pair_same(const struct pair *pair);

/* Are at least their storages the same, and have both halted or neither? */
bool pair_same_result(const struct pair *pair);

#endif
