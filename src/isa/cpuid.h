/* cpuid.h - leaves and feature bits of CPUID.  Intel SDM vol. 2A, "CPUID"; the leaves from
 * 0x40000000 as Linux documents them ("KVM CPUID bits"). */
#ifndef ISA_CPUID_H
#define ISA_CPUID_H

/* MAXPHYADDR and the width of linear addresses, of every CPU of ours. */
#define CPUID_PHYSICAL_BITS 46
#define CPUID_LINEAR_BITS   48

enum {
    CPUID_LEAF_MAX = 0x16,
    CPUID_LEAF_HYPERVISOR = 0x40000000,
    CPUID_LEAF_KVM_FEATURES = 0x40000001,
    CPUID_LEAF_FREQUENCIES = 0x40000010,
};

#define CPUID_LEAF_EXTENDED     0x80000000u
#define CPUID_LEAF_EXTENDED_MAX 0x80000008u

/* Leaf 1, EAX, and EDX after reset: family 6, model 0xf0, stepping 1. */
#define CPUID_SIGNATURE 0x000f0601u

/* Leaf 1, ECX */
#define CPUID_1C_SSE3         (1u << 0)
#define CPUID_1C_PCLMULQDQ    (1u << 1)
#define CPUID_1C_SSSE3        (1u << 9)
#define CPUID_1C_FMA          (1u << 12)
#define CPUID_1C_CX16         (1u << 13)
#define CPUID_1C_PCID         (1u << 17)
#define CPUID_1C_SSE4_1       (1u << 19)
#define CPUID_1C_SSE4_2       (1u << 20)
#define CPUID_1C_X2APIC       (1u << 21)
#define CPUID_1C_MOVBE        (1u << 22)
#define CPUID_1C_POPCNT       (1u << 23)
#define CPUID_1C_TSC_DEADLINE (1u << 24)
#define CPUID_1C_AES          (1u << 25)
#define CPUID_1C_XSAVE        (1u << 26)
#define CPUID_1C_OSXSAVE      (1u << 27)
#define CPUID_1C_AVX          (1u << 28)
#define CPUID_1C_F16C         (1u << 29)
#define CPUID_1C_RDRAND       (1u << 30)
#define CPUID_1C_HYPERVISOR   (1u << 31)

/* Leaf 1, EDX */
#define CPUID_1D_FPU   (1u << 0)
#define CPUID_1D_VME   (1u << 1)
#define CPUID_1D_DE    (1u << 2)
#define CPUID_1D_PSE   (1u << 3)
#define CPUID_1D_TSC   (1u << 4)
#define CPUID_1D_MSR   (1u << 5)
#define CPUID_1D_PAE   (1u << 6)
#define CPUID_1D_MCE   (1u << 7)
#define CPUID_1D_CX8   (1u << 8)
#define CPUID_1D_APIC  (1u << 9)
#define CPUID_1D_SEP   (1u << 11)
#define CPUID_1D_MTRR  (1u << 12)
#define CPUID_1D_PGE   (1u << 13)
#define CPUID_1D_MCA   (1u << 14)
#define CPUID_1D_CMOV  (1u << 15)
#define CPUID_1D_PAT   (1u << 16)
#define CPUID_1D_PSE36 (1u << 17)
#define CPUID_1D_CLFSH (1u << 19)
#define CPUID_1D_MMX   (1u << 23)
#define CPUID_1D_FXSR  (1u << 24)
#define CPUID_1D_SSE   (1u << 25)
#define CPUID_1D_SSE2  (1u << 26)
#define CPUID_1D_SS    (1u << 27)
#define CPUID_1D_HTT   (1u << 28)

/* Leaf 6, EAX */
#define CPUID_6A_ARAT (1u << 2)

/* Leaf 7, subleaf 0: EBX, ECX, EDX */
#define CPUID_7B_FSGSBASE   (1u << 0)
#define CPUID_7B_TSC_ADJUST (1u << 1)
#define CPUID_7B_BMI1       (1u << 3)
#define CPUID_7B_AVX2       (1u << 5)
#define CPUID_7B_SMEP       (1u << 7)
#define CPUID_7B_BMI2       (1u << 8)
#define CPUID_7B_ERMS       (1u << 9)
#define CPUID_7B_INVPCID    (1u << 10)
#define CPUID_7B_RDSEED     (1u << 18)
#define CPUID_7B_ADX        (1u << 19)
#define CPUID_7B_SMAP       (1u << 20)
#define CPUID_7B_CLFLUSHOPT (1u << 23)
#define CPUID_7B_CLWB       (1u << 24)
#define CPUID_7B_SHA        (1u << 29)
#define CPUID_7C_UMIP       (1u << 2)
#define CPUID_7C_RDPID      (1u << 22)
#define CPUID_7D_FSRM       (1u << 4)
#define CPUID_7D_SPEC_CTRL  (1u << 26)
#define CPUID_7D_ARCH_CAP   (1u << 29)

/* Leaf 7, subleaf 2: EDX */
#define CPUID_72D_BHI_CTRL (1u << 4)

/* Leaf 0xd, subleaf 1: EAX */
#define CPUID_DA_XSAVEOPT (1u << 0)
#define CPUID_DA_XSAVEC   (1u << 1)

/* KVM's feature leaf, EAX */
#define CPUID_KVM_CLOCKSOURCE        (1u << 0)
#define CPUID_KVM_NOP_IO_DELAY       (1u << 1)
#define CPUID_KVM_CLOCKSOURCE2       (1u << 3)
#define CPUID_KVM_CLOCKSOURCE_STABLE (1u << 24)

/* Leaf 0x80000001: ECX, EDX */
#define CPUID_81C_LAHF      (1u << 0)
#define CPUID_81C_LZCNT     (1u << 5)
#define CPUID_81C_PREFETCHW (1u << 8)
#define CPUID_81D_SYSCALL   (1u << 11)
#define CPUID_81D_NX        (1u << 20)
#define CPUID_81D_PDPE1GB   (1u << 26)
#define CPUID_81D_RDTSCP    (1u << 27)
#define CPUID_81D_LM        (1u << 29)

/* Leaf 0x80000007, EDX */
#define CPUID_87D_INVARIANT_TSC (1u << 8)

#endif
