/*
 * lapic.h - the local APIC: xAPIC (MMIO) and x2APIC (MSRs), its timer, and interrupt priority.
 *
 * Part of the CPU, so that EOI, TPR and the timer cost no message.  Intel SDM vol. 3A, "Advanced
 * Programmable Interrupt Controller (APIC)".
 */
#ifndef CPU_LAPIC_H
#define CPU_LAPIC_H

#include "base/types.h"

enum {
    LVT_CMCI,
    LVT_TIMER,
    LVT_THERMAL,
    LVT_PERFORMANCE,
    LVT_LINT0,
    LVT_LINT1,
    LVT_ERROR,
    LVT_COUNT
};

/* What the timer counts at, before its divider. */
#define LAPIC_TIMER_HZ 1000000000ull

struct lapic {
    u64 base; /* MSR IA32_APIC_BASE */
    u32 id;   /* as the ID register gives it, without the xAPIC shift */
    u32 ldr, dfr, svr, esr, esr_pending;
    u8 tpr;
    u64 irr[4], isr[4], tmr[4];
    u32 lvt[LVT_COUNT];
    u64 icr;
    u32 timer_initial, timer_divide;
    u64 timer_start_ns; /* when the current count began */
    u64 deadline_ns;    /* next expiry on clock_ns(), or UINT64_MAX */
    u64 tsc_deadline;   /* MSR IA32_TSC_DEADLINE */
    bool lint0_level;   /* of LINT0 when last looked at, for edges */
};

struct cpu;

void lapic_reset(struct cpu *cpu);
void lapic_init(struct cpu *cpu); /* what INIT resets: all but the ID and IA32_APIC_BASE */

/* What firmware leaves behind on the BSP: virtual wire mode, so that the PIC's interrupts arrive at
 * a guest that knows no APIC.  For boots without firmware. */
void lapic_set_virtual_wire(struct cpu *cpu);

/* Registers by their xAPIC offset (0x20, 0x30 ... 0x3f0), as MMIO and as MSRs 0x800 + offset / 16.
 * The MSR forms return false for #GP. */
u32 lapic_mmio_read(struct cpu *cpu, u32 offset);
void lapic_mmio_write(struct cpu *cpu, u32 offset, u32 value);
bool lapic_msr_read(struct cpu *cpu, u32 msr, u64 *value);
bool lapic_msr_write(struct cpu *cpu, u32 msr, u64 value);
bool lapic_set_base(struct cpu *cpu, u64 value); /* WRMSR IA32_APIC_BASE; false for #GP */

u8 lapic_get_cr8(const struct cpu *cpu);
void lapic_set_cr8(struct cpu *cpu, u8 value);

/* TSC-deadline mode: RDMSR and WRMSR of IA32_TSC_DEADLINE. */
u64 lapic_get_tsc_deadline(struct cpu *cpu);
void lapic_set_tsc_deadline(struct cpu *cpu, u64 tsc);

/* The guest's TSC has jumped: find the deadline again. */
void lapic_tsc_changed(struct cpu *cpu);

/* Take what has come into the inbox: vectors into IRR, NMI, INIT, SIPI; run the timer if its
 * deadline is past.  Clears attention first.  Returns the INBOX_* events that are left for the
 * caller: INBOX_PAUSE only. */
u32 lapic_poll(struct cpu *cpu);

/* Is there an interrupt that IF = 1 would let through now? */
bool lapic_interrupt_pending(const struct cpu *cpu);

/* Take it: moves IRR to ISR (or asks the PIC).  -1 if there is none after all. */
int lapic_acknowledge(struct cpu *cpu);

/* Does gpa fall into the APIC's enabled xAPIC page? */
bool lapic_claims(const struct cpu *cpu, u64 gpa);

#endif
