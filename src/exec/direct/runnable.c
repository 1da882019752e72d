/* runnable.c - which guest code the host's CPU may run: direct.h. */
#include "cpu/clock.h"
#include "cpu/fpu.h"
#include "cpu/segment.h"
#include "exec/direct/direct.h"

/* ------------------------------------------------------------------ as it is: hybrid */

/* Flags that user code reads by PUSHF and cannot change, and those that make it trap. */
static bool flags_are_usual(const struct cpu *cpu)
{
    u32 watched = RFLAGS_IF | RFLAGS_IOPL | RFLAGS_TF | RFLAGS_VM | RFLAGS_AC | RFLAGS_NT |
                  RFLAGS_VIF | RFLAGS_VIP;

    return (cpu->rflags & watched) == RFLAGS_IF;
}

/* The features that the guest's kernel has turned on are those that the host's has. */
static bool controls_are_usual(const struct cpu *cpu)
{
    const struct paging *p = &cpu->mmu.paging;
    u64 cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;

    return (p->cr0 & (CR0_PE | CR0_PG | CR0_NE | CR0_TS | CR0_EM)) == (CR0_PE | CR0_PG | CR0_NE) &&
           (p->cr4 & (cr4 | CR4_TSD)) == cr4 && cpu->xcr0 == FPU_COMPONENTS &&
           (cpu->msr.tsc_adjust == 0 || cpu->clock->icount);
}

static bool is_flat(const struct segment *s)
{
    return s->base == 0 && s->limit == 0xffffffff && (s->attributes & SEGMENT_P);
}

static bool has(const struct cpu *cpu, unsigned seg, u16 selector)
{
    return cpu->seg[seg].selector == selector;
}

static bool segments_are_usual_64(const struct cpu *cpu)
{
    return has(cpu, SEG_CS, DIRECT_CS) && has(cpu, SEG_SS, DIRECT_DS) && has(cpu, SEG_DS, 0) &&
           has(cpu, SEG_ES, 0) && has(cpu, SEG_FS, 0) && has(cpu, SEG_GS, 0);
}

/* FS or GS of a thread: flat but for its base. */
static bool is_of_thread(const struct segment *s)
{
    return segment_is_null(s->selector) ||
           (s->limit == 0xffffffff && segment_is_writable(s->attributes) &&
            !(s->attributes & SEGMENT_TYPE_EXPAND));
}

static bool segments_are_usual_32(const struct cpu *cpu)
{
    return has(cpu, SEG_CS, DIRECT_CS_32) && has(cpu, SEG_SS, DIRECT_DS) &&
           (has(cpu, SEG_DS, DIRECT_DS) || has(cpu, SEG_DS, 0)) &&
           (has(cpu, SEG_ES, DIRECT_DS) || has(cpu, SEG_ES, 0)) &&
           is_of_thread(&cpu->seg[SEG_FS]) && is_of_thread(&cpu->seg[SEG_GS]) &&
           is_flat(&cpu->seg[SEG_CS]) && is_flat(&cpu->seg[SEG_SS]);
}

static bool segments_are_usual(const struct cpu *cpu)
{
    return cpu->code_mode == INSN_MODE_64   ? segments_are_usual_64(cpu)
           : cpu->code_mode == INSN_MODE_32 ? cpu->long_mode && segments_are_usual_32(cpu)
                                            : false;
}

static bool is_undisturbed(const struct cpu *cpu)
{
    return !cpu->single_step_needed && !cpu->interrupt_shadow &&
           mirror_is_mappable(&cpu->direct->mirror, cpu->rip, 1);
}

bool runnable_as_is(const struct cpu *cpu)
{
    return cpu->cpl == 3 && flags_are_usual(cpu) && controls_are_usual(cpu) &&
           segments_are_usual(cpu) && is_undisturbed(cpu);
}

/* ------------------------------------------------------------------ if it can be mapped: trap */

/* Null on the host, too, or the host's flat segment. */
static bool is_flat_or_null(const struct segment *s)
{
    return is_flat(s) || segment_is_null(s->selector);
}

/* 64-bit code has no segments but FS and GS, whose bases are the host's. */
static bool segments_can_be_had(const struct cpu *cpu)
{
    if (cpu->code_mode == INSN_MODE_64) {
        return true;
    }
    return cpu->code_mode == INSN_MODE_32 && is_flat(&cpu->seg[SEG_CS]) &&
           is_flat(&cpu->seg[SEG_SS]) && segment_is_writable(cpu->seg[SEG_SS].attributes) &&
           (cpu->seg[SEG_SS].attributes & SEGMENT_DB) && is_flat_or_null(&cpu->seg[SEG_DS]) &&
           is_flat_or_null(&cpu->seg[SEG_ES]) && is_flat_or_null(&cpu->seg[SEG_FS]) &&
           is_flat_or_null(&cpu->seg[SEG_GS]);
}

bool runnable_if_mapped(const struct cpu *cpu)
{
    return !cpu->real_mode && !cpu->v86_mode && !(cpu->rflags & RFLAGS_TF) && !cpu->fpu.ferr &&
           segments_can_be_had(cpu) && is_undisturbed(cpu);
}
