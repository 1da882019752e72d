/* digest.h - digests of a held machine. */
#ifndef VM_DIGEST_H
#define VM_DIGEST_H

#include "base/types.h"

struct ringer;

/* Of all RAM.  Pages that were never touched cost nothing; they count as what they are, zeros. */
u64 digest_memory(const struct ringer *machine);

#endif
