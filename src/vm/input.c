/* input.c - what comes to the guest from outside: input.h has the rules. */
#include "vm/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "dev/uart16550.h"
#include "vm/digest.h"
#include "vm/machine.h"

#define MARK_INTERVAL_NS 100000000ull

/* ------------------------------------------------------------------ sources */

static size_t offer_serial(struct ringer *m, unsigned port, const u8 *bytes, size_t size)
{
    struct device *uart = m->pc.devices[PC_COM1 + port];

    return uart ? uart16550_receive(uart, bytes, size) : 0;
}

static void ask_serial(struct ringer *m, unsigned port)
{
    serial_ask(m->serials[port]);
}

static size_t offer_keyboard(struct ringer *m, unsigned unit, const u8 *bytes, size_t size)
{
    (void)unit;
    return keyboard_take(m->keyboard, bytes, size);
}

static void ask_keyboard(struct ringer *m, unsigned unit)
{
    (void)unit;
    keyboard_ask(m->keyboard);
}

static size_t offer_console(struct ringer *m, unsigned unit, const u8 *bytes, size_t size)
{
    (void)unit;
    return console_offer(m, bytes, size);
}

static size_t offer_console_size(struct ringer *m, unsigned unit, const u8 *bytes, size_t size)
{
    (void)unit;
    return console_offer_size(m, bytes, size);
}

static void ask_console_size(struct ringer *m, unsigned unit)
{
    (void)unit;
    console_ask_size(m);
}

#define NET_SOURCE(n) [INPUT_NET1 + (n)] = {nic_offer, nic_ask, n, true}

static const struct {
    size_t (*offer)(struct ringer *m, unsigned unit, const u8 *bytes, size_t size);
    void (*ask)(struct ringer *m, unsigned unit); /* have the back end offer what it has */
    unsigned unit;
    bool whole; /* its bytes are taken all or not at all, and how many they are decides */
} sources[INPUT_SOURCES] = {
    [INPUT_COM1] = {offer_serial, ask_serial, RINGER_PORT_COM1, false},
    [INPUT_COM2] = {offer_serial, ask_serial, RINGER_PORT_COM2, false},
    [INPUT_KEYBOARD] = {offer_keyboard, ask_keyboard, 0, false},
    [INPUT_HVC0] = {offer_console, ask_serial, RINGER_PORT_HVC0, false},
    [INPUT_HVC0_SIZE] = {offer_console_size, ask_console_size, 0, true},
    [INPUT_BALLOON] = {balloon_offer, balloon_ask, 0, true},
    NET_SOURCE(0),
    NET_SOURCE(1),
    NET_SOURCE(2),
    NET_SOURCE(3),
    NET_SOURCE(4),
    NET_SOURCE(5),
    NET_SOURCE(6),
    NET_SOURCE(7),
};

_Static_assert(NICS_MAX == 8 && INPUT_SOURCES <= 32, "a row, and a bit in `wanted`, for each");

static size_t offer(struct ringer *m, enum input_source source, const void *bytes, size_t size)
{
    return sources[source].offer(m, sources[source].unit, bytes, size);
}

/* ------------------------------------------------------------------ recording */

static void record(struct ringer *m, enum record_kind kind, enum record_where where, u64 position,
                   const void *payload, size_t size)
{
    struct record_head head = {
        .kind = (u16)kind, .where = (u16)where, .time_ns = m->now_ns, .position = position};

    m->input.last_ns = m->now_ns;
    recorder_add(&m->input.recorder, &head, payload, (u32)size);
}

static void record_input(struct ringer *m, enum input_source source, const void *bytes,
                         size_t offered, size_t taken)
{
    bool at_sync = m->input.door == INPUT_AT_SYNC;
    struct record_head head = {
        .kind = RECORD_INPUT,
        .where = at_sync ? RECORD_AT_SYNC : RECORD_AT_READY,
        .time_ns = m->now_ns,
        .position = at_sync ? 0 : m->input.ready_count,
        .source = source,
        .offered = offered < UINT32_MAX ? (u32)offered : UINT32_MAX,
    };

    m->input.last_ns = m->now_ns;
    recorder_add(&m->input.recorder, &head, bytes, (u32)taken);
}

static u64 registers_digest(const struct ringer *m)
{
    struct cpu_state state;

    cpu_state_get(&m->vm->cpus[0], &state);
    return cpu_state_digest(&state);
}

