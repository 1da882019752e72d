/* test_transfer.c - far JMP, CALL, RET and IRET, SYSCALL and SYSENTER. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/syscall.h"
#include "cpu/transfer.h"
#include "cpu_fixture.h"

#define NEXT 0x100007u

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

static u64 frame(struct cpu_fixture *f, unsigned n, unsigned size)
{
    return cpu_fixture_get(f, f->cpu->gpr[RSP] + n * size, size);
}

static void put_frame(struct cpu_fixture *f, const u64 *values, unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count; i++) {
        cpu_fixture_put(f, f->cpu->gpr[RSP] + i * size, values[i], size);
    }
}

static void real_call_and_return(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_real(f);
    assert_true(transfer_call_far(cpu, 0x1234, 0x5678, 2, 0x1005));
    assert_int_equal(cpu->seg[SEG_CS].base, 0x12340);
    assert_int_equal(cpu->rip, 0x5678);
    assert_int_equal(frame(f, 0, 2), 0x1005);
    assert_true(transfer_ret_far(cpu, 2, 4));
    assert_int_equal(cpu->rip, 0x1005);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0);
    assert_int_equal(cpu->gpr[RSP], 0x8004);
    assert_false(transfer_jmp_far(cpu, 0, 0x10000, 4, 0)); /* beyond the limit */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

struct jump_case {
    u16 selector;
    u64 offset;
    u8 vector; /* 0: it works */
    u16 error;
};

static void protected_jumps(void **state)
{
    u16 code = SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_CODE;
    static const struct jump_case cases[] = {
        {FIXTURE_CODE0, 0x1000, 0, 0},
        {0, 0, VECTOR_GP, 0},
        {3, 0, VECTOR_GP, 0},
        {0x800, 0, VECTOR_GP, 0x800},
        {FIXTURE_DATA0, 0, VECTOR_GP, FIXTURE_DATA0},
        {FIXTURE_CODE0 | 3, 0, VECTOR_GP, FIXTURE_CODE0}, /* RPL over CPL */
        {FIXTURE_CODE3, 0, VECTOR_GP, FIXTURE_CODE3},
        {FIXTURE_FREE, 0, VECTOR_NP, FIXTURE_FREE},
        {FIXTURE_FREE + 8, 0x100, VECTOR_GP, 0},    /* limit */
        {(FIXTURE_FREE + 8) | 3, 0xff, 0, 0},       /* conforming */
        {FIXTURE_LDTR, 0, VECTOR_GP, FIXTURE_LDTR}, /* an LDT */
        {0xc, 0x10, 0, 0},                          /* in the LDT */
    };
    struct cpu_fixture *f = *state;
    cpu_fixture_protected(f, 0);
    cpu_fixture_descriptor(f, FIXTURE_FREE, 0, 0xff, code & ~SEGMENT_P);
    cpu_fixture_descriptor(f, FIXTURE_FREE + 8, 0, 0xff, code | SEGMENT_TYPE_CONFORMING);
    cpu_fixture_descriptor(f, 0xc, 0, 0xff, code);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct jump_case *c = &cases[i];
        bool ok = transfer_jmp_far(f->cpu, c->selector, c->offset, 4, NEXT);
        assert_int_equal(ok, !c->vector);
        if (ok) {
            assert_int_equal(f->cpu->rip, c->offset);
            assert_int_equal(f->cpu->seg[SEG_CS].selector, c->selector & ~3);
            assert_true(f->cpu->seg[SEG_CS].attributes & SEGMENT_TYPE_ACCESSED);
        } else {
            assert_true(cpu_fixture_faulted(f, c->vector, c->error));
        }
    }
    assert_int_equal(cpu_fixture_get(f, FIXTURE_LDT + 8 + 5, 1) & 1, 1); /* accessed bit */
}

