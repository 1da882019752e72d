/* test_task.c - hardware task switches, and the I/O permission bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/control.h"
#include "cpu/task.h"
#include "cpu/transfer.h"
#include "cpu_fixture.h"
#include "isa/debug.h"

#define OTHER     FIXTURE_FREE /* selector of the other task's TSS */
#define OTHER_TSS 0x6000u
#define NEXT      0x100007u
#define GATE      (FIXTURE_FREE + 8)

static int setup(void **state)
{
    struct cpu_fixture *f = cpu_fixture_new();
    cpu_fixture_protected(f, 0);
    cpu_fixture_descriptor(f, OTHER, OTHER_TSS, 0x67, SEGMENT_P | SYSTEM_TSS);
    cpu_fixture_put(f, OTHER_TSS + 0x20, 0x300000, 4);
    cpu_fixture_put(f, OTHER_TSS + 0x24, RFLAGS_IF | 2, 4);
    cpu_fixture_put(f, OTHER_TSS + 0x28, 0xaaaaaaaa, 4);
    cpu_fixture_put(f, OTHER_TSS + 0x38, FIXTURE_STACK0 - 0x100, 4);
    for (unsigned i = 0; i < 6; i++) {
        u16 selector = i == SEG_CS ? FIXTURE_CODE0 : FIXTURE_DATA0;
        cpu_fixture_put(f, OTHER_TSS + 0x48 + i * 4, selector, 2);
    }
    cpu_fixture_put(f, OTHER_TSS + 0x60, FIXTURE_LDTR, 2);
    cpu_fixture_put(f, OTHER_TSS + 4, FIXTURE_STACK0, 4);
    cpu_fixture_put(f, OTHER_TSS + 8, FIXTURE_DATA0, 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    cpu_fixture_free(*state);
    return 0;
}

static bool is_busy(struct cpu_fixture *f, u16 selector)
{
    return cpu_fixture_get(f, FIXTURE_GDT + selector + 5, 1) & SYSTEM_BUSY;
}

static void call_and_iret(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu->gpr[RAX] = 0x12345678;
    assert_true(transfer_call_far(cpu, OTHER, 0, 4, NEXT));
    assert_int_equal(cpu->rip, 0x300000);
    assert_int_equal(cpu->gpr[RAX], 0xaaaaaaaa);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 0x100);
    assert_int_equal(cpu_rflags(cpu), RFLAGS_IF | RFLAGS_NT | 2);
    assert_int_equal(cpu->seg[SEG_TR].selector, OTHER);
    assert_true(cpu->mmu.paging.cr0 & CR0_TS);
    assert_true(is_busy(f, OTHER) && is_busy(f, FIXTURE_TR));
    assert_int_equal(cpu_fixture_get(f, OTHER_TSS, 2), FIXTURE_TR);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_TSS + 0x20, 4), NEXT);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_TSS + 0x28, 4), 0x12345678);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_TSS + 0x4c, 2), FIXTURE_CODE0);

    cpu_fixture_put(f, FIXTURE_TSS + 0x60, FIXTURE_LDTR, 2);
    assert_true(transfer_iret(cpu, 4, 0x300001));
    assert_int_equal(cpu->rip, NEXT);
    assert_int_equal(cpu->gpr[RAX], 0x12345678);
    assert_int_equal(cpu->seg[SEG_TR].selector, FIXTURE_TR);
    assert_false(is_busy(f, OTHER));
    assert_int_equal(cpu_fixture_get(f, OTHER_TSS + 0x20, 4), 0x300001);
    assert_false(cpu_fixture_get(f, OTHER_TSS + 0x24, 4) & RFLAGS_NT);
}

static void jump_frees_the_old_task(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_gate(f, GATE, OTHER, 0, SEGMENT_P | SYSTEM_TASK_GATE, 0);
    assert_true(transfer_jmp_far(f->cpu, GATE, 0, 4, NEXT));
    assert_true(is_busy(f, OTHER));
    assert_false(is_busy(f, FIXTURE_TR));
    assert_false(f->cpu->rflags & RFLAGS_NT);
}

static void refusals(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    assert_false(transfer_jmp_far(cpu, FIXTURE_TR, 0, 4, NEXT)); /* busy */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_TR));
    cpu_fixture_descriptor(f, OTHER, OTHER_TSS, 0x66, SEGMENT_P | SYSTEM_TSS);
    assert_false(transfer_jmp_far(cpu, OTHER, 0, 4, NEXT));
    assert_true(cpu_fixture_faulted(f, VECTOR_TS, OTHER));
    cpu_fixture_descriptor(f, OTHER, OTHER_TSS, 0x67, SYSTEM_TSS);
    assert_false(transfer_jmp_far(cpu, OTHER, 0, 4, NEXT));
    assert_true(cpu_fixture_faulted(f, VECTOR_NP, OTHER));
    cpu->rflags |= RFLAGS_NT; /* IRET to a task that is not busy */
    cpu_fixture_put(f, FIXTURE_TSS, OTHER, 2);
    cpu_fixture_descriptor(f, OTHER, OTHER_TSS, 0x67, SEGMENT_P | SYSTEM_TSS);
    assert_false(transfer_iret(cpu, 4, NEXT));
    assert_true(cpu_fixture_faulted(f, VECTOR_TS, OTHER));
    assert_int_equal(cpu->rip, 0x100000);
    assert_int_equal(cpu->seg[SEG_TR].selector, FIXTURE_TR);
}

