/* lockstep.c - `ringer lockstep`: the same guest under two engines, compared. */
#include "app/lockstep.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/options.h"
#include "app/run.h"
#include "base/types.h"

#define INTERVAL_DEFAULT 10000u

/* Signal handlers must find these. */
static volatile int caught_signal;
static struct ringer *volatile running[2];

struct lockstep {
    struct options options;
    struct ringer_device devices[OPTIONS_ALL_DEVICES_MAX];
    char engines[2][32];
    uint64_t interval;
    bool terminal; /* progress is shown */
    bool wrote;    /* the guest's output has been shown: once is enough */
    bool progress; /* is on the line */
    int status;    /* of what went wrong in make() */
};

static void complain(struct lockstep *l, const char *text)
{
    if (l->progress) {
        fputs("\r\033[K", stderr);
        l->progress = false;
    }
    fprintf(stderr, "ringer: %s\n", text);
}

static void on_signal(int number)
{
    caught_signal = number;
    for (unsigned i = 0; i < 2; i++) {
        if (running[i]) {
            ringer_stop(running[i]);
        }
    }
}

/* ------------------------------------------------------------------ options */

static const char usage[] =
    "Usage: ringer lockstep --engines A,B [--every N] [OPTIONS of ringer run]\n"
    "Run the same guest under two engines, and find the first instruction after which\n"
    "they differ.\n\n"
    "  --engines A,B   two of interp, hybrid, trap; interp-nocache is interp without\n"
    "                  its cache of decoded instructions\n"
    "  --every N       compare after so many instructions of supervisor mode: 10000;\n"
    "                  also at each change between user mode and others\n\n"
    "Status 0: equal to the guest's end.  123: different; it is said where.\n";

static bool parse_engines(struct lockstep *l, const char *value, char *error, size_t size)
{
    const char *comma = strchr(value, ',');
    size_t first = comma ? (size_t)(comma - value) : 0;
    size_t second = comma ? strlen(comma + 1) : 0;
    if (first == 0 || second == 0 || strchr(comma + 1, ',') || first >= sizeof(l->engines[0]) ||
        second >= sizeof(l->engines[1])) {
        snprintf(error, size, "--engines '%.64s': write two engines, as in interp,hybrid", value);
        return false;
    }
    snprintf(l->engines[0], sizeof(l->engines[0]), "%.*s", (int)first, value);
    snprintf(l->engines[1], sizeof(l->engines[1]), "%s", comma + 1);
    return true;
}

static bool parse_every(struct lockstep *l, const char *value, char *error, size_t size)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || number == 0 || number > UINT32_MAX) {
        snprintf(error, size, "--every '%.64s': write a number from 1", value);
        return false;
    }
    l->interval = number;
    return true;
}

/* Takes "--name VALUE" and "--name=VALUE" out of the arguments.  1: found, 0: not this one, -1:
 * wrong. */
static int take(struct lockstep *l, char **argv, int argc, int *i, char *error, size_t size)
{
    static const struct {
        const char *name;
        bool (*parse)(struct lockstep *l, const char *value, char *error, size_t size);
    } own[] = {{"--engines", parse_engines}, {"--every", parse_every}};
    for (size_t k = 0; k < ARRAY_SIZE(own); k++) {
        size_t length = strlen(own[k].name);
        if (strncmp(argv[*i], own[k].name, length) != 0) {
            continue;
        }
        if (argv[*i][length] == '=') {
            return own[k].parse(l, argv[*i] + length + 1, error, size) ? 1 : -1;
        }
        if (argv[*i][length] == 0) {
            if (*i + 1 == argc) {
                snprintf(error, size, "option '%s' needs an argument", argv[*i]);
                return -1;
            }
            return own[k].parse(l, argv[++*i], error, size) ? 1 : -1;
        }
    }
    return 0;
}

/* The guest runs twice, and in virtual time: what comes from outside would not be the same. */
static bool check_devices(const struct options *o, char *error, size_t size)
{
    for (unsigned i = 0; i < o->device_count; i++) {
        const struct ringer_device *d = &o->devices[i];
        if (d->kind == RINGER_DEVICE_DISK && !d->disk.read_only) {
            snprintf(error, size, "disk '%.64s': both machines would write to it; add ,ro",
                     d->disk.source);
            return false;
        }
        if (d->kind != RINGER_DEVICE_DISK && d->kind != RINGER_DEVICE_RNG) {
            snprintf(error, size, "lockstep takes no devices but disks");
            return false;
        }
    }
    return true;
}

