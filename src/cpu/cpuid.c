/*
 * cpuid.c - CPUID: an x86-64-v3 machine, called Ringer.
 *
 * Intel SDM vol. 2A, "CPUID - CPU Identification"; for the hypervisor's leaves, Linux,
 * "KVM CPUID bits" (Documentation/virt/kvm/x86), and VMware's "Mechanisms to determine if software
 * is running in a VMware virtual machine" for leaf 0x40000010.
 *
 * The name is in the brand string.  The vendor string is not a name but a promise of behaviour, and
 * ours is Intel's (SYSCALL in 64-bit mode only, #GP of SYSRET, null selectors, reserved bits): so
 * it is GenuineIntel.  A vendor of our own was considered, and costs a guest this:
 *
 * - glibc 2.33 to 2.36 takes cache sizes from Intel's, AMD's and Zhaoxin's leaves only.  For any
 *   other vendor its threshold for non-temporal copies comes out as 0, with which its memcpy()
 *   writes outside its buffers.
 * - Linux sets `constant_tsc` by vendor: without it, and with more than one CPU, it takes the TSC
 *   for unstable; `rep_good` (REP MOVSQ to copy pages, where an interpreter gains most) and
 *   `sysenter32` (fast system calls of 32-bit programs) likewise; and it believes leaf 0x15 of
 *   Intel's only.
 *
 * The model is one that Intel does not use (family 6, model 0xf0), so that no list of a model's
 * errata names it.  What Linux would otherwise mitigate, msr.c's IA32_ARCH_CAPABILITIES excludes.
 *
 * A feature whose instructions the host's CPU executes for the guest is offered only where the host
 * has it; the other features are those that the interpreter and the MMU implement.
 */
#include "cpu/cpuid.h"

#include "base/string.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "isa/msr.h"

#define HOST_1C                                                                            \
    (CPUID_1C_SSE3 | CPUID_1C_PCLMULQDQ | CPUID_1C_SSSE3 | CPUID_1C_FMA | CPUID_1C_CX16 |  \
     CPUID_1C_SSE4_1 | CPUID_1C_SSE4_2 | CPUID_1C_MOVBE | CPUID_1C_POPCNT | CPUID_1C_AES | \
     CPUID_1C_AVX | CPUID_1C_F16C | CPUID_1C_RDRAND)
#define OURS_1C \
    (CPUID_1C_PCID | CPUID_1C_X2APIC | CPUID_1C_TSC_DEADLINE | CPUID_1C_XSAVE | CPUID_1C_HYPERVISOR)
#define OURS_1D                                                                                 \
    (CPUID_1D_FPU | CPUID_1D_VME | CPUID_1D_DE | CPUID_1D_PSE | CPUID_1D_TSC | CPUID_1D_MSR |   \
     CPUID_1D_PAE | CPUID_1D_MCE | CPUID_1D_CX8 | CPUID_1D_SEP | CPUID_1D_MTRR | CPUID_1D_PGE | \
     CPUID_1D_MCA | CPUID_1D_CMOV | CPUID_1D_PAT | CPUID_1D_PSE36 | CPUID_1D_CLFSH |            \
     CPUID_1D_MMX | CPUID_1D_FXSR | CPUID_1D_SSE | CPUID_1D_SSE2 | CPUID_1D_SS)
#define HOST_7B \
    (CPUID_7B_BMI1 | CPUID_7B_AVX2 | CPUID_7B_BMI2 | CPUID_7B_RDSEED | CPUID_7B_ADX | CPUID_7B_SHA)
#define OURS_7B                                                                                   \
    (CPUID_7B_FSGSBASE | CPUID_7B_TSC_ADJUST | CPUID_7B_SMEP | CPUID_7B_ERMS | CPUID_7B_INVPCID | \
     CPUID_7B_SMAP | CPUID_7B_CLFLUSHOPT | CPUID_7B_CLWB)
#define OURS_7C (CPUID_7C_UMIP | CPUID_7C_RDPID)
#define OURS_7D (CPUID_7D_FSRM | CPUID_7D_SPEC_CTRL | CPUID_7D_ARCH_CAP)
#define OURS_KVM                                                               \
    (CPUID_KVM_CLOCKSOURCE | CPUID_KVM_NOP_IO_DELAY | CPUID_KVM_CLOCKSOURCE2 | \
     CPUID_KVM_CLOCKSOURCE_STABLE)
