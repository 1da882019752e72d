/* test_exception.c - delivery of exceptions and interrupts in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/exception.h"
#include "cpu/task.h"
#include "cpu_fixture.h"
#include "isa/debug.h"

#define HANDLER  0x200000u
#define GATE     (SEGMENT_P | SYSTEM_INTERRUPT_GATE)
#define TRAP     (SEGMENT_P | SYSTEM_TRAP_GATE)
#define HIGH_RIP 0xffffffff81000000ull

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

/* The n-th doubleword or quadword from the top of the stack. */
static u64 frame(struct cpu_fixture *f, unsigned n, unsigned size)
{
    return cpu_fixture_get(f, f->cpu->gpr[RSP] + n * size, size);
}

static void long_fault_from_user(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 3);
    cpu_fixture_idt(f, VECTOR_PF, FIXTURE_CODE0, HIGH_RIP, GATE, 0);
    cpu_set_rflags(cpu, RFLAGS_IF | RFLAGS_ZF | RFLAGS_TF | RFLAGS_AC);
    cpu->gpr[RSP] = 0x7777;
    cpu->mmu.fault.gva = 0xffff800000001234;
    cpu->mmu.fault.error = PF_USER | PF_WRITE;
    cpu_raise_page_fault(cpu);
    cpu_deliver_fault(cpu);

    assert_int_equal(cpu->cr2, 0xffff800000001234);
    assert_int_equal(cpu->rip, HIGH_RIP);
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal(cpu->seg[SEG_CS].selector, FIXTURE_CODE0);
    assert_int_equal(cpu->seg[SEG_SS].selector, 0);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 6 * 8);
    assert_int_equal(frame(f, 0, 8), PF_USER | PF_WRITE);
    assert_int_equal(frame(f, 1, 8), 0x100000);
    assert_int_equal(frame(f, 2, 8), FIXTURE_CODE3 | 3);
    assert_int_equal(frame(f, 3, 8), RFLAGS_IF | RFLAGS_ZF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF | 2);
    assert_int_equal(frame(f, 4, 8), 0x7777);
    assert_int_equal(frame(f, 5, 8), FIXTURE_DATA3 | 3);
    assert_int_equal(cpu_rflags(cpu), RFLAGS_ZF | RFLAGS_AC | 2);
    assert_int_equal(cpu->stats.faults[VECTOR_PF], 1);
    assert_false(cpu->fault.pending);
}

static void long_same_privilege_aligns_and_ist_switches(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    cpu_fixture_idt(f, 0x30, FIXTURE_CODE0, HANDLER, TRAP, 0);
    cpu_fixture_idt(f, VECTOR_NMI, FIXTURE_CODE0, HANDLER, GATE, 1);
    cpu_set_rflags(cpu, RFLAGS_IF);
    cpu->gpr[RSP] = FIXTURE_STACK - 3;
    assert_true(cpu_deliver_event(cpu, 0x30, EVENT_EXTERNAL));
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK - 16 - 40);
    assert_int_equal(frame(f, 3, 8), FIXTURE_STACK - 3);
    assert_int_equal(frame(f, 2, 8), RFLAGS_IF | 2);  /* no RF: not a fault */
    assert_int_equal(cpu_rflags(cpu), RFLAGS_IF | 2); /* a trap gate */
    assert_int_equal(cpu->seg[SEG_SS].selector, FIXTURE_DATA0);
    assert_int_equal(cpu->stats.interrupts, 1);

    assert_true(cpu_deliver_event(cpu, VECTOR_NMI, EVENT_NMI));
    assert_int_equal(cpu->gpr[RSP], FIXTURE_IST1 - 40);
    assert_true(cpu->nmi_blocked);
    assert_int_equal(cpu->seg[SEG_SS].selector, FIXTURE_DATA0);
}

struct bad_gate {
    u16 target, attributes;
    u64 offset;
    u8 vector; /* of what INT 0x40 gives */
    s64 error;
};

