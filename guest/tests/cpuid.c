/* cpuid.c - CPUID: who it is, its level, the leaves for hypervisors, and bits that follow modes. */
#include "guest.h"

static void leaf(u32 number, u32 out[4])
{
    cpuid(number, 0, out);
}

static bool is_text(const u32 *words, const char *text)
{
    const char *p = (const char *)words;

    while (*text) {
        if (*p++ != *text++) {
            return false;
        }
    }
    return true;
}

static void check_names(void)
{
    u32 r[4], words[12];

    leaf(0, r);
    check(r[0] >= 0xd, "leaf 0 goes on to 0xd at least");
    words[0] = r[1];
    words[1] = r[3];
    words[2] = r[2];
    check(is_text(words, "GenuineIntel"), "vendor");
    for (u32 i = 0; i < 3; i++) {
        leaf(0x80000002 + i, words + 4 * i);
    }
    check(is_text(words, "Ringer"), "the brand begins with Ringer");
    leaf(0x40000000, r);
    check(is_text(r + 1, "KVMKVMKVM"), "hypervisor's signature");
    leaf(0x40000001, r);
    check(r[0] & 1u << 24, "the paravirtual clock is stable");
}

static void check_features(void)
{
    u32 one[4], seven[4], extended[4], last[4], beyond[4];

    leaf(1, one);
    leaf(7, seven);
    leaf(0x80000001, extended);
    check(one[2] >> 31, "a hypervisor is present");
    check(one[2] >> 21 & one[2] >> 24 & 1, "x2APIC and TSC deadline");
    check(one[3] >> 9 & 1, "there is a local APIC");
    check(!(seven[1] & 0xdc230000), "no AVX-512");
    check(!(seven[2] & 1u << 7), "no CET");
    check(!(seven[3] & 7u << 22), "no AMX");
    check(extended[3] >> 29 & extended[3] >> 20 & 1, "long mode and NX");
    check(extended[3] >> 11 & 1, "SYSCALL in 64-bit mode");
    leaf(0, beyond);
    leaf(beyond[0], last);
    leaf(0x12345678, beyond);
    check(beyond[0] == last[0] && beyond[3] == last[3], "beyond the last leaf: that of the last");
}

static void check_modes(void)
{
    u32 r[4];

    leaf(1, r);
    check(!(r[2] >> 27 & 1), "OSXSAVE follows CR4: off");
    write_cr4(read_cr4() | 1u << 18);
    leaf(1, r);
    check(r[2] >> 27 & 1, "OSXSAVE follows CR4: on");
    wrmsr(0x1b, rdmsr(0x1b) & ~(1ull << 11));
    leaf(1, r);
    check(!(r[3] >> 9 & 1), "a disabled local APIC is not shown");
    cpuid(0xd, 0, r);
    check(r[0] & 3 && r[2] >= 576, "XSAVE's sizes");
}

void guest_main(void)
{
    check_names();
    check_features();
    check_modes();
}
