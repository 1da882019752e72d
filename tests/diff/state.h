/* state.h - x87, SSE and AVX registers before a case. */
#ifndef TESTS_DIFF_STATE_H
#define TESTS_DIFF_STATE_H

#include "cpu/fpu.h"

/*
 * All of an area from one number: the registers are random bits and the values that matter to
 * floating point (zeros, infinities, NaNs, denormals, the x87's unsupported ones), the control and
 * status words the usual ones.
 *
 * The reproducers in regressions.txt have such numbers: a change here is a change to what they say.
 */
void state_fill(struct fpu_area *area, u64 seed);

/* Give the components that xstate_bv says are in their initial state the values of that. */
void state_normalize(struct fpu_area *area);

#endif
