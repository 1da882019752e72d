/* api.c - the life of a machine: create, run, stop, pause, destroy. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/tsc.h"
#include "vm/board.h"
#include "vm/choose.h"
#include "vm/debug.h"
#include "vm/machine.h"
#include "vm/trace.h"
#include "vm/vcpus.h"

#ifndef RINGER_VERSION
#define RINGER_VERSION "0.1.0"
#endif

#define ICOUNT_TSC_KHZ 1000000u               /* an instruction takes a nanosecond */
#define ICOUNT_WALL_NS 1704067200000000000ull /* 2024-01-01: every run begins alike */
#define MEMORY_MIN     0x200000ull

const struct ringer_config RINGER_CONFIG_DEFAULT = {
    .memory_bytes = 512ull << 20,
    .cpus = 1,
    .engine = "auto",
    .serial = {{.backend = "none"}, {.backend = "none"}},
};

/* ------------------------------------------------------------------ endings */

int machine_fail(struct ringer *m, int error, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    vsnprintf(m->error, sizeof(m->error), text, args);
    va_end(args);
    return error;
}

void machine_end(struct ringer *m, enum ringer_exit_reason reason, unsigned cpu, u32 code)
{
    if (!m->ended) {
        m->ended = true;
        m->exit = (struct ringer_exit){.reason = reason, .cpu = cpu, .code = code};
    }
}

const char *ringer_error(const struct ringer *m)
{
    return m->error;
}

const char *ringer_version(void)
{
    return RINGER_VERSION;
}

/* ------------------------------------------------------------------ creation */

static int check_config(struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    u32 kinds;

    if (c->memory_bytes < MEMORY_MIN) {
        return machine_fail(m, -EINVAL, "memory: %lu bytes are too little; the least is 2 MiB",
                            (unsigned long)c->memory_bytes);
    }
    if (c->memory_bytes % PAGE_SIZE) {
        return machine_fail(m, -EINVAL, "memory: %lu bytes are not a multiple of 4096",
                            (unsigned long)c->memory_bytes);
    }
    if (c->memory_bytes > VM_RAM_MAX) {
        return machine_fail(m, -EINVAL, "memory: %lu MiB are more than the 1 TiB there may be",
                            (unsigned long)(c->memory_bytes >> 20));
    }
    if (c->cpus < 1 || c->cpus > VM_CPUS_MAX) {
        return machine_fail(m, -EINVAL, "cpus: %u is not between 1 and %u", c->cpus, VM_CPUS_MAX);
    }
    if (c->icount && c->cpus > 1) {
        return machine_fail(m, -EINVAL, "icount: virtual time needs a machine with one CPU");
    }
    if ((c->record_path || c->replay_path) && !c->icount) {
        return machine_fail(m, -EINVAL, "record and replay: they need virtual time (icount)");
    }
    if (c->lockstep_interval && (!c->icount || c->record_path || c->replay_path)) {
        return machine_fail(m, -EINVAL, "lockstep: it needs virtual time, and no recording");
    }
    if (c->snapshot && (c->record_path || c->replay_path)) {
        return machine_fail(m, -EINVAL, "record and replay: they begin at power-on");
    }
    if (c->record_path && c->replay_path) {
        return machine_fail(m, -EINVAL, "record and replay: a run is either recorded or replayed");
    }
    if (!trace_parse(c->trace, &kinds)) {
        return machine_fail(m, -EINVAL,
                            "trace: '%s' is not a list of exits, exceptions, interrupts and io",
                            c->trace);
    }
    return choose_check(m);
}

static void init_clock(struct ringer *m)
{
    struct vm_clock *clock = &m->shared->clock;

    clock->icount = m->config.icount;
    clock->supervisor_only = m->config.lockstep_interval != 0;
    clock->tsc_khz = clock->icount ? ICOUNT_TSC_KHZ : m->host_tsc_khz;
    clock->ns_per_tsc_32 = (1000000ull << 32) / clock->tsc_khz;
    clock->wall_ns_start = clock->icount ? input_wall_ns(m, ICOUNT_WALL_NS) : host_wall_ns();
    clock->host_tsc_start = __builtin_ia32_rdtsc();
    clock->tsc_start = m->shared->direct && !clock->icount ? clock->host_tsc_start : 0;
    atomic_store(&m->shared->board_deadline_ns, UINT64_MAX);
    atomic_store(&m->shared->stop_at, UINT64_MAX);
    m->shared->trail->interval = m->config.lockstep_interval;
    atomic_store(&m->shared->trail->stop_at, UINT64_MAX);
}

