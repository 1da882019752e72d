/* theorems.c - Popek and Goldberg's theorems, shown on the machine of machine.h.  See
 * docs/theorems.md. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "survey.h"

extern const char text_example[];

static const char *const kind_names[] = {"the machine", "the machine with jrst",
                                         "the machine with lra"};

/* What the theorems ask of a machine. */
struct conditions {
    bool theorem1; /* all sensitive instructions are privileged */
    bool theorem3; /* all user-sensitive instructions are privileged */
};

struct show {
    struct random random;
    unsigned programs;
    bool failed; /* something was not as the theorems say */
};

static void expect(struct show *show, bool is_so, const char *what)
{
    if (!is_so) {
        printf("  NOT AS THE THEOREM SAYS: %s\n", what);
        show->failed = true;
    }
}

/* ---- The classes of the instructions. */

static void print_classes(const char *name, const struct classes *c)
{
    printf("  %-8s%-13s%s%s%s%s%s%s\n", name, c->privileged ? "privileged" : "",
           is_sensitive(c) ? "sensitive:" : "innocuous", c->control_sensitive ? " control" : "",
           c->location_sensitive ? " location" : "", c->mode_sensitive ? " mode" : "",
           c->supervisor_sensitive ? ", in supervisor mode" : "",
           c->user_sensitive ? " and in user mode" : "");
}

static struct conditions show_classes(struct show *show, enum kind kind)
{
    struct conditions conditions = {true, true};

    printf("\nThe instructions of %s:\n", kind_names[kind]);
    for (word op = 0; op < OPS; op++) {
        const struct instruction *i = machine_instruction(kind, op);
        if (!i) {
            continue;
        }
        struct classes classes = classify(&show->random, kind, op);
        conditions.theorem1 &= !is_sensitive(&classes) || classes.privileged;
        conditions.theorem3 &= !classes.user_sensitive || classes.privileged;
        if (kind == KIND_PLAIN || op >= OP_JRST) {
            print_classes(i->name, &classes);
        }
    }
    if (kind != KIND_PLAIN) {
        printf("  (and those above)\n");
    }
    printf("  All sensitive ones are privileged: %s.  All user-sensitive ones are: %s.\n",
           conditions.theorem1 ? "yes" : "no", conditions.theorem3 ? "yes" : "no");
    return conditions;
}

/* ---- An example, instruction by instruction. */

/* The parts of the monitor that were entered. */
struct path {
    const struct program *monitor;
    char text[100];
};

static void follow(void *context, const struct machine *real)
{
    static const char *const parts[] = {"dispatch", "reflect", "interpret", "vlpsw",
                                        "vspsw",    "vsetr",   "vhalt",     "A"};
    struct path *path = context;

    for (size_t n = 0; real->M == SUPERVISOR && n < sizeof parts / sizeof *parts; n++) {
        if (real->P == program_address(path->monitor, parts[n])) {
            size_t length = strlen(path->text);
            snprintf(path->text + length, sizeof path->text - length, "%s%s", length ? " " : "  ",
                     parts[n]);
        }
    }
}

static void print_state(const struct machine *m)
{
    const word *code = machine_reach(m, m->P, INSTRUCTION_WORDS);
    char text[40] = "";

    if (code) {
        machine_disassemble(code, text, sizeof text);
    }
    printf("  %-6s%4u %4u %4u  %-13s", m->M == SUPERVISOR ? "super" : "user", m->P, m->l, m->b,
           text);
}

static void show_example(struct show *show)
{
    static const char *const traps[] = {"", "privileged", "memory", "call"};
    struct monitor monitor;
    struct program example;
    struct pair pair;
    char error[100];

    monitor_build(&monitor, false, KIND_PLAIN);
    if (assemble(&example, (const char *const[]){text_example, NULL}, error, sizeof error)) {
        expect(show, false, error);
        return;
    }
    printf("\nexample.asm on a machine of its own, and what each step takes on a virtual one:\n\n"
           "  M        P    l    b  instruction  trap        instructions, and through what\n");
    struct setup setup = {&monitor, 1, 0, example.words[NEW_PSW + 3]};
    pair_start(&pair, &setup, example.words);
    while (!pair.bare.halted) {
        struct path path = {.monitor = &monitor.program};
        pair.watch = follow;
        pair.context = &path;
        print_state(&pair.bare);
        struct step step = pair_step(&pair);
        printf("%-10s%6u%s\n", traps[step.trap], step.cost, path.text);
        if (!pair_same(&pair)) {
            expect(show, false, "the states differ");
            return;
        }
    }
    printf("\n  Both have halted with the answer %u; inside the real machine it is at E[%u].\n",
           pair.bare.E[program_address(&example, "answer")],
           monitor.end + program_address(&example, "answer"));
}