static void long_bad_gates(void **state)
{
    static const struct bad_gate cases[] = {
        {FIXTURE_CODE0, SEGMENT_P | SYSTEM_TASK_GATE | SEGMENT_DPL, 0, VECTOR_GP, 0x202},
        {FIXTURE_CODE0, SEGMENT_P | SYSTEM_INTERRUPT_GATE_16 | SEGMENT_DPL, 0, VECTOR_GP, 0x202},
        {FIXTURE_CODE0, GATE, 0, VECTOR_GP, 0x202}, /* DPL 0 from CPL 3 */
        {FIXTURE_CODE0, SYSTEM_INTERRUPT_GATE | SEGMENT_DPL, 0, VECTOR_NP, 0x202},
        {0, GATE | SEGMENT_DPL, 0, VECTOR_GP, 0},
        {0x800, GATE | SEGMENT_DPL, 0, VECTOR_GP, 0x800},
        {FIXTURE_DATA0, GATE | SEGMENT_DPL, 0, VECTOR_GP, FIXTURE_DATA0},
        {FIXTURE_CODE16, GATE | SEGMENT_DPL, 0, VECTOR_GP, FIXTURE_CODE16}, /* not 64-bit */
        {FIXTURE_CODE0, GATE | SEGMENT_DPL, 1ull << 50, VECTOR_GP, 0},
    };
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 3);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct bad_gate *c = &cases[i];
        cpu_fixture_idt(f, 0x40, c->target, c->offset, c->attributes, 0);
        assert_false(exception_int_n(f->cpu, 0x40, 0x100002));
        assert_true(cpu_fixture_faulted(f, c->vector, c->error));
        assert_int_equal(f->cpu->rip, 0x100000);
        assert_int_equal(f->cpu->cpl, 3);
        assert_int_equal(f->cpu->gpr[RSP], FIXTURE_STACK);
    }
    f->cpu->idtr.limit = 0x40e;
    assert_false(exception_int_n(f->cpu, 0x40, 0x100002));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0x202));
}

static void software_interrupt_saves_next(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 3);
    cpu_fixture_idt(f, VECTOR_BP, FIXTURE_CODE0, HANDLER, GATE | SEGMENT_DPL, 0);
    assert_true(exception_int3(f->cpu, 0x100001));
    assert_int_equal(frame(f, 0, 8), 0x100001);
    assert_int_equal(frame(f, 2, 8), 2);
}

static void fault_in_delivery_has_ext(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    cpu_fixture_idt(f, VECTOR_GP, FIXTURE_CODE0, HANDLER, GATE, 0);
    cpu_deliver_event(f->cpu, 0x55, EVENT_EXTERNAL); /* its gate is all zero */
    assert_int_equal(f->cpu->rip, HANDLER);
    assert_int_equal(frame(f, 0, 8), 0x55 * 8 + 2 + 1);
    assert_int_equal(frame(f, 1, 8), 0x100000);
}

static void double_and_triple_faults(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    cpu_fixture_idt(f, VECTOR_DF, FIXTURE_CODE0, HANDLER, GATE, 1);
    cpu_raise_error(cpu, VECTOR_NP, 8); /* #NP, then #GP of an empty gate */
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->rip, HANDLER);
    assert_int_equal(frame(f, 0, 8), 0);
    assert_int_equal(cpu->stats.faults[VECTOR_DF], 1);

    cpu_fixture_idt(f, VECTOR_GP, FIXTURE_CODE0, HANDLER + 1, GATE, 0);
    cpu_raise(cpu, VECTOR_UD); /* benign, then #GP: that one is delivered */
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->rip, HANDLER + 1);
    assert_int_equal(frame(f, 0, 8), VECTOR_UD * 8 + 3);

    cpu->idtr.limit = 0;
    cpu_raise(cpu, VECTOR_UD);
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->activity, ACTIVITY_SHUTDOWN);
    assert_false(cpu->fault.pending);
}

static void page_fault_on_the_stack_is_double(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    cpu_fixture_idt(f, VECTOR_PF, FIXTURE_CODE0, HANDLER, GATE, 0);
    cpu_fixture_idt(f, VECTOR_DF, FIXTURE_CODE0, HANDLER + 8, GATE, 1);
    f->cpu->gpr[RSP] = 1ull << 40; /* not mapped */
    f->cpu->mmu.fault.gva = 0x1234;
    f->cpu->mmu.fault.error = 0;
    cpu_raise_page_fault(f->cpu);
    cpu_deliver_fault(f->cpu);
    assert_int_equal(f->cpu->rip, HANDLER + 8);
    assert_int_equal(f->cpu->cr2, (1ull << 40) - 48);
}

static void debug_exception(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    cpu_fixture_idt(f, VECTOR_DB, FIXTURE_CODE0, HANDLER, GATE, 0);
    cpu->dr[6] = DR6_ONES | 3;
    cpu->dr[7] |= DR7_GD;
    cpu_raise_debug(cpu, DR6_BS);
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->dr[6], DR6_ONES | DR6_BS);
    assert_int_equal(cpu->dr[7], DR7_ONES);
    assert_int_equal(frame(f, 2, 8), 2); /* a trap: no RF */
    cpu_raise_debug(cpu, DR6_BD);
    cpu_deliver_fault(cpu);
    assert_int_equal(frame(f, 2, 8), RFLAGS_RF | 2);
}

