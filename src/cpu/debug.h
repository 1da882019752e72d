/*
 * debug.h - breakpoints, watchpoints and single-step.
 *
 * An executor calls these for each instruction while cpu->single_step_needed, in this order:
 *
 *      debug_check_fetch()       before it, with cpu->rip at it
 *      debug_check_data()        for each of its accesses (TLB_UNCACHED is selected if there are
 * any) debug_after_instruction() after it, with cpu->rip at the next one; not if it faulted
 *
 * and ends interrupt_shadow and debug_shadow of the instruction before after debug_check_fetch().
 * Intel SDM vol. 3B, "Debug Registers", "Debug Exceptions".
 */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include "cpu/cpu.h"
#include "isa/debug.h"

/* An instruction is about to be executed whose first byte is at gva.  False: a code breakpoint, #DB
 * is pending. */
bool debug_check_fetch(struct cpu *cpu, gva_t gva);

/* Note the watchpoints that an access meets in cpu->debug_hits.  For I/O gva is the port. */
void debug_check_data(struct cpu *cpu, gva_t gva, unsigned size, bool is_write, bool is_io);

/* The traps that follow the instruction just completed, before which TF was `stepping`.  (A
 * software interrupt, or a SYSCALL that masks TF, leaves no trap: cpu->debug_step.)  False: #DB is
 * pending. */
bool debug_after_instruction(struct cpu *cpu, bool stepping);

/* Is any data (not I/O) watchpoint on? */
bool debug_watches_data(const struct cpu *cpu);

#endif
