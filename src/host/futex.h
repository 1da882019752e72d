/* futex.h - waking who sleeps on a word in shared memory.  futex(2), not private. */
#ifndef HOST_FUTEX_H
#define HOST_FUTEX_H

#include <stdatomic.h>

#include "base/types.h"

void host_futex_wake(_Atomic u32 *word);

#endif
