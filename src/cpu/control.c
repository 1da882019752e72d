/*
 * control.c - control and debug registers, EFER, XCR0, interrupt flags, I/O permission; see
 * control.h.
 */
#include "cpu/control.h"

#include "cpu/cpuid.h"
#include "cpu/debug.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"

#define CR0_WRITABLE \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

/* What CPUID offers.  VME stands for CR4.PVI too. */
#define CR4_WRITABLE                                                                              \
    (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |     \
     CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | \
     CR4_SMAP)

#define EFER_WRITABLE (EFER_SCE | EFER_LME | EFER_NXE)

/* Bits of RFLAGS that exist, without bit 1. */
#define RFLAGS_DEFINED                                                                             \
    (RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | \
     RFLAGS_VM | RFLAGS_AC | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID)

/* ------------------------------------------------------------------ derived state */

static enum tlb_set choose_tlb_set(const struct cpu *cpu)
{
    bool aligned = cpu->cpl == 3 && (cpu->rflags & RFLAGS_AC) && (cpu->mmu.paging.cr0 & CR0_AM);
    if (aligned || debug_watches_data(cpu)) {
        return TLB_UNCACHED;
    }
    if (cpu->cpl == 3) {
        return TLB_USER;
    }
    return cpu->rflags & RFLAGS_AC ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
}

void cpu_update_mode(struct cpu *cpu)
{
    u16 cs = cpu->seg[SEG_CS].attributes;
    cpu->real_mode = !(cpu->mmu.paging.cr0 & CR0_PE);
    cpu->v86_mode = cpu->rflags & RFLAGS_VM;
    cpu->long_mode = cpu->mmu.paging.efer & EFER_LMA;
    if (cpu->long_mode && (cs & SEGMENT_L)) {
        cpu->code_mode = INSN_MODE_64;
        cpu->stack_mask = ~0ull;
    } else {
        cpu->code_mode = cs & SEGMENT_DB ? INSN_MODE_32 : INSN_MODE_16;
        cpu->stack_mask = cpu->seg[SEG_SS].attributes & SEGMENT_DB ? 0xffffffff : 0xffff;
    }
    cpu->single_step_needed = (cpu->rflags & RFLAGS_TF) || (cpu->dr[7] & DR7_ENABLED);
    mmu_select_set(&cpu->mmu, choose_tlb_set(cpu));
}

void cpu_set_rflags(struct cpu *cpu, u32 rflags)
{
    u32 others = (rflags & RFLAGS_DEFINED & ~RFLAGS_ARITHMETIC) | RFLAGS_FIXED;
    u32 changed = cpu->rflags ^ others;
    cpu_set_arithmetic_flags(cpu, rflags);
    cpu->rflags = others;
    if (changed & (RFLAGS_TF | RFLAGS_AC | RFLAGS_VM)) {
        cpu_update_mode(cpu);
    }
}

/* ------------------------------------------------------------------ control registers */

/* Reserved bits of a present PDPTE; Intel SDM vol. 3A, "PAE Paging", table of its format. */
static bool pdpte_is_valid(const struct cpu *cpu, u64 pdpte)
{
    u64 reserved = 0x1e6 | ~bits_mask(cpu->mmu.paging.physical_bits);
    return !(pdpte & 1) || !(pdpte & reserved);
}

