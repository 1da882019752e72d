/*
 * wrong.h - an executor that is wrong on purpose: whether lockstep finds it is what is tested.
 *
 * It interprets; but BSWAP also inverts CF, and MOVNTI and OUT of 32 bits store and write with the
 * lowest bit inverted.  Only in builds with tests.
 */
#ifndef EXEC_WRONG_H
#define EXEC_WRONG_H

#include "cpu/cpu.h"

/* struct engine's execute(). */
void wrong_execute(struct cpu *cpu, u64 limit);

#endif
