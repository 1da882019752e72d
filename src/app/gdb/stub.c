/* stub.c - gdb's remote protocol on a machine: what each packet does; see stub.h. */
#include "app/gdb/stub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/gdb/breakpoints.h"
#include "app/gdb/go.h"
#include "base/types.h"

/* A packet's payload behind its name, ended by a 0; size is for binary ones. */
typedef void packet_fn(struct gdb_stub *stub, const char *args, size_t size);

/* ------------------------------------------------------------------ replies */

static void send_reply(struct gdb_stub *s)
{
    char frame[GDB_FRAME_BYTES];
    size_t size;

    if (s->reply.overflow) {
        gdb_writer_clear(&s->reply);
        gdb_writer_add(&s->reply, "E07"); /* E2BIG */
    }
    size = gdb_writer_frame(&s->reply, frame);
    s->host->send(s->host->context, frame, size);
}

void gdb_reply_ok(struct gdb_stub *s)
{
    gdb_writer_add(&s->reply, "OK");
}

void gdb_reply_error(struct gdb_stub *s, int error)
{
    gdb_writer_clear(&s->reply);
    gdb_writer_add(&s->reply, "E%02d", error < 0 && error > -100 ? -error : EIO);
}

/* ------------------------------------------------------------------ stops */

static bool get_state(struct gdb_stub *s, unsigned cpu, struct gdb_state *state)
{
    int error = ringer_get_registers(s->machine, cpu, &state->registers);

    if (error == 0) {
        error = ringer_get_fpu(s->machine, cpu, &state->fpu);
    }
    if (error < 0) {
        gdb_reply_error(s, error);
    }
    return error == 0;
}

static void add_register(struct gdb_stub *s, const struct gdb_state *state, unsigned n)
{
    const struct gdb_register *r = &s->arch->registers[n];
    uint8_t bytes[GDB_REGISTER_BYTES];

    gdb_register_get(state, r, bytes);
    gdb_writer_hex(&s->reply, bytes, r->bits / 8u);
}

/* The reply to whatever made the guest run, and to `?`. */
static void tell_stop(struct gdb_stub *s)
{
    const unsigned told[] = {s->arch->rbp, s->arch->rsp, s->arch->rip};
    struct gdb_state state;

    if (!get_state(s, s->stop_cpu, &state)) {
        return;
    }
    gdb_writer_add(&s->reply, "T%.2sthread:%x;%s", s->stop, s->stop_cpu + 1, s->stop + 2);
    for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
        gdb_writer_add(&s->reply, "%02x:", told[i]);
        add_register(s, &state, told[i]);
        gdb_writer_add(&s->reply, ";");
    }
}

void gdb_stub_tell(struct gdb_stub *s, unsigned cpu, const char *stop)
{
    s->waits = false;
    s->cpu = s->stop_cpu = cpu;
    snprintf(s->stop, sizeof(s->stop), "%s", stop);
    gdb_writer_clear(&s->reply);
    tell_stop(s);
    send_reply(s);
}

/* Is a linear address what the client calls the program counter?  In real mode it is not. */
static bool is_flat(const struct gdb_stub *s, unsigned cpu)
{
    struct ringer_registers r;

    return ringer_get_registers(s->machine, cpu, &r) == 0 && r.segment[RINGER_CS].base == 0;
}

void gdb_stub_stopped(struct gdb_stub *s, const struct ringer_stop *stop)
{
    static const char *const watches[] = {[RINGER_BREAK_WRITE] = "watch",
                                          [RINGER_BREAK_READ] = "rwatch",
                                          [RINGER_BREAK_ACCESS] = "awatch"};
    char reason[64] = "05";

    if (!s->waits) {
        return;
    }
    if (stop->reason == RINGER_STOP_BREAK && stop->kind != RINGER_BREAK_EXECUTE) {
        snprintf(reason, sizeof(reason), "05%s:%llx;", watches[stop->kind],
                 (unsigned long long)stop->address);
    } else if (stop->reason == RINGER_STOP_BREAK && is_flat(s, stop->cpu)) {
        bool hard = gdb_breakpoints_has(s, 1, stop->address);
        if (hard ? s->reports_hwbreak : s->reports_swbreak) {
            snprintf(reason, sizeof(reason), "05%s:;", hard ? "hwbreak" : "swbreak");
        }
    }
    gdb_stub_tell(s, stop->cpu, reason);
}

