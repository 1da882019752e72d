/*
 * engine.c - the engines, and the loop around whichever runs: faults, interrupts, halts.
 *
 * What happens between two instructions, and in which order, is the same for every engine.  Intel
 * SDM vol. 3A, "Priority Among Concurrent Events".
 */
#include "exec/engine.h"

#include "base/string.h"
#include "cpu/clock.h"
#include "cpu/fpu.h"
#include "exec/direct/direct.h"
#include "exec/interpret/code.h"
#include "exec/interpret/coherence.h"
#include "exec/interpret/interpret.h"
#include "exec/wrong.h"

/* Popek and Goldberg's theorem 3: supervisor code is interpreted, user code runs itself. */
static void execute_hybrid(struct cpu *cpu, u64 limit, bool at_once)
{
    interpret_return_at_mode_change(cpu, true);
    if (cpu->cpl == 3) {
        direct_execute_user(cpu, limit, at_once);
    } else {
        direct_leave_user(cpu);
        interpret_execute(cpu, limit);
    }
}

static void hybrid_execute(struct cpu *cpu, u64 limit)
{
    execute_hybrid(cpu, limit, false);
}

static void hybrid_at_once_execute(struct cpu *cpu, u64 limit)
{
    execute_hybrid(cpu, limit, true);
}

/* Theorem 1: all code runs itself, and what is privileged traps. */
static void trap_execute(struct cpu *cpu, u64 limit)
{
    interpret_return_at_mode_change(cpu, true);
    direct_execute_all(cpu, limit);
}

/* A process has no upper half: a kernel that lives there cannot be mapped. */
static bool trap_refuses(const struct cpu *cpu)
{
    return cpu->cpl < 3 && cpu->code_mode == INSN_MODE_64 && cpu->rip >> 63;
}

const struct engine engines[] = {
    {
        .name = "interp",
        .summary = "interpret everything: complete and exact, the reference",
        .execute = interpret_execute,
    },
    {
        .name = "interp-nocache",
        .summary = "interpret each instruction by itself, decoded anew",
        .execute = interpret_execute_alone,
        .is_hidden = true,
    },
#ifdef RINGER_WRONG_ENGINE
    {
        .name = "interp-wrong",
        .summary = "gets some instructions wrong, for lockstep to find them",
        .execute = wrong_execute,
        .is_hidden = true,
    },
#endif
    {
        .name = "hybrid",
        .summary = "interpret the guest's kernel, run its programs on the host's CPU",
        .execute = hybrid_execute,
        .is_direct = true,
    },
    {
        .name = "hybrid-at-once",
        .summary = "the same, and user code is never interpreted for being short: for tests",
        .execute = hybrid_at_once_execute,
        .is_direct = true,
        .is_hidden = true,
    },
    {
        .name = "trap",
        .summary = "run all code on the host's CPU, and emulate what traps: Popek and Goldberg",
        .execute = trap_execute,
        .is_direct = true,
        .refuses = trap_refuses,
    },
};
const unsigned engine_count = ARRAY_SIZE(engines);

static bool same(const char *a, const char *b)
{
    size_t size = strlen(a);

    return size == strlen(b) && memcmp(a, b, size) == 0;
}

const struct engine *engine_find(const char *name)
{
    if (same(name, "auto")) {
        return &engines[0];
    }
    for (unsigned i = 0; i < engine_count; i++) {
        if (same(name, engines[i].name)) {
            return &engines[i];
        }
    }
    return NULL;
}

static void wake(struct cpu *cpu)
{
    if (cpu->activity == ACTIVITY_HALTED) {
        cpu->activity = ACTIVITY_RUNNING;
    }
}

/* A debugger that steps wants to see the next instruction, not the timer's handler.  In virtual
 * time it gets what comes: there the guest must not do anything else because it is looked at. */
static bool holds_interrupts_off(const struct cpu *cpu)
{
    return cpu->debugger.stepping && !cpu->clock->icount && cpu->activity == ACTIVITY_RUNNING;
}

