/*
 * lapic.c - the local APIC: lapic.h has the contract.
 *
 * Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".  The registers, by their
 * offset in the xAPIC's page; an x2APIC has them as MSRs 0x800 + offset / 16:
 *
 *      020 ID          0b0 EOI         100 ISR (8)     280 ESR         320 LVT timer   380 initial
 *      030 version     0d0 LDR         180 TMR (8)     2f0 LVT CMCI    ... 370 error   390 current
 *      080 TPR         0e0 DFR         200 IRR (8)     300 ICR         (enum in        3e0 divide
 *      0a0 PPR         0f0 SVR                         310 ICR high     lapic.h)       3f0 self IPI
 *
 * Vectors reach IRR in two ways: from the inbox in lapic_poll(), and from this CPU's own LVT.
 * Whatever may have made an interrupt deliverable ends in look(), which raises attention, so that
 * the executor comes round and asks.
 *
 * LIMIT: LINT1 is connected to nothing, and performance, thermal and CMCI events never happen.
 */
#include "cpu/lapic.h"

#include "base/bits.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "isa/cpuid.h"
#include "isa/msr.h"

enum { /* offsets */
       REG_ID = 0x020,
       REG_VERSION = 0x030,
       REG_TPR = 0x080,
       REG_PPR = 0x0a0,
       REG_EOI = 0x0b0,
       REG_LDR = 0x0d0,
       REG_DFR = 0x0e0,
       REG_SVR = 0x0f0,
       REG_ISR = 0x100,
       REG_TMR = 0x180,
       REG_IRR = 0x200,
       REG_ESR = 0x280,
       REG_LVT_CMCI = 0x2f0,
       REG_ICR = 0x300,
       REG_ICR_HIGH = 0x310,
       REG_LVT_TIMER = 0x320,
       REG_LVT_ERROR = 0x370,
       REG_TIMER_INITIAL = 0x380,
       REG_TIMER_CURRENT = 0x390,
       REG_TIMER_DIVIDE = 0x3e0,
       REG_SELF_IPI = 0x3f0,
};

enum apic_mode { MODE_DISABLED, MODE_XAPIC, MODE_X2APIC }; /* as in struct interrupt_inbox */

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE, TIMER_RESERVED };

/* Version 0x14, the last LVT entry is number 6, EOI broadcasts can be suppressed. */
#define VERSION (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)

#define SVR_ENABLE       (1u << 8)
#define SVR_NO_BROADCAST (1u << 12)
#define SVR_WRITABLE     0x13ffu

#define LVT_MASKED      (1u << 16)
#define LVT_MODE_SHIFT  8
#define LVT_TIMER_SHIFT 17

#define ICR_BUSY        (1ull << 12)
#define ICR_LOGICAL     (1ull << 11)
#define ICR_ASSERT      (1ull << 14)
#define ICR_LEVEL       (1ull << 15)
#define ICR_WRITABLE    0x000ccfffull /* of the low half */
#define ICR_SHORT_SHIFT 18

#define ESR_SEND_VECTOR    (1u << 5)
#define ESR_RECEIVE_VECTOR (1u << 6)
#define ESR_REGISTER       (1u << 7)

#define DIVIDE_WRITABLE 0xbu
#define FIRST_VECTOR    16
#define NEVER           UINT64_MAX

static const u32 lvt_writable[LVT_COUNT] = {
    [LVT_CMCI] = 0x107ff,  [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_PERFORMANCE] = 0x107ff,
    [LVT_ERROR] = 0x100ff,
};

static enum apic_mode mode_of(u64 base)
{
    if (!(base & APIC_BASE_EN)) {
        return MODE_DISABLED;
    }
    return base & APIC_BASE_EXTD ? MODE_X2APIC : MODE_XAPIC;
}

static bool software_enabled(const struct lapic *l)
{
    return l->svr & SVR_ENABLE;
}

/* ------------------------------------------------------------------ vectors and priority */

static void set_vector(u64 bits[4], u8 vector)
{
    bits[vector / 64] |= BIT(vector % 64);
}

