/*
 * clock.h - the machine's time.
 *
 * In real time the guest's TSC is the host's with an offset, and nanoseconds are the TSC scaled, in
 * every process alike.  Under --icount, an instruction takes one nanosecond, the TSC runs at 1 GHz,
 * and what takes time without instructions (an access to a device, a halted CPU's wait for its next
 * event) adds to `warp_ns`.
 */
#ifndef CPU_CLOCK_H
#define CPU_CLOCK_H

#include <stdatomic.h>

#include "base/types.h"

struct vm_clock { /* in the arena; set up by the board before the vCPUs start */
    bool icount;
    u32 tsc_khz;        /* the guest's (and in real time the host's) */
    u64 host_tsc_start; /* host TSC at power-on */
    u64 tsc_start;      /* the guest's then: 0, or the same where guest code reads the host's TSC */
    u64 ns_per_tsc_32;  /* nanoseconds per TSC tick as a 32.32 fixed-point number */
    u64 wall_ns_start;  /* wall clock (UTC, since the epoch) at power-on */
    _Atomic u64 warp_ns; /* --icount: time that passed without instructions */
};

struct cpu;

/* Guest time since power-on.  Under --icount exact only at the instruction boundaries at which
 * cpu->icount is exact; executors keep it so for instructions that read time. */
u64 clock_ns(const struct cpu *cpu);

/* The TSC without MSR_IA32_TSC_ADJUST, and with. */
u64 clock_tsc_raw(const struct cpu *cpu);
u64 clock_tsc(const struct cpu *cpu);

/* The ns at which the TSC (as the guest sees it) reaches value. */
u64 clock_tsc_to_ns(const struct cpu *cpu, u64 tsc);

/* The same clock without a CPU, for the board in real time: ns since power-on. */
u64 clock_host_ns(const struct vm_clock *clock);

#endif
