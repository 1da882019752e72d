/* test_cpuid.c - cpu/cpuid.c: what is fixed, what follows the CPU's state, what fits together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu_small.h"

static u32 get(struct cpu *cpu, u32 leaf, u32 subleaf, unsigned reg)
{
    u32 out[4];

    cpu_cpuid(cpu, leaf, subleaf, out);
    return out[reg];
}

static void test_names(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    char text[49] = "";
    u32 out[4];

    cpu_cpuid(cpu, 0, 0, out);
    assert_int_equal(out[CPUID_EAX], 0x16);
    assert_memory_equal(&out[CPUID_EBX], "Genu", 4);
    assert_memory_equal(&out[CPUID_EDX], "ineI", 4);
    assert_memory_equal(&out[CPUID_ECX], "ntel", 4);
    for (u32 i = 0; i < 3; i++) {
        cpu_cpuid(cpu, 0x80000002 + i, 0, out);
        memcpy(text + 16 * i, out, 16);
    }
    assert_string_equal(text, "Ringer x86-64 virtual CPU");
    cpu_cpuid(cpu, 0x40000000, 0, out);
    assert_int_equal(out[CPUID_EAX], 0x40000010);
    assert_memory_equal(&out[CPUID_EBX], "KVMKVMKVM\0\0\0", 12);
    assert_int_equal(get(cpu, 0x40000001, 0, CPUID_EAX), 0x0100000b);
    assert_int_equal(get(cpu, 0x40000010, 0, CPUID_EAX), 1000000);
    assert_int_equal(get(cpu, 0x40000100, 0, CPUID_EBX), 0);
}

static void test_dynamic(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[2];

    assert_int_equal(get(cpu, 1, 0, CPUID_EBX) >> 24, 2);
    assert_false(get(cpu, 1, 0, CPUID_ECX) & CPUID_1C_OSXSAVE);
    cpu->mmu.paging.cr4 |= CR4_OSXSAVE;
    assert_true(get(cpu, 1, 0, CPUID_ECX) & CPUID_1C_OSXSAVE);
    assert_true(get(cpu, 1, 0, CPUID_EDX) & CPUID_1D_APIC);
    assert_true(lapic_set_base(cpu, 0xfee00000));
    assert_false(get(cpu, 1, 0, CPUID_EDX) & CPUID_1D_APIC);
    assert_true(get(cpu, 1, 0, CPUID_EDX) & CPUID_1D_HTT);
    cpu->cpu_count = 1;
    assert_false(get(cpu, 1, 0, CPUID_EDX) & CPUID_1D_HTT);
    assert_false(get(cpu, 0x80000001, 0, CPUID_EDX) & CPUID_81D_SYSCALL);
    cpu->long_mode = true;
    cpu->seg[SEG_CS].attributes = SEGMENT_L;
    assert_true(get(cpu, 0x80000001, 0, CPUID_EDX) & CPUID_81D_SYSCALL);
}

static void test_xsave(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u64 supported = cpu_xcr0_supported(cpu);
    bool avx = supported & XCR0_AVX;

    assert_int_equal(supported & ~7ull, 0);
    assert_int_equal(supported & 3, 3);
    assert_int_equal(get(cpu, 0xd, 0, CPUID_EAX), supported);
    assert_int_equal(get(cpu, 0xd, 0, CPUID_EBX), 576);
    assert_int_equal(get(cpu, 0xd, 0, CPUID_ECX), avx ? 832 : 576);
    assert_int_equal(get(cpu, 0xd, 2, CPUID_EAX), avx ? 256 : 0);
    assert_int_equal(get(cpu, 0xd, 2, CPUID_EBX), avx ? 576 : 0);
    assert_int_equal(!!(get(cpu, 1, 0, CPUID_ECX) & CPUID_1C_AVX), avx);
    cpu->xcr0 = supported;
    assert_int_equal(get(cpu, 0xd, 0, CPUID_EBX), avx ? 832 : 576);
    assert_int_equal(get(cpu, 0xd, 1, CPUID_EAX), 3);
    assert_int_equal(get(cpu, 0xd, 3, CPUID_EAX), 0);
    assert_int_equal(get(cpu, 0xd, 63, CPUID_EAX), 0);
}

/* Nothing that would let a guest use what is not there. */
static void test_absent(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    assert_int_equal(get(cpu, 1, 0, CPUID_ECX) & (1u << 3 | 1u << 5 | 1u << 15),
                     0);                                         /* MONITOR VMX */
    assert_int_equal(get(cpu, 7, 0, CPUID_EBX) & 0xde234814, 0); /* HLE RTM MPX AVX-512 PT SGX */
    assert_int_equal(get(cpu, 7, 0, CPUID_ECX) & (1u << 3 | 1u << 7 | 1u << 16),
                     0);                                                    /* PKU CET LA57 */
    assert_int_equal(get(cpu, 7, 0, CPUID_EDX) & (7u << 22 | 1u << 20), 0); /* AMX IBT */
    assert_int_equal(get(cpu, 7, 0, CPUID_EAX), 2);                         /* the last subleaf */
    assert_int_equal(get(cpu, 7, 1, CPUID_EAX), 0);
    assert_int_equal(get(cpu, 7, 2, CPUID_EDX), CPUID_72D_BHI_CTRL);
    assert_int_equal(get(cpu, 0xd, 1, CPUID_EAX) & 8, 0); /* XSAVES */
    assert_int_equal(get(cpu, 0xa, 0, CPUID_EAX), 0);
    /* Runs of --icount are repeatable. */
    assert_false(get(cpu, 1, 0, CPUID_ECX) & CPUID_1C_RDRAND);
    assert_false(get(cpu, 7, 0, CPUID_EBX) & CPUID_7B_RDSEED);
}