static void clear_vector(u64 bits[4], u8 vector)
{
    bits[vector / 64] &= ~BIT(vector % 64);
}

static int highest_vector(const u64 bits[4])
{
    for (int i = 3; i >= 0; i--) {
        if (bits[i]) {
            return i * 64 + 63 - __builtin_clzll(bits[i]);
        }
    }
    return -1;
}

static u8 processor_priority(const struct lapic *l)
{
    int in_service = highest_vector(l->isr);
    u8 class = in_service < 0 ? 0 : in_service & 0xf0;

    return (l->tpr & 0xf0) >= class ? l->tpr : class;
}

/* Does the PIC's INTR reach the CPU: virtual wire mode, or no APIC in between? */
static bool accepts_extint(const struct lapic *l)
{
    u32 lvt = l->lvt[LVT_LINT0];

    if (mode_of(l->base) == MODE_DISABLED) {
        return true;
    }
    return !(lvt & LVT_MASKED) && bits_get(lvt, LVT_MODE_SHIFT, 3) == INTERRUPT_EXTINT;
}

static bool extint_pending(const struct cpu *cpu)
{
    return accepts_extint(&cpu->lapic) &&
           (atomic_load_explicit(&cpu->inbox->events, memory_order_relaxed) & INBOX_EXTINT);
}

/* The vector in IRR that is above the processor's priority, or -1. */
static int deliverable_vector(const struct lapic *l)
{
    int vector;

    if (mode_of(l->base) == MODE_DISABLED) {
        return -1;
    }
    vector = highest_vector(l->irr);
    return vector >= 0 && vector >> 4 > processor_priority(l) >> 4 ? vector : -1;
}

bool lapic_interrupt_pending(const struct cpu *cpu)
{
    return deliverable_vector(&cpu->lapic) >= 0 || extint_pending(cpu);
}

/* See that the executor asks again. */
static void raise_attention(struct cpu *cpu)
{
    atomic_store(&cpu->inbox->attention, 1);
}

static void look(struct cpu *cpu)
{
    if (lapic_interrupt_pending(cpu)) {
        raise_attention(cpu);
    }
}

int lapic_acknowledge(struct cpu *cpu)
{
    struct lapic *l = &cpu->lapic;
    int vector;

    if (extint_pending(cpu)) {
        return cpu->port.acknowledge(cpu->port.context);
    }
    vector = deliverable_vector(l);
    if (vector >= 0) {
        clear_vector(l->irr, (u8)vector);
        set_vector(l->isr, (u8)vector);
    }
    return vector;
}

static void end_of_interrupt(struct cpu *cpu)
{
    struct lapic *l = &cpu->lapic;
    int vector = highest_vector(l->isr);

    if (vector < 0) {
        return;
    }
    clear_vector(l->isr, (u8)vector);
    if ((l->tmr[vector / 64] & BIT(vector % 64)) && !(l->svr & SVR_NO_BROADCAST)) {
        cpu->port.eoi(cpu->port.context, (u8)vector);
    }
    look(cpu);
}

/* ------------------------------------------------------------------ local vector table */

static void report_error(struct cpu *cpu, u32 bit);

/* An event of this CPU's own, by the LVT entry that says what becomes of it. */
static void local_event(struct cpu *cpu, unsigned entry)
{
    struct lapic *l = &cpu->lapic;
    u32 lvt = l->lvt[entry];
    u8 vector = (u8)lvt;

    if (lvt & LVT_MASKED) {
        return;
    }
    switch (bits_get(lvt, LVT_MODE_SHIFT, 3)) {
    case INTERRUPT_FIXED:
        if (vector < FIRST_VECTOR) {
            report_error(cpu, ESR_RECEIVE_VECTOR);
            return;
        }
        clear_vector(l->tmr, vector);
        set_vector(l->irr, vector);
        look(cpu);
        break;
    case INTERRUPT_NMI:
        cpu->nmi_pending = true;
        raise_attention(cpu);
        break;
    default: /* LIMIT: SMI and INIT from the LVT are dropped; ExtINT is a level: extint_pending() */
        break;
    }
}

