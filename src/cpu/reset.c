/*
 * reset.c - the state after power-on and after INIT, and the start by SIPI.
 *
 * Intel SDM vol. 3A, "Processor State After Reset", table "IA-32 and Intel 64 Processor States
 * Following Power-up, Reset, or INIT"; "MP Initialization Protocol Algorithm".
 */
#include "base/string.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/segment.h"

#define DATA_ATTRIBUTES (SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED)
#define CODE_ATTRIBUTES (DATA_ATTRIBUTES | SEGMENT_TYPE_CODE)

/* EDX: family 6, as CPUID leaf 1 tells in EAX. */
#define RESET_EDX 0x600

static const struct segment reset_segments[SEG_SLOTS] = {
    [SEG_CS] = {0xffff0000, 0xffff, 0xf000, CODE_ATTRIBUTES},
    [SEG_SS] = {0, 0xffff, 0, DATA_ATTRIBUTES},
    [SEG_DS] = {0, 0xffff, 0, DATA_ATTRIBUTES},
    [SEG_ES] = {0, 0xffff, 0, DATA_ATTRIBUTES},
    [SEG_FS] = {0, 0xffff, 0, DATA_ATTRIBUTES},
    [SEG_GS] = {0, 0xffff, 0, DATA_ATTRIBUTES},
    [SEG_LDTR] = {0, 0xffff, 0, SEGMENT_P | SYSTEM_LDT},
    [SEG_TR] = {0, 0xffff, 0, SEGMENT_P | SYSTEM_TSS_BUSY},
};

static const struct {
    u64 rip, rdx, cr0, dr6, dr7;
    u32 rflags;
    struct table_register gdtr, idtr;
} reset_state = {
    .rip = 0xfff0,
    .rdx = RESET_EDX,
    .cr0 = CR0_CD | CR0_NW | CR0_ET,
    .dr6 = DR6_ONES,
    .dr7 = DR7_ONES,
    .rflags = RFLAGS_FIXED,
    .gdtr = {0, 0xffff},
    .idtr = {0, 0xffff},
};

/* What power-on and INIT have in common.  INIT keeps CR0.CD and NW. */
static void reset_common(struct cpu *cpu, u64 cr0)
{
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    memset(cpu->dr, 0, sizeof(cpu->dr));
    memcpy(cpu->seg, reset_segments, sizeof(cpu->seg));
    cpu->gpr[RDX] = reset_state.rdx;
    cpu->rip = reset_state.rip;
    cpu->gdtr = reset_state.gdtr;
    cpu->idtr = reset_state.idtr;
    cpu->dr[6] = reset_state.dr6;
    cpu->dr[7] = reset_state.dr7;
    cpu->cpl = 0;
    cpu->cr2 = 0;
    cpu->mmu.paging.cr0 = cr0;
    cpu->mmu.paging.cr3 = cpu->mmu.paging.cr4 = cpu->mmu.paging.efer = 0;
    cpu->mmu.paging.physical_bits = CPUID_PHYSICAL_BITS;
    cpu->interrupt_shadow = cpu->debug_shadow = cpu->debug_step = false;
    cpu->nmi_blocked = cpu->nmi_pending = false;
    cpu->debug_hits = 0;
    cpu->fault = (struct fault){0};
    cpu_set_rflags(cpu, reset_state.rflags);
    cpu_update_mode(cpu);
    mmu_flush(&cpu->mmu);
}

static void wait_or_run(struct cpu *cpu)
{
    bool is_bsp = cpu->index == 0;
    cpu->activity = is_bsp ? ACTIVITY_RUNNING : ACTIVITY_WAIT_FOR_SIPI;
}

void cpu_reset(struct cpu *cpu)
{
    msr_reset(cpu);
    cpu->xcr0 = XCR0_X87;
    memset(&cpu->stats, 0, sizeof(cpu->stats));
    cpu->icount = 0;
    reset_common(cpu, reset_state.cr0);
    fpu_reset(cpu);
    lapic_reset(cpu);
    wait_or_run(cpu);
}

void cpu_init_signal(struct cpu *cpu)
{
    u64 kept = cpu->mmu.paging.cr0 & (CR0_CD | CR0_NW);
    reset_common(cpu, kept | CR0_ET);
    fpu_init_signal(cpu);
    lapic_init(cpu);
    wait_or_run(cpu);
}

void cpu_start_up(struct cpu *cpu, u8 vector)
{
    if (cpu->activity != ACTIVITY_WAIT_FOR_SIPI) {
        return;
    }
    segment_load_real(cpu, SEG_CS, (u16)(vector << 8));
    cpu->rip = 0;
    cpu->activity = ACTIVITY_RUNNING;
    cpu_update_mode(cpu);
}
