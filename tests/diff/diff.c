/*
 * diff.c - native against interpreted: random but seeded instructions and states, run once on the
 * host CPU and once in the interpreter, and compared.  docs/equivalence.md tells how.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "repro.h"
#include "session.h"

#define SKIPPED 77 /* as Meson's tests say it */

static const char usage[] =
    "usage: diff [OPTION]...\n"
    "\n"
    "Run random instructions on the host CPU and in the interpreter, and compare all\n"
    "registers, flags, memory and exceptions.\n"
    "\n"
    "  --cases N          compare N cases (200000)\n"
    "  --seconds N        go on for N seconds at least\n"
    "  --seed N           other cases (0)\n"
    "  --only MNEMONIC    only single instructions of this name, such as 'adc'\n"
    "  --report FILE      write the number of cases of each row of x86.def there\n"
    "  --repro 'LINE'     only the case that a failure printed\n"
    "  --regressions FILE first the cases in FILE, one a line\n"
    "  --failures N       stop after N cases that differ (10)\n"
    "\n"
    "Status: 0 if all is the same, 1 if not, 77 if this host cannot compare.\n";

struct options {
    u64 cases, seed;
    unsigned seconds, failures;
    const char *only, *report, *repro, *regressions;
};

/* ------------------------------------------------------------------ thunks that fault */

static struct session *current; /* for the signal handler */

static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    u64 fixup = current ? guest_fixup(current->guest, (u64)gregs[REG_RIP]) : 0;

    (void)info;
    if (fixup) {
        gregs[REG_RIP] = (greg_t)fixup;
        return;
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
}

/* ------------------------------------------------------------------ options */

static bool parse_number(const char *text, u64 *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    return !errno && end != text && !*end;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"cases", 1, NULL, 'c'},       {"seconds", 1, NULL, 't'},
                                          {"seed", 1, NULL, 's'},        {"only", 1, NULL, 'o'},
                                          {"report", 1, NULL, 'r'},      {"repro", 1, NULL, 'p'},
                                          {"regressions", 1, NULL, 'g'}, {"failures", 1, NULL, 'f'},
                                          {"help", 0, NULL, 'h'},        {NULL, 0, NULL, 0}};
    int option;
    u64 number = 0;

    *o = (struct options){.cases = 200000, .failures = 10};
    while ((option = getopt_long(argc, argv, "", names, NULL)) >= 0) {
        bool is_number = option == 'c' || option == 't' || option == 's' || option == 'f';
        if (is_number && !parse_number(optarg, &number)) {
            fprintf(stderr, "diff: '%s' is not a number\n", optarg);
            return false;
        }
        switch (option) {
        case 'c':
            o->cases = number;
            break;
        case 't':
            o->seconds = (unsigned)number;
            break;
        case 's':
            o->seed = number;
            break;
        case 'f':
            o->failures = (unsigned)number;
            break;
        case 'o':
            o->only = optarg;
            break;
        case 'r':
            o->report = optarg;
            break;
        case 'p':
            o->repro = optarg;
            break;
        case 'g':
            o->regressions = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            return false;
        }
    }
    return optind == argc;
}

/* ------------------------------------------------------------------ given cases */

/* 0, or 1 if it differs, or 2 if the line is none. */
static int try_line(struct session *s, const char *line, bool print)
{
    struct diff_case *c = case_alloc(sizeof(*c));
    struct outcome *outcomes = case_alloc(2 * sizeof(*outcomes));
    const char *error, *what;
    int status = 0;

    if (!repro_read(line, c, &error)) {
        fprintf(stderr, "diff: %s: %s\n", error, line);
        status = 2;
    } else {
        what = session_try(s, c, &outcomes[0], &outcomes[1]);
        if (what || print) {
            session_print(s, c, what ? what : "nothing", &outcomes[0], &outcomes[1]);
        }
        status = what != NULL;
    }
    free(outcomes);
    free(c);
    return status;
}

static int try_file(struct session *s, const char *name)
{
    static char line[REPRO_MAX];
    FILE *file = fopen(name, "r");
    int status = 0;
    unsigned count = 0;

    if (!file) {
        fprintf(stderr, "diff: %s: %s\n", name, strerror(errno));
        return 2;
    }
    while (fgets(line, sizeof(line), file)) {
        if (line[0] != '#' && line[0] != '\n') {
            status |= try_line(s, line, false);
            count++;
        }
    }
    fclose(file);
    printf("%u cases of %s: %s\n", count, name, status ? "FAILED" : "ok");
    return status;
}

/* ------------------------------------------------------------------ all */

static int write_report(struct session *s, const char *name)
{
    FILE *file = fopen(name, "w");

    if (!file) {
        fprintf(stderr, "diff: %s: %s\n", name, strerror(errno));
        return 2;
    }
    report_write(&s->report, &s->generator.encodings, s->comparison.vendor, s->seed, file);
    fclose(file);
    return 0;
}

static int run(struct session *s, const struct options *o)
{
    int status = 0;

    if (o->repro) {
        return try_line(s, o->repro, true);
    }
    if (!s->slots) {
        fprintf(stderr, "diff: no row of the table is called '%s', or none may be run here\n",
                o->only);
        return 2;
    }
    if (o->regressions) {
        status |= try_file(s, o->regressions);
    }
    session_run(s, o->cases, o->seconds);
    report_totals(&s->report, stdout);
    if (!o->only) {
        report_rows_without(&s->report, &s->generator.encodings, stdout);
    }
    if (o->report) {
        status |= write_report(s, o->report);
    }
    if (!o->only && o->cases >= 200000 && report_missing(&s->report)) {
        fprintf(stderr, "diff: %u rows had no case\n", report_missing(&s->report));
        status |= 1;
    }
    return status | (s->report.different != 0);
}

int main(int argc, char **argv)
{
    struct options options;
    const char *reason;

    if (!parse(argc, argv, &options)) {
        return 2;
    }
    struct session *s = session_new(options.seed, options.only, &reason);
    if (!s) {
        printf("skipped: %s\n", reason);
        return SKIPPED;
    }
    current = s;
    handle_signals();
    s->program = argv[0];
    s->most_failures = options.failures;
    int status = run(s, &options);
    current = NULL;
    session_free(s);
    return status;
}
