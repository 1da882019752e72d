/*
 * control.h - control and debug registers, EFER, XCR0, the flags that guard interrupts, and I/O
 * permission.
 *
 * Of the checks, those that depend on CPL alone and apply at every CPL but 0 are the caller's
 * (ATTR_CPL0 in x86.def).  false: an exception is pending, nothing has changed.
 *
 * Intel SDM vol. 3A, "Control Registers", "Paging", "Initializing IA-32e Mode"; vol. 3B, "Debug
 * Registers"; vol. 1, "I/O Permission Bit Map".
 */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "cpu/cpu.h"

bool control_write_cr0(struct cpu *cpu, u64 value);
bool control_write_cr3(struct cpu *cpu, u64 value);
bool control_write_cr4(struct cpu *cpu, u64 value);
bool control_write_cr8(struct cpu *cpu, u64 value);
bool control_write_efer(struct cpu *cpu, u64 value);            /* WRMSR */
bool control_write_xcr0(struct cpu *cpu, u32 index, u64 value); /* XSETBV */
bool control_lmsw(struct cpu *cpu, u16 value);
void control_clts(struct cpu *cpu);

/* MOV CRn by number (0, 2, 3, 4, 8): the decoder has refused others.  A write outside 64-bit mode
 * gives a value below 2^32. */
u64 control_read_cr(const struct cpu *cpu, unsigned number);
bool control_write_cr(struct cpu *cpu, unsigned number, u64 value);

/* MOV DRn, n from 0 to 7; CPL is 0. */
bool control_read_dr(struct cpu *cpu, unsigned number, u64 *value);
bool control_write_dr(struct cpu *cpu, unsigned number, u64 value);

/* INVLPG of a linear address, INVPCID with its descriptor's two quadwords; CPL is 0. */
void control_invlpg(struct cpu *cpu, gva_t gva);
bool control_invpcid(struct cpu *cpu, u64 type, u64 pcid, u64 address);

/* The A20M# pin: on, addresses pass; off, bit 20 of every physical address is 0. */
void control_set_a20(struct cpu *cpu, bool on);

/* Load the PDPTEs if paging is (with these values) PAE paging.  False, and nothing loaded or
 * raised, if a reserved bit is set in one. */
bool control_load_pdptes(struct cpu *cpu, u64 cr0, u64 cr3, u64 cr4, u64 efer);

/* CLI and STI, with IOPL, VME and PVI.  The caller sets the interrupt shadow after an STI that
 * changed IF from 0 to 1. */
bool control_cli(struct cpu *cpu);
bool control_sti(struct cpu *cpu);

/* PUSHF's image and POPF of one (opsize 2, 4, 8), by CPL, IOPL and VME. */
bool control_pushf(struct cpu *cpu, unsigned opsize, u64 *image);
bool control_popf(struct cpu *cpu, unsigned opsize, u64 image);

/* May size bytes of ports from port be accessed?  Else #GP(0). */
bool io_allowed(struct cpu *cpu, u16 port, unsigned size);

#endif
