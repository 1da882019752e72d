/*
 * test_debugger.c - a debugger's breakpoints, watchpoints and steps in the interpreter: exact, in
 * lines and alone, and unseen by the guest.
 */
#include <cmocka.h>

#include "interpret_fixture.h"

#include "isa/debug.h"

#define CODE    0x100000u
#define DATA    0x200000u
#define HANDLER 0x180000u

static struct debugger_list *list_of(struct cpu_fixture *f)
{
    return (struct debugger_list *)f->cpu->debugger.list;
}

static struct cpu_fixture *debugged(void)
{
    struct cpu_fixture *f = long_mode();

    f->clock.icount = false;
    f->cpu->debugger.list = calloc(1, sizeof(struct debugger_list));
    return f;
}

/* #UD and NMI go to HANDLER, which halts. */
static void handlers(struct cpu_fixture *f)
{
    CODE_AT(f, HANDLER, 0xf4);
    cpu_fixture_idt(f, VECTOR_UD, FIXTURE_CODE0, HANDLER, SEGMENT_P | SYSTEM_INTERRUPT_GATE, 0);
    cpu_fixture_idt(f, VECTOR_NMI, FIXTURE_CODE0, HANDLER, SEGMENT_P | SYSTEM_INTERRUPT_GATE, 0);
}

static void done(struct cpu_fixture *f)
{
    free(list_of(f));
    interpret_fixture_free(f);
}

static void changed(struct cpu_fixture *f)
{
    debugger_update(f->cpu);
    exec_flush(f->cpu);
    mmu_flush(&f->cpu->mmu);
}

/* Ascending ones only. */
static void breakpoint(struct cpu_fixture *f, gva_t gva)
{
    struct debugger_list *list = list_of(f);

    list->breakpoints[list->breakpoint_count++] = gva;
    list->offsets[(gva & ~PAGE_MASK) / 64] |= 1ull << (gva % 64);
    changed(f);
}

static void watch(struct cpu_fixture *f, gva_t gva, u64 size, bool reads, bool writes)
{
    struct mmu_watches *w = &list_of(f)->watches;

    w->watch[w->count++] = (struct mmu_watch){gva, size, reads, writes};
    changed(f);
}

/* Run on after whatever it stopped for. */
static enum debugger_stop go(struct cpu_fixture *f)
{
    struct debugger *d = &f->cpu->debugger;

    d->passed = d->stop == DEBUGGER_BREAKPOINT ? f->cpu->icount + 1 : 0;
    d->stop = DEBUGGER_GO_ON;
    enum cpu_exit exit = run(f, 100000);
    assert_int_equal(exit == EXIT_DEBUGGER, d->stop != DEBUGGER_GO_ON);
    return (enum debugger_stop)d->stop;
}

/* ------------------------------------------------------------------ breakpoints */

/* again: inc eax; dec ebx; jnz again; hlt */
static void loop(struct cpu_fixture *f, u64 rounds)
{
    CODE_AT(f, CODE, 0xff, 0xc0, 0xff, 0xcb, 0x75, 0xfa, 0xf4);
    f->cpu->gpr[RBX] = rounds;
}

static void a_breakpoint_stops_each_time(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 3);
    breakpoint(f, CODE + 2);
    for (u64 i = 1; i <= 3; i++) {
        assert_int_equal(go(f), DEBUGGER_BREAKPOINT);
        assert_int_equal(f->cpu->debugger.address, CODE + 2);
        assert_int_equal(f->cpu->rip, CODE + 2);
        assert_int_equal(f->cpu->gpr[RAX], i); /* before it, and after all that precedes it */
        assert_int_equal(f->cpu->gpr[RBX], 4 - i);
        assert_int_equal(f->cpu->icount, 1 + 3 * (i - 1));
    }
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    assert_int_equal(f->cpu->activity, ACTIVITY_HALTED);
    assert_int_equal(f->cpu->icount, 10);
    done(f);
}

/* Lines are shared by all that has the same offset and bytes: the address counts. */
static void the_same_offset_elsewhere_does_not_stop(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 1000);
    breakpoint(f, CODE + 2 + PAGE_SIZE);
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    assert_int_equal(f->cpu->icount, 3001);
    assert_int_equal(f->cpu->gpr[RAX], 1000);
    done(f);
}

/* An address within an instruction is not one. */
static void only_a_first_byte_stops(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 2);
    breakpoint(f, CODE + 3);
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    done(f);
}

