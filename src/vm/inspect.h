/* inspect.h - looking into a guest that is held (or dead). */
#ifndef VM_INSPECT_H
#define VM_INSPECT_H

#include "base/types.h"

struct ringer;

/* The instruction at a vCPU's rIP, as text; or why there is none. */
void inspect_instruction(struct ringer *machine, unsigned vcpu, char *text, size_t size);

#endif
