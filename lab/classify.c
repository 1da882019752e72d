/* classify.c - performs an instruction in pairs of random states, and sees what differs. */
#include "classify.h"

#include <string.h>

enum { Q = 128, WINDOW = 40, TRIES = 20000 };

/* A machine with a storage of its own, and how its step went. */
struct trial {
    word E[Q];
    struct machine m, before;
    enum trap trap;
};

/* The state <E, M, P, (l, b)> in which the words at l are those at window. */
static void place(struct trial *trial, enum kind kind, const word *window, word M, word P, word l,
                  word b)
{
    memset(trial->E, 0, sizeof trial->E);
    memcpy(trial->E + l, window, WINDOW * sizeof(word));
    trial->m =
        (struct machine){.kind = kind, .E = trial->E, .q = Q, .M = M, .P = P, .l = l, .b = b};
    trial->before = trial->m;
}

/* Words that are mostly addresses, with the instruction at P. */
static void make_window(struct random *random, enum op op, word P, word *window)
{
    for (word n = 0; n < WINDOW; n++) {
        window[n] = random_below(random, WINDOW + 2);
    }
    window[P] = op;
}

/* Does M or R differ from before, or has it halted, without a trap? */
static bool has_control_changed(const struct trial *trial)
{
    const struct machine *x = &trial->m, *y = &trial->before;

    return !trial->trap && (x->M != y->M || x->l != y->l || x->b != y->b || x->halted);
}

/* Did the instruction do different things, as the program sees it? */
static bool has_behaved_differently(const struct trial *one, const struct trial *other)
{
    return !one->trap && !other->trap &&
           (one->m.P != other->m.P ||
            memcmp(one->E + one->before.l, other->E + other->before.l, WINDOW * sizeof(word)) != 0);
}

/* One pair of states for each definition. */
static void try_once(struct random *random, enum kind kind, enum op op, struct classes *classes)
{
    word window[WINDOW], P = random_below(random, WINDOW - INSTRUCTION_WORDS + 1);
    word l = START + random_below(random, 30), l2 = START + random_below(random, 30);
    word b = INSTRUCTION_WORDS + random_below(random, WINDOW - INSTRUCTION_WORDS + 1);
    struct trial at[2], moved[2]; /* in supervisor and in user mode; the same elsewhere */

    make_window(random, op, P, window);
    for (word M = SUPERVISOR; M <= USER; M++) {
        place(&at[M], kind, window, M, P, l, b);
        place(&moved[M], kind, window, M, P, l2, b);
        at[M].trap = machine_step(&at[M].m);
        moved[M].trap = machine_step(&moved[M].m);
    }
    if (at[0].trap != TRAP_MEMORY && at[1].trap != TRAP_MEMORY) {
        classes->privileged &= !at[0].trap && at[1].trap;
    }
    classes->mode_sensitive |= has_behaved_differently(&at[0], &at[1]);
    for (word M = SUPERVISOR; M <= USER; M++) {
        bool control = has_control_changed(&at[M]);
        bool location = has_behaved_differently(&at[M], &moved[M]);
        classes->control_sensitive |= control;
        classes->location_sensitive |= location;
        *(M ? &classes->user_sensitive : &classes->supervisor_sensitive) |= control || location;
    }
}

struct classes classify(struct random *random, enum kind kind, enum op op)
{
    struct classes classes = {.privileged = true};

    for (int n = 0; n < TRIES; n++) {
        try_once(random, kind, op, &classes);
    }
    return classes;
}

bool is_sensitive(const struct classes *classes)
{
    return classes->control_sensitive || classes->location_sensitive || classes->mode_sensitive;
}
