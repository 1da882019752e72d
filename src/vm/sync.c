/* sync.c - virtual time as the board sees it: sync.h has the rules. */
#include "vm/sync.h"

#include "host/tsc.h"
#include "vm/machine.h"

void sync_set_time(struct ringer *m, u64 time_ns)
{
    if (time_ns > m->now_ns) {
        m->now_ns = time_ns;
    }
    if (m->now_ns >= timer_queue_next(&m->timers)) {
        m->serving = true;
        timer_queue_run(&m->timers);
        m->serving = false;
    }
}

/* The next event on the board. */
static u64 next_ns(const struct ringer *m)
{
    u64 timer_ns = timer_queue_next(&m->timers), input_ns = input_next_sync_ns(m);

    return timer_ns < input_ns ? timer_ns : input_ns;
}

void sync_publish(struct ringer *m)
{
    atomic_store(&m->shared->board_deadline_ns, next_ns(m));
}

void sync_begin(struct ringer *m, const struct ring_message *message)
{
    m->sync = (struct sync){
        .pending = true,
        .halted = message->kind == RING_SYNC_HALT,
        .input_ready = m->sync.input_ready,
        .deadline_ns = message->value,
        .start_ns = m->now_ns,
        .host_start_ns = host_monotonic_ns(),
    };
}

void sync_end(struct ringer *m)
{
    m->sync.pending = false;
    m->input.door = INPUT_SHUT;
    sync_publish(m);
    ring_reply(&m->vm->rings[0], &m->ring_host, 0);
}

/* The virtual time at which a halted vCPU has something to do. */
static u64 target_ns(const struct ringer *m)
{
    u64 board_ns = next_ns(m);

    return board_ns < m->sync.deadline_ns ? board_ns : m->sync.deadline_ns;
}

u64 sync_wake_host_ns(const struct ringer *m)
{
    u64 target = target_ns(m);

    if (!m->sync.pending || !m->sync.halted || target == TIMER_NEVER) {
        return TIMER_NEVER;
    }
    if (m->input.mode == INPUT_REPLAYING || m->config.lockstep_interval) {
        return 0; /* it waits for nobody */
    }
    return m->sync.host_start_ns + (target > m->sync.start_ns ? target - m->sync.start_ns : 0);
}

/* A halted vCPU skips time: its clock is its instruction count and what it has skipped. */
static void skip_to(struct ringer *m, u64 time_ns)
{
    if (time_ns > m->now_ns) {
        atomic_fetch_add(&m->shared->clock.warp_ns, time_ns - m->now_ns);
        sync_set_time(m, time_ns);
    }
}

/* Time goes on with the host's while the vCPU sleeps, but never past its next event. */
static void catch_up(struct ringer *m)
{
    u64 target = target_ns(m);
    u64 elapsed = m->sync.start_ns + (host_monotonic_ns() - m->sync.host_start_ns);

    skip_to(m, elapsed < target ? elapsed : target);
}

static bool has_attention(const struct ringer *m)
{
    return atomic_load(&m->vm->inboxes[0].attention) != 0;
}

bool sync_is_due(struct ringer *m)
{
    return !m->sync.halted || has_attention(m) || m->now_ns >= m->sync.deadline_ns ||
           host_monotonic_ns() >= sync_wake_host_ns(m);
}

void sync_serve_held(struct ringer *m)
{
    if (m->sync.input_ready) {
        m->sync.input_ready = false;
        watch_call_ready(m);
    }
}

/* A halted vCPU waits: let it be the time of its next event, if that has come. */
static void wait_on(struct ringer *m)
{
    u64 target = target_ns(m);

    if (target == TIMER_NEVER) {
        input_at_endless_sleep(m);
    } else if (host_monotonic_ns() >= sync_wake_host_ns(m)) {
        skip_to(m, target);
        input_at_sync(m);
    }
}

void sync_serve(struct ringer *m)
{
    input_at_sync(m);
    if (m->sync.halted && !has_attention(m)) {
        wait_on(m);
    }
    if (m->sync.input_ready || m->input.wanted) {
        if (m->sync.halted && m->input.mode != INPUT_REPLAYING) {
            catch_up(m);
        }
        m->sync.input_ready = false;
        input_let_in(m);
    }
    /* A callback may have paused the guest, and ended it; at a recording's end it stays here. */
    if (m->sync.pending && !machine_is_done(m) && sync_is_due(m)) {
        sync_end(m);
    }
}