/* ---- Random programs. */

static void print_tally(const char *what, const struct tally *tally)
{
    printf("    %-24s%9" PRIu64 "%10.1f\n", what, tally->steps,
           tally->steps ? (double)tally->cost / (double)tally->steps : 0.0);
}

static void show_survey(struct show *show, const struct setup *setup, unsigned theorem,
                        unsigned programs)
{
    static const char *const verdicts[] = {
        [HOLDS] = "equivalence, resource control and efficiency hold",
        [NOT_EQUIVALENT] = "the virtual machine differs from the machine",
        [NOT_CONFINED] = "the program got out",
        [NOT_EFFICIENT] = "an innocuous instruction was not executed directly",
    };
    struct survey result;

    survey(&show->random, setup, theorem, programs, &result);
    printf("  %u random programs, %u of them halted:      steps  instructions each\n",
           result.programs, result.halted);
    print_tally("executed directly", &result.direct);
    print_tally("interpreted", &result.interpreted);
    print_tally("trap into the program", &result.trapped);
    printf("    %s.\n", verdicts[result.verdict]);
    expect(show, result.verdict == HOLDS, "these programs should all have passed");
}

static void show_theorem1(struct show *show)
{
    struct monitor monitor;

    monitor_build(&monitor, false, KIND_PLAIN);
    printf("\nTheorem 1: a VMM for %s, %u words of its own code.\n", kind_names[KIND_PLAIN],
           monitor.end);
    show_survey(show, &(struct setup){&monitor, 1, 0, RANDOM_PROGRAM_WORDS}, 1, show->programs);
}

static void show_theorem2(struct show *show)
{
    struct monitor monitor;

    monitor_build(&monitor, false, KIND_PLAIN);
    printf("\nTheorem 2: the VMM is a program.  Each step of a VMM and its guest, on the machine "
           "and on\n"
           "a virtual one:\n");
    show_survey(show, &(struct setup){&monitor, 1, 1, RANDOM_PROGRAM_WORDS}, 1,
                show->programs / 4 + 1);
    for (unsigned depth = 2; depth <= 3; depth++) {
        printf("\n  A machine in a machine, %u deep:\n", depth);
        show_survey(show, &(struct setup){&monitor, depth, 0, RANDOM_PROGRAM_WORDS}, 1,
                    show->programs / depth + 1);
    }
}

/* ---- Where it fails. */

/* Where the machine that runs it finds instructions. */
static void mark_code(const word *program, enum kind kind, bool *is_code)
{
    word E[RANDOM_PROGRAM_WORDS];
    struct machine m = machine_reset(kind, E, RANDOM_PROGRAM_WORDS);

    memcpy(E, program, sizeof E);
    for (int n = 0; n < PROGRAM_STEPS; n++) {
        const word *code = machine_reach(&m, m.P, INSTRUCTION_WORDS);
        if (code) {
            is_code[code - E] = true;
        }
        machine_step(&m);
    }
}

/* Four words of data in a row: the new PSW, or where something begins that is likely to be one. */
static bool has_psw(const word *program, word n)
{
    static const word nothing[PSW_WORDS];

    if (n == NEW_PSW) {
        return memcmp(program + n, nothing, sizeof nothing) != 0;
    }
    return n > START && program[n] && n + PSW_WORDS <= RANDOM_PROGRAM_WORDS;
}

/* A program with few words that are not 0: its instructions, and its PSWs or other data. */
static void print_program(const word *program, enum kind kind)
{
    bool is_code[RANDOM_PROGRAM_WORDS] = {false};

    mark_code(program, kind, is_code);
    for (word n = 0; n < RANDOM_PROGRAM_WORDS;) {
        char text[40];
        if (is_code[n]) {
            machine_disassemble(program + n, text, sizeof text);
            printf("    %3u: %s\n", n, text);
            n += INSTRUCTION_WORDS;
        } else if (has_psw(program, n)) {
            printf("    %3u: word %u %u %u %u\n", n, program[n], program[n + 1], program[n + 2],
                   program[n + 3]);
            n += PSW_WORDS;
        } else {
            if (program[n]) {
                printf("    %3u: word %u\n", n, program[n]);
            }
            n++;
        }
    }
    printf("    and 0 in all other words\n");
}

static void print_end(const char *what, const struct machine *m)
{
    printf("  %s %s: M = %s, P = %u, l = %u, b = %u\n", what, m->halted ? "halts" : "does not halt",
           m->M == SUPERVISOR ? "supervisor" : "user", m->P, m->l, m->b);
}

