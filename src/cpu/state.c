/* state.c - the architectural state of a CPU as one row of numbers: a table of where they are. */
#include "cpu/state.h"

#include "base/digest.h"
#include "base/format.h"
#include "cpu/fpu.h"

struct row {
    const char *name; /* with a %u where there are several */
    u16 offset, stride;
    u8 size, count, first; /* bytes of one; how many; the first one's number */
};

#define ONE(text, type, member)                                            \
    {                                                                      \
        text, offsetof(type, member), 0, sizeof(((type *)0)->member), 1, 0 \
    }
#define SOME(text, type, member, from, many)                                \
    {                                                                       \
        text, offsetof(type, member[from]), sizeof(((type *)0)->member[0]), \
            sizeof(((type *)0)->member[0]), many, from                      \
    }
#define REGISTER(text, member)           ONE(text, struct cpu, member)
#define REGISTERS(text, member, n)       SOME(text, struct cpu, member, 0, n)
#define HALVES(text, member, half, size) /* every 16 bytes, from the half on */ \
    {                                                                           \
        text, offsetof(struct fpu_area, member) + (half), 16, size, 16, 0       \
    }
#define SEGMENT(text, segment)                                                                    \
    REGISTER(text ".selector", seg[segment].selector), REGISTER(text ".base", seg[segment].base), \
        REGISTER(text ".limit", seg[segment].limit),                                              \
        REGISTER(text ".attributes", seg[segment].attributes)

/* In struct cpu.  The offsets beyond 64 KiB would be those of the MMU's TLB: its registers have a
 * table of their own. */
static const struct row cpu_rows[] = {
    REGISTER("rip", rip),
    REGISTER("rax", gpr[RAX]),
    REGISTER("rcx", gpr[RCX]),
    REGISTER("rdx", gpr[RDX]),
    REGISTER("rbx", gpr[RBX]),
    REGISTER("rsp", gpr[RSP]),
    REGISTER("rbp", gpr[RBP]),
    REGISTER("rsi", gpr[RSI]),
    REGISTER("rdi", gpr[RDI]),
    SOME("r%u", struct cpu, gpr, 8, 8),
    REGISTER("cpl", cpl),
    SEGMENT("es", SEG_ES),
    SEGMENT("cs", SEG_CS),
    SEGMENT("ss", SEG_SS),
    SEGMENT("ds", SEG_DS),
    SEGMENT("fs", SEG_FS),
    SEGMENT("gs", SEG_GS),
    SEGMENT("ldtr", SEG_LDTR),
    SEGMENT("tr", SEG_TR),
    REGISTER("gdtr.base", gdtr.base),
    REGISTER("gdtr.limit", gdtr.limit),
    REGISTER("idtr.base", idtr.base),
    REGISTER("idtr.limit", idtr.limit),
    REGISTER("cr2", cr2),
    REGISTER("xcr0", xcr0),
    REGISTERS("dr%u", dr, 8),
    REGISTER("activity", activity),
    REGISTER("interrupt shadow", interrupt_shadow),
    REGISTER("debug shadow", debug_shadow),
    REGISTER("nmi blocked", nmi_blocked),
    REGISTER("nmi pending", nmi_pending),
    REGISTER("star", msr.star),
    REGISTER("lstar", msr.lstar),
    REGISTER("cstar", msr.cstar),
    REGISTER("sfmask", msr.sfmask),
    REGISTER("kernel gs base", msr.kernel_gs_base),
    REGISTER("sysenter cs", msr.sysenter_cs),
    REGISTER("sysenter esp", msr.sysenter_esp),
    REGISTER("sysenter eip", msr.sysenter_eip),
    REGISTER("tsc aux", msr.tsc_aux),
    REGISTER("tsc adjust", msr.tsc_adjust),
    REGISTER("pat", msr.pat),
    REGISTER("misc enable", msr.misc_enable),
    REGISTER("mtrr def type", msr.mtrr_def_type),
    REGISTERS("mtrr physical %u", msr.mtrr_physical, 16),
    REGISTERS("mtrr fixed %u", msr.mtrr_fixed, 11),
    REGISTER("spec ctrl", msr.spec_ctrl),
    REGISTER("bios sign id", msr.bios_sign_id),
    REGISTER("mcg status", msr.mcg_status),
    REGISTER("kvm system time", msr.kvm_system_time),
    REGISTER("kvm wall clock", msr.kvm_wall_clock),
    REGISTER("debugctl", msr.debugctl),
    REGISTER("apic base", lapic.base),
    REGISTER("apic id", lapic.id),
    REGISTER("apic ldr", lapic.ldr),
    REGISTER("apic dfr", lapic.dfr),
    REGISTER("apic svr", lapic.svr),
    REGISTER("apic esr", lapic.esr),
    REGISTER("apic esr pending", lapic.esr_pending),
    REGISTER("apic tpr", lapic.tpr),
    REGISTERS("apic irr %u", lapic.irr, 4),
    REGISTERS("apic isr %u", lapic.isr, 4),
    REGISTERS("apic tmr %u", lapic.tmr, 4),
    REGISTERS("apic lvt %u", lapic.lvt, LVT_COUNT),
    REGISTER("apic icr", lapic.icr),
    REGISTER("apic timer initial", lapic.timer_initial),
    REGISTER("apic timer divide", lapic.timer_divide),
    REGISTER("apic timer start", lapic.timer_start_ns),
    REGISTER("apic timer deadline", lapic.deadline_ns),
    REGISTER("tsc deadline", lapic.tsc_deadline),
    REGISTER("apic lint0 level", lapic.lint0_level),
    REGISTER("fpu last ip", fpu.last_ip),
    REGISTER("fpu last dp", fpu.last_dp),
    REGISTER("fpu last cs", fpu.last_cs),
    REGISTER("fpu last ds", fpu.last_ds),
    REGISTER("fpu last opcode", fpu.last_opcode),
    REGISTER("ferr", fpu.ferr),
};

