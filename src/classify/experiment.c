/*
 * experiment.c - pairs of states that differ in one privileged piece.
 *
 * Popek and Goldberg (CACM 1974), section 2, for one instruction i and states (e, m, p, r):
 *
 *      privileged          (e, s, p, r) and (e, u, p, r) differ in mode only: i traps in the second
 *                          and not in the first
 *      control-sensitive   i changes m or r, without a trap
 *      behaviour-sensitive i gives another e or p from two states that differ in r (location) or m
 *                          (mode), without a trap in either
 *
 * So from each sample many states are made: at CPL 0 and CPL 3, and with each of the variations.
 * Only pairs of which both sides complete are compared.
 */
#include "classify/experiment.h"

#include "base/string.h"
#include "isa/vector.h"

#define MORE_TRIES 20u /* for each sample that is wanted */

struct trial {
    struct lab *lab;
    enum code_kind kind;
    struct machine_state usual[2]; /* at CPL 0 and 3 */
    struct sample sample;
    struct machine_state before;
    struct lab_outcome base[2], other;
    struct finding *finding;
};

/* ------------------------------------------------------------------ one run */

static void witness_set(struct trial *t, enum witness_of kind, unsigned cpl, unsigned what,
                        const char *difference)
{
    struct witness *w = &t->finding->witness[kind];

    if (w->length) {
        return;
    }
    memcpy(w->bytes, t->sample.memory.code, sizeof(w->bytes));
    w->length = t->sample.insn.length;
    w->cpl = (u8)cpl;
    w->what = (u8)what;
    for (unsigned i = 0; difference[i] && i + 1 < sizeof(w->difference); i++) {
        w->difference[i] = difference[i];
    }
}

/* The state of the sample at a level (0: CPL 0, 1: CPL 3). */
static void prepare(struct trial *t, unsigned level)
{
    t->before = t->usual[level];
    memcpy(t->before.gpr, t->sample.gpr, sizeof(t->before.gpr));
    t->before.rflags |= t->sample.flags;
}

/* Run the sample with a variation, and count what came of it. */
static void run(struct trial *t, unsigned level, unsigned variation, struct lab_outcome *outcome)
{
    struct finding *f = t->finding;

    prepare(t, level);
    variation_apply(&variations[variation], &t->before);
    lab_run(t->lab, t->kind, &t->before, &t->sample.memory, outcome);
    f->runs++;
    if (!outcome->completed) {
        f->trapped[level][variation] += outcome->vector != VECTOR_PF;
        f->vectors |= level && outcome->vector != VECTOR_PF ? 1u << (outcome->vector & 31) : 0;
        return;
    }
    f->completed[level][variation]++;
    u64 changes = pieces_changed(&t->before, &outcome->state);
    f->changes[level] |= changes;
    if (changes) {
        witness_set(t, WITNESS_CONTROL, level ? 3 : 0, (unsigned)__builtin_ctzll(changes), "");
    }
}

/* ------------------------------------------------------------------ one sample */

static void compare(struct trial *t, unsigned level, unsigned variation)
{
    enum variation_kind kind = variations[variation].kind;
    const char *difference = NULL;

    if (kind != VARY_GUARD && t->base[level].completed && t->other.completed) {
        difference = lab_difference(&t->base[level], &t->other);
    }
    if (difference) {
        t->finding->depends[level] |= BIT(variation);
        witness_set(t, kind == VARY_MODE ? WITNESS_MODE : WITNESS_LOCATION, level ? 3 : 0,
                    variation, difference);
    }
}

/* Once more from the usual state, or with all at once, without counting: the same result? */
static bool is_same(struct trial *t, unsigned level, bool together)
{
    prepare(t, level);
    if (together) {
        variation_apply_together(&t->before);
    }
    lab_run(t->lab, t->kind, &t->before, &t->sample.memory, &t->other);
    t->finding->runs++;
    return t->other.completed && !lab_difference(&t->base[level], &t->other);
}

/* Instructions that draw random numbers cannot be compared. */
static bool is_repeatable(struct trial *t)
{
    return (!t->base[0].completed || is_same(t, 0, false)) &&
           (!t->base[1].completed || is_same(t, 1, false));
}