static void test_topology(void **state)
{
    static const struct {
        u32 count, shift;
    } rows[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {64, 6}, {200, 8}};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[1];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cpu->cpu_count = rows[i].count;
        assert_int_equal(get(cpu, 0xb, 0, CPUID_EAX), 0);
        assert_int_equal(get(cpu, 0xb, 0, CPUID_ECX), 0x100);
        assert_int_equal(get(cpu, 0xb, 1, CPUID_EAX), rows[i].shift);
        assert_int_equal(get(cpu, 0xb, 1, CPUID_EBX), rows[i].count);
        assert_int_equal(get(cpu, 0xb, 1, CPUID_ECX), 0x201);
        assert_int_equal(get(cpu, 0xb, 2, CPUID_ECX), 2);
        assert_int_equal(get(cpu, 0xb, 2, CPUID_EDX), 1);
        assert_int_equal(get(cpu, 4, 3, CPUID_EAX) >> 14 & 0xfff, (1u << rows[i].shift) - 1);
    }
    assert_int_equal(get(cpu, 4, 4, CPUID_EAX) & 0x1f, 0);
}

/* A leaf beyond the last is the last. */
static void test_range(void **state)
{
    static const u32 beyond[] = {0x17, 0x3fffffff, 0x50000000, 0x80000009, 0xffffffff};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u32 last[4], out[4];

    cpu_cpuid(cpu, 0x16, 0, last);
    assert_int_equal(last[CPUID_EAX], 1000);
    for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
        cpu_cpuid(cpu, beyond[i], 0, out);
        assert_memory_equal(out, last, sizeof(out));
    }
    assert_int_equal(get(cpu, 0x80000000, 0, CPUID_EAX), 0x80000008);
    assert_int_equal(get(cpu, 0x80000008, 0, CPUID_EAX), 0x302e);
    assert_int_equal(get(cpu, 0x80000007, 0, CPUID_EDX), 1u << 8);
}

/* Linux computes the TSC's kHz from leaf 0x15 in 32 bits. */
static void test_frequency(void **state)
{
    static const u32 khz[] = {1000000, 2000000, 1996249, 2999997, 2400000, 4700001, 800000, 3};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
        u32 out[4], computed;

        s->clock.tsc_khz = khz[i];
        cpu_cpuid(cpu, 0x15, 0, out);
        assert_int_equal(out[CPUID_ECX], LAPIC_TIMER_HZ);
        computed = out[CPUID_ECX] / 1000 * out[CPUID_EBX] / out[CPUID_EAX];
        assert_true(llabs((long long)computed - khz[i]) <= khz[i] / 8000 + 1);
        if (khz[i] % 100000 == 0) {
            assert_int_equal(computed, khz[i]);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),    TEST(test_dynamic), TEST(test_xsave),     TEST(test_absent),
        TEST(test_topology), TEST(test_range),   TEST(test_frequency),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
