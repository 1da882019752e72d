/* debugger.c - breakpoints, watchpoints and steps of a debugger outside the guest: debugger.h. */
#include "cpu/debugger.h"

#include "cpu/cpu.h"

void debugger_update(struct cpu *cpu)
{
    struct debugger *d = &cpu->debugger;
    bool watches = d->list && d->list->watches.count;

    cpu->mmu.watches = watches ? &d->list->watches : NULL;
    cpu->mmu.watch_hit = 0;
    d->looks = d->stepping || watches || (d->list && d->list->breakpoint_count);
}

static bool is_breakpoint(const struct debugger_list *list, gva_t gva)
{
    u32 low = 0, high = list->breakpoint_count;

    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (list->breakpoints[middle] < gva) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < list->breakpoint_count && list->breakpoints[low] == gva;
}

static void stop(struct debugger *d, enum debugger_stop why, gva_t address, u64 icount)
{
    d->icount = icount;
    d->stop = why;
    d->address = address;
}

bool debugger_stops_before(struct cpu *cpu, gva_t gva, u64 icount)
{
    struct debugger *d = &cpu->debugger;

    if (!d->list || !is_breakpoint(d->list, gva) || d->passed == icount + 1 ||
        (cpu->rflags & RFLAGS_RF)) {
        return false;
    }
    stop(d, DEBUGGER_BREAKPOINT, gva, icount);
    return true;
}

static gva_t linear_rip(const struct cpu *cpu)
{
    return cpu->code_mode == INSN_MODE_64 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip);
}

void debugger_after(struct cpu *cpu, bool completed)
{
    struct debugger *d = &cpu->debugger;
    u32 hit = cpu->mmu.watch_hit;

    cpu->mmu.watch_hit = 0;
    if (cpu->fault.pending) {
        return; /* it has not been executed, and will be again */
    }
    if (hit) {
        d->watch = hit - 1;
        stop(d, DEBUGGER_WATCHPOINT, cpu->mmu.watch_gva, cpu->icount);
    } else if (completed && d->stepping) {
        gva_t rip = linear_rip(cpu);
        if (rip < d->step_start || rip >= d->step_end) {
            stop(d, DEBUGGER_STEPPED, rip, cpu->icount);
        }
    }
}
