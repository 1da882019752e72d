/* run.c - `ringer run`: makes a machine from the options, runs it, and makes it anew on a reset. */
#include "app/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/console.h"
#include "app/control.h"
#include "app/gdb/server.h"
#include "app/options.h"
#include "app/report.h"
#include "app/terminal.h"
#include "base/types.h"

/* Signal handlers must find these, so they are the process's, as the terminal is. */
static volatile int caught_signal;
static struct ringer *volatile running;

struct run {
    struct options options;
    struct ringer_device devices[OPTIONS_ALL_DEVICES_MAX]; /* see options_configure() */
    struct console console;
    struct display display;
    bool on_stdio; /* the console is one of the ports, or the screen */
    FILE *stats_file, *debug_file;
    FILE *error_file;        /* standard error while the guest has the terminal; NULL: stderr */
    struct gdb_server *gdb;  /* NULL: none */
    struct control *control; /* NULL: none */
    struct ringer_snapshot *snapshot; /* NULL: the machine begins at power-on */
    struct ringer *machine;
    unsigned resets; /* of the machine so far */
};

static void complain(const char *text)
{
    terminal_restore();
    fprintf(stderr, "ringer: %s\n", text);
}

/* ------------------------------------------------------------------ signals */

static void on_signal(int number)
{
    int saved_errno = errno;
    caught_signal = number;
    struct ringer *machine = running;
    if (machine) {
        ringer_stop(machine);
    }
    errno = saved_errno;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct sigaction old;
        sigaction(numbers[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) { /* nohup, or a background job of a plain shell */
            sigaction(numbers[i], &action, NULL);
        }
    }
    /* A closed standard output or socket is an error of write(), not our death. */
    signal(SIGPIPE, SIG_IGN);
}

/* ------------------------------------------------------------------ files */

/* Opens the output FILE of an option at once: better no start than no figures after an hour. */
static FILE *open_output(const char *option, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file) {
        char text[512];
        snprintf(text, sizeof(text), "--%s file '%s' cannot be written: %s", option, path,
                 strerror(errno));
        complain(text);
    }
    return file;
}

static bool open_files(struct run *run)
{
    const struct options *o = &run->options;
    if (o->stats_path && !(run->stats_file = open_output("stats", o->stats_path))) {
        return false;
    }
    return !o->debug_console_path ||
           (run->debug_file = open_output("debug-console", o->debug_console_path));
}

/* A device has something to say while the guest may have the terminal. */
static void message(void *context, const char *line)
{
    struct run *run = context;
    FILE *file = run->error_file ? run->error_file : stderr;
    fprintf(file, "ringer: %s\n", line);
    fflush(file);
}

static void debug_output(void *context, const void *bytes, size_t size)
{
    FILE *file = context;
    fwrite(bytes, 1, size, file);
    fflush(file);
}

/* ------------------------------------------------------------------ one machine */

static void configure(struct run *run, struct ringer_config *config)
{
    const struct options *o = &run->options;
    options_configure(o, config, run->devices);
    config->record_path = o->record;
    config->replay_path = o->replay;
    config->resets = run->resets;
    config->trace = o->trace;
    config->trace_file = run->error_file;
    config->message = message;
    config->message_context = run;
    if (run->debug_file || run->error_file) {
        config->debug_output = debug_output;
        config->debug_context = run->debug_file ? run->debug_file : run->error_file;
    }
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        bool stdio = options_is_stdio(o, (enum ringer_port)i);
        config->serial[i].backend = stdio ? "callback" : o->ports[i];
        config->serial[i].output = stdio ? console_output : NULL;
        config->serial[i].write = stdio ? console_write : NULL;
        config->serial[i].context = stdio ? &run->console : NULL;
    }
}

/* A disk is the same one in another place; a network card is on another network, of the same kind;
 * vsock's programs are elsewhere. */
static bool replace(struct ringer_device *device, const struct ringer_device *by)
{
    if (device->kind == RINGER_DEVICE_VSOCK) {
        device->vsock.path = by->vsock.path;
        return true;
    }
    if (device->kind == RINGER_DEVICE_DISK) {
        device->disk.source = by->disk.source;
        device->disk.format = by->disk.format;
        return true;
    }
    struct ringer_device card = *by;
    memcpy(card.net.address, device->net.address, sizeof(card.net.address));
    card.net.mtu = device->net.mtu;
    bool same = card.net.backend == device->net.backend;
    *device = card;
    return same;
}

