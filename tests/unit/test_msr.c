/* test_msr.c - cpu/msr.c: which numbers there are, and which values they take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu_small.h"

#define REFUSED 0xdeadull /* the write is #GP */

static bool took_gp(struct cpu *cpu)
{
    bool gp = cpu->fault.pending && cpu->fault.vector == VECTOR_GP && cpu->fault.has_error &&
              cpu->fault.error == 0;

    cpu->fault.pending = false;
    return gp;
}

/* Each write, and what is read afterwards (REFUSED: #GP, and the register as before). */
static void test_writes(void **state)
{
    static const struct {
        u32 msr;
        u64 written, read;
    } rows[] = {
        {MSR_STAR, ~0ull, ~0ull},
        {MSR_LSTAR, 0xffffffff81000000, 0xffffffff81000000},
        {MSR_LSTAR, 0x0000800000000000, REFUSED},
        {MSR_CSTAR, 0x7fffffffffff, 0x7fffffffffff},
        {MSR_SFMASK, 0x47700, 0x47700},
        {MSR_FS_BASE, 0xffff800000000000, 0xffff800000000000},
        {MSR_FS_BASE, 0xffff700000000000, REFUSED},
        {MSR_GS_BASE, 0x1234, 0x1234},
        {MSR_KERNEL_GS_BASE, 1ull << 47, REFUSED},
        {MSR_TSC_AUX, 0xffffffff, 0xffffffff},
        {MSR_TSC_AUX, 1ull << 32, REFUSED},
        {MSR_IA32_SYSENTER_CS, 0x10, 0x10},
        {MSR_IA32_SYSENTER_EIP, 1ull << 63, REFUSED},
        {MSR_IA32_PAT, 0x0407050600070106, 0x0407050600070106},
        {MSR_IA32_PAT, 0x0002000000000000, REFUSED},
        {MSR_IA32_PAT, 0x0000000000000008, REFUSED},
        {MSR_MTRR_PHYSBASE0, 0xc0000006, 0xc0000006},
        {MSR_MTRR_PHYSBASE0, 0xc0000007, REFUSED},
        {MSR_MTRR_PHYSBASE0, 1ull << 46, REFUSED},
        {MSR_MTRR_PHYSBASE0 + 15, 0x3fffc0000800, 0x3fffc0000800},
        {MSR_MTRR_PHYSBASE0 + 15, 0x3fffc0000801, REFUSED},
        {MSR_MTRR_FIX64K_00000, 0x0606060606060606, 0x0606060606060606},
        {MSR_MTRR_FIX4K_F8000, 0x0505050505050505, 0x0505050505050505},
        {MSR_MTRR_FIX16K_A0000, 0x0202020202020202, REFUSED},
        {MSR_MTRR_DEF_TYPE, 0xc06, 0xc06},
        {MSR_MTRR_DEF_TYPE, 0x1000, REFUSED},
        {MSR_IA32_SPEC_CTRL, 1, 1},
        {MSR_IA32_SPEC_CTRL, 4, REFUSED},
        {MSR_IA32_MISC_ENABLE, 0, 0x1800},
        {MSR_IA32_BIOS_SIGN_ID, 0, 0},
        {MSR_IA32_MCG_STATUS, 4, 4},
        {MSR_IA32_DEBUGCTL, 2, 2},
        {MSR_IA32_DEBUGCTL, 4, REFUSED},
        {MSR_MISC_FEATURES_ENABLES, 0, 0},
        {MSR_MISC_FEATURES_ENABLES, 1, REFUSED},
        {MSR_IA32_EFER, EFER_SCE | EFER_NXE, EFER_SCE | EFER_NXE},
        {MSR_IA32_EFER, 2, REFUSED},
        {MSR_IA32_APIC_BASE, 0xfee00900, 0xfee00900},
        {MSR_IA32_APIC_BASE, 0xfee00500, REFUSED},
        {MSR_KVM_SYSTEM_TIME_NEW, 0x1000, 0x1000},
        {MSR_IA32_ARCH_CAPABILITIES, 0, REFUSED},
        {MSR_IA32_MTRRCAP, 0, REFUSED},
        {MSR_IA32_MCG_CAP, 0, REFUSED},
        {MSR_IA32_PLATFORM_ID, 0, REFUSED},
    };
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 before = 0, value = 0;

        assert_true(cpu_rdmsr(cpu, rows[i].msr, &before));
        if (cpu_wrmsr(cpu, rows[i].msr, rows[i].written) != (rows[i].read != REFUSED)) {
            fail_msg("%x = %llx", rows[i].msr, (unsigned long long)rows[i].written);
        }
        assert_int_equal(took_gp(cpu), rows[i].read == REFUSED);
        assert_true(cpu_rdmsr(cpu, rows[i].msr, &value));
        assert_int_equal(value, rows[i].read == REFUSED ? before : rows[i].read);
    }
    assert_int_equal(cpu->seg[SEG_GS].base, 0x1234);
    assert_int_equal(cpu->msr.mtrr_fixed[10], 0x0505050505050505);
}