#define OURS_81C (CPUID_81C_LAHF | CPUID_81C_PREFETCHW)
#define HOST_81C CPUID_81C_LZCNT
#define OURS_81D (CPUID_81D_NX | CPUID_81D_PDPE1GB | CPUID_81D_RDTSCP | CPUID_81D_LM)

/* Those of the above that work on the YMM registers. */
#define AVX_1C (CPUID_1C_AVX | CPUID_1C_FMA | CPUID_1C_F16C)
#define AVX_7B CPUID_7B_AVX2

#define XSAVE_LEGACY_BYTES 576u /* with the header */
#define XSAVE_AVX_BYTES    256u

/* ------------------------------------------------------------------ the host */

static void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

static u64 host_xcr0(void)
{
    u32 low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (u64)high << 32 | low;
}

static const struct cpuid_host *host_features(struct cpu *cpu)
{
    struct cpuid_host *host = &cpu->host_cpuid;
    u32 r[4], max;

    if (host->known) {
        return host;
    }
    host_cpuid(0, 0, r);
    max = r[CPUID_EAX];
    host_cpuid(1, 0, r);
    host->leaf1_ecx = r[CPUID_ECX];
    host->xcr0 = XCR0_X87 | XCR0_SSE;
    if (r[CPUID_ECX] & CPUID_1C_OSXSAVE) {
        host->xcr0 |= host_xcr0() & XCR0_AVX;
    }
    if (max >= 7) {
        host_cpuid(7, 0, r);
        host->leaf7_ebx = r[CPUID_EBX];
    }
    host_cpuid(CPUID_LEAF_EXTENDED + 1, 0, r);
    host->extended1_ecx = r[CPUID_ECX];
    if (!(host->xcr0 & XCR0_AVX)) {
        host->leaf1_ecx &= ~AVX_1C;
        host->leaf7_ebx &= ~AVX_7B;
    }
    if (cpu->clock->icount) { /* true randomness would end the run's being repeatable */
        host->leaf1_ecx &= ~CPUID_1C_RDRAND;
        host->leaf7_ebx &= ~CPUID_7B_RDSEED;
    }
    host->known = true;
    return host;
}

u64 cpu_xcr0_supported(struct cpu *cpu)
{
    return host_features(cpu)->xcr0;
}

struct cpuid_host cpu_guest_features(struct cpu *cpu)
{
    const struct cpuid_host *host = host_features(cpu);

    return (struct cpuid_host){.known = true,
                               .leaf1_ecx = host->leaf1_ecx & HOST_1C,
                               .leaf7_ebx = host->leaf7_ebx & HOST_7B,
                               .extended1_ecx = host->extended1_ecx & HOST_81C,
                               .xcr0 = host->xcr0};
}

const char *cpu_missing_feature(struct cpu *cpu, const struct cpuid_host *features)
{
    static const char *const names_1c[32] = {
        [0] = "SSE3",    [1] = "PCLMULQDQ", [9] = "SSSE3",   [12] = "FMA",    [13] = "CMPXCHG16B",
        [19] = "SSE4.1", [20] = "SSE4.2",   [22] = "MOVBE",  [23] = "POPCNT", [25] = "AES",
        [28] = "AVX",    [29] = "F16C",     [30] = "RDRAND",
    };
    static const char *const names_7b[32] = {
        [3] = "BMI1", [5] = "AVX2", [8] = "BMI2", [18] = "RDSEED", [19] = "ADX", [29] = "SHA",
    };
    const struct cpuid_host *host = host_features(cpu);
    u32 missing_1c = features->leaf1_ecx & ~(host->leaf1_ecx & HOST_1C);
    u32 missing_7b = features->leaf7_ebx & ~(host->leaf7_ebx & HOST_7B);
    const char *name = NULL;

    if (missing_1c) {
        name = names_1c[__builtin_ctz(missing_1c)];
    } else if (missing_7b) {
        name = names_7b[__builtin_ctz(missing_7b)];
    } else if (features->extended1_ecx & ~(host->extended1_ecx & HOST_81C)) {
        name = "LZCNT";
    } else if (features->xcr0 & ~host->xcr0) {
        name = "AVX's state";
    } else {
        return NULL;
    }
    return name ? name : "one that no Ringer tells of";
}

/* ------------------------------------------------------------------ the leaves */

static void set(u32 out[4], u32 eax, u32 ebx, u32 ecx, u32 edx)
{
    out[CPUID_EAX] = eax;
    out[CPUID_EBX] = ebx;
    out[CPUID_ECX] = ecx;
    out[CPUID_EDX] = edx;
}