static void show_failure(struct show *show, bool hybrid, enum kind kind)
{
    struct monitor monitor;
    struct pair pair;
    word program[RANDOM_PROGRAM_WORDS];

    monitor_build(&monitor, hybrid, kind);
    printf("\n  %s on %s.  A program that ends differently:\n",
           hybrid ? "The hybrid VMM" : "The VMM of theorem 1", kind_names[kind]);
    struct setup setup = {&monitor, 1, 0, RANDOM_PROGRAM_WORDS};
    if (!find_failure(&show->random, &setup, 8000, program)) {
        expect(show, false, "no such program was found");
        return;
    }
    print_program(program, kind);
    expect(show, ends_differently(&pair, &setup, program), "it ends as it should");
    print_end("The machine        ", &pair.bare);
    print_end("The virtual machine", &pair.inner);
    for (word n = 0; n < RANDOM_PROGRAM_WORDS; n++) {
        if (pair.bare.E[n] != pair.inner.E[n]) {
            printf("    E[%u] is %u, and on the virtual machine %u\n", n, pair.bare.E[n],
                   pair.inner.E[n]);
        }
    }
    expect(show, !pair.escaped, "the program got out");
}

static void show_hybrid(struct show *show, enum kind kind)
{
    struct monitor monitor;

    monitor_build(&monitor, true, kind);
    printf("\n  The hybrid VMM on %s, %u words of its own code.\n", kind_names[kind], monitor.end);
    show_survey(show, &(struct setup){&monitor, 1, 0, RANDOM_PROGRAM_WORDS}, 3, show->programs);
    printf("\n  The same inside itself: the outer one interprets the inner one.\n");
    show_survey(show, &(struct setup){&monitor, 2, 0, RANDOM_PROGRAM_WORDS}, 3,
                show->programs / 200 + 1);
}

/* Each VMM on each of the other machines: it works if the theorem's condition is met. */
static void show_theorem3(struct show *show, const struct conditions *conditions)
{
    printf("\nTheorem 3: machines on which not all sensitive instructions are privileged.\n");
    for (enum kind kind = KIND_JRST; kind <= KIND_LRA; kind++) {
        expect(show, !conditions[kind].theorem1, "this machine should not meet theorem 1");
        show_failure(show, false, kind);
        if (conditions[kind].theorem3) {
            show_hybrid(show, kind);
        } else {
            show_failure(show, true, kind);
        }
    }
}

static void show_all(struct show *show)
{
    struct conditions conditions[KIND_LRA + 1];

    printf("Popek and Goldberg's theorems by construction: docs/theorems.md leads through this.\n");
    for (enum kind kind = KIND_PLAIN; kind <= KIND_LRA; kind++) {
        conditions[kind] = show_classes(show, kind);
    }
    expect(show, conditions[KIND_PLAIN].theorem1, "the machine should meet theorem 1");
    expect(show, conditions[KIND_JRST].theorem3, "the machine with jrst should meet theorem 3");
    expect(show, !conditions[KIND_LRA].theorem3, "the machine with lra should not meet theorem 3");
    show_example(show);
    show_theorem1(show);
    show_theorem2(show);
    show_theorem3(show, conditions);
    printf("\n%s\n", show->failed ? "Something was NOT as the theorems say."
                                  : "All was as the theorems say.");
}

/* ---- The command line. */

static const char help[] =
    "theorems - Popek and Goldberg's theorems on a machine of the third generation\n"
    "\n"
    "  --programs N   how many random programs for each theorem (default 4000)\n"
    "  --seed N       another choice of programs (default 1974)\n"
    "  --help         this\n"
    "\n"
    "Ends with status 0 if all is as the theorems say, 1 if not, 2 on a bad option.\n";

/* A number from 1 to UINT32_MAX; 0 if it is not one. */
static unsigned read_number(const char *text)
{
    char *rest;

    errno = 0;
    unsigned long value = strtoul(text, &rest, 10);
    return *rest || errno || text[0] == '-' || value > UINT32_MAX ? 0 : (unsigned)value;
}

/* Read the options.  Returns false on a bad one, having said so. */
static bool read_options(int argc, char **argv, struct show *show)
{
    for (int n = 1; n < argc; n += 2) {
        bool is_seed = !strcmp(argv[n], "--seed"), is_programs = !strcmp(argv[n], "--programs");
        unsigned value = n + 1 < argc ? read_number(argv[n + 1]) : 0;
        if (!is_seed && !is_programs) {
            fprintf(stderr, "theorems: %s: no such option; see --help\n", argv[n]);
            return false;
        }
        if (!value) {
            fprintf(stderr, "theorems: %s wants a number above 0; see --help\n", argv[n]);
            return false;
        }
        if (is_seed) {
            show->random.state = value;
        } else {
            show->programs = value;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct show show = {.random.state = 1974, .programs = 4000};

    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (!read_options(argc, argv, &show)) {
        return 2;
    }
    show_all(&show);
    return show.failed;
}
