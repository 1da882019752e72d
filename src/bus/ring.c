/*
 * ring.c - putting messages into a vCPU's ring, taking them out, and answering them.
 *
 * Each way to sleep has the same shape: the sleeper announces itself, then looks once more; the
 * waker changes the word, then looks for the announcement.  Both are sequentially consistent, so
 * one of the two sees the other.
 */
#include "bus/ring.h"

static u64 ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static bool is_full(struct ring *ring, u32 head)
{
    return head - atomic_load_explicit(&ring->tail, memory_order_acquire) >= RING_SLOTS;
}

static void wait_for_space(struct ring *ring, const struct ring_host *host, u32 head)
{
    u64 start = ticks();

    while (is_full(ring, head)) {
        if (ticks() - start < host->spin_ticks) {
            __builtin_ia32_pause();
            continue;
        }
        atomic_store(&ring->space_wanted, 1);
        u32 tail = atomic_load(&ring->tail);
        if (head - tail >= RING_SLOTS) {
            host->wait(host->context, &ring->tail, tail);
        }
    }
    atomic_store_explicit(&ring->space_wanted, 0, memory_order_relaxed);
}

void ring_kick(const struct ring_host *host)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&host->bell->asleep, memory_order_relaxed) &&
        atomic_exchange(&host->bell->asleep, 0)) {
        host->kick(host->context);
    }
}

static void put(struct ring *ring, const struct ring_host *host, const struct ring_message *m,
                bool wants_reply)
{
    u32 head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    struct ring_message *slot;

    if (unlikely(is_full(ring, head))) {
        wait_for_space(ring, host, head);
    }
    slot = &ring->slots[head % RING_SLOTS];
    *slot = *m;
    slot->wants_reply = wants_reply;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    ring_kick(host);
}

void ring_post(struct ring *ring, const struct ring_host *host, const struct ring_message *m)
{
    put(ring, host, m, false);
}

u64 ring_call(struct ring *ring, const struct ring_host *host, const struct ring_message *m)
{
    u32 expected = ++ring->calls;
    u64 start;
    u32 reply;

    put(ring, host, m, true);
    start = ticks();
    while ((reply = atomic_load_explicit(&ring->reply, memory_order_acquire)) != expected) {
        if (ticks() - start < host->spin_ticks) {
            __builtin_ia32_pause();
            continue;
        }
        atomic_store(&ring->reply_wanted, 1);
        reply = atomic_load(&ring->reply);
        if (reply != expected) {
            host->wait(host->context, &ring->reply, reply);
        }
    }
    atomic_store_explicit(&ring->reply_wanted, 0, memory_order_relaxed);
    return ring->reply_value;
}

bool ring_has_message(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire) !=
           atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

bool ring_take(struct ring *ring, const struct ring_host *host, struct ring_message *m)
{
    u32 tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (!ring_has_message(ring)) {
        return false;
    }
    *m = ring->slots[tail % RING_SLOTS];
    atomic_store(&ring->tail, tail + 1);
    if (unlikely(atomic_load(&ring->space_wanted)) && atomic_exchange(&ring->space_wanted, 0)) {
        host->wake(host->context, &ring->tail);
    }
    return true;
}

void ring_reply(struct ring *ring, const struct ring_host *host, u64 value)
{
    ring->reply_value = value;
    atomic_fetch_add(&ring->reply, 1);
    if (atomic_load(&ring->reply_wanted) && atomic_exchange(&ring->reply_wanted, 0)) {
        host->wake(host->context, &ring->reply);
    }
}
