/*
 * exception.h - delivery of exceptions and interrupts; the general interface is in cpu.h.
 *
 * Intel SDM vol. 3A, "Interrupt and Exception Handling"; vol. 2, INT n.
 */
#ifndef CPU_EXCEPTION_H
#define CPU_EXCEPTION_H

#include "cpu/cpu.h"

/*
 * The software interrupts, with cpu->rip at the instruction itself, and as for transfer.h the
 * handler in cpu->rip afterwards, or false and cpu->rip where the fault is to be reported.  They
 * are what an executor calls; cpu_deliver_event() with EVENT_SOFTWARE is the same without the rules
 * of virtual-8086 mode for INT n.
 */
bool exception_int_n(struct cpu *cpu, u8 vector, u64 next_rip); /* CD ib, only */
bool exception_int3(struct cpu *cpu, u64 next_rip);
bool exception_into(struct cpu *cpu, u64 next_rip); /* OF has been found set */
bool exception_int1(struct cpu *cpu, u64 next_rip);

#endif
