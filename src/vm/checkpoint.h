/* checkpoint.h - what the board's parts do for checkpoints; the functions themselves are the API's.
 */
#ifndef VM_CHECKPOINT_H
#define VM_CHECKPOINT_H

#include "base/types.h"

struct ringer_checkpoint;

/* A block of memory that changes as the machine runs. */
void checkpoint_add(struct ringer_checkpoint *checkpoint, void *at, size_t size);

#endif
