/*
 * transfer.h - far control transfers: JMP, CALL, RET and IRET, in every mode.
 *
 * cpu->rip is the instruction's own when these are called, and the target when they return true. On
 * false it is where the exception in cpu->fault is to be reported: the instruction, or, if a task
 * switch had been made already, the first instruction of the new task.  So the caller must not set
 * cpu->rip after a failure.  opsize is in bytes: 2, 4 or 8.
 *
 * Intel SDM vol. 2, CALL, JMP, RET, IRET.
 */
#ifndef CPU_TRANSFER_H
#define CPU_TRANSFER_H

#include "cpu/cpu.h"

bool transfer_jmp_far(struct cpu *cpu, u16 selector, u64 offset, unsigned opsize, u64 next_rip);
bool transfer_call_far(struct cpu *cpu, u16 selector, u64 offset, unsigned opsize, u64 next_rip);

/* pop_bytes: RET imm16.  return.c */
bool transfer_ret_far(struct cpu *cpu, unsigned opsize, u16 pop_bytes);

/* next_rip is saved if IRET leaves a nested task.  return.c */
bool transfer_iret(struct cpu *cpu, unsigned opsize, u64 next_rip);

/* ---- for the other files of this folder */

/* Is rip a valid target in the code segment cs?  Raises #GP(0). */
bool transfer_check_rip(struct cpu *cpu, const struct segment *cs, u64 rip);

/* Switch to code at cs:rip at CPL cpl; cs.selector gets cpl as its RPL. */
void transfer_set_code(struct cpu *cpu, const struct segment *cs, u64 rip, unsigned cpl);

struct stack; /* system.h */

/* The stack that the TSS names for privilege level cpl (ist 0), or an IST entry of the 64-bit TSS.
 */
bool transfer_tss_stack(struct cpu *cpu, unsigned cpl, unsigned ist, struct stack *stack);

#endif
