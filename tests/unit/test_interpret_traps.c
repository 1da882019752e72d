/*
 * test_interpret_traps.c - what happens between two instructions: code that has changed, single
 * steps, interrupts and their shadows; and what CPL 3 may not do.
 */
#include <cmocka.h>

#include "interpret_fixture.h"

/* ------------------------------------------------------------------ changes of mode */

/* CPL 0: nop; sysretq.  CPL 3: nop; syscall.  And back to the start. */
static void returns_at_changes_of_mode_where_it_is_asked_to(void **state)
{
    struct cpu_fixture *f = long_mode();
    struct cpu *cpu = f->cpu;

    (void)state;
    CODE_AT(f, 0x100000, 0x90, 0x48, 0x0f, 0x07);
    CODE_AT(f, 0x200000, 0x90, 0x0f, 0x05, 0xeb, 0xfb);
    cpu->msr.star = (u64)FIXTURE_CODE0 << 32 | (u64)(FIXTURE_CODE3 - 16) << 48;
    cpu->msr.lstar = 0x100000;
    cpu->gpr[RCX] = 0x200000;
    interpret_return_at_mode_change(cpu, true);
    for (unsigned i = 1; i <= 4; i++) {
        interpret_fixture_run(f, 1000);
        assert_int_equal(cpu->cpl, i % 2 ? 3 : 0);
        assert_int_equal(cpu->icount, i == 1 ? 2 : i == 2 ? 4 : i == 3 ? 6 : 9);
    }
    interpret_return_at_mode_change(cpu, false);
    interpret_fixture_run(f, 1000);
    assert_int_equal(cpu->icount, 1009);
    interpret_fixture_free(f);
}

/* Lockstep's clock.  CPL 0: nop; sysretq.  CPL 3: nop; nop; rdtsc; syscall. */
static void user_mode_takes_no_time(void **state)
{
    struct cpu_fixture *f = long_mode();
    struct cpu *cpu = f->cpu;

    (void)state;
    CODE_AT(f, 0x100000, 0x90, 0x48, 0x0f, 0x07);
    CODE_AT(f, 0x200000, 0x90, 0x90, 0x0f, 0x31, 0x0f, 0x05);
    cpu->msr.star = (u64)FIXTURE_CODE0 << 32 | (u64)(FIXTURE_CODE3 - 16) << 48;
    cpu->msr.lstar = 0x100000;
    cpu->gpr[RCX] = 0x200000;
    f->clock.supervisor_only = true;
    assert_int_equal(run(f, 1000), EXIT_MODE);
    assert_int_equal(cpu->cpl, 3);
    assert_int_equal(clock_ns(cpu), 2);
    assert_int_equal(run(f, 1), EXIT_LIMIT); /* within the stay: an interrupt has to wait */
    assert_true(clock_stands(cpu));
    assert_int_equal(clock_ns(cpu), 2);
    cpu->lapic.deadline_ns = 3;
    assert_int_equal(run(f, 1000), EXIT_MODE);
    assert_int_equal(cpu->cpl, 0);
    assert_int_equal((u32)cpu->gpr[RAX], 2 + CLOCK_READ_NS);
    assert_int_equal(clock_ns(cpu), 2 + CLOCK_READ_NS + CLOCK_ENTRY_NS);
    assert_int_equal(cpu->icount, 6);
    interpret_fixture_free(f);
}

/* ------------------------------------------------------------------ code that changes */

static void the_next_instruction_is_changed(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    /* mov byte [rip + 1], 0xb3; mov al, 1; ud2 */
    CODE_AT(f, 0x100000, 0xc6, 0x05, 1, 0, 0, 0, 0xb3, 0xb0, 1, 0x0f, 0x0b);
    interpret_fixture_run(f, 10000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->gpr[RAX], 0xb3);
    assert_int_equal(f->cpu->rip, 0x100009);
    assert_int_equal(f->cpu->icount, 2);
    interpret_fixture_free(f);
}

