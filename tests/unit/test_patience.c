/*
 * test_patience.c - how long user code is interpreted before it is run, and what is learned of
 * that.
 *
 * A small model of a program takes the place of a guest: what it does, and what that costs.
 */
#include <stdlib.h>

#include <cmocka.h>

#include "base/bits.h"
#include "exec/direct/patience.h"

#define A 0x1000u
#define B 0x2000u

#define SHORT   300u     /* instructions: a visit of a program that asks the kernel much */
#define LONG_NS 1000000u /* a run of one that computes */

struct world {
    struct patience patience;
    u64 drops, pieces;
    u64 interpreted, runs;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    patience_init(&w->patience);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* Interpret what patience wants, at most as much as is left of the visit. */
static u64 interpret(struct world *w, u64 left)
{
    u64 wanted = patience_left(&w->patience);
    u64 done = wanted < left ? wanted : left;

    patience_interpreted(&w->patience, done);
    w->interpreted += done;
    return left - done;
}

static void run(struct world *w, u64 ns, bool filled)
{
    if (w->patience.owner != w->patience.root) {
        w->drops += w->pieces;
        w->pieces = 0;
    }
    patience_take(&w->patience, w->drops);
    patience_ran(&w->patience, ns, filled, w->drops);
    w->pieces += filled;
    w->runs++;
}

/* A visit of so many instructions, of which the host's CPU does four a nanosecond. */
static void visit(struct world *w, u64 root, u64 instructions)
{
    patience_enter(&w->patience, root);
    u64 left = interpret(w, instructions);
    if (left) {
        run(w, PATIENCE_TRAP_NS + left / 4, false);
    }
    patience_leave(&w->patience);
}

static void interprets_short_visits(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 10000; i++) {
        visit(w, A, SHORT);
    }
    assert_int_equal(w->interpreted, 10000 * SHORT);
    assert_int_equal(w->runs, 0);
}

/* Two spaces in turn, so that each always finds the mirror in the other's hands. */
static void interprets_short_visits_in_turn(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 10000; i++) {
        visit(w, i % 2 ? A : B, SHORT);
    }
    assert_int_equal(w->runs, 0);
}

static void runs_long_visits(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 100; i++) {
        visit(w, A, 10000000);
    }
    assert_int_equal(w->runs, 100);
    /* The first has to earn the mirror; the others lose little, and less and less. */
    assert_true(w->interpreted <= BIT(PATIENCE_TENURE_START) + 100 * BIT(PATIENCE_VISIT_START));
    visit(w, A, SHORT);
    assert_int_equal(w->patience.interpreted, BIT(PATIENCE_VISIT_MIN));
}

/* Visits just too long for patience as it is: it becomes more, and they are interpreted. */
static void waits_longer_where_entering_does_not_pay(void **state)
{
    struct world *w = *state;

    visit(w, A, 10000000); /* the mirror is its */
    w->runs = 0;
    for (unsigned i = 0; i < 1000; i++) {
        visit(w, A, 1200);
    }
    assert_true(w->runs <= 2 + 1000 / 32 + 1);
    assert_true(w->runs >= 1);
}

/* A visit that never ends, and traps at once whenever it is run. */
static void gives_up_within_a_visit(void **state)
{
    struct world *w = *state;
    u64 traps = 0;

    patience_enter(&w->patience, A);
    while (w->interpreted < 100000000) {
        interpret(w, UINT64_MAX);
        run(w, PATIENCE_TRAP_NS, false);
        traps++;
    }
    /* An instruction takes the interpreter 2.5 ns: 250 ms.  Not a twentieth of it was lost. */
    assert_true(traps * PATIENCE_TRAP_NS < 250000000 / 20);
    assert_int_equal(w->patience.spaces[1].visit, PATIENCE_VISIT_MAX);
}

/* What was won long ago is no reason to go on. */
static void gives_up_after_a_long_run_too(void **state)
{
    struct world *w = *state;

    patience_enter(&w->patience, A);
    interpret(w, UINT64_MAX);
    run(w, 1000 * LONG_NS, false);
    assert_int_equal(patience_left(&w->patience), 0);
    for (unsigned i = 0; i < 4 * PATIENCE_GIVE_UP_NS / PATIENCE_TRAP_NS; i++) {
        run(w, PATIENCE_TRAP_NS, false);
        if (patience_left(&w->patience)) {
            return;
        }
    }
    fail();
}

/* Misses that fill the mirror are paid once: a program's first thousand pages are no reason to
 * interpret it. */
static void bears_misses_that_fill(void **state)
{
    struct world *w = *state;

    patience_enter(&w->patience, A);
    interpret(w, UINT64_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        run(w, PATIENCE_TRAP_NS, true);
        assert_int_equal(patience_left(&w->patience), 0);
    }
}