/* Neither of them can be in a line. */
static void at_a_page_end_and_at_an_undefined_instruction(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    CODE_AT(f, CODE + 0xffe, 0x48, 0xff, 0xc0, 0x0f, 0x0b); /* inc rax; ud2 */
    f->cpu->rip = CODE + 0xffe;
    breakpoint(f, CODE + 0xffe);
    breakpoint(f, CODE + 0x1001);
    assert_int_equal(go(f), DEBUGGER_BREAKPOINT);
    assert_int_equal(f->cpu->gpr[RAX], 0);
    assert_int_equal(go(f), DEBUGGER_BREAKPOINT);
    assert_int_equal(f->cpu->gpr[RAX], 1);
    assert_int_equal(f->cpu->rip, CODE + 0x1001);
    assert_false(f->cpu->fault.pending);
    done(f);
}

static void the_guest_has_its_own_breakpoints(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 1);
    f->cpu->dr[0] = CODE + 2;
    f->cpu->dr[7] |= 1;
    cpu_update_mode(f->cpu);
    breakpoint(f, CODE + 2);
    assert_int_equal(go(f), DEBUGGER_BREAKPOINT);
    assert_false(f->cpu->fault.pending);
    f->cpu->debugger.stop = DEBUGGER_GO_ON;
    f->cpu->debugger.passed = f->cpu->icount + 1;
    interpret_fixture_run(f, 1);
    assert_true(f->cpu->fault.pending);
    assert_int_equal(f->cpu->fault.vector, VECTOR_DB);
    done(f);
}

/* Real mode: the address is CS.base + IP. */
static void addresses_are_linear(void **state)
{
    struct cpu_fixture *f = interpret_fixture_new();
    (void)state;
    f->cpu->debugger.list = calloc(1, sizeof(struct debugger_list));
    segment_load_real(f->cpu, SEG_CS, 0x2000);
    cpu_update_mode(f->cpu);
    f->cpu->rip = 0x10;
    CODE_AT(f, 0x20010, 0x40, 0x40, 0xf4);
    breakpoint(f, 0x20011);
    assert_int_equal(go(f), DEBUGGER_BREAKPOINT);
    assert_int_equal(f->cpu->rip, 0x11);
    assert_int_equal(f->cpu->gpr[RAX], 1);
    done(f);
}

/* ------------------------------------------------------------------ watchpoints */

static void a_write_is_seen_after_it(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    /* mov eax, [rsi]; mov [rsi + 4], eax; inc dword [rsi + 12]; mov [rsi + 8], al; hlt */
    CODE_AT(f, CODE, 0x8b, 0x06, 0x89, 0x46, 4, 0xff, 0x46, 12, 0x88, 0x46, 8, 0xf4);
    f->cpu->gpr[RSI] = DATA;
    watch(f, DATA + 5, 2, false, true);
    watch(f, DATA + 12, 4, false, true);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE + 5);
    assert_int_equal(f->cpu->debugger.watch, 0);
    assert_int_equal(f->cpu->debugger.address, DATA + 5);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE + 8);
    assert_int_equal(f->cpu->debugger.watch, 1);
    assert_int_equal(f->mem.base[DATA + 12], 1);
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    assert_int_equal(f->cpu->icount, 5);
    done(f);
}

static void reads_and_accesses(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    /* mov [rsi], eax; mov eax, [rsi]; mov [rsi + 8], eax; mov eax, [rsi + 8]; hlt */
    CODE_AT(f, CODE, 0x89, 0x06, 0x8b, 0x06, 0x89, 0x46, 8, 0x8b, 0x46, 8, 0xf4);
    f->cpu->gpr[RSI] = DATA;
    watch(f, DATA, 1, true, false);
    watch(f, DATA + 8, 1, true, true);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE + 4);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE + 7);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE + 10);
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    done(f);
}

/* It stops after the iteration, and the rest of the repetition follows. */
static void a_repetition_stops_within(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    CODE_AT(f, CODE, 0xf3, 0xaa, 0xf4); /* rep stosb; hlt */
    f->cpu->gpr[RDI] = DATA;
    f->cpu->gpr[RCX] = 6000;
    f->cpu->gpr[RAX] = 0x5a;
    watch(f, DATA + 5000, 1, false, true);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, CODE);
    assert_int_equal(f->cpu->gpr[RDI], DATA + 5001);
    assert_int_equal(f->cpu->gpr[RCX], 999);
    assert_int_equal(go(f), DEBUGGER_GO_ON);
    assert_int_equal(f->cpu->gpr[RCX], 0);
    assert_int_equal(f->cpu->icount, 2);
    done(f);
}