static struct recording_mark make_mark(const struct ringer *m)
{
    return (struct recording_mark){.instructions = m->vm->cpus[0].icount,
                                   .registers = registers_digest(m)};
}

static struct recording_end make_end(const struct ringer *m)
{
    return (struct recording_end){
        .reason = m->ended ? m->exit.reason : RINGER_EXIT_STOPPED,
        .code = m->ended ? m->exit.code : 0,
        .instructions = m->vm->cpus[0].icount,
        .registers = registers_digest(m),
        .memory = digest_memory(m),
    };
}

/* Is the vCPU held at an instruction of its own or a debugger's choice, and not at a SYNC? */
static bool is_at_count(const struct ringer *m)
{
    return m->counted || vcpu_state_now(&m->vm->controls[0]) == VCPU_STOPPED;
}

/* The end of a recording that the guest has not ended lies at the SYNC or the instruction at which
 * the machine was held last. */
static void record_end(struct ringer *m)
{
    struct recording_end end = make_end(m);
    enum record_where where = m->ended         ? RECORD_AT_EXIT
                              : is_at_count(m) ? RECORD_AT_COUNT
                                               : RECORD_AT_SYNC;

    record(m, RECORD_END, where, where == RECORD_AT_COUNT ? end.instructions : 0, &end,
           sizeof(end));
}

/* ------------------------------------------------------------------ replaying */

/* The next record, or NULL. */
static const struct record *next(const struct ringer *m)
{
    const struct input *in = &m->input;

    return in->mode == INPUT_REPLAYING && in->next < in->recording.count
               ? &in->recording.records[in->next]
               : NULL;
}

static void go_on(struct ringer *m)
{
    m->input.next++;
    machine_set_stop(m);
}

static void diverge(struct ringer *m, const char *what)
{
    if (m->ended && m->exit.reason == RINGER_EXIT_DIVERGED) {
        return;
    }
    machine_fail(
        m, -EIO,
        "replay file '%s': the replay went another way: %s; at %lu instructions, record %u",
        m->input.path, what, (unsigned long)m->vm->cpus[0].icount,
        m->input.recording
            .records[m->input.next < m->input.recording.count ? m->input.next
                                                              : m->input.recording.count - 1]
            .head.number);
    m->ended = true;
    m->exit = (struct ringer_exit){.reason = RINGER_EXIT_DIVERGED};
}

/* How many bytes to offer.  One more than was taken is as good as all that was offered then: the
 * device asks for more. */
static u32 replay_size(const struct record *r)
{
    u32 size = r->head.size, offered = r->head.offered;

    if (r->head.source < INPUT_SOURCES && sources[r->head.source].whole) {
        return offered < RECORDING_PAYLOAD_MAX ? offered : RECORDING_PAYLOAD_MAX;
    }
    return offered > size ? size + 1 : size;
}

static void replay_input(struct ringer *m, const struct record *r)
{
    u32 size = r->head.size, offered = replay_size(r);
    u8 *bytes = calloc(1, (size_t)offered + 1);

    if (!bytes || r->head.source >= INPUT_SOURCES) {
        diverge(m, bytes ? "it has input for a device that is not there" : "out of memory");
    } else {
        memcpy(bytes, r->payload, size);
        if (offer(m, r->head.source, bytes, offered) != size) {
            diverge(m, "the guest's device does not take the input");
        }
    }
    free(bytes);
}

static void replay_mark(struct ringer *m, const struct record *r)
{
    struct recording_mark then, now = make_mark(m);

    memcpy(&then, r->payload, sizeof(then));
    if (then.instructions != now.instructions) {
        diverge(m, "the recording's instruction count is another here");
    } else if (then.registers != now.registers) {
        diverge(m, "the recording's registers are others here");
    }
}

/* The next record is due at this SYNC. */
static void replay_at_sync(struct ringer *m, const struct record *r)
{
    if (r->head.time_ns < m->now_ns) {
        diverge(m, "it did not come to the time of the next record");
        return;
    }
    switch ((enum record_kind)r->head.kind) {
    case RECORD_INPUT:
        replay_input(m, r);
        break;
    case RECORD_MARK:
        replay_mark(m, r);
        break;
    case RECORD_END: /* input_end_run() compares it, once the vCPU is held */
        m->input.over = true;
        return;
    case RECORD_START:
    case RECORD_KINDS:
        break;
    }
    go_on(m);
}