void gdb_stub_fail(struct gdb_stub *s, int error)
{
    s->waits = false;
    gdb_reply_error(s, error);
    send_reply(s);
}

void gdb_stub_ended(struct gdb_stub *s, int status)
{
    s->waits = false;
    gdb_writer_clear(&s->reply);
    if (status < 0) {
        gdb_writer_add(&s->reply, "X%02x", -status & 0xff);
    } else {
        gdb_writer_add(&s->reply, "W%02x", status & 0xff);
    }
    send_reply(s);
}

static void why_stopped(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    tell_stop(s);
}

/* ------------------------------------------------------------------ registers */

static bool set_state(struct gdb_stub *s, const struct gdb_state *state)
{
    int error = ringer_set_registers(s->machine, s->cpu, &state->registers);

    if (error == 0) {
        error = ringer_set_fpu(s->machine, s->cpu, &state->fpu);
    }
    if (error < 0) {
        gdb_reply_error(s, error);
    }
    return error == 0;
}

static void read_registers(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_state state;

    (void)args;
    (void)size;
    if (!get_state(s, s->cpu, &state)) {
        return;
    }
    for (unsigned i = 0; i < s->arch->count; i++) {
        add_register(s, &state, i);
    }
}

/* One register from args, which go on behind it. */
static bool parse_register(const char **args, const struct gdb_register *r, struct gdb_state *state)
{
    uint8_t bytes[GDB_REGISTER_BYTES];

    return gdb_parse_bytes(args, bytes, r->bits / 8u) && gdb_register_set(state, r, bytes);
}

/* All or, from a client that knows fewer, the first ones. */
static void write_registers(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_state state;

    (void)size;
    if (!get_state(s, s->cpu, &state)) {
        return;
    }
    for (unsigned i = 0; i < s->arch->count && *args; i++) {
        if (!parse_register(&args, &s->arch->registers[i], &state)) {
            gdb_reply_error(s, -EINVAL);
            return;
        }
    }
    if (*args) {
        gdb_reply_error(s, -EINVAL);
    } else if (set_state(s, &state)) {
        gdb_reply_ok(s);
    }
}

static void read_register(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_state state;
    uint64_t n;

    (void)size;
    if (!gdb_parse_hex(&args, &n) || *args || n >= s->arch->count) {
        gdb_reply_error(s, -EINVAL);
    } else if (get_state(s, s->cpu, &state)) {
        add_register(s, &state, (unsigned)n);
    }
}

static void write_register(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_state state;
    uint64_t n;

    (void)size;
    if (!gdb_parse_hex(&args, &n) || !gdb_parse_char(&args, '=') || n >= s->arch->count) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    if (!get_state(s, s->cpu, &state)) {
        return;
    }
    if (!parse_register(&args, &s->arch->registers[n], &state) || *args) {
        gdb_reply_error(s, -EINVAL);
    } else if (set_state(s, &state)) {
        gdb_reply_ok(s);
    }
}

/* ------------------------------------------------------------------ memory */

#define MEMORY_BYTES (GDB_PACKET_BYTES / 2)

/* "ADDRESS,SIZE" */
static bool parse_range(const char **args, uint64_t *address, uint64_t *size)
{
    return gdb_parse_hex(args, address) && gdb_parse_char(args, ',') && gdb_parse_hex(args, size);
}

/* As much as there is from the start of what was asked for: a client asks for more than it needs.
 */
static void read_memory(struct gdb_stub *s, const char *args, size_t size)
{
    uint8_t bytes[MEMORY_BYTES];
    uint64_t address, wanted;

    (void)size;
    if (!parse_range(&args, &address, &wanted) || *args) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    wanted = wanted < sizeof(bytes) ? wanted : sizeof(bytes);
    for (uint64_t done = 0; done < wanted;) {
        uint64_t piece = 4096 - (address + done) % 4096;
        piece = piece < wanted - done ? piece : wanted - done;
        int error = ringer_read_virtual(s->machine, s->cpu, address + done, bytes + done, piece);
        if (error < 0 && done == 0) {
            gdb_reply_error(s, error);
            return;
        }
        if (error < 0) {
            wanted = done;
            break;
        }
        done += piece;
    }
    gdb_writer_hex(&s->reply, bytes, wanted);
}