/* The next of that kind from *next on, or NULL. */
static struct ringer_device *next_device(struct ringer_device *devices, unsigned count,
                                         unsigned *next, enum ringer_device_kind kind)
{
    while (*next < count && devices[*next].kind != kind) {
        ++*next;
    }
    return *next < count ? &devices[(*next)++] : NULL;
}

/* What the user gives of a kind, if any, stands for all that the snapshot has of it, in their
 * order. False where there are not as many. */
static bool replace_all(struct run *run, unsigned count, enum ringer_device_kind kind)
{
    struct options *o = &run->options;
    struct ringer_device *device, *by;
    unsigned next = 0, next_by = 0, number = 0;
    do {
        device = next_device(run->devices, count, &next, kind);
        by = next_device(o->devices, o->device_count, &next_by, kind);
        number++;
    } while (device && by && replace(device, by));
    return !by && (!device || number == 1);
}

/* The machine is the snapshot's, but for what its disks and network cards are connected to. */
static bool configure_restored(struct run *run, struct ringer_config *config)
{
    const struct options *o = &run->options;
    bool others = false, console = false;
    ringer_snapshot_configure(run->snapshot, config);
    if (config->device_count > ARRAY_SIZE(run->devices)) {
        complain("the snapshot's machine has more devices than there may be");
        return false;
    }
    memcpy(run->devices, config->devices, config->device_count * sizeof(run->devices[0]));
    config->devices = run->devices;
    for (unsigned i = 0; i < config->device_count; i++) {
        console |= run->devices[i].kind == RINGER_DEVICE_CONSOLE;
    }
    for (unsigned i = 0; i < o->device_count; i++) {
        enum ringer_device_kind kind = o->devices[i].kind;
        others |=
            kind != RINGER_DEVICE_DISK && kind != RINGER_DEVICE_NET && kind != RINGER_DEVICE_VSOCK;
    }
    if (others || !replace_all(run, config->device_count, RINGER_DEVICE_DISK) ||
        !replace_all(run, config->device_count, RINGER_DEVICE_NET) ||
        !replace_all(run, config->device_count, RINGER_DEVICE_VSOCK)) {
        complain("with --restore, -d, -n and --vsock can only say where the snapshot's disks and "
                 "what its networks are now: all of them");
        return false;
    }
    if (o->ports[RINGER_PORT_HVC0] && !console) {
        complain("the snapshot's machine has no virtio console");
        return false;
    }
    return true;
}

int run_status_of_error(int error)
{
    /* These say that the host is at fault. */
    bool host = error == -ENOMEM || error == -EAGAIN || error == -EMFILE || error == -ENFILE ||
                error == -EIO || error == -ENOSYS || error == -ETIMEDOUT;
    return host ? STATUS_FAILURE : STATUS_USER;
}

/* Creates and loads run->machine.  Returns STATUS_OK or, with a line to the user, another status.
 */
static int create(struct run *run)
{
    const struct options *o = &run->options;
    struct ringer_config config;
    char error[512] = "";
    configure(run, &config);
    if (run->snapshot && !configure_restored(run, &config)) {
        return STATUS_USER;
    }
    bool goes_on = run->snapshot && run->resets == 0;
    if (!goes_on) {
        config.snapshot = NULL;
    }
    int result = ringer_create(&config, &run->machine, error, sizeof(error));
    if (result < 0) {
        complain(error[0] ? error : strerror(-result));
        return run_status_of_error(result);
    }
    if (goes_on) {
        return STATUS_OK;
    }
    struct ringer_boot boot = {o->protocol, o->kernel, o->initrd, o->append};
    if (run->snapshot) { /* after a reset of the guest's */
        ringer_snapshot_boot(run->snapshot, &boot);
    }
    result = ringer_load(run->machine, boot.protocol, boot.kernel, boot.initrd, boot.command_line);
    if (result < 0) {
        complain(ringer_error(run->machine));
        return run_status_of_error(result);
    }
    return STATUS_OK;
}