static const struct row paging_rows[] = {
    ONE("cr0", struct paging, cr0),
    ONE("cr3", struct paging, cr3),
    ONE("cr4", struct paging, cr4),
    ONE("efer", struct paging, efer),
    SOME("pdpte%u", struct paging, pdpte, 0, 4),
};

static const struct row fpu_rows[] = {
    ONE("fcw", struct fpu_area, fcw),
    ONE("fsw", struct fpu_area, fsw),
    ONE("ftw", struct fpu_area, ftw),
    ONE("mxcsr", struct fpu_area, mxcsr),
    {"st%u.mantissa", offsetof(struct fpu_area, st), 16, 8, 8, 0},
    {"st%u.exponent", offsetof(struct fpu_area, st) + 8, 16, 2, 8, 0},
    HALVES("xmm%u.low", xmm, 0, 8),
    HALVES("xmm%u.high", xmm, 8, 8),
    HALVES("ymm%u.low", ymm_high, 0, 8),
    HALVES("ymm%u.high", ymm_high, 8, 8),
};

/* ------------------------------------------------------------------ what is in no table */

enum { VALUE_RFLAGS, VALUE_FAULT, VALUE_FAULT_CR2, VALUES_COMPUTED };

static const char *const computed_names[VALUES_COMPUTED] = {"rflags", "fault", "fault cr2"};

static void compute(const struct cpu *cpu, u64 *value)
{
    const struct fault *f = &cpu->fault;

    value[VALUE_RFLAGS] = cpu_rflags(cpu);
    value[VALUE_FAULT] =
        f->pending ? 1ull << 63 | (u64)f->error << 16 | (u64)f->has_error << 8 | f->vector : 0;
    value[VALUE_FAULT_CR2] = f->pending ? f->cr2 : 0;
}

/* The vector and x87 registers as software sees them: what XSTATE_BV has clear is in its initial
 * state, whatever lies in memory. */
static void canonical_fpu(const struct cpu *cpu, struct fpu_area *area)
{
    memcpy(area, cpu->fpu.state, sizeof(*area));
    if (!(area->xstate_bv & XCR0_X87)) {
        area->fcw = 0x037f;
        area->fsw = 0;
        area->ftw = 0;
        memset(area->st, 0, sizeof(area->st));
    }
    if (!(area->xstate_bv & XCR0_SSE)) {
        memset(area->xmm, 0, sizeof(area->xmm));
    }
    if (!(area->xstate_bv & XCR0_AVX)) {
        memset(area->ymm_high, 0, sizeof(area->ymm_high));
    }
}

/* ------------------------------------------------------------------ the row */

struct table {
    const struct row *rows;
    unsigned count;
};

static const struct table tables[] = {
    {cpu_rows, ARRAY_SIZE(cpu_rows)},
    {paging_rows, ARRAY_SIZE(paging_rows)},
    {fpu_rows, ARRAY_SIZE(fpu_rows)},
};

static u64 *get_rows(const struct table *table, const void *base, u64 *value)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        for (unsigned n = 0; n < row->count; n++) {
            *value = 0;
            memcpy(value++, (const u8 *)base + row->offset + n * row->stride, row->size);
        }
    }
    return value;
}

void cpu_state_get(const struct cpu *cpu, struct cpu_state *state)
{
    struct fpu_area area;
    u64 *value = state->value + VALUES_COMPUTED;

    compute(cpu, state->value);
    canonical_fpu(cpu, &area);
    value = get_rows(&tables[0], cpu, value);
    value = get_rows(&tables[1], &cpu->mmu.paging, value);
    get_rows(&tables[2], &area, value);
}

unsigned cpu_state_count(void)
{
    unsigned count = VALUES_COMPUTED;

    for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
        for (unsigned i = 0; i < tables[t].count; i++) {
            count += tables[t].rows[i].count;
        }
    }
    return count;
}

void cpu_state_name(unsigned i, char *name, size_t size)
{
    if (i < VALUES_COMPUTED) {
        format(name, size, "%s", computed_names[i]);
        return;
    }
    i -= VALUES_COMPUTED;
    for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
        for (unsigned r = 0; r < tables[t].count; r++) {
            const struct row *row = &tables[t].rows[r];
            if (i < row->count) {
                format(name, size, row->name, row->first + i);
                return;
            }
            i -= row->count;
        }
    }
    format(name, size, "?");
}

u64 cpu_state_digest(const struct cpu_state *state)
{
    return digest_bytes(0, state->value, cpu_state_count() * sizeof(state->value[0]));
}
