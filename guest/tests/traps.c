/*
 * traps.c - privileged instructions, many times over, for who measures what a trap costs: a line
 * before each lot, and one after it with how many there were.
 */
#include "guest.h"

enum { ROUNDS = 200000 };

#define REPEAT(what, instruction)                              \
    do {                                                       \
        print("BEGIN %s\n", what);                             \
        for (unsigned i = 0; i < ROUNDS; i++) {                \
            __asm__ volatile(instruction ::: "memory", "rax"); \
        }                                                      \
        print("END %u %s\n", ROUNDS, what);                    \
    } while (0)

void guest_main(void)
{
    REPEAT("CLI", "cli");
    REPEAT("MOV from CR0", "mov %%cr0, %%rax");
}
