/*
 * far.c - far transfers, software interrupts, and loads of segment registers.
 *
 * All of it is cpu/'s work (transfer.c, exception.c, segment.c); here are the operands.  A transfer
 * always leaves to the run loop: mode, privilege and address space may be others.
 */
#include "base/string.h"
#include "cpu/exception.h"
#include "cpu/segment.h"
#include "cpu/syscall.h"
#include "cpu/transfer.h"
#include "exec/interpret/code.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/stack.h"

/* What to do with a far target. */
typedef bool transfer_fn(struct cpu *cpu, u16 selector, u64 offset, unsigned opsize, u64 next_rip);

/* cpu->rip while cpu/ works is this instruction's, and afterwards the target's. */
ALWAYS_INLINE s64 far_to(struct cpu *cpu, const struct op *op, s64 left, transfer_fn *f,
                         u16 selector, u64 offset)
{
    cpu->rip = op_rip(cpu, op);
    if (!f(cpu, selector, offset, op->size, op_next_rip(cpu, op))) {
        return left;
    }
    return left - 1;
}

/* imm: offset, disp: selector (such an op has no memory operand). */
ALWAYS_INLINE s64 far_direct(struct cpu *cpu, const struct op *op, s64 left, transfer_fn *f)
{
    return far_to(cpu, op, left, f, (u16)op->disp, op->imm);
}

/* One of the two parts of a memory operand, `at` bytes from its start: an access of its own, with
 * its own checks. */
static bool load_part(struct cpu *cpu, const struct op *op, unsigned at, void *value, unsigned size)
{
    u64 ea = effective_address(cpu, op) + at;
    gva_t gva;

    if (op->ea & (EA_ADDRESS_32 | EA_ADDRESS_16)) {
        ea &= op->ea & EA_ADDRESS_32 ? 0xffffffff : 0xffff;
    }
    return linear_address(cpu, op->segment, ea, size, ACCESS_READ, &gva) &&
           load_slow(cpu, op->segment, gva, value, size);
}

/* m16:16, m16:32, m16:64. */
APART bool load_far_pointer(struct cpu *cpu, const struct op *op, u16 *selector, u64 *offset)
{
    *offset = 0;
    return load_part(cpu, op, 0, offset, op->size) && load_part(cpu, op, op->size, selector, 2);
}

ALWAYS_INLINE s64 far_memory(struct cpu *cpu, const struct op *op, s64 left, transfer_fn *f)
{
    u16 selector;
    u64 offset;

    if (!load_far_pointer(cpu, op, &selector, &offset)) {
        return fault(cpu, op, left);
    }
    return far_to(cpu, op, left, f, selector, offset);
}

static s64 jmp_direct(struct cpu *cpu, const struct op *op, s64 left)
{
    return far_direct(cpu, op, left, transfer_jmp_far);
}

static s64 jmp_memory(struct cpu *cpu, const struct op *op, s64 left)
{
    return far_memory(cpu, op, left, transfer_jmp_far);
}

static s64 call_direct(struct cpu *cpu, const struct op *op, s64 left)
{
    return far_direct(cpu, op, left, transfer_call_far);
}

static s64 call_memory(struct cpu *cpu, const struct op *op, s64 left)
{
    return far_memory(cpu, op, left, transfer_call_far);
}

static s64 ret_far(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - transfer_ret_far(cpu, op->size, (u16)op->imm);
}

static s64 iret(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - transfer_iret(cpu, op->size, op_next_rip(cpu, op));
}

static s64 do_syscall(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - syscall_syscall(cpu, op_next_rip(cpu, op));
}

static s64 do_sysret(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - syscall_sysret(cpu, op->size);
}

static s64 do_sysenter(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - syscall_sysenter(cpu);
}

static s64 do_sysexit(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - syscall_sysexit(cpu, op->size);
}

bool prepare_far(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool is_memory = insn->operands && insn->op[0].kind == OPERAND_MEM;

    (void)cpu;
    switch (insn->id) {
    case INSN_JMP_FAR:
        op->fn = is_memory ? jmp_memory : jmp_direct;
        break;
    case INSN_CALL_FAR:
        op->fn = is_memory ? call_memory : call_direct;
        break;
    case INSN_RET_FAR:
        op->fn = ret_far;
        break;
    case INSN_IRET:
        op->fn = iret;
        break;
    case INSN_SYSCALL:
        op->fn = do_syscall;
        break;
    case INSN_SYSRET:
        op->fn = do_sysret;
        break;
    case INSN_SYSENTER:
        op->fn = do_sysenter;
        break;
    default:
        op->fn = do_sysexit;
        break;
    }
    op->imm = insn->operands ? insn->imm : 0;
    if (!is_memory) {
        op->disp = (s32)insn->imm2;
    }
    return true;
}

/* ------------------------------------------------------------------ software interrupts */

static s64 int_n(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - exception_int_n(cpu, (u8)op->imm, op_next_rip(cpu, op));
}

static s64 int3(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - exception_int3(cpu, op_next_rip(cpu, op));
}

static s64 int1(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->rip = op_rip(cpu, op);
    return left - exception_int1(cpu, op_next_rip(cpu, op));
}

static s64 into(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!(cpu->flags & AX_OF)) {
        return next(cpu, op, left);
    }
    cpu->rip = op_rip(cpu, op);
    return left - exception_into(cpu, op_next_rip(cpu, op));
}