/* Errors are collected until the guest writes ESR; only a new kind interrupts, which also ends the
 * recursion where the error is the error entry's own vector. */
static void report_error(struct cpu *cpu, u32 bit)
{
    struct lapic *l = &cpu->lapic;
    bool new = !(l->esr_pending & bit);

    l->esr_pending |= bit;
    if (new) {
        local_event(cpu, LVT_ERROR);
    }
}

/* ------------------------------------------------------------------ timer */

static enum timer_mode timer_mode(const struct lapic *l)
{
    return (enum timer_mode)bits_get(l->lvt[LVT_TIMER], LVT_TIMER_SHIFT, 2);
}

static u64 divider(const struct lapic *l)
{
    unsigned code = (l->timer_divide & 3) | ((l->timer_divide >> 1) & 4);

    return BIT((code + 1) & 7);
}

/* A tick of the undivided timer is one nanosecond. */
static u64 timer_period_ns(const struct lapic *l)
{
    return l->timer_initial * divider(l);
}

static void arm(struct cpu *cpu, u64 deadline_ns)
{
    struct lapic *l = &cpu->lapic;

    if (l->deadline_ns == NEVER && deadline_ns == NEVER) {
        return;
    }
    l->deadline_ns = deadline_ns;
    if (cpu->ops.arm_timer) {
        cpu->ops.arm_timer(cpu->ops.context, deadline_ns);
    }
}

/* The deadline is past, by however much: one interrupt, and the next period that is still to end.
 */
static void timer_expire(struct cpu *cpu, u64 now)
{
    struct lapic *l = &cpu->lapic;
    u64 period = timer_period_ns(l);

    if (timer_mode(l) == TIMER_PERIODIC && period) {
        l->timer_start_ns = now - (now - l->deadline_ns) % period;
        arm(cpu, l->timer_start_ns + period);
    } else {
        l->tsc_deadline = 0;
        arm(cpu, NEVER);
    }
    local_event(cpu, LVT_TIMER);
}

static void timer_check(struct cpu *cpu)
{
    u64 now;

    if (cpu->lapic.deadline_ns == NEVER) {
        return;
    }
    now = clock_ns(cpu);
    if (now >= cpu->lapic.deadline_ns) {
        timer_expire(cpu, now);
    }
}

static u32 timer_current(const struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;
    u64 now = clock_ns(cpu), period = timer_period_ns(l), left;

    if (l->deadline_ns == NEVER || timer_mode(l) == TIMER_TSC_DEADLINE || !period) {
        return 0;
    }
    if (now < l->deadline_ns) {
        left = l->deadline_ns - now;
    } else if (timer_mode(l) == TIMER_PERIODIC) {
        left = period - (now - l->deadline_ns) % period;
    } else {
        left = 0;
    }
    return (u32)((left + divider(l) - 1) / divider(l));
}

static void timer_set_initial(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;

    if (timer_mode(l) == TIMER_TSC_DEADLINE) {
        return;
    }
    l->timer_initial = value;
    if (!value) {
        arm(cpu, NEVER);
        return;
    }
    l->timer_start_ns = clock_ns(cpu);
    arm(cpu, l->timer_start_ns + timer_period_ns(l));
}

/* The count goes on from where it is, at the new rate. */
static void timer_set_divide(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;
    u32 count = timer_current(cpu);

    l->timer_divide = value & DIVIDE_WRITABLE;
    if (l->deadline_ns != NEVER && timer_mode(l) != TIMER_TSC_DEADLINE) {
        u64 deadline = clock_ns(cpu) + count * divider(l);

        l->timer_start_ns = deadline - timer_period_ns(l);
        arm(cpu, deadline);
    }
}

static void timer_mode_changed(struct cpu *cpu, enum timer_mode old)
{
    struct lapic *l = &cpu->lapic;
    enum timer_mode new = timer_mode(l);

    if (old != new && (old == TIMER_TSC_DEADLINE || new == TIMER_TSC_DEADLINE)) {
        l->timer_initial = 0;
        l->tsc_deadline = 0;
        arm(cpu, NEVER);
    }
}

