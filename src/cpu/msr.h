/* msr.h - RDMSR and WRMSR: see msr.c. */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "base/types.h"

struct cpu;

/* The caller has checked that CPL is 0.  False: #GP(0) has been raised. */
bool cpu_rdmsr(struct cpu *cpu, u32 index, u64 *value);
bool cpu_wrmsr(struct cpu *cpu, u32 index, u64 value);

/* The MSRs that power-on sets, INIT and SIPI leave: all of cpu->msr. */
void msr_reset(struct cpu *cpu);

/* What firmware leaves behind: MTRRs on, RAM write-back.  For boots without firmware: Linux turns
 * the PAT off where the MTRRs are. */
void msr_set_firmware_state(struct cpu *cpu);

#endif
