/*
 * debugger.h - what a debugger outside the guest wants of a CPU: stop before the instruction at an
 * address, after an access to one, after one instruction.
 *
 * The guest cannot see any of it: no byte of its memory is changed, and its own debug registers
 * (debug.h) go on working.  Addresses are linear, in whatever address space the guest is.
 *
 * Without a debugger it costs nothing: executors look at none of it while they execute, but
 *
 *      a line of decoded instructions has an op that looks before each instruction whose offset in
 *      its page is that of some breakpoint (exec/interpret/code.c);
 *      a page with a watchpoint is never entered into the TLB (mmu/mmu.h), so that each access
 *      takes the slow path, which compares;
 *      a CPU that is to step executes each instruction by itself.
 *
 * An engine whose executors do not do all that asks `looks`, and lets the interpreter run instead:
 * exec/engine.c does so for every engine.
 */
#ifndef CPU_DEBUGGER_H
#define CPU_DEBUGGER_H

#include "mmu/mmu.h"

struct cpu;

#define DEBUGGER_BREAKPOINTS 4096u

/* One for all CPUs of a machine.  Who holds them all changes it, flushes what they have decoded and
 * their TLBs, and has debugger_update() called on each. */
struct debugger_list {
    u32 breakpoint_count;
    gva_t breakpoints[DEBUGGER_BREAKPOINTS]; /* ascending */
    u64 offsets[PAGE_SIZE / 64];             /* a bit for each offset in a page that one is at */
    struct mmu_watches watches;
};

enum debugger_stop {
    DEBUGGER_GO_ON,
    DEBUGGER_STEPPED,
    DEBUGGER_BREAKPOINT, /* before the instruction at `address` */
    DEBUGGER_WATCHPOINT, /* after an access to `address` */
};

/* Of one CPU, in struct cpu. */
struct debugger {
    const struct debugger_list *list; /* NULL: there is none */
    bool looks;                       /* derived: some of it is on */
    bool stepping;              /* stop after an instruction or the delivery of an event, ... */
    gva_t step_start, step_end; /* ... but not as long as the next is in [start, end) */
    u64 passed;    /* icount + 1 where a breakpoint was told: the CPU goes on past that one */
    u8 stop;       /* enum debugger_stop: why it stopped; who holds the CPU clears it */
    gva_t address; /* of the breakpoint, or of the access */
    u32 watch;     /* index of the watchpoint */
    u64 icount;    /* instructions before the one that it was at */
};

/* Is there a breakpoint at this offset in some page? */
static inline bool debugger_has_offset(const struct debugger_list *list, unsigned offset)
{
    return list && list->breakpoint_count && (list->offsets[offset / 64] >> (offset % 64) & 1);
}

/* Recompute what follows from the list and from `stepping`. */
void debugger_update(struct cpu *cpu);

/* An instruction is about to be executed whose first byte is at gva, as the CPU's icount-th.  True:
 * stop before it.  RFLAGS.RF lets one instruction pass, as with the CPU's own breakpoints: it was
 * stopped at before the fault that set RF. */
bool debugger_stops_before(struct cpu *cpu, gva_t gva, u64 icount);

/* An instruction (or one iteration of a repeated one, then not `completed`) has been executed, or
 * an event delivered; cpu->rip is the next one's.  Notes why to stop there, if there is a reason.
 */
void debugger_after(struct cpu *cpu, bool completed);

#endif
