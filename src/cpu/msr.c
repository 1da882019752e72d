/*
 * msr.c - model-specific registers: one table, sorted by number.
 *
 * Intel SDM vol. 4, "Model-Specific Registers (MSRs)", architectural ones, and the few others that
 * operating systems touch without asking first.  Everything else is #GP, which they all expect.
 *
 * A row is a range of numbers with the same treatment.  Most keep a value in struct cpu_msrs, with
 * the bits that may be written; the others have functions.  A row that cannot be written or read
 * has none for it.
 */
#include "cpu/msr.h"

#include "cpu/clock.h"
#include "cpu/control.h"
#include "cpu/cpu.h"
#include "cpu/kvm.h"
#include "isa/cpuid.h"
#include "isa/msr.h"

enum { MTRR_PAIRS = 8, FIXED_MTRRS = 11 };

#define ADDRESS_BITS   ((1ull << CPUID_PHYSICAL_BITS) - 1)
#define PLATFORM_RATIO 8 /* shift of the TSC's ratio to 100 MHz in PLATFORM_INFO */

/* No instruction of the guest is executed speculatively in a way that it could observe: the
 * interpreter does one at a time.  IBRS_ALL lets Linux do without retpolines, and PBRSB_NO
 * without what it would then do instead.  BHI_NO is not enough for Linux: it clears the branch
 * history in a loop at each system call, unless there is SPEC_CTRL's BHI_DIS_S (CPUID 7.2). */
#define ARCH_CAPABILITIES                                                                   \
    (ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_SKIP_L1DFL_VMENTRY | ARCH_CAP_SSB_NO | \
     ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO |  \
     ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO |           \
     ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_ITS_NO)

struct msr {
    u32 first, last;
    /* False for #GP.  n is the number's distance from first. */
    bool (*read)(struct cpu *cpu, const struct msr *row, u32 n, u64 *value);
    bool (*write)(struct cpu *cpu, const struct msr *row, u32 n, u64 value);
    size_t offset; /* of the u64 in struct cpu, for field_read and the writes that use it */
    u64 bits;      /* a constant, or the bits that may be written */
};

/* ------------------------------------------------------------------ the common kinds */

static u64 *field(struct cpu *cpu, const struct msr *row, u32 n)
{
    return (u64 *)(void *)((char *)cpu + row->offset) + n;
}

static bool field_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    *value = *field(cpu, row, n);
    return true;
}

/* Reserved bits are refused. */
static bool field_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    if (value & ~row->bits) {
        return false;
    }
    *field(cpu, row, n) = value;
    return true;
}

/* Bits that are not ours stay as they are. */
static bool masked_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    u64 *f = field(cpu, row, n);

    *f = (*f & ~row->bits) | (value & row->bits);
    return true;
}

static bool address_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    if (bits_sign_extend(value, CPUID_LINEAR_BITS) != value) {
        return false;
    }
    *field(cpu, row, n) = value;
    return true;
}

static bool constant_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    (void)cpu, (void)n;
    *value = row->bits;
    return true;
}

static bool ignored_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)cpu, (void)row, (void)n, (void)value;
    return true;
}

/* The register is always 0, or takes a command. */
static bool checked_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)cpu, (void)n;
    return !(value & ~row->bits);
}

/* ------------------------------------------------------------------ time */

static void tsc_jumped(struct cpu *cpu)
{
    kvm_update_system_time(cpu);
    lapic_tsc_changed(cpu);
}

static bool tsc_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    (void)row, (void)n;
    *value = clock_tsc(cpu);
    return true;
}

static bool tsc_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    cpu->msr.tsc_adjust += value - clock_tsc(cpu);
    tsc_jumped(cpu);
    return true;
}

static bool tsc_adjust_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    cpu->msr.tsc_adjust = value;
    tsc_jumped(cpu);
    return true;
}

static bool deadline_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    (void)row, (void)n;
    *value = lapic_get_tsc_deadline(cpu);
    return true;
}

static bool deadline_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    lapic_set_tsc_deadline(cpu, value);
    return true;
}

static bool platform_info_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    (void)row, (void)n;
    *value = (u64)((cpu->clock->tsc_khz / 100000) & 0xff) << PLATFORM_RATIO;
    return true;
}

static bool kvm_system_time_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    return kvm_set_system_time(cpu, value);
}

static bool kvm_wall_clock_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    return kvm_set_wall_clock(cpu, value);
}

/* ------------------------------------------------------------------ local APIC */

static bool apic_base_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    return lapic_set_base(cpu, value);
}

static bool x2apic_read(struct cpu *cpu, const struct msr *row, u32 n, u64 *value)
{
    return lapic_msr_read(cpu, row->first + n, value);
}

