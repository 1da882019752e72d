/* test_control.c - control and debug registers, modes, interrupt flag, breakpoints, reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/control.h"
#include "cpu/debug.h"
#include "cpu/msr.h"
#include "cpu_fixture.h"

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

static void assert_gp0(struct cpu_fixture *f, bool result)
{
    assert_false(result);
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
}

static void reset_state(void **state)
{
    struct cpu *cpu = ((struct cpu_fixture *)*state)->cpu;
    assert_int_equal(cpu->rip, 0xfff0);
    assert_int_equal(cpu->seg[SEG_CS].base, 0xffff0000);
    assert_int_equal(cpu->mmu.paging.cr0, 0x60000010);
    assert_int_equal(cpu_rflags(cpu), 2);
    assert_int_equal(cpu->dr[6], 0xffff0ff0);
    assert_int_equal(cpu->dr[7], 0x400);
    assert_int_equal(cpu->activity, ACTIVITY_RUNNING);
    assert_true(cpu->real_mode);
    assert_int_equal(cpu->code_mode, INSN_MODE_16);
}

static void init_and_start_up(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 3);
    cpu->index = 1;
    cpu->mmu.paging.cr0 |= CR0_CD;
    cpu->msr.lstar = 0x1234;
    cpu_init_signal(cpu);
    assert_int_equal(cpu->activity, ACTIVITY_WAIT_FOR_SIPI);
    assert_int_equal(cpu->mmu.paging.cr0, CR0_CD | CR0_ET);
    assert_int_equal(cpu->msr.lstar, 0x1234); /* INIT keeps MSRs */
    assert_false(cpu->long_mode);
    cpu_start_up(cpu, 0x9a);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x9a00);
    assert_int_equal(cpu->seg[SEG_CS].base, 0x9a000);
    assert_int_equal(cpu->rip, 0);
    assert_int_equal(cpu->activity, ACTIVITY_RUNNING);
}

static void cr0_rules(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    assert_gp0(f, control_write_cr0(cpu, CR0_PG));
    assert_gp0(f, control_write_cr0(cpu, CR0_NW));
    assert_gp0(f, control_write_cr0(cpu, 1ull << 32));
    assert_true(control_write_cr0(cpu, CR0_PE | 1ull << 20)); /* reserved: ignored */
    assert_int_equal(cpu->mmu.paging.cr0, CR0_PE | CR0_ET);
    assert_false(cpu->real_mode);
    assert_true(control_lmsw(cpu, 0)); /* LMSW cannot clear PE */
    assert_int_equal(cpu->mmu.paging.cr0, CR0_PE | CR0_ET);
    assert_true(control_lmsw(cpu, CR0_TS | CR0_MP));
    control_clts(cpu);
    assert_int_equal(cpu->mmu.paging.cr0, CR0_PE | CR0_ET | CR0_MP);
}

static void enter_and_leave_long_mode(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 0);
    u64 cr0 = cpu->mmu.paging.cr0;
    assert_true(control_write_efer(cpu, EFER_LME | EFER_LMA));
    assert_int_equal(cpu->mmu.paging.efer, EFER_LME);
    assert_gp0(f, control_write_cr0(cpu, cr0 | CR0_PG)); /* no PAE */
    assert_true(control_write_cr4(cpu, CR4_PAE));
    cpu->seg[SEG_CS].attributes |= SEGMENT_L;
    assert_gp0(f, control_write_cr0(cpu, cr0 | CR0_PG)); /* CS.L */
    cpu->seg[SEG_CS].attributes &= (u16)~SEGMENT_L;
    assert_true(control_write_cr0(cpu, cr0 | CR0_PG));
    assert_true(cpu->long_mode);
    assert_int_equal(cpu->code_mode, INSN_MODE_32);
    assert_gp0(f, control_write_efer(cpu, 0)); /* LME while paging */
    assert_gp0(f, control_write_cr4(cpu, 0));  /* PAE in long mode */
    assert_true(control_write_cr4(cpu, CR4_PAE | CR4_PCIDE));
    assert_gp0(f, control_write_cr0(cpu, cr0)); /* PCIDE without paging */
    assert_true(control_write_cr4(cpu, CR4_PAE));
    assert_true(control_write_cr0(cpu, cr0));
    assert_false(cpu->long_mode);
    assert_int_equal(cpu->mmu.paging.efer, EFER_LME);
}

