/* patience.c - how long user code is interpreted: patience.h tells why. */
#include "exec/direct/patience.h"

#include "base/bits.h"
#include "base/string.h"

/* After so many visits that might have been worth entering, try it sooner. */
#define CHANCES 32

static struct patience_space *space_of(struct patience *p, u64 root)
{
    struct patience_space *s = &p->spaces[(root >> PAGE_SHIFT) % PATIENCE_SPACES];

    if (s->root != root) {
        *s = (struct patience_space){root, PATIENCE_VISIT_START, PATIENCE_TENURE_START, 0};
    }
    return s;
}

static void learn(u8 *patience, bool paid, u8 min, u8 max)
{
    if (paid && *patience > min) {
        --*patience;
    } else if (!paid && *patience < max) {
        ++*patience;
    }
}

void patience_init(struct patience *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < PATIENCE_SPACES; i++) {
        p->spaces[i].root = PATIENCE_NOBODY;
    }
    p->root = p->owner = PATIENCE_NOBODY;
}

/* ------------------------------------------------------------------ visits */

void patience_enter(struct patience *p, u64 root)
{
    struct patience_space *s;

    if (p->visiting && p->root == root) {
        return;
    }
    patience_leave(p);
    s = space_of(p, root);
    if (p->root != root) {
        p->root = root;
        p->tenure_left = BIT(s->tenure);
    }
    p->visiting = true;
    p->visit_left = BIT(s->visit);
    p->visit_won_ns = 0;
    p->interpreted = 0;
}

/* A visit was interpreted to its end.  If it was one of many that were long, we may be too patient.
 */
static void note_chance(struct patience *p, struct patience_space *s)
{
    u64 wanted = p->owner == p->root ? BIT(s->visit) : BIT(s->tenure);

    if (p->interpreted < BIT(PATIENCE_VISIT_START) || p->interpreted < wanted / 16 ||
        ++s->missed_chances < CHANCES) {
        return;
    }
    s->missed_chances = 0;
    if (p->owner != p->root) {
        learn(&s->tenure, true, PATIENCE_TENURE_MIN, PATIENCE_TENURE_MAX);
    } else if (s->visit > PATIENCE_VISIT_START) {
        s->visit--;
    }
}

void patience_leave(struct patience *p)
{
    struct patience_space *s;

    if (!p->visiting) {
        return;
    }
    s = space_of(p, p->root);
    if (p->entered) {
        learn(&s->visit, p->visit_won_ns > 0, PATIENCE_VISIT_MIN, PATIENCE_VISIT_MAX);
    } else {
        note_chance(p, s);
    }
    p->visiting = p->entered = false;
}

u64 patience_left(const struct patience *p)
{
    u64 cold = p->owner == p->root ? 0 : p->tenure_left;

    return cold > p->visit_left ? cold : p->visit_left;
}

void patience_interpreted(struct patience *p, u64 instructions)
{
    p->interpreted += instructions;
    p->visit_left -= instructions < p->visit_left ? instructions : p->visit_left;
    p->tenure_left -= instructions < p->tenure_left ? instructions : p->tenure_left;
}

/* ------------------------------------------------------------------ tenures */

void patience_take(struct patience *p, u64 drops)
{
    if (p->owner == p->root) {
        return;
    }
    if (p->owner != PATIENCE_NOBODY) {
        s64 won_ns = p->tenure_won_ns - (s64)(drops - p->drops) * PATIENCE_MISS_NS;
        learn(&space_of(p, p->owner)->tenure, won_ns > 0, PATIENCE_TENURE_MIN, PATIENCE_TENURE_MAX);
    }
    p->owner = p->root;
    p->drops = drops;
    p->tenure_won_ns = 0;
}

/* What it has cost to fill a piece is lost only when it is dropped: until then it may pay yet. */
void patience_ran(struct patience *p, u64 run_ns, bool filled, u64 drops)
{
    u64 useful_ns = run_ns > PATIENCE_RUN_NS ? run_ns - PATIENCE_RUN_NS : 0;
    s64 won_ns = (s64)(useful_ns * (PATIENCE_SPEED_UP - 1)) - (filled ? 0 : PATIENCE_TRAP_NS) -
                 (s64)(drops - p->drops) * PATIENCE_MISS_NS;

    p->drops = drops;
    p->entered = true;
    p->tenure_won_ns += won_ns;
    p->visit_won_ns += won_ns;
    if (p->visit_won_ns > PATIENCE_GIVE_UP_NS) { /* what was long ago counts no more */
        p->visit_won_ns = PATIENCE_GIVE_UP_NS;
    } else if (p->visit_won_ns < -PATIENCE_GIVE_UP_NS) {
        struct patience_space *s = space_of(p, p->root);
        learn(&s->visit, false, PATIENCE_VISIT_MIN, PATIENCE_VISIT_MAX);
        p->visit_left = BIT(s->visit);
        p->visit_won_ns = 0;
        p->entered = false; /* what has been learned of it is learned */
    }
}
