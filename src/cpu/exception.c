/*
 * exception.c - raising exceptions, and delivering them and interrupts; see cpu.h and exception.h.
 *
 * A delivery that fails leaves a fault in its turn.  It has changed no register (but a task switch
 * may have been made), and the rules of "Interrupt 8 - Double Fault Exception (#DF)" say what comes
 * of the two.
 */
#include "cpu/exception.h"

#include "base/format.h"
#include "cpu/debug.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"
#include "cpu/transfer.h"

/* Bits of an error code that names a gate of the IDT. */
#define ERROR_EXT 1u
#define ERROR_IDT 2u

struct event {
    u8 vector;
    bool software; /* INT n, INT3, INTO: the gate's DPL counts */
    bool has_error;
    u32 error;
    u64 rip;   /* to be saved */
    u32 flags; /* to be saved */
};

bool cpu_raise(struct cpu *cpu, enum vector vector)
{
    cpu->fault = (struct fault){.pending = true, .vector = (u8)vector};
    return false;
}

bool cpu_raise_error(struct cpu *cpu, enum vector vector, u32 error)
{
    cpu->fault =
        (struct fault){.pending = true, .vector = (u8)vector, .has_error = true, .error = error};
    return false;
}

bool cpu_raise_page_fault(struct cpu *cpu)
{
    u64 gva = cpu->mmu.fault.gva;
    cpu->fault = (struct fault){
        .pending = true,
        .vector = VECTOR_PF,
        .has_error = true,
        .error = cpu->mmu.fault.error,
        .cr2 = cpu->long_mode ? gva : (u32)gva,
    };
    return false;
}

bool cpu_raise_debug(struct cpu *cpu, u64 dr6_bits)
{
    cpu->fault = (struct fault){.pending = true, .vector = VECTOR_DB, .dr6_bits = dr6_bits};
    return false;
}

/* ------------------------------------------------------------------ through the IDT */

static u32 gate_error(const struct event *e)
{
    return e->vector * 8u | ERROR_IDT;
}

/* Flags in the handler. */
static void enter_flags(struct cpu *cpu, bool interrupt_gate)
{
    cpu->rflags &= ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM);
    if (interrupt_gate) {
        cpu->rflags &= ~RFLAGS_IF;
    }
}

static bool deliver_real(struct cpu *cpu, const struct event *e)
{
    u32 offset = e->vector * 4u;
    u16 pointer[2]; /* IP, CS */
    if (offset + 3 > cpu->idtr.limit) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_read(cpu, system_address(cpu, cpu->idtr.base, offset), pointer, 4)) {
        return false;
    }
    struct stack stack = system_stack_current(cpu);
    u64 frame[] = {e->flags, cpu->seg[SEG_CS].selector, e->rip};
    if (!system_check_push(cpu, &stack, 6) ||
        !system_push_all(cpu, &stack, frame, ARRAY_SIZE(frame), 2)) {
        return false;
    }
    system_commit(cpu, &stack);
    cpu->rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    segment_load_real(cpu, SEG_CS, pointer[1]);
    cpu->rip = pointer[0];
    cpu_update_mode(cpu);
    return true;
}

/* The checks of the gate itself that all kinds have in common. */
static bool check_gate(struct cpu *cpu, const struct event *e, u16 attributes)
{
    if (e->software && segment_dpl(attributes) < cpu->cpl) {
        return cpu_raise_error(cpu, VECTOR_GP, gate_error(e));
    }
    return (attributes & SEGMENT_P) || cpu_raise_error(cpu, VECTOR_NP, gate_error(e));
}

