/*
 * syscall.h - SYSCALL, SYSRET, SYSENTER, SYSEXIT as Intel's processors do them: SYSCALL and SYSRET
 * are undefined outside 64-bit mode.  All checks are made here.  Intel SDM vol. 2.
 */
#ifndef CPU_SYSCALL_H
#define CPU_SYSCALL_H

#include "cpu/cpu.h"

bool syscall_syscall(struct cpu *cpu, u64 next_rip);
bool syscall_sysret(struct cpu *cpu, unsigned opsize);
bool syscall_sysenter(struct cpu *cpu);
bool syscall_sysexit(struct cpu *cpu, unsigned opsize);

#endif