static void store(struct gdb_stub *s, uint64_t address, const void *bytes, uint64_t size)
{
    int error = ringer_write_virtual(s->machine, s->cpu, address, bytes, size);

    if (error < 0) {
        gdb_reply_error(s, error);
    } else {
        gdb_reply_ok(s);
    }
}

static void write_memory(struct gdb_stub *s, const char *args, size_t size)
{
    uint8_t bytes[MEMORY_BYTES];
    uint64_t address, count;

    (void)size;
    if (!parse_range(&args, &address, &count) || !gdb_parse_char(&args, ':') ||
        count > sizeof(bytes) || !gdb_parse_bytes(&args, bytes, count) || *args) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    store(s, address, bytes, count);
}

static void write_memory_binary(struct gdb_stub *s, const char *args, size_t size)
{
    const char *end = args + size;
    uint64_t address, count;

    if (!parse_range(&args, &address, &count) || !gdb_parse_char(&args, ':') ||
        count != (uint64_t)(end - args)) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    store(s, address, args, count);
}

/* ------------------------------------------------------------------ threads */

/* The vCPU of a thread: 0 means any, and -1 all, which is GDB_CPUS. */
bool gdb_parse_thread(const struct gdb_stub *s, const char **args, unsigned *cpu)
{
    uint64_t thread;

    if (gdb_parse_char(args, '-')) {
        *cpu = GDB_CPUS;
        return gdb_parse_char(args, '1');
    }
    if (!gdb_parse_hex(args, &thread) || thread > s->cpus) {
        return false;
    }
    *cpu = thread ? (unsigned)thread - 1 : s->cpu;
    return true;
}

static void choose_thread(struct gdb_stub *s, const char *args, size_t size)
{
    char what = *args;
    unsigned cpu;

    (void)size;
    args += what != 0;
    if ((what != 'g' && what != 'c') || !gdb_parse_thread(s, &args, &cpu) || *args) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    if (what == 'c') {
        s->step_cpu = cpu;
    } else if (cpu < GDB_CPUS) {
        s->cpu = cpu;
    }
    gdb_reply_ok(s);
}

static void is_thread(struct gdb_stub *s, const char *args, size_t size)
{
    unsigned cpu;

    (void)size;
    if (gdb_parse_thread(s, &args, &cpu) && !*args && cpu < GDB_CPUS) {
        gdb_reply_ok(s);
    } else {
        gdb_reply_error(s, -EINVAL);
    }
}

static void current_thread(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_writer_add(&s->reply, "QC%x", s->cpu + 1);
}

static void first_threads(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    for (unsigned i = 0; i < s->cpus; i++) {
        gdb_writer_add(&s->reply, "%c%x", i ? ',' : 'm', i + 1);
    }
}

static void more_threads(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_writer_add(&s->reply, "l");
}

static void describe_thread(struct gdb_stub *s, const char *args, size_t size)
{
    struct ringer_registers r;
    char text[64];
    unsigned cpu;

    (void)size;
    if (!gdb_parse_thread(s, &args, &cpu) || *args || cpu == GDB_CPUS ||
        ringer_get_registers(s->machine, cpu, &r) < 0) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    int length = snprintf(text, sizeof(text), "CPU %u %s", cpu, r.halted ? "halted" : "running");
    gdb_writer_hex(&s->reply, text, (size_t)length);
}

/* ------------------------------------------------------------------ queries */

static bool names(const char *list, const char *feature)
{
    const char *found = strstr(list, feature);

    return found && (found == list || found[-1] == ';' || found[-1] == ':');
}

static void supported(struct gdb_stub *s, const char *args, size_t size)
{
    (void)size;
    s->reports_swbreak = names(args, "swbreak+");
    s->reports_hwbreak = names(args, "hwbreak+");
    gdb_writer_add(&s->reply,
                   "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
                   "swbreak+;hwbreak+%s",
                   GDB_PACKET_BYTES, s->host->back ? ";ReverseStep+;ReverseContinue+" : "");
}