/* But not those of pages that are dropped again each time. */
static void gives_up_where_pages_come_and_go(void **state)
{
    struct world *w = *state;
    u64 misses = 0;

    patience_enter(&w->patience, A);
    while (w->interpreted < 100000000) {
        interpret(w, UINT64_MAX);
        w->drops++;
        run(w, PATIENCE_TRAP_NS, true);
        misses++;
    }
    assert_true(misses * PATIENCE_MISS_NS < 250000000 / 20);
}

/* Two spaces in turn, each of which runs for so long in a visit and wants so many pieces.  Returns
 * how often the mirror has changed hands. */
static unsigned take_turns(struct world *w, unsigned turns, unsigned pieces, u64 ns)
{
    unsigned changes = 0;

    for (unsigned i = 0; i < turns; i++) {
        u64 owner = w->patience.owner;
        patience_enter(&w->patience, i % 2 ? A : B);
        if (interpret(w, ns * 4)) {
            while (w->pieces < pieces || w->patience.owner != w->patience.root) {
                run(w, PATIENCE_TRAP_NS, true);
            }
            run(w, PATIENCE_TRAP_NS + ns, false);
        }
        patience_leave(&w->patience);
        changes += w->patience.owner != owner;
    }
    return changes;
}

/* 100 pieces cost 650 us: in 50 us the interpreter would have been quicker.  So one of the two gets
 * the mirror, and the other hardly ever tries. */
static void lets_go_of_the_mirror_where_it_does_not_pay(void **state)
{
    unsigned changes = take_turns(*state, 10000, 100, 50000);

    assert_in_range(changes, 10, 10000 / 32 + 10);
}

/* In 5 ms it would not. */
static void fills_the_mirror_again_where_it_pays(void **state)
{
    struct world *w = *state;

    assert_int_equal(take_turns(w, 1000, 100, 5000000), 1000);
    assert_int_equal(w->patience.spaces[1].tenure, PATIENCE_TENURE_MIN);
}

/* A short visit of another program takes the mirror from nobody. */
static void keeps_the_mirror_through_short_visits_of_others(void **state)
{
    struct world *w = *state;

    visit(w, A, 10000000);
    for (unsigned i = 0; i < 1000; i++) {
        visit(w, B, SHORT);
        visit(w, A, 10000000);
        assert_int_equal(w->patience.owner, A);
    }
    assert_int_equal(w->runs, 1001);
}

/* A visit goes on, whatever comes between, until the kernel is entered. */
static void counts_a_visit_once(void **state)
{
    struct world *w = *state;

    visit(w, A, 10000000);
    patience_enter(&w->patience, A);
    u64 wanted = patience_left(&w->patience);
    patience_interpreted(&w->patience, wanted / 2);
    patience_enter(&w->patience, A);
    assert_int_equal(patience_left(&w->patience), wanted - wanted / 2);
    patience_leave(&w->patience);
    patience_leave(&w->patience);
    patience_enter(&w->patience, A);
    assert_int_equal(patience_left(&w->patience), wanted);
}

/* Programs change: one that was not worth entering is tried again now and then. */
static void forgets_a_bad_time(void **state)
{
    struct world *w = *state;

    patience_enter(&w->patience, A);
    for (unsigned i = 0; i < 10000; i++) {
        interpret(w, UINT64_MAX);
        run(w, PATIENCE_TRAP_NS, false);
    }
    patience_leave(&w->patience);
    w->runs = 0;
    for (unsigned i = 0; i < 1000; i++) {
        visit(w, A, 1000000);
    }
    assert_true(w->runs > 900);
}

/* Spaces whose roots share a slot of the table: the later one begins anew. */
static void knows_a_space_by_its_root(void **state)
{
    struct world *w = *state;
    u64 other = A + PATIENCE_SPACES * PAGE_SIZE;

    for (unsigned i = 0; i < 10; i++) {
        visit(w, A, 10000000);
    }
    patience_enter(&w->patience, other);
    assert_int_equal(w->patience.spaces[1].root, other);
    assert_int_equal(w->patience.spaces[1].visit, PATIENCE_VISIT_START);
    assert_int_equal(patience_left(&w->patience), BIT(PATIENCE_TENURE_START));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(interprets_short_visits),
        TEST(interprets_short_visits_in_turn),
        TEST(runs_long_visits),
        TEST(waits_longer_where_entering_does_not_pay),
        TEST(gives_up_within_a_visit),
        TEST(gives_up_after_a_long_run_too),
        TEST(bears_misses_that_fill),
        TEST(gives_up_where_pages_come_and_go),
        TEST(lets_go_of_the_mirror_where_it_does_not_pay),
        TEST(fills_the_mirror_again_where_it_pays),
        TEST(keeps_the_mirror_through_short_visits_of_others),
        TEST(counts_a_visit_once),
        TEST(forgets_a_bad_time),
        TEST(knows_a_space_by_its_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