u64 lapic_get_tsc_deadline(struct cpu *cpu)
{
    timer_check(cpu);
    return timer_mode(&cpu->lapic) == TIMER_TSC_DEADLINE ? cpu->lapic.tsc_deadline : 0;
}

void lapic_set_tsc_deadline(struct cpu *cpu, u64 tsc)
{
    struct lapic *l = &cpu->lapic;
    u64 deadline, now;

    if (timer_mode(l) != TIMER_TSC_DEADLINE) {
        return;
    }
    l->tsc_deadline = tsc;
    if (tsc == 0) {
        arm(cpu, NEVER);
        return;
    }
    deadline = clock_tsc_to_ns(cpu, tsc);
    now = clock_ns(cpu);
    if (deadline > now) {
        arm(cpu, deadline);
    } else {
        timer_expire(cpu, now);
    }
}

void lapic_tsc_changed(struct cpu *cpu)
{
    if (cpu->lapic.tsc_deadline) {
        lapic_set_tsc_deadline(cpu, cpu->lapic.tsc_deadline);
    }
}

/* ------------------------------------------------------------------ interprocessor interrupts */

static void send_ipi(struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;
    bool wide = mode_of(l->base) == MODE_X2APIC;
    struct interrupt_message message = {
        .dest = (u32)(l->icr >> (wide ? 32 : 56)),
        .dest_wide = wide,
        .dest_logical = l->icr & ICR_LOGICAL,
        .vector = (u8)l->icr,
        .delivery = (u8)bits_get(l->icr, LVT_MODE_SHIFT, 3),
        .shorthand = (u8)bits_get(l->icr, ICR_SHORT_SHIFT, 2),
        .source = (u8)cpu->index,
    };

    switch (message.delivery) {
    case INTERRUPT_FIXED:
    case INTERRUPT_LOWEST:
        if (message.vector < FIRST_VECTOR) {
            report_error(cpu, ESR_SEND_VECTOR);
            return;
        }
        break;
    case INTERRUPT_INIT: /* INIT level de-assert only set arbitration IDs, on the APIC bus */
        if ((l->icr & ICR_LEVEL) && !(l->icr & ICR_ASSERT)) {
            return;
        }
        break;
    case INTERRUPT_SMI:
    case INTERRUPT_NMI:
    case INTERRUPT_SIPI:
        break;
    default:
        return;
    }
    interrupt_send(&cpu->fabric, &message);
}

static void send_self_ipi(struct cpu *cpu, u8 vector)
{
    if (vector < FIRST_VECTOR) {
        report_error(cpu, ESR_SEND_VECTOR);
        return;
    }
    clear_vector(cpu->lapic.tmr, vector);
    set_vector(cpu->lapic.irr, vector);
    look(cpu);
}

/* ------------------------------------------------------------------ registers */

/* Let senders know how this CPU can be addressed. */
static void publish(struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;

    atomic_store(&cpu->inbox->apic_id, l->id);
    atomic_store(&cpu->inbox->ldr, l->ldr);
    atomic_store(&cpu->inbox->dfr, l->dfr);
    atomic_store(&cpu->inbox->mode, (u32)mode_of(l->base));
}

/* Offset of an LVT register to enum, or -1. */
static int lvt_entry(u32 offset)
{
    if (offset == REG_LVT_CMCI) {
        return LVT_CMCI;
    }
    if (offset >= REG_LVT_TIMER && offset <= REG_LVT_ERROR) {
        return LVT_TIMER + (int)((offset - REG_LVT_TIMER) >> 4);
    }
    return -1;
}

static u32 vector_word(const u64 bits[4], u32 offset)
{
    unsigned word = (offset >> 4) & 7;

    return (u32)(bits[word / 2] >> (word % 2 * 32));
}