static void cr3_and_pcid(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    assert_gp0(f, control_write_cr3(cpu, 1ull << 60));
    assert_gp0(f, control_write_cr3(cpu, CR3_NOFLUSH | FIXTURE_PML4));
    cpu->mmu.paging.cr3 |= 5;
    assert_gp0(f, control_write_cr4(cpu, CR4_PAE | CR4_PCIDE));
    assert_true(control_write_cr3(cpu, FIXTURE_PML4));
    assert_true(control_write_cr4(cpu, CR4_PAE | CR4_PCIDE));
    u64 epoch = cpu->mmu.epoch;
    assert_true(control_write_cr3(cpu, CR3_NOFLUSH | FIXTURE_PML4));
    assert_int_equal(cpu->mmu.epoch, epoch);
    assert_true(control_write_cr3(cpu, CR3_NOFLUSH | FIXTURE_PML4 | 1));
    assert_int_equal(cpu->mmu.paging.cr3, FIXTURE_PML4 | 1);
    assert_true(cpu->mmu.epoch > epoch);
    assert_gp0(f, control_invpcid(cpu, 4, 0, 0));
    assert_gp0(f, control_invpcid(cpu, 0, 0x1000, 0));
    assert_gp0(f, control_invpcid(cpu, 0, 1, 1ull << 47));
    epoch = cpu->mmu.epoch;
    assert_true(control_invpcid(cpu, 1, 2, 0)); /* another PCID */
    assert_int_equal(cpu->mmu.epoch, epoch);
    assert_true(control_invpcid(cpu, 2, 0, 0));
    assert_true(cpu->mmu.epoch > epoch);
}

static void pae_pdptes(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 0);
    cpu_fixture_put(f, 0x20000, 0x21001, 8);
    cpu_fixture_put(f, 0x20020, 0x21003, 8); /* reserved bit 1 */
    assert_true(control_write_cr3(cpu, 0x20000));
    assert_true(control_write_cr4(cpu, CR4_PAE));
    assert_true(control_write_cr0(cpu, cpu->mmu.paging.cr0 | CR0_PG));
    assert_int_equal(cpu->mmu.paging.pdpte[0], 0x21001);
    assert_gp0(f, control_write_cr3(cpu, 0x20020));
    assert_int_equal(cpu->mmu.paging.cr3, 0x20000);
    assert_gp0(f, control_write_cr3(cpu, 0xf0000000)); /* not RAM */
}

static void reserved_bits(void **state)
{
    struct cpu_fixture *f = *state;
    assert_gp0(f, control_write_cr4(f->cpu, CR4_LA57));
    assert_gp0(f, control_write_cr4(f->cpu, 1ull << 22)); /* PKE */
    assert_gp0(f, control_write_cr8(f->cpu, 16));
    assert_gp0(f, control_write_efer(f->cpu, 1 << 12)); /* SVME */
    assert_gp0(f, control_write_xcr0(f->cpu, 0, 0));
    assert_gp0(f, control_write_xcr0(f->cpu, 0, XCR0_X87 | XCR0_AVX));
    assert_gp0(f, control_write_xcr0(f->cpu, 1, XCR0_X87));
    assert_gp0(f, control_write_xcr0(f->cpu, 0, XCR0_X87 | 1 << 9));
    assert_true(control_write_xcr0(f->cpu, 0, XCR0_X87 | XCR0_SSE));
}

