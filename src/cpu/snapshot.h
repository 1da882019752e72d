/*
 * snapshot.h - all of a CPU's state to bytes and back: what a snapshot of a machine keeps of it.
 *
 * Nothing of it depends on addresses, nor on the host, but for the features of the host's CPU that
 * the guest was told of.
 */
#ifndef CPU_SNAPSHOT_H
#define CPU_SNAPSHOT_H

#include "base/fields.h"
#include "cpu/cpu.h"

/* The CPU is held.  Not const: if the guest has not asked for CPUID yet, the host is asked now. */
void cpu_save(struct cpu *cpu, struct field_writer *writer);

/* Into a CPU that has been reset, and is held; what is decoded or in a TLB has to be dropped after
 * it.  False with an error in the reader, also where the host lacks a feature that the guest has
 * seen. */
bool cpu_load(struct cpu *cpu, struct field_reader *reader);

/* An inbox; on the way back the vCPU is told to look at it. */
void cpu_inbox_save(const struct interrupt_inbox *inbox, struct field_writer *writer);
bool cpu_inbox_load(struct interrupt_inbox *inbox, struct field_reader *reader);

#endif
