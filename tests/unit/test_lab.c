/* test_lab.c - the machine of lab/, its assembler, and whether the checks there would find an
 * error. */
#include <cmocka.h>
#include <string.h>

#include "classify.h"
#include "survey.h"

enum { Q = 64, PROGRAMS = 1000 };

/* A machine of Q words with one instruction at START, whose trap handler is at address 30. */
static struct machine machine_with(word *E, word op, word a, word b)
{
    memset(E, 0, Q * sizeof(word));
    memcpy(E + NEW_PSW, (const word[]){SUPERVISOR, 30, 0, Q}, PSW_WORDS * sizeof(word));
    memcpy(E + START, (const word[]){op, a, b}, INSTRUCTION_WORDS * sizeof(word));
    return machine_reset(KIND_LRA, E, Q);
}

static void test_trap_swaps_the_psw(void **state)
{
    word E[Q];
    struct machine m = machine_with(E, OP_SVC, 0, 0);

    (void)state;
    m.M = USER;
    m.l = 3;
    m.P = START - 3;
    m.b = 20;
    assert_int_equal(machine_step(&m), TRAP_UNDEFINED);
    assert_memory_equal(E, ((const word[]){USER, START - 3, 3, 20, TRAP_UNDEFINED}),
                        5 * sizeof(word));
    assert_true(m.M == SUPERVISOR && m.P == 30 && m.l == 0 && m.b == Q);
}

static void test_codes_that_there_are_not_trap(void **state)
{
    static const word codes[] = {OP_SVC, OP_JRST, OPS, 1000, UINT32_MAX};
    word E[Q];

    (void)state;
    for (size_t n = 0; n < sizeof codes / sizeof *codes; n++) {
        struct machine m = machine_with(E, codes[n], 0, 0);
        assert_int_equal(machine_step(&m), TRAP_UNDEFINED);
    }
}

static void test_privileged_instructions_trap_in_user_mode(void **state)
{
    word E[Q];

    (void)state;
    for (word op = OP_LPSW; op <= OP_HALT; op++) {
        struct machine m = machine_with(E, op, UINT32_MAX, 0); /* whatever their operand */
        m.M = USER;
        assert_int_equal(machine_step(&m), TRAP_PRIVILEGED);
        assert_false(m.halted);
    }
}

/* An address is good if it is below b, and below q after relocation. */
static void test_relocation_and_bounds(void **state)
{
    static const struct {
        word l, b, a;
        bool good;
    } cases[] = {
        {5, 20, 19, true},
        {5, 20, 20, false},
        {0, Q, Q - 1, true},
        {0, UINT32_MAX, Q - 1, true},
        {0, UINT32_MAX, Q, false},
        {4, UINT32_MAX, Q - 5, true},
        {4, UINT32_MAX, Q - 4, false},
        {4, UINT32_MAX, UINT32_MAX - 2, false},
        {UINT32_MAX, UINT32_MAX, 10, false},
    };
    word E[Q];

    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct machine m = machine_reset(KIND_PLAIN, E, Q);
        m.l = cases[n].l;
        m.b = cases[n].b;
        word *place = machine_reach(&m, cases[n].a, 1);
        assert_ptr_equal(place, cases[n].good ? E + m.l + cases[n].a : NULL);
    }
}

static void test_memory_trap_has_no_effect(void **state)
{
    static const word operands[][3] = {
        {OP_LPSW, Q - 3, 0}, {OP_SPSW, Q - 3, 0}, {OP_SETR, Q - 1, 0}, {OP_MOVE, 20, Q},
        {OP_ADD, Q, 20},     {OP_LOAD, 20, 21},   {OP_STORE, 21, 20},  {OP_JUMPZ, 12, Q},
        {OP_JUMPTO, Q, 0},   {OP_LRA, Q, 0},      {OP_SET, Q, 0},
    };
    word E[Q], before[Q];

    (void)state;
    for (size_t n = 0; n < sizeof operands / sizeof *operands; n++) {
        struct machine m = machine_with(E, operands[n][0], operands[n][1], operands[n][2]);
        E[21] = Q;
        memcpy(before, E, sizeof before);
        assert_int_equal(machine_step(&m), TRAP_MEMORY);
        assert_int_equal(E[OLD_PSW + 1], START);
        assert_memory_equal(E + START, before + START, (Q - START) * sizeof(word));
    }
}