static int make_memory(struct ringer *m)
{
    int error = arena_create(&m->arena, m->config.memory_bytes, m->config.cpus);

    if (error < 0) {
        return machine_fail(m, error, "memory: cannot have %lu MiB: %s",
                            (unsigned long)(m->config.memory_bytes >> 20), strerror(-error));
    }
    m->shared = arena_vm(&m->arena);
    m->shared->board_pid = getpid();
    choose_engine(m);
    trace_parse(m->config.trace, &m->shared->trace_kinds);
    m->host_tsc_khz = host_tsc_khz();
    init_clock(m);
    m->vm = aligned_alloc(_Alignof(struct vm), sizeof(struct vm));
    if (!m->vm) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    memcpy(m->vm, m->shared, sizeof(*m->vm));
    return 0;
}

static void standard_error(void *context, const void *bytes, size_t size)
{
    (void)context;
    if (fwrite(bytes, 1, size, stderr) < size) {
        return; /* nobody reads it */
    }
}

static int make_consoles(struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    int error = 0;

    for (unsigned i = 0; i < RINGER_SERIAL_PORTS && error >= 0; i++) {
        const struct serial_back back = {.backend = c->serial[i].backend,
                                         .output = c->serial[i].output,
                                         .write = c->serial[i].write,
                                         .context = c->serial[i].context};
        error = serial_create(m, i, &back, &m->serials[i]);
    }
    if (error < 0 || !c->debug_console) {
        return error;
    }
    const struct serial_back debug = {.backend = "callback",
                                      .output = c->debug_output ? c->debug_output : standard_error,
                                      .context = c->debug_context};
    return serial_create(m, RINGER_SERIAL_PORTS, &debug, &m->debug_console);
}

static int make(struct ringer *m)
{
    int error = check_config(m);

    if (error < 0 || (error = input_create(m)) < 0 || (error = make_memory(m)) < 0) {
        return error;
    }
    error = board_create(m);
    if (error < 0) {
        return machine_fail(m, error, "cannot make the event loop: %s", strerror(-error));
    }
    error = make_consoles(m);
    if (error < 0) {
        return error;
    }
    m->keyboard = keyboard_create(m);
    if (!m->keyboard) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    error = pc_create(m);
    if (error < 0) {
        return m->error[0]
                   ? error
                   : machine_fail(m, error, "cannot make the devices: %s", strerror(-error));
    }
    error = m->config.snapshot ? snapshot_prepare(m, m->config.snapshot) : 0;
    if (error == 0) {
        error = vcpus_create(m);
    }
    if (error == 0 && made_keep_config(&m->made, &m->config) < 0) {
        error = machine_fail(m, -ENOMEM, "out of memory");
    }
    return error == 0 && m->config.snapshot ? snapshot_restore(m, m->config.snapshot) : error;
}

int ringer_create(const struct ringer_config *config, struct ringer **machine, char *error,
                  size_t error_size)
{
    struct ringer *m = calloc(1, sizeof(*m));
    int result = -ENOMEM;

    *machine = NULL;
    if (m) {
        m->program = m->kick_fd = m->timer_fd = m->source.fd = -1;
        m->arena = (struct arena){.memory.fd = -1, .ram.fd = -1};
        m->input.recorder.fd = -1;
        m->config = *config;
        result = make(m);
    }
    if (result < 0) {
        if (error) {
            snprintf(error, error_size, "%s", m ? m->error : "out of memory");
        }
        ringer_destroy(m);
        return result;
    }
    /* What was borrowed has been used; only the trace file and the callbacks stay. */
    m->config.snapshot = NULL;
    m->config.engine = m->config.trace = m->config.record_path = m->config.replay_path = NULL;
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        m->config.serial[i].backend = NULL;
    }
    *machine = m;
    return 0;
}

