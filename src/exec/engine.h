/*
 * engine.h - which executor runs which mode of the guest, and cpu_run() over them.
 *
 * An engine is one const table and one row in engine.c.
 */
#ifndef EXEC_ENGINE_H
#define EXEC_ENGINE_H

#include "cpu/cpu.h"

enum cpu_exit {
    EXIT_PAUSED,   /* INBOX_PAUSE was posted; it is cleared */
    EXIT_HALTED,   /* nothing to do until attention: HLT, waiting for SIPI */
    EXIT_SHUTDOWN, /* triple fault */
    EXIT_LIMIT,    /* cpu->icount has reached the limit given */
    EXIT_DEBUGGER, /* cpu->debugger.stop says why */
    EXIT_REFUSED,  /* the engine cannot run this guest: struct engine's refuses() */
    EXIT_MODE,     /* lockstep's clock: user mode has been entered or left */
};

struct engine {
    const char *name;
    const char *summary;
    /* Mandatory.  Execute until cpu->icount reaches limit (at once exact), attention is raised, a
     * fault is pending, activity changes, or an instruction asks for it; the caller then looks
     * why.  Registers belong to the executor while it runs, and are in *cpu when it returns. */
    void (*execute)(struct cpu *cpu, u64 limit);
    /* Guest code runs on the host's CPU: the process has to be made for it (vm/cpu_direct.c), and
     * the guest's TSC is the host's. */
    bool is_direct;
    /* NULL where it runs every guest.  Else: what keeps it from running this one now? */
    bool (*refuses)(const struct cpu *cpu);
    bool is_hidden; /* for tests: not among those that are offered */
};

extern const struct engine engines[];
extern const unsigned engine_count;

/* NULL if there is no such engine; "auto" names the best one. */
const struct engine *engine_find(const char *name);

/*
 * Run one vCPU, delivering faults and interrupts, until one of enum cpu_exit.  The guest's FPU and
 * vector registers are in the host's from entry to return: no caller may rely on its own.
 */
enum cpu_exit cpu_run(struct cpu *cpu, const struct engine *engine, u64 icount_limit);

/* Bytes of arena that a vCPU's executors want, and their initialization in such a piece (aligned to
 * 4096, zeroed, readable and writable).  Sets cpu->exec. */
size_t exec_size(void);
void exec_init(struct cpu *cpu, void *memory);

/* What of it has to be executable in the vCPU's process, besides: whole pages, which hold nothing
 * but code that Ringer itself has made. */
size_t exec_code_offset(void);
size_t exec_code_size(void);

/* Drop everything decoded, as after a change of RAM from outside. */
void exec_flush(struct cpu *cpu);

#endif