static bool check(const struct lockstep *l, char *error, size_t size)
{
    const struct options *o = &l->options;
    if (!l->engines[0][0]) {
        snprintf(error, size, "lockstep needs two engines: add --engines A,B");
    } else if (strcmp(o->engine, RINGER_CONFIG_DEFAULT.engine) != 0) {
        snprintf(error, size, "lockstep has --engines A,B, and no --engine");
    } else if (!check_devices(o, error, size)) {
        return false;
    } else if (o->record || o->replay || o->gdb.text || o->display || o->stats || o->trace) {
        snprintf(error, size,
                 "lockstep takes no --record, --replay, --gdb, --display, --stats and "
                 "--trace");
    } else {
        return true;
    }
    return false;
}

static bool parse(struct lockstep *l, int argc, char **argv, char *error, size_t size)
{
    int kept = 1, taken;
    for (int i = 1; i < argc; i++) {
        taken = take(l, argv, argc, &i, error, size);
        if (taken < 0) {
            return false;
        }
        if (taken == 0) {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return options_parse(&l->options, kept, argv, error, size) &&
           (l->options.help || check(l, error, size));
}

/* ------------------------------------------------------------------ what ringer_lockstep() calls
 */

/* The guest's output of one of the machines that it is run on. */
static void output(void *context, const void *bytes, size_t size)
{
    const struct lockstep *l = context;
    if (!l->wrote && write(STDOUT_FILENO, bytes, size) < 0) {
        return; /* nobody reads it */
    }
}

static struct ringer *make(void *context, unsigned which)
{
    struct lockstep *l = context;
    const struct options *o = &l->options;
    struct ringer_config config;
    struct ringer *machine;
    char error[512] = "";
    options_configure(o, &config, l->devices);
    config.engine = l->engines[which];
    config.icount = true;
    config.lockstep_interval = l->interval;
    if (which == 0) {
        config.serial[0].backend = "callback";
        config.serial[0].output = output;
        config.serial[0].context = l;
    }
    int result = ringer_create(&config, &machine, error, sizeof(error));
    if (result < 0) {
        complain(l, error[0] ? error : strerror(-result));
    } else {
        result = ringer_load(machine, o->protocol, o->kernel, o->initrd, o->append);
        if (result < 0) {
            complain(l, ringer_error(machine));
            ringer_destroy(machine);
        }
    }
    if (result < 0) {
        l->status = run_status_of_error(result);
        return NULL;
    }
    running[which] = machine;
    return machine;
}

static void destroy(void *context, unsigned which, struct ringer *machine)
{
    struct lockstep *l = context;
    running[which] = NULL; /* before it is gone */
    ringer_destroy(machine);
    l->wrote = true;
}

static void say(void *context, const char *line)
{
    struct lockstep *l = context;
    if (l->progress) {
        fputs("\r\033[K", stderr);
        l->progress = false;
    }
    fprintf(stderr, "%s\n", line);
}

static bool progress(void *context, const struct ringer_lockstep_figures *figures)
{
    struct lockstep *l = context;
    if (l->terminal) {
        fprintf(stderr, "\r%12" PRIu64 " instructions, %10" PRIu64 " events equal",
                figures->instructions, figures->events);
        l->progress = true;
    }
    return !caught_signal;
}

/* ------------------------------------------------------------------ all of it */

static int status_of(struct lockstep *l, enum ringer_lockstep_result result,
                     const struct ringer_lockstep_figures *figures)
{
    char line[160];
    switch (result) {
    case RINGER_LOCKSTEP_EQUAL:
        snprintf(line, sizeof(line),
                 "%s and %s are equal: %" PRIu64 " instructions, registers at %" PRIu64
                 " events, memory %u times",
                 l->engines[0], l->engines[1], figures->instructions, figures->events,
                 figures->memory_compared);
        say(l, line);
        return STATUS_OK;
    case RINGER_LOCKSTEP_DIFFERENT:
        return STATUS_DIFFERENT;
    case RINGER_LOCKSTEP_STOPPED:
    case RINGER_LOCKSTEP_FAILED:
        break;
    }
    return caught_signal ? 128 + caught_signal : l->status;
}

int lockstep_main(int argc, char **argv)
{
    static struct lockstep l = {.interval = INTERVAL_DEFAULT, .status = STATUS_FAILURE};
    struct ringer_lockstep_figures figures;
    struct sigaction action = {.sa_handler = on_signal};
    char error[512];
    if (!parse(&l, argc, argv, error, sizeof(error))) {
        complain(&l, error);
        return STATUS_USER;
    }
    if (l.options.help) {
        fputs(usage, stdout);
        return STATUS_OK;
    }
    l.terminal = isatty(STDERR_FILENO);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct ringer_lockstep request = {
        .names = {l.engines[0], l.engines[1]},
        .make = make,
        .destroy = destroy,
        .say = say,
        .progress = progress,
        .context = &l,
    };
    enum ringer_lockstep_result result = ringer_lockstep(&request, &figures);
    return status_of(&l, result, &figures);
}
