/*
 * transfers.h - every far transfer of control to every descriptor from every privilege, against a
 * model: JMP, CALL, RET, IRET, INT n, and call gates.  For transfers32.c and transfers64.c.
 *
 * Intel SDM vol. 3A, "Privilege Level Checking When Transferring Program Control Between Code
 * Segments", "Exception- or Interrupt-Handler Procedures"; vol. 2, CALL, JMP, RET, IRET, INT n.
 */
#ifndef TESTS_TRANSFERS_H
#define TESTS_TRANSFERS_H

#include "descriptors.h"

enum { TARGET = TESTED, GATE = FREE_SELECTOR + 0x50, GATE_VECTOR = 0x40 };

/* Ends an attempt, at any privilege. */
void transfer_target(void);

/* What was when it was reached. */
struct reached {
    bool yes;
    unsigned cpl;
    word sp, ss, ds, es, flags;
};
extern struct reached reached;

/* Where transfer_target is in the segment that is tried: 0, or less its base. */
extern word target_base;

void transfers_init(void);
void check_transfers(void);

/* Which flags IRET and POPF change, by CPL, IOPL and operand size. */
void check_flags(void);

/* One attempt at that privilege that has to reach its target: true if it has. */
bool reaches(unsigned cpl, void (*what)(word), word argument, const char *name);
void set_call_gate(u16 selector, unsigned attributes);
/* The stack that stands in the TSS for that privilege. */
word stack_of_ring(unsigned cpl);

#endif
