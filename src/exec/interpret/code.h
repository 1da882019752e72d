/*
 * code.h - the interpreter's code cache: straight lines of ops by guest-physical address.
 *
 *      jump cache   RIP -> op           direct-mapped; good in one address space and mode
 *      line table   gpa, mode -> line   hashed; survives changes of address space
 *      line         start, end, ops     one run of ops within one page
 *      pages        gfn -> its lines    so that a store finds what it has made stale
 *
 * A line that has become stale is not freed: each of its ops is made op_stale(), which leaves to
 * the run loop.  So a stale pointer to an op, wherever it is kept, is harmless, and nothing has to
 * search for it.  When a pool is full everything is dropped at once, from the run loop only.
 */
#ifndef EXEC_INTERPRET_CODE_H
#define EXEC_INTERPRET_CODE_H

#include "exec/interpret/op.h"
#include "exec/interpret/thunk.h"

#define LINE_OPS     64 /* at most, without the op that ends it */
#define JUMP_ENTRIES 4096
#define OP_POOL      (640u << 10)
#define LINE_POOL    (96u << 10)
#define LINE_BUCKETS (64u << 10)
#define PAGE_POOL    (8u << 10)
#define PAGE_BUCKETS (8u << 10)

struct line {
    u64 key; /* gpa of its first byte | decode mode << 60 */
    struct op *ops;
    u32 next_in_bucket, next_in_page; /* index + 1, 0 ends */
    u16 start, end;                   /* byte offsets in the page */
    u16 op_count;
};

struct code_page {
    gfn_t gfn;
    u32 next_in_bucket, first_line; /* index + 1 */
    bool held;                      /* coherence_hold() */
    u8 note;                        /* code_page_hold() */
};

struct jump {
    u64 rip, context;
    const struct op *op;
    u64 code_base; /* what GPR_CODE has to be for op */
};

struct exec {
    u64 context;     /* of the code being run: see code_context() */
    u64 limit;       /* cpu->icount at which `left` is 0 */
    struct op *link; /* a branch that wants to be linked to the next line entered, or NULL */
    u64 cs_base;
    u32 cs_limit;
    u64 epoch;         /* raised by whatever makes a translation of rIP invalid */
    u64 mmu_epoch;     /* mmu.epoch when last looked at */
    bool single;       /* the instruction being run is alone: cpu->icount is exact */
    bool want_single;  /* the last one left because it has to be alone */
    bool always_single; /* every one has to be: interpret_execute_alone() */
    bool mode_change;  /* see interpret_return_at_mode_change() */
    bool flush_wanted; /* a pool is full */
    u32 op_used, line_used, page_used;
    struct op alone[2]; /* for instructions that are executed by themselves */
    struct jump jump[JUMP_ENTRIES];
    u32 line_bucket[LINE_BUCKETS];
    u32 page_bucket[PAGE_BUCKETS];
    struct code_page pages[PAGE_POOL];
    struct line lines[LINE_POOL];
    struct op ops[OP_POOL];
    struct thunk_cache thunks;
};

static inline struct jump *code_jump_slot(struct exec *x, u64 rip)
{
    return &x->jump[(rip ^ (rip >> 12)) & (JUMP_ENTRIES - 1)];
}

/* Recompute exec->context from the CPU; from the run loop only. */
void code_update_context(struct cpu *cpu);

/* Where cpu->rip is in linear memory. */
gva_t code_linear_rip(const struct cpu *cpu);

/* The op at cpu->rip, with gpr[GPR_CODE] set for it; builds the line if need be.  NULL where there
 * can be none (the instruction crosses a page, is not in RAM, near the segment limit, or its fetch
 * faults): code_fetch_one() will do it or say why. */
const struct op *code_find(struct cpu *cpu);

/* The instruction at cpu->rip as exec->alone[0], followed by an op that leaves.  NULL: an exception
 * is pending (#PF, #GP, #UD). */
const struct op *code_fetch_one(struct cpu *cpu);

/* Drop this vCPU's lines that [gpa, gpa + size), within one page, lies in or touches.  A page of
 * which nothing is left is let go of at the next such call, so not while code rewrites itself. */
void code_drop(struct cpu *cpu, gpa_t gpa, unsigned size);

/* mmu_ops.code_written: a store of size bytes at gpa (within one page) into a page of which some
 * vCPU holds code. */
void code_written(struct cpu *cpu, gpa_t gpa, unsigned size);

/* Hold the page of gpa, which is RAM, as if code of it were decoded, with a note about it: 0 at
 * first, and again when its bytes have changed.  It is for executors that run the page itself; what
 * the mirror has of it that is executable goes when the note does.  NULL: there is no room before
 * the next code_flush(), which has been asked for. */
struct code_page *code_page_hold(struct cpu *cpu, gpa_t gpa);

/* Drop everything. */
void code_flush(struct cpu *cpu);

/* ------------------------------------------------------------------ prepare.c */

/* Make the op of a decoded instruction; offset is that of its first byte in its page.  False: #UD.
 */
bool prepare_op(struct cpu *cpu, const struct insn *insn, unsigned offset, struct op *op);

/* Does the straight line end with this instruction? */
bool prepare_ends_line(const struct insn *insn);

s64 op_stale(struct cpu *cpu, const struct op *op, s64 left); /* leaves before this op */
s64 op_end(struct cpu *cpu, const struct op *op, s64 left); /* no instruction: goes on elsewhere */

/* No instruction: stands before one that a debugger may want to stop at, and looks. */
s64 op_look(struct cpu *cpu, const struct op *op, s64 left);

/* ------------------------------------------------------------------ control flow inside handlers
 */

static inline bool must_leave(const struct cpu *cpu, s64 left)
{
    return unlikely(left <= LINE_OPS ||
                    atomic_load_explicit(&cpu->inbox->attention, memory_order_relaxed));
}

/* Bring cpu->icount up to date, for what reads time or is seen by others. */
static inline void set_icount(struct cpu *cpu, s64 left)
{
    if (!cpu->exec->single) {
        cpu->icount = cpu->exec->limit - (u64)left;
    }
}

/* Go to rip, which is `left - 1` instructions from the limit. */
static inline s64 goto_rip(struct cpu *cpu, u64 rip, s64 left)
{
    const struct jump *jump = code_jump_slot(cpu->exec, rip);

    if (likely(jump->rip == rip && jump->context == cpu->exec->context) &&
        !must_leave(cpu, left - 1)) {
        cpu->gpr[GPR_CODE] = jump->code_base;
        return jump->op->fn(cpu, jump->op, left - 1);
    }
    cpu->rip = rip;
    return left - 1;
}

#endif
