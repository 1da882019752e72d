/* debug.h - the board's side of a debugger: stops are told, breakpoints kept (cpu/debugger.h). */
#ifndef VM_DEBUG_H
#define VM_DEBUG_H

#include "base/types.h"

struct ringer;

/* Has a CPU stopped without its having been told? */
bool debug_is_pending(const struct ringer *machine);

/* From the board's loop: pause the machine and tell, once a CPU has stopped and all are held. */
void debug_serve(struct ringer *machine);

#endif
