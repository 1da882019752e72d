/*
 * repro.h - a case as one line of text, and back.
 *
 *      64 code=480fafc3 rip=10001f00 rax=7 rbx=2 flags=246 fpu=1f xmm3=... poke=10005000:4:1234
 *
 * First the bits of the code segment, then fields in any order.  Numbers are hexadecimal; what is
 * not there is 0, but for the segments (flat), flags (202), fpu (0), and what follows from fpu
 * (state.h): the registers st0 to st7 (ST(0) first), xmm0 to xmm15, ymm0 to ymm15 (the upper
 * halves), each from its highest byte, and fcw, fsw, ftw, mxcsr and xstate.
 */
#ifndef TESTS_DIFF_REPRO_H
#define TESTS_DIFF_REPRO_H

#include "case.h"

#define REPRO_MAX 4096

void repro_write(const struct diff_case *c, char *text, size_t size);

/* False: *error says what is wrong with the text. */
bool repro_read(const char *text, struct diff_case *c, const char **error);

#endif