void ringer_destroy(struct ringer *m)
{
    if (!m) {
        return;
    }
    snapshot_cancel(m);
    input_destroy(m);
    vcpus_destroy(m);
    if (m->vm) {
        pc_destroy(m);
    }
    keyboard_destroy(m->keyboard);
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        serial_destroy(m->serials[i]);
    }
    serial_destroy(m->debug_console);
    board_destroy(m);
    made_destroy(&m->made);
    memory_pieces_destroy(&m->source.pieces);
    if (m->source.fd >= 0) {
        close(m->source.fd);
    }
    free(m->vcpus);
    free(m->vm);
    arena_destroy(&m->arena);
    free(m);
}

/* ------------------------------------------------------------------ running */

int machine_hold(struct ringer *m)
{
    if (m->input.mode == INPUT_RECORDING) { /* only there a replay can do the same */
        board_reach_sync(m);
    }
    vcpus_hold(m);
    return board_wait_held(m);
}

void machine_release(struct ringer *m)
{
    m->held = false;
    vcpus_run(m);
}

void machine_set_stop(struct ringer *m)
{
    u64 input_stop = input_stop_at(m);

    atomic_store(&m->shared->stop_at, m->run_until < input_stop ? m->run_until : input_stop);
}

static struct ringer_exit how_it_ended(const struct ringer *m)
{
    if (m->ended) {
        return m->exit;
    }
    return (struct ringer_exit){.reason = m->input.over ? RINGER_EXIT_REPLAYED
                                          : m->counted  ? RINGER_EXIT_COUNT
                                                        : RINGER_EXIT_STOPPED};
}

static int run_until(struct ringer *m, u64 instructions, struct ringer_exit *end)
{
    int error;

    if (!m->loaded) {
        return machine_fail(m, -EINVAL, "nothing has been loaded");
    }
    if (m->running || m->ended) {
        return machine_fail(m, -EBUSY,
                            m->running ? "the machine is running" : "the machine has ended");
    }
    if (m->input.over) {
        *end = how_it_ended(m);
        return 0;
    }
    error = input_start(m);
    if (error < 0) {
        return error;
    }
    if (!m->was_run) {
        m->was_run = true;
        m->run_start_ns = host_monotonic_ns();
    }
    m->running = true;
    m->counted = false;
    m->run_until = instructions;
    machine_set_stop(m);
    if (!m->paused) {
        machine_release(m);
    }
    board_run(m);
    machine_hold(m);
    board_finish(m);
    m->running = false;
    input_end_run(m);
    *end = how_it_ended(m);
    return 0;
}

int ringer_run(struct ringer *m, struct ringer_exit *end)
{
    return run_until(m, UINT64_MAX, end);
}

int ringer_run_until(struct ringer *m, uint64_t instructions, struct ringer_exit *end)
{
    if (m->vm->cpu_count > 1) {
        return machine_fail(m, -EINVAL, "only a machine with one CPU stops at an instruction");
    }
    return run_until(m, instructions, end);
}

void ringer_stop(struct ringer *m)
{
    u64 one = 1;

    atomic_store(&m->stop_requested, true);
    if (write(m->kick_fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it is full of kicks */
    }
}

int ringer_pause(struct ringer *m)
{
    if (m->serving) {
        return machine_fail(m, -EBUSY, "a device is being served: pause from another callback");
    }
    m->paused = true;
    return m->running && !m->held ? machine_hold(m) : 0;
}

int ringer_resume(struct ringer *m)
{
    m->paused = false;
    if (m->running && !m->ended && !m->snapshot.taking && !debug_is_pending(m)) {
        machine_release(m);
    }
    return 0;
}

bool ringer_is_paused(const struct ringer *m)
{
    return m->paused;
}

int ringer_watch_fd(struct ringer *m, int fd, void (*readable)(void *context), void *context)
{
    struct watch *watch = watch_find(m, fd);
    int error;

    watch_remove(watch);
    if (!readable) {
        return 0;
    }
    error = watch_add(m, fd, readable, context, &watch);
    return error < 0 ? machine_fail(m, error, "descriptor %d: %s", fd, strerror(-error)) : 0;
}
