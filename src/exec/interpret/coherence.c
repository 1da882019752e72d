/* coherence.c - stores into code, between vCPUs; the protocol is in coherence.h. */
#include "exec/interpret/coherence.h"

#include "exec/interpret/code.h"

/* How often to look for an answer before sleeping for it: some microseconds, in which a vCPU that
 * runs gives it. */
#define SPINS 200

static struct mem_coherence *own(const struct cpu *cpu)
{
    const struct mem *mem = cpu->mmu.mem;
    return mem->coherence ? &mem->coherence[cpu->index] : NULL;
}

static u8 *holders(const struct cpu *cpu, gpa_t page)
{
    const struct mem *mem = cpu->mmu.mem;
    return &mem->code_holders[(u64)mem_offset(mem, page) >> PAGE_SHIFT];
}

/* Wake whoever waits for this vCPU, after what it waits for has come. */
static void tell_waiters(struct cpu *cpu, struct mem_coherence *c)
{
    if (unlikely(atomic_load(&c->waiters))) {
        atomic_fetch_add(&c->progress, 1);
        cpu->fabric.wake(&c->progress);
    }
}

static void answer(struct cpu *cpu, struct mem_coherence *c)
{
    u32 asked = atomic_load(&c->asked);

    if (asked != atomic_load_explicit(&c->answered, memory_order_relaxed)) {
        mmu_flush(&cpu->mmu);
        atomic_store(&c->answered, asked);
        tell_waiters(cpu, c);
    }
}

void coherence_enter(struct cpu *cpu)
{
    struct mem_coherence *c = own(cpu);

    if (c) {
        atomic_store(&c->inside, 1); /* and then look: whoever asks looks the other way round */
        answer(cpu, c);
    }
}

void coherence_leave(struct cpu *cpu)
{
    struct mem_coherence *c = own(cpu);

    if (c) {
        atomic_store(&c->inside, 0);
        tell_waiters(cpu, c);
    }
}

static bool has_answered(struct mem_coherence *c, u32 request)
{
    return !atomic_load(&c->inside) || (s32)(atomic_load(&c->answered) - request) >= 0;
}

/* For a vCPU that the host does not run just now, so that it can run it here.  Who sleeps stores
 * nothing, and nobody needs to wait for it. */
static void sleep_until_answered(struct cpu *cpu, struct mem_coherence *c, u32 request)
{
    bool inside = atomic_load(&own(cpu)->inside);

    coherence_leave(cpu);
    atomic_fetch_add(&c->waiters, 1);
    for (;;) {
        u32 progress = atomic_load(&c->progress);
        if (has_answered(c, request)) {
            break;
        }
        cpu->fabric.wait(&c->progress, progress);
    }
    atomic_fetch_sub(&c->waiters, 1);
    if (inside) {
        coherence_enter(cpu);
    }
}

/* While it waits for the others it answers them, so that two can ask each other at once. */
static void ask(struct cpu *cpu, unsigned other)
{
    struct mem_coherence *c = &cpu->mmu.mem->coherence[other];
    u32 request = atomic_fetch_add(&c->asked, 1) + 1;

    if (!atomic_load(&c->inside)) {
        return;
    }
    interrupt_kick(&cpu->fabric, other);
    for (unsigned n = 0; !has_answered(c, request); n++) {
        if (n == SPINS && cpu->fabric.wait) {
            sleep_until_answered(cpu, c, request);
            return;
        }
        answer(cpu, own(cpu));
        __builtin_ia32_pause();
    }
}

void coherence_hold(struct cpu *cpu, gpa_t page)
{
    __atomic_fetch_add(holders(cpu, page), 1, __ATOMIC_SEQ_CST);
    mmu_watch_code(&cpu->mmu, page);
    for (unsigned i = 0; own(cpu) && i < cpu->mmu.mem->cpu_count; i++) {
        if (i != cpu->index) {
            ask(cpu, i);
        }
    }
}

void coherence_release(struct cpu *cpu, gpa_t page)
{
    __atomic_fetch_sub(holders(cpu, page), 1, __ATOMIC_SEQ_CST);
}

void coherence_stored(struct cpu *cpu, gpa_t gpa, unsigned size, bool is_holder)
{
    const struct mem *mem = cpu->mmu.mem;

    if (*holders(cpu, gpa) <= is_holder) {
        return;
    }
    for (unsigned i = 0; own(cpu) && i < mem->cpu_count; i++) {
        if (i != cpu->index) {
            mem_tell_stale(&mem->coherence[i], gpa, size);
            interrupt_kick(&cpu->fabric, i);
        }
    }
}

static void drop_changed(struct cpu *cpu, struct mem_coherence *c)
{
    for (unsigned i = 0; i < MEM_STALE_SLOTS; i++) {
        u64 place = atomic_exchange(&c->stale_at[i], 0);
        while (place & bits_mask(13)) { /* a page at a time: the board's may lie in two */
            gpa_t gpa = place >> 13;
            u64 size = place & bits_mask(13), room = PAGE_SIZE - (gpa & ~PAGE_MASK);
            u64 piece = size < room ? size : room;
            code_drop(cpu, gpa, (unsigned)piece);
            place = (gpa + piece) << 13 | (size - piece);
        }
    }
}

bool coherence_poll(struct cpu *cpu)
{
    struct mem_coherence *c = own(cpu);

    if (!c) {
        return false;
    }
    answer(cpu, c);
    if (likely(!atomic_load_explicit(&c->stale, memory_order_relaxed))) {
        return false;
    }
    u32 stale = atomic_exchange(&c->stale, 0);
    drop_changed(cpu, c);
    return stale & MEM_STALE_ALL;
}
