/* interpret.h - the executor `interpret`: software performs each instruction.  The reference. */
#ifndef EXEC_INTERPRET_INTERPRET_H
#define EXEC_INTERPRET_INTERPRET_H

#include "cpu/cpu.h"

/* struct engine's execute(). */
void interpret_execute(struct cpu *cpu, u64 limit);

/* The same for about so many instructions, or some more.  It is quicker: to stop at just one, those
 * before it are executed each by itself. */
void interpret_some(struct cpu *cpu, u64 instructions);

/* Is there something between two instructions that cpu_run() has to look at? */
bool interpret_must_return(const struct cpu *cpu);

/* The same, but each instruction by itself, decoded anew. */
void interpret_execute_alone(struct cpu *cpu, u64 limit);

/* Have interpret_execute() also return as soon as an instruction has entered or left CPL 3, or not:
 * for engines that give another executor one of the two. */
void interpret_return_at_mode_change(struct cpu *cpu, bool wanted);

#endif
