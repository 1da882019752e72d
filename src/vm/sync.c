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

void sync_publish(struct ringer *m)
{
    atomic_store(&m->shared->board_deadline_ns, timer_queue_next(&m->timers));
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
    sync_publish(m);
    ring_reply(&m->vm->rings[0], &m->ring_host, 0);
}

/* The virtual time at which a halted vCPU has something to do. */
static u64 target_ns(const struct ringer *m)
{
    u64 board_ns = timer_queue_next(&m->timers);

    return board_ns < m->sync.deadline_ns ? board_ns : m->sync.deadline_ns;
}

u64 sync_wake_host_ns(const struct ringer *m)
{
    u64 target = target_ns(m);

    if (!m->sync.pending || !m->sync.halted || target == TIMER_NEVER) {
        return TIMER_NEVER;
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

void sync_serve(struct ringer *m)
{
    if (m->sync.halted && host_monotonic_ns() >= sync_wake_host_ns(m)) {
        skip_to(m, target_ns(m));
    }
    if (m->sync.input_ready) {
        if (m->sync.halted) {
            catch_up(m);
        }
        m->sync.input_ready = false;
        watch_call_ready(m);
    }
    if (m->sync.pending &&
        sync_is_due(m)) { /* a callback may have paused the guest, and ended it */
        sync_end(m);
    }
}
