/* test_vm_debug.c - debugging a whole machine by the API: stops are told, orders obeyed. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "vm_fixture.h"

/* again: inc eax; mov [0x500000], eax; cmp eax, 5; jnz again; out 0xf4, al */
static const u8 counter[] = {0x40, 0xa3, 0x00, 0x00, 0x50, 0x00,
                             0x83, 0xf8, 0x05, 0x75, 0xf5, CODE_EXIT};

#define AT_STORE (CODE_AT + 1)
#define AT_CMP   (CODE_AT + 6)
#define COUNT_AT 0x500000u

struct follower { /* what the callback saw, and does */
    struct ringer *m;
    struct ringer_stop stops[16];
    struct ringer_registers registers[16]; /* at each */
    unsigned count;
    unsigned wanted;           /* of stops: then the machine is stopped */
    struct ringer_order order; /* how it goes on */
};

static void on_stop(void *context, const struct ringer_stop *stop)
{
    struct follower *f = context;

    assert_true(ringer_is_paused(f->m));
    assert_true(f->count < 16);
    assert_int_equal(ringer_get_registers(f->m, stop->cpu, &f->registers[f->count]), 0);
    f->stops[f->count++] = *stop;
    if (f->count == f->wanted) {
        ringer_stop(f->m);
    } else {
        assert_int_equal(ringer_go(f->m, &f->order, 1), 0);
    }
}

static struct ringer *counting_machine(struct follower *f, bool icount)
{
    struct ringer_config config = small_config();
    struct ringer_registers r;

    config.icount = icount;
    f->m = machine_with_code(&config, counter, sizeof(counter));
    assert_int_equal(ringer_get_registers(f->m, 0, &r), 0);
    r.gpr[RAX] = 0;
    assert_int_equal(ringer_set_registers(f->m, 0, &r), 0);
    ringer_on_stop(f->m, on_stop, f);
    return f->m;
}

static void stop_each_round(enum ringer_break kind, u64 address, u64 size, u64 rip, bool icount)
{
    struct follower f = {.order.move = RINGER_RUN};
    struct ringer *m = counting_machine(&f, icount);
    struct ringer_exit end;

    assert_int_equal(ringer_set_breakpoint(m, kind, address, size), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_DEBUG);
    assert_int_equal(end.code, 5);
    assert_int_equal(f.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(f.stops[i].reason, RINGER_STOP_BREAK);
        assert_int_equal(f.stops[i].kind, kind);
        assert_int_equal(f.stops[i].address, address);
        assert_int_equal(f.registers[i].rip, rip);
        assert_int_equal(f.registers[i].gpr[RAX], i + 1);
        assert_int_equal(f.registers[i].instructions, 4 * i + (rip == AT_STORE ? 1 : 2));
    }
    ringer_destroy(m);
}

static void test_stops_are_told(void **state)
{
    (void)state;
    for (int icount = 0; icount < 2; icount++) {
        stop_each_round(RINGER_BREAK_EXECUTE, AT_STORE, 1, AT_STORE, icount);
        stop_each_round(RINGER_BREAK_WRITE, COUNT_AT, 4, AT_CMP, icount);
        stop_each_round(RINGER_BREAK_ACCESS, COUNT_AT + 3, 1, AT_CMP, icount);
    }
}

static void test_steps(void **state)
{
    struct follower f = {.order.move = RINGER_STEP, .wanted = 8};
    struct ringer *m = counting_machine(&f, false);
    struct ringer_exit end;

    (void)state;
    assert_int_equal(ringer_go(m, &f.order, 2), -EINVAL);
    assert_int_equal(ringer_go(m, &f.order, 1), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(f.stops[i].reason, RINGER_STOP_STEP);
        assert_int_equal(f.registers[i].instructions, i + 1);
    }
    /* Orders end with the stop: it runs to its end now. */
    assert_int_equal(ringer_resume(m), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_DEBUG);
    assert_int_equal(f.count, 8);
    ringer_destroy(m);
}

