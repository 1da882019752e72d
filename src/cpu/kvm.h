/* kvm.h - KVM's paravirtual clock and hypercalls: see kvm.c. */
#ifndef CPU_KVM_H
#define CPU_KVM_H

#include "base/types.h"

struct cpu;

/* Writes of MSR_KVM_WALL_CLOCK and MSR_KVM_SYSTEM_TIME (old and new numbers).  False for #GP. */
bool kvm_set_wall_clock(struct cpu *cpu, u64 value);
bool kvm_set_system_time(struct cpu *cpu, u64 value);

/* Bring the guest's time structure up to date after the guest's TSC has jumped. */
void kvm_update_system_time(struct cpu *cpu);

/* VMCALL and VMMCALL: the result is in RAX. */
void kvm_hypercall(struct cpu *cpu);

#endif