/* Reads and checks the handler's code segment; *cpl is its privilege level. */
static bool read_handler(struct cpu *cpu, u16 selector, struct segment *cs, unsigned *cpl)
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
    if (!segment_is_code(d.attributes) || dpl > cpu->cpl) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (cpu->long_mode && (d.attributes & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    bool conforming = segment_is_conforming(d.attributes);
    if (cpu->v86_mode && (conforming || dpl != 0)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    *cpl = conforming ? cpu->cpl : dpl;
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    *cs = segment_from(&d, selector);
    return true;
}

static bool deliver_long(struct cpu *cpu, const struct event *e)
{
    u64 gate[2];
    struct segment cs;
    unsigned cpl = cpu->cpl;
    u32 offset = e->vector * 16u;
    if (offset + 15 > cpu->idtr.limit) {
        return cpu_raise_error(cpu, VECTOR_GP, gate_error(e));
    }
    if (!system_read(cpu, cpu->idtr.base + offset, gate, sizeof(gate))) {
        return false;
    }
    u16 attributes = descriptor_attributes(gate[0]);
    unsigned type = attributes & (SEGMENT_S | SEGMENT_TYPE);
    if (type != SYSTEM_INTERRUPT_GATE && type != SYSTEM_TRAP_GATE) {
        return cpu_raise_error(cpu, VECTOR_GP, gate_error(e));
    }
    if (!check_gate(cpu, e, attributes) || !read_handler(cpu, gate_selector(gate[0]), &cs, &cpl)) {
        return false;
    }
    struct segment old_ss = cpu->seg[SEG_SS];
    struct stack stack = system_stack_other(&old_ss, cpu->gpr[RSP], cpl, true, 0);
    unsigned ist = gate_ist(gate[0]);
    if ((ist || cpl != cpu->cpl) && !transfer_tss_stack(cpu, cpl, ist, &stack)) {
        return false;
    }
    u64 rip = gate_offset(gate[0]) | gate[1] << 32;
    u64 frame[] = {old_ss.selector,           cpu->gpr[RSP], e->flags,
                   cpu->seg[SEG_CS].selector, e->rip,        e->error};
    stack.sp &= ~15ull;
    if (!transfer_check_rip(cpu, &cs, rip) ||
        !system_push_all(cpu, &stack, frame, e->has_error ? 6 : 5, 8)) {
        return false;
    }
    if (cpl != cpu->cpl) {
        cpu->seg[SEG_SS] = segment_null((u16)cpl);
    }
    system_commit(cpu, &stack);
    enter_flags(cpu, type == SYSTEM_INTERRUPT_GATE);
    transfer_set_code(cpu, &cs, rip, cpl);
    return true;
}

/* What is pushed, in this order, below an error code.  Returns how many values. */
static unsigned make_frame(const struct cpu *cpu, const struct event *e, bool switch_stack,
                           u64 *frame)
{
    unsigned n = 0;
    if (cpu->v86_mode) {
        frame[n++] = cpu->seg[SEG_GS].selector;
        frame[n++] = cpu->seg[SEG_FS].selector;
        frame[n++] = cpu->seg[SEG_DS].selector;
        frame[n++] = cpu->seg[SEG_ES].selector;
    }
    if (switch_stack) {
        frame[n++] = cpu->seg[SEG_SS].selector;
        frame[n++] = cpu->gpr[RSP];
    }
    frame[n++] = e->flags;
    frame[n++] = cpu->seg[SEG_CS].selector;
    frame[n++] = e->rip;
    if (e->has_error) {
        frame[n++] = e->error;
    }
    return n;
}

static bool enter_gate(struct cpu *cpu, const struct event *e, u64 gate)
{
    struct segment cs;
    unsigned cpl = cpu->cpl;
    u64 frame[10];
    unsigned type = descriptor_attributes(gate) & SEGMENT_TYPE;
    unsigned size = type >= SYSTEM_INTERRUPT_GATE ? 4 : 2;
    u32 rip = size == 4 ? gate_offset(gate) : (u16)gate_offset(gate);
    if (!read_handler(cpu, gate_selector(gate), &cs, &cpl)) {
        return false;
    }
    bool switch_stack = cpl != cpu->cpl;
    struct stack stack = system_stack_current(cpu);
    if (switch_stack && !transfer_tss_stack(cpu, cpl, 0, &stack)) {
        return false;
    }
    unsigned count = make_frame(cpu, e, switch_stack, frame);
    if (!system_check_push(cpu, &stack, count * size) || !transfer_check_rip(cpu, &cs, rip) ||
        !system_push_all(cpu, &stack, frame, count, size)) {
        return false;
    }
    if (cpu->v86_mode) {
        cpu->seg[SEG_GS] = cpu->seg[SEG_FS] = segment_null(0);
        cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = segment_null(0);
    }
    if (switch_stack) {
        cpu->seg[SEG_SS] = stack.ss;
    }
    system_commit(cpu, &stack);
    enter_flags(cpu, !(type & 1));
    transfer_set_code(cpu, &cs, rip, cpl);
    return true;
}

static bool deliver_protected(struct cpu *cpu, const struct event *e)
{
    u64 gate;
    u32 offset = e->vector * 8u;
    if (offset + 7 > cpu->idtr.limit) {
        return cpu_raise_error(cpu, VECTOR_GP, gate_error(e));
    }
    if (!system_read(cpu, system_address(cpu, cpu->idtr.base, offset), &gate, sizeof(gate))) {
        return false;
    }
    u16 attributes = descriptor_attributes(gate);
    switch (attributes & (SEGMENT_S | SEGMENT_TYPE)) {
    case SYSTEM_TASK_GATE:
        return check_gate(cpu, e, attributes) &&
               task_switch(cpu, gate_selector(gate), TASK_GATE, e->rip, e->has_error, e->error);
    case SYSTEM_INTERRUPT_GATE_16:
    case SYSTEM_TRAP_GATE_16:
    case SYSTEM_INTERRUPT_GATE:
    case SYSTEM_TRAP_GATE:
        return check_gate(cpu, e, attributes) && enter_gate(cpu, e, gate);
    default:
        return cpu_raise_error(cpu, VECTOR_GP, gate_error(e));
    }
}

/* Delivers; ext: the event is not a software interrupt, which error codes of faults then say. */
static bool deliver(struct cpu *cpu, const struct event *e, bool ext)
{
    u32 old_rflags = cpu->rflags;
    u16 task = cpu->seg[SEG_TR].selector;
    cpu->rflags = (cpu->rflags & ~RFLAGS_RF) | (e->flags & RFLAGS_RF); /* for a task's image */
    bool done = cpu->real_mode   ? deliver_real(cpu, e)
                : cpu->long_mode ? deliver_long(cpu, e)
                                 : deliver_protected(cpu, e);
    if (done) {
        cpu->interrupt_shadow = cpu->debug_shadow = false;
        cpu->debug_step = false;
        return true;
    }
    if (cpu->seg[SEG_TR].selector == task) {
        cpu->rflags = old_rflags;
    }
    if (ext && cpu->fault.has_error && cpu->fault.vector != VECTOR_PF) {
        cpu->fault.error |= ERROR_EXT;
    }
    return false;
}

/* ------------------------------------------------------------------ exceptions */

static bool is_contributory(u8 vector)
{
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/* What is delivered when the delivery of `first` met `second`. */
static struct fault combine(const struct fault *first, const struct fault *second)
{
    bool is_double = is_contributory(first->vector)
                         ? is_contributory(second->vector)
                         : first->vector == VECTOR_PF &&
                               (second->vector == VECTOR_PF || is_contributory(second->vector));
    if (is_double) {
        return (struct fault){.pending = true, .vector = VECTOR_DF, .has_error = true};
    }
    return *second;
}

/* Is it a fault (not a trap or abort), so that the saved flags have RF set?  Intel SDM vol. 3B,
 * "Instruction-Breakpoint Exception Condition". */
static bool sets_rf(const struct fault *fault)
{
    switch (fault->vector) {
    case VECTOR_DB:
        return fault->dr6_bits & DR6_BD;
    case VECTOR_BP:
    case VECTOR_OF:
    case VECTOR_DF:
    case VECTOR_MC:
        return false;
    default:
        return true;
    }
}

/* CR2 and the debug registers change whether the delivery succeeds or not. */
static void set_exception_registers(struct cpu *cpu, const struct fault *fault)
{
    if (fault->vector == VECTOR_PF) {
        cpu->cr2 = fault->cr2;
    } else if (fault->vector == VECTOR_DB) {
        cpu->dr[6] = (cpu->dr[6] & ~DR6_B) | fault->dr6_bits;
        cpu->dr[7] &= ~DR7_GD;
        cpu->msr.debugctl &= ~3ull; /* LBR, BTF */
    }
}

static void trace_fault(struct cpu *cpu, const struct fault *fault)
{
    char line[128];
    if (cpu->ops.trace) {
        format(line, sizeof(line), "exception %u error %x address %llx at %x:%llx cpl %u",
               fault->vector, fault->error, (unsigned long long)fault->cr2,
               cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip, cpu->cpl);
        cpu->ops.trace(cpu->ops.context, cpu, line);
    }
}

/* More than there can be one after the other on the way to #DF or a handler: a benign one, one that
 * is contributory, #PF, #DF. */
#define DELIVERIES_MAX 8

/* Some deliveries meet a fault for ever: #AC in the delivery of #AC at CPL 3, or a #DB through a
 * task gate whose task asks for a #DB.  A processor hangs in them; the vCPU must not. */
void cpu_deliver_fault(struct cpu *cpu)
{
    struct fault fault = cpu->fault;
    cpu->event_rip = cpu->rip;
    for (unsigned i = 0; i < DELIVERIES_MAX; i++) {
        struct event e = {
            .vector = fault.vector,
            .has_error = fault.has_error,
            .error = fault.error,
            .rip = cpu->rip,
            .flags = cpu_rflags(cpu) | (sets_rf(&fault) ? RFLAGS_RF : 0),
        };
        cpu->fault.pending = false;
        cpu->debug_hits = 0;
        set_exception_registers(cpu, &fault);
        trace_fault(cpu, &fault);
        if (deliver(cpu, &e, true)) {
            cpu->stats.faults[fault.vector & 31]++;
            cpu->activity = ACTIVITY_RUNNING; /* a single-step trap after HLT awakens */
            return;
        }
        if (fault.vector == VECTOR_DF) {
            cpu->fault.pending = false;
            cpu->activity = ACTIVITY_SHUTDOWN;
            return;
        }
        set_exception_registers(cpu, &cpu->fault); /* if it becomes #DF, too */
        fault = combine(&fault, &cpu->fault);
    }
    cpu->fault = fault;
}

/* ------------------------------------------------------------------ interrupts */

bool cpu_deliver_event(struct cpu *cpu, u8 vector, enum event_kind kind)
{
    struct event e = {
        .vector = vector,
        .software = kind == EVENT_SOFTWARE,
        .rip = cpu->rip,
        .flags = cpu_rflags(cpu),
    };
    bool is_interrupt = kind == EVENT_EXTERNAL || kind == EVENT_NMI;
    if (is_interrupt) {
        char line[64];
        if (cpu->ops.trace) {
            format(line, sizeof(line), "interrupt %u at %x:%llx", vector, cpu->seg[SEG_CS].selector,
                   (unsigned long long)cpu->rip);
            cpu->ops.trace(cpu->ops.context, cpu, line);
        }
        cpu->activity = ACTIVITY_RUNNING;
        cpu->stats.interrupts += kind == EVENT_EXTERNAL;
        cpu->nmi_blocked |= kind == EVENT_NMI;
    }
    if (kind == EVENT_SOFTWARE_DEBUG) {
        cpu->dr[7] &= ~DR7_GD;
    }
    cpu->fault.pending = false;
    if (deliver(cpu, &e, !e.software)) {
        if (!is_interrupt && vector < 32) {
            cpu->stats.faults[vector]++;
        }
        return true;
    }
    if (is_interrupt) {
        cpu_deliver_fault(cpu);
    }
    return is_interrupt;
}
