/*
 * options.c - the options of `ringer run`: one table, from which they are parsed, explained by
 * --help and completed by shells.
 */
#include "app/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "app/disk_option.h"
#include "app/net_option.h"
#include "app/share_option.h"
#include "app/vsock_option.h"
#include "base/types.h"

typedef bool parse_fn(struct options *options, const char *value, char *error, size_t error_size);

static parse_fn parse_memory, parse_cpus, parse_disk, parse_net, parse_protocol, parse_console,
    parse_balloon, parse_serial2, parse_hvc, parse_display, parse_share, parse_debug_console,
    parse_gdb, parse_record, parse_replay, parse_stats, parse_vsock;

struct row {
    char letter;          /* 0: none */
    const char *name;     /* without its dashes */
    const char *argument; /* as --help shows it; NULL: none; "[=...]": optional */
    const char *help;     /* NULL: for few; the manual page has it */
    const char *words;    /* what the argument may be, for completion; "file" for any file */
    parse_fn *parse;      /* NULL: the member at offset is set, a string or a bool */
    size_t offset;
};

#define MEMBER(name) offsetof(struct options, name)
#define BACKENDS     "stdio pty file: unix: none"

static const struct row rows[] = {
    {'k', "kernel", "FILE", "bzImage or ELF; without: a guest that is built in", "file", NULL,
     MEMBER(kernel)},
    {'i', "initrd", "FILE", "initial RAM disk", "file", NULL, MEMBER(initrd)},
    {'a', "append", "TEXT", "the kernel's command line", "", NULL, MEMBER(append)},
    {'m', "memory", "SIZE", "guest RAM: 512M; --balloon: unused RAM goes back",
     "256M 512M 1G 2G 4G", parse_memory, 0},
    {0, "balloon", "[=SIZE]", NULL, "", parse_balloon, 0},
    {'c', "cpus", "N", "number of vCPUs: 1", "1 2 4", parse_cpus, 0},
    {'e', "engine", "NAME", "auto, interp or hybrid (programs run natively)", "auto interp hybrid",
     NULL, MEMBER(engine)},
    {0, "unprotected", NULL, NULL, "", NULL, MEMBER(unprotected)},
    {'d', "disk", "FILE[,ro]", "disk: raw, device, nbd://...; ,format=qcow2", "file", parse_disk,
     0},
    {'n', "net", "WHAT", "network: user[,hostfwd=tcp::2222-:22] or passt", "user passt", parse_net,
     0},
    {0, "share", "DIR[:TAG][,ro]", "a directory that the guest mounts as virtiofs", "file",
     parse_share, 0},
    {0, "vsock", "PATH[,cid=N]", NULL, "file", parse_vsock, 0},
    {0, "protocol", "NAME", "auto, linux, vmlinux (quick), pvh, multiboot, elf",
     "auto linux vmlinux pvh multiboot elf", parse_protocol, 0},
    {0, "console", "WHERE", "COM1: stdio, pty, file:PATH, unix:PATH or none", BACKENDS,
     parse_console, 0},
    {0, "hvc", "WHERE", "virtio console hvc0; --serial2: COM2; likewise", BACKENDS, parse_hvc, 0},
    {0, "serial2", "WHERE", NULL, BACKENDS, parse_serial2, 0},
    {0, "display", "WHAT", "text: the screen, in this terminal; none", "none text", parse_display,
     0},
    {0, "debug-exit", NULL, NULL, "", NULL, MEMBER(debug_exit)},
    {0, "debug-console", "[=FILE]", NULL, "file", parse_debug_console, 0},
    {0, "testdev", NULL, NULL, "", NULL, MEMBER(testdev)},
    {0, "gdb", "WHERE[,wait]", "let gdb in: unix:PATH or tcp:127.0.0.1:PORT",
     "unix: tcp:127.0.0.1:", parse_gdb, 0},
    {0, "control", "PATH", NULL, "file", NULL, MEMBER(control)},
    {0, "restore", "DIR", "go on from a snapshot: ringer snapshot --help", "file", NULL,
     MEMBER(restore)},
    {0, "trace", "LIST", "exits,exceptions,interrupts,io to standard error",
     "exits exceptions interrupts io", NULL, MEMBER(trace)},
    {0, "stats", "[=FILE]", "figures at the end, as JSON", "file", parse_stats, 0},
    {0, "icount", NULL, "time from the instruction count: repeatable", "", NULL, MEMBER(icount)},
    {0, "record", "FILE", "keep the run's inputs; --replay FILE repeats it", "file", parse_record,
     0},
    {0, "replay", "FILE", NULL, "file", parse_replay, 0},
    {0, "no-reboot", NULL, "a guest's reset ends the machine, status 0", "", NULL,
     MEMBER(no_reboot)},
    {0, "version", NULL, NULL, "", NULL, MEMBER(version)},
    {'h', "help", NULL, "print this", "", NULL, MEMBER(help)},
};