static void start_no_ack(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    s->no_ack = true;
    gdb_reply_ok(s);
}

/* "target.xml:OFFSET,LENGTH" */
static void read_description(struct gdb_stub *s, const char *args, size_t size)
{
    static const char name[] = "target.xml:";
    uint64_t offset, length;

    (void)size;
    if (strncmp(args, name, strlen(name)) != 0) {
        gdb_writer_add(&s->reply, "E00"); /* so the manual: a bad annex */
        return;
    }
    args += strlen(name);
    size_t total = gdb_arch_describe(s->arch, s->description, sizeof(s->description));
    if (total >= sizeof(s->description)) {
        gdb_reply_error(s, -E2BIG);
        return;
    }
    if (!parse_range(&args, &offset, &length) || *args || offset > total) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    bool last = length >= total - offset;
    uint64_t count = last ? total - offset : length;
    count = count < GDB_PACKET_BYTES - 1 ? count : GDB_PACKET_BYTES - 1;
    gdb_writer_add(&s->reply, "%c", last && count == total - offset ? 'l' : 'm');
    gdb_writer_bytes(&s->reply, s->description + offset, count);
}

/* So that gdb's `quit` lets the guest run on instead of ending it. */
static void attached(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_writer_add(&s->reply, "1");
}

/* ------------------------------------------------------------------ monitor */

/* The monitor's lines are for a raw terminal: gdb wants no carriage returns. */
static void monitor_output(void *context, const void *bytes, size_t size)
{
    struct gdb_stub *s = context;
    const char *text = bytes;

    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\r' && s->reply.size + 2 <= sizeof(s->reply.payload)) {
            gdb_writer_hex(&s->reply, &text[i], 1);
        }
    }
}

static void run_monitor(struct gdb_stub *s, const char *args, size_t size)
{
    char *line = s->monitor.line;

    if (size % 2 || size / 2 >= sizeof(s->monitor.line) ||
        !gdb_parse_bytes(&args, line, size / 2)) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    line[size / 2] = 0;
    s->monitor.machine = s->machine;
    bool end = monitor_execute(&s->monitor);
    if (!ringer_is_paused(s->machine) &&
        ringer_pause(s->machine) < 0) { /* `cont` is gdb's affair */
        end = true;
    }
    if (s->reply.size == 0) {
        gdb_reply_ok(s);
    }
    if (end) {
        s->host->kill(s->host->context);
    }
}

/* ------------------------------------------------------------------ endings */

static void detach(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_reply_ok(s);
    send_reply(s);
    gdb_writer_clear(&s->reply);
    s->host->detach(s->host->context);
}

static void kill_quietly(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    s->waits = true; /* there is no reply */
    s->host->kill(s->host->context);
}

static void kill_process(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_reply_ok(s);
    s->host->kill(s->host->context);
}

/* ------------------------------------------------------------------ packets */

/* The first row whose name the payload begins with.  A name that ends in a letter of its own stands
 * alone, or before one of what may follow it. */
static const struct {
    const char *name;
    packet_fn *run;
} packets[] = {
    {"?", why_stopped},
    {"D", detach},
    {"G", write_registers},
    {"H", choose_thread},
    {"M", write_memory},
    {"P", write_register},
    {"QStartNoAckMode", start_no_ack},
    {"T", is_thread},
    {"X", write_memory_binary},
    {"Z", gdb_breakpoints_set},
    {"bc", gdb_go_back},
    {"bs", gdb_go_step_back},
    {"c", gdb_go_continue},
    {"C", gdb_go_continue_signal},
    {"g", read_registers},
    {"k", kill_quietly},
    {"m", read_memory},
    {"p", read_register},
    {"qAttached", attached},
    {"qC", current_thread},
    {"qRcmd,", run_monitor},
    {"qSupported", supported},
    {"qThreadExtraInfo,", describe_thread},
    {"qXfer:features:read:", read_description},
    {"qfThreadInfo", first_threads},
    {"qsThreadInfo", more_threads},
    {"s", gdb_go_step},
    {"S", gdb_go_step_signal},
    {"vCont?", gdb_go_what},
    {"vCont;", gdb_go_each},
    {"vKill;", kill_process},
    {"z", gdb_breakpoints_clear},
};

