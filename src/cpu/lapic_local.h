/*
 * lapic_local.h - what the files of the local APIC share: lapic.c (priority, modes, the inbox),
 * lapic_registers.c and lapic_timer.c.
 */
#ifndef CPU_LAPIC_LOCAL_H
#define CPU_LAPIC_LOCAL_H

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "isa/msr.h"

enum apic_mode { MODE_DISABLED, MODE_XAPIC, MODE_X2APIC }; /* as in struct interrupt_inbox */

#define SVR_ENABLE       (1u << 8)
#define SVR_NO_BROADCAST (1u << 12)
#define SVR_WRITABLE     0x13ffu

#define LVT_PENDING    (1u << 12) /* delivery status: read-only */
#define LVT_REMOTE_IRR (1u << 14) /* read-only */
#define LVT_MASKED     (1u << 16)
#define LVT_MODE_SHIFT 8

#define ESR_SEND_VECTOR    (1u << 5)
#define ESR_RECEIVE_VECTOR (1u << 6)
#define ESR_REGISTER       (1u << 7)

#define LAPIC_FIRST_VECTOR 16 /* those below are exceptions' */
#define LAPIC_NEVER        UINT64_MAX

static inline enum apic_mode lapic_mode(u64 base)
{
    if (!(base & APIC_BASE_EN)) {
        return MODE_DISABLED;
    }
    return base & APIC_BASE_EXTD ? MODE_X2APIC : MODE_XAPIC;
}

static inline bool lapic_software_enabled(const struct lapic *l)
{
    return l->svr & SVR_ENABLE;
}

/* ------------------------------------------------------------------ lapic.c */

u8 lapic_processor_priority(const struct lapic *l);

/* Raise attention if an interrupt may be delivered: after whatever may have made it so. */
void lapic_look(struct cpu *cpu);

void lapic_end_of_interrupt(struct cpu *cpu);

/* An edge-triggered vector, 16 or above, of this CPU's own. */
void lapic_accept(struct cpu *cpu, u8 vector);

/* An event of this CPU's own, by the LVT entry (LVT_*) that says what becomes of it. */
void lapic_local_event(struct cpu *cpu, unsigned entry);

/* Log ESR_* bits. */
void lapic_report_error(struct cpu *cpu, u32 bit);

/* Let senders know how this CPU can be addressed. */
void lapic_publish(struct cpu *cpu);

/* ------------------------------------------------------------------ lapic_timer.c */

u32 lapic_timer_current(const struct cpu *cpu);
void lapic_timer_set_initial(struct cpu *cpu, u32 value);
void lapic_timer_set_divide(struct cpu *cpu, u32 value);

/* A new LVT timer entry, instead of old. */
void lapic_timer_lvt_changed(struct cpu *cpu, u32 old);

/* The next expiry is at deadline_ns: LAPIC_NEVER stops the timer. */
void lapic_timer_arm(struct cpu *cpu, u64 deadline_ns);

/* Expire if it is time. */
void lapic_timer_check(struct cpu *cpu);

#endif
