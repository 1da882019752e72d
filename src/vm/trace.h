/* trace.h - the board's end of --trace. */
#ifndef VM_TRACE_H
#define VM_TRACE_H

#include "base/types.h"

struct ringer;

/* "exits,io" to bits of enum trace_kind.  NULL is none.  False at an unknown word. */
bool trace_parse(const char *list, u32 *kinds);

/* Has this vCPU written lines that are not in the file yet? */
bool trace_is_pending(const struct ringer *machine, unsigned vcpu);

/* Move what the vCPUs have written to the trace file. */
void trace_drain(struct ringer *machine);

#endif
