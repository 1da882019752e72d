/*
 * lapic_registers.c - the local APIC's registers, as MMIO and as MSRs, and what writing them sends.
 *
 * Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)", "Extended XAPIC
 * (x2APIC)".  By their offset in the xAPIC's page; an x2APIC has them as MSRs 0x800 + offset / 16:
 *
 *      020 ID          0b0 EOI         100 ISR (8)     280 ESR         320 LVT timer   380 initial
 *      030 version     0d0 LDR         180 TMR (8)     2f0 LVT CMCI    ... 370 error   390 current
 *      080 TPR         0e0 DFR         200 IRR (8)     300 ICR         (enum in        3e0 divide
 *      0a0 PPR         0f0 SVR                         310 ICR high     lapic.h)       3f0 self IPI
 */
#include "cpu/lapic.h"

#include "cpu/cpu.h"
#include "cpu/lapic_local.h"

enum {
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

/* Version 0x14, the last LVT entry is number 6, EOI broadcasts can be suppressed. */
#define VERSION (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)

#define ICR_BUSY        (1ull << 12)
#define ICR_LOGICAL     (1ull << 11)
#define ICR_ASSERT      (1ull << 14)
#define ICR_LEVEL       (1ull << 15)
#define ICR_WRITABLE    0x000ccfffull /* of the low half */
#define ICR_SHORT_SHIFT 18

#define DIVIDE_WRITABLE 0xbu

static const u32 lvt_writable[LVT_COUNT] = {
    [LVT_CMCI] = 0x107ff,  [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_PERFORMANCE] = 0x107ff,
    [LVT_ERROR] = 0x100ff,
};

/* ------------------------------------------------------------------ interprocessor interrupts */

static void send_ipi(struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;
    bool wide = lapic_mode(l->base) == MODE_X2APIC;
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
        if (message.vector < LAPIC_FIRST_VECTOR) {
            lapic_report_error(cpu, ESR_SEND_VECTOR);
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
    if (vector < LAPIC_FIRST_VECTOR) {
        lapic_report_error(cpu, ESR_SEND_VECTOR);
        return;
    }
    lapic_accept(cpu, vector);
}

/* ------------------------------------------------------------------ registers */

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
    bool x2apic = lapic_mode(l->base) == MODE_X2APIC;

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
        *value = lapic_processor_priority(l);
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
        *value = lapic_timer_current(cpu);
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
    u32 old = l->lvt[entry];

    l->lvt[entry] = value & lvt_writable[entry];
    if (!lapic_software_enabled(l)) {
        l->lvt[entry] |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        lapic_timer_lvt_changed(cpu, old);
    }
    if (entry == LVT_LINT0) {
        lapic_look(cpu);
    }
}

static void write_svr(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;

    l->svr = value & SVR_WRITABLE;
    if (!lapic_software_enabled(l)) {
        for (unsigned i = 0; i < LVT_COUNT; i++) {
            l->lvt[i] |= LVT_MASKED;
        }
    }
}

/* False where there is no such register to write. */
static bool write_register(struct cpu *cpu, u32 offset, u32 value)
{
    struct lapic *l = &cpu->lapic;
    bool x2apic = lapic_mode(l->base) == MODE_X2APIC;

    if (lvt_entry(offset) >= 0) {
        write_lvt(cpu, (unsigned)lvt_entry(offset), value);
        return true;
    }
    switch (offset) {
    case REG_TPR:
        l->tpr = (u8)value;
        lapic_look(cpu);
        return true;
    case REG_EOI:
        lapic_end_of_interrupt(cpu);
        return true;
    case REG_LDR:
        l->ldr = value & 0xff000000;
        lapic_publish(cpu);
        return !x2apic;
    case REG_DFR:
        l->dfr = value | 0x0fffffff;
        lapic_publish(cpu);
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
        lapic_timer_set_initial(cpu, value);
        return true;
    case REG_TIMER_DIVIDE:
        lapic_timer_set_divide(cpu, value & DIVIDE_WRITABLE);
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
        lapic_report_error(cpu, ESR_REGISTER);
        return 0;
    }
    return value;
}

void lapic_mmio_write(struct cpu *cpu, u32 offset, u32 value)
{
    if (!write_register(cpu, offset, value)) {
        lapic_report_error(cpu, ESR_REGISTER);
    }
}

bool lapic_claims(const struct cpu *cpu, u64 gpa)
{
    u64 base = cpu->lapic.base;

    return lapic_mode(base) == MODE_XAPIC && (gpa & PAGE_MASK) == (base & APIC_BASE_ADDR);
}

/* The bits that a WRMSR may set, for registers that can be written at all.  Read-only bits are not
 * reserved ones: setting them is no error and has no effect.  Linux does so to LINT0 when it shuts
 * down. */
static u32 x2apic_writable(u32 offset)
{
    int entry = lvt_entry(offset);

    if (entry >= 0) {
        bool pin = entry == LVT_LINT0 || entry == LVT_LINT1;
        return lvt_writable[entry] | LVT_PENDING | (pin ? LVT_REMOTE_IRR : 0);
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

    if (lapic_mode(cpu->lapic.base) != MODE_X2APIC) {
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

    if (lapic_mode(cpu->lapic.base) != MODE_X2APIC) {
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
    lapic_look(cpu);
}
