/* vcpus.h - the vCPU processes, as the board sees them. */
#ifndef VM_VCPUS_H
#define VM_VCPUS_H

#include "base/types.h"

struct ringer;

/* Start all of them, and wait until they are held.  0 or -errno, with the reason said. */
int vcpus_create(struct ringer *machine);
void vcpus_destroy(struct ringer *machine);

/* Let all run. */
void vcpus_run(struct ringer *machine);

/* Order all to hold between two instructions; board_wait_held() waits for it. */
void vcpus_hold(struct ringer *machine);
bool vcpus_are_held(const struct ringer *machine);

/* Ends the machine with the report of a vCPU process that has ended, if there is one. */
void vcpus_check_deaths(struct ringer *machine);

/* One has gone into VCPU_SHUTDOWN: ends the machine.  Or into VCPU_COUNTED: notes it.  Or into
 * VCPU_STOPPED: holds the others. */
void vcpus_check_states(struct ringer *machine);

#endif