static void protected_to_inner_and_same(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 3);
    cpu_fixture_idt(f, VECTOR_GP, FIXTURE_CODE0, HANDLER, GATE, 0);
    cpu_fixture_idt(f, 0x21, FIXTURE_CODE0, 0xffff1234, SEGMENT_P | SYSTEM_TRAP_GATE_16, 0);
    cpu_raise_error(cpu, VECTOR_GP, 0x18);
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->rip, HANDLER);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 24);
    assert_int_equal(frame(f, 0, 4), 0x18);
    assert_int_equal(frame(f, 1, 4), 0x100000);
    assert_int_equal(frame(f, 2, 4), FIXTURE_CODE3 | 3);
    assert_int_equal(frame(f, 3, 4), RFLAGS_RF | 2);
    assert_int_equal(frame(f, 4, 4), FIXTURE_STACK);
    assert_int_equal(frame(f, 5, 4), FIXTURE_DATA3 | 3);
    assert_int_equal(cpu->seg[SEG_SS].selector, FIXTURE_DATA0);

    cpu_deliver_event(cpu, 0x21, EVENT_EXTERNAL); /* 16-bit gate */
    assert_int_equal(cpu->rip, 0x1234);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 30);
    assert_int_equal(frame(f, 0, 2), HANDLER & 0xffff);
    assert_int_equal(frame(f, 1, 2), FIXTURE_CODE0);
}

static void protected_bad_stacks(void **state)
{
    struct cpu_fixture *f = *state;
    cpu_fixture_protected(f, 3);
    cpu_fixture_idt(f, 0x80, FIXTURE_CODE0, HANDLER, GATE | SEGMENT_DPL, 0);
    static const struct {
        u16 ss;
        u8 vector;
        u16 error;
    } cases[] = {
        {0, VECTOR_TS, 0},
        {0x800, VECTOR_TS, 0x800},
        {FIXTURE_DATA3 | 3, VECTOR_TS, FIXTURE_DATA3},
        {FIXTURE_CODE0, VECTOR_TS, FIXTURE_CODE0},
        {FIXTURE_FREE, VECTOR_SS, FIXTURE_FREE},         /* not present */
        {FIXTURE_FREE + 8, VECTOR_SS, FIXTURE_FREE + 8}, /* too small */
    };
    u16 data = SEGMENT_S | SEGMENT_TYPE_WRITABLE;
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0, 0xffff, data);
    cpu_fixture_descriptor(f, FIXTURE_FREE + 8, 0, 0xff, data | SEGMENT_P | SEGMENT_DB);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        cpu_fixture_put(f, FIXTURE_TSS + 8, cases[i].ss, 2);
        assert_false(exception_int_n(f->cpu, 0x80, 0x100002));
        assert_true(cpu_fixture_faulted(f, cases[i].vector, cases[i].error));
    }
    f->cpu->seg[SEG_TR].limit = 7;
    assert_false(exception_int_n(f->cpu, 0x80, 0x100002));
    assert_true(cpu_fixture_faulted(f, VECTOR_TS, FIXTURE_TR));
}

static void real_mode(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_real(f);
    cpu_fixture_put(f, 0x21 * 4, 0x56781234, 4);
    cpu_set_rflags(cpu, RFLAGS_IF | RFLAGS_TF | RFLAGS_CF);
    assert_true(exception_int_n(cpu, 0x21, 0x1002));
    assert_int_equal(cpu->rip, 0x1234);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x5678);
    assert_int_equal(cpu->seg[SEG_CS].base, 0x56780);
    assert_int_equal(cpu->gpr[RSP], 0x8000 - 6);
    assert_int_equal(frame(f, 0, 2), 0x1002);
    assert_int_equal(frame(f, 1, 2), 0);
    assert_int_equal(frame(f, 2, 2), RFLAGS_IF | RFLAGS_TF | RFLAGS_CF | 2);
    assert_int_equal(cpu_rflags(cpu), RFLAGS_CF | 2);

    cpu_raise_gp0(cpu); /* no error code in real mode */
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->gpr[RSP], 0x8000 - 12);

    cpu->idtr.limit = 3;
    cpu_raise_gp0(cpu);
    cpu_deliver_fault(cpu);
    assert_int_equal(cpu->activity, ACTIVITY_SHUTDOWN);
}