/* Bits of an APIC ID that tell the package's CPUs apart. */
static u32 core_bits(const struct cpu *cpu)
{
    u32 bits = 0;

    while ((1ull << bits) < cpu->cpu_count) {
        bits++;
    }
    return bits;
}

static u32 at_most(u32 value, u32 limit)
{
    return value < limit ? value : limit;
}

static void leaf_features(struct cpu *cpu, u32 out[4])
{
    u32 ecx = OURS_1C | (host_features(cpu)->leaf1_ecx & HOST_1C);
    u32 edx = OURS_1D;

    if (cpu->mmu.paging.cr4 & CR4_OSXSAVE) {
        ecx |= CPUID_1C_OSXSAVE;
    }
    if (cpu->lapic.base & APIC_BASE_EN) {
        edx |= CPUID_1D_APIC;
    }
    if (cpu->cpu_count > 1) {
        edx |= CPUID_1D_HTT;
    }
    set(out, CPUID_SIGNATURE,
        (cpu->index & 0xff) << 24 | at_most(1u << core_bits(cpu), 0xff) << 16 | 8u << 8, ecx, edx);
    cpu->msr.bios_sign_id =
        MSR_BIOS_SIGN_ID_VALUE; /* how software reads the microcode's revision */
}

/* Sizes that make sense to programs which ask for them: nothing here has a cache. */
static void leaf_caches(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    static const struct {
        u8 type, level, ways; /* type: 1 data, 2 instructions, 3 both */
        u16 sets;
        bool shared;
    } caches[] = {
        {1, 1, 8, 64, false},    /* 32 KiB */
        {2, 1, 8, 64, false},    /* 32 KiB */
        {3, 2, 16, 1024, false}, /* 1 MiB */
        {3, 3, 16, 16384, true}, /* 16 MiB */
    };
    u32 last_core = at_most((1u << core_bits(cpu)) - 1, 63), sharing;

    if (subleaf >= ARRAY_SIZE(caches)) {
        set(out, 0, 0, 0, 0);
        return;
    }
    sharing = caches[subleaf].shared ? (1u << core_bits(cpu)) - 1 : 0;
    set(out,
        caches[subleaf].type | (u32)caches[subleaf].level << 5 | 1u << 8 | sharing << 14 |
            last_core << 26,
        (u32)(caches[subleaf].ways - 1) << 22 | (64 - 1), caches[subleaf].sets - 1u, 0);
}

static void leaf_topology(const struct cpu *cpu, u32 subleaf, u32 out[4])
{
    switch (subleaf) {
    case 0: /* threads of a core */
        set(out, 0, 1, 1u << 8 | 0, cpu->index);
        break;
    case 1: /* cores of the package */
        set(out, core_bits(cpu), cpu->cpu_count, 2u << 8 | 1, cpu->index);
        break;
    default:
        set(out, 0, 0, subleaf & 0xff, cpu->index);
        break;
    }
}

static u32 xsave_bytes(u64 xcr0)
{
    return XSAVE_LEGACY_BYTES + (xcr0 & XCR0_AVX ? XSAVE_AVX_BYTES : 0);
}

static void leaf_xsave(struct cpu *cpu, u32 subleaf, u32 out[4])
{
    u64 supported = cpu_xcr0_supported(cpu);

    set(out, 0, 0, 0, 0);
    if (subleaf == 0) {
        set(out, (u32)supported, xsave_bytes(cpu->xcr0), xsave_bytes(supported), 0);
    } else if (subleaf == 1) { /* the compacted format leaves no gaps here either */
        set(out, CPUID_DA_XSAVEOPT | CPUID_DA_XSAVEC, xsave_bytes(cpu->xcr0), 0, 0);
    } else if (subleaf == 2 && (supported & XCR0_AVX)) {
        set(out, XSAVE_AVX_BYTES, XSAVE_LEGACY_BYTES, 0, 0);
    }
}

/* TSC ticks per tick of the crystal as a fraction.  The crystal is what the local APIC's timer
 * counts, as Linux takes it.  Linux multiplies the crystal's kHz by the numerator in 32 bits, which
 * bounds the numerator, and the precision at 120 ppm where the frequency is an odd one. */