static void call_gate_to_inner_and_back(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 parameters[] = {0x11111111, 0x22222222};
    cpu_fixture_protected(f, 3);
    cpu_fixture_gate(f, FIXTURE_FREE, FIXTURE_CODE0, 0x200000,
                     SEGMENT_P | SYSTEM_CALL_GATE | SEGMENT_DPL, 2);
    put_frame(f, parameters, 2, 4);
    assert_true(transfer_call_far(cpu, FIXTURE_FREE | 3, 0xdead, 4, NEXT));
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal(cpu->rip, 0x200000);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 24);
    u64 expected[] = {NEXT,       FIXTURE_CODE3 | 3, 0x11111111,
                      0x22222222, FIXTURE_STACK,     FIXTURE_DATA3 | 3};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(frame(f, i, 4), expected[i]);
    }
    assert_true(segment_load(cpu, SEG_DS, FIXTURE_DATA0));
    assert_true(transfer_ret_far(cpu, 4, 8));
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(cpu->rip, NEXT);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK + 8);
    assert_int_equal(cpu->seg[SEG_SS].selector, FIXTURE_DATA3 | 3);
    assert_int_equal(cpu->seg[SEG_DS].selector, 0); /* too privileged: dropped */
    assert_int_equal(cpu->seg[SEG_ES].selector, FIXTURE_DATA3 | 3);
}

static void gate_checks(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u16 gate = SYSTEM_CALL_GATE;
    cpu_fixture_protected(f, 3);
    cpu_fixture_gate(f, FIXTURE_FREE, FIXTURE_CODE0, 0, gate | SEGMENT_P, 0);
    assert_false(transfer_call_far(cpu, FIXTURE_FREE | 3, 0, 4, NEXT)); /* DPL 0 */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_FREE));
    cpu_fixture_gate(f, FIXTURE_FREE, FIXTURE_CODE0, 0, gate | SEGMENT_DPL, 0);
    assert_false(transfer_call_far(cpu, FIXTURE_FREE | 3, 0, 4, NEXT));
    assert_true(cpu_fixture_faulted(f, VECTOR_NP, FIXTURE_FREE));
    cpu_fixture_gate(f, FIXTURE_FREE, FIXTURE_CODE0, 0, gate | SEGMENT_DPL | SEGMENT_P, 0);
    assert_false(transfer_jmp_far(cpu, FIXTURE_FREE | 3, 0, 4, NEXT)); /* JMP: no inner code */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, FIXTURE_CODE0));
    cpu_fixture_gate(f, FIXTURE_FREE, 0, 0, gate | SEGMENT_DPL | SEGMENT_P, 0);
    assert_false(transfer_call_far(cpu, FIXTURE_FREE | 3, 0, 4, NEXT));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

static void call_gate_64(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 3);
    cpu_fixture_gate(f, FIXTURE_FREE, FIXTURE_CODE0, 0xffffffff80001000,
                     SEGMENT_P | SYSTEM_CALL_GATE | SEGMENT_DPL, 0);
    assert_true(transfer_call_far(cpu, FIXTURE_FREE, 0, 4, NEXT));
    assert_int_equal(cpu->rip, 0xffffffff80001000);
    assert_int_equal(cpu->seg[SEG_SS].selector, 0);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK0 - 32);
    assert_int_equal(frame(f, 0, 8), NEXT);
    assert_int_equal(frame(f, 2, 8), FIXTURE_STACK);
    assert_true(transfer_ret_far(cpu, 8, 0));
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK);
}

static void iret_long_to_user_and_compatibility(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 user[] = {0x400000, FIXTURE_CODE3 | 3, 0x10246, 0x7ffffff0, FIXTURE_DATA3 | 3};
    cpu_fixture_long(f, 0);
    put_frame(f, user, 5, 8);
    cpu->nmi_blocked = true;
    assert_true(transfer_iret(cpu, 8, 0));
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(cpu->code_mode, INSN_MODE_64);
    assert_int_equal(cpu->rip, 0x400000);
    assert_int_equal(cpu->gpr[RSP], 0x7ffffff0);
    assert_int_equal(cpu_rflags(cpu), 0x10246);
    assert_false(cpu->nmi_blocked);

    cpu_fixture_long(f, 0);
    u64 compat[] = {0x400000, FIXTURE_COMPAT3 | 3, 0x202, 0x1fff0, FIXTURE_DATA3 | 3};
    put_frame(f, compat, 5, 8);
    assert_true(transfer_iret(cpu, 8, 0));
    assert_int_equal(cpu->code_mode, INSN_MODE_32);
    assert_int_equal(cpu->stack_mask, 0xffffffff);
}

