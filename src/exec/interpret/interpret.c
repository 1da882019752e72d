/*
 * interpret.c - the interpreter's run loop: straight lines where it can, single instructions where
 * something has to be looked at between two of them.
 */
#include "exec/interpret/interpret.h"

#include "cpu/debug.h"
#include "exec/engine.h"
#include "exec/interpret/access.h"
#include "exec/interpret/code.h"
#include "exec/interpret/coherence.h"
#include "isa/msr.h"

s64 op_stale(struct cpu *cpu, const struct op *op, s64 left)
{
    return fault(cpu, op, left);
}

s64 op_end(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_next_rip(cpu, op);
    return left;
}

s64 op_look(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    if (debugger_stops_before(cpu, code_linear_rip(cpu), cpu->exec->limit - (u64)left)) {
        return fault(cpu, op, left);
    }
    return op[1].fn(cpu, op + 1, left);
}

/* Must the next instruction be executed by itself? */
static bool must_be_alone(const struct cpu *cpu, s64 left)
{
    return left <= LINE_OPS || cpu->single_step_needed || cpu->debugger.stepping ||
           cpu->interrupt_shadow || cpu->exec->want_single || cpu->exec->always_single ||
           (cpu->rflags & RFLAGS_RF);
}

/* LIMIT: a taken branch to the instruction after it is none.  RF is set where a string instruction
 * is to be repeated, which is none, either. */
static bool has_branched(const struct cpu *cpu, u64 next_rip)
{
    return cpu->rip != next_rip && !(cpu->rflags & RFLAGS_RF);
}

/* Execute the instruction at cpu->rip and no other.  Returns whether it was completed. */
static bool execute_alone(struct cpu *cpu)
{
    struct exec *x = cpu->exec;
    bool debugging = cpu->single_step_needed, trap = cpu->rflags & RFLAGS_TF;
    bool only_branches = cpu->msr.debugctl & DEBUGCTL_BTF;

    if (cpu->debugger.looks && debugger_stops_before(cpu, code_linear_rip(cpu), cpu->icount)) {
        return false;
    }
    if (debugging && !debug_check_fetch(cpu, code_linear_rip(cpu))) {
        return false;
    }
    const struct op *op = code_fetch_one(cpu);
    if (!op) {
        return false;
    }
    cpu->interrupt_shadow = cpu->debug_shadow = false;
    cpu->rflags &= ~RFLAGS_RF; /* it is good for one instruction */
    x->want_single = false;
    x->single = true;
    u64 next_rip = op_next_rip(cpu, op);
    bool completed = op->fn(cpu, op, 1) == 0;
    x->single = false;
    if (cpu->debugger.looks) {
        debugger_after(cpu, completed);
    }
    if (completed && debugging) {
        debug_after_instruction(cpu, trap && (!only_branches || has_branched(cpu, next_rip)));
    }
    return completed;
}

bool interpret_must_return(const struct cpu *cpu)
{
    const struct lapic *lapic = &cpu->lapic;

    if (cpu->fault.pending || cpu->debugger.stop || cpu->activity != ACTIVITY_RUNNING ||
        atomic_load_explicit(&cpu->inbox->attention, memory_order_relaxed)) {
        return true;
    }
    if (cpu->interrupt_shadow) {
        return false;
    }
    if (cpu->nmi_pending && !cpu->nmi_blocked) {
        return true;
    }
    return (cpu->rflags & RFLAGS_IF) &&
           ((lapic->irr[0] | lapic->irr[1] | lapic->irr[2] | lapic->irr[3]) ||
            (atomic_load_explicit(&cpu->inbox->events, memory_order_relaxed) & INBOX_EXTINT));
}

void interpret_return_at_mode_change(struct cpu *cpu, bool wanted)
{
    cpu->exec->mode_change = wanted;
}

void interpret_execute_alone(struct cpu *cpu, u64 limit)
{
    cpu->exec->always_single = true;
    interpret_execute(cpu, limit);
}

/* Whatever changes CPL has come back to the run loop: rule 6 of op.h. */
static bool is_other_mode(const struct cpu *cpu, bool user)
{
    return cpu->exec->mode_change && (cpu->cpl == 3) != user;
}

/* Until `enough` instructions or fewer are left to the limit. */
static void execute(struct cpu *cpu, u64 limit, s64 enough)
{
    struct exec *x = cpu->exec;
    bool user = cpu->cpl == 3;
    s64 left = limit - cpu->icount > INT64_MAX ? INT64_MAX : (s64)(limit - cpu->icount);

    x->limit = cpu->icount + (u64)left;
    x->link = NULL;
    do {
        const struct op *op = NULL;
        if (unlikely(coherence_poll(cpu) || x->flush_wanted)) {
            code_flush(cpu);
        }
        code_update_context(cpu);
        if (!must_be_alone(cpu, left)) {
            op = code_find(cpu);
        }
        if (op) {
            if (x->link) {
                x->link->imm = (u64)op;
                x->link = NULL;
            }
            left = op->fn(cpu, op, left);
            if (unlikely(cpu->mmu.watch_hit)) { /* by an access of the CPU's own, to its tables */
                cpu->icount = x->limit - (u64)left - 1;
                debugger_after(cpu, true);
            }
        } else {
            x->link = NULL;
            cpu->icount = x->limit - (u64)left;
            left -= execute_alone(cpu);
        }
    } while (left > enough && !interpret_must_return(cpu) && !is_other_mode(cpu, user));
    cpu->icount = x->limit - (u64)left;
    cpu->stats.instructions = cpu->icount;
}

void interpret_execute(struct cpu *cpu, u64 limit)
{
    execute(cpu, limit, 0);
}

void interpret_some(struct cpu *cpu, u64 instructions)
{
    execute(cpu, cpu->icount + instructions + LINE_OPS, LINE_OPS);
}