#define ROWS ARRAY_SIZE(rows)

static bool is_optional(const struct row *row)
{
    return row->argument && row->argument[0] == '[';
}

/* A size with a suffix.  Without one it is in MiB: nobody wants a machine of so few bytes. */
static bool parse_size(const char *what, const char *value, uint64_t *size, char *error,
                       size_t error_size)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    const char *suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : suffixes + 1;
    if (!isdigit((unsigned char)*value) || !suffix || (*end && end[1])) {
        snprintf(error, error_size, "%s '%s': write a number and K, M, G or T, as in 512M", what,
                 value);
        return false;
    }
    unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);
    if (errno || number > UINT64_MAX >> shift || number << shift > INT64_MAX) {
        snprintf(error, error_size, "%s '%s' is beyond what an address can be", what, value);
        return false;
    }
    if (number == 0) {
        snprintf(error, error_size, "%s '%s': a machine needs some memory", what, value);
        return false;
    }
    *size = number << shift;
    return true;
}

static bool parse_memory(struct options *options, const char *value, char *error, size_t error_size)
{
    return parse_size("memory size", value, &options->memory_bytes, error, error_size);
}

static bool parse_balloon(struct options *options, const char *value, char *error,
                          size_t error_size)
{
    options->balloon = true;
    options->balloon_bytes = 0;
    return !value || parse_size("balloon size", value, &options->balloon_bytes, error, error_size);
}

static bool parse_cpus(struct options *options, const char *value, char *error, size_t error_size)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || number == 0 || number > 65535) {
        snprintf(error, error_size, "number of CPUs '%s': write a number from 1", value);
        return false;
    }
    options->cpus = (unsigned)number;
    return true;
}

/* The next place in the list of devices, or NULL. */
static struct ringer_device *add_device(struct options *options, char *error, size_t error_size)
{
    if (options->device_count == OPTIONS_DEVICES_MAX) {
        snprintf(error, error_size, "more than %u devices", OPTIONS_DEVICES_MAX);
        return NULL;
    }
    return &options->devices[options->device_count++];
}

static bool parse_disk(struct options *options, const char *value, char *error, size_t error_size)
{
    struct ringer_device *device = add_device(options, error, error_size);
    return device && disk_option_parse(device, value, error, error_size);
}

static bool parse_net(struct options *options, const char *value, char *error, size_t error_size)
{
    struct ringer_device *device = add_device(options, error, error_size);
    return device && net_option_parse(device, value, error, error_size);
}

static bool parse_share(struct options *options, const char *value, char *error, size_t error_size)
{
    struct ringer_device *device = add_device(options, error, error_size);
    return device && share_option_parse(device, value, error, error_size);
}

static bool parse_vsock(struct options *options, const char *value, char *error, size_t error_size)
{
    struct ringer_device *device = add_device(options, error, error_size);
    return device && vsock_option_parse(device, value, error, error_size);
}

static bool parse_protocol(struct options *options, const char *value, char *error,
                           size_t error_size)
{
    static const char *const names[] = {
        [RINGER_PROTOCOL_AUTO] = "auto",           [RINGER_PROTOCOL_LINUX] = "linux",
        [RINGER_PROTOCOL_VMLINUX] = "vmlinux",     [RINGER_PROTOCOL_PVH] = "pvh",
        [RINGER_PROTOCOL_MULTIBOOT] = "multiboot", [RINGER_PROTOCOL_ELF] = "elf",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(value, names[i])) {
            options->protocol = (enum ringer_protocol)i;
            return true;
        }
    }
    snprintf(error, error_size,
             "protocol '%s' is not known; there are auto, linux, vmlinux, pvh, multiboot and elf",
             value);
    return false;
}

