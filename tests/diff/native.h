/*
 * native.h - cases run by the host CPU, in a process of their own.
 *
 * The process has the area at its address, and the host's CPU executes each case as
 * host/native.h says: from any registers, to the first exception.
 *
 * Cases go over in batches, by memory that is shared.  A process that dies, or does not come back,
 * is replaced by a new one: struct native_batch says at which case that was.
 */
#ifndef TESTS_DIFF_NATIVE_H
#define TESTS_DIFF_NATIVE_H

#include "case.h"
#include "guest.h"

#define NATIVE_BATCH 256

struct native_batch {
    _Atomic u32 count;   /* of cases */
    _Atomic u32 current; /* the case being run, or the next one */
    struct diff_case cases[NATIVE_BATCH];
    struct outcome outcomes[NATIVE_BATCH];
};

struct native_process;

/* NULL if this host cannot: *reason then says why.  *ldt: may there be segments of the LDT, and so
 * 16-bit code? */
struct native_process *native_process_new(const char **reason, bool *ldt);
void native_process_free(struct native_process *native);

/* Where the process has memory. */
const struct host_ranges *native_ranges(const struct native_process *native);

/* The batch to fill; not while it runs. */
struct native_batch *native_batch(struct native_process *native);

/* Have batch->cases[first] and those after it run; and wait for that.  The latter returns
 * batch->count, or less: the case at which the process was lost, whose outcome there is not.  A new
 * process is then ready. */
void native_start(struct native_process *native, unsigned first);
unsigned native_wait(struct native_process *native);

/* native_child.c: the process's whole life.  Reads a byte for each batch, and writes one after it.
 * The first that it writes says whether there is an LDT ('L'), or that it cannot work ('E'). */
_Noreturn void native_child(struct native_batch *batch, int socket);

#endif