static void test_breakpoints_are_kept(void **state)
{
    struct follower f = {0};
    struct ringer *m = counting_machine(&f, false);
    struct ringer_exit end;
    int error = 0;

    (void)state;
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_EXECUTE, AT_CMP, 1), 0);
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_EXECUTE, AT_CMP, 1), -EEXIST);
    assert_int_equal(ringer_clear_breakpoint(m, RINGER_BREAK_EXECUTE, AT_STORE, 1), -ENOENT);
    assert_int_equal(ringer_clear_breakpoint(m, RINGER_BREAK_EXECUTE, AT_CMP, 1), 0);
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_WRITE, COUNT_AT, 0), -EINVAL);
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_WRITE, ~0ull, 2), -EINVAL);
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_WRITE, COUNT_AT, 4), 0);
    assert_int_equal(ringer_clear_breakpoint(m, RINGER_BREAK_READ, COUNT_AT, 4), -ENOENT);
    assert_int_equal(ringer_clear_breakpoint(m, RINGER_BREAK_WRITE, COUNT_AT, 4), 0);
    for (u64 gva = 1; (error = ringer_set_breakpoint(m, RINGER_BREAK_EXECUTE, gva, 1)) == 0;
         gva++) {
        assert_true(gva <= DEBUGGER_BREAKPOINTS);
    }
    assert_int_equal(error, -ENOSPC);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.code, 5);
    assert_int_equal(f.count, 0);
    ringer_destroy(m);
}

static void test_set_registers_meets_it_again(void **state)
{
    struct follower f = {.wanted = 1};
    struct ringer *m = counting_machine(&f, false);
    struct ringer_exit end;

    (void)state;
    assert_int_equal(ringer_set_breakpoint(m, RINGER_BREAK_EXECUTE, AT_STORE, 1), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
    f.wanted = 2;
    assert_int_equal(ringer_set_registers(m, 0, &f.registers[0]), 0);
    assert_int_equal(ringer_resume(m), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.registers[1].instructions, f.registers[0].instructions);
    ringer_destroy(m);
}

/* ------------------------------------------------------------------ memory and registers */

static void test_write_virtual(void **state)
{
    struct follower f = {0};
    struct ringer *m = counting_machine(&f, false);
    struct ringer_exit end;
    u8 bytes[3] = {1, 2, 3}, back[3];
    const u8 limit = 9;

    (void)state;
    assert_int_equal(ringer_write_virtual(m, 0, 0x600fff, bytes, 3), 0);
    assert_int_equal(ringer_read_virtual(m, 0, 0x600fff, back, 3), 0);
    assert_memory_equal(bytes, back, 3);
    assert_int_equal(ringer_write_virtual(m, 0, (32u << 20) - 1, back, 2), -EFAULT);
    assert_int_equal(ringer_write_virtual(m, 3, 0, back, 2), -EINVAL);
    assert_int_equal(ringer_write_virtual(m, 0, AT_CMP + 2, &limit, 1), 0); /* code */
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.code, 9);
    ringer_destroy(m);
}

/* fld1; fldpi; movups [0x500000], xmm3; out */
static void test_fpu(void **state)
{
    static const u8 code[] = {0xd9, 0xe8, 0xd9, 0xeb, 0x0f, 0x11,
                              0x1d, 0x00, 0x00, 0x50, 0x00, CODE_EXIT};
    static const u8 one[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, code, sizeof(code));
    struct ringer_registers r;
    struct ringer_fpu fpu, back;
    struct ringer_exit end;
    u8 bytes[16];

    (void)state;
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    r.cr4 |= CR4_OSFXSR;
    r.cr0 &= ~(u64)(CR0_EM | CR0_TS);
    assert_int_equal(ringer_set_registers(m, 0, &r), 0);
    assert_int_equal(ringer_get_fpu(m, 0, &fpu), 0);
    fpu.control = 0x037f;
    fpu.status = 0;
    fpu.tag = 0xffff;
    fpu.mxcsr = 0xffff1f80; /* the upper half is reserved */
    memset(fpu.ymm[3], 0x3c, sizeof(fpu.ymm[3]));
    assert_int_equal(ringer_set_fpu(m, 0, &fpu), 0);
    assert_int_equal(ringer_get_fpu(m, 0, &back), 0);
    assert_int_equal(back.tag, 0xffff);
    assert_int_equal(back.mxcsr, 0x1f80);
    assert_memory_equal(back.ymm[3], fpu.ymm[3], sizeof(fpu.ymm[3]));
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(ringer_get_fpu(m, 0, &back), 0);
    assert_memory_equal(back.st[1], one, sizeof(one));
    assert_int_equal(back.tag, 0x0fff); /* two valid ones in 7 and 6 */
    assert_int_equal(back.status >> 11 & 7, 6);
    assert_int_equal(ringer_read_memory(m, COUNT_AT, bytes, sizeof(bytes)), 0);
    assert_memory_equal(bytes, fpu.ymm[3], sizeof(bytes));
    ringer_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops_are_told),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_breakpoints_are_kept),
        cmocka_unit_test(test_set_registers_meets_it_again),
        cmocka_unit_test(test_write_virtual),
        cmocka_unit_test(test_fpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
