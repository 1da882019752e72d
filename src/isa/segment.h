/*
 * segment.h - segment descriptors and gates, as they lie in the GDT, an LDT or the IDT.
 *
 *      63        56 55  52 51   48 47          40 39        32
 *      base 31:24   G DB   limit   P DPL S type   base 23:16
 *                   L AVL  19:16
 *      31                       16 15                       0
 *      base 15:0                   limit 15:0
 *
 *      63                       48 47          40 39        32
 *      offset 31:16                P DPL 0 type   parameters (call), IST (long mode)
 *      31                       16 15                       0
 *      selector                    offset 15:0
 *
 * In long mode system descriptors and gates have 8 bytes more: base or offset 63:32, then a
 * doubleword whose bits 12:8 are zero.  Intel SDM vol. 3A, "Segment Descriptors", "Call Gates",
 * "IDT Descriptors", "64-Bit Mode IDT", "Segment Descriptor Tables in IA-32e Mode".
 */
#ifndef ISA_SEGMENT_H
#define ISA_SEGMENT_H

#include "base/types.h"

#define SELECTOR_RPL 3u
#define SELECTOR_TI  4u /* in the LDT */

/* Types of system descriptors and gates (S = 0). */
enum {
    SYSTEM_TSS_16 = 1,
    SYSTEM_LDT = 2,
    SYSTEM_TSS_16_BUSY = 3,
    SYSTEM_CALL_GATE_16 = 4,
    SYSTEM_TASK_GATE = 5,
    SYSTEM_INTERRUPT_GATE_16 = 6,
    SYSTEM_TRAP_GATE_16 = 7,
    SYSTEM_TSS = 9, /* 32-bit; 64-bit in long mode; gates too */
    SYSTEM_TSS_BUSY = 11,
    SYSTEM_CALL_GATE = 12,
    SYSTEM_INTERRUPT_GATE = 14,
    SYSTEM_TRAP_GATE = 15,
};

#define SYSTEM_BUSY 2u /* the type bit that makes a TSS busy */

/* Offsets of the descriptor's byte that holds the type, for the accessed and busy bits. */
#define DESCRIPTOR_TYPE_BYTE 5

static inline u32 descriptor_base(u64 d)
{
    return (u32)(d >> 16 & 0xffffff) | (u32)(d >> 56) << 24;
}

/* The last valid offset, scaled by G. */
static inline u32 descriptor_limit(u64 d)
{
    u32 limit = (u32)(d & 0xffff) | (u32)(d >> 32 & 0xf0000);
    return d >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

/* Type, S, DPL, P in bits 0 to 7; AVL, L, D/B, G in bits 12 to 15: SEGMENT_* of cpu/cpu.h. */
static inline u16 descriptor_attributes(u64 d)
{
    return (u16)(d >> 40 & 0xf0ff);
}

static inline u16 gate_selector(u64 d)
{
    return (u16)(d >> 16);
}

static inline u32 gate_offset(u64 d)
{
    return (u32)(d & 0xffff) | (u32)(d >> 32 & 0xffff0000);
}

/* Call gates: doublewords (or words, in a 16-bit gate) to copy from stack to stack. */
static inline unsigned gate_parameters(u64 d)
{
    return d >> 32 & 31;
}

/* Interrupt and trap gates in long mode. */
static inline unsigned gate_ist(u64 d)
{
    return d >> 32 & 7;
}

#endif
