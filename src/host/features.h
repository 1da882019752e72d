/*
 * features.h - what this host offers to an ordinary process that wants to run guest code itself.
 */
#ifndef HOST_FEATURES_H
#define HOST_FEATURES_H

#include "base/types.h"

struct host_features {
    bool protection_keys;  /* the CPU has them, and the kernel gives them out */
    bool fsgsbase;         /* RDFSBASE and its like work in user mode */
    bool syscall_dispatch; /* prctl(PR_SET_SYSCALL_USER_DISPATCH): Linux 5.11 */
    bool hidden_signals;   /* signal frames reach a stack whose key is denied: Linux 6.12 */
};

/* Asks the kernel; changes nothing of this process. */
struct host_features host_features(void);

#endif