/* Has the guest gone past the place of this record?  (The vCPU waits: its count is exact.) */
static bool is_missed(const struct ringer *m, const struct record *r)
{
    struct recording_end end;

    if (r->head.where == RECORD_AT_READY) {
        return r->head.time_ns < m->now_ns;
    }
    if (r->head.kind != RECORD_END || r->head.where == RECORD_AT_SYNC) {
        return false;
    }
    memcpy(&end, r->payload, sizeof(end));
    return end.instructions < m->vm->cpus[0].icount;
}

static void replay_sync(struct ringer *m)
{
    const struct record *r;

    while (!m->ended && (r = next(m)) && r->head.where == RECORD_AT_SYNC &&
           r->head.time_ns <= m->now_ns) {
        replay_at_sync(m, r);
        if (m->input.over) {
            return;
        }
    }
    r = next(m);
    m->input.over |= !r;
    if (r && !m->ended && is_missed(m, r)) {
        diverge(m, "it did not come to the place of the next record");
    }
}

static void replay_ready(struct ringer *m, enum input_source source)
{
    const struct record *r;

    while (!m->ended && (r = next(m)) && r->head.where == RECORD_AT_READY &&
           r->head.position <= m->input.ready_count) {
        if (r->head.position < m->input.ready_count || r->head.source != source ||
            r->head.kind != RECORD_INPUT) {
            diverge(m, "another device asked for input");
            return;
        }
        replay_input(m, r);
        go_on(m);
    }
}

static void compare_end(struct ringer *m)
{
    const struct record *r = next(m);
    struct recording_end then, now = make_end(m);

    if (!r) {
        return; /* the recorder was killed: nobody knows */
    }
    if (r->head.kind != RECORD_END) {
        diverge(m, "the guest has ended before its recording");
        return;
    }
    memcpy(&then, r->payload, sizeof(then));
    if (then.reason != now.reason || then.code != now.code) {
        diverge(m, "the guest has ended in another way");
    } else if (then.instructions != now.instructions || r->head.time_ns != m->now_ns) {
        diverge(m, "the end lies at another instruction");
    } else if (then.registers != now.registers) {
        diverge(m, "registers differ at the end");
    } else if (then.memory != now.memory) {
        diverge(m, "memory differs at the end");
    } else {
        go_on(m);
    }
}

/* ------------------------------------------------------------------ what this machine is */

static const struct {
    u16 offset;
    u8 size;
    const char *what;
} compared[] = {
#define START_FIELD(member) \
    offsetof(struct recording_start, member), sizeof((struct recording_start){0}.member)
    {START_FIELD(memory_bytes), "with another size of memory"},
    {START_FIELD(cpus), "with another number of CPUs"},
    {START_FIELD(devices), "with other devices"},
    {START_FIELD(cpu_model), "on a host CPU with other features"},
    {START_FIELD(kernel), "with another kernel"},
    {START_FIELD(initrd), "with another initrd"},
    {START_FIELD(registers), "from other registers at the first instruction"},
    {START_FIELD(memory), "from other memory at the first instruction"},
#undef FIELD
};

static int refuse(struct ringer *m, const char *what, const char *more)
{
    struct recording_start then;

    memcpy(&then, m->input.recording.records[0].payload, sizeof(then));
    return machine_fail(m, -EINVAL, "replay file '%s': was recorded %s%s (by Ringer %.15s)",
                        m->input.path, what, more, (const char *)then.version);
}

/* Is the recording of a machine like this one?  In the first `count` of what is compared. */
static int compare_start(struct ringer *m, unsigned count)
{
    const struct record *r = &m->input.recording.records[0];
    const char *command_line = (const char *)r->payload + sizeof(struct recording_start);
    size_t length = r->head.size - sizeof(struct recording_start);
    char text[256];

    for (unsigned i = 0; i < count; i++) {
        if (memcmp(r->payload + compared[i].offset,
                   (const u8 *)&m->input.start + compared[i].offset, compared[i].size) != 0) {
            return refuse(m, compared[i].what, "");
        }
    }
    if (length != strlen(m->input.command_line) ||
        memcmp(command_line, m->input.command_line, length) != 0) {
        snprintf(text, sizeof(text), "'%.*s'", length < 200 ? (int)length : 200, command_line);
        return refuse(m, "with the command line ", text);
    }
    return 0;
}

/* What CPUID and XGETBV say depends on the host's.  The vCPU is held, and looks at its own cache of
 * the host's only. */