/* False where there is no such register to read. */
static bool read_register(const struct cpu *cpu, u32 offset, u32 *value)
{
    const struct lapic *l = &cpu->lapic;
    bool x2apic = mode_of(l->base) == MODE_X2APIC;

    if (lvt_entry(offset) >= 0) {
        *value = l->lvt[lvt_entry(offset)];
        return true;
    }
    switch (offset) {
    case REG_ID:
        *value = x2apic ? l->id : l->id << 24;
        return true;
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = l->tpr;
        return true;
    case REG_PPR:
        *value = processor_priority(l);
        return true;
    case REG_EOI: /* write-only: an xAPIC reads as 0 */
        *value = 0;
        return !x2apic;
    case REG_LDR:
        *value = l->ldr;
        return true;
    case REG_DFR:
        *value = l->dfr;
        return !x2apic;
    case REG_SVR:
        *value = l->svr;
        return true;
    case REG_ISR ... REG_ISR + 0x70:
        *value = vector_word(l->isr, offset);
        return true;
    case REG_TMR ... REG_TMR + 0x70:
        *value = vector_word(l->tmr, offset);
        return true;
    case REG_IRR ... REG_IRR + 0x70:
        *value = vector_word(l->irr, offset);
        return true;
    case REG_ESR:
        *value = l->esr;
        return true;
    case REG_ICR:
        *value = (u32)l->icr;
        return true;
    case REG_ICR_HIGH:
        *value = (u32)(l->icr >> 32);
        return !x2apic;
    case REG_TIMER_INITIAL:
        *value = l->timer_initial;
        return true;
    case REG_TIMER_CURRENT:
        *value = timer_current(cpu);
        return true;
    case REG_TIMER_DIVIDE:
        *value = l->timer_divide;
        return true;
    default:
        return false;
    }
}

static void write_lvt(struct cpu *cpu, unsigned entry, u32 value)
{
    struct lapic *l = &cpu->lapic;
    enum timer_mode old = timer_mode(l);

    l->lvt[entry] = value & lvt_writable[entry];
    if (!software_enabled(l)) {
        l->lvt[entry] |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        timer_mode_changed(cpu, old);
    }
    if (entry == LVT_LINT0) {
        look(cpu);
    }
}

static void write_svr(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;

    l->svr = value & SVR_WRITABLE;
    if (!software_enabled(l)) {
        for (unsigned i = 0; i < LVT_COUNT; i++) {
            l->lvt[i] |= LVT_MASKED;
        }
    }
}

/* False where there is no such register to write. */
static bool write_register(struct cpu *cpu, u32 offset, u32 value)
{
    struct lapic *l = &cpu->lapic;
    bool x2apic = mode_of(l->base) == MODE_X2APIC;

    if (lvt_entry(offset) >= 0) {
        write_lvt(cpu, (unsigned)lvt_entry(offset), value);
        return true;
    }
    switch (offset) {
    case REG_TPR:
        l->tpr = (u8)value;
        look(cpu);
        return true;
    case REG_EOI:
        end_of_interrupt(cpu);
        return true;
    case REG_LDR:
        l->ldr = value & 0xff000000;
        publish(cpu);
        return !x2apic;
    case REG_DFR:
        l->dfr = value | 0x0fffffff;
        publish(cpu);
        return !x2apic;
    case REG_SVR:
        write_svr(cpu, value);
        return true;
    case REG_ESR:
        l->esr = l->esr_pending;
        l->esr_pending = 0;
        return true;
    case REG_ICR:
        l->icr = (l->icr & ~0xffffffffull) | (value & ICR_WRITABLE);
        send_ipi(cpu);
        return true;
    case REG_ICR_HIGH:
        l->icr = (u32)l->icr | (u64)(value & 0xff000000) << 32;
        return !x2apic;
    case REG_TIMER_INITIAL:
        timer_set_initial(cpu, value);
        return true;
    case REG_TIMER_DIVIDE:
        timer_set_divide(cpu, value);
        return true;
    case REG_SELF_IPI:
        if (x2apic) {
            send_self_ipi(cpu, (u8)value);
        }
        return x2apic;
    case REG_ID: /* read-only, as on all recent CPUs: an xAPIC ignores a write */
    case REG_VERSION:
    case REG_PPR:
    case REG_TIMER_CURRENT:
    case REG_ISR ... REG_IRR + 0x70:
        return !x2apic;
    default:
        return false;
    }
}