/* Deliver at most one NMI or interrupt, if one may be taken now.  Whether there was one. */
static bool take_interrupt(struct cpu *cpu)
{
    if (cpu->interrupt_shadow || cpu->fault.pending || cpu->activity > ACTIVITY_HALTED ||
        holds_interrupts_off(cpu) || clock_stands(cpu)) {
        return false;
    }
    if (cpu->nmi_pending && !cpu->nmi_blocked) {
        wake(cpu);
        cpu->nmi_pending = false;
        cpu_deliver_event(cpu, VECTOR_NMI, EVENT_NMI);
        return true;
    }
    if ((cpu->rflags & RFLAGS_IF) && lapic_interrupt_pending(cpu)) {
        int vector = lapic_acknowledge(cpu);
        if (vector >= 0) {
            wake(cpu);
            cpu_deliver_event(cpu, (u8)vector, EVENT_EXTERNAL);
            return true;
        }
    }
    return false;
}

/* The instruction count at which something is due by the clock of --icount. */
static u64 next_deadline(const struct cpu *cpu, u64 limit)
{
    if (cpu->clock->icount && cpu->lapic.deadline_ns != UINT64_MAX && !cpu->stay.user) {
        u64 now = clock_ns(cpu), due = cpu->lapic.deadline_ns;
        u64 at = cpu->icount + (due > now ? due - now : 0);
        return at < limit ? at : limit;
    }
    return limit;
}

/* Deliver what is pending before the next instruction. */
static void deliver(struct cpu *cpu)
{
    bool delivered = cpu->fault.pending;

    if (cpu->fault.pending) {
        cpu_deliver_fault(cpu);
        cpu->icount += cpu->fault.pending; /* time passes, so that the board gets its turn */
    }
    delivered |= take_interrupt(cpu);
    if (delivered && cpu->debugger.looks) {
        debugger_after(cpu, true);
    }
}

/* A debugger that looks at every instruction has them all interpreted. */
static void execute(struct cpu *cpu, const struct engine *engine, u64 limit)
{
    if (cpu->debugger.looks) {
        interpret_execute(cpu, limit);
    } else {
        engine->execute(cpu, limit);
    }
}

static enum cpu_exit run(struct cpu *cpu, const struct engine *engine, u64 limit)
{
    for (;;) {
        if (clock_note_mode(cpu)) {
            return EXIT_MODE;
        }
        u64 stop_at = next_deadline(cpu, limit);
        if (cpu->debugger.stop) {
            return EXIT_DEBUGGER;
        }
        if (atomic_load(&cpu->inbox->attention) || stop_at <= cpu->icount) {
            if (lapic_poll(cpu) & INBOX_PAUSE) {
                return EXIT_PAUSED;
            }
        }
        deliver(cpu);
        if (cpu->debugger.stop) {
            return EXIT_DEBUGGER;
        }
        if (clock_note_mode(cpu)) {
            return EXIT_MODE;
        }
        if (cpu->activity == ACTIVITY_SHUTDOWN) {
            return EXIT_SHUTDOWN;
        }
        if (cpu->activity != ACTIVITY_RUNNING) {
            return EXIT_HALTED;
        }
        if (cpu->icount >= limit) {
            return EXIT_LIMIT;
        }
        if (engine->refuses && engine->refuses(cpu)) {
            return EXIT_REFUSED;
        }
        if (!cpu->fault.pending) {
            cpu->stay.inside = cpu->stay.user;
            execute(cpu, engine, next_deadline(cpu, limit));
        }
    }
}

enum cpu_exit cpu_run(struct cpu *cpu, const struct engine *engine, u64 icount_limit)
{
    fpu_enter(cpu);
    coherence_enter(cpu);
    interpret_return_at_mode_change(cpu, cpu->clock->supervisor_only);
    enum cpu_exit exit = run(cpu, engine, icount_limit);
    coherence_leave(cpu);
    fpu_leave(cpu);
    return exit;
}

/* The two executors' states, one after the other. */
static size_t interpret_size(void)
{
    return bits_align_up(sizeof(struct exec), PAGE_SIZE);
}

size_t exec_size(void)
{
    return interpret_size() + sizeof(struct direct);
}

size_t exec_code_offset(void)
{
    return offsetof(struct exec, thunks.code);
}

size_t exec_code_size(void)
{
    return THUNK_CODE_BYTES;
}

void exec_init(struct cpu *cpu, void *memory)
{
    cpu->exec = memory;
    cpu->direct = (struct direct *)((u8 *)memory + interpret_size());
    thunk_cache_init(&cpu->exec->thunks);
    patience_init(&cpu->direct->patience);
}

void exec_flush(struct cpu *cpu)
{
    code_flush(cpu);
}