static void test_any_mode_but_0_is_1(void **state)
{
    word E[Q];
    struct machine m = machine_with(E, OP_LPSW, 20, 0);

    (void)state;
    E[20] = 1866;
    assert_int_equal(machine_step(&m), TRAP_NONE);
    assert_int_equal(m.M, USER);
}

static void test_halt_stops_at_itself(void **state)
{
    word E[Q];
    struct machine m = machine_with(E, OP_HALT, 0, 0);

    (void)state;
    for (int n = 0; n < 2; n++) {
        assert_int_equal(machine_step(&m), TRAP_NONE);
        assert_true(m.halted);
        assert_int_equal(m.P, START);
    }
}

static void test_assembler(void **state)
{
    static const char *const texts[] = {"here: set 5 there-1 ; comment\n", "there:word 7 end+2\n\n",
                                        NULL};
    static const char *const good[] = {"here: set 5 there-1 ; comment\n", "there: word 7 end+2\n\n",
                                       NULL};
    struct program program;
    char error[100];

    (void)state;
    assert_string_equal(assemble(&program, texts, error, sizeof error),
                        "line 1: there:word: no such instruction");
    assert_null(assemble(&program, good, error, sizeof error));
    assert_int_equal(program.count, 5);
    assert_memory_equal(program.words, ((const word[]){OP_SET, 5, 2, 7, 7}), 5 * sizeof(word));
    assert_string_equal(program_place(&program, 2)->name, "here");
}

static void test_assembler_complains(void **state)
{
    static const char *const cases[][2] = {
        {"add 1", "line 1: add: the wrong number of operands"},
        {"\nsett 1 2", "line 2: sett: no such instruction"},
        {"word x", "line 1: x: no such label"},
        {"word 4294967296", "line 1: 4294967296: not a number"},
        {"word 1x", "line 1: 1x: not a number"},
        {"x: word x+", "line 1: : not a number"},
        {"x:\nx:", "line 2: x: defined twice"},
        {"9x:", "line 1: 9x: not a good label"},
        {":", "line 1: : not a good label"},
        {"word -", "line 1: : not a number"},
        {"end: word 0", "line 1: end: not a good label"},
    };
    struct program program;
    char error[100];

    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        const char *const texts[] = {cases[n][0], NULL};
        assert_string_equal(assemble(&program, texts, error, sizeof error), cases[n][1]);
    }
}

static void test_classes(void **state)
{
    struct random random = {1};

    (void)state;
    for (enum kind kind = KIND_PLAIN; kind <= KIND_LRA; kind++) {
        for (word op = 0; op < OPS; op++) {
            if (!machine_instruction(kind, op)) {
                continue;
            }
            struct classes c = classify(&random, kind, op);
            assert_int_equal(c.privileged, op >= OP_LPSW && op <= OP_HALT);
            assert_int_equal(c.control_sensitive,
                             op == OP_LPSW || op == OP_SETR || op == OP_HALT || op == OP_JRST);
            assert_int_equal(c.location_sensitive, op == OP_SPSW || op == OP_LRA);
            assert_false(c.mode_sensitive);
            assert_int_equal(c.supervisor_sensitive, op >= OP_LPSW);
            assert_int_equal(c.user_sensitive, op == OP_LRA);
        }
    }
}

static struct setup setup_for(const struct monitor *monitor)
{
    return (struct setup){monitor, 1, 0, RANDOM_PROGRAM_WORDS};
}

/* Random programs see each instruction in both modes, with a trap and without one, where that can
 * be. */
static void test_random_programs_see_everything(void **state)
{
    struct monitor monitor;
    struct random random = {2};
    struct survey s;

    (void)state;
    monitor_build(&monitor, true, KIND_JRST);
    struct setup setup = setup_for(&monitor);
    survey(&random, &setup, 3, PROGRAMS, &s);
    assert_int_equal(s.verdict, HOLDS);
    assert_true(s.halted > PROGRAMS / 20);
    for (word op = 0; op <= OPS; op++) {
        bool is_there = machine_instruction(KIND_JRST, op) && op != OP_SVC;
        bool can_trap = op != OP_JUMP && op != OP_JRST;
        bool is_privileged = op >= OP_LPSW && op <= OP_HALT;
        assert_int_equal(s.seen[op][SUPERVISOR][0] > 0, is_there);
        assert_int_equal(s.seen[op][USER][0] > 0, is_there && !is_privileged);
        assert_int_equal(s.seen[op][SUPERVISOR][1] > 0, can_trap && op != OP_HALT);
        assert_int_equal(s.seen[op][USER][1] > 0, can_trap);
    }
}

