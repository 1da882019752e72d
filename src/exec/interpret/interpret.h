/* interpret.h - the executor `interpret`: software performs each instruction.  The reference. */
#ifndef EXEC_INTERPRET_INTERPRET_H
#define EXEC_INTERPRET_INTERPRET_H

#include "cpu/cpu.h"

/* struct engine's execute(). */
void interpret_execute(struct cpu *cpu, u64 limit);

#endif