static bool x2apic_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    return lapic_msr_write(cpu, row->first + n, value);
}

/* ------------------------------------------------------------------ modes and memory types */

static bool efer_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    return control_write_efer(cpu, value);
}

static bool valid_type(u64 type)
{
    return type == MEMORY_TYPE_UC || type == MEMORY_TYPE_WC ||
           (type >= MEMORY_TYPE_WT && type <= MEMORY_TYPE_WB);
}

static bool pat_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    for (unsigned i = 0; i < 64; i += 8) {
        u64 type = bits_get(value, i, 8);

        if (!valid_type(type) && type != MEMORY_TYPE_UC_MINUS) {
            return false;
        }
    }
    cpu->msr.pat = value;
    return true;
}

/* The MTRRs are kept, and change nothing: all of our memory is coherent. */
static bool mtrr_physical_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    u64 valid = (ADDRESS_BITS & PAGE_MASK) | (n & 1 ? MTRR_PHYSMASK_VALID : 0xff);

    if ((value & ~valid) || (!(n & 1) && !valid_type(value & 0xff))) {
        return false;
    }
    *field(cpu, row, n) = value;
    return true;
}

static bool mtrr_fixed_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    for (unsigned i = 0; i < 64; i += 8) {
        if (!valid_type(bits_get(value, i, 8))) {
            return false;
        }
    }
    *field(cpu, row, n) = value;
    return true;
}

static bool mtrr_def_type_write(struct cpu *cpu, const struct msr *row, u32 n, u64 value)
{
    (void)row, (void)n;
    if ((value & ~(0xff | MTRR_DEF_TYPE_FE | MTRR_DEF_TYPE_E)) || !valid_type(value & 0xff)) {
        return false;
    }
    cpu->msr.mtrr_def_type = value;
    return true;
}

/* ------------------------------------------------------------------ the table */

#define ONE(number) (number), (number)
#define MSR(name)   offsetof(struct cpu, msr.name)
#define SEGMENT_BASE(s) \
    (offsetof(struct cpu, seg) + (s) * sizeof(struct segment) + offsetof(struct segment, base))

