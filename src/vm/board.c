/*
 * board.c - the board at work.
 *
 * In real time: serve what is in the rings, look a little longer if a vCPU has just waited for an
 * answer (it will ask again), then announce that the board sleeps, look once more, and sleep in the
 * event loop.  The bell makes a vCPU kick the eventfd only while the board sleeps.
 */
#define _GNU_SOURCE

#include "vm/board.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "dev/fpu_error.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "host/futex.h"
#include "host/tsc.h"
#include "vm/debug.h"
#include "vm/machine.h"
#include "vm/sync.h"
#include "vm/trace.h"
#include "vm/vcpus.h"

#define POLL_NS       40000ull  /* how long to look for a message after an answer */
#define SPIN_NS       40000ull  /* how long a vCPU looks for the answer */
#define SLICE_NS      500000ull /* then the event loop is due again */
#define HOLD_TRIES    100       /* each of 100 ms */
#define NS_PER_SECOND 1000000000ull

/* ------------------------------------------------------------------ messages */

static bool is_size(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* A device has stored into code that a vCPU holds decoded: have it look before it jumps there. */
static void tell_stale(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (atomic_load(&m->vm->mem.coherence[i].stale)) {
            interrupt_kick(&m->fabric, i);
        }
    }
}

/* Devices' doorbells may have moved: tell the vCPUs where they are. */
static void publish_doorbells(struct ringer *m)
{
    unsigned count = 0;

    if (m->bus.changes == m->doorbells_seen) {
        return;
    }
    m->doorbells_seen = m->bus.changes;
    for (unsigned i = 0; i < m->bus.count && count < VM_DOORBELLS; i++) {
        if (m->bus.regions[i].doorbell) {
            atomic_store(&m->shared->doorbells[count++], m->bus.regions[i].base);
        }
    }
    if (count < VM_DOORBELLS) {
        atomic_store(&m->shared->doorbells[count], 0);
    }
}

/* The vCPU's process is not trusted: whatever is in the message, it only hurts itself. */
static u64 access_bus(struct ringer *m, const struct ring_message *message)
{
    enum bus_space space = message->space == BUS_PIO ? BUS_PIO : BUS_MMIO;

    if (!is_size(message->size)) {
        return ~0ull;
    }
    if (message->kind == RING_READ) {
        return bus_map_read(&m->bus, space, message->addr, message->size);
    }
    bus_map_write(&m->bus, space, message->addr, message->value, message->size);
    publish_doorbells(m);
    tell_stale(m);
    return 0;
}

static u64 perform(struct ringer *m, const struct ring_message *message)
{
    switch (message->kind) {
    case RING_READ:
    case RING_WRITE:
        return access_bus(m, message);
    case RING_ACKNOWLEDGE:
        /* The guest's writes are posted, so one that it made before it let interrupts in may have
         * taken INTR away only now.  A CPU, which waits for its OUT, would not have seen INTR. */
        return atomic_load(&m->vm->inboxes[0].events) & INBOX_EXTINT
                   ? i8259_acknowledge(m->pc.devices[PC_I8259])
                   : ~0ull;
    case RING_EOI:
        ioapic_eoi(m->pc.devices[PC_IOAPIC], (u8)message->value);
        return 0;
    case RING_FERR:
        fpu_error_set(m->pc.devices[PC_FPU_ERROR], message->value);
        return 0;
    case RING_STATE:
        vcpus_check_states(m);
        return 0;
    default:
        return 0;
    }
}

/* Returns whether a vCPU waited for the answer. */
static bool serve_message(struct ringer *m, struct ring *ring, const struct ring_message *message)
{
    u64 value;

    if (m->vm->clock.icount) {
        sync_set_time(m, message->time_ns);
        if (message->kind == RING_SYNC || message->kind == RING_SYNC_HALT) {
            sync_begin(m, message);
            return false;
        }
    }
    m->serving = true;
    value = perform(m, message);
    m->serving = false;
    if (m->ended) {
        vcpus_hold(
            m); /* before the answer, so that --icount ends at the same instruction each time */
    }
    if (message->wants_reply) {
        sync_publish(m);
        ring_reply(ring, &m->ring_host, value);
    }
    return message->wants_reply;
}

/* Serve what is there, at most a ring full from each vCPU.  Whether there was anything, and whether
 * somebody waited. */
static bool serve_rings(struct ringer *m, bool *waited)
{
    struct ring_message message;
    bool served = false;

    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct ring *ring = &m->vm->rings[i];
        for (unsigned n = 0; n < RING_SLOTS && ring_take(ring, &m->ring_host, &message); n++) {
            *waited |= serve_message(m, ring, &message);
            served = true;
        }
    }
    return served;
}