/* An immediate that a loop counts up, by each of the ways to store. */
static void a_loop_changes_itself(void **state)
{
    static const u8 stores[][4] = {
        {0xfe, 0x07, 0x90, 0x90}, /* inc byte [rdi] */
        {0xf0, 0xfe, 0x07, 0x90}, /* lock inc byte [rdi] */
        {0x88, 0x17, 0x90, 0x90}, /* mov [rdi], dl */
        {0x86, 0x17, 0x90, 0x90}, /* xchg [rdi], dl */
        {0x0f, 0xc0, 0x0f, 0x90}, /* xadd [rdi], cl: adds the counter */
        {0xd0, 0x07, 0x90, 0x90}, /* rol byte [rdi], 1 */
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(stores); i++) {
        struct cpu_fixture *f = long_mode();
        u64 sum = 0;
        u8 value = 1;
        /* again: add al, 1; <store>; dec ebx; jnz again; ud2 */
        CODE_AT(f, 0x100000, 0x04, 1);
        interpret_fixture_code(f, 0x100002, stores[i], 4);
        CODE_AT(f, 0x100006, 0xff, 0xcb, 0x75, 0xf6, 0x0f, 0x0b);
        f->cpu->gpr[RDI] = 0x100001;
        f->cpu->gpr[RBX] = 4;
        f->cpu->gpr[RDX] = 5;
        f->cpu->gpr[RCX] = 2;
        interpret_fixture_run(f, 10000);
        u8 dl = 5, cl = 2;
        for (unsigned k = 0; k < 4; k++) {
            u8 old = value;
            sum += value;
            value = i < 2 ? value + 1 : i == 2 ? 5 : i == 3 ? dl : i == 4 ? value + cl : value * 2;
            dl = i == 3 ? old : dl;
            cl = i == 4 ? old : cl;
        }
        assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
        assert_int_equal((u8)f->cpu->gpr[RAX], (u8)sum);
        interpret_fixture_free(f);
    }
}

static void strings_and_pushes_change_code(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    /* rep stosb over the mov's immediate; mov eax, 0; push rbx over the next; mov ecx, 0; ud2 */
    CODE_AT(f, 0x100000, 0xf3, 0xaa, 0xb8, 0, 0, 0, 0, 0x53, 0xb9, 0, 0, 0, 0, 0x0f, 0x0b);
    f->cpu->gpr[RDI] = 0x100003;
    f->cpu->gpr[RCX] = 4;
    f->cpu->gpr[RAX] = 0x5a;
    f->cpu->gpr[RBX] = 0x0b0f12345678b990;
    f->cpu->gpr[RSP] = 0x100007 + 8;
    interpret_fixture_run(f, 10000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->gpr[RAX], 0x5a5a5a5a);
    assert_int_equal(f->cpu->gpr[RCX], 0x12345678);
    interpret_fixture_free(f);
}

/* Code of one page is changed while another runs, and is then called again. */
static void another_page_is_changed(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    CODE_AT(f, 0x200000, 0xb0, 1, 0xc3);           /* mov al, 1; ret */
    CODE_AT(f, 0x100000, 0xff, 0xd6, 0x00, 0xc1,   /* call rsi; add cl, al */
            0xfe, 0x46, 1, 0xff, 0xd6, 0x00, 0xc1, /* inc byte [rsi + 1]; call; add */
            0x0f, 0x0b);
    f->cpu->gpr[RSI] = 0x200000;
    interpret_fixture_run(f, 10000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->gpr[RCX], 3);
    interpret_fixture_free(f);
}

/* The same bytes at one address, in code of 64 and of 32 bits. */
static void one_place_in_two_modes(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    CODE_AT(f, 0x100000, 0x48, 0x31, 0xc0, 0x0f, 0x0b); /* xor rax, rax; or dec eax; xor eax, eax */
    f->cpu->gpr[RAX] = 5;
    interpret_fixture_run(f, 10000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->icount, 1);
    load_selector(f, SEG_CS, FIXTURE_CODE16);
    f->cpu->seg[SEG_CS].limit = 0xffffffff;
    f->cpu->seg[SEG_CS].attributes |= SEGMENT_DB;
    cpu_update_mode(f->cpu);
    f->cpu->rip = 0x100000;
    interpret_fixture_run(f, 10000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->icount, 3);
    interpret_fixture_free(f);
}

/* ------------------------------------------------------------------ traps and shadows */

static bool stepped(struct cpu_fixture *f)
{
    struct fault fault = f->cpu->fault;
    f->cpu->fault = (struct fault){0};
    return fault.pending && fault.vector == VECTOR_DB && fault.dr6_bits == 1 << 14;
}

