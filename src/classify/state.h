/*
 * state.h - the state of the machine of the experiments, and what of it is whose.
 *
 * Popek and Goldberg's machine has the state S = (E, M, P, R): memory, processor mode, program
 * counter, and the relocation-bounds register.  On x86:
 *
 *      E   general registers, the flags that programs set, vector registers, user memory
 *      M   CPL, IF and IOPL (with VM, VIF, VIP)
 *      P   rIP
 *      R   what memory and devices there are, and how they are reached: segment registers, GDT,
 *          LDT, IDT and TSS with the registers that tell where they are, control registers, EFER,
 *          XCR0, debug registers, MSRs, local APIC, TLB, devices
 *
 * E and P are a program's own; M and R are privileged.  A `variation` is a piece of M or R that can
 * be made another; a `piece` is one of which it is observed whether it was changed.
 */
#ifndef CLASSIFY_STATE_H
#define CLASSIFY_STATE_H

#include "cpu/cpu.h"

/* User memory: one page of code, one of data, with the stack in its upper half. */
#define AREA       0x10000000u
#define CODE       AREA
#define DATA       (AREA + PAGE_SIZE)
#define DATA_BYTES 4096u
#define STACK      (DATA + DATA_BYTES / 2)

/* System structures: one page; with offsets. */
#define TABLES_BYTES 4096u
#define GDT_A        0x000u
#define GDT_B        0x100u /* a copy of it */
#define GDT_BYTES    0x100u
#define LDT_A        0x200u
#define LDT_BYTES    0x20u
#define TSS_A        0x280u
#define TSS_B        0x300u
#define TSS_BYTES    0x68u
#define IDT_A        0x400u
#define IDT_B        0x800u
#define IDT_BYTES    0x400u

/* Selectors, without RPL.  Laid out so that SYSCALL and SYSENTER and their returns find theirs, and
 * as Linux has it, so that a sample's selectors mean the same on the host. */
enum {
    SEL_CONFORMING = 0x08,
    SEL_CODE0 = 0x10,
    SEL_DATA0 = 0x18,
    SEL_CODE3_32 = 0x20,
    SEL_DATA3 = 0x28,
    SEL_CODE3 = 0x30, /* of the code that is being classified */
    SEL_DATA3_B = 0x38,
    SEL_TSS = 0x40, /* 16 bytes */
    SEL_LDT = 0x50, /* 16 bytes */
    SEL_TSS_B = 0x60,
    SEL_LDT_B = 0x70,
    SEL_READ_ONLY = 0x80,
    SEL_PROBE = 0x88, /* data that nothing uses: its descriptor is varied */
    SEL_GATE = 0x90,  /* a call gate to CPL 0, 16 bytes */
    SEL_ABSENT = 0xa0,
    SEL_BEYOND = 0xa8, /* beyond the usual limit of the GDT */
    GDT_LIMIT = 0xa7,
    SEL_LOCAL = 0x04, /* data in the LDT */
};

enum code_kind { CODE_32, CODE_64, CODE_KINDS };

struct machine_state {
    u64 gpr[16], rip;
    u32 rflags;
    u8 cpl, activity;
    struct segment seg[SEG_SLOTS];
    struct table_register gdtr, idtr;
    u64 cr0, cr2, cr3, cr4, efer, xcr0, dr[8];
    struct cpu_msrs msr;
    struct lapic lapic;
    u64 device;      /* what reads of ports give; writes change it */
    u64 translation; /* 1: the TLB knows the page of DATA */
    u8 tables[TABLES_BYTES];
};

/* ------------------------------------------------------------------ variations */

enum variation_kind {
    VARY_MODE,
    VARY_LOCATION,
    VARY_ALONE, /* location, too; but it makes many instructions trap, or excludes another one */
    VARY_GUARD, /* tells nothing of E and P, but what traps */
};

/* Some fields XORed with something. */
struct edit {
    u16 offset;
    u8 size;
    u64 change;
};

struct variation {
    const char *name; /* without a comma */
    u8 kind;          /* enum variation_kind */
    struct edit edits[3];
};

/* The first is the comparison of CPL 0 with CPL 3, which has no edits; the gates of the IDT and the
 * GDT are too many for edits. */
enum { VARY_CPL, VARY_GUARDED, VARY_GUARDED_UMIP, VARY_IOPL, VARY_IOPL_IF, VARY_GATES };

extern const struct variation variations[];
extern const unsigned variation_count; /* at most 64 */

void variation_apply(const struct variation *variation, struct machine_state *state);

/* All of VARY_LOCATION at once: where this makes no difference, none of them
 * needs to be tried by itself. */
void variation_apply_together(struct machine_state *state);

/* ------------------------------------------------------------------ pieces */

struct piece {
    const char *name; /* without a comma */
    u16 offset, size;
    u64 mask; /* of a piece of 4 bytes; 0: all */
};

extern const struct piece pieces[];
extern const unsigned piece_count; /* at most 64 */

/* A bit for each piece in which they differ. */
u64 pieces_changed(const struct machine_state *before, const struct machine_state *after);

/* ------------------------------------------------------------------ the usual state */

/* Where the supervisor has physical memory, and what the page tables are. */
u64 state_system_base(enum code_kind kind);
#define TABLES_GPA   0x10000u
#define STACK0_GPA   0x21000u /* top of the supervisor's stack */
#define HANDLERS_GPA 0x30000u /* entry points, 16 bytes apart */
#define CR3_A        0x40000u
#define CR3_B        0x48000u /* the same translation by other tables */
#define CR3_C        0x50000u /* user memory lies in other frames */

/* The state that all variations start from, at CPL 0 or 3, with general registers of 0.  xcr0 is
 * what the host can have. */
void state_usual(struct machine_state *state, enum code_kind kind, unsigned cpl, u64 xcr0);

#endif
