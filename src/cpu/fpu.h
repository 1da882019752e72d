/*
 * fpu.h - the x87, SSE and AVX registers: where they are, and how they get there.
 *
 * Instructions on them are executed by the host CPU itself (exec/interpret/thunk.h).  In
 * ringer-cpu, which uses no such registers for itself, the guest's stay in the host's from
 * fpu_enter() to fpu_leave().  In the hosted library, where any call into libc may use them, they
 * stay in struct fpu and are loaded around each single instruction.
 *
 * Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set".
 */
#ifndef CPU_FPU_H
#define CPU_FPU_H

#include "cpu/cpu.h"

/* The XSAVE components that a guest may have: XCR0_X87 | XCR0_SSE | XCR0_AVX. */
#define FPU_COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX)

/* MXCSR: all bits that exist on a CPU with DAZ. */
#define MXCSR_RESERVED 0xffff0000u
#define MXCSR_RESET    0x1f80u

/* FSW and FCW. */
#define FSW_EXCEPTIONS 0x003fu
#define FSW_SF         0x0040u
#define FSW_ES         0x0080u
#define FSW_B          0x8000u

struct fpu_area { /* struct fpu's state: an XSAVE area in the standard format */
    u16 fcw, fsw;
    u8 ftw; /* a bit for each physical register: 0 if it is empty */
    u8 reserved0;
    u16 fop;
    u64 fip, fdp; /* the host's: the guest's are in struct fpu */
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16]; /* ST(0) first */
    u8 xmm[16][16];
    u8 reserved1[96];
    u64 xstate_bv, xcomp_bv, reserved2[6];
    u8 ymm_high[16][16];
};

_Static_assert(offsetof(struct fpu_area, mxcsr) == 24, "FXSAVE layout");
_Static_assert(offsetof(struct fpu_area, xmm) == 160, "FXSAVE layout");
_Static_assert(offsetof(struct fpu_area, xstate_bv) == 512, "XSAVE header");
_Static_assert(offsetof(struct fpu_area, ymm_high) == 576, "XSAVE component 2");

/* Power-on state of all of struct fpu. */
void fpu_reset(struct cpu *cpu);

/* INIT: leaves all of it as it was, and exists so that the reset code can say so. */
void fpu_init_signal(struct cpu *cpu);

/* FSW with its summary bits, which follow from the exceptions in it and FCW's masks. */
u16 fpu_fsw_summary(u16 fsw, u16 fcw);

/* FCW as it is after it was loaded: bit 6 is 1, the other reserved bits are 0. */
u16 fpu_fcw_defined(u16 fcw);

/* Load FSW alone.  The registers stay where they are, so with another TOP each has another ST(i).
 */
void fpu_set_fsw(struct fpu_area *area, u16 fsw);

/* FNINIT's effect on an area; the guest's instruction and data pointers are cleared too. */
void fpu_initialize_x87(struct cpu *cpu, struct fpu_area *area);

/* An x87 exception is pending, and an instruction waits for it.  True: it may go on all the same
 * (IGNNE#).  False: #MF is pending, or the CPU has stopped before it and has asserted FERR#. */
bool fpu_error(struct cpu *cpu);

/* FSW may have changed while FERR# is asserted: take that back if no exception is pending. */
void fpu_error_look(struct cpu *cpu, u16 fsw);

/* cpu_run() calls these at its start and end.  Between them the guest's registers are in the host's
 * in ringer-cpu; elsewhere they do nothing. */
void fpu_enter(struct cpu *cpu);
void fpu_leave(struct cpu *cpu);

/* The two halves: the area into the host's registers, and back.  Around them nothing may use vector
 * registers: only for ringer-cpu, and for code that brings the host's back by fpu_host_restore().
 */
void fpu_load(struct cpu *cpu);
void fpu_load_area(const struct fpu_area *area); /* any other, of a signal frame say */
void fpu_save(struct cpu *cpu);

/* What the calling convention wants kept across a call: the control words. */
struct fpu_host {
    u16 fcw;
    u32 mxcsr;
};

void fpu_host_save(struct fpu_host *host);
void fpu_host_restore(const struct fpu_host *host); /* also empties the x87 stack */

/* The current registers in memory, wherever they were.  To change them: change the area, and call
 * fpu_close() with the components (XCR0_* bits) that were changed. */
struct fpu_area *fpu_open(struct cpu *cpu);
void fpu_close(struct cpu *cpu, u64 components);

#endif