static void each_iteration_is_stepped(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    CODE_AT(f, 0x100000, 0xf3, 0xaa, 0x90);
    f->cpu->gpr[RCX] = 3;
    f->cpu->gpr[RDI] = 0x6000;
    cpu_set_rflags(f->cpu, RFLAGS_FIXED | RFLAGS_TF);
    for (u64 left = 3; left--;) {
        interpret_fixture_run(f, 1000);
        assert_true(stepped(f));
        assert_int_equal(f->cpu->gpr[RCX], left);
        assert_int_equal(f->cpu->rip, left ? 0x100000 : 0x100002);
    }
    interpret_fixture_run(f, 1000);
    assert_true(stepped(f));
    assert_int_equal(f->cpu->rip, 0x100003);
    interpret_fixture_free(f);
}

static void loading_ss_delays_the_step(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    CODE_AT(f, 0x100000, 0x8e, 0xd0, 0x90, 0x90);
    f->cpu->gpr[RAX] = FIXTURE_DATA0;
    cpu_set_rflags(f->cpu, RFLAGS_FIXED | RFLAGS_TF);
    interpret_fixture_run(f, 1000);
    assert_true(stepped(f));
    assert_int_equal(f->cpu->rip, 0x100003);
    interpret_fixture_free(f);
}

/* A PIC interrupt of vector 0x30 is pending; its handler is HLT. */
static struct cpu_fixture *with_interrupt(u32 flags)
{
    struct cpu_fixture *f = long_mode();
    cpu_fixture_idt(f, 0x30, FIXTURE_CODE0, 0x300000, SEGMENT_P | SYSTEM_INTERRUPT_GATE, 0);
    CODE_AT(f, 0x300000, 0xf4);
    f->acknowledge_vector = 0x30;
    lapic_set_virtual_wire(f->cpu);
    cpu_set_rflags(f->cpu, RFLAGS_FIXED | flags);
    interrupt_post_event(&f->cpu->fabric, 0, INBOX_EXTINT);
    return f;
}

/* Where did the interrupt come? */
static u64 interrupted_at(struct cpu_fixture *f)
{
    assert_int_equal(run(f, 1000), EXIT_HALTED);
    assert_int_equal(f->cpu->rip, 0x300001);
    return cpu_fixture_get(f, f->cpu->gpr[RSP], 8);
}

static void sti_holds_interrupts_off_for_one_instruction(void **state)
{
    struct cpu_fixture *f = with_interrupt(0);
    (void)state;
    CODE_AT(f, 0x100000, 0x90, 0xfb, 0x90, 0x90, 0xf4);
    assert_int_equal(interrupted_at(f), 0x100003);
    interpret_fixture_free(f);

    f = with_interrupt(0); /* STI; CLI: none comes at all */
    CODE_AT(f, 0x100000, 0xfb, 0xfa, 0x90, 0xf4);
    assert_int_equal(run(f, 1000), EXIT_HALTED);
    assert_int_equal(f->cpu->rip, 0x100004);
    interpret_fixture_free(f);

    f = with_interrupt(0); /* STI; HLT: it wakes the CPU */
    CODE_AT(f, 0x100000, 0xfb, 0xf4, 0x90, 0x90);
    assert_int_equal(interrupted_at(f), 0x100002);
    interpret_fixture_free(f);

    f = with_interrupt(RFLAGS_IF); /* STI with IF set already casts no shadow */
    CODE_AT(f, 0x100000, 0xfb, 0x90, 0xf4);
    assert_int_equal(interrupted_at(f), 0x100000);
    interpret_fixture_free(f);
}

static void popf_does_not(void **state)
{
    struct cpu_fixture *f = with_interrupt(0);
    (void)state;
    CODE_AT(f, 0x100000, 0x9d, 0x90, 0x90, 0xf4);
    cpu_fixture_put(f, FIXTURE_STACK, RFLAGS_FIXED | RFLAGS_IF, 8);
    assert_int_equal(interrupted_at(f), 0x100001);
    interpret_fixture_free(f);
}

static void loading_ss_holds_interrupts_off(void **state)
{
    struct cpu_fixture *f = with_interrupt(0);
    (void)state;
    CODE_AT(f, 0x100000, 0xfb, 0x8e, 0xd0, 0x90, 0x90, 0xf4); /* sti; mov ss, eax; nop; nop */
    f->cpu->gpr[RAX] = FIXTURE_DATA0;
    assert_int_equal(interrupted_at(f), 0x100004);
    interpret_fixture_free(f);
}