/* Names of several letters are not beginnings of longer ones: qC is not qCRC. */
static bool matches(const char *payload, const char *name)
{
    size_t length = strlen(name);
    char last = name[length - 1], next;

    if (strncmp(payload, name, length) != 0) {
        return false;
    }
    next = payload[length];
    bool is_word = length > 1 && last != ',' && last != ':' && last != ';' && last != '?';
    return !is_word || !next || next == ':' || next == ';';
}

static void take_packet(struct gdb_stub *s)
{
    const char *payload = s->reader.payload;

    if (s->waits) { /* nothing may come now but an interrupt */
        return;
    }
    gdb_writer_clear(&s->reply);
    if (!ringer_is_paused(s->machine)) { /* somebody at the console has let it go */
        ringer_pause(s->machine);
    }
    for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
        if (matches(payload, packets[i].name)) {
            size_t length = strlen(packets[i].name);
            packets[i].run(s, payload + length, s->reader.size - length);
            break;
        }
    }
    if (s->arch && !s->waits) { /* it is still there, and the guest has not been let go */
        send_reply(s);          /* empty: not known */
    }
}

/* Ctrl-C.  Where the guest is held already gdb has not yet seen that. */
static void interrupt(struct gdb_stub *s)
{
    if (s->waits && s->machine && ringer_pause(s->machine) == 0) {
        gdb_stub_tell(s, s->cpu, "02");
    }
}

static void acknowledge(struct gdb_stub *s, char how)
{
    if (!s->no_ack) {
        s->host->send(s->host->context, &how, 1);
    }
}

void gdb_stub_input(struct gdb_stub *s, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < size && s->arch && s->machine; i++) {
        switch (gdb_reader_take(&s->reader, b[i])) {
        case GDB_NOTHING:
        case GDB_ACK:
            break;
        case GDB_PACKET:
            acknowledge(s, '+');
            take_packet(s);
            break;
        case GDB_DAMAGED:
            acknowledge(s, '-');
            break;
        case GDB_TOO_LONG:
            acknowledge(s, '+');
            gdb_reply_error(s, -E2BIG);
            send_reply(s);
            break;
        case GDB_NAK:
            if (!s->no_ack && s->reply.size) {
                send_reply(s);
            }
            break;
        case GDB_INTERRUPT:
            interrupt(s);
            break;
        }
    }
}

/* ------------------------------------------------------------------ life */

void gdb_stub_init(struct gdb_stub *s, const struct gdb_host *host)
{
    *s = (struct gdb_stub){.host = host};
    monitor_init(&s->monitor, monitor_output, s);
}

void gdb_stub_destroy(struct gdb_stub *s)
{
    free(s->breakpoints);
    s->breakpoints = NULL;
    s->breakpoint_count = 0;
}

void gdb_stub_attach(struct gdb_stub *s, struct ringer *machine)
{
    struct ringer_registers r;

    s->machine = machine;
    s->cpus = 0;
    while (machine && s->cpus < GDB_CPUS && ringer_get_registers(machine, s->cpus, &r) == 0) {
        s->cpus++;
    }
    if (machine) {
        gdb_breakpoints_renew(s);
    }
}

void gdb_stub_connect(struct gdb_stub *s, const struct gdb_arch *arch)
{
    s->arch = arch;
    s->reader = (struct gdb_reader){.state = GDB_OUTSIDE};
    gdb_writer_clear(&s->reply);
    s->no_ack = s->waits = s->reports_swbreak = s->reports_hwbreak = false;
    s->cpu = s->stop_cpu = 0;
    s->step_cpu = GDB_CPUS;
    strcpy(s->stop, "05");
}

void gdb_stub_disconnect(struct gdb_stub *s)
{
    if (s->machine) {
        gdb_breakpoints_clear_all(s);
    }
    s->arch = NULL;
    s->waits = false;
}
