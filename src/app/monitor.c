/* monitor.c - the monitor's line editor and commands. */
#include "app/monitor.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/monitor_commands.h"
#include "app/report.h"
#include "base/types.h"

#define MAX_COUNT 1024 /* of units that one x shows */

enum {
    KEY_CTRL_C = 3,
    KEY_CTRL_D = 4,
    KEY_BACKSPACE = 8,
    KEY_CTRL_U = 21,
    KEY_ESCAPE = 27,
    KEY_DELETE = 127,
};

static void print(struct monitor *monitor, const char *fmt, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static void print(struct monitor *monitor, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (length > 0) {
        monitor->output(monitor->context, text,
                        (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
    }
}

void monitor_say(struct monitor *monitor, const char *text)
{
    monitor->output(monitor->context, text, strlen(text));
}

static void prompt(struct monitor *monitor)
{
    monitor->length = 0;
    print(monitor, "(ringer) ");
}

void monitor_interrupt(struct monitor *monitor, const char *text)
{
    print(monitor, "\r%s\r\n(ringer) ", text);
    monitor->output(monitor->context, monitor->line, monitor->length);
}

/* ------------------------------------------------------------------ info */

static bool info_registers(struct monitor *monitor)
{
    struct ringer_registers registers;
    char text[2000];
    for (unsigned cpu = 0; ringer_get_registers(monitor->machine, cpu, &registers) == 0; cpu++) {
        report_registers(text, sizeof(text), &registers, "\r\n");
        print(monitor, "CPU %u\r\n", cpu);
        print(monitor, "%s", text);
    }
    return false;
}

static void print_mapping(void *context, uint64_t gva, uint64_t size, uint64_t gpa, bool writable,
                          bool user, bool executable)
{
    print(context, "%016" PRIx64 "-%016" PRIx64 " to %012" PRIx64 " %c%c%c\r\n", gva,
          gva + (size - 1), gpa, user ? 'u' : 's', writable ? 'w' : 'r', executable ? 'x' : '-');
}

static bool info_mem(struct monitor *monitor)
{
    if (ringer_walk_mappings(monitor->machine, 0, print_mapping, monitor) < 0) {
        print(monitor, "%s\r\n", ringer_error(monitor->machine));
    }
    return false;
}

static bool info_status(struct monitor *monitor)
{
    struct ringer_stats stats;
    print(monitor, "the guest %s\r\n",
          ringer_is_paused(monitor->machine) ? "is stopped" : "is running");
    if (ringer_get_stats(monitor->machine, &stats) == 0) {
        print(monitor, "%" PRIu64 " instructions in %.1f s\r\n", stats.instructions, stats.seconds);
    }
    for (unsigned port = 0; port < RINGER_SERIAL_PORTS; port++) {
        const char *path = ringer_serial_path(monitor->machine, port);
        if (path) {
            print(monitor, "%s is at %s\r\n", report_port_name((enum ringer_port)port), path);
        }
    }
    return false;
}

/* ------------------------------------------------------------------ x */

struct format {
    unsigned count;
    char letter;   /* x, d, u, c or i */
    unsigned size; /* of a unit, in bytes */
};

/* What stands after "x/" and "xp/": a count, a letter and a size, each optional. */
static bool parse_format(const char *text, struct format *format)
{
    *format = (struct format){1, 'x', 4};
    if (isdigit((unsigned char)*text)) {
        char *end;
        unsigned long count = strtoul(text, &end, 10);
        format->count = count < MAX_COUNT ? (unsigned)count : MAX_COUNT;
        text = end;
    }
    for (; *text; text++) {
        static const char sizes[] = "bhwg";
        const char *size = strchr(sizes, *text);
        if (size) {
            format->size = 1u << (size - sizes);
        } else if (strchr("xduci", *text)) {
            format->letter = *text;
            format->size = *text == 'c' ? 1 : format->size;
        } else {
            return false;
        }
    }
    return true;
}

/* The value of "$rip" and such. */
static bool register_value(struct monitor *monitor, const char *name, uint64_t *value)
{
    static const char *const gpr[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    struct ringer_registers registers;
    if (ringer_get_registers(monitor->machine, 0, &registers) < 0) {
        return false;
    }
    if (!strcmp(name, "rip") || !strcmp(name, "pc")) {
        *value = registers.rip + registers.segment[RINGER_CS].base;
        return true;
    }
    for (unsigned i = 0; i < 16; i++) {
        if (!strcmp(name, gpr[i])) {
            *value = registers.gpr[i];
            return true;
        }
    }
    return false;
}

/* A number or $register, and maybe + or - a number. */
static bool parse_address(struct monitor *monitor, char *text, uint64_t *address)
{
    char *end;
    if (*text == '$') {
        char *name = text + 1;
        size_t length = strcspn(name, "+-");
        char sign = name[length];
        name[length] = 0;
        if (!register_value(monitor, name, address)) {
            return false;
        }
        if (!sign) {
            return true;
        }
        text = name + length + 1;
        uint64_t offset = strtoull(text, &end, 0);
        *address = sign == '+' ? *address + offset : *address - offset;
    } else {
        *address = strtoull(text, &end, 0);
    }
    return end != text && !*end;
}

static void print_unit(struct monitor *monitor, const struct format *format, uint64_t value)
{
    unsigned shift = 64 - 8 * format->size;
    int64_t extended = (int64_t)(value << shift) >> shift;
    switch (format->letter) {
    case 'd':
        print(monitor, " %" PRId64, extended);
        break;
    case 'u':
        print(monitor, " %" PRIu64, value);
        break;
    case 'c':
        print(monitor, isprint((int)value) ? " '%c'" : " \\%03o", (unsigned)value);
        break;
    default:
        print(monitor, " 0x%0*" PRIx64, (int)(2 * format->size), value);
        break;
    }
}

static void print_memory(struct monitor *monitor, const struct format *format, bool physical)
{
    unsigned in_line = format->size == 1 ? 8 : 16 / format->size; /* 80 columns */
    for (unsigned i = 0; i < format->count; i++) {
        uint64_t address = monitor->next_address;
        uint64_t value = 0;
        int result = physical
                         ? ringer_read_memory(monitor->machine, address, &value, format->size)
                         : ringer_read_virtual(monitor->machine, 0, address, &value, format->size);
        if (i % in_line == 0) {
            print(monitor, "%s%016" PRIx64 ":", i ? "\r\n" : "", address);
        }
        if (result < 0) {
            print(monitor, " no memory there");
            break;
        }
        print_unit(monitor, format, value);
        monitor->next_address = address + format->size;
    }
    print(monitor, "\r\n");
}

static void print_code(struct monitor *monitor, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char text[128];
        uint64_t address = monitor->next_address;
        int length = ringer_disassemble(monitor->machine, 0, address, text, sizeof(text));
        if (length == -EFAULT) {
            snprintf(text, sizeof(text), "no memory there");
        }
        print(monitor, "%016" PRIx64 ": %s\r\n", address, text);
        if (length == -EFAULT) {
            break;
        }
        monitor->next_address = address + (length > 0 ? (unsigned)length : 1);
    }
}

/* x/FORMAT [ADDRESS] and xp/FORMAT [ADDRESS]; word points behind the x or xp. */
static bool examine(struct monitor *monitor, const char *word, char *address, bool physical)
{
    struct format format;
    if (!parse_format(*word == '/' ? word + 1 : "", &format) || (*word && *word != '/')) {
        print(monitor, "write x/ with a count, one of x d u c i, and one of b h w g\r\n");
        return false;
    }
    if (address && !parse_address(monitor, address, &monitor->next_address)) {
        print(monitor, "'%s' is no address: write a number, or $rip+0x10\r\n", address);
        return false;
    }
    if (format.letter != 'i') {
        print_memory(monitor, &format, physical);
    } else if (physical) {
        print(monitor, "xp has no i: x/i shows code where the guest has it mapped\r\n");
    } else {
        print_code(monitor, format.count);
    }
    return false;
}

/* ------------------------------------------------------------------ commands */

static bool help(struct monitor *monitor)
{
    print(monitor,
          "info registers   the CPUs' registers\r\n"
          "info mem         what the guest has mapped\r\n"
          "info network     network cards, and their connections to the host\r\n"
          "info status      running or stopped, and for how long\r\n"
          "info balloon     how much of its memory the guest has, and uses\r\n"
          "balloon MIB      have the guest keep to so much memory\r\n"
          "x/FMT ADDRESS    memory, as the guest sees it: x/8i $rip, x/4xg 0x1000\r\n"
          "                 FMT: how many; x d u c, or i for code; b h w g for the size\r\n"
          "xp/FMT ADDRESS   guest-physical memory\r\n"
          "screen           what the guest's screen shows, as text\r\n"
          "type TEXT        on the guest's keyboard; \\n is Enter\r\n"
          "key KEYS         likewise: key f1, key ctrl-alt-delete\r\n"
          "snapshot DIR     keep the machine in a new directory: ringer run --restore DIR\r\n"
          "stop, cont       hold the guest, let it go on\r\n"
          "quit             end the machine\r\n"
          "Ctrl-A c closes the monitor, and so does Ctrl-D.\r\n");
    return false;
}

/* ------------------------------------------------------------------ running */

static bool stop(struct monitor *monitor)
{
    if (ringer_pause(monitor->machine) < 0) {
        print(monitor, "%s\r\n", ringer_error(monitor->machine));
    }
    return false;
}

static bool cont(struct monitor *monitor)
{
    if (ringer_is_paused(monitor->machine)) {
        ringer_resume(monitor->machine);
    }
    return false;
}

static bool quit(struct monitor *monitor)
{
    (void)monitor;
    return true;
}

static const struct command {
    const char *word, *second; /* second: NULL if it has none */
    bool (*run)(struct monitor *monitor);
    bool looks;    /* inside the guest, which has to be held meanwhile */
    bool has_text; /* instead of a second word: monitor->argument */
} commands[] = {
    {"help", NULL, help, false, false},
    {"info", "registers", info_registers, true, false},
    {"info", "mem", info_mem, true, false},
    {"info", "network", monitor_network, false, false},
    {"info", "status", info_status, false, false},
    {"info", "balloon", monitor_info_balloon, false, false},
    {"balloon", NULL, monitor_balloon, false, true},
    {"stop", NULL, stop, false, false},
    {"cont", NULL, cont, false, false},
    {"screen", NULL, monitor_screen, false, false},
    {"type", NULL, monitor_type, false, true},
    {"key", NULL, monitor_key, false, true},
    {"snapshot", NULL, monitor_snapshot, false, true},
    {"quit", NULL, quit, false, false},
};

/* Holds the guest, unless it is held already.  True if it has to be let go afterwards. */
static bool hold(struct monitor *monitor)
{
    return !ringer_is_paused(monitor->machine) && ringer_pause(monitor->machine) == 0;
}

static bool run_command(struct monitor *monitor, const struct command *command)
{
    bool held = command->looks && hold(monitor);
    bool end = command->run(monitor);
    if (held) {
        ringer_resume(monitor->machine);
    }
    return end;
}

static bool run_examine(struct monitor *monitor, const char *word, char *address)
{
    bool physical = word[1] == 'p';
    bool held = hold(monitor);
    examine(monitor, word + (physical ? 2 : 1), address, physical);
    if (held) {
        ringer_resume(monitor->machine);
    }
    return false;
}

/* Words may be cut short: "i r" is "info registers". */
static bool is_short_for(const char *typed, const char *word)
{
    return typed && word ? !strncmp(typed, word, strlen(typed)) : typed == word;
}

bool monitor_execute(struct monitor *monitor)
{
    char *rest;
    char *word = strtok_r(monitor->line, " \t", &rest);
    monitor->failed = false;
    if (!word) {
        return false;
    }
    snprintf(monitor->argument, sizeof(monitor->argument), "%s", rest + strspn(rest, " \t"));
    char *second = strtok_r(NULL, " \t", &rest);
    if (word[0] == 'x' && (strchr("/p", word[1]) || !word[1])) {
        return run_examine(monitor, word, second);
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct command *c = &commands[i];
        if (is_short_for(word, c->word) && (c->has_text || is_short_for(second, c->second))) {
            return run_command(monitor, c);
        }
    }
    print(monitor, "that is not known; help tells what is\r\n");
    monitor->failed = true;
    return false;
}

/* ------------------------------------------------------------------ the line */

static void erase(struct monitor *monitor)
{
    if (monitor->length > 0) {
        monitor->length--;
        print(monitor, "\b \b");
    }
}

static void insert(struct monitor *monitor, char c)
{
    if (monitor->length < sizeof(monitor->line) - 1) {
        monitor->line[monitor->length++] = c;
        print(monitor, "%c", c);
    }
}

/* Swallows what a function key sends after its ESC: [ or O, parameters, a letter or ~.  The arrow
 * up brings the last line back. */
static void take_key(struct monitor *monitor, uint8_t byte)
{
    bool first = monitor->key == KEY_ESCAPE;
    monitor->key = byte;
    if (first ? byte == '[' || byte == 'O' : byte < 0x40) {
        return;
    }
    monitor->key = 0;
    if (byte == 'A' && !first) {
        while (monitor->length > 0) {
            erase(monitor);
        }
        for (const char *c = monitor->last; *c; c++) {
            insert(monitor, *c);
        }
    }
}

bool monitor_input(struct monitor *monitor, uint8_t byte)
{
    bool end = false;
    if (monitor->waits) {
        return false;
    }
    if (monitor->key) {
        take_key(monitor, byte);
        return false;
    }
    switch (byte) {
    case '\r':
    case '\n':
        print(monitor, "\r\n");
        monitor->line[monitor->length] = 0;
        if (monitor->length > 0) {
            memcpy(monitor->last, monitor->line, monitor->length + 1);
        }
        end = monitor_execute(monitor);
        if (!end && !monitor->waits) {
            prompt(monitor);
        }
        break;
    case KEY_BACKSPACE:
    case KEY_DELETE:
        erase(monitor);
        break;
    case KEY_ESCAPE:
        monitor->key = byte;
        break;
    case KEY_CTRL_C:
        print(monitor, "^C\r\n");
        prompt(monitor);
        break;
    case KEY_CTRL_D:
        monitor_close(monitor);
        break;
    case KEY_CTRL_U:
        while (monitor->length > 0) {
            erase(monitor);
        }
        break;
    default:
        if (byte >= ' ') {
            insert(monitor, (char)byte);
        }
        break;
    }
    return end;
}

void monitor_ready(struct monitor *monitor, bool good)
{
    monitor->failed = !good;
    monitor->waits = false;
    if (monitor->ready) {
        monitor->ready(monitor->context);
    } else if (monitor->open) {
        prompt(monitor);
    }
}

void monitor_init(struct monitor *monitor, ringer_output_fn *output, void *context)
{
    *monitor = (struct monitor){.output = output, .context = context};
}

void monitor_open(struct monitor *monitor, struct ringer *machine)
{
    monitor->machine = machine;
    monitor->open = true;
    print(monitor, "\r\nRinger's monitor: help tells the commands, Ctrl-A c leaves.\r\n");
    prompt(monitor);
}

void monitor_close(struct monitor *monitor)
{
    if (monitor->open) {
        monitor->open = false;
        print(monitor, "\r\n%s",
              ringer_is_paused(monitor->machine)
                  ? "(the guest is stopped: cont in the monitor lets it go on)\r\n"
                  : "");
    }
}
