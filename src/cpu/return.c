/*
 * return.c - far RET and IRET; see transfer.h.
 *
 * Both come back to code of the same or a lower privilege, so the two share all checks of CS and
 * SS. Intel SDM vol. 2, RET, IRET.
 */
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"
#include "cpu/transfer.h"

/* Where a return goes. */
struct target {
    struct segment cs, ss;
    u64 rip, rsp;
    unsigned cpl;
    bool has_stack; /* ss and rsp are valid */
    bool is_64;
};

/* Reads and checks CS of the code returned to. */
static bool read_code(struct cpu *cpu, u16 selector, struct target *t)
{
    u32 error = selector & ~SELECTOR_RPL;
    unsigned rpl = selector & SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        return cpu_raise_gp0(cpu);
    }
    if (!segment_read(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    unsigned dpl = segment_dpl(d.attributes);
    t->is_64 = cpu->long_mode && (d.attributes & SEGMENT_L);
    if (!segment_is_code(d.attributes) || rpl < cpu->cpl ||
        (segment_is_conforming(d.attributes) ? dpl > rpl : dpl != rpl) ||
        (t->is_64 && (d.attributes & SEGMENT_DB))) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    t->cs = segment_from(&d, selector);
    t->cpl = rpl;
    return true;
}

/* Reads and checks the SS that goes with t->cs. */
static bool read_stack(struct cpu *cpu, u16 selector, struct target *t)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        t->ss = segment_null(selector);
        return (t->is_64 && t->cpl != 3) || cpu_raise_gp0(cpu);
    }
    if (!segment_read(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    if ((selector & SELECTOR_RPL) != t->cpl || !segment_is_writable(d.attributes) ||
        segment_dpl(d.attributes) != t->cpl) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_SS, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    t->ss = segment_from(&d, selector);
    return true;
}

/* Nothing can fail any more.  stack: the one that was popped from; pop_bytes as for RET. */
static void go(struct cpu *cpu, const struct target *t, struct stack *stack, u16 pop_bytes)
{
    bool outer = t->cpl != cpu->cpl;
    system_release(stack, pop_bytes);
    if (t->has_stack) {
        struct stack other = system_stack_other(&t->ss, t->rsp, t->cpl, t->is_64, 0);
        if (outer) {
            system_release(&other, pop_bytes);
        }
        cpu->seg[SEG_SS] = t->ss;
        system_commit(cpu, &other);
    } else {
        system_commit(cpu, stack);
    }
    transfer_set_code(cpu, &t->cs, t->rip, t->cpl);
    if (outer) {
        segment_drop_privileged(cpu);
    }
}

/* ------------------------------------------------------------------ RET */

static bool ret_real(struct cpu *cpu, unsigned opsize, u16 pop_bytes)
{
    struct stack stack = system_stack_current(cpu);
    u64 values[2]; /* IP, CS */
    if (!system_pop_all(cpu, &stack, values, 2, opsize) ||
        !transfer_check_rip(cpu, &cpu->seg[SEG_CS], values[0])) {
        return false;
    }
    system_release(&stack, pop_bytes);
    system_commit(cpu, &stack);
    segment_load_real(cpu, SEG_CS, (u16)values[1]);
    cpu->rip = values[0];
    cpu_update_mode(cpu);
    return true;
}

bool transfer_ret_far(struct cpu *cpu, unsigned opsize, u16 pop_bytes)
{
    if (cpu->real_mode || cpu->v86_mode) {
        return ret_real(cpu, opsize, pop_bytes);
    }
    struct target t = {0};
    struct stack stack = system_stack_current(cpu);
    u64 code[2], data[2]; /* rIP, CS; rSP, SS */
    if (!system_pop_all(cpu, &stack, code, 2, opsize) || !read_code(cpu, (u16)code[1], &t)) {
        return false;
    }
    if (t.cpl != cpu->cpl) {
        struct stack inner = stack;
        system_release(&inner, pop_bytes);
        if (!system_pop_all(cpu, &inner, data, 2, opsize) || !read_stack(cpu, (u16)data[1], &t)) {
            return false;
        }
        t.rsp = data[0];
        t.has_stack = true;
    }
    t.rip = code[0];
    if (!transfer_check_rip(cpu, &t.cs, t.rip)) {
        return false;
    }
    go(cpu, &t, &stack, pop_bytes);
    return true;
}

/* ------------------------------------------------------------------ IRET */

/* Sets the flags of `changes` as in image. */
static void set_flags(struct cpu *cpu, u64 image, u32 changes)
{
    u32 flags = (cpu_rflags(cpu) & ~(changes | RFLAGS_RF)) | ((u32)image & changes);
    cpu_set_rflags(cpu, flags);
}

#define FLAGS_ALWAYS (RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define FLAGS_WIDE   (RFLAGS_RF | RFLAGS_AC | RFLAGS_ID) /* not with 16-bit operands */

/* Real mode, and virtual-8086 mode with IOPL 3. */
static bool iret_real(struct cpu *cpu, unsigned opsize)
{
    struct stack stack = system_stack_current(cpu);
    u64 values[3]; /* IP, CS, flags */
    if (!system_pop_all(cpu, &stack, values, 3, opsize) ||
        !transfer_check_rip(cpu, &cpu->seg[SEG_CS], values[0])) {
        return false;
    }
    system_commit(cpu, &stack);
    segment_load_real(cpu, SEG_CS, (u16)values[1]);
    cpu->rip = values[0];
    u32 changes = FLAGS_ALWAYS | RFLAGS_IF | (cpu->v86_mode ? 0 : RFLAGS_IOPL);
    set_flags(cpu, values[2], changes | (opsize == 2 ? 0 : FLAGS_WIDE));
    cpu_update_mode(cpu);
    return true;
}

/* Virtual-8086 mode with IOPL below 3: only with CR4.VME, and IF stands for VIF. */
static bool iret_vme(struct cpu *cpu, unsigned opsize)
{
    struct stack stack = system_stack_current(cpu);
    u64 values[3];
    if (opsize != 2 || !(cpu->mmu.paging.cr4 & CR4_VME)) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_pop_all(cpu, &stack, values, 3, 2)) {
        return false;
    }
    if ((values[2] & RFLAGS_TF) || ((values[2] & RFLAGS_IF) && (cpu->rflags & RFLAGS_VIP))) {
        return cpu_raise_gp0(cpu);
    }
    if (!transfer_check_rip(cpu, &cpu->seg[SEG_CS], values[0])) {
        return false;
    }
    system_commit(cpu, &stack);
    segment_load_real(cpu, SEG_CS, (u16)values[1]);
    cpu->rip = values[0];
    u64 image = values[2] | (values[2] & RFLAGS_IF ? RFLAGS_VIF : 0);
    set_flags(cpu, image, FLAGS_ALWAYS | RFLAGS_VIF);
    cpu_update_mode(cpu);
    return true;
}

