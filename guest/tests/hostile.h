/* hostile.h - what the parts of the hostile guests share. */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "guest.h"

/* xorshift: the same numbers for the same seed, everywhere. */
void random_seed(u64 seed);
u64 random_number(void);

/* garbage.c: random bytes as code.  Options: bits=64, 32 or 16; rounds=N. */
void garbage_kernel(void);
void garbage_user(void);

#endif