struct iret_case {
    u64 frame[5];
    u8 vector;
    u16 error;
};

static void iret_long_checks(void **state)
{
    static const struct iret_case cases[] = {
        {{0x400000, 0, 2, 0, 0}, VECTOR_GP, 0},
        {{0x400000, FIXTURE_DATA3 | 3, 2, 0, 0}, VECTOR_GP, FIXTURE_DATA3},
        {{0x400000, FIXTURE_CODE3, 2, 0, 0}, VECTOR_GP, FIXTURE_CODE3}, /* RPL is not DPL */
        {{0x400000, FIXTURE_CODE3 | 3, 2, 0, 0}, VECTOR_GP, 0},         /* null SS at CPL 3 */
        {{0x400000, FIXTURE_CODE3 | 3, 2, 0, FIXTURE_DATA0 | 3}, VECTOR_GP, FIXTURE_DATA0},
        {{0x400000, FIXTURE_CODE0, 2, 0, FIXTURE_DATA3 | 3}, VECTOR_GP, FIXTURE_DATA3},
        {{1ull << 47, FIXTURE_CODE3 | 3, 2, 0, FIXTURE_DATA3 | 3}, VECTOR_GP, 0},
        {{0x400000, FIXTURE_CODE0, 2, 0x55, 0}, 0, 0}, /* null SS at CPL 0 */
    };
    struct cpu_fixture *f = *state;
    cpu_fixture_long(f, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        put_frame(f, cases[i].frame, 5, 8);
        bool ok = transfer_iret(f->cpu, 8, 0);
        assert_int_equal(ok, !cases[i].vector);
        assert_true(ok || cpu_fixture_faulted(f, cases[i].vector, cases[i].error));
    }
    assert_int_equal(f->cpu->gpr[RSP], 0x55);
    f->cpu->rflags |= RFLAGS_NT;
    assert_false(transfer_iret(f->cpu, 8, 0));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    f->cpu->rflags &= ~RFLAGS_NT;
    f->cpu->gpr[RSP] = 1ull << 62;
    f->cpu->nmi_blocked = true;
    assert_false(transfer_iret(f->cpu, 8, 0));
    assert_true(cpu_fixture_faulted(f, VECTOR_SS, 0));
    assert_false(f->cpu->nmi_blocked);
}

static void iret_flags_by_privilege(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 all = ~0ull & ~(u64)(RFLAGS_VM | RFLAGS_NT | RFLAGS_TF);
    u64 values[] = {0x1000, FIXTURE_CODE3 | 3, all};
    cpu_fixture_protected(f, 3);
    put_frame(f, values, 3, 4);
    assert_true(transfer_iret(cpu, 4, 0));
    assert_int_equal(cpu_rflags(cpu), 2 | RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_AC | RFLAGS_ID |
                                          RFLAGS_RF); /* neither IF nor IOPL */
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK + 12);

    cpu_set_rflags(cpu, 0);
    cpu_fixture_protected(f, 0);
    values[1] = FIXTURE_CODE0;
    put_frame(f, values, 3, 2); /* 16-bit: nothing above bit 15 */
    assert_true(transfer_iret(cpu, 2, 0));
    assert_int_equal(cpu_rflags(cpu), 2 | RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_IF | RFLAGS_IOPL);
}