/* From CPL 0 of protected mode back into virtual-8086 mode; frame: EIP, CS, EFLAGS. */
static bool iret_to_v86(struct cpu *cpu, struct stack *stack, const u64 *frame)
{
    static const u8 order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    u64 values[6]; /* ESP, SS, ES, DS, FS, GS */
    if (!system_pop_all(cpu, stack, values, 6, 4)) {
        return false;
    }
    if (frame[0] > 0xffff) {
        return cpu_raise_gp0(cpu);
    }
    cpu->gpr[RSP] = values[0];
    cpu->cpl = 3;
    cpu_set_rflags(cpu, (u32)frame[2]);
    segment_load_real(cpu, SEG_CS, (u16)frame[1]);
    segment_load_real(cpu, SEG_SS, (u16)values[1]);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        segment_load_real(cpu, order[i], (u16)values[2 + i]);
    }
    cpu->rip = frame[0];
    cpu_update_mode(cpu);
    return true;
}

/* Which flags IRET may change, by the privilege before it. */
static u32 flags_allowed(const struct cpu *cpu, unsigned opsize)
{
    u32 changes = FLAGS_ALWAYS | (opsize == 2 ? 0 : FLAGS_WIDE);
    unsigned iopl = (cpu->rflags & RFLAGS_IOPL) >> RFLAGS_IOPL_SHIFT;
    if (cpu->cpl <= iopl) {
        changes |= RFLAGS_IF;
    }
    if (cpu->cpl == 0) {
        changes |= RFLAGS_IOPL | (opsize == 2 ? 0 : RFLAGS_VIF | RFLAGS_VIP);
    }
    return changes;
}

static bool iret_protected(struct cpu *cpu, unsigned opsize)
{
    struct target t = {0};
    struct stack stack = system_stack_current(cpu);
    u64 frame[5]; /* rIP, CS, flags, rSP, SS */
    t.has_stack = cpu->code_mode == INSN_MODE_64;
    if (!system_pop_all(cpu, &stack, frame, t.has_stack ? 5 : 3, opsize)) {
        return false;
    }
    if ((frame[2] & RFLAGS_VM) && cpu->cpl == 0 && !cpu->long_mode) {
        return iret_to_v86(cpu, &stack, frame);
    }
    if (!read_code(cpu, (u16)frame[1], &t)) {
        return false;
    }
    if (!t.has_stack && t.cpl != cpu->cpl) {
        t.has_stack = true;
        if (!system_pop_all(cpu, &stack, frame + 3, 2, opsize)) {
            return false;
        }
    }
    if (t.has_stack && !read_stack(cpu, (u16)frame[4], &t)) {
        return false;
    }
    t.rip = frame[0];
    t.rsp = frame[3];
    if (!transfer_check_rip(cpu, &t.cs, t.rip)) {
        return false;
    }
    u32 changes = flags_allowed(cpu, opsize);
    go(cpu, &t, &stack, 0);
    set_flags(cpu, frame[2], changes);
    return true;
}

static bool leave_task(struct cpu *cpu, u64 next_rip)
{
    u16 link;
    const struct segment *tr = &cpu->seg[SEG_TR];
    return system_read(cpu, system_address(cpu, tr->base, 0), &link, 2) &&
           task_switch(cpu, link, TASK_IRET, next_rip, false, 0);
}

bool transfer_iret(struct cpu *cpu, unsigned opsize, u64 next_rip)
{
    cpu->nmi_blocked = false; /* even if it faults: Intel SDM vol. 3A, "Handling Multiple NMIs" */
    if (cpu->v86_mode && (cpu->rflags & RFLAGS_IOPL) != RFLAGS_IOPL) {
        return iret_vme(cpu, opsize);
    }
    if (cpu->real_mode || cpu->v86_mode) {
        return iret_real(cpu, opsize);
    }
    if (cpu->rflags & RFLAGS_NT) {
        return cpu->long_mode ? cpu_raise_gp0(cpu) : leave_task(cpu, next_rip);
    }
    return iret_protected(cpu, opsize);
}