static void debug_registers(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 value;
    assert_true(control_write_dr(cpu, 4, 0));
    assert_true(control_read_dr(cpu, 6, &value));
    assert_int_equal(value, 0xffff0ff0);
    cpu->mmu.paging.cr4 = CR4_DE;
    assert_false(control_read_dr(cpu, 5, &value));
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_gp0(f, control_write_dr(cpu, 7, 1ull << 32));
    assert_true(control_write_dr(cpu, 7, 0xffffffff));
    assert_int_equal(cpu->dr[7], 0xffff27ff);
    assert_false(control_read_dr(cpu, 0, &value)); /* GD */
    assert_int_equal(cpu->fault.dr6_bits, DR6_BD);
    assert_true(cpu_fixture_faulted(f, VECTOR_DB, -1));
}

static void breakpoints(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    cpu->dr[0] = 0x1000;
    cpu->dr[1] = 0x2004;
    cpu->dr[2] = 0x60;
    assert_true(control_write_dr(cpu, 7, 0x3f | 0xdull << 20 | 0x2ull << 24)); /* X, W 4, I/O */
    assert_true(cpu->single_step_needed);
    assert_ptr_equal(cpu->mmu.set, cpu->mmu.sets[TLB_UNCACHED]);
    assert_true(debug_check_fetch(cpu, 0x1001));
    assert_false(debug_check_fetch(cpu, 0x1000));
    assert_int_equal(cpu->fault.dr6_bits, 1);
    cpu_fixture_faulted(f, 0, 0);
    cpu->rflags |= RFLAGS_RF;
    assert_true(debug_check_fetch(cpu, 0x1000));
    assert_false(cpu->rflags & RFLAGS_RF);

    debug_check_data(cpu, 0x2000, 8, false, false); /* a read */
    debug_check_data(cpu, 0x2008, 4, true, false);
    debug_check_data(cpu, 0x60, 1, true, true); /* CR4.DE is clear */
    assert_true(debug_after_instruction(cpu, false));
    debug_check_data(cpu, 0x2000, 5, true, false);
    cpu->mmu.paging.cr4 |= CR4_DE;
    debug_check_data(cpu, 0x5e, 4, false, true);
    assert_false(debug_after_instruction(cpu, false));
    assert_int_equal(cpu->fault.dr6_bits, 2 | 4);
    assert_int_equal(cpu->debug_hits, 0);
}

static void single_step(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    cpu_set_rflags(cpu, RFLAGS_TF);
    assert_true(cpu->single_step_needed);
    assert_true(debug_check_fetch(cpu, 0));
    assert_false(debug_after_instruction(cpu, true));
    assert_int_equal(cpu->fault.dr6_bits, DR6_BS);
    cpu_fixture_faulted(f, 0, 0);
    assert_true(debug_check_fetch(cpu, 0));
    cpu->debug_shadow = true; /* a load of SS */
    assert_true(debug_after_instruction(cpu, true));
}

static void tlb_sets(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_long(f, 0);
    assert_ptr_equal(cpu->mmu.set, cpu->mmu.sets[TLB_SUPERVISOR]);
    cpu_set_rflags(cpu, RFLAGS_AC);
    assert_ptr_equal(cpu->mmu.set, cpu->mmu.sets[TLB_SUPERVISOR_AC]);
    cpu_fixture_long(f, 3);
    assert_ptr_equal(cpu->mmu.set, cpu->mmu.sets[TLB_USER]);
    assert_true(control_write_cr0(cpu, cpu->mmu.paging.cr0 | CR0_AM));
    assert_ptr_equal(cpu->mmu.set, cpu->mmu.sets[TLB_UNCACHED]);
}

