/* fuzz_board.h - what a fuzzed board has instead of a clock and of a reset register. */
#ifndef TESTS_FUZZ_BOARD_H
#define TESTS_FUZZ_BOARD_H

#include "base/types.h"

/* The clock is a u64 that the fuzzer moves. */
static inline u64 clock_ns(void *clock)
{
    return *(u64 *)clock;
}

static inline u8 read_cf9(void *context)
{
    (void)context;
    return 0;
}

static inline void write_cf9(void *context, u8 value)
{
    (void)context;
    (void)value;
}

#endif
