/* virtual.c - monitors, the virtual machine map, and two machines in step. */
#include "virtual.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char text_monitor[], text_theorem1[], text_theorem3[], text_plain[], text_jrst[],
    text_lra[];

enum { GUARD = 0x5afe5afe, STEPS_MAX = 1 << 20 };

void monitor_build(struct monitor *monitor, bool hybrid, enum kind kind)
{
    static const char *const extras[] = {text_plain, text_jrst, text_lra};
    const char *const texts[] = {text_monitor, hybrid ? text_theorem3 : text_theorem1,
                                 hybrid ? extras[kind] : NULL, NULL};
    char error[100];

    monitor->kind = kind;
    monitor->hybrid = hybrid;
    if (assemble(&monitor->program, texts, error, sizeof error)) {
        fprintf(stderr, "monitor: %s\n", error);
        abort();
    }
    monitor->start = program_address(&monitor->program, "start");
    monitor->again = program_address(&monitor->program, "again");
    monitor->end = program_address(&monitor->program, "end");
    monitor->vM = program_address(&monitor->program, "vM");
    monitor->vP = program_address(&monitor->program, "vP");
    monitor->vl = program_address(&monitor->program, "vl");
    monitor->vb = program_address(&monitor->program, "vb");
}

/*
 * Undo f: which machine does the monitor show to its guest, when the machine m is in this state?
 * Returns false if the monitor is at work, so that there is no such state.  m->q is the storage
 * that the monitor has.
 */
static bool undo_f(const struct monitor *monitor, const struct machine *m, struct machine *guest)
{
    bool runs = m->M != SUPERVISOR;
    bool is_interpreted =
        monitor->hybrid && !runs && m->P == monitor->again && m->E[monitor->vM] == SUPERVISOR;

    if (!m->halted && !runs && !is_interpreted) {
        return false;
    }
    *guest = (struct machine){
        .kind = m->kind,
        .E = m->E + monitor->end,
        .q = m->q - monitor->end,
        .M = m->E[monitor->vM],
        .P = runs ? m->P : m->E[monitor->vP],
        .l = m->E[monitor->vl],
        .b = m->E[monitor->vb],
        .halted = m->halted,
    };
    return true;
}

/* Undo f as often as there are monitors. */
static bool look_inside(struct pair *pair)
{
    struct machine m = pair->real, guest;

    m.q -= GUARD_WORDS;
    for (unsigned n = 0; n < pair->setup.depth; n++) {
        if (!undo_f(pair->setup.monitor, &m, &guest)) {
            return false;
        }
        m = guest;
    }
    pair->inner = m;
    return true;
}

/* Resource control: nothing runs in user mode with an R that reaches beyond the allotment. */
static bool is_confined(const struct pair *pair)
{
    const struct machine *m = &pair->real;

    return m->M == SUPERVISOR ||
           (m->l >= pair->setup.monitor->end && (uint64_t)m->l + m->b <= m->q - GUARD_WORDS);
}

/* Resource control, seen from what it protects: the guard words and the code of the monitors. */
static bool is_intact(const struct pair *pair)
{
    const struct monitor *monitor = pair->setup.monitor;
    const word *guard = pair->real_E + pair->real.q - GUARD_WORDS;
    const word *code = pair->real_E + monitor->start;

    for (word n = 0; n < GUARD_WORDS; n++) {
        if (guard[n] != GUARD) {
            return false;
        }
    }
    for (unsigned n = 0; n < pair->setup.depth; n++, code += monitor->end) {
        if (memcmp(code, monitor->program.words + monitor->start,
                   (monitor->end - monitor->start) * sizeof(word)) != 0) {
            return false;
        }
    }
    return true;
}

/* Let the real machine run until the virtual one has done a step.  Returns the cost, or 0. */
static unsigned real_step(struct pair *pair)
{
    for (unsigned cost = 1; cost <= STEPS_MAX; cost++) {
        if (pair->watch) {
            pair->watch(pair->context, &pair->real);
        }
        machine_step(&pair->real);
        pair->escaped |= !is_confined(pair);
        if (look_inside(pair)) {
            pair->escaped |= !is_intact(pair);
            return cost;
        }
    }
    return 0;
}

/* Fill E with so many monitors and, behind them, the program.  Returns how many words that are. */
static word load(word *E, const struct setup *setup, unsigned monitors, const word *program)
{
    word end = setup->monitor->end, size = monitors * end + setup->program_words;

    assert(size + GUARD_WORDS <= STORAGE_WORDS);
    for (unsigned n = 0; n < monitors; n++) {
        memcpy(E + n * end, setup->monitor->program.words, end * sizeof(word));
    }
    memcpy(E + monitors * end, program, setup->program_words * sizeof(word));
    return size;
}

bool pair_start(struct pair *pair, const struct setup *setup, const word *program)
{
    enum kind kind = setup->monitor->kind;

    pair->setup = *setup;
    pair->escaped = false;
    pair->watch = NULL;
    word size = load(pair->bare_E, setup, setup->carried, program);
    pair->bare = machine_reset(kind, pair->bare_E, size);

    size = load(pair->real_E, setup, setup->depth + setup->carried, program);
    for (word n = 0; n < GUARD_WORDS; n++) {
        pair->real_E[size + n] = GUARD;
    }
    pair->real = machine_reset(kind, pair->real_E, size + GUARD_WORDS);
    pair->real.b = size; /* the guard words are not the monitor's to give */
    return real_step(pair) != 0;
}

struct step pair_step(struct pair *pair)
{
    struct step step = {.op = machine_next_op(&pair->bare), .user = pair->bare.M != SUPERVISOR};

    step.trap = machine_step(&pair->bare);
    step.cost = real_step(pair);
    return step;
}

bool pair_same_result(const struct pair *pair)
{
    return pair->bare.halted == pair->inner.halted &&
           memcmp(pair->bare_E, pair->inner.E, pair->bare.q * sizeof(word)) == 0;
}

bool pair_same(const struct pair *pair)
{
    const struct machine *x = &pair->bare, *y = &pair->inner;

    return pair_same_result(pair) && x->M == y->M && x->P == y->P && x->l == y->l && x->b == y->b;
}