u32 lapic_mmio_read(struct cpu *cpu, u32 offset)
{
    u32 value = 0;

    if (!read_register(cpu, offset, &value)) {
        report_error(cpu, ESR_REGISTER);
        return 0;
    }
    return value;
}

void lapic_mmio_write(struct cpu *cpu, u32 offset, u32 value)
{
    if (!write_register(cpu, offset, value)) {
        report_error(cpu, ESR_REGISTER);
    }
}

bool lapic_claims(const struct cpu *cpu, u64 gpa)
{
    u64 base = cpu->lapic.base;

    return mode_of(base) == MODE_XAPIC && (gpa & PAGE_MASK) == (base & APIC_BASE_ADDR);
}

/* The bits that a WRMSR may set, for registers that can be written at all. */
static u32 x2apic_writable(u32 offset)
{
    if (lvt_entry(offset) >= 0) {
        return lvt_writable[lvt_entry(offset)];
    }
    switch (offset) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return SVR_WRITABLE;
    case REG_TIMER_INITIAL:
        return UINT32_MAX;
    case REG_TIMER_DIVIDE:
        return DIVIDE_WRITABLE;
    default: /* EOI and ESR: 0 only */
        return 0;
    }
}

bool lapic_msr_read(struct cpu *cpu, u32 msr, u64 *value)
{
    u32 offset = (msr - MSR_X2APIC_FIRST) << 4, word;

    if (mode_of(cpu->lapic.base) != MODE_X2APIC) {
        return false;
    }
    if (offset == REG_ICR) {
        *value = cpu->lapic.icr;
        return true;
    }
    if (!read_register(cpu, offset, &word)) {
        return false;
    }
    *value = word;
    return true;
}

bool lapic_msr_write(struct cpu *cpu, u32 msr, u64 value)
{
    u32 offset = (msr - MSR_X2APIC_FIRST) << 4;

    if (mode_of(cpu->lapic.base) != MODE_X2APIC) {
        return false;
    }
    if (offset == REG_ICR) {
        if ((u32)value & ~(ICR_WRITABLE | ICR_BUSY)) {
            return false;
        }
        cpu->lapic.icr = value & ~ICR_BUSY;
        send_ipi(cpu);
        return true;
    }
    if (offset == REG_LDR || offset == REG_DFR || offset == REG_ICR_HIGH ||
        (value & ~(u64)x2apic_writable(offset))) {
        return false;
    }
    return write_register(cpu, offset, (u32)value);
}

u8 lapic_get_cr8(const struct cpu *cpu)
{
    return cpu->lapic.tpr >> 4;
}

void lapic_set_cr8(struct cpu *cpu, u8 value)
{
    cpu->lapic.tpr = (u8)(value << 4);
    look(cpu);
}

/* ------------------------------------------------------------------ modes, reset */

/* An x2APIC's logical ID: a cluster of 16 in the high half, one bit in the low half. */
static u32 x2apic_ldr(u32 id)
{
    return (id >> 4) << 16 | 1u << (id & 0xf);
}

void lapic_init(struct cpu *cpu)
{
    struct lapic *l = &cpu->lapic;
    u64 base = l->base, deadline = l->deadline_ns;

    *l = (struct lapic){.base = base, .id = cpu->index, .dfr = UINT32_MAX, .svr = 0xff};
    for (unsigned i = 0; i < LVT_COUNT; i++) {
        l->lvt[i] = LVT_MASKED;
    }
    if (mode_of(base) == MODE_X2APIC) {
        l->ldr = x2apic_ldr(l->id);
    }
    l->deadline_ns = deadline;
    arm(cpu, NEVER);
    publish(cpu);
}

void lapic_reset(struct cpu *cpu)
{
    cpu->lapic.base = APIC_BASE_DEFAULT | APIC_BASE_EN | (cpu->index == 0 ? APIC_BASE_BSP : 0);
    lapic_init(cpu);
}