struct segment_case {
    u16 offset, selector; /* in the new TSS */
    u8 vector;
    u16 error;
};

static void faults_in_the_new_task(void **state)
{
    static const struct segment_case cases[] = {
        {0x4c, FIXTURE_DATA0, VECTOR_TS, FIXTURE_DATA0}, /* CS */
        {0x4c, 0, VECTOR_TS, 0},
        {0x50, FIXTURE_DATA3 | 3, VECTOR_TS, FIXTURE_DATA3}, /* SS */
        {0x54, FIXTURE_TR, VECTOR_TS, FIXTURE_TR},           /* DS */
        {0x54, GATE, VECTOR_NP, GATE},
        {0x50, GATE, VECTOR_SS, GATE},
        {0x60, FIXTURE_DATA0, VECTOR_TS, FIXTURE_DATA0}, /* LDT */
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cpu_fixture *f = *state;
        cpu_fixture_descriptor(f, GATE, 0, 0, SEGMENT_S | SEGMENT_TYPE_WRITABLE);
        cpu_fixture_put(f, OTHER_TSS + cases[i].offset, cases[i].selector, 2);
        assert_false(transfer_jmp_far(f->cpu, OTHER, 0, 4, NEXT));
        assert_true(cpu_fixture_faulted(f, cases[i].vector, cases[i].error));
        assert_int_equal(f->cpu->rip, 0x300000);
        assert_int_equal(f->cpu->seg[SEG_TR].selector, OTHER);
        teardown(state);
        setup(state);
    }
}

static void task_gate_in_the_idt(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_idt(f, VECTOR_GP, OTHER, 0, SEGMENT_P | SYSTEM_TASK_GATE, 0);
    cpu_raise_error(cpu, VECTOR_GP, 0x18);
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->rip, 0x300000);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 0x104);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_STACK0 - 0x104, 4), 0x18);
    assert_int_equal(cpu_fixture_get(f, FIXTURE_TSS + 0x20, 4), 0x100000);
    assert_true(cpu_fixture_get(f, FIXTURE_TSS + 0x24, 4) & RFLAGS_RF);
    assert_true(cpu->rflags & RFLAGS_NT);
}

static void trap_bit_and_286_task(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_put(f, OTHER_TSS + 0x64, 1, 2);
    assert_false(transfer_jmp_far(cpu, OTHER, 0, 4, NEXT));
    assert_int_equal(cpu->fault.dr6_bits, DR6_BT);
    assert_true(cpu_fixture_faulted(f, VECTOR_DB, -1));
    assert_int_equal(cpu->rip, 0x300000);

    gpa_t tss = 0x7000;
    cpu_fixture_descriptor(f, GATE, (u32)tss, 0x2b, SEGMENT_P | SYSTEM_TSS_16);
    cpu_fixture_put(f, tss + 0x0e, 0x1234, 2);
    cpu_fixture_put(f, tss + 0x10, 2, 2);
    cpu_fixture_put(f, tss + 0x12, 0xbeef, 2);
    cpu_fixture_put(f, tss + 0x22, FIXTURE_DATA0, 2);
    cpu_fixture_put(f, tss + 0x24, FIXTURE_CODE16, 2);
    cpu_fixture_put(f, tss + 0x26, FIXTURE_DATA0, 2);
    assert_true(transfer_jmp_far(cpu, GATE, 0, 4, NEXT));
    assert_int_equal(cpu->rip, 0x1234);
    assert_int_equal(cpu->gpr[RAX] & 0xffff, 0xbeef);
    assert_int_equal(cpu->code_mode, INSN_MODE_16);
    assert_int_equal(cpu->seg[SEG_FS].selector, 0);
}

static void io_permission(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    assert_true(io_allowed(cpu, 0x80, 4)); /* CPL 0 */
    cpu_fixture_protected(f, 3);
    cpu_fixture_put(f, FIXTURE_TSS + 0x88 + 0x80 / 8, 0x08, 2); /* port 0x83 */
    assert_true(io_allowed(cpu, 0x80, 2));
    assert_false(io_allowed(cpu, 0x80, 4));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    assert_false(io_allowed(cpu, 0xffff, 1)); /* beyond the TSS */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    cpu->rflags |= RFLAGS_IOPL;
    assert_true(io_allowed(cpu, 0xffff, 1));
    cpu->rflags |= RFLAGS_VM; /* here only the bitmap counts */
    cpu_update_mode(cpu);
    assert_false(io_allowed(cpu, 0x83, 1));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(call_and_iret, setup, teardown),
        cmocka_unit_test_setup_teardown(jump_frees_the_old_task, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_in_the_new_task, setup, teardown),
        cmocka_unit_test_setup_teardown(task_gate_in_the_idt, setup, teardown),
        cmocka_unit_test_setup_teardown(trap_bit_and_286_task, setup, teardown),
        cmocka_unit_test_setup_teardown(io_permission, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
