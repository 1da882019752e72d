/* tsc.c - the host's time stamp counter and clocks. */
#define _GNU_SOURCE

#include "host/tsc.h"

#include <sched.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ull
#define MEASURE_NS    20000000ull
#define TRIES         8

static u64 read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (u64)t.tv_sec * NS_PER_SECOND + (u64)t.tv_nsec;
}

u64 host_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

u64 host_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

struct sample {
    u64 tsc, ns;
};

/* TSC and clock at the same moment: the tightest of a few tries, so that an interruption between
 * the two reads does not count. */
static struct sample sample(void)
{
    struct sample best = {0};
    u64 best_width = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        u64 before = __builtin_ia32_rdtsc();
        u64 ns = host_monotonic_ns();
        u64 after = __builtin_ia32_rdtsc();
        if (after - before < best_width) {
            best_width = after - before;
            best = (struct sample){.tsc = before + (after - before) / 2, .ns = ns};
        }
    }
    return best;
}

u32 host_tsc_khz(void)
{
    struct timespec pause = {.tv_nsec = MEASURE_NS};
    struct sample start = sample(), end;

    nanosleep(&pause, NULL);
    end = sample();
    return (u32)((end.tsc - start.tsc) * 1000000 / (end.ns - start.ns));
}

unsigned host_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        return 2; /* more than fit into the set */
    }
    return (unsigned)CPU_COUNT(&set);
}