static u64 cpu_model(struct ringer *m)
{
    static const u32 leaves[] = {0, 0x40000000, 0x80000000};
    struct cpu *cpu = &m->vm->cpus[0];
    u64 digest = cpu_xcr0_supported(cpu);
    u32 r[4];

    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
        for (u32 leaf = leaves[i]; leaf < leaves[i] + 0x20; leaf++) {
            for (u32 subleaf = 0; subleaf < 3; subleaf++) {
                cpu_cpuid(cpu, leaf, subleaf, r);
                digest = digest_bytes(digest, r, sizeof(r));
            }
        }
    }
    return digest;
}

static u64 devices_digest(const struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    u64 digest = (u64)c->debug_exit << 0 | (u64)c->debug_console << 1 | (u64)c->testdev << 2;

    for (unsigned i = 0; i < c->device_count; i++) {
        digest = digest_word(digest, c->devices[i].kind);
        if (c->devices[i].kind == RINGER_DEVICE_BALLOON) {
            digest = digest_word(digest, c->devices[i].balloon.bytes);
        }
        if (c->devices[i].kind == RINGER_DEVICE_NET) {
            digest =
                digest_bytes(digest, c->devices[i].net.address, sizeof(c->devices[i].net.address));
            digest = digest_word(digest, c->devices[i].net.mtu);
            digest = digest_word(digest, c->devices[i].net.backend);
        }
    }
    return digest;
}

int input_describe(struct ringer *m, const void *kernel, size_t kernel_bytes, const void *initrd,
                   size_t initrd_bytes, const char *command_line)
{
    struct input *in = &m->input;

    if (in->mode == INPUT_LIVE) {
        return 0;
    }
    in->start = (struct recording_start){
        .memory_bytes = m->config.memory_bytes,
        .cpus = m->config.cpus,
        .devices = devices_digest(m),
        .wall_ns = m->vm->clock.wall_ns_start,
        .cpu_model = cpu_model(m),
        .kernel = digest_bytes(0, kernel, kernel_bytes),
        .initrd = initrd ? digest_bytes(0, initrd, initrd_bytes) : 0,
    };
    snprintf((char *)in->start.version, sizeof(in->start.version), "%s", ringer_version());
    free(in->command_line);
    in->command_line = strdup(command_line ? command_line : "");
    if (!in->command_line) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    return in->mode == INPUT_REPLAYING ? compare_start(m, 6) : 0;
}

static int record_start(struct ringer *m)
{
    struct input *in = &m->input;
    size_t length = strlen(in->command_line), size = sizeof(in->start) + length;
    u8 *payload = malloc(size);

    if (!payload || size > RECORDING_PAYLOAD_MAX) {
        free(payload);
        return machine_fail(m, payload ? -E2BIG : -ENOMEM, "recording: %s",
                            payload ? "the command line is too long" : "out of memory");
    }
    memcpy(payload, &in->start, sizeof(in->start));
    memcpy(payload + sizeof(in->start), in->command_line, length);
    record(m, RECORD_START, RECORD_AT_START, 0, payload, size);
    free(payload);
    in->mark_ns = MARK_INTERVAL_NS;
    return 0;
}

int input_start(struct ringer *m)
{
    struct input *in = &m->input;
    int error;

    if (in->mode == INPUT_LIVE || in->started) {
        return 0;
    }
    in->start.registers = registers_digest(m);
    in->start.memory = digest_memory(m);
    error = in->mode == INPUT_RECORDING ? record_start(m) : compare_start(m, ARRAY_SIZE(compared));
    if (error == 0) {
        in->started = true;
        in->next = 1;
    }
    return error;
}

/* ------------------------------------------------------------------ the door */

size_t input_offer(struct ringer *m, enum input_source source, const void *bytes, size_t size)
{
    struct input *in = &m->input;
    size_t taken;

    if (!m->vm->clock.icount) {
        return offer(m, source, bytes, size);
    }
    if (in->mode == INPUT_REPLAYING) {
        return size; /* the guest gets what was recorded, and nothing else */
    }
    if (in->door == INPUT_SHUT) {
        in->wanted |= size > 0 ? BIT(source) : 0;
        return 0;
    }
    taken = offer(m, source, bytes, size);
    if (in->mode == INPUT_RECORDING && size > 0) {
        record_input(m, source, bytes, size, taken);
    }
    return taken;
}

void input_ready_begin(struct ringer *m, enum input_source source)
{
    struct input *in = &m->input;

    if (in->door == INPUT_SHUT) { /* else a SYNC asks: it is open */
        in->door = INPUT_AT_READY;
        in->ready_count++;
        replay_ready(m, source);
    }
}