static bool set_port(struct options *options, enum ringer_port port, const char *option,
                     const char *value, char *error, size_t error_size)
{
    static const char *const exact[] = {"stdio", "pty", "none"};
    options->ports[port] = value;
    for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
        if (!strcmp(value, exact[i])) {
            return true;
        }
    }
    if ((!strncmp(value, "file:", 5) || !strncmp(value, "unix:", 5)) && value[5]) {
        return true;
    }
    snprintf(error, error_size,
             "--%s '%s' is not known; there are stdio, pty, file:PATH, unix:PATH and none", option,
             value);
    return false;
}

static bool parse_console(struct options *options, const char *value, char *error,
                          size_t error_size)
{
    return set_port(options, RINGER_PORT_COM1, "console", value, error, error_size);
}

static bool parse_serial2(struct options *options, const char *value, char *error,
                          size_t error_size)
{
    return set_port(options, RINGER_PORT_COM2, "serial2", value, error, error_size);
}

static bool parse_hvc(struct options *options, const char *value, char *error, size_t error_size)
{
    if (!strcmp(value, "none")) { /* then the machine has no such device */
        options->ports[RINGER_PORT_HVC0] = NULL;
        return true;
    }
    return set_port(options, RINGER_PORT_HVC0, "hvc", value, error, error_size);
}

static bool parse_display(struct options *options, const char *value, char *error,
                          size_t error_size)
{
    options->display = !strcmp(value, "text");
    if (!options->display && strcmp(value, "none")) {
        snprintf(error, error_size, "display '%s' is not known; there are text and none", value);
        return false;
    }
    return true;
}

static bool parse_debug_console(struct options *options, const char *value, char *error,
                                size_t error_size)
{
    (void)error;
    (void)error_size;
    options->debug_console = true;
    options->debug_console_path = value;
    return true;
}

static bool parse_gdb(struct options *options, const char *value, char *error, size_t error_size)
{
    return gdb_place_parse(&options->gdb, value, error, error_size);
}

static bool parse_stats(struct options *options, const char *value, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    options->stats = true;
    options->stats_path = value;
    return true;
}

/* Both are of virtual time only. */
static bool parse_record(struct options *options, const char *value, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    options->icount = true;
    options->record = value;
    return true;
}

static bool parse_replay(struct options *options, const char *value, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    options->icount = true;
    options->replay = value;
    return true;
}

static bool set(struct options *options, const struct row *row, const char *value, char *error,
                size_t error_size)
{
    char *member = (char *)options + row->offset;
    if (row->parse) {
        return row->parse(options, value, error, error_size);
    }
    if (row->argument) {
        memcpy(member, &value, sizeof(value));
    } else {
        bool yes = true;
        memcpy(member, &yes, sizeof(yes));
    }
    return true;
}

/* The forms that getopt_long() wants: option i has the value 256 + i, or its letter. */
static void fill_getopt(struct option long_options[ROWS + 1], char short_options[2 * ROWS + 2])
{
    char *letter = short_options;
    *letter++ = ':';
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        int has_argument = !row->argument     ? no_argument
                           : is_optional(row) ? optional_argument
                                              : required_argument;
        long_options[i] = (struct option){row->name, has_argument, NULL, 256 + (int)i};
        if (row->letter) {
            *letter++ = row->letter;
            if (row->argument) {
                *letter++ = ':';
            }
        }
    }
    *letter = 0;
    long_options[ROWS] = (struct option){0};
}

static const struct row *find_row(int value)
{
    if (value >= 256) {
        return &rows[value - 256];
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].letter == value) {
            return &rows[i];
        }
    }
    return NULL;
}

bool options_is_stdio(const struct options *options, enum ringer_port port)
{
    return options->ports[port] && !strcmp(options->ports[port], "stdio");
}

