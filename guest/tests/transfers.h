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

void transfers_init(void);
void check_transfers(void);

#endif