static void leaf_tsc(const struct cpu *cpu, u32 out[4])
{
    const u32 crystal_khz = LAPIC_TIMER_HZ / 1000, numerator_max = UINT32_MAX / crystal_khz;
    u32 a = cpu->clock->tsc_khz, b = crystal_khz, numerator, denominator;

    while (b) { /* Euclid's algorithm */
        u32 rest = a % b;

        a = b;
        b = rest;
    }
    numerator = cpu->clock->tsc_khz / a;
    denominator = crystal_khz / a;
    if (numerator > numerator_max) {
        denominator = (u32)((u64)numerator_max * crystal_khz / cpu->clock->tsc_khz);
        numerator = (u32)(((u64)denominator * cpu->clock->tsc_khz + crystal_khz / 2) / crystal_khz);
    }
    set(out, denominator, numerator, LAPIC_TIMER_HZ, 0);
}

static void leaf_basic(struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    u32 tsc_mhz = (cpu->clock->tsc_khz + 500) / 1000;

    switch (leaf) {
    case 0x00: /* GenuineIntel */
        set(out, CPUID_LEAF_MAX, 0x756e6547, 0x6c65746e, 0x49656e69);
        break;
    case 0x01:
        leaf_features(cpu, out);
        break;
    case 0x02: /* one descriptor: see leaf 4 */
        set(out, 0x0000ff01, 0, 0, 0);
        break;
    case 0x04:
        leaf_caches(cpu, subleaf, out);
        break;
    case 0x06:
        set(out, CPUID_6A_ARAT, 0, 0, 0);
        break;
    case 0x07:
        if (subleaf == 0) {
            set(out, 2, OURS_7B | (host_features(cpu)->leaf7_ebx & HOST_7B), OURS_7C, OURS_7D);
        } else if (subleaf == 2) {
            set(out, 0, 0, 0, CPUID_72D_BHI_CTRL);
        }
        break;
    case 0x0b:
        leaf_topology(cpu, subleaf, out);
        break;
    case 0x0d:
        leaf_xsave(cpu, subleaf, out);
        break;
    case 0x15:
        leaf_tsc(cpu, out);
        break;
    case 0x16:
        set(out, tsc_mhz, tsc_mhz, 100, 0);
        break;
    default: /* no serial number, MONITOR, performance counters, Processor Trace ... */
        break;
    }
}

static void leaf_hypervisor(const struct cpu *cpu, u32 leaf, u32 out[4])
{
    switch (leaf) {
    case CPUID_LEAF_HYPERVISOR: /* KVMKVMKVM */
        set(out, CPUID_LEAF_FREQUENCIES, 0x4b4d564b, 0x564b4d56, 0x0000004d);
        break;
    case CPUID_LEAF_KVM_FEATURES:
        set(out, OURS_KVM, 0, 0, 0);
        break;
    case CPUID_LEAF_FREQUENCIES: /* in kHz, of the TSC and of the local APIC's timer */
        set(out, cpu->clock->tsc_khz, LAPIC_TIMER_HZ / 1000, 0, 0);
        break;
    default:
        break;
    }
}

static void leaf_extended(struct cpu *cpu, u32 leaf, u32 out[4])
{
    static const char brand[48] = "Ringer x86-64 virtual CPU";
    bool is_64bit = cpu->long_mode && (cpu->seg[SEG_CS].attributes & SEGMENT_L);

    switch (leaf & 0xf) {
    case 0x0:
        set(out, CPUID_LEAF_EXTENDED_MAX, 0, 0, 0);
        break;
    case 0x1: /* Intel's shows SYSCALL only where it works */
        set(out, 0, 0, OURS_81C | (host_features(cpu)->extended1_ecx & HOST_81C),
            OURS_81D | (is_64bit ? CPUID_81D_SYSCALL : 0));
        break;
    case 0x2 ... 0x4:
        memcpy(out, brand + 16 * ((leaf & 0xf) - 2), 16);
        break;
    case 0x6: /* L2: 1 MiB, 16 ways, lines of 64 bytes */
        set(out, 0, 0, 1024u << 16 | 8u << 12 | 64, 0);
        break;
    case 0x7:
        set(out, 0, 0, 0, CPUID_87D_INVARIANT_TSC);
        break;
    case 0x8:
        set(out, CPUID_LINEAR_BITS << 8 | CPUID_PHYSICAL_BITS, 0, 0, 0);
        break;
    default:
        break;
    }
}

void cpu_cpuid(struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    set(out, 0, 0, 0, 0);
    if (leaf >> 28 == 4) {
        leaf_hypervisor(cpu, leaf, out);
    } else if (leaf >= CPUID_LEAF_EXTENDED && leaf <= CPUID_LEAF_EXTENDED_MAX) {
        leaf_extended(cpu, leaf, out);
    } else {
        leaf_basic(cpu, leaf <= CPUID_LEAF_MAX ? leaf : CPUID_LEAF_MAX, subleaf, out);
    }
}