/* A snapshot says these; an option would say something else. */
static bool is_of_machine(const char *name)
{
    static const char *const names[] = {"kernel",  "initrd", "append",     "memory",
                                        "balloon", "cpus",   "protocol",   "icount",
                                        "record",  "replay", "debug-exit", "testdev"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Checks what no option can check alone. */
static bool check(const struct options *options, char *error, size_t error_size)
{
    if (options->initrd && !options->kernel) {
        snprintf(error, error_size, "an initrd needs a kernel: add -k FILE");
        return false;
    }
    if (options->record && options->replay) {
        snprintf(error, error_size, "a run is either recorded or replayed: --record or --replay");
        return false;
    }
    unsigned on_stdio = 0;
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        on_stdio += options_is_stdio(options, (enum ringer_port)i);
    }
    if (options->display && on_stdio) {
        snprintf(error, error_size,
                 "the terminal shows the screen: a serial port cannot be on stdio, too");
        return false;
    }
    if (on_stdio > 1) {
        snprintf(error, error_size,
                 "only one serial port can be on stdio: add --console with another place");
        return false;
    }
    return true;
}

bool options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size)
{
    struct option long_options[ROWS + 1];
    char short_options[2 * ROWS + 2];
    fill_getopt(long_options, short_options);
    *options = (struct options){
        .memory_bytes = RINGER_CONFIG_DEFAULT.memory_bytes,
        .cpus = RINGER_CONFIG_DEFAULT.cpus,
        .engine = RINGER_CONFIG_DEFAULT.engine,
        .protocol = RINGER_PROTOCOL_AUTO,
    };
    const struct row *of_machine = NULL;
    opterr = 0;
    optind = 0;
    for (int value; (value = getopt_long(argc, argv, short_options, long_options, NULL)) != -1;) {
        if (value == ':') {
            snprintf(error, error_size, "option '%s' needs an argument", argv[optind - 1]);
            return false;
        }
        const struct row *row = find_row(value);
        if (value == '?' || !row) {
            bool lone = optopt > 0 && optopt < 256;
            const char letter[] = {'-', lone ? (char)optopt : '?', 0};
            snprintf(error, error_size, "option '%s' is not known, or not used so; try --help",
                     lone ? letter : argv[optind - 1]);
            return false;
        }
        if (!set(options, row, optarg, error, error_size)) {
            return false;
        }
        if (is_of_machine(row->name)) {
            of_machine = row;
        }
    }
    if (!options->ports[RINGER_PORT_COM1]) {
        bool taken = options->display || options_is_stdio(options, RINGER_PORT_HVC0);
        options->ports[RINGER_PORT_COM1] = taken ? "none" : "stdio";
    }
    if (options->help || options->version) {
        return true;
    }
    if (optind < argc) {
        snprintf(error, error_size, "argument '%s' is one too many; a kernel is given with -k FILE",
                 argv[optind]);
        return false;
    }
    if (options->restore && of_machine) {
        snprintf(error, error_size, "--%s: with --restore that is as the snapshot has it",
                 of_machine->name);
        return false;
    }
    return check(options, error, error_size);
}

void options_configure(const struct options *options, struct ringer_config *config,
                       struct ringer_device devices[OPTIONS_ALL_DEVICES_MAX])
{
    unsigned count = options->device_count + 1;
    devices[0] = (struct ringer_device){.kind = RINGER_DEVICE_RNG};
    memcpy(devices + 1, options->devices, options->device_count * sizeof(devices[0]));
    if (options->ports[RINGER_PORT_HVC0]) {
        devices[count++] = (struct ringer_device){.kind = RINGER_DEVICE_CONSOLE};
    }
    if (options->balloon) {
        devices[count++] = (struct ringer_device){.kind = RINGER_DEVICE_BALLOON,
                                                  .balloon.bytes = options->balloon_bytes};
    }
    *config = RINGER_CONFIG_DEFAULT;
    config->memory_bytes = options->memory_bytes;
    config->cpus = options->cpus;
    config->engine = options->engine;
    config->unprotected = options->unprotected;
    config->icount = options->icount;
    config->debug_exit = options->debug_exit;
    config->debug_console = options->debug_console;
    config->testdev = options->testdev;
    config->devices = devices;
    config->device_count = count;
}

void options_print_help(FILE *file)
{
    fprintf(file, "Usage: ringer run [OPTIONS], to run a virtual machine\n");
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        char names[40];
        if (!row->help) {
            continue;
        }
        snprintf(names, sizeof(names), "%c%c%s --%s%s%s", row->letter ? '-' : ' ',
                 row->letter ? row->letter : ' ', row->letter ? "," : " ", row->name,
                 row->argument && !is_optional(row) ? " " : "", row->argument ? row->argument : "");
        fprintf(file, "  %-27s %s\n", names, row->help);
    }
    fprintf(file,
            "\nOn a terminal Ctrl-A x quits, Ctrl-A h tells more.  More options: man ringer.\n");
}

void options_print_words(FILE *file)
{
    for (size_t i = 0; i < ROWS; i++) {
        fprintf(file, "--%s%s\t%s\n", rows[i].name, is_optional(&rows[i]) ? "=" : "",
                rows[i].words);
        if (rows[i].letter) {
            fprintf(file, "-%c\t%s\n", rows[i].letter, rows[i].words);
        }
    }
}