bool control_load_pdptes(struct cpu *cpu, u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
    if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || (efer & EFER_LMA)) {
        return true;
    }
    u64 pdpte[4];
    gpa_t table = cr3 & 0xffffffe0 & ~cpu->mmu.paging.a20_off;
    if (!mem_read(cpu->mmu.mem, table, pdpte, sizeof(pdpte))) {
        return false; /* outside RAM they read as all ones */
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!pdpte_is_valid(cpu, pdpte[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        cpu->mmu.paging.pdpte[i] = pdpte[i];
    }
    return true;
}

/* What else forbids a change of CR0.PG; gives the EFER that goes with the new CR0. */
static bool check_paging_change(const struct cpu *cpu, u64 cr0, u64 *efer)
{
    const struct paging *p = &cpu->mmu.paging;
    *efer = p->efer;
    if ((cr0 & CR0_PG) && !(p->cr0 & CR0_PG)) {
        if (!(p->efer & EFER_LME)) {
            return true;
        }
        unsigned tr = cpu->seg[SEG_TR].attributes & SEGMENT_TYPE;
        *efer |= EFER_LMA;
        return (p->cr4 & CR4_PAE) && !(cpu->seg[SEG_CS].attributes & SEGMENT_L) &&
               !(tr == SYSTEM_TSS_16 || tr == SYSTEM_TSS_16_BUSY);
    }
    if (!(cr0 & CR0_PG) && (p->cr0 & CR0_PG)) {
        *efer &= ~EFER_LMA;
        return cpu->code_mode != INSN_MODE_64 && !(p->cr4 & CR4_PCIDE);
    }
    return true;
}

bool control_write_cr0(struct cpu *cpu, u64 value)
{
    struct paging *p = &cpu->mmu.paging;
    u64 efer;
    if (value >> 32) {
        return cpu_raise_gp0(cpu);
    }
    value = (value & CR0_WRITABLE) | CR0_ET;
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)) ||
        !check_paging_change(cpu, value, &efer)) {
        return cpu_raise_gp0(cpu);
    }
    u64 changed = p->cr0 ^ value;
    if ((changed & (CR0_PG | CR0_CD | CR0_NW)) &&
        !control_load_pdptes(cpu, value, p->cr3, p->cr4, efer)) {
        return cpu_raise_gp0(cpu);
    }
    p->cr0 = value;
    p->efer = efer;
    if (changed & (CR0_PG | CR0_PE | CR0_WP)) {
        mmu_flush(&cpu->mmu); /* for WP too: the soft TLB holds what may be written */
    }
    cpu_update_mode(cpu);
    return true;
}

bool control_write_cr3(struct cpu *cpu, u64 value)
{
    struct paging *p = &cpu->mmu.paging;
    bool keep = false;
    if (p->cr4 & CR4_PCIDE) {
        keep = value & CR3_NOFLUSH;
        value &= ~CR3_NOFLUSH;
    }
    if (cpu->long_mode && (value & ~bits_mask(p->physical_bits))) {
        return cpu_raise_gp0(cpu);
    }
    if (!control_load_pdptes(cpu, p->cr0, value, p->cr4, p->efer)) {
        return cpu_raise_gp0(cpu);
    }
    /* The soft TLB knows no PCIDs: it can only keep what belongs to the same address space. */
    if (!keep || p->cr3 != value) {
        p->cr3 = value;
        mmu_flush(&cpu->mmu);
    }
    return true;
}

bool control_write_cr4(struct cpu *cpu, u64 value)
{
    struct paging *p = &cpu->mmu.paging;
    if (value & ~CR4_WRITABLE) {
        return cpu_raise_gp0(cpu);
    }
    if (cpu->long_mode && !(value & CR4_PAE)) {
        return cpu_raise_gp0(cpu);
    }
    u64 changed = p->cr4 ^ value;
    if ((changed & value & CR4_PCIDE) && (!cpu->long_mode || (p->cr3 & CR3_PCID))) {
        return cpu_raise_gp0(cpu);
    }
    if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        !control_load_pdptes(cpu, p->cr0, p->cr3, value, p->efer)) {
        return cpu_raise_gp0(cpu);
    }
    p->cr4 = value;
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) {
        mmu_flush(&cpu->mmu);
    }
    cpu_update_mode(cpu);
    return true;
}

bool control_write_cr8(struct cpu *cpu, u64 value)
{
    if (value & ~0xfull) {
        return cpu_raise_gp0(cpu);
    }
    lapic_set_cr8(cpu, (u8)value);
    return true;
}

bool control_write_efer(struct cpu *cpu, u64 value)
{
    struct paging *p = &cpu->mmu.paging;
    if (value & ~(EFER_WRITABLE | EFER_LMA)) {
        return cpu_raise_gp0(cpu);
    }
    value = (value & EFER_WRITABLE) | (p->efer & EFER_LMA); /* LMA is read-only */
    u64 changed = p->efer ^ value;
    if ((changed & EFER_LME) && (p->cr0 & CR0_PG)) {
        return cpu_raise_gp0(cpu);
    }
    p->efer = value;
    if (changed & EFER_NXE) {
        mmu_flush(&cpu->mmu);
    }
    return true;
}

bool control_write_xcr0(struct cpu *cpu, u32 index, u64 value)
{
    if (index != 0 || (value & ~cpu_xcr0_supported(cpu)) || !(value & XCR0_X87) ||
        ((value & XCR0_AVX) && !(value & XCR0_SSE))) {
        return cpu_raise_gp0(cpu);
    }
    cpu->xcr0 = value;
    return true;
}

