/* snapshot.c - all of a CPU's state to bytes and back: tables of its fields. */
#include "cpu/snapshot.h"

#include "base/string.h"
#include "cpu/fpu.h"
#include "cpu/lapic_local.h"

/* Without what is derived (cpu_update_mode(); A20, by the inbox), cached, or of the process around
 * it. */
static const struct field cpu_fields[] = {
    FIELD_SOME(struct cpu, gpr, GPR_ZERO),
    FIELD(struct cpu, rip),
    FIELD(struct cpu, flags),
    FIELD(struct cpu, rflags),
    FIELD_MAX(struct cpu, cpl, 3),
    FIELD(struct cpu, interrupt_shadow),
    FIELD(struct cpu, debug_shadow),
    FIELD(struct cpu, debug_step),
    FIELD(struct cpu, nmi_blocked),
    FIELD(struct cpu, nmi_pending),
    FIELD_MAX(struct cpu, activity, ACTIVITY_WAIT_FOR_SIPI),
    FIELD(struct cpu, fault.pending),
    FIELD(struct cpu, fault.has_error),
    FIELD_MAX(struct cpu, fault.vector, 31),
    FIELD(struct cpu, fault.error),
    FIELD(struct cpu, fault.cr2),
    FIELD(struct cpu, fault.dr6_bits),
    FIELD_EACH(struct cpu, seg, base),
    FIELD_EACH(struct cpu, seg, limit),
    FIELD_EACH(struct cpu, seg, selector),
    FIELD_EACH(struct cpu, seg, attributes),
    FIELD(struct cpu, gdtr.base),
    FIELD(struct cpu, gdtr.limit),
    FIELD(struct cpu, idtr.base),
    FIELD(struct cpu, idtr.limit),
    FIELD(struct cpu, mmu.paging.cr0),
    FIELD(struct cpu, cr2),
    FIELD(struct cpu, mmu.paging.cr3),
    FIELD(struct cpu, mmu.paging.cr4),
    FIELD(struct cpu, mmu.paging.efer),
    FIELD_ARRAY(struct cpu, mmu.paging.pdpte),
    FIELD(struct cpu, xcr0),
    FIELD_ARRAY(struct cpu, dr),
    FIELD(struct cpu, debug_hits),
    FIELD(struct cpu, event_rip),
    FIELD(struct cpu, icount),
    FIELD(struct cpu, msr.star),
    FIELD(struct cpu, msr.lstar),
    FIELD(struct cpu, msr.cstar),
    FIELD(struct cpu, msr.sfmask),
    FIELD(struct cpu, msr.kernel_gs_base),
    FIELD(struct cpu, msr.sysenter_cs),
    FIELD(struct cpu, msr.sysenter_esp),
    FIELD(struct cpu, msr.sysenter_eip),
    FIELD(struct cpu, msr.tsc_aux),
    FIELD(struct cpu, msr.tsc_adjust),
    FIELD(struct cpu, msr.pat),
    FIELD(struct cpu, msr.misc_enable),
    FIELD(struct cpu, msr.mtrr_def_type),
    FIELD_ARRAY(struct cpu, msr.mtrr_physical),
    FIELD_ARRAY(struct cpu, msr.mtrr_fixed),
    FIELD(struct cpu, msr.spec_ctrl),
    FIELD(struct cpu, msr.bios_sign_id),
    FIELD(struct cpu, msr.mcg_status),
    FIELD(struct cpu, msr.kvm_system_time),
    FIELD(struct cpu, msr.kvm_wall_clock),
    FIELD(struct cpu, msr.debugctl),
    FIELD(struct cpu, lapic.base),
    FIELD(struct cpu, lapic.id),
    FIELD(struct cpu, lapic.ldr),
    FIELD(struct cpu, lapic.dfr),
    FIELD(struct cpu, lapic.svr),
    FIELD(struct cpu, lapic.esr),
    FIELD(struct cpu, lapic.esr_pending),
    FIELD(struct cpu, lapic.tpr),
    FIELD_ARRAY(struct cpu, lapic.irr),
    FIELD_ARRAY(struct cpu, lapic.isr),
    FIELD_ARRAY(struct cpu, lapic.tmr),
    FIELD_ARRAY(struct cpu, lapic.lvt),
    FIELD(struct cpu, lapic.icr),
    FIELD(struct cpu, lapic.timer_initial),
    FIELD(struct cpu, lapic.timer_divide),
    FIELD(struct cpu, lapic.timer_start_ns),
    FIELD(struct cpu, lapic.deadline_ns),
    FIELD(struct cpu, lapic.tsc_deadline),
    FIELD(struct cpu, lapic.lint0_level),
    FIELD(struct cpu, fpu.last_ip),
    FIELD(struct cpu, fpu.last_dp),
    FIELD(struct cpu, fpu.last_cs),
    FIELD(struct cpu, fpu.last_ds),
    FIELD(struct cpu, fpu.last_opcode),
    FIELD(struct cpu, fpu.ferr),
    FIELDS_END,
};