static void interrupt_flag(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    cpu_fixture_protected(f, 3);
    assert_gp0(f, control_sti(cpu));
    cpu->mmu.paging.cr4 |= CR4_PVI;
    assert_true(control_sti(cpu));
    assert_int_equal(cpu_rflags(cpu), RFLAGS_VIF | 2);
    cpu->rflags |= RFLAGS_VIP;
    assert_gp0(f, control_sti(cpu));
    assert_true(control_cli(cpu));
    assert_false(cpu->rflags & RFLAGS_VIF);
    cpu->rflags |= RFLAGS_IOPL;
    assert_true(control_sti(cpu));
    assert_true(cpu->rflags & RFLAGS_IF);
}

static void pushf_and_popf(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 image;
    cpu_fixture_long(f, 3);
    cpu_set_rflags(cpu, RFLAGS_IF | RFLAGS_RF | RFLAGS_CF);
    assert_true(control_pushf(cpu, 8, &image));
    assert_int_equal(image, RFLAGS_IF | RFLAGS_CF | 2);
    assert_true(control_popf(cpu, 8, RFLAGS_IOPL | RFLAGS_AC | RFLAGS_ZF | RFLAGS_VIP));
    assert_int_equal(cpu_rflags(cpu), RFLAGS_IF | RFLAGS_AC | RFLAGS_ZF | 2);
    assert_true(control_popf(cpu, 2, 0)); /* 16 bits: AC stays */
    assert_int_equal(cpu_rflags(cpu), RFLAGS_IF | RFLAGS_AC | 2);
}

static void power_on_init_and_start_up(void **state)
{
    struct cpu_fixture *f = *state;
    struct cpu *cpu = f->cpu;
    u64 value;
    cpu_fixture_long(f, 0);
    cpu->index = 1;
    cpu->mmu.paging.cr0 |= CR0_CD;
    cpu->msr.lstar = 0x1234;
    cpu_init_signal(cpu);
    assert_int_equal(cpu->mmu.paging.cr0, CR0_CD | CR0_ET);
    assert_int_equal(cpu->mmu.paging.efer | cpu->mmu.paging.cr4 | cpu->mmu.paging.cr3, 0);
    assert_int_equal(cpu->msr.lstar, 0x1234);
    assert_int_equal(cpu->activity, ACTIVITY_WAIT_FOR_SIPI);
    cpu_start_up(cpu, 0x9a);
    assert_int_equal(cpu->activity, ACTIVITY_RUNNING);
    assert_int_equal(cpu->seg[SEG_CS].base, 0x9a000);
    assert_int_equal(cpu->seg[SEG_CS].selector, 0x9a00);
    assert_int_equal(cpu->rip, 0);
    cpu_start_up(cpu, 0x10); /* it does not wait any more */
    assert_int_equal(cpu->seg[SEG_CS].base, 0x9a000);

    cpu->index = 0;
    cpu_reset(cpu);
    assert_int_equal(cpu->mmu.paging.cr0, CR0_CD | CR0_NW | CR0_ET);
    assert_int_equal(cpu->seg[SEG_CS].base, 0xffff0000);
    assert_int_equal(cpu->rip, 0xfff0);
    assert_int_equal(cpu->activity, ACTIVITY_RUNNING);
    assert_int_equal(cpu->msr.lstar, 0);
    assert_true(cpu_rdmsr(cpu, 0x277, &value)); /* PAT */
    assert_int_equal(value, 0x0007040600070406);
    assert_true(cpu_rdmsr(cpu, 0x1a0, &value)); /* MISC_ENABLE */
    assert_int_equal(value, 0x1801);            /* fast strings; neither BTS nor PEBS */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_on_init_and_start_up, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_state, setup, teardown),
        cmocka_unit_test_setup_teardown(init_and_start_up, setup, teardown),
        cmocka_unit_test_setup_teardown(cr0_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(enter_and_leave_long_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(cr3_and_pcid, setup, teardown),
        cmocka_unit_test_setup_teardown(pae_pdptes, setup, teardown),
        cmocka_unit_test_setup_teardown(reserved_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(debug_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(breakpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(single_step, setup, teardown),
        cmocka_unit_test_setup_teardown(tlb_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupt_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(pushf_and_popf, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
