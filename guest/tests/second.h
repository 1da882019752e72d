/* second.h - a second CPU, in long mode with the first one's page tables. */
#ifndef TESTS_SECOND_H
#define TESTS_SECOND_H

#include "guest.h"

/* Have it call what(), with interrupts off, and halt when that returns. */
void second_start(void (*what)(void));

/* Wait until *what is value; false if it is not within so many seconds. */
bool second_wait(const volatile u32 *what, u32 value, u64 seconds);

#endif
