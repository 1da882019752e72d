/*
 * segment.h - segment registers: loading them, and checking offsets against them.
 *
 * Intel SDM vol. 3A, "Protected-Mode Memory Management" and "Protection"; vol. 2, MOV, LLDT, LTR,
 * LAR, LSL, VERR.
 */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/cpu.h"
#include "isa/segment.h"

/* A descriptor that has been read from the GDT or an LDT. */
struct descriptor {
    gva_t gva;
    u64 low, high; /* high: only after segment_read_system(), and 0 outside long mode */
    u16 attributes;
};

/* MOV, POP, LDS...: load ES, SS, DS, FS or GS (not CS) with all checks of the current mode.  The
 * caller sets the interrupt shadow after SS. */
bool segment_load(struct cpu *cpu, unsigned seg, u16 selector);

/* Load as real mode (or virtual-8086 mode, if cpu->v86_mode) does, any of the six.  The caller
 * calls cpu_update_mode() if it was CS or SS. */
void segment_load_real(struct cpu *cpu, unsigned seg, u16 selector);

/* LLDT and LTR; CPL and mode have been checked. */
bool segment_lldt(struct cpu *cpu, u16 selector);
bool segment_ltr(struct cpu *cpu, u16 selector);

/* LAR, LSL, VERR, VERW: *ok is the new ZF; the result is set only if *ok.  False: #PF. */
bool segment_lar(struct cpu *cpu, u16 selector, u32 *rights, bool *ok);
bool segment_lsl(struct cpu *cpu, u16 selector, u32 *limit, bool *ok);
bool segment_verify(struct cpu *cpu, u16 selector, bool for_write, bool *ok);

/* May size bytes at offset in seg be accessed (ACCESS_READ, ACCESS_WRITE or ACCESS_FETCH)?  Outside
 * 64-bit mode type, limit and null are checked, in 64-bit mode that the linear address (bases of FS
 * and GS added) is canonical.  False: #SS(0) for SS, else #GP(0), is pending. */
bool segment_check(struct cpu *cpu, unsigned seg, u64 offset, unsigned size, unsigned access);

/* Offset to linear address after segment_check(): the base, and the cut to 32 bits. */
gva_t segment_linear(const struct cpu *cpu, unsigned seg, u64 offset);

/* ---- for the other files of this folder */

/* Does [offset, offset + size) lie in the segment?  Expand-down segments included. */
bool segment_contains(const struct segment *s, u32 offset, u32 size);

/* Read a descriptor; outside of its table is vector(selector). */
bool segment_read(struct cpu *cpu, u16 selector, enum vector vector, struct descriptor *d);

/* Read the upper half too, where in long mode there is one. */
bool segment_read_system(struct cpu *cpu, u16 selector, enum vector vector, struct descriptor *d);

/* The same without exceptions for selectors: *found tells.  False: #PF. */
bool segment_find(struct cpu *cpu, u16 selector, unsigned size, struct descriptor *d, bool *found);

/* Set the accessed bit in memory, if it is not. */
bool segment_set_accessed(struct cpu *cpu, struct descriptor *d);

/* Set or clear the busy bit of a TSS descriptor in memory. */
bool segment_set_busy(struct cpu *cpu, const struct descriptor *d, bool busy);

/* Fill a segment register's hidden part. */
struct segment segment_from(const struct descriptor *d, u16 selector);

/* Make DS, ES, FS and GS null where CPL (just raised in number) may not use them. */
void segment_drop_privileged(struct cpu *cpu);

/* What a null selector leaves: unusable.  Intel's processors clear base and limit. */
static inline struct segment segment_null(u16 selector)
{
    return (struct segment){.selector = selector};
}

static inline bool segment_is_null(u16 selector)
{
    return !(selector & ~SELECTOR_RPL);
}

static inline unsigned segment_dpl(u16 attributes)
{
    return (attributes & SEGMENT_DPL) >> SEGMENT_DPL_SHIFT;
}

static inline bool segment_is_code(u16 attributes)
{
    return (attributes & SEGMENT_S) && (attributes & SEGMENT_TYPE_CODE);
}

static inline bool segment_is_conforming(u16 attributes)
{
    return attributes & SEGMENT_TYPE_CONFORMING;
}

static inline bool segment_is_writable(u16 attributes)
{
    return (attributes & (SEGMENT_S | SEGMENT_TYPE_CODE | SEGMENT_TYPE_WRITABLE)) ==
           (SEGMENT_S | SEGMENT_TYPE_WRITABLE);
}

static inline bool segment_is_canonical(u64 address)
{
    return bits_sign_extend(address, 48) == address;
}

#endif
