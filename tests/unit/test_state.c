/* test_state.c - the architectural state as one row of numbers, and digests. */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "cpu/fpu.h"
#include "cpu/state.h"

static struct cpu *make_cpu(void)
{
    struct cpu *cpu = aligned_alloc(64, sizeof(*cpu));

    memset(cpu, 0, sizeof(*cpu));
    return cpu;
}

/* The name of the only value that differs, or "" if there is none; two are an error. */
static const char *difference(const struct cpu_state *a, const struct cpu_state *b)
{
    static char name[32];

    name[0] = 0;
    for (unsigned i = 0; i < cpu_state_count(); i++) {
        if (a->value[i] != b->value[i]) {
            assert_string_equal(name, "");
            cpu_state_name(i, name, sizeof(name));
        }
    }
    assert_int_equal(name[0] != 0, cpu_state_digest(a) != cpu_state_digest(b));
    return name;
}

static void test_every_value_has_its_own_name(void **state)
{
    unsigned count = cpu_state_count();
    char(*names)[32] = calloc(count, sizeof(*names));

    (void)state;
    assert_true(count <= CPU_STATE_VALUES);
    for (unsigned i = 0; i < count; i++) {
        cpu_state_name(i, names[i], sizeof(names[i]));
        assert_true(names[i][0] && names[i][0] != '?' && !strchr(names[i], '%'));
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(names[i], names[k]);
        }
    }
    free(names);
}

#define CHANGE(member, text)                                    \
    do {                                                        \
        struct cpu_state before, after;                         \
        cpu_state_get(cpu, &before);                            \
        cpu->member ^= 1;                                       \
        cpu_state_get(cpu, &after);                             \
        assert_string_equal(difference(&before, &after), text); \
    } while (0)

static void test_registers_are_seen(void **state)
{
    struct cpu *cpu = make_cpu();

    (void)state;
    CHANGE(gpr[RAX], "rax");
    CHANGE(gpr[15], "r15");
    CHANGE(rip, "rip");
    CHANGE(seg[SEG_FS].base, "fs.base");
    CHANGE(seg[SEG_TR].attributes, "tr.attributes");
    CHANGE(mmu.paging.cr3, "cr3");
    CHANGE(dr[7], "dr7");
    CHANGE(msr.kernel_gs_base, "kernel gs base");
    CHANGE(lapic.irr[3], "apic irr 3");
    CHANGE(flags, "rflags"); /* OF */
    CHANGE(rflags, "rflags");
    CHANGE(activity, "activity");
    CHANGE(icount, ""); /* counted */
    CHANGE(long_mode, "");
    CHANGE(mmu.epoch, "");
    CHANGE(fault.cr2, ""); /* none is pending */
    free(cpu);
}

static void test_vector_registers_in_their_initial_state_are_all_alike(void **state)
{
    struct cpu *cpu = make_cpu();
    struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;
    struct cpu_state before, after;

    (void)state;
    cpu_state_get(cpu, &before);
    memset(area->xmm, 0x55, sizeof(area->xmm));
    memset(area->ymm_high, 0x55, sizeof(area->ymm_high));
    cpu_state_get(cpu, &after);
    assert_string_equal(difference(&before, &after), "");
    memset(area->xmm, 0, sizeof(area->xmm));
    area->xmm[3][8] = 1;
    area->xstate_bv = XCR0_SSE;
    cpu_state_get(cpu, &after);
    assert_string_equal(difference(&before, &after), "xmm3.high");
    free(cpu);
}

static void test_digest_sees_each_bit_and_the_length(void **state)
{
    u8 bytes[77] = {0};
    u64 none = digest_bytes(0, bytes, sizeof(bytes));

    (void)state;
    for (unsigned i = 0; i < 8 * sizeof(bytes); i++) {
        bytes[i / 8] ^= (u8)(1 << i % 8);
        assert_true(digest_bytes(0, bytes, sizeof(bytes)) != none);
        bytes[i / 8] = 0;
    }
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        assert_true(digest_bytes(0, bytes, i) != none);
    }
    assert_true(digest_bytes(1, bytes, sizeof(bytes)) != none);
    assert_true(digest_bytes(0, bytes, sizeof(bytes)) == none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_has_its_own_name),
        cmocka_unit_test(test_registers_are_seen),
        cmocka_unit_test(test_vector_registers_in_their_initial_state_are_all_alike),
        cmocka_unit_test(test_digest_sees_each_bit_and_the_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
