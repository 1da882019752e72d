/* survey.c - runs random programs on machines and virtual machines in step. */
#include "survey.h"

#include <string.h>

enum { FAILURES = 12 }; /* of which find_failure() chooses */

/* Efficiency: this step should have taken one instruction. */
static bool should_be_direct(const struct setup *setup, unsigned theorem, const struct step *step)
{
    const struct instruction *i = machine_instruction(setup->monitor->kind, step->op);

    return !step->trap && i && !i->privileged && (theorem != 3 || step->user);
}

static void count(struct survey *survey, const struct step *step)
{
    struct tally *tally = step->trap        ? &survey->trapped
                          : step->cost == 1 ? &survey->direct
                                            : &survey->interpreted;

    tally->steps++;
    tally->cost += step->cost;
    survey->seen[step->op < OPS ? step->op : OPS][step->user][step->trap != TRAP_NONE]++;
}

static enum verdict check_program(struct pair *pair, const struct setup *setup, unsigned theorem,
                                  struct survey *survey)
{
    unsigned limit = setup->carried ? 10 * PROGRAM_STEPS : PROGRAM_STEPS;

    if (!pair_start(pair, setup, survey->program) || !pair_same(pair)) {
        return NOT_EQUIVALENT;
    }
    for (unsigned n = 0; n < limit && !pair->bare.halted; n++) {
        struct step step = pair_step(pair);
        if (pair->escaped) {
            return NOT_CONFINED;
        }
        if (!step.cost || !pair_same(pair)) {
            return NOT_EQUIVALENT;
        }
        if (should_be_direct(setup, theorem, &step) && step.cost != 1) {
            return NOT_EFFICIENT;
        }
        count(survey, &step);
    }
    survey->halted += pair->bare.halted;
    return HOLDS;
}

void survey(struct random *random, const struct setup *setup, unsigned theorem, unsigned programs,
            struct survey *result)
{
    struct pair pair;

    memset(result, 0, sizeof *result);
    while (result->programs < programs && result->verdict == HOLDS) {
        random_program(random, setup->monitor->kind, result->program);
        result->verdict = check_program(&pair, setup, theorem, result);
        result->programs++;
    }
}

bool ends_differently(struct pair *pair, const struct setup *setup, const word *program)
{
    if (!pair_start(pair, setup, program)) {
        return true;
    }
    for (int n = 0; n < PROGRAM_STEPS && !(pair->bare.halted && pair->inner.halted); n++) {
        if (!pair_step(pair).cost) {
            return true;
        }
    }
    return (pair->bare.halted || pair->inner.halted) && !pair_same_result(pair);
}

/* Take the shorter program for the program, if that still ends differently. */
static bool accept(struct pair *pair, const struct setup *setup, word *program, const word *shorter)
{
    size_t size = RANDOM_PROGRAM_WORDS * sizeof(word);

    if (!memcmp(shorter, program, size) || !ends_differently(pair, setup, shorter)) {
        return false;
    }
    memcpy(program, shorter, size);
    return true;
}

/* Try with 0 in the words [start, start + count). */
static bool clear(struct pair *pair, const struct setup *setup, word *program, word start,
                  word count)
{
    word shorter[RANDOM_PROGRAM_WORDS];

    memcpy(shorter, program, sizeof shorter);
    memset(shorter + start, 0, count * sizeof(word));
    return accept(pair, setup, program, shorter);
}

/* Try without the instruction at start: those behind it, as far as there are any, move up. */
static bool close_up(struct pair *pair, const struct setup *setup, word *program, word start)
{
    word shorter[RANDOM_PROGRAM_WORDS];
    word *to = shorter + start, *last = shorter + RANDOM_PROGRAM_WORDS - INSTRUCTION_WORDS;

    memcpy(shorter, program, sizeof shorter);
    for (; to < last && *to; to += INSTRUCTION_WORDS) {
        memcpy(to, to + INSTRUCTION_WORDS, INSTRUCTION_WORDS * sizeof(word));
    }
    memset(to, 0, INSTRUCTION_WORDS * sizeof(word));
    return accept(pair, setup, program, shorter);
}

static void shrink(struct pair *pair, const struct setup *setup, word *program)
{
    const word last = RANDOM_PROGRAM_WORDS - INSTRUCTION_WORDS;
    bool again = true;

    while (again) {
        again = false;
        for (word n = START; n <= last; n += INSTRUCTION_WORDS) {
            again |= clear(pair, setup, program, n, INSTRUCTION_WORDS);
        }
        for (word n = 0; n < RANDOM_PROGRAM_WORDS; n++) {
            again |= clear(pair, setup, program, n, 1);
        }
        for (word n = START; n <= last && !again; n += INSTRUCTION_WORDS) {
            again |= program[n] && close_up(pair, setup, program, n);
        }
    }
}

static unsigned words_in_use(const word *program)
{
    unsigned count = 0;

    for (word n = 0; n < RANDOM_PROGRAM_WORDS; n++) {
        count += program[n] != 0;
    }
    return count;
}

unsigned find_failure(struct random *random, const struct setup *setup, unsigned programs,
                      word *program)
{
    struct pair pair;
    unsigned best = 0;

    for (unsigned n = 0, found = 0; n < programs && found < FAILURES; n++) {
        word candidate[RANDOM_PROGRAM_WORDS];
        random_program(random, setup->monitor->kind, candidate);
        if (!ends_differently(&pair, setup, candidate)) {
            continue;
        }
        found++;
        shrink(&pair, setup, candidate);
        if (!best || words_in_use(candidate) < best) {
            best = words_in_use(candidate);
            memcpy(program, candidate, sizeof candidate);
        }
    }
    return best;
}