/* What the survey says of a monitor without its instruction at this address. */
static enum verdict verdict_without(const struct monitor *monitor, word address)
{
    struct monitor broken = *monitor;
    struct setup setup = setup_for(&broken);
    struct random random = {3};
    struct survey s;

    broken.program.words[address] = OP_JUMP;
    broken.program.words[address + 1] = address + INSTRUCTION_WORDS;
    survey(&random, &setup, monitor->hybrid ? 3 : 1, 2 * PROGRAMS, &s);
    return s.verdict;
}

/*
 * Leave out each instruction of the monitors: the survey finds it.  (One that the VMM of theorem 1
 * could do without is needed in the hybrid VMM, of which it is a part, or the other way round.)
 */
static void test_each_instruction_is_needed(void **state)
{
    struct monitor vmm, hybrid;
    unsigned verdicts[NOT_EFFICIENT + 1] = {0};

    (void)state;
    monitor_build(&vmm, false, KIND_PLAIN);
    monitor_build(&hybrid, true, KIND_JRST);
    word routes = program_address(&hybrid.program, "routes");
    for (word n = vmm.start; n < routes; n += INSTRUCTION_WORDS) {
        enum verdict verdict = n < vmm.again ? verdict_without(&vmm, n) : HOLDS;
        if (verdict == HOLDS) {
            verdict = verdict_without(&hybrid, n);
        }
        if (verdict == HOLDS) {
            const struct label *label = program_place(&hybrid.program, n);
            fail_msg("%s+%u: not missed", label->name, n - label->address);
        }
        verdicts[verdict]++;
    }
    assert_true(verdicts[NOT_EQUIVALENT] > 100);
    assert_true(verdicts[NOT_CONFINED] > 5);
}

/* The hybrid VMM is no VMM by theorem 1: it interprets what is innocuous. */
static void test_interpreter_is_not_efficient(void **state)
{
    struct monitor monitor;
    struct random random = {4};
    struct survey s;

    (void)state;
    monitor_build(&monitor, true, KIND_PLAIN);
    struct setup setup = setup_for(&monitor);
    survey(&random, &setup, 1, PROGRAMS, &s);
    assert_int_equal(s.verdict, NOT_EFFICIENT);
    survey(&random, &setup, 3, PROGRAMS, &s);
    assert_int_equal(s.verdict, HOLDS);
}

/* The shortest programs on which the theorems' conditions show. */
static void test_failures(void **state)
{
    static const word jrst[RANDOM_PROGRAM_WORDS] = {
        [START] = OP_JRST, START + INSTRUCTION_WORDS, 0, OP_HALT};
    static const word lra[RANDOM_PROGRAM_WORDS] = {[NEW_PSW] = SUPERVISOR,
                                                   30,
                                                   0,
                                                   RANDOM_PROGRAM_WORDS,
                                                   [START] = OP_LPSW,
                                                   20,
                                                   [20] = USER,
                                                   24,
                                                   0,
                                                   RANDOM_PROGRAM_WORDS,
                                                   OP_LRA,
                                                   100,
                                                   0,
                                                   [30] = OP_HALT};
    struct pair pair;
    struct monitor monitor;
    struct setup setup = setup_for(&monitor);

    (void)state;
    for (int hybrid = 0; hybrid < 2; hybrid++) {
        monitor_build(&monitor, hybrid, KIND_JRST);
        assert_int_equal(ends_differently(&pair, &setup, jrst), !hybrid);
        monitor_build(&monitor, hybrid, KIND_LRA);
        assert_true(ends_differently(&pair, &setup, lra));
        assert_int_equal(pair.inner.E[100] - pair.bare.E[100], monitor.end);
        assert_false(pair.escaped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trap_swaps_the_psw),
        cmocka_unit_test(test_codes_that_there_are_not_trap),
        cmocka_unit_test(test_privileged_instructions_trap_in_user_mode),
        cmocka_unit_test(test_relocation_and_bounds),
        cmocka_unit_test(test_memory_trap_has_no_effect),
        cmocka_unit_test(test_any_mode_but_0_is_1),
        cmocka_unit_test(test_halt_stops_at_itself),
        cmocka_unit_test(test_assembler),
        cmocka_unit_test(test_assembler_complains),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_random_programs_see_everything),
        cmocka_unit_test(test_each_instruction_is_needed),
        cmocka_unit_test(test_interpreter_is_not_efficient),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
