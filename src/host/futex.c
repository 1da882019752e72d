/* futex.c - waking who sleeps on a word in shared memory. */
#define _GNU_SOURCE

#include "host/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void host_futex_wake(_Atomic u32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
