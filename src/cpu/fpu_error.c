/*
 * fpu_error.c - an x87 exception that an instruction waits for: #MF, or FERR#.
 *
 * With CR0.NE clear the CPU stops before the instruction until an interrupt is taken, which on a PC
 * is the IRQ 13 that FERR# makes (dev/fpu_error.c), and then begins it again.  With IGNNE# it is
 * executed as if there were no exception, which stays pending.
 *
 * Only an instruction that waits asserts FERR#, as for most exceptions since the Pentium Pro.
 *
 * Intel SDM vol. 1, "MS-DOS Compatibility Sub-mode"; "Guidelines for Writing x87 FPU Exception
 * Handlers", FERR# in the P6 family.
 */
#include "cpu/fpu.h"

static void set_line(struct cpu *cpu, bool level)
{
    if (cpu->fpu.ferr != level) {
        cpu->fpu.ferr = level;
        if (cpu->port.ferr) {
            cpu->port.ferr(cpu->port.context, level);
        }
    }
}

bool fpu_error(struct cpu *cpu)
{
    if (cpu->mmu.paging.cr0 & CR0_NE) {
        return cpu_raise(cpu, VECTOR_MF);
    }
    if (atomic_load(&cpu->inbox->events) & INBOX_IGNNE) {
        return true;
    }
    cpu->fault.pending = false; /* what the instruction would have met later */
    set_line(cpu, true);
    cpu->activity = ACTIVITY_HALTED;
    return false;
}

void fpu_error_look(struct cpu *cpu, u16 fsw)
{
    if (!(fsw & FSW_ES)) {
        set_line(cpu, false);
    }
}