static void hlt_is_woken(void **state)
{
    struct cpu_fixture *f = with_interrupt(RFLAGS_IF);
    (void)state;
    atomic_store(&f->inbox->events, 0);
    CODE_AT(f, 0x100000, 0xf4, 0x90);
    assert_int_equal(run(f, 1000), EXIT_HALTED);
    assert_int_equal(f->cpu->rip, 0x100001);
    assert_int_equal(run(f, 1000), EXIT_HALTED); /* and nothing has woken it */
    interrupt_post_event(&f->cpu->fabric, 0, INBOX_EXTINT);
    assert_int_equal(interrupted_at(f), 0x100001);
    /* Not with interrupts off, but by an NMI. */
    atomic_store(&f->inbox->events, 0);
    assert_int_equal(run(f, 1000), EXIT_HALTED);
    cpu_fixture_idt(f, VECTOR_NMI, FIXTURE_CODE0, 0x310000, SEGMENT_P | SYSTEM_INTERRUPT_GATE, 0);
    CODE_AT(f, 0x310000, 0xf4);
    interrupt_post_event(&f->cpu->fabric, 0, INBOX_NMI);
    assert_int_equal(run(f, 1000), EXIT_HALTED);
    assert_int_equal(f->cpu->rip, 0x310001);
    interpret_fixture_free(f);
}

/* A repeated instruction stops for attention, not yet counted, and goes on afterwards. */
static void a_repetition_is_interrupted(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    CODE_AT(f, 0x100000, 0xf3, 0xaa, 0x0f, 0x0b);
    f->cpu->gpr[RCX] = 0x100000;
    f->cpu->gpr[RDI] = 0x400000;
    f->cpu->gpr[RAX] = 0x5a;
    atomic_store(&f->inbox->attention, 1);
    interpret_fixture_run(f, 100000);
    assert_false(f->cpu->fault.pending);
    assert_in_range(f->cpu->gpr[RCX], 1, 0xfffff);
    assert_int_equal(f->cpu->gpr[RCX] + f->cpu->gpr[RDI], 0x500000);
    assert_int_equal(f->cpu->rip, 0x100000);
    assert_int_equal(f->cpu->icount, 0);
    atomic_store(&f->inbox->attention, 0);
    interpret_fixture_run(f, 100000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->icount, 1);
    assert_int_equal(f->cpu->gpr[RCX], 0);
    assert_int_equal(cpu_fixture_get(f, 0x4fffff, 1), 0x5a);
    assert_int_equal(cpu_fixture_get(f, 0x500000, 1), 0);
    interpret_fixture_free(f);
}

/* ------------------------------------------------------------------ privilege */

static void ports_by_the_bitmap(void **state)
{
    struct cpu_fixture *f = interpret_fixture_new();
    (void)state;
    cpu_fixture_long(f, 3);
    CODE_AT(f, 0x100000, 0xec, 0xee, 0xed, 0x6c); /* in al, dx; out dx, al; in eax, dx; insb */
    cpu_fixture_put(f, FIXTURE_TSS + 0x88 + 0x60 / 8, 0x10, 1); /* port 0x64 is not allowed */
    f->cpu->gpr[RDX] = 0x60;
    f->cpu->gpr[RDI] = 0x6000;
    interpret_fixture_run(f, 4);
    assert_false(f->cpu->fault.pending);
    assert_int_equal(f->cpu->rip, 0x100004);
    f->cpu->gpr[RDX] = 0x61; /* four ports, of which one is not allowed */
    f->cpu->rip = 0x100002;
    interpret_fixture_run(f, 1);
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    f->cpu->gpr[RDX] = 0x64;
    f->cpu->rip = 0x100000;
    interpret_fixture_run(f, 1);
    assert_true(cpu_fixture_faulted(f, VECTOR_GP, 0));
    cpu_set_rflags(f->cpu, RFLAGS_FIXED | RFLAGS_IOPL);
    interpret_fixture_run(f, 1);
    assert_false(f->cpu->fault.pending);
    interpret_fixture_free(f);
}

