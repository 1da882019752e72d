/*
 * vector.h - x87, MMX, SSE and AVX instructions, and those integer ones that the host executes for
 * us.
 */
#ifndef EXEC_INTERPRET_VECTOR_H
#define EXEC_INTERPRET_VECTOR_H

#include "exec/interpret/op.h"
#include "exec/interpret/thunk.h"

/*
 * Make op from insn.  The caller has set what says where the memory operand is (base, index, scale,
 * disp, ea, segment) and where the instruction is (offset, length), and has checked ATTR_UD_REAL
 * and LOCK.  Sets fn, imm, dst, src, size and aux, and for implicit memory operands the address.
 * False: not an instruction of this file's (then #UD, if nobody else has it).  Where
 * cpu->exec->thunks gets low, flush_wanted is set: the flush then has to empty it too.
 *
 * It takes every row with ATTR_X87, ATTR_MMX, ATTR_SSE or ATTR_AVX, and FXSAVE, FXRSTOR, XSAVE,
 * XSAVEOPT, XSAVEC, XRSTOR and XGETBV.
 */
bool vector_prepare(struct cpu *cpu, const struct insn *insn, struct op *op);

/* The same for integer instructions: BMI1, BMI2, ADX, CRC32, POPCNT, LZCNT, TZCNT, MOVBE, RDRAND
 * and RDSEED. */
bool thunk_prepare(struct cpu *cpu, const struct insn *insn, struct op *op);

/* ------------------------------------------------------------------ for the files of this part */

/* May the instruction be executed, by CR0, CR4 and XCR0?  False: #UD or #NM is pending. */
bool vector_check(struct cpu *cpu, u32 attributes);

/* Run a thunk.  False: what the host met instead is pending, or the CPU has stopped before it. */
bool vector_run(struct cpu *cpu, const struct thunk *t, void *memory, struct thunk_image *image);

/* Handlers that need more than a thunk; NULL if insn has none.  They may set fields of *op. */
op_fn *fpu_state_handler(struct cpu *cpu, const struct insn *insn, struct op *op);
op_fn *fpu_control_handler(const struct cpu *cpu, const struct insn *insn, struct op *op);
op_fn *vector_memory_handler(struct cpu *cpu, const struct insn *insn, struct op *op,
                             const struct thunk *thunk);

#endif