static void destroy(struct run *run)
{
    running = NULL;
    if (run->on_stdio) {
        console_detach(&run->console);
    }
    if (run->gdb) {
        gdb_server_detach(run->gdb);
    }
    if (run->control) {
        control_detach(run->control);
    }
    ringer_destroy(run->machine);
    run->machine = NULL;
}

/* Tells where to find the ports that are neither here nor named by the user. */
static void tell_paths(struct run *run)
{
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        const char *where = run->options.ports[i], *path = ringer_serial_path(run->machine, i);
        if (where && !strcmp(where, "pty") && path) {
            fprintf(stderr, "ringer: %s is at %s\n", report_port_name((enum ringer_port)i), path);
        }
    }
    if (run->gdb && (run->options.gdb.wait ||
                     strncmp(run->options.gdb.text, run->gdb->name, run->options.gdb.length))) {
        fprintf(stderr, "ringer: gdb connects to %s%s\r\n", run->gdb->name,
                run->gdb->waits ? "; the guest waits for it" : "");
    }
}

/* The status of a run that ended well, but for the guest's output. */
static int status_of_output(const struct run *run)
{
    char text[256];
    switch (run->on_stdio ? run->console.output_error : 0) {
    case 0:
    case EIO: /* the terminal has gone */
        return STATUS_OK;
    case EPIPE:
        return 128 + SIGPIPE; /* as any program whose reader has enough */
    }
    snprintf(text, sizeof(text), "the guest's output cannot be written: %s",
             strerror(run->console.output_error));
    complain(text);
    return STATUS_FAILURE;
}

static int finish(struct run *run, const struct ringer_exit *end)
{
    if (run->on_stdio) {
        console_end_line(&run->console);
    }
    switch (end->reason) {
    case RINGER_EXIT_POWER_OFF:
    case RINGER_EXIT_RESET:
        return status_of_output(run);
    case RINGER_EXIT_DEBUG:
        return (int)((end->code << 1 | 1) & 0xff);
    case RINGER_EXIT_TRIPLE_FAULT:
        terminal_restore();
        fprintf(stderr, "ringer: the guest ended in a triple fault, on CPU %u\n", end->cpu);
        report_cpu(stderr, run->machine, end->cpu);
        return STATUS_TRIPLE_FAULT;
    case RINGER_EXIT_COUNT:
    case RINGER_EXIT_STOPPED:
        return caught_signal ? 128 + caught_signal : status_of_output(run);
    case RINGER_EXIT_REPLAYED:
        terminal_restore();
        fprintf(stderr, "ringer: the recording ends here\n");
        return status_of_output(run);
    case RINGER_EXIT_DIVERGED:
        complain(ringer_error(run->machine));
        return STATUS_DIFFERENT;
    case RINGER_EXIT_UNSUPPORTED:
        complain(ringer_error(run->machine));
        return STATUS_USER;
    case RINGER_EXIT_FAILURE:
        break;
    }
    complain(ringer_error(run->machine));
    report_cpu(stderr, run->machine, end->cpu);
    return STATUS_FAILURE;
}

static bool wants_end(void *context)
{
    const struct run *run = context;
    return caught_signal || (run->gdb && run->gdb->quit) || (run->control && run->control->quit) ||
           (run->on_stdio && console_wants_end(&run->console));
}

/* What gdb is told: it knows only signals. */
static int status_for_gdb(const struct ringer_exit *end, int status)
{
    return end->reason == RINGER_EXIT_TRIPLE_FAULT ? -SIGABRT : status;
}

static int run_guest(struct run *run, struct ringer_exit *end)
{
    return run->gdb ? gdb_server_run(run->gdb, end) : ringer_run(run->machine, end);
}