static bool is_anything_there(const struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (ring_has_message(&m->vm->rings[i]) || trace_is_pending(m, i)) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ time */

static u64 clock_now(void *context)
{
    const struct ringer *m = context;

    return m->vm->clock.icount ? m->now_ns : clock_host_ns(&m->vm->clock);
}

static void run_timers(struct ringer *m)
{
    if (clock_now(m) >= timer_queue_next(&m->timers)) {
        m->serving = true;
        timer_queue_run(&m->timers);
        m->serving = false;
        tell_stale(m);
    }
}

/* Have timer_fd expire at that time on the host's monotonic clock; TIMER_NEVER turns it off. */
static void set_timer_fd(struct ringer *m, u64 host_ns)
{
    struct itimerspec when = {0};

    if (host_ns == m->timer_set_ns) {
        return;
    }
    m->timer_set_ns = host_ns;
    if (host_ns != TIMER_NEVER) {
        when.it_value.tv_sec = (time_t)(host_ns / NS_PER_SECOND);
        when.it_value.tv_nsec = (long)(host_ns % NS_PER_SECOND);
    }
    timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The next moment at which the board has something to do by itself, on the host's monotonic clock.
 */
static u64 next_host_ns(struct ringer *m)
{
    u64 next_ns, now_ns;

    if (m->vm->clock.icount) {
        return sync_wake_host_ns(m);
    }
    next_ns = timer_queue_next(&m->timers);
    if (next_ns == TIMER_NEVER) {
        return TIMER_NEVER;
    }
    now_ns = clock_now(m);
    return host_monotonic_ns() + (next_ns > now_ns ? next_ns - now_ns : 0);
}

/* Rounded, so that a deadline that has not moved is not set again. */
static void arm_timer(struct ringer *m)
{
    u64 deadline_ns = m->vm->clock.icount ? next_host_ns(m) : timer_queue_next(&m->timers);

    if (deadline_ns != m->timer_for_ns) {
        m->timer_for_ns = deadline_ns;
        set_timer_fd(m, next_host_ns(m));
    }
}

/* ------------------------------------------------------------------ the loop */

/* Serve for a while: at least what is there, at most a slice.  Whether there is likely more. */
static bool serve(struct ringer *m)
{
    u64 start = __builtin_ia32_rdtsc(), last = start, now = start;
    bool waited = false;

    do {
        if (serve_rings(m, &waited)) {
            last = now;
        } else {
            __builtin_ia32_pause();
        }
        if (!m->vm->clock.icount) {
            run_timers(m);
        }
        now = __builtin_ia32_rdtsc();
    } while (!machine_is_done(m) && !m->sync.pending && now - start < m->slice_ticks &&
             now - last < (waited ? m->poll_ticks : 0));
    return is_anything_there(m);
}

void board_flush(struct ringer *m)
{
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        serial_flush(m->serials[i]);
    }
    serial_flush(m->debug_console);
    trace_drain(m);
}

void board_finish(struct ringer *m)
{
    board_flush(m);
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        serial_finish(m->serials[i]);
    }
}

/* Let the event loop run; sleep in it if nothing has come meanwhile. */
static void loop_once(struct ringer *m)
{
    arm_timer(m);
    atomic_store(&m->shared->bell.asleep, 1);
    if (is_anything_there(m)) {
        atomic_store(&m->shared->bell.asleep, 0);
        uv_run(&m->loop, UV_RUN_NOWAIT);
        return;
    }
    uv_run(&m->loop, UV_RUN_ONCE);
    atomic_store(&m->shared->bell.asleep, 0);
}

void board_run(struct ringer *m)
{
    while (!machine_is_done(m) && !atomic_exchange(&m->stop_requested, false)) {
        bool more = serve(m);
        board_flush(m);
        if (machine_is_done(m)) {
            break;
        }
        debug_serve(m);
        snapshot_serve(m);
        if (m->sync.pending) {
            sync_serve(m);
        } else if (m->held) {
            sync_serve_held(m);
        }
        if (more || (m->sync.pending && sync_is_due(m))) {
            uv_run(&m->loop, UV_RUN_NOWAIT);
        } else {
            loop_once(m);
        }
        tell_stale(m); /* a device's I/O may have ended */
        m->held = vcpus_are_held(m);
    }
    if (m->ended && m->exit.reason == RINGER_EXIT_FAILURE) {
        serve_rings(m, &(bool){false}); /* what a dead vCPU has still posted */
    }
    board_flush(m);
}

static void send_signal(void *context, unsigned vcpu)
{
    const struct ringer *m = context;

    host_process_signal(&m->vcpus[vcpu].process, SIGUSR1);
}

/* A vCPU cannot send another one a signal, so the board does. */
static void pass_signals_on(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (atomic_exchange(&m->vm->controls[i].signal_wanted, 0)) {
            send_signal(m, i);
        }
    }
}

/* First take the kicks and then look why: what comes in between makes another one. */
static void take_kicks(struct ringer *m)
{
    u64 kicks;

    if (read(m->kick_fd, &kicks, sizeof(kicks)) == sizeof(kicks)) {
        pass_signals_on(m);
    }
}

