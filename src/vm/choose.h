/* choose.h - which engine a machine gets, by its configuration and by what the host offers. */
#ifndef VM_CHOOSE_H
#define VM_CHOOSE_H

#include "vm/machine.h"

/* Checks config.engine and sets the arena's engine and VM_DIRECT_* bits.  -EINVAL: there is no such
 * engine; -ENOTSUP: not on this host, and ringer_error() says why and which to take. */
int choose_check(struct ringer *machine);
void choose_engine(struct ringer *machine);

#endif
