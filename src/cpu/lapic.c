/*
 * lapic.c - the local APIC: lapic.h has the contract.
 *
 * Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 *
 * Vectors reach IRR in two ways: from the inbox in lapic_poll(), and from this CPU's own LVT.
 * Whatever may have made an interrupt deliverable ends in lapic_look(), which raises attention, so
 * that the executor comes round and asks.
 *
 * LIMIT: LINT1 is connected to nothing, and performance, thermal and CMCI events never happen.  A
 * guest that moves the APIC's page over RAM sees the RAM.
 */
#include "cpu/lapic.h"

#include "cpu/control.h"
#include "cpu/lapic_local.h"
#include "isa/cpuid.h"

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

u8 lapic_processor_priority(const struct lapic *l)
{
    int in_service = highest_vector(l->isr);
    u8 class = in_service < 0 ? 0 : in_service & 0xf0;

    return (l->tpr & 0xf0) >= class ? l->tpr : class;
}

/* Does the PIC's INTR reach the CPU: virtual wire mode, or no APIC in between? */
static bool accepts_extint(const struct lapic *l)
{
    u32 lvt = l->lvt[LVT_LINT0];

    if (lapic_mode(l->base) == MODE_DISABLED) {
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

    if (lapic_mode(l->base) == MODE_DISABLED) {
        return -1;
    }
    vector = highest_vector(l->irr);
    return vector >= 0 && vector >> 4 > lapic_processor_priority(l) >> 4 ? vector : -1;
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

void lapic_look(struct cpu *cpu)
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
        vector = cpu->port.acknowledge(cpu->port.context);
        if (vector >= 0) {
            return vector;
        }
    }
    vector = deliverable_vector(l);
    if (vector >= 0) {
        clear_vector(l->irr, (u8)vector);
        set_vector(l->isr, (u8)vector);
    }
    return vector;
}

void lapic_end_of_interrupt(struct cpu *cpu)
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
    lapic_look(cpu);
}

/* ------------------------------------------------------------------ local vector table */

void lapic_accept(struct cpu *cpu, u8 vector)
{
    clear_vector(cpu->lapic.tmr, vector);
    set_vector(cpu->lapic.irr, vector);
    lapic_look(cpu);
}

void lapic_local_event(struct cpu *cpu, unsigned entry)
{
    struct lapic *l = &cpu->lapic;
    u32 lvt = l->lvt[entry];
    u8 vector = (u8)lvt;

    if (lvt & LVT_MASKED) {
        return;
    }
    switch (bits_get(lvt, LVT_MODE_SHIFT, 3)) {
    case INTERRUPT_FIXED:
        if (vector < LAPIC_FIRST_VECTOR) {
            lapic_report_error(cpu, ESR_RECEIVE_VECTOR);
            return;
        }
        lapic_accept(cpu, vector);
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
void lapic_report_error(struct cpu *cpu, u32 bit)
{
    struct lapic *l = &cpu->lapic;
    bool new = !(l->esr_pending & bit);

    l->esr_pending |= bit;
    if (new) {
        lapic_local_event(cpu, LVT_ERROR);
    }
}

/* ------------------------------------------------------------------ modes, reset */

/* An x2APIC's logical ID: a cluster of 16 in the high half, one bit in the low half. */
static u32 x2apic_ldr(u32 id)
{
    return (id >> 4) << 16 | 1u << (id & 0xf);
}

void lapic_publish(struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;

    atomic_store(&cpu->inbox->apic_id, l->id);
    atomic_store(&cpu->inbox->ldr, l->ldr);
    atomic_store(&cpu->inbox->dfr, l->dfr);
    atomic_store(&cpu->inbox->mode, (u32)lapic_mode(l->base));
}

void lapic_init(struct cpu *cpu)
{
    struct lapic *l = &cpu->lapic;
    u64 base = l->base, deadline = l->deadline_ns;

    *l = (struct lapic){.base = base, .id = cpu->index, .dfr = UINT32_MAX, .svr = 0xff};
    for (unsigned i = 0; i < LVT_COUNT; i++) {
        l->lvt[i] = LVT_MASKED;
    }
    if (lapic_mode(base) == MODE_X2APIC) {
        l->ldr = x2apic_ldr(l->id);
    }
    l->deadline_ns = deadline;
    lapic_timer_arm(cpu, LAPIC_NEVER);
    lapic_publish(cpu);
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
    lapic_look(cpu);
}

/* SDM, "x2APIC State Transitions": x2APIC mode is entered from xAPIC mode only, and left by
 * disabling the APIC, which loses its state. */
bool lapic_set_base(struct cpu *cpu, u64 value)
{
    const u64 valid = (APIC_BASE_ADDR & bits_mask(CPUID_PHYSICAL_BITS)) | APIC_BASE_EN |
                      APIC_BASE_EXTD | APIC_BASE_BSP;
    struct lapic *l = &cpu->lapic;
    enum apic_mode old = lapic_mode(l->base), new = lapic_mode(value);

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
    lapic_publish(cpu);
    lapic_look(cpu);
    return true;
}

/* ------------------------------------------------------------------ the inbox */

/* A vector that comes while the APIC is off is lost, as its sender could not have known. */
static void take_vectors(struct cpu *cpu)
{
    struct interrupt_inbox *inbox = cpu->inbox;
    struct lapic *l = &cpu->lapic;
    bool accepts = lapic_mode(l->base) != MODE_DISABLED && lapic_software_enabled(l);

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
    if (rising && lapic_mode(cpu->lapic.base) != MODE_DISABLED) {
        lapic_local_event(cpu, LVT_LINT0);
    }
}

u32 lapic_poll(struct cpu *cpu)
{
    struct interrupt_inbox *inbox = cpu->inbox;
    u32 events;

    atomic_store(&inbox->attention, 0);
    events = atomic_fetch_and(&inbox->events, INBOX_LEVELS);
    control_set_a20(cpu, !(events & INBOX_A20_OFF));
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
    lapic_timer_check(cpu);
    if ((events & INBOX_TIMER) && cpu->lapic.deadline_ns != LAPIC_NEVER) {
        lapic_timer_arm(
            cpu, cpu->lapic.deadline_ns); /* the host's timer was early, or for an older deadline */
    }
    return events & INBOX_PAUSE;
}