/* The frame of an exception: a store that no instruction makes. */
static void a_push_by_the_cpu_is_seen(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    CODE_AT(f, CODE, 0x0f, 0x0b);
    handlers(f);
    watch(f, FIXTURE_STACK - 8 * 5, 8, false, true);
    assert_int_equal(go(f), DEBUGGER_WATCHPOINT);
    assert_int_equal(f->cpu->rip, HANDLER);
    done(f);
}

/* ------------------------------------------------------------------ steps */

static void one_instruction(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 3);
    f->cpu->debugger.stepping = true;
    debugger_update(f->cpu);
    for (u64 i = 1; i <= 5; i++) {
        assert_int_equal(go(f), DEBUGGER_STEPPED);
        assert_int_equal(f->cpu->icount, i);
    }
    assert_int_equal(f->cpu->gpr[RAX], 2);
    assert_false(f->cpu->rflags & RFLAGS_TF);
    done(f);
}

static void a_range_is_stepped_through(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 300);
    f->cpu->debugger.stepping = true;
    f->cpu->debugger.step_start = CODE;
    f->cpu->debugger.step_end = CODE + 6;
    debugger_update(f->cpu);
    assert_int_equal(go(f), DEBUGGER_STEPPED);
    assert_int_equal(f->cpu->rip, CODE + 6);
    assert_int_equal(f->cpu->icount, 900);
    done(f);
}

/* So that the count of instructions does not depend on who looks. */
static void a_repetition_is_one_step(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    CODE_AT(f, CODE, 0xf3, 0xaa, 0xf4); /* rep stosb; hlt */
    f->cpu->gpr[RDI] = DATA;
    f->cpu->gpr[RCX] = 100;
    f->cpu->debugger.stepping = true;
    debugger_update(f->cpu);
    assert_int_equal(go(f), DEBUGGER_STEPPED);
    assert_int_equal(f->cpu->rip, CODE + 2);
    assert_int_equal(f->cpu->icount, 1);
    done(f);
}

static void a_fault_steps_into_its_handler(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    CODE_AT(f, CODE, 0x0f, 0x0b);
    handlers(f);
    f->cpu->debugger.stepping = true;
    debugger_update(f->cpu);
    assert_int_equal(go(f), DEBUGGER_STEPPED);
    assert_int_equal(f->cpu->rip, HANDLER);
    assert_int_equal(f->cpu->gpr[RSP], FIXTURE_STACK - 8 * 5);
    done(f);
}

static void steps_hold_interrupts_off(void **state)
{
    struct cpu_fixture *f = debugged();
    (void)state;
    loop(f, 3);
    handlers(f);
    f->cpu->debugger.stepping = true;
    f->cpu->nmi_pending = true;
    debugger_update(f->cpu);
    assert_int_equal(go(f), DEBUGGER_STEPPED);
    assert_int_equal(f->cpu->rip, CODE + 2);
    f->clock.icount = true; /* virtual time: everything as without a debugger */
    assert_int_equal(go(f), DEBUGGER_STEPPED);
    assert_false(f->cpu->nmi_pending);
    assert_int_equal(f->cpu->rip, HANDLER);
    assert_int_equal(f->cpu->icount, 1);
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_breakpoint_stops_each_time),
        cmocka_unit_test(the_same_offset_elsewhere_does_not_stop),
        cmocka_unit_test(only_a_first_byte_stops),
        cmocka_unit_test(at_a_page_end_and_at_an_undefined_instruction),
        cmocka_unit_test(the_guest_has_its_own_breakpoints),
        cmocka_unit_test(addresses_are_linear),
        cmocka_unit_test(a_write_is_seen_after_it),
        cmocka_unit_test(reads_and_accesses),
        cmocka_unit_test(a_repetition_stops_within),
        cmocka_unit_test(a_push_by_the_cpu_is_seen),
        cmocka_unit_test(one_instruction),
        cmocka_unit_test(a_range_is_stepped_through),
        cmocka_unit_test(a_repetition_is_one_step),
        cmocka_unit_test(a_fault_steps_into_its_handler),
        cmocka_unit_test(steps_hold_interrupts_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
