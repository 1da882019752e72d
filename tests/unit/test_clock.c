/* test_clock.c - cpu/clock.c and the paravirtual clock of cpu/kvm.c: one time, seen in four ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu_small.h"

struct time_info { /* pvclock_vcpu_time_info, as a guest knows it */
    u32 version, pad0;
    u64 tsc_timestamp, system_time;
    u32 mul;
    s8 shift;
    u8 flags, pad[2];
};

/* Real time at a TSC of khz, with the TSC at start now. */
static void real_time(struct small *s, u32 khz, u64 start)
{
    u32 low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    s->clock.icount = false;
    s->clock.tsc_khz = khz;
    s->clock.ns_per_tsc_32 = (u64)(((unsigned __int128)1000000 << 32) / khz);
    s->clock.host_tsc_start = ((u64)high << 32 | low) - start;
}

/* What a guest makes of the structure, as Linux does. */
static u64 guest_ns(const struct time_info *t, u64 tsc)
{
    u64 delta = tsc - t->tsc_timestamp;

    delta = t->shift < 0 ? delta >> -t->shift : delta << t->shift;
    return t->system_time + (u64)(((unsigned __int128)delta * t->mul) >> 32);
}

static void test_virtual(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    cpu->icount = 1234;
    small_set_time(s, 1000000);
    assert_int_equal(clock_ns(cpu), 1001234);
    assert_int_equal(clock_tsc(cpu), 1001234);
    cpu->msr.tsc_adjust = 50;
    assert_int_equal(clock_tsc_raw(cpu), 1001234);
    assert_int_equal(clock_tsc(cpu), 1001284);
    assert_int_equal(clock_tsc_to_ns(cpu, 1001284), 1001234);
    assert_int_equal(clock_tsc_to_ns(cpu, 10), 0); /* was before power-on */
}

static void test_real(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u64 a, b, c;

    real_time(s, 2000000, 1000000000);
    a = clock_host_ns(&s->clock);
    b = clock_ns(cpu);
    c = clock_tsc(cpu);
    assert_true(a >= 500000000 && b >= a && c / 2 >= b);
    assert_true(c / 2 - a < 1000000000); /* they were read within a second */
}

/* The deadline's nanosecond is the first at which the TSC has certainly come. */
static void test_tsc_to_ns(void **state)
{
    static const u32 khz[] = {999999, 1000000, 1800000, 1996249, 2000000, 2999997, 4700000};
    static const u64 tscs[] = {1, 2, 3, 1000, 999999937, 123456789012345, UINT32_MAX, 1ull << 45};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
        real_time(s, khz[i], 1000);
        for (size_t j = 0; j < ARRAY_SIZE(tscs); j++) {
            u64 ns = clock_tsc_to_ns(cpu, tscs[j]), m = s->clock.ns_per_tsc_32;
            u64 earlier = (u64)(((unsigned __int128)(tscs[j] - 1) * m) >> 32);
            u64 reached = (u64)(((unsigned __int128)tscs[j] * m) >> 32);

            assert_true(ns > earlier || m > 1ull << 32);
            assert_true(ns == reached || ns == reached + 1);
        }
    }
    assert_true(clock_tsc_to_ns(cpu, UINT64_MAX) > 1ull << 60);
    s->clock.ns_per_tsc_32 = 4ull << 32;
    assert_true(clock_tsc_to_ns(cpu, UINT64_MAX / 2) == UINT64_MAX); /* saturates */
}

static const struct time_info *system_time(struct small *s, struct cpu *cpu, u64 gpa)
{
    assert_true(cpu_wrmsr(cpu, MSR_KVM_SYSTEM_TIME_NEW, gpa | 1));
    return (const struct time_info *)(const void *)(s->mem.base + gpa);
}

/* The guest's arithmetic gives clock_ns() to the nanosecond: at any frequency, TSC and adjustment.
 */