static void test_unknown(void **state)
{
    static const u32 numbers[] = {
        2,          0xf,        0x13,       0x3a,      0xe7,  0x17b, 0x186,      0x210,
        0x400,      0x480,      0x6df,      0x7ff,     0x800, 0xc00, 0xc0000079, 0xc0000084 + 1,
        0xc0000104, 0xc0010015, 0x4b564d02, 0xffffffff};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u64 value;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        assert_false(cpu_rdmsr(cpu, numbers[i], &value));
        assert_true(took_gp(cpu));
        assert_false(cpu_wrmsr(cpu, numbers[i], 0));
        assert_true(took_gp(cpu));
    }
    assert_false(cpu_rdmsr(cpu, MSR_IA32_PRED_CMD, &value)); /* write-only */
    assert_true(took_gp(cpu));
    assert_true(cpu_wrmsr(cpu, MSR_IA32_PRED_CMD, 1));
    assert_false(cpu_wrmsr(cpu, MSR_IA32_PRED_CMD, 2));
    assert_true(took_gp(cpu));
}

/* The table is searched by halves: every number that the manual names must be found. */
static void test_found(void **state)
{
    static const u32 numbers[] = {
        0x00,       0x01,       0x10,       0x11,       0x12,       0x17,       0x1b,
        0x2a,       0x3b,       0x48,       0x8b,       0xce,       0xfe,       0x10a,
        0x140,      0x174,      0x175,      0x176,      0x179,      0x17a,      0x1a0,
        0x1d9,      0x1db,      0x1de,      0x200,      0x20f,      0x250,      0x258,
        0x259,      0x268,      0x26f,      0x277,      0x2ff,      0x6e0,      0xc0000080,
        0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
        0xc0000103, 0x4b564d00, 0x4b564d01,
    };
    struct small *s = *state;
    u64 value;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (!cpu_rdmsr(s->cpu[0], numbers[i], &value)) {
            fail_msg("%x", numbers[i]);
        }
    }
}

static void test_reset(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u32 out[4];
    u64 value;

    assert_true(cpu_rdmsr(cpu, MSR_IA32_PAT, &value));
    assert_int_equal(value, 0x0007040600070406);
    assert_true(cpu_rdmsr(cpu, MSR_MTRR_DEF_TYPE, &value));
    assert_int_equal(value, 0);
    msr_set_firmware_state(cpu);
    assert_true(cpu_rdmsr(cpu, MSR_MTRR_DEF_TYPE, &value));
    assert_int_equal(value, 0xc06);
    assert_true(cpu_rdmsr(cpu, MSR_IA32_ARCH_CAPABILITIES, &value));
    assert_int_equal(value, 0x400000000d10e17b);
    assert_int_equal(value & (1u << 2 | 1u << 7 | 1u << 17 | 1u << 19), 0); /* RSBA TSX RRSBA .. */
    cpu_cpuid(cpu, 1, 0, out); /* shows the microcode's revision */
    assert_true(cpu_rdmsr(cpu, MSR_IA32_BIOS_SIGN_ID, &value));
    assert_int_equal(value, 1ull << 32);
}

static void test_tsc(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u64 value;

    small_set_time(s, 5000);
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC, 100));
    assert_true(cpu_rdmsr(cpu, MSR_IA32_TSC_ADJUST, &value));
    assert_int_equal(value, (u64)-4900);
    small_set_time(s, 5050);
    assert_true(cpu_rdmsr(cpu, MSR_IA32_TSC, &value));
    assert_int_equal(value, 150);
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC_ADJUST, 0));
    assert_true(cpu_rdmsr(cpu, MSR_IA32_TSC, &value));
    assert_int_equal(value, 5050);
}

/* x2APIC and TSC-deadline registers lead to the local APIC. */
static void test_lapic(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[1];
    u64 value;

    assert_false(cpu_rdmsr(cpu, 0x802, &value));
    assert_true(took_gp(cpu));
    assert_true(cpu_wrmsr(cpu, MSR_IA32_APIC_BASE, 0xfee00c00));
    assert_true(cpu_rdmsr(cpu, 0x802, &value));
    assert_int_equal(value, 1);
    assert_true(cpu_wrmsr(cpu, 0x80f, 0x1ff));
    assert_true(cpu_wrmsr(cpu, 0x832, 0x40050));
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC_DEADLINE, 777));
    assert_true(cpu_rdmsr(cpu, MSR_IA32_TSC_DEADLINE, &value));
    assert_int_equal(value, 777);
    assert_int_equal(cpu->lapic.deadline_ns, 777);
    assert_false(cpu_wrmsr(cpu, 0x80b, 1));
    assert_true(took_gp(cpu));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_writes), TEST(test_unknown), TEST(test_found),
        TEST(test_reset),  TEST(test_tsc),     TEST(test_lapic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
