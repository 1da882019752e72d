/* syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT; see syscall.h. */
#include "cpu/syscall.h"

#include "cpu/segment.h"
#include "isa/debug.h"

/* What SYSRET may set in RFLAGS. */
#define SYSRET_FLAGS 0x3c7fd7u

#define CODE_TYPE                                                                    \
    (SEGMENT_G | SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_CODE | SEGMENT_TYPE_READABLE | \
     SEGMENT_TYPE_ACCESSED)
#define DATA_TYPE \
    (SEGMENT_G | SEGMENT_DB | SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED)

/* Flat CS and SS that come from no descriptor, at cpl; selectors with their RPL. */
static void load_flat(struct cpu *cpu, u16 cs, u16 ss, unsigned cpl, bool is_64)
{
    u16 dpl = (u16)(cpl << SEGMENT_DPL_SHIFT);
    cpu->seg[SEG_CS] = (struct segment){
        .limit = 0xffffffff,
        .selector = cs,
        .attributes = (u16)(CODE_TYPE | dpl | (is_64 ? SEGMENT_L : SEGMENT_DB)),
    };
    cpu->seg[SEG_SS] = (struct segment){
        .limit = 0xffffffff,
        .selector = ss,
        .attributes = (u16)(DATA_TYPE | dpl),
    };
    cpu->cpl = (u8)cpl;
    cpu_update_mode(cpu);
}

bool syscall_syscall(struct cpu *cpu, u64 next_rip)
{
    if (cpu->code_mode != INSN_MODE_64 || !(cpu->mmu.paging.efer & EFER_SCE)) {
        return cpu_raise(cpu, VECTOR_UD);
    }
    u32 flags = cpu_rflags(cpu) & ~RFLAGS_RF;
    u16 selector = (u16)(cpu->msr.star >> 32) & (u16)~SELECTOR_RPL;
    cpu->gpr[RCX] = next_rip;
    cpu->gpr[11] = flags;
    cpu->rip = cpu->msr.lstar;
    cpu_set_rflags(cpu, flags & ~(u32)cpu->msr.sfmask);
    load_flat(cpu, selector, (u16)(selector + 8), 0, true);
    cpu->debug_step &= (cpu->rflags & RFLAGS_TF) != 0; /* a masked TF does not trap any more */
    return true;
}

bool syscall_sysret(struct cpu *cpu, unsigned opsize)
{
    if (cpu->code_mode != INSN_MODE_64 || !(cpu->mmu.paging.efer & EFER_SCE)) {
        return cpu_raise(cpu, VECTOR_UD);
    }
    bool is_64 = opsize == 8;
    if (cpu->cpl != 0 || (is_64 && !segment_is_canonical(cpu->gpr[RCX]))) {
        return cpu_raise_gp0(cpu); /* at CPL 0, with the guest kernel's user RSP: as Intel does */
    }
    u16 base = (u16)(cpu->msr.star >> 48);
    cpu->rip = is_64 ? cpu->gpr[RCX] : (u32)cpu->gpr[RCX];
    cpu_set_rflags(cpu, (u32)cpu->gpr[11] & SYSRET_FLAGS);
    load_flat(cpu, (u16)(base + (is_64 ? 16 : 0)) | 3, (u16)(base + 8) | 3, 3, is_64);
    /* Unlike IRET and POPF, it traps at once if it has set TF; TF before it does not matter. */
    cpu->debug_step = false;
    return !(cpu->rflags & RFLAGS_TF) || cpu_raise_debug(cpu, DR6_BS);
}

bool syscall_sysenter(struct cpu *cpu)
{
    u16 selector = (u16)cpu->msr.sysenter_cs & (u16)~SELECTOR_RPL;
    if (cpu->real_mode || !selector) {
        return cpu_raise_gp0(cpu);
    }
    cpu->gpr[RSP] = cpu->long_mode ? cpu->msr.sysenter_esp : (u32)cpu->msr.sysenter_esp;
    cpu->rip = cpu->long_mode ? cpu->msr.sysenter_eip : (u32)cpu->msr.sysenter_eip;
    cpu->rflags &= ~(RFLAGS_VM | RFLAGS_IF);
    load_flat(cpu, selector, (u16)(selector + 8), 0, cpu->long_mode);
    return true;
}

bool syscall_sysexit(struct cpu *cpu, unsigned opsize)
{
    u16 selector = (u16)cpu->msr.sysenter_cs & (u16)~SELECTOR_RPL;
    bool is_64 = opsize == 8;
    u64 rip = cpu->gpr[RDX], rsp = cpu->gpr[RCX];
    if (cpu->real_mode || cpu->cpl != 0 || !selector) {
        return cpu_raise_gp0(cpu);
    }
    if (is_64 && !(segment_is_canonical(rip) && segment_is_canonical(rsp))) {
        return cpu_raise_gp0(cpu);
    }
    cpu->rip = is_64 ? rip : (u32)rip;
    cpu->gpr[RSP] = is_64 ? rsp : (u32)rsp;
    selector = (u16)(selector + (is_64 ? 32 : 16)) | 3;
    load_flat(cpu, selector, (u16)(selector + 8), 3, is_64);
    return true;
}