bool prepare_int(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->imm = insn->imm & 0xff;
    op->fn = insn->id == INSN_INT    ? int_n
             : insn->id == INSN_INT3 ? int3
             : insn->id == INSN_INT1 ? int1
                                     : into;
    return true;
}

/* ------------------------------------------------------------------ segment registers */

/* dst is the segment register: a load of SS holds off interrupts for an instruction. */
static s64 loaded_segment(struct cpu *cpu, const struct op *op, s64 left)
{
    if (op->dst == SEG_SS) {
        cpu->interrupt_shadow = cpu->debug_shadow = true;
        return leave(cpu, op, left);
    }
    return next(cpu, op, left);
}

static s64 mov_to_seg(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 selector;

    if (op->aux) {
        if (!op_load(cpu, op, 2, &selector)) {
            return fault(cpu, op, left);
        }
    } else {
        selector = cpu->gpr[op->src >> 3];
    }
    if (!segment_load(cpu, op->dst, (u16)selector)) {
        return fault(cpu, op, left);
    }
    return loaded_segment(cpu, op, left);
}

static s64 mov_from_seg(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 selector = cpu->seg[op->src].selector;

    if (op->aux) {
        return op_store(cpu, op, 2, selector) ? next(cpu, op, left) : fault(cpu, op, left);
    }
    if (op->size == 2) {
        reg_write(cpu, op->dst, 2, selector);
    } else {
        cpu->gpr[op->dst >> 3] = selector;
    }
    return next(cpu, op, left);
}

bool prepare_mov_seg(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    const struct operand *a = &insn->op[0], *b = &insn->op[1];

    (void)cpu;
    if (a->kind == OPERAND_REG && a->class == REG_SEGMENT) {
        op->dst = a->reg;
        op->aux = b->kind == OPERAND_MEM;
        op->src = op->aux ? 0 : reg_offset(b);
        op->fn = mov_to_seg;
    } else {
        op->src = b->reg;
        op->aux = a->kind == OPERAND_MEM;
        op->dst = op->aux ? 0 : reg_offset(a);
        op->fn = mov_from_seg;
    }
    return true;
}

static s64 push_seg(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 selector = cpu->seg[op->src].selector;
    bool ok = op->size == 8   ? stack_push(cpu, 8, selector)
              : op->size == 4 ? stack_push(cpu, 4, selector)
                              : stack_push(cpu, 2, selector);

    return ok ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_push_seg(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->src = insn->op[0].reg;
    op->fn = push_seg;
    return true;
}

/* The whole slot is read, though only a selector of it is used. */
ALWAYS_INLINE bool load_slot(struct cpu *cpu, const struct op *op, u64 *value)
{
    return op->size == 8   ? stack_load(cpu, 0, 8, value)
           : op->size == 4 ? stack_load(cpu, 0, 4, value)
                           : stack_load(cpu, 0, 2, value);
}

static s64 pop_seg(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 selector, rsp = cpu->gpr[RSP];

    if (!load_slot(cpu, op, &selector)) {
        return fault(cpu, op, left);
    }
    stack_add(cpu, op->size); /* by the size of the old stack, if this is POP SS */
    if (!segment_load(cpu, op->dst, (u16)selector)) {
        cpu->gpr[RSP] = rsp;
        return fault(cpu, op, left);
    }
    return loaded_segment(cpu, op, left);
}

bool prepare_pop_seg(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->dst = insn->op[0].reg;
    op->fn = pop_seg;
    return true;
}

/* LDS, LES, LFS, LGS, LSS: aux is the segment register. */
APART bool do_load_pointer(struct cpu *cpu, const struct op *op)
{
    u16 selector;
    u64 offset;

    if (!load_far_pointer(cpu, op, &selector, &offset) || !segment_load(cpu, op->aux, selector)) {
        return false;
    }
    if (op->size == 2) {
        reg_write(cpu, op->dst, 2, offset);
    } else {
        cpu->gpr[op->dst >> 3] = offset;
    }
    return true;
}

/* LSS, unlike MOV and POP, holds off nothing. */
static s64 load_pointer(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_load_pointer(cpu, op) ? leave(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_load_far_pointer(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->id == INSN_LES   ? SEG_ES
              : insn->id == INSN_LDS ? SEG_DS
              : insn->id == INSN_LSS ? SEG_SS
              : insn->id == INSN_LFS ? SEG_FS
                                     : SEG_GS;
    op->dst = reg_offset(&insn->op[0]);
    op->fn = load_pointer;
    return true;
}

/* ------------------------------------------------------------------ BOUND */

APART bool do_bound(struct cpu *cpu, const struct op *op)
{
    u64 low = 0, high = 0;
    unsigned bits = op->size * 8;

    if (!load_part(cpu, op, 0, &low, op->size) || !load_part(cpu, op, op->size, &high, op->size)) {
        return false;
    }
    s64 index = (s64)bits_sign_extend(cpu->gpr[op->src >> 3], bits);
    return (index >= (s64)bits_sign_extend(low, bits) &&
            index <= (s64)bits_sign_extend(high, bits)) ||
           cpu_raise(cpu, VECTOR_BR);
}

static s64 bound(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_bound(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_bound(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->src = reg_offset(&insn->op[0]);
    op->fn = bound;
    return true;
}
