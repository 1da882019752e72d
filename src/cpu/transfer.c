/* transfer.c - far JMP and CALL, call gates, and what all far transfers share; see transfer.h. */
#include "cpu/transfer.h"

#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"

/* A far JMP or CALL. */
struct jump {
    u16 selector;
    u64 offset;
    unsigned opsize;
    u64 next_rip;
    bool is_call;
};

bool transfer_check_rip(struct cpu *cpu, const struct segment *cs, u64 rip)
{
    bool is_64 = cpu->long_mode && (cs->attributes & SEGMENT_L);
    bool ok = is_64 ? segment_is_canonical(rip) : rip <= cs->limit;
    return ok || cpu_raise_gp0(cpu);
}

void transfer_set_code(struct cpu *cpu, const struct segment *cs, u64 rip, unsigned cpl)
{
    cpu->seg[SEG_CS] = *cs;
    cpu->seg[SEG_CS].selector = (u16)((cs->selector & ~SELECTOR_RPL) | cpl);
    cpu->cpl = (u8)cpl;
    cpu->rip = rip;
    cpu_update_mode(cpu);
}

/* ------------------------------------------------------------------ stacks of the TSS */

static bool read_tss_stack_64(struct cpu *cpu, unsigned cpl, unsigned ist, struct stack *stack)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    struct segment ss = segment_null((u16)cpl);
    u32 offset = ist ? 0x1c + ist * 8 : 4 + cpl * 8;
    u64 rsp;
    if (offset + 7 > tr->limit) {
        return cpu_raise_error(cpu, VECTOR_TS, tr->selector & ~SELECTOR_RPL);
    }
    if (!system_read(cpu, tr->base + offset, &rsp, 8)) {
        return false;
    }
    *stack = system_stack_other(&ss, rsp, cpl, true, 0);
    return true;
}