static const struct msr msrs[] = {
    {MSR_P5_MC_ADDR, MSR_P5_MC_TYPE, constant_read, ignored_write, 0, 0},
    {ONE(MSR_IA32_TSC), tsc_read, tsc_write, 0, 0},
    {ONE(MSR_KVM_WALL_CLOCK), field_read, kvm_wall_clock_write, MSR(kvm_wall_clock), 0},
    {ONE(MSR_KVM_SYSTEM_TIME), field_read, kvm_system_time_write, MSR(kvm_system_time), 0},
    {ONE(MSR_IA32_PLATFORM_ID), constant_read, NULL, 0, 0},
    {ONE(MSR_IA32_APIC_BASE), field_read, apic_base_write, offsetof(struct cpu, lapic.base), 0},
    {ONE(MSR_EBL_CR_POWERON), constant_read, ignored_write, 0, 0},
    {ONE(MSR_IA32_TSC_ADJUST), field_read, tsc_adjust_write, MSR(tsc_adjust), 0},
    {ONE(MSR_IA32_SPEC_CTRL), field_read, field_write, MSR(spec_ctrl),
     SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_BHI_DIS_S},
    {ONE(MSR_IA32_PRED_CMD), NULL, checked_write, 0, PRED_CMD_IBPB},
    {ONE(MSR_IA32_BIOS_UPDT_TRIG), NULL, ignored_write, 0, 0},
    {ONE(MSR_IA32_BIOS_SIGN_ID), field_read, field_write, MSR(bios_sign_id), ~0ull},
    {ONE(MSR_PLATFORM_INFO), platform_info_read, NULL, 0, 0},
    {ONE(MSR_IA32_MTRRCAP), constant_read, NULL, 0, MTRR_PAIRS | MTRRCAP_FIX | MTRRCAP_WC},
    {ONE(MSR_IA32_ARCH_CAPABILITIES), constant_read, NULL, 0, ARCH_CAPABILITIES},
    {ONE(MSR_MISC_FEATURES_ENABLES), constant_read, checked_write, 0, 0},
    {ONE(MSR_IA32_SYSENTER_CS), field_read, masked_write, MSR(sysenter_cs), 0xffffffff},
    {ONE(MSR_IA32_SYSENTER_ESP), field_read, address_write, MSR(sysenter_esp), 0},
    {ONE(MSR_IA32_SYSENTER_EIP), field_read, address_write, MSR(sysenter_eip), 0},
    {ONE(MSR_IA32_MCG_CAP), constant_read, NULL, 0, 0}, /* no banks: nothing breaks */
    {ONE(MSR_IA32_MCG_STATUS), field_read, field_write, MSR(mcg_status), 7},
    {ONE(MSR_IA32_MISC_ENABLE), field_read, masked_write, MSR(misc_enable),
     MISC_ENABLE_FAST_STRINGS},
    /* LIMIT: last branches are not recorded. */
    {ONE(MSR_IA32_DEBUGCTL), field_read, field_write, MSR(debugctl), DEBUGCTL_LBR | DEBUGCTL_BTF},
    {MSR_LASTBRANCHFROMIP, MSR_LASTINTTOIP, constant_read, NULL, 0, 0},
    {MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 2 * MTRR_PAIRS - 1, field_read, mtrr_physical_write,
     MSR(mtrr_physical), 0},
    {ONE(MSR_MTRR_FIX64K_00000), field_read, mtrr_fixed_write, MSR(mtrr_fixed[0]), 0},
    {MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, field_read, mtrr_fixed_write, MSR(mtrr_fixed[1]),
     0},
    {MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000, field_read, mtrr_fixed_write, MSR(mtrr_fixed[3]),
     0},
    {ONE(MSR_IA32_PAT), field_read, pat_write, MSR(pat), 0},
    {ONE(MSR_MTRR_DEF_TYPE), field_read, mtrr_def_type_write, MSR(mtrr_def_type), 0},
    {ONE(MSR_IA32_TSC_DEADLINE), deadline_read, deadline_write, 0, 0},
    {MSR_X2APIC_FIRST, MSR_X2APIC_LAST, x2apic_read, x2apic_write, 0, 0},
    {ONE(MSR_KVM_WALL_CLOCK_NEW), field_read, kvm_wall_clock_write, MSR(kvm_wall_clock), 0},
    {ONE(MSR_KVM_SYSTEM_TIME_NEW), field_read, kvm_system_time_write, MSR(kvm_system_time), 0},
    {ONE(MSR_IA32_EFER), field_read, efer_write, offsetof(struct cpu, mmu.paging.efer), 0},
    {ONE(MSR_STAR), field_read, field_write, MSR(star), ~0ull},
    {ONE(MSR_LSTAR), field_read, address_write, MSR(lstar), 0},
    {ONE(MSR_CSTAR), field_read, address_write, MSR(cstar), 0},
    {ONE(MSR_SFMASK), field_read, masked_write, MSR(sfmask), 0xffffffff},
    {ONE(MSR_FS_BASE), field_read, address_write, SEGMENT_BASE(SEG_FS), 0},
    {ONE(MSR_GS_BASE), field_read, address_write, SEGMENT_BASE(SEG_GS), 0},
    {ONE(MSR_KERNEL_GS_BASE), field_read, address_write, MSR(kernel_gs_base), 0},
    {ONE(MSR_TSC_AUX), field_read, field_write, MSR(tsc_aux), 0xffffffff},
};

static const struct msr *find(u32 index)
{
    size_t low = 0, high = ARRAY_SIZE(msrs);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (index < msrs[middle].first) {
            high = middle;
        } else if (index > msrs[middle].last) {
            low = middle + 1;
        } else {
            return &msrs[middle];
        }
    }
    return NULL;
}

bool cpu_rdmsr(struct cpu *cpu, u32 index, u64 *value)
{
    const struct msr *row = find(index);

    if (!row || !row->read || !row->read(cpu, row, index - row->first, value)) {
        return cpu_raise_gp0(cpu);
    }
    return true;
}

bool cpu_wrmsr(struct cpu *cpu, u32 index, u64 value)
{
    const struct msr *row = find(index);

    if (!row || !row->write) {
        return cpu_raise_gp0(cpu);
    }
    if (!row->write(cpu, row, index - row->first, value)) {
        return cpu->fault.pending ? false : cpu_raise_gp0(cpu);
    }
    return true;
}

/* ------------------------------------------------------------------ reset */

void msr_reset(struct cpu *cpu)
{
    cpu->msr = (struct cpu_msrs){
        .pat = PAT_RESET,
        .misc_enable =
            MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE,
    };
}

void msr_set_firmware_state(struct cpu *cpu)
{
    for (unsigned i = 0; i < FIXED_MTRRS; i++) {
        cpu->msr.mtrr_fixed[i] = MEMORY_TYPE_WB * 0x0101010101010101ull;
    }
    cpu->msr.mtrr_fixed[2] = 0; /* the VGA window */
    cpu->msr.mtrr_def_type = MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE | MEMORY_TYPE_WB;
}