static void enter_v86(struct cpu_fixture *f, unsigned iopl)
{
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 0);
    cpu->cpl = 3;
    cpu_set_rflags(cpu, RFLAGS_VM | RFLAGS_IF | iopl << RFLAGS_IOPL_SHIFT);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        segment_load_real(cpu, i, (u16)(0x3000 + i * 0x100));
    }
    cpu->gpr[RSP] = 0x800;
    cpu->rip = 0x10;
    cpu_update_mode(cpu);
}

static void v86_to_protected(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    enter_v86(f, 3);
    cpu_fixture_idt(f, 0x21, FIXTURE_CODE0, HANDLER, GATE | SEGMENT_DPL, 0);
    assert_true(exception_int_n(cpu, 0x21, 0x12));
    assert_false(cpu->v86_mode);
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 36);
    assert_int_equal(frame(f, 0, 4), 0x12);
    assert_int_equal(frame(f, 1, 4), 0x3000 + SEG_CS * 0x100);
    assert_true(frame(f, 2, 4) & RFLAGS_VM);
    assert_int_equal(frame(f, 3, 4), 0x800);
    assert_int_equal(frame(f, 4, 4), 0x3000 + SEG_SS * 0x100);
    assert_int_equal(frame(f, 5, 4), 0x3000);
    assert_int_equal(frame(f, 6, 4), 0x3000 + SEG_DS * 0x100);
    assert_int_equal(frame(f, 7, 4), 0x3000 + SEG_FS * 0x100);
    assert_int_equal(frame(f, 8, 4), 0x3000 + SEG_GS * 0x100);
    assert_int_equal(cpu->seg[SEG_DS].selector, 0);
    assert_false(cpu->seg[SEG_GS].attributes & SEGMENT_P);
}

static void v86_int_n_by_iopl_and_vme(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    enter_v86(f, 0);
    cpu_fixture_put(f, 0x21 * 4, 0x40000007, 4);
    assert_false(exception_int_n(cpu, 0x21, 0x12)); /* IOPL too low, no VME */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));

    cpu->mmu.paging.cr4 |= CR4_VME; /* redirection bitmap: all 0 */
    cpu->rflags |= RFLAGS_VIF;
    assert_true(exception_int_n(cpu, 0x21, 0x12));
    assert_true(cpu->v86_mode);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x4000);
    assert_int_equal(cpu->rip, 7);
    assert_int_equal(cpu->gpr[RSP], 0x800 - 6);
    u64 flags = cpu_fixture_get(f, cpu->seg[SEG_SS].base + 0x800 - 2, 2);
    assert_int_equal(flags, RFLAGS_IF | RFLAGS_IOPL | 2);
    assert_false(cpu->rflags & RFLAGS_VIF);
    assert_true(cpu->rflags & RFLAGS_IF);

    cpu_fixture_put(f, FIXTURE_TSS + 0x68 + 0x21 / 8, 1 << 0x21 % 8, 1);
    assert_false(exception_int_n(cpu, 0x21, 9));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

/* A handler at CPL 3 whose stack is not aligned: each delivery of #AC is an #AC. */
static void endless_faults_come_back(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 3);
    cpu_fixture_idt(f, VECTOR_AC, FIXTURE_CODE3, HANDLER, GATE, 0);
    cpu->mmu.paging.cr0 |= CR0_AM;
    cpu_set_rflags(cpu, RFLAGS_AC);
    cpu->gpr[RSP] = FIXTURE_STACK - 3;
    cpu_raise_error(cpu, VECTOR_AC, 0);
    cpu_deliver_fault(cpu);
    assert_true(cpu_fixture_faulted(f, VECTOR_AC, 1));
    assert_int_equal(cpu->activity, ACTIVITY_RUNNING);
    assert_int_equal(cpu->rip, 0x100000);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(long_fault_from_user, setup, teardown),
        cmocka_unit_test_setup_teardown(long_same_privilege_aligns_and_ist_switches, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(long_bad_gates, setup, teardown),
        cmocka_unit_test_setup_teardown(software_interrupt_saves_next, setup, teardown),
        cmocka_unit_test_setup_teardown(fault_in_delivery_has_ext, setup, teardown),
        cmocka_unit_test_setup_teardown(double_and_triple_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(page_fault_on_the_stack_is_double, setup, teardown),
        cmocka_unit_test_setup_teardown(debug_exception, setup, teardown),
        cmocka_unit_test_setup_teardown(protected_to_inner_and_same, setup, teardown),
        cmocka_unit_test_setup_teardown(protected_bad_stacks, setup, teardown),
        cmocka_unit_test_setup_teardown(endless_faults_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(real_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(v86_to_protected, setup, teardown),
        cmocka_unit_test_setup_teardown(v86_int_n_by_iopl_and_vme, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