/* The new SS, and the checks that all ways to a more privileged stack make. */
static bool read_inner_ss(struct cpu *cpu, u16 selector, unsigned cpl, struct segment *ss)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        return cpu_raise_error(cpu, VECTOR_TS, 0);
    }
    if (!segment_read(cpu, selector, VECTOR_TS, &d)) {
        return false;
    }
    if ((selector & SELECTOR_RPL) != cpl || segment_dpl(d.attributes) != cpl ||
        !segment_is_writable(d.attributes)) {
        return cpu_raise_error(cpu, VECTOR_TS, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_SS, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    *ss = segment_from(&d, selector);
    return true;
}

bool transfer_tss_stack(struct cpu *cpu, unsigned cpl, unsigned ist, struct stack *stack)
{
    if (cpu->long_mode) {
        return read_tss_stack_64(cpu, cpl, ist, stack);
    }
    const struct segment *tr = &cpu->seg[SEG_TR];
    bool wide = tr->attributes & 8; /* a 32-bit TSS */
    u32 offset = wide ? 4 + cpl * 8 : 2 + cpl * 4;
    u32 esp = 0;
    u16 selector;
    struct segment ss;
    if (!(tr->attributes & SEGMENT_P) || offset + (wide ? 5 : 3) > tr->limit) {
        return cpu_raise_error(cpu, VECTOR_TS, tr->selector & ~SELECTOR_RPL);
    }
    if (!system_read(cpu, system_address(cpu, tr->base, offset), &esp, wide ? 4 : 2) ||
        !system_read(cpu, system_address(cpu, tr->base, offset + (wide ? 4 : 2)), &selector, 2) ||
        !read_inner_ss(cpu, selector, cpl, &ss)) {
        return false;
    }
    *stack = system_stack_other(&ss, esp, cpl, false, selector & ~SELECTOR_RPL);
    return true;
}

/* ------------------------------------------------------------------ call gates */

/* The code segment that a call gate names. */
static bool read_gate_code(struct cpu *cpu, const struct jump *j, u16 selector, struct segment *cs,
                           unsigned *cpl)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        return cpu_raise_gp0(cpu);
    }
    if (!segment_read(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    unsigned dpl = segment_dpl(d.attributes);
    bool conforming = segment_is_conforming(d.attributes);
    if (!segment_is_code(d.attributes) || dpl > cpu->cpl ||
        (!j->is_call && !conforming && dpl != cpu->cpl)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (cpu->long_mode && (d.attributes & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    *cpl = conforming ? cpu->cpl : dpl;
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    *cs = segment_from(&d, selector);
    return true;
}

/* CALL through a gate to more privileged code: to a new stack, with parameters. */
static bool call_inner(struct cpu *cpu, const struct jump *j, u64 gate, unsigned size,
                       const struct segment *cs, u64 rip, unsigned cpl)
{
    struct stack old = system_stack_current(cpu), stack;
    u64 parameters[31];
    unsigned count = cpu->long_mode ? 0 : gate_parameters(gate);
    u64 outer[] = {cpu->seg[SEG_SS].selector, cpu->gpr[RSP]};
    u64 code[] = {cpu->seg[SEG_CS].selector, j->next_rip};
    if (!transfer_tss_stack(cpu, cpl, 0, &stack) ||
        !system_check_push(cpu, &stack, (count + 4) * size) || !transfer_check_rip(cpu, cs, rip) ||
        !system_pop_all(cpu, &old, parameters, count, size) ||
        !system_push_all(cpu, &stack, outer, 2, size)) {
        return false;
    }
    for (unsigned i = count; i > 0; i--) {
        if (!system_push(cpu, &stack, parameters[i - 1], size)) {
            return false;
        }
    }
    if (!system_push_all(cpu, &stack, code, 2, size)) {
        return false;
    }
    cpu->seg[SEG_SS] = stack.ss;
    system_commit(cpu, &stack);
    transfer_set_code(cpu, cs, rip, cpl);
    return true;
}

static bool call_gate(struct cpu *cpu, const struct jump *j, const struct descriptor *d)
{
    struct segment cs;
    unsigned cpl = cpu->cpl;
    unsigned type = d->attributes & SEGMENT_TYPE;
    unsigned size = cpu->long_mode ? 8 : type == SYSTEM_CALL_GATE ? 4 : 2;
    u64 rip = gate_offset(d->low) | d->high << 32;
    if (size == 2) {
        rip &= 0xffff;
    }
    if (!read_gate_code(cpu, j, gate_selector(d->low), &cs, &cpl)) {
        return false;
    }
    if (j->is_call && cpl < cpu->cpl) {
        return call_inner(cpu, j, d->low, size, &cs, rip, cpl);
    }
    struct stack stack = system_stack_current(cpu);
    u64 code[] = {cpu->seg[SEG_CS].selector, j->next_rip};
    stack.wide = cpu->long_mode;
    if (stack.wide) {
        stack.mask = ~0ull;
    }
    if (j->is_call && !system_check_push(cpu, &stack, 2 * size)) {
        return false;
    }
    if (!transfer_check_rip(cpu, &cs, rip) ||
        (j->is_call && !system_push_all(cpu, &stack, code, 2, size))) {
        return false;
    }
    system_commit(cpu, &stack);
    transfer_set_code(cpu, &cs, rip, cpl);
    return true;
}

/* ------------------------------------------------------------------ JMP and CALL */

/* A gate or a TSS. */
static bool jump_system(struct cpu *cpu, const struct jump *j)
{
    u32 error = j->selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (!segment_read_system(cpu, j->selector, VECTOR_GP, &d)) {
        return false;
    }
    unsigned type = d.attributes & SEGMENT_TYPE, dpl = segment_dpl(d.attributes);
    bool known = cpu->long_mode
                     ? type == SYSTEM_CALL_GATE && !(d.high >> 40 & 0x1f)
                     : type == SYSTEM_CALL_GATE || type == SYSTEM_CALL_GATE_16 ||
                           type == SYSTEM_TASK_GATE || type == SYSTEM_TSS || type == SYSTEM_TSS_16;
    if (!known || dpl < cpu->cpl || dpl < (j->selector & SELECTOR_RPL)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    if (type == SYSTEM_CALL_GATE || type == SYSTEM_CALL_GATE_16) {
        return call_gate(cpu, j, &d);
    }
    return task_switch(cpu, type == SYSTEM_TASK_GATE ? gate_selector(d.low) : j->selector,
                       j->is_call ? TASK_CALL : TASK_JMP, j->next_rip, false, 0);
}

/* A code segment at the same privilege. */
static bool jump_code(struct cpu *cpu, const struct jump *j, struct descriptor *d)
{
    u32 error = j->selector & ~SELECTOR_RPL;
    unsigned dpl = segment_dpl(d->attributes), rpl = j->selector & SELECTOR_RPL;
    bool allowed =
        segment_is_conforming(d->attributes) ? dpl <= cpu->cpl : rpl <= cpu->cpl && dpl == cpu->cpl;
    bool both = cpu->long_mode && (d->attributes & SEGMENT_L) && (d->attributes & SEGMENT_DB);
    if (!(d->attributes & SEGMENT_TYPE_CODE) || !allowed || both) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d->attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    struct segment cs = segment_from(d, j->selector);
    struct stack stack = system_stack_current(cpu);
    u64 code[] = {cpu->seg[SEG_CS].selector, j->next_rip};
    if (j->is_call && !system_check_push(cpu, &stack, 2 * j->opsize)) {
        return false;
    }
    if (!transfer_check_rip(cpu, &cs, j->offset) || !segment_set_accessed(cpu, d) ||
        (j->is_call && !system_push_all(cpu, &stack, code, 2, j->opsize))) {
        return false;
    }
    cs.attributes = d->attributes;
    system_commit(cpu, &stack);
    transfer_set_code(cpu, &cs, j->offset, cpu->cpl);
    return true;
}

static bool jump_real(struct cpu *cpu, const struct jump *j)
{
    struct stack stack = system_stack_current(cpu);
    u64 code[] = {cpu->seg[SEG_CS].selector, j->next_rip};
    if (j->is_call && !system_check_push(cpu, &stack, 2 * j->opsize)) {
        return false;
    }
    if (!transfer_check_rip(cpu, &cpu->seg[SEG_CS], j->offset) ||
        (j->is_call && !system_push_all(cpu, &stack, code, 2, j->opsize))) {
        return false;
    }
    system_commit(cpu, &stack);
    segment_load_real(cpu, SEG_CS, j->selector);
    cpu->rip = j->offset;
    cpu_update_mode(cpu);
    return true;
}

static bool jump(struct cpu *cpu, struct jump *j)
{
    struct descriptor d;
    j->offset &= bits_mask(j->opsize * 8);
    if (cpu->real_mode || cpu->v86_mode) {
        return jump_real(cpu, j);
    }
    if (segment_is_null(j->selector)) {
        return cpu_raise_gp0(cpu);
    }
    if (!segment_read(cpu, j->selector, VECTOR_GP, &d)) {
        return false;
    }
    return d.attributes & SEGMENT_S ? jump_code(cpu, j, &d) : jump_system(cpu, j);
}

bool transfer_jmp_far(struct cpu *cpu, u16 selector, u64 offset, unsigned opsize, u64 next_rip)
{
    struct jump j = {selector, offset, opsize, next_rip, false};
    return jump(cpu, &j);
}

bool transfer_call_far(struct cpu *cpu, u16 selector, u64 offset, unsigned opsize, u64 next_rip)
{
    struct jump j = {selector, offset, opsize, next_rip, true};
    return jump(cpu, &j);
}