static void privileged_instructions(void **state)
{
    static const u8 codes[][4] = {
        {0xf4},             /* hlt */
        {0x0f, 0x20, 0xc0}, /* mov rax, cr0 */
        {0x0f, 0x22, 0xd8}, /* mov cr3, rax */
        {0x0f, 0x21, 0xc0}, /* mov rax, dr0 */
        {0x0f, 0x30},       /* wrmsr */
        {0x0f, 0x32},       /* rdmsr */
        {0x0f, 0x06},       /* clts */
        {0x0f, 0x08},       /* invd */
        {0x0f, 0x09},       /* wbinvd */
        {0x0f, 0x01, 0xf8}, /* swapgs */
        {0x0f, 0x01, 0x3e}, /* invlpg [rsi] */
        {0x0f, 0x01, 0x16}, /* lgdt [rsi] */
        {0x0f, 0x00, 0xd0}, /* lldt ax */
        {0xfa},             /* cli */
        {0xfb},             /* sti */
        {0x0f, 0x31},       /* rdtsc, with CR4.TSD */
        {0x0f, 0x01, 0x06}, /* sgdt [rsi], with CR4.UMIP */
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        struct cpu_fixture *f = interpret_fixture_new();
        cpu_fixture_long(f, 3);
        f->cpu->mmu.paging.cr4 |= CR4_TSD | CR4_UMIP;
        f->cpu->gpr[RSI] = 0x6000;
        interpret_fixture_code(f, 0x100000, codes[i], 4);
        interpret_fixture_run(f, 1);
        if (!cpu_fixture_faulted(f, VECTOR_GP, 0)) {
            fail_msg("%02x %02x %02x at CPL 3", codes[i][0], codes[i][1], codes[i][2]);
        }
        assert_int_equal(f->cpu->rip, 0x100000);
        interpret_fixture_free(f);
    }
}

/* cmpxchg16b [rsi]: the host's own does it. */
static void cmpxchg16b_is_there_where_the_host_has_it(void **state)
{
    (void)state;
    for (unsigned has = 0; has < 2; has++) {
        struct cpu_fixture *f = long_mode();
        u32 out[4];
        f->cpu->host_cpuid =
            (struct cpuid_host){.known = true, .leaf1_ecx = has ? CPUID_1C_CX16 : 0};
        f->cpu->gpr[RSI] = 0x6000;
        CODE_AT(f, 0x100000, 0x48, 0x0f, 0xc7, 0x0e);
        cpu_cpuid(f->cpu, 1, 0, out);
        assert_int_equal(!!(out[CPUID_ECX] & CPUID_1C_CX16), has);
        interpret_fixture_run(f, 1);
        assert_int_equal(f->cpu->rip, has ? 0x100004 : 0x100000);
        assert_int_equal(cpu_fixture_faulted(f, VECTOR_UD, -1), !has);
        interpret_fixture_free(f);
    }
}

static void time_moves_by_instructions(void **state)
{
    struct cpu_fixture *f = long_mode();
    (void)state;
    /* rdtsc; mov ebx, eax; nop; nop; rdtsc; sub eax, ebx; ud2 */
    CODE_AT(f, 0x100000, 0x0f, 0x31, 0x89, 0xc3, 0x90, 0x90, 0x0f, 0x31, 0x29, 0xd8, 0x0f, 0x0b);
    interpret_fixture_run(f, 1000);
    assert_true(cpu_fixture_faulted(f, VECTOR_UD, -1));
    assert_int_equal(f->cpu->gpr[RAX], 4); /* one nanosecond an instruction, and 1 GHz */
    assert_int_equal(f->cpu->icount, 6);
    interpret_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns_at_changes_of_mode_where_it_is_asked_to),
        cmocka_unit_test(user_mode_takes_no_time),
        cmocka_unit_test(the_next_instruction_is_changed),
        cmocka_unit_test(a_loop_changes_itself),
        cmocka_unit_test(strings_and_pushes_change_code),
        cmocka_unit_test(another_page_is_changed),
        cmocka_unit_test(one_place_in_two_modes),
        cmocka_unit_test(each_iteration_is_stepped),
        cmocka_unit_test(loading_ss_delays_the_step),
        cmocka_unit_test(sti_holds_interrupts_off_for_one_instruction),
        cmocka_unit_test(popf_does_not),
        cmocka_unit_test(loading_ss_holds_interrupts_off),
        cmocka_unit_test(hlt_is_woken),
        cmocka_unit_test(a_repetition_is_interrupted),
        cmocka_unit_test(ports_by_the_bitmap),
        cmocka_unit_test(privileged_instructions),
        cmocka_unit_test(cmpxchg16b_is_there_where_the_host_has_it),
        cmocka_unit_test(time_moves_by_instructions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