static void iret_to_v86_and_vme(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 values[] = {0x10,   0x3000, RFLAGS_VM | RFLAGS_IF | 2, 0x800, 0x4000, 0x5000, 0x6000,
                    0x7000, 0x7100};
    cpu_fixture_protected(f, 0);
    put_frame(f, values, 9, 4);
    assert_true(transfer_iret(cpu, 4, 0));
    assert_true(cpu->v86_mode);
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(cpu->seg[SEG_CS].base, 0x30000);
    assert_int_equal(cpu->seg[SEG_ES].base, 0x50000);
    assert_int_equal(cpu->seg[SEG_GS].base, 0x71000);
    assert_int_equal(cpu->seg[SEG_SS].limit, 0xffff);
    assert_int_equal(cpu->gpr[RSP], 0x800);

    assert_false(transfer_iret(cpu, 2, 0)); /* IOPL 0 */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    cpu->mmu.paging.cr4 |= CR4_VME;
    cpu_fixture_put(f, 0x40800, 0x20, 2);
    cpu_fixture_put(f, 0x40802, 0x3100, 2);
    cpu_fixture_put(f, 0x40804, RFLAGS_IF | RFLAGS_CF, 2);
    assert_true(transfer_iret(cpu, 2, 0));
    assert_int_equal(cpu_rflags(cpu), 2 | RFLAGS_VM | RFLAGS_IF | RFLAGS_VIF | RFLAGS_CF);
    assert_int_equal(cpu->seg[SEG_CS].base, 0x31000);
    cpu_fixture_put(f, 0x4080a, RFLAGS_IF, 2);
    cpu->rflags |= RFLAGS_VIP;
    assert_false(transfer_iret(cpu, 2, 0));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

static void syscall_and_sysret(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 3);
    cpu->msr.star = 0x0023001000000000;
    cpu->msr.lstar = 0xffffffff81000000;
    cpu->msr.sfmask = RFLAGS_IF | RFLAGS_TF;
    cpu_set_rflags(cpu, RFLAGS_IF | RFLAGS_CF);
    assert_true(syscall_syscall(cpu, NEXT));
    assert_int_equal(cpu->rip, 0xffffffff81000000);
    assert_int_equal(cpu->gpr[RCX], NEXT);
    assert_int_equal(cpu->gpr[11], RFLAGS_IF | RFLAGS_CF | 2);
    assert_int_equal(cpu_rflags(cpu), RFLAGS_CF | 2);
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x10);
    assert_int_equal(cpu->seg[SEG_SS].selector, 0x18);

    assert_true(syscall_sysret(cpu, 8));
    assert_int_equal(cpu->rip, NEXT);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x33);
    assert_int_equal(cpu->seg[SEG_SS].selector, 0x2b);
    assert_int_equal(cpu_rflags(cpu), RFLAGS_IF | RFLAGS_CF | 2);
    assert_false(syscall_sysret(cpu, 8)); /* CPL 3 */
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));

    assert_true(syscall_syscall(cpu, NEXT));
    cpu->gpr[RCX] = 1ull << 47;
    assert_false(syscall_sysret(cpu, 8));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    assert_true(syscall_sysret(cpu, 4)); /* to compatibility mode: ECX */
    assert_int_equal(cpu->code_mode, INSN_MODE_32);
    assert_int_equal(cpu->rip, 0);
    assert_false(syscall_syscall(cpu, NEXT)); /* not there on Intel */
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
}

static void sysenter_and_sysexit(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 3);
    assert_false(syscall_sysenter(cpu));
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    cpu->msr.sysenter_cs = FIXTURE_CODE0;
    cpu->msr.sysenter_esp = 0x1234;
    cpu->msr.sysenter_eip = 0x5678;
    cpu_set_rflags(cpu, RFLAGS_IF);
    assert_true(syscall_sysenter(cpu));
    assert_int_equal(cpu->rip, 0x5678);
    assert_int_equal(cpu->gpr[RSP], 0x1234);
    assert_int_equal(cpu->seg[SEG_SS].selector, FIXTURE_DATA0);
    assert_false(cpu->rflags & RFLAGS_IF);
    cpu->gpr[RDX] = NEXT;
    cpu->gpr[RCX] = FIXTURE_STACK;
    assert_true(syscall_sysexit(cpu, 4));
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(cpu->seg[SEG_CS].selector, (FIXTURE_CODE0 + 16) | 3);
    assert_int_equal(cpu->gpr[RSP], FIXTURE_STACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(real_call_and_return, setup, teardown),
        cmocka_unit_test_setup_teardown(protected_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(call_gate_to_inner_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(gate_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(call_gate_64, setup, teardown),
        cmocka_unit_test_setup_teardown(iret_long_to_user_and_compatibility, setup, teardown),
        cmocka_unit_test_setup_teardown(iret_long_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(iret_flags_by_privilege, setup, teardown),
        cmocka_unit_test_setup_teardown(iret_to_v86_and_vme, setup, teardown),
        cmocka_unit_test_setup_teardown(syscall_and_sysret, setup, teardown),
        cmocka_unit_test_setup_teardown(sysenter_and_sysexit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
