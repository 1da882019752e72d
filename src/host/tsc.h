/* tsc.h - the host's time stamp counter. */
#ifndef HOST_TSC_H
#define HOST_TSC_H

#include "base/types.h"

/* Its frequency, measured against CLOCK_MONOTONIC in about 20 ms, to a few parts in a million. */
u32 host_tsc_khz(void);

/* CLOCK_MONOTONIC, and CLOCK_REALTIME since the epoch, in nanoseconds. */
u64 host_monotonic_ns(void);
u64 host_wall_ns(void);

/* How many processors this process may run on. */
unsigned host_processors(void);

#endif