/* Runs the machine to its end.  *again is set where the guest wants a new one. */
static int run_machine(struct run *run, bool *again)
{
    struct ringer_exit end = {.reason = RINGER_EXIT_FAILURE};
    if (run->gdb && gdb_server_attach(run->gdb, run->machine) < 0) {
        complain(ringer_error(run->machine));
        return STATUS_FAILURE;
    }
    if (run->on_stdio) {
        int result = console_attach(&run->console, run->machine);
        if (result < 0) {
            complain("standard input cannot be watched");
            return STATUS_FAILURE;
        }
    }
    if (run->control) {
        control_attach(run->control, run->machine);
    }
    running = run->machine;
    if (wants_end(run)) { /* the signal came before it could reach this machine */
        end.reason = RINGER_EXIT_STOPPED;
    } else {
        int result = run_guest(run, &end);
        if (result == -EINVAL) { /* a recording of another machine */
            complain(ringer_error(run->machine));
            return STATUS_USER;
        }
    }
    if (end.reason == RINGER_EXIT_RESET && !run->options.no_reboot && !wants_end(run)) {
        *again = true;
        run->resets++;
        return STATUS_OK;
    }
    int status = finish(run, &end);
    if (run->gdb) {
        gdb_server_tell_end(run->gdb, status_for_gdb(&end, status));
    }
    return status;
}

/* The figures of the machine that ended last. */
static int write_stats(struct run *run, int status)
{
    terminal_restore();
    int result = report_stats(run->stats_file ? run->stats_file : stderr, run->machine);
    if (result < 0) {
        complain("the figures of --stats cannot be written");
        return status == STATUS_OK ? STATUS_FAILURE : status;
    }
    return status;
}

static int run_all(struct run *run)
{
    int status;
    bool again = true, told = false;
    while (again) {
        again = false;
        status = create(run);
        if (status == STATUS_OK) {
            if (!told) {
                tell_paths(run);
            }
            if (run->on_stdio && !told) {
                /* Only now: what was told so far was told on a terminal in order. */
                console_start(&run->console);
            }
            told = true;
            status = run_machine(run, &again);
            if (!again && run->options.stats) {
                status = write_stats(run, status);
            }
        }
        destroy(run);
    }
    return status;
}

static bool open_gdb(struct run *run)
{
    const struct options *o = &run->options;
    char error[512];
    run->gdb = gdb_server_create(&o->gdb, o->kernel, o->replay != NULL, error, sizeof(error));
    if (!run->gdb) {
        complain(error);
        return false;
    }
    run->gdb->wants_end = wants_end;
    run->gdb->wants_end_context = run;
    return true;
}

/* What has to be there before the terminal is the guest's. */
static bool open_doors(struct run *run, struct control *control)
{
    const struct options *o = &run->options;
    char error[512];
    if (o->restore && ringer_snapshot_open(o->restore, &run->snapshot, error, sizeof(error)) < 0) {
        complain(error);
        return false;
    }
    if (o->control && !control_open(control, o->control, error, sizeof(error))) {
        complain(error);
        return false;
    }
    run->control = o->control ? control : NULL;
    return !o->gdb.text || open_gdb(run);
}

static void close_doors(struct run *run)
{
    if (run->control) {
        control_close(run->control);
    }
    gdb_server_destroy(run->gdb);
    ringer_snapshot_close(run->snapshot);
}

int run_main(int argc, char **argv)
{
    struct run run = {.machine = NULL};
    struct control control;
    char error[512];
    if (!options_parse(&run.options, argc, argv, error, sizeof(error))) {
        complain(error);
        return STATUS_USER;
    }
    if (run.options.help) {
        options_print_help(stdout);
        return STATUS_OK;
    }
    if (run.options.version) {
        printf("ringer %s\n", ringer_version());
        return STATUS_OK;
    }
    if (run.options.display && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
        complain("the screen can only be shown in a terminal");
        return STATUS_USER;
    }
    if (!open_files(&run)) {
        return STATUS_USER;
    }
    if (!open_doors(&run, &control)) {
        close_doors(&run);
        return STATUS_USER;
    }
    enum ringer_port port = RINGER_PORT_COM1;
    while (port < RINGER_SERIAL_PORTS && !options_is_stdio(&run.options, port)) {
        port++;
    }
    run.on_stdio = run.options.display || port < RINGER_SERIAL_PORTS;
    display_init(&run.display, console_output, &run.console);
    console_init(&run.console, port, run.options.display ? &run.display : NULL, &caught_signal);
    run.error_file = terminal_open_errors();
    catch_signals();
    int status = run_all(&run);
    close_doors(&run);
    terminal_restore();
    if (run.error_file) {
        fclose(run.error_file);
    }
    return status;
}
