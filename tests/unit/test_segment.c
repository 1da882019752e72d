/* test_segment.c - loading segment registers, LAR and its kin, limit checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu_fixture.h"

#define DATA (SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE)
#define CODE (SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_CODE)

static int setup(void **state)
{
    *state = cpu_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    cpu_fixture_free(*state);
    return 0;
}

struct load_case {
    u8 seg;
    u16 selector;
    u16 attributes; /* of the descriptor at FIXTURE_FREE */
    u8 vector;      /* 0: it works */
    u16 error;
};

static void run_loads(struct cpu_fixture *f, const struct load_case *cases, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct load_case *c = &cases[i];
        struct segment before = f->cpu->seg[c->seg];
        cpu_fixture_descriptor(f, FIXTURE_FREE, 0x12345678, 0xfff, c->attributes);
        bool ok = segment_load(f->cpu, c->seg, c->selector);
        if (ok != !c->vector || (!ok && !cpu_fixture_faulted(f, c->vector, c->error))) {
            fail_msg("case %u", i);
        }
        if (!ok) {
            assert_memory_equal(&before, &f->cpu->seg[c->seg], sizeof(before));
        }
    }
}

static void loads_at_cpl_3(void **state)
{
    static const struct load_case cases[] = {
        {SEG_DS, FIXTURE_FREE | 3, DATA | SEGMENT_DPL, 0, 0},
        {SEG_DS, FIXTURE_FREE | 3, DATA, VECTOR_GP, FIXTURE_FREE},
        {SEG_DS, FIXTURE_FREE | 3, CODE | SEGMENT_DPL, VECTOR_GP, FIXTURE_FREE}, /* not readable */
        {SEG_ES, FIXTURE_FREE, CODE | SEGMENT_TYPE_READABLE | SEGMENT_TYPE_CONFORMING, 0, 0},
        {SEG_ES, FIXTURE_FREE | 3, (DATA | SEGMENT_DPL) & ~SEGMENT_P, VECTOR_NP, FIXTURE_FREE},
        {SEG_FS, 0x800, 0, VECTOR_GP, 0x800},
        {SEG_FS, 0x104 | 3, 0, VECTOR_GP, 0x104}, /* outside the LDT */
        {SEG_GS, FIXTURE_TR, 0, VECTOR_GP, FIXTURE_TR},
        {SEG_GS, 3, 0, 0, 0}, /* null */
        {SEG_SS, FIXTURE_FREE | 3, DATA | SEGMENT_DPL, 0, 0},
        {SEG_SS, FIXTURE_FREE, DATA | SEGMENT_DPL, VECTOR_GP, FIXTURE_FREE}, /* RPL */
        {SEG_SS, FIXTURE_FREE | 3, DATA, VECTOR_GP, FIXTURE_FREE},           /* DPL */
        {SEG_SS, FIXTURE_FREE | 3, SEGMENT_P | SEGMENT_S | SEGMENT_DPL, VECTOR_GP, FIXTURE_FREE},
        {SEG_SS, FIXTURE_FREE | 3, (DATA | SEGMENT_DPL) & ~SEGMENT_P, VECTOR_SS, FIXTURE_FREE},
        {SEG_SS, 0, 0, VECTOR_GP, 0},
    };
    cpu_fixture_protected(*state, 3);
    run_loads(*state, cases, ARRAY_SIZE(cases));
    cpu_fixture_long(*state, 3);
    run_loads(*state, cases, ARRAY_SIZE(cases)); /* null SS is for CPL below 3 */
}

static void null_ss_in_long_mode(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    assert_true(segment_load(f->cpu, SEG_SS, 0));
    assert_false(segment_load(f->cpu, SEG_SS, 1)); /* RPL is not CPL */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

static void hidden_part_and_accessed_bit(void **state)
{
    struct cpu_fixture *f = *state;
    struct segment *fs = &f->cpu->seg[SEG_FS];
    cpu_fixture_protected(f, 0);
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0x89abcdef, 0x54321, DATA | SEGMENT_G | SEGMENT_DB);
    assert_true(segment_load(f->cpu, SEG_FS, FIXTURE_FREE));
    assert_int_equal(fs->base, 0x89abcdef);
    assert_int_equal(fs->limit, 0x54321fff);
    assert_int_equal(fs->attributes, DATA | SEGMENT_G | SEGMENT_DB | SEGMENT_TYPE_ACCESSED);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_GDT + FIXTURE_FREE + 5, 1), 0x93);
}

static void real_mode_keeps_limit(void **state)
{
    struct cpu_fixture *f = *state;
    struct segment *ds = &f->cpu->seg[SEG_DS];
    cpu_fixture_real(f);
    ds->limit = 0xffffffff;
    assert_true(segment_load(f->cpu, SEG_DS, 0xb800));
    assert_int_equal(ds->base, 0xb8000);
    assert_int_equal(ds->limit, 0xffffffff);
}

static void lldt_and_ltr(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 0);
    assert_false(segment_ltr(cpu, FIXTURE_TR)); /* busy */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_TR));
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0x7000, 0x67, SEGMENT_P | SYSTEM_TSS);
    assert_true(segment_ltr(cpu, FIXTURE_FREE));
    assert_int_equal(cpu_fixture_get(f, FIXTURE_GDT + FIXTURE_FREE + 5, 1), 0x8b);
    assert_false(segment_ltr(cpu, 0));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    assert_false(segment_lldt(cpu, FIXTURE_LDTR | SELECTOR_TI));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_LDTR | SELECTOR_TI));
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0, 0, SYSTEM_LDT);
    assert_false(segment_lldt(cpu, FIXTURE_FREE));
    assert_true(cpu_fixture_faulted(f, VECTOR_NP, FIXTURE_FREE));
    assert_true(segment_lldt(cpu, 0));
    assert_false(segment_load(cpu, SEG_DS, 4)); /* no LDT now */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 4));
}