void input_ready_end(struct ringer *m)
{
    if (m->input.door == INPUT_AT_READY) {
        m->input.door = INPUT_SHUT;
    }
}

void input_at_sync(struct ringer *m)
{
    struct input *in = &m->input;

    if (in->mode == INPUT_REPLAYING) {
        replay_sync(m);
    } else if (in->mode == INPUT_RECORDING && m->now_ns >= in->mark_ns && m->now_ns > in->last_ns) {
        struct recording_mark mark = make_mark(m);
        record(m, RECORD_MARK, RECORD_AT_SYNC, 0, &mark, sizeof(mark));
        in->mark_ns = m->now_ns + MARK_INTERVAL_NS;
    }
}

void input_at_endless_sleep(struct ringer *m)
{
    if (m->config.lockstep_interval) {
        m->input.over = true;
    } else if (m->input.mode == INPUT_REPLAYING && !m->input.over) {
        diverge(m, "the guest sleeps for ever");
    }
}

void input_let_in(struct ringer *m)
{
    struct input *in = &m->input;

    in->door = INPUT_AT_SYNC;
    watch_call_ready(m);
    for (unsigned source = 0; source < INPUT_SOURCES && in->door == INPUT_AT_SYNC; source++) {
        if (in->wanted & BIT(source)) {
            in->wanted &= ~(u32)BIT(source);
            sources[source].ask(m, sources[source].unit);
        }
    }
    in->door = INPUT_SHUT;
}

/* ------------------------------------------------------------------ when the next record is due */

u64 input_next_sync_ns(const struct ringer *m)
{
    const struct record *r = next(m);

    return r && r->head.where == RECORD_AT_SYNC ? r->head.time_ns : TIMER_NEVER;
}

u64 input_stop_at(const struct ringer *m)
{
    const struct record *r = next(m);

    return r && r->head.where == RECORD_AT_COUNT ? r->head.position : UINT64_MAX;
}

/* ------------------------------------------------------------------ life */

u64 input_wall_ns(const struct ringer *m, u64 otherwise)
{
    struct recording_start start;

    if (m->input.mode != INPUT_REPLAYING) {
        return otherwise;
    }
    memcpy(&start, m->input.recording.records[0].payload, sizeof(start));
    return start.wall_ns;
}

int input_create(struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    struct input *in = &m->input;
    int error;

    if (!c->record_path && !c->replay_path) {
        return 0;
    }
    in->path = strdup(c->record_path ? c->record_path : c->replay_path);
    if (!in->path) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    if (c->record_path) {
        error = recorder_open(&in->recorder, c->record_path, c->resets);
        if (error < 0) {
            return machine_fail(m, error, "recording '%s' cannot be written: %s", c->record_path,
                                strerror(-error));
        }
        in->mode = INPUT_RECORDING;
        return 0;
    }
    error = recording_open(&in->recording, c->replay_path, c->resets, m->error, sizeof(m->error));
    in->mode = error < 0 ? INPUT_LIVE : INPUT_REPLAYING;
    return error;
}

void input_end_run(struct ringer *m)
{
    struct input *in = &m->input;
    bool by_guest =
        m->ended && m->exit.reason != RINGER_EXIT_FAILURE && m->exit.reason != RINGER_EXIT_DIVERGED;

    if (in->mode == INPUT_RECORDING && by_guest) {
        record_end(m);
    }
    if (in->mode == INPUT_REPLAYING) {
        in->over |= m->counted && input_stop_at(m) <= m->vm->cpus[0].icount;
        if (by_guest || (in->over && !m->ended)) {
            compare_end(m);
        }
    }
}

void input_destroy(struct ringer *m)
{
    struct input *in = &m->input;

    if (in->mode == INPUT_RECORDING) {
        /* Where a debugger has stopped it the replay cannot stop: then it ends before. */
        if (in->started && !m->ended && m->held &&
            vcpu_state_now(&m->vm->controls[0]) != VCPU_STOPPED) {
            record_end(m);
        }
        recorder_close(&in->recorder);
    }
    recording_close(&in->recording);
    free(in->command_line);
    free(in->path);
    *in = (struct input){.mode = INPUT_LIVE};
}

int input_check_change(struct ringer *m)
{
    if (m->input.mode == INPUT_LIVE || !m->input.started) {
        return 0;
    }
    return machine_fail(m, -EBUSY, "the run is being %s: nothing may change the guest from outside",
                        m->input.mode == INPUT_RECORDING ? "recorded" : "replayed");
}
