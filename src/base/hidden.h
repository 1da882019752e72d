/*
 * hidden.h - included before everything else in each source of ringer-cpu, by the build.
 *
 * All that is declared is in the same image, so nothing need be found by way of a global offset
 * table; the linker could not relax such accesses at the address where ringer-cpu lies.
 */
#ifndef BASE_HIDDEN_H
#define BASE_HIDDEN_H

#pragma GCC visibility push(hidden)

#endif