static void compare_cpl(struct trial *t)
{
    const char *difference = lab_difference(&t->base[0], &t->base[1]);

    if (difference) {
        t->finding->depends_on_cpl = true;
        witness_set(t, WITNESS_MODE, 0, VARY_CPL, difference);
    }
}

static void vary(struct trial *t, unsigned level, bool repeatable)
{
    bool one_by_one = !t->base[level].completed || !is_same(t, level, true);

    for (unsigned i = VARY_CPL + 1; i < variation_count; i++) {
        if (one_by_one || variations[i].kind != VARY_LOCATION) {
            run(t, level, i, &t->other);
            if (repeatable) {
                compare(t, level, i);
            }
        }
    }
}

/* Returns whether the sample was completed in any state. */
static bool try_sample(struct trial *t)
{
    struct finding *f = t->finding;

    run(t, 0, VARY_CPL, &t->base[0]);
    run(t, 1, VARY_CPL, &t->base[1]);
    if (!t->base[0].completed && !t->base[1].completed) {
        run(t, 1, VARY_IOPL, &t->other);
        return false;
    }
    f->samples++;
    bool repeatable = is_repeatable(t);
    f->unrepeatable += !repeatable;
    if (repeatable && t->base[0].completed && t->base[1].completed) {
        compare_cpl(t);
    }
    vary(t, 0, repeatable);
    vary(t, 1, repeatable);
    return true;
}

void experiment_run(struct lab *lab, unsigned row, enum code_kind kind, unsigned samples, u64 seed,
                    struct finding *finding)
{
    struct chance chance = {seed ^ 0x9e3779b97f4a7c15ull * ((u64)row << 1 | kind | 1ull << 32)};
    u64 xcr0 = lab_xcr0(lab);
    struct trial t = {.lab = lab, .kind = kind, .finding = finding};

    memset(finding, 0, sizeof(*finding));
    for (unsigned level = 0; level < 2; level++) {
        lab_power_on(lab, &t.usual[level]);
        state_usual(&t.usual[level], kind, level ? 3 : 0, xcr0);
    }
    for (unsigned i = 0; i < samples * MORE_TRIES && finding->samples < samples; i++) {
        if (sample_make(&t.sample, row, kind, &chance)) {
            finding->tries++;
            lab_put_code(lab, t.sample.memory.code);
            try_sample(&t);
        }
    }
}

/* ------------------------------------------------------------------ what follows */

static unsigned sensitive(u64 changes, u64 depends)
{
    unsigned classes = changes ? CLASS_CONTROL_SENSITIVE : 0;

    for (unsigned i = 0; i < variation_count; i++) {
        if (depends & BIT(i)) {
            classes |=
                variations[i].kind == VARY_MODE ? CLASS_MODE_SENSITIVE : CLASS_LOCATION_SENSITIVE;
        }
    }
    return classes;
}

/* Of instructions that draw random numbers, the results cannot be compared. */
static u64 depends_at(const struct finding *f, unsigned level)
{
    return f->unrepeatable ? 0 : f->depends[level];
}

unsigned finding_user_classes(const struct finding *f)
{
    return sensitive(f->changes[1], depends_at(f, 1));
}

/* Privileged: never completed at CPL 3, though at CPL 0; by IOPL: completed there only with IOPL
 * 3. */
static unsigned privileged(const struct finding *f)
{
    u32 at_0 = 0, at_3 = 0, traps = 0;

    for (unsigned i = 0; i < variation_count; i++) {
        at_0 += f->completed[0][i];
        at_3 += f->completed[1][i];
        traps += f->trapped[1][i];
    }
    u32 by_iopl = f->completed[1][VARY_IOPL] + f->completed[1][VARY_IOPL_IF];
    if (!at_0 || !traps || at_3 > by_iopl) {
        return 0;
    }
    return at_3 ? CLASS_IO_PRIVILEGED : CLASS_PRIVILEGED;
}

unsigned finding_classes(const struct finding *f)
{
    return privileged(f) |
           sensitive(f->changes[0] | f->changes[1], depends_at(f, 0) | depends_at(f, 1)) |
           (f->depends_on_cpl && !f->unrepeatable ? CLASS_MODE_SENSITIVE : 0);
}

bool finding_is_measured(const struct finding *f)
{
    return f->samples > 0;
}

bool finding_traps(const struct finding *f, unsigned variation)
{
    return f->completed[0][variation] && f->trapped[1][variation] && !f->completed[1][variation];
}
