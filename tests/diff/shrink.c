/* shrink.c - see shrink.h.  One thing after the other is made plain, and stays so if the same thing
 * still differs. */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "state.h"

struct shrinking {
    struct session *s;
    struct diff_case *c, *before; /* now, and before the last try */
    struct outcome *native, *guest;
    const char *what;
};

static void keep_if_it_differs(struct shrinking *k)
{
    const char *what = session_try(k->s, k->c, k->native, k->guest);

    if (!what || strcmp(what, k->what) != 0) {
        *k->c = *k->before;
    }
    *k->before = *k->c;
}

static void shrink_code(struct shrinking *k)
{
    struct diff_case *c = k->c;
    struct insn insn;

    for (unsigned at = 0; c->kind == CASE_SEQUENCE && at < c->code_size; at += insn.length) {
        if (insn_decode(&insn, c->mode, c->code + at, c->code_size - at) != INSN_OK) {
            return;
        }
        memset(c->code + at, 0x90, insn.length);
        keep_if_it_differs(k);
    }
}

/* The NOPs go. */
static void trim_code(struct shrinking *k)
{
    struct diff_case *c = k->c;

    for (unsigned at = c->code_size; c->kind == CASE_SEQUENCE && at--;) {
        if (c->code[at] == 0x90 && c->code_size > 1) {
            c->code_size--;
            memmove(c->code + at, c->code + at + 1, c->code_size - at);
            keep_if_it_differs(k);
        }
    }
}

static void shrink_registers(struct shrinking *k)
{
    struct registers *r = &k->c->before;

    for (unsigned i = 0; i < 16; i++) {
        if (r->gpr[i] && !(i == RSP && k->c->mode != INSN_MODE_64)) {
            r->gpr[i] = 0;
            keep_if_it_differs(k);
        }
    }
    r->flags = RFLAGS_FIXED | RFLAGS_IF;
    keep_if_it_differs(k);
    u64 *segments[] = {&r->ds, &r->es, &r->fs, &r->gs};
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        *segments[i] = i < 2 ? USER_DATA : 0;
        keep_if_it_differs(k);
    }
    r->fs_base = r->gs_base = 0;
    keep_if_it_differs(k);
}

static void shrink_fpu(struct shrinking *k)
{
    struct diff_case *c = k->c;

    state_fill(&c->fpu, c->fpu_seed);
    keep_if_it_differs(k);
    c->fpu_seed = 0;
    state_fill(&c->fpu, 0);
    keep_if_it_differs(k);
}

static void shrink_pokes(struct shrinking *k)
{
    for (unsigned i = k->c->pokes; i--;) {
        k->c->pokes--;
        k->c->poke[i] = k->c->poke[k->c->pokes];
        keep_if_it_differs(k);
    }
}

void shrink(struct session *s, struct diff_case *c, const char *what)
{
    struct outcome *outcomes = case_alloc(2 * sizeof(*outcomes));
    struct diff_case *before = case_alloc(sizeof(*before));
    struct shrinking k = {s, c, before, outcomes, outcomes + 1, what};

    *before = *c;
    keep_if_it_differs(&k);
    shrink_code(&k);
    trim_code(&k);
    shrink_registers(&k);
    shrink_fpu(&k);
    shrink_pokes(&k);
    c->alone = false;
    keep_if_it_differs(&k);
    free(before);
    free(outcomes);
}
