/* survey.h - the three properties of a VMM, checked on many random programs. */
#ifndef LAB_SURVEY_H
#define LAB_SURVEY_H

#include "random.h"
#include "virtual.h"

enum verdict {
    HOLDS,
    NOT_EQUIVALENT, /* the virtual machine is in another state than a machine of the program's own
                     */
    NOT_CONFINED,   /* resource control: the program got at what is not its own */
    NOT_EFFICIENT,  /* an innocuous instruction was not executed directly */
};

enum { PROGRAM_STEPS = 300 }; /* how long a program may run; with monitors of its own, ten times */

/* How many steps, and how many instructions of the real machine they took. */
struct tally {
    uint64_t steps, cost;
};

struct survey {
    unsigned programs; /* that were run */
    unsigned halted;
    enum verdict verdict;               /* at what the survey ended; HOLDS if it is through */
    word program[RANDOM_PROGRAM_WORDS]; /* the one at which it ended */

    struct tally direct;      /* executed by the processor itself, in one step */
    struct tally interpreted; /* by an interpreter routine, without a trap */
    struct tally trapped;     /* into the program's own trap handler */

    /* For each code, in supervisor and user mode, steps without a trap and with one.  Codes that
     * there are not, and fetches that trap, are counted under OPS. */
    uint64_t seen[OPS + 1][2][2];
};

/*
 * Run random programs, until one does not go as it should.  By theorem 1 all innocuous instructions
 * run directly; by theorem 3, those in user mode.
 */
void survey(struct random *random, const struct setup *setup, unsigned theorem, unsigned programs,
            struct survey *result);

/* Does only one of the machines halt, or do both, with different words in their storages? */
bool ends_differently(struct pair *pair, const struct setup *setup, const word *program);

/*
 * Find a random program that ends differently, among so many, and take away what it does not need
 * for that; of several, choose the smallest.  Returns how many words of it are not 0; 0 if none was
 * found.
 */
unsigned find_failure(struct random *random, const struct setup *setup, unsigned programs,
                      word *program);

#endif
