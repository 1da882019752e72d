/*
 * clock.h - the machine's time.
 *
 * In real time the guest's TSC is the host's with an offset, and nanoseconds are the TSC scaled, in
 * every process alike.  Under --icount, an instruction takes one nanosecond, the TSC runs at 1 GHz,
 * and what takes time without instructions (an access to a device, a halted CPU's wait for its next
 * event) adds to `warp_ns`.
 *
 * Two engines in lockstep cannot both count the instructions of user mode, where one may have left
 * them to the host's CPU.  With `supervisor_only` those take no time; entering supervisor mode from
 * there takes CLOCK_ENTRY_NS, and an instruction of user mode that reads the time CLOCK_READ_NS.  A
 * stay in user mode is one piece: what becomes due in it is done at its end (exec/engine.c).
 */
#ifndef CPU_CLOCK_H
#define CPU_CLOCK_H

#include <stdatomic.h>

#include "base/types.h"

#define CLOCK_ENTRY_NS 200
#define CLOCK_READ_NS  100

struct vm_clock { /* in the arena; set up by the board before the vCPUs start */
    bool icount;
    bool supervisor_only; /* with icount: lockstep's clock */
    u32 tsc_khz;          /* the guest's (and in real time the host's) */
    u64 host_tsc_start;   /* host TSC at power-on */
    u64 tsc_start;  /* the guest's then: 0, or the same where guest code reads the host's TSC */
    bool tsc_traps; /* it goes on from a snapshot's: guest code must not read the host's itself */
    u64 ns_per_tsc_32;   /* nanoseconds per TSC tick as a 32.32 fixed-point number */
    u64 wall_ns_start;   /* wall clock (UTC, since the epoch) at power-on */
    _Atomic u64 warp_ns; /* --icount: time that passed without instructions */
};

struct cpu;

/* Guest time since power-on.  Under --icount exact only at the instruction boundaries at which
 * cpu->icount is exact; executors keep it so for instructions that read time. */
u64 clock_ns(const struct cpu *cpu);

/* --icount: instructions that have taken time; what passed without them is not in it. */
u64 clock_counted(const struct cpu *cpu);

/* With supervisor_only.  cpu->cpl may have changed between user mode and others: whether it has. */
bool clock_note_mode(struct cpu *cpu);

/* An instruction is about to read the time. */
void clock_note_read(struct cpu *cpu);

/* Does the time stand still: is this a stay in user mode that has begun? */
bool clock_stands(const struct cpu *cpu);

/* The TSC without MSR_IA32_TSC_ADJUST, and with. */
u64 clock_tsc_raw(const struct cpu *cpu);
u64 clock_tsc(const struct cpu *cpu);

/* The ns at which the TSC (as the guest sees it) reaches value. */
u64 clock_tsc_to_ns(const struct cpu *cpu, u64 tsc);

/* The same clock without a CPU, for the board in real time: ns since power-on. */
u64 clock_host_ns(const struct vm_clock *clock);

#endif