bool control_lmsw(struct cpu *cpu, u16 value)
{
    u64 cr0 = cpu->mmu.paging.cr0; /* PE can be set so, not cleared */
    u64 low = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
    return control_write_cr0(cpu, (cr0 & ~(low & ~CR0_PE)) | (value & low));
}

void control_clts(struct cpu *cpu)
{
    cpu->mmu.paging.cr0 &= ~CR0_TS;
}

u64 control_read_cr(const struct cpu *cpu, unsigned number)
{
    switch (number) {
    case 0:
        return cpu->mmu.paging.cr0;
    case 2:
        return cpu->cr2;
    case 3:
        return cpu->mmu.paging.cr3;
    case 4:
        return cpu->mmu.paging.cr4;
    default:
        return lapic_get_cr8(cpu);
    }
}

bool control_write_cr(struct cpu *cpu, unsigned number, u64 value)
{
    switch (number) {
    case 0:
        return control_write_cr0(cpu, value);
    case 2:
        cpu->cr2 = value;
        return true;
    case 3:
        return control_write_cr3(cpu, value);
    case 4:
        return control_write_cr4(cpu, value);
    default:
        return control_write_cr8(cpu, value);
    }
}

/* ------------------------------------------------------------------ A20 */

void control_set_a20(struct cpu *cpu, bool on)
{
    u64 off = on ? 0 : BIT(20);

    if (cpu->mmu.paging.a20_off != off) {
        cpu->mmu.paging.a20_off = off;
        mmu_flush(&cpu->mmu); /* it holds addresses as they were after the gate */
    }
}

/* ------------------------------------------------------------------ TLB */

void control_invlpg(struct cpu *cpu, gva_t gva)
{
    if (segment_is_canonical(gva)) { /* else it does nothing */
        mmu_flush_page(&cpu->mmu, gva);
    }
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

bool control_invpcid(struct cpu *cpu, u64 type, u64 pcid, u64 address)
{
    if (type > INVPCID_ALL_BUT_GLOBAL || pcid & ~CR3_PCID) {
        return cpu_raise_gp0(cpu);
    }
    if (type <= INVPCID_CONTEXT && pcid && !(cpu->mmu.paging.cr4 & CR4_PCIDE)) {
        return cpu_raise_gp0(cpu);
    }
    if (type == INVPCID_ADDRESS && !segment_is_canonical(address)) {
        return cpu_raise_gp0(cpu);
    }
    /* Only the current address space is ever in the soft TLB. */
    u64 current = cpu->mmu.paging.cr4 & CR4_PCIDE ? cpu->mmu.paging.cr3 & CR3_PCID : 0;
    if (type == INVPCID_ADDRESS && pcid == current) {
        mmu_flush_page(&cpu->mmu, address);
    } else if (type != INVPCID_ADDRESS && (type != INVPCID_CONTEXT || pcid == current)) {
        mmu_flush(&cpu->mmu);
    }
    return true;
}

/* ------------------------------------------------------------------ debug registers */

/* Which register is meant, or that none may be accessed now. */
static bool select_dr(struct cpu *cpu, unsigned *number)
{
    if (*number == 4 || *number == 5) {
        if (cpu->mmu.paging.cr4 & CR4_DE) {
            return cpu_raise(cpu, VECTOR_UD);
        }
        *number += 2;
    }
    return !(cpu->dr[7] & DR7_GD) || cpu_raise_debug(cpu, DR6_BD);
}

bool control_read_dr(struct cpu *cpu, unsigned number, u64 *value)
{
    if (!select_dr(cpu, &number)) {
        return false;
    }
    *value = cpu->dr[number];
    return true;
}

bool control_write_dr(struct cpu *cpu, unsigned number, u64 value)
{
    if (!select_dr(cpu, &number)) {
        return false;
    }
    if (number >= 6 && value >> 32) {
        return cpu_raise_gp0(cpu);
    }
    if (number == 6) {
        value = (value & DR6_WRITABLE) | DR6_ONES;
    } else if (number == 7) {
        value = (value & DR7_WRITABLE) | DR7_ONES;
    }
    cpu->dr[number] = value;
    cpu_update_mode(cpu);
    return true;
}