/* The descriptors that can end a wait: the kick, and the vCPUs' ends. */
static void wait_for_vcpus(struct ringer *m)
{
    struct pollfd fds[VM_CPUS_MAX + 1];
    unsigned count = 0;

    fds[count++] = (struct pollfd){.fd = m->kick_fd, .events = POLLIN};
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (m->vcpus[i].process.pid > 0) {
            fds[count++] = (struct pollfd){.fd = m->vcpus[i].process.pidfd, .events = POLLIN};
        }
    }
    atomic_store(&m->shared->bell.asleep, 1);
    if (!is_anything_there(m) && !vcpus_are_held(m)) {
        poll(fds, count, 100);
    }
    atomic_store(&m->shared->bell.asleep, 0);
    take_kicks(m);
}

/* Wait for messages and deaths once; *tries counts how often in vain.  0 or -ETIMEDOUT. */
static int wait_once(struct ringer *m, int *tries)
{
    bool waited = false;

    if ((*tries)++ == HOLD_TRIES) {
        machine_fail(m, -ETIMEDOUT, "a vCPU process does not answer");
        machine_end(m, RINGER_EXIT_FAILURE, 0, 0);
        return -ETIMEDOUT;
    }
    wait_for_vcpus(m);
    while (!m->sync.pending && serve_rings(m, &waited)) {
        *tries = 0;
    }
    trace_drain(m);
    vcpus_check_deaths(m);
    return 0;
}

void board_reach_sync(struct ringer *m)
{
    for (int tries = 0; !m->sync.pending && !m->ended && !vcpus_are_held(m);) {
        if (wait_once(m, &tries) < 0) {
            return;
        }
    }
}

int board_wait_held(struct ringer *m)
{
    for (int tries = 0; !vcpus_are_held(m);) {
        if (m->sync.pending) {
            sync_end(m);
        }
        if (wait_once(m, &tries) < 0) {
            return -ETIMEDOUT;
        }
    }
    m->held = true;
    return m->ended && m->exit.reason == RINGER_EXIT_FAILURE ? -EIO : 0;
}

int board_serve_rest(struct ringer *m)
{
    while (serve_rings(m, &(bool){false})) {}
    board_flush(m);
    return m->ended ? machine_fail(m, -EIO, "the machine has ended") : 0;
}

void board_wake(struct ringer *m)
{
    u64 one = 1;

    if (write(m->kick_fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it is full of kicks */
    }
}

/* ------------------------------------------------------------------ making it */

static void on_kick(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    take_kicks(poll->data);
}

static void on_timer(uv_poll_t *poll, int status, int events)
{
    struct ringer *m = poll->data;
    u64 expirations;

    (void)status;
    (void)events;
    if (read(m->timer_fd, &expirations, sizeof(expirations)) < 0) {
        return; /* EAGAIN */
    }
    m->timer_set_ns = m->timer_for_ns = TIMER_NEVER; /* board_run() serves what is due */
}

static int start_polling(struct ringer *m, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    int error = uv_poll_init(&m->loop, poll, fd);

    if (error < 0) {
        return error;
    }
    poll->data = m;
    return uv_poll_start(poll, UV_READABLE, callback);
}

/* Spinning helps nobody where the other side cannot run meanwhile. */
static void set_patience(struct ringer *m)
{
    bool alone = host_processors() < 2;
    u32 khz = m->host_tsc_khz;

    m->slice_ticks = SLICE_NS * khz / 1000000;
    m->poll_ticks = alone ? 0 : POLL_NS * khz / 1000000;
    m->shared->spin_ticks = alone ? 0 : SPIN_NS * khz / 1000000;
}

static void wake(void *context, _Atomic u32 *word)
{
    (void)context;
    host_futex_wake(word);
}

int board_create(struct ringer *m)
{
    int error = uv_loop_init(&m->loop);

    if (error < 0) {
        return error;
    }
    m->loop_made = true;
    m->timers = (struct timer_queue){.clock_ns = clock_now, .clock = m};
    m->fabric = (struct interrupt_fabric){
        .inboxes = m->vm->inboxes,
        .count = m->vm->cpu_count,
        .wake = host_futex_wake,
        .signal = send_signal,
        .context = m,
    };
    m->ring_host = (struct ring_host){.bell = &m->shared->bell, .wake = wake};
    m->timer_set_ns = m->timer_for_ns = TIMER_NEVER;
    set_patience(m);
    m->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (m->kick_fd < 0 || m->timer_fd < 0) {
        return -errno;
    }
    error = start_polling(m, &m->kick_poll, m->kick_fd, on_kick);
    return error < 0 ? error : start_polling(m, &m->timer_poll, m->timer_fd, on_timer);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void board_destroy(struct ringer *m)
{
    if (m->loop_made) {
        while (m->watches) {
            watch_remove(m->watches);
        }
        uv_walk(&m->loop, close_handle, NULL);
        uv_run(&m->loop, UV_RUN_DEFAULT);
        uv_loop_close(&m->loop);
    }
    if (m->kick_fd >= 0) {
        close(m->kick_fd);
    }
    if (m->timer_fd >= 0) {
        close(m->timer_fd);
    }
}
