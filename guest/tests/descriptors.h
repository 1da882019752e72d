/*
 * descriptors.h - every descriptor by every instruction that looks at one, against a model: loads
 * of segment registers, LAR, LSL, VERR, VERW, LLDT, LTR.  For segments32.c and segments64.c.
 *
 * Intel SDM vol. 3A, "Segment Descriptors", "System Descriptor Types", "Privilege Levels"; vol. 2,
 * MOV, LAR, LSL, VERR, LLDT, LTR.
 */
#ifndef TESTS_DESCRIPTORS_H
#define TESTS_DESCRIPTORS_H

#include "guest.h"

/* The descriptor under test; the one after it is the rest of those of 16 bytes. */
enum { TESTED = FREE_SELECTOR, RING_CODE = FREE_SELECTOR + 0x10, RING_DATA = FREE_SELECTOR + 0x30 };

/* Attributes, as set_descriptor() takes them. */
enum { TYPE_CODE = 8, TYPE_CONFORMING = 4, TYPE_RW = 2, ATTRIBUTE_S = 0x10, ATTRIBUTE_P = 0x80 };

/* Runs at CPL 0 to 3. */
u32 attempt_at(unsigned cpl, void (*what)(word), word argument);

void check_descriptors(void);

#endif
