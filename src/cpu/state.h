/*
 * state.h - the architectural state of a CPU as one row of numbers with names.
 *
 * What two CPUs that executed the same instructions must agree in, and no more: nothing derived,
 * cached or counted.  It is how runs are compared: record and replay, lockstep.
 */
#ifndef CPU_STATE_H
#define CPU_STATE_H

#include "cpu/cpu.h"

#define CPU_STATE_VALUES 320u /* at most */

struct cpu_state {
    u64 value[CPU_STATE_VALUES]; /* the first cpu_state_count() of them */
};

unsigned cpu_state_count(void);

/* The CPU must be held: its executor is not running. */
void cpu_state_get(const struct cpu *cpu, struct cpu_state *state);

/* The name of value i: "rax", "cs.base", "xmm3.high". */
void cpu_state_name(unsigned i, char *name, size_t size);

u64 cpu_state_digest(const struct cpu_state *state);

#endif
