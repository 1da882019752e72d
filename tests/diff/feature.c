/* feature.c - see feature.h.  Intel SDM vol. 2A, "CPUID - CPU Identification". */
#include "feature.h"

#include <cpuid.h>

#include "cpu/cpuid.h"

struct bit {
    u32 leaf, subleaf;
    u8 reg, bit;
};

/* What has no row here every CPU in 64-bit mode has. */
static const struct bit bits[CPUID_COUNT] = {
    [CPUID_ADX] = {7, 0, CPUID_EBX, 19},
    [CPUID_AES] = {1, 0, CPUID_ECX, 25},
    [CPUID_AVX] = {1, 0, CPUID_ECX, 28},
    [CPUID_AVX2] = {7, 0, CPUID_EBX, 5},
    [CPUID_BMI1] = {7, 0, CPUID_EBX, 3},
    [CPUID_BMI2] = {7, 0, CPUID_EBX, 8},
    [CPUID_CLFLUSHOPT] = {7, 0, CPUID_EBX, 23},
    [CPUID_CLWB] = {7, 0, CPUID_EBX, 24},
    [CPUID_F16C] = {1, 0, CPUID_ECX, 29},
    [CPUID_FMA] = {1, 0, CPUID_ECX, 12},
    [CPUID_FSGSBASE] = {7, 0, CPUID_EBX, 0},
    [CPUID_INVPCID] = {7, 0, CPUID_EBX, 10},
    [CPUID_LAHF] = {CPUID_LEAF_EXTENDED + 1, 0, CPUID_ECX, 0},
    [CPUID_LZCNT] = {CPUID_LEAF_EXTENDED + 1, 0, CPUID_ECX, 5},
    [CPUID_MONITOR] = {1, 0, CPUID_ECX, 3},
    [CPUID_MOVBE] = {1, 0, CPUID_ECX, 22},
    [CPUID_PCLMULQDQ] = {1, 0, CPUID_ECX, 1},
    [CPUID_PKU] = {7, 0, CPUID_ECX, 3},
    [CPUID_POPCNT] = {1, 0, CPUID_ECX, 23},
    [CPUID_PREFETCHW] = {CPUID_LEAF_EXTENDED + 1, 0, CPUID_ECX, 8},
    [CPUID_RDPID] = {7, 0, CPUID_ECX, 22},
    [CPUID_RDRAND] = {1, 0, CPUID_ECX, 30},
    [CPUID_RDSEED] = {7, 0, CPUID_EBX, 18},
    [CPUID_RDTSCP] = {CPUID_LEAF_EXTENDED + 1, 0, CPUID_EDX, 27},
    [CPUID_SHA] = {7, 0, CPUID_EBX, 29},
    [CPUID_SMAP] = {7, 0, CPUID_EBX, 20},
    [CPUID_SSE3] = {1, 0, CPUID_ECX, 0},
    [CPUID_SSE41] = {1, 0, CPUID_ECX, 19},
    [CPUID_SSE42] = {1, 0, CPUID_ECX, 20},
    [CPUID_SSSE3] = {1, 0, CPUID_ECX, 9},
    [CPUID_SVM] = {CPUID_LEAF_EXTENDED + 1, 0, CPUID_ECX, 2},
    [CPUID_VMX] = {1, 0, CPUID_ECX, 5},
    [CPUID_XSAVE] = {1, 0, CPUID_ECX, 27}, /* OSXSAVE: the kernel's consent too */
    [CPUID_XSAVEC] = {0xd, 1, CPUID_EAX, 1},
    [CPUID_XSAVEOPT] = {0xd, 1, CPUID_EAX, 0},
    [CPUID_XSAVES] = {0xd, 1, CPUID_EAX, 3},
};

const char *feature_missing(struct guest *guest, unsigned feature)
{
    const struct bit *b = &bits[feature];
    u32 out[4];

    if (!b->leaf) {
        return NULL;
    }
    if (!guest_has(guest, b->leaf, b->subleaf, b->reg, b->bit)) {
        return "guests are not offered it";
    }
    __cpuid_count(b->leaf, b->subleaf, out[0], out[1], out[2], out[3]);
    return out[b->reg] >> b->bit & 1 ? NULL : "this host does not have it";
}
