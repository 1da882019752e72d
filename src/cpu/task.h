/* task.h - hardware task switches.  Intel SDM vol. 3A, "Task Management". */
#ifndef CPU_TASK_H
#define CPU_TASK_H

#include "cpu/cpu.h"

enum task_switch_reason {
    TASK_JMP,
    TASK_CALL,
    TASK_IRET,
    TASK_GATE, /* an interrupt or exception through a task gate */
};

/*
 * Switch to the task of tss_selector, whose own checks (busy, present, size) are made here; DPL
 * checks have been made.  return_rip is saved as the old task's.  has_error: push error on the new
 * task's stack.  A failure after the switch leaves cpu->rip at the new task's first instruction.
 */
bool task_switch(struct cpu *cpu, u16 tss_selector, enum task_switch_reason reason, u64 return_rip,
                 bool has_error, u32 error);

/* Offsets in the TSS of 32-bit mode and of long mode that others use. */
#define TSS_LIMIT_MIN    0x67u
#define TSS_IO_MAP       0x66u
#define TSS_16_LIMIT_MIN 0x2bu

#endif
