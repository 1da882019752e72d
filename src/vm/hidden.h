/*
 * hidden.h - included before everything else in each source of ringer-cpu: all of its symbols are
 * in this one program.
 *
 * -fvisibility=hidden says so of definitions only.  What is merely declared would be reached by way
 * of a GOT, which the linker cannot relax at an address as high as the hidden zone's.
 */
#pragma GCC visibility push(hidden)