/* What an XSAVE area holds of the guest's, in no format of the host's. */
static const struct field fpu_fields[] = {
    FIELD(struct fpu_area, fcw),
    FIELD(struct fpu_area, fsw),
    FIELD(struct fpu_area, ftw),
    FIELD(struct fpu_area, fop),
    FIELD(struct fpu_area, mxcsr),
    FIELD_BYTES(struct fpu_area, st),
    FIELD_BYTES(struct fpu_area, xmm),
    FIELD_MAX(struct fpu_area, xstate_bv, FPU_COMPONENTS),
    FIELD_BYTES(struct fpu_area, ymm_high),
    FIELDS_END,
};

/* Of the host's features those that the guest is told of. */
static const struct field feature_fields[] = {
    FIELD(struct cpuid_host, leaf1_ecx),
    FIELD(struct cpuid_host, leaf7_ebx),
    FIELD(struct cpuid_host, extended1_ecx),
    FIELD_MAX(struct cpuid_host, xcr0, FPU_COMPONENTS),
    FIELDS_END,
};

static const struct field inbox_fields[] = {
    FIELD_ARRAY(struct interrupt_inbox, irr),
    FIELD_ARRAY(struct interrupt_inbox, tmr),
    FIELD(struct interrupt_inbox, events),
    FIELD_MAX(struct interrupt_inbox, sipi_vector, 0xff),
    FIELDS_END,
};

static struct fpu_area *area_of(struct cpu *cpu)
{
    return (struct fpu_area *)cpu->fpu.state;
}

void cpu_save(struct cpu *cpu, struct field_writer *w)
{
    const struct cpuid_host features = cpu_guest_features(cpu);

    fields_save(w, cpu_fields, cpu);
    fields_save(w, fpu_fields, area_of(cpu));
    fields_save(w, feature_fields, &features);
}

static bool fail(struct field_reader *r, const char *field, const char *error)
{
    r->field = field;
    r->error = error;
    return false;
}

/* The guest keeps the features that it has seen. */
static bool load_features(struct cpu *cpu, struct field_reader *r)
{
    struct cpuid_host seen = {.known = true};
    const char *missing;

    if (!fields_load(r, feature_fields, &seen)) {
        return false;
    }
    missing = cpu_missing_feature(cpu, &seen);
    if (missing) {
        return fail(r, missing, "is a feature of the guest's CPU that this host's does not have");
    }
    if (cpu->xcr0 & ~seen.xcr0) {
        return fail(r, "xcr0", "has what the guest's CPU does not have");
    }
    cpu->host_cpuid = seen;
    return true;
}

/* What XRSTOR and the executors rely on. */
static void make_sound(struct cpu *cpu)
{
    struct fpu_area *area = area_of(cpu);

    cpu->gpr[GPR_ZERO] = cpu->gpr[GPR_CODE] = 0;
    cpu->fpu.loaded = false;
    area->mxcsr &= ~MXCSR_RESERVED & area->mxcsr_mask;
    area->fcw = fpu_fcw_defined(area->fcw);
    area->xcomp_bv = 0;
    memset(area->reserved2, 0, sizeof(area->reserved2));
    cpu_set_rflags(cpu, cpu_rflags(cpu));
}

bool cpu_load(struct cpu *cpu, struct field_reader *r)
{
    if (!fields_load(r, cpu_fields, cpu) || !fields_load(r, fpu_fields, area_of(cpu)) ||
        !load_features(cpu, r)) {
        return false;
    }
    make_sound(cpu);
    cpu_update_mode(cpu);
    lapic_publish(cpu);
    return true;
}

/* The board's orders to the vCPU are no part of the machine. */
void cpu_inbox_save(const struct interrupt_inbox *inbox, struct field_writer *w)
{
    struct interrupt_inbox copy;

    memcpy(&copy, inbox, sizeof(copy));
    atomic_fetch_and(&copy.events, ~(u32)INBOX_PAUSE);
    fields_save(w, inbox_fields, &copy);
}

bool cpu_inbox_load(struct interrupt_inbox *inbox, struct field_reader *r)
{
    if (!fields_load(r, inbox_fields, inbox)) {
        return false;
    }
    atomic_fetch_and(&inbox->events, ~(u32)INBOX_PAUSE);
    atomic_store(&inbox->attention, ATTENTION_LOOK);
    return true;
}
