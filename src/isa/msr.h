/* msr.h - numbers and bits of model-specific registers.  Intel SDM vol. 4, "Model-Specific
 * Registers (MSRs)"; KVM's own as Linux documents them ("KVM-specific MSRs"). */
#ifndef ISA_MSR_H
#define ISA_MSR_H

#define MSR_P5_MC_ADDR             0x00000000u
#define MSR_P5_MC_TYPE             0x00000001u
#define MSR_IA32_TSC               0x00000010u
#define MSR_IA32_PLATFORM_ID       0x00000017u
#define MSR_IA32_APIC_BASE         0x0000001bu
#define MSR_EBL_CR_POWERON         0x0000002au
#define MSR_IA32_TSC_ADJUST        0x0000003bu
#define MSR_IA32_SPEC_CTRL         0x00000048u
#define MSR_IA32_PRED_CMD          0x00000049u
#define MSR_IA32_BIOS_UPDT_TRIG    0x00000079u
#define MSR_IA32_BIOS_SIGN_ID      0x0000008bu
#define MSR_PLATFORM_INFO          0x000000ceu
#define MSR_IA32_MTRRCAP           0x000000feu
#define MSR_IA32_ARCH_CAPABILITIES 0x0000010au
#define MSR_MISC_FEATURES_ENABLES  0x00000140u
#define MSR_IA32_SYSENTER_CS       0x00000174u
#define MSR_IA32_SYSENTER_ESP      0x00000175u
#define MSR_IA32_SYSENTER_EIP      0x00000176u
#define MSR_IA32_MCG_CAP           0x00000179u
#define MSR_IA32_MCG_STATUS        0x0000017au
#define MSR_IA32_MISC_ENABLE       0x000001a0u
#define MSR_IA32_DEBUGCTL          0x000001d9u
#define MSR_LASTBRANCHFROMIP       0x000001dbu
#define MSR_LASTINTTOIP            0x000001deu
#define MSR_MTRR_PHYSBASE0         0x00000200u
#define MSR_MTRR_FIX64K_00000      0x00000250u
#define MSR_MTRR_FIX16K_80000      0x00000258u
#define MSR_MTRR_FIX16K_A0000      0x00000259u
#define MSR_MTRR_FIX4K_C0000       0x00000268u
#define MSR_MTRR_FIX4K_F8000       0x0000026fu
#define MSR_IA32_PAT               0x00000277u
#define MSR_MTRR_DEF_TYPE          0x000002ffu
#define MSR_IA32_TSC_DEADLINE      0x000006e0u
#define MSR_X2APIC_FIRST           0x00000800u
#define MSR_X2APIC_LAST            0x00000bffu
#define MSR_IA32_EFER              0xc0000080u
#define MSR_STAR                   0xc0000081u
#define MSR_LSTAR                  0xc0000082u
#define MSR_CSTAR                  0xc0000083u
#define MSR_SFMASK                 0xc0000084u
#define MSR_FS_BASE                0xc0000100u
#define MSR_GS_BASE                0xc0000101u
#define MSR_KERNEL_GS_BASE         0xc0000102u
#define MSR_TSC_AUX                0xc0000103u

#define MSR_KVM_WALL_CLOCK      0x00000011u
#define MSR_KVM_SYSTEM_TIME     0x00000012u
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u

/* IA32_APIC_BASE */
#define APIC_BASE_BSP     (1ull << 8)
#define APIC_BASE_EXTD    (1ull << 10) /* x2APIC mode */
#define APIC_BASE_EN      (1ull << 11)
#define APIC_BASE_ADDR    0xfffffffffffff000ull
#define APIC_BASE_DEFAULT 0xfee00000ull

/* IA32_BIOS_SIGN_ID after a CPUID: the microcode's revision is in the high half. */
#define MSR_BIOS_SIGN_ID_VALUE (1ull << 32)

/* IA32_SPEC_CTRL, IA32_PRED_CMD */
#define SPEC_CTRL_IBRS      (1ull << 0)
#define SPEC_CTRL_STIBP     (1ull << 1)
#define SPEC_CTRL_BHI_DIS_S (1ull << 10)
#define PRED_CMD_IBPB       (1ull << 0)

/* IA32_ARCH_CAPABILITIES */
#define ARCH_CAP_RDCL_NO            (1ull << 0)
#define ARCH_CAP_IBRS_ALL           (1ull << 1)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY (1ull << 3)
#define ARCH_CAP_SSB_NO             (1ull << 4)
#define ARCH_CAP_MDS_NO             (1ull << 5)
#define ARCH_CAP_PSCHANGE_MC_NO     (1ull << 6)
#define ARCH_CAP_TAA_NO             (1ull << 8)
#define ARCH_CAP_SBDR_SSDP_NO       (1ull << 13)
#define ARCH_CAP_FBSDP_NO           (1ull << 14)
#define ARCH_CAP_PSDP_NO            (1ull << 15)
#define ARCH_CAP_BHI_NO             (1ull << 20)
#define ARCH_CAP_PBRSB_NO           (1ull << 24)
#define ARCH_CAP_GDS_NO             (1ull << 26)
#define ARCH_CAP_RFDS_NO            (1ull << 27)
#define ARCH_CAP_ITS_NO             (1ull << 62)

/* IA32_MISC_ENABLE */
#define MISC_ENABLE_FAST_STRINGS     (1ull << 0)
#define MISC_ENABLE_BTS_UNAVAILABLE  (1ull << 11)
#define MISC_ENABLE_PEBS_UNAVAILABLE (1ull << 12)

/* IA32_DEBUGCTL */
#define DEBUGCTL_LBR (1ull << 0)
#define DEBUGCTL_BTF (1ull << 1)

/* Memory types, in the PAT and the MTRRs. */
#define MEMORY_TYPE_UC       0u
#define MEMORY_TYPE_WC       1u
#define MEMORY_TYPE_WT       4u
#define MEMORY_TYPE_WP       5u
#define MEMORY_TYPE_WB       6u
#define MEMORY_TYPE_UC_MINUS 7u /* PAT only */

#define PAT_RESET 0x0007040600070406ull

/* IA32_MTRRCAP, IA32_MTRR_DEF_TYPE, IA32_MTRR_PHYSMASKn */
#define MTRRCAP_FIX         (1ull << 8)
#define MTRRCAP_WC          (1ull << 10)
#define MTRR_DEF_TYPE_FE    (1ull << 10)
#define MTRR_DEF_TYPE_E     (1ull << 11)
#define MTRR_PHYSMASK_VALID (1ull << 11)

#endif