static void system_bases_are_64_bits_in_long_mode(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0x12345678, 0x67, SEGMENT_P | SYSTEM_TSS);
    cpu_fixture_put(f, FIXTURE_GDT + FIXTURE_FREE + 8, 0xffffffff, 8);
    assert_true(segment_ltr(f->cpu, FIXTURE_FREE));
    assert_int_equal(f->cpu->seg[SEG_TR].base, 0xffffffff12345678);
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0, 0x67, SEGMENT_P | SYSTEM_TSS_16);
    assert_false(segment_ltr(f->cpu, FIXTURE_FREE));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_FREE));
}

static void lar_lsl_verr_verw(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u32 value = 0x55;
    bool ok;
    cpu_fixture_protected(f, 3);
    assert_true(segment_lar(cpu, FIXTURE_DATA0, &value, &ok) && !ok && value == 0x55);
    assert_true(segment_lar(cpu, 0, &value, &ok) && !ok);
    assert_true(segment_lar(cpu, 0x800, &value, &ok) && !ok);
    assert_true(segment_lar(cpu, FIXTURE_DATA3, &value, &ok) && ok);
    assert_int_equal(value, 0x00c0f300);
    assert_true(segment_lsl(cpu, FIXTURE_DATA3, &value, &ok) && ok);
    assert_int_equal(value, 0xffffffff);
    assert_true(segment_verify(cpu, FIXTURE_CODE3, false, &ok) && ok);
    assert_true(segment_verify(cpu, FIXTURE_CODE3, true, &ok) && !ok);
    assert_true(segment_verify(cpu, FIXTURE_DATA3, true, &ok) && ok);
    assert_true(segment_verify(cpu, FIXTURE_TR, false, &ok) && !ok);
    cpu_fixture_gate(f, FIXTURE_FREE, 0, 0, SEGMENT_P | SEGMENT_DPL | SYSTEM_CALL_GATE, 0);
    assert_true(segment_lar(cpu, FIXTURE_FREE, &value, &ok) && ok);
    assert_true(segment_lsl(cpu, FIXTURE_FREE, &value, &ok) && !ok); /* a gate has no limit */
}

static void limits(void **state)
{
    static const struct {
        u16 attributes;
        u32 limit, offset, size;
        unsigned access;
        bool ok;
    } cases[] = {
        {DATA, 0xfff, 0xffc, 4, ACCESS_WRITE, true},
        {DATA, 0xfff, 0xffd, 4, ACCESS_READ, false},
        {DATA, 0xffffffff, 0xfffffffe, 4, ACCESS_READ, false},
        {DATA & ~SEGMENT_TYPE_WRITABLE, 0xfff, 0, 1, ACCESS_WRITE, false},
        {CODE, 0xfff, 0, 1, ACCESS_READ, false},
        {CODE | SEGMENT_TYPE_READABLE, 0xfff, 0, 1, ACCESS_READ, true},
        {CODE | SEGMENT_TYPE_READABLE, 0xfff, 0, 1, ACCESS_WRITE, false},
        {DATA | SEGMENT_TYPE_EXPAND, 0xfff, 0xfff, 1, ACCESS_READ, false},
        {DATA | SEGMENT_TYPE_EXPAND, 0xfff, 0x1000, 1, ACCESS_READ, true},
        {DATA | SEGMENT_TYPE_EXPAND, 0xfff, 0xffff, 2, ACCESS_READ, false},
        {DATA | SEGMENT_TYPE_EXPAND | SEGMENT_DB, 0xfff, 0xffff, 2, ACCESS_READ, true},
        {0, 0xfff, 0, 1, ACCESS_READ, false}, /* null */
    };
    struct cpu_fixture *f = *state;
    cpu_fixture_protected(f, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct segment s = {.limit = cases[i].limit, .attributes = cases[i].attributes};
        f->cpu->seg[SEG_ES] = f->cpu->seg[SEG_SS] = s;
        bool es = segment_check(f->cpu, SEG_ES, cases[i].offset, cases[i].size, cases[i].access);
        assert_true(es || cpu_fixture_faulted(f, VECTOR_GP, 0));
        bool ss = segment_check(f->cpu, SEG_SS, cases[i].offset, cases[i].size, cases[i].access);
        assert_true(ss || cpu_fixture_faulted(f, VECTOR_SS, 0));
        if (es != cases[i].ok || ss != cases[i].ok) {
            fail_msg("case %u", i);
        }
    }
}

static void canonical_in_64_bit_mode(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    f->cpu->seg[SEG_GS].base = 0xffff888000000000;
    assert_true(segment_check(f->cpu, SEG_DS, 0x7fffffffffff, 1, ACCESS_READ));
    assert_false(segment_check(f->cpu, SEG_DS, 0x7fffffffffff, 2, ACCESS_READ));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    assert_false(segment_check(f->cpu, SEG_SS, 0x800000000000, 1, ACCESS_READ));
    assert_true(cpu_fixture_faulted(f, VECTOR_SS, 0));
    assert_true(segment_check(f->cpu, SEG_GS, 0x100, 8, ACCESS_WRITE));
    assert_int_equal(segment_linear(f->cpu, SEG_GS, 0x100), 0xffff888000000100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loads_at_cpl_3, setup, teardown),
        cmocka_unit_test_setup_teardown(null_ss_in_long_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(hidden_part_and_accessed_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(real_mode_keeps_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(lldt_and_ltr, setup, teardown),
        cmocka_unit_test_setup_teardown(system_bases_are_64_bits_in_long_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(lar_lsl_verr_verw, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(canonical_in_64_bit_mode, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
