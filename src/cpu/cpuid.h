/* cpuid.h - what this CPU says of itself: see cpuid.c. */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "base/types.h"
#include "isa/cpuid.h"

struct cpu;

enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* What the host's CPUID said when it was first asked: where the host is itself a guest, each CPUID
 * costs it an exit.  All zero until then. */
struct cpuid_host {
    bool known;
    u32 leaf1_ecx, leaf7_ebx, extended1_ecx;
    u64 xcr0;
};

/* CPUID with EAX = leaf, ECX = subleaf.  As on Intel's, a leaf beyond the last gives the last. */
void cpu_cpuid(struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);

/* The bits that XSETBV may set in XCR0: what the host's own registers can hold. */
u64 cpu_xcr0_supported(struct cpu *cpu);

/* Those of the host's features that the guest is told of. */
struct cpuid_host cpu_guest_features(struct cpu *cpu);

/* The name of one of these that this host does not have; NULL: it has all. */
const char *cpu_missing_feature(struct cpu *cpu, const struct cpuid_host *features);

#endif
