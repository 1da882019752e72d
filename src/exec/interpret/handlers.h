/*
 * handlers.h - what each file of handlers exports: functions that make the op of an instruction.
 *
 * The caller has set op's offset, length, size and memory operand; a prepare function sets fn and
 * what that handler reads.  False: this encoding is undefined after all (#UD).
 */
#ifndef EXEC_INTERPRET_HANDLERS_H
#define EXEC_INTERPRET_HANDLERS_H

#include "exec/interpret/op.h"

/* #GP(0) unless CPL is 0. */
static inline bool is_privileged(struct cpu *cpu)
{
    return cpu->cpl == 0 || cpu_raise_gp0(cpu);
}

typedef bool prepare_fn(struct cpu *cpu, const struct insn *insn, struct op *op);

/* alu.c */
prepare_fn prepare_alu, prepare_unary;

/* move.c */
prepare_fn prepare_mov, prepare_movzx, prepare_movsx, prepare_lea, prepare_xchg, prepare_cmovcc,
    prepare_setcc, prepare_bswap, prepare_cbw, prepare_cwd, prepare_xlat, prepare_salc;

/* flag.c */
prepare_fn prepare_flag, prepare_nop;

/* shift.c */
prepare_fn prepare_shift, prepare_double_shift;

/* bits.c */
prepare_fn prepare_bit_test, prepare_bit_scan;

/* multiply.c */
prepare_fn prepare_multiply, prepare_imul, prepare_divide, prepare_decimal;

/* atomic.c */
prepare_fn prepare_cmpxchg, prepare_cmpxchg8b, prepare_xadd;

/* branch.c */
prepare_fn prepare_jcc, prepare_jmp, prepare_call, prepare_ret, prepare_loop;

/* stack.c */
prepare_fn prepare_push, prepare_pop, prepare_pusha, prepare_popa, prepare_pushf, prepare_popf,
    prepare_enter, prepare_leave;

/* string.c */
prepare_fn prepare_string;

/* io.c */
prepare_fn prepare_in_out, prepare_ins_outs;

/* far.c */
prepare_fn prepare_far, prepare_int, prepare_mov_seg, prepare_push_seg, prepare_pop_seg,
    prepare_load_far_pointer, prepare_bound;

/* system.c */
prepare_fn prepare_system, prepare_mov_cr, prepare_mov_dr;

/* descriptor.c */
prepare_fn prepare_descriptor_table, prepare_selector;

#endif