static void test_pvclock(void **state)
{
    static const u32 khz[] = {400000, 999999, 1000000, 1996249, 2000000, 2999997, 4700000};
    static const u64 adjusts[] = {0, 12345, (u64)-5, 1ull << 63};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(adjusts); j++) {
            const struct time_info *t;
            u64 raw = 123456789012 * (i + 1), exact;

            real_time(s, khz[i], raw);
            cpu->msr.tsc_adjust = adjusts[j];
            t = system_time(s, cpu, 0x1000);
            assert_int_equal(t->version & 1, 0);
            assert_int_equal(t->flags, 1);
            exact = (u64)(((unsigned __int128)raw * s->clock.ns_per_tsc_32) >> 32);
            if (khz[i] >= 1000000) {
                assert_int_equal(guest_ns(t, raw + adjusts[j]), exact);
            } else { /* the factor loses a bit for each halving: 2^-32 of the time */
                assert_true(exact - guest_ns(t, raw + adjusts[j]) < 1000);
            }
        }
    }
}

static void test_pvclock_virtual(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    const struct time_info *t = system_time(s, cpu, 0x2000);
    u32 version = t->version;

    small_set_time(s, 987654321);
    assert_int_equal(guest_ns(t, clock_tsc(cpu)), clock_ns(cpu));
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC, 5)); /* the TSC jumps, the time does not */
    assert_int_equal(clock_tsc(cpu), 5);
    assert_int_equal(guest_ns(t, clock_tsc(cpu)), 987654321);
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC_ADJUST, 1ull << 40));
    assert_int_equal(guest_ns(t, clock_tsc(cpu)), 987654321);
    assert_int_equal(t->version & 1, 0);
    assert_true(t->version > version);
    version = t->version;
    assert_true(cpu_wrmsr(cpu, MSR_KVM_SYSTEM_TIME_NEW, 0x2000)); /* off */
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC, 0));
    assert_int_equal(t->version, version);
    assert_true(cpu_wrmsr(cpu, MSR_KVM_SYSTEM_TIME, SMALL_RAM - 8 + 1)); /* runs out of RAM */
    assert_true(cpu_wrmsr(cpu, MSR_KVM_SYSTEM_TIME, ~0ull));
}

static void test_wall_clock(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u32 wall[4] = {0, 0, 0, 0x55};

    s->clock.wall_ns_start = 1700000000123456789;
    assert_true(mem_write(&s->mem, 0x3000, wall, sizeof(wall)));
    assert_true(cpu_wrmsr(cpu, MSR_KVM_WALL_CLOCK_NEW, 0x3000));
    assert_true(mem_read(&s->mem, 0x3000, wall, sizeof(wall)));
    assert_int_equal(wall[0] & 1, 0);
    assert_int_equal(wall[1], 1700000000);
    assert_int_equal(wall[2], 123456789);
    assert_int_equal(wall[3], 0x55);
}

static void test_hypercall(void **state)
{
    static const struct {
        u64 rax;
        u8 cpl;
        bool wide;
        u64 result;
    } rows[] = {
        {1, 0, true, 0},
        {1, 3, true, (u64)-1},
        {77, 0, true, (u64)-1000},
        {77, 0, false, (u32)-1000},
        {0x100000001, 0, false, 0},
        {0x100000001, 0, true, (u64)-1000},
    };
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cpu->gpr[RAX] = rows[i].rax;
        cpu->cpl = rows[i].cpl;
        cpu->long_mode = true;
        cpu->seg[SEG_CS].attributes = rows[i].wide ? SEGMENT_L : SEGMENT_DB;
        kvm_hypercall(cpu);
        assert_int_equal(cpu->gpr[RAX], rows[i].result);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_virtual),         TEST(test_real),       TEST(test_tsc_to_ns), TEST(test_pvclock),
        TEST(test_pvclock_virtual), TEST(test_wall_clock), TEST(test_hypercall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