void lapic_set_virtual_wire(struct cpu *cpu)
{
    struct lapic *l = &cpu->lapic;

    l->svr = SVR_ENABLE | 0xff;
    l->lvt[LVT_LINT0] = INTERRUPT_EXTINT << LVT_MODE_SHIFT;
    l->lvt[LVT_LINT1] = INTERRUPT_NMI << LVT_MODE_SHIFT;
    look(cpu);
}

/* SDM, "x2APIC State Transitions": x2APIC mode is entered from xAPIC mode only, and left by
 * disabling the APIC, which loses its state. */
bool lapic_set_base(struct cpu *cpu, u64 value)
{
    const u64 valid = (APIC_BASE_ADDR & bits_mask(CPUID_PHYSICAL_BITS)) | APIC_BASE_EN |
                      APIC_BASE_EXTD | APIC_BASE_BSP;
    struct lapic *l = &cpu->lapic;
    enum apic_mode old = mode_of(l->base), new = mode_of(value);

    if ((value & ~valid) || (new == MODE_DISABLED && (value & APIC_BASE_EXTD)) ||
        (old == MODE_X2APIC && new == MODE_XAPIC) || (old == MODE_DISABLED && new == MODE_X2APIC)) {
        return false;
    }
    l->base = value;
    if (new == MODE_DISABLED && old != MODE_DISABLED) {
        lapic_init(cpu);
    }
    if (new == MODE_X2APIC && old != MODE_X2APIC) {
        l->ldr = x2apic_ldr(l->id);
        l->icr = (u32)l->icr;
    }
    publish(cpu);
    mmu_flush(&cpu->mmu); /* the page may have hidden RAM, or hide it now */
    look(cpu);
    return true;
}

/* ------------------------------------------------------------------ the inbox */

/* A vector that comes while the APIC is off is lost, as its sender could not have known. */
static void take_vectors(struct cpu *cpu)
{
    struct interrupt_inbox *inbox = cpu->inbox;
    struct lapic *l = &cpu->lapic;
    bool accepts = mode_of(l->base) != MODE_DISABLED && software_enabled(l);

    for (unsigned i = 0; i < 4; i++) {
        u64 irr, level;

        if (!atomic_load_explicit(&inbox->irr[i], memory_order_relaxed)) {
            continue;
        }
        irr = atomic_exchange(&inbox->irr[i], 0);
        level = atomic_load(&inbox->tmr[i]);
        if (accepts) {
            l->tmr[i] = (l->tmr[i] & ~irr) | (level & irr);
            l->irr[i] |= irr;
        }
    }
}

/* LINT0 is the PIC's INTR.  As ExtINT it is a level, which extint_pending() looks at; in the other
 * modes its rising edge is an event. */
static void take_lint0(struct cpu *cpu, bool level)
{
    bool rising = level && !cpu->lapic.lint0_level;

    cpu->lapic.lint0_level = level;
    if (rising && mode_of(cpu->lapic.base) != MODE_DISABLED) {
        local_event(cpu, LVT_LINT0);
    }
}

u32 lapic_poll(struct cpu *cpu)
{
    struct interrupt_inbox *inbox = cpu->inbox;
    u32 events;

    atomic_store(&inbox->attention, 0);
    events = atomic_fetch_and(&inbox->events, INBOX_EXTINT);
    take_vectors(cpu);
    take_lint0(cpu, events & INBOX_EXTINT);
    if (events & INBOX_NMI) {
        cpu->nmi_pending = true;
    }
    if (events & INBOX_INIT) {
        cpu_init_signal(cpu);
    }
    if ((events & INBOX_SIPI) && cpu->activity == ACTIVITY_WAIT_FOR_SIPI) {
        cpu_start_up(cpu, (u8)atomic_load(&inbox->sipi_vector));
    }
    timer_check(cpu);
    if ((events & INBOX_TIMER) && cpu->lapic.deadline_ns != NEVER) {
        arm(cpu, cpu->lapic.deadline_ns); /* the host's timer was early, or for an older deadline */
    }
    return events & INBOX_PAUSE;
}
