/* features.c - what this host offers: features.h. */
#define _GNU_SOURCE

#include "host/features.h"

#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define HWCAP2_FSGSBASE_BIT 2u /* arch/x86, uapi/asm/hwcap2.h */

static bool has_protection_keys(void)
{
    int key = pkey_alloc(0, 0);

    if (key < 0) {
        return false;
    }
    pkey_free(key);
    return true;
}

/* No call tells, but the version does. */
static bool is_linux_since(unsigned major, unsigned minor)
{
    struct utsname name;
    unsigned have_major = 0, have_minor = 0;

    return uname(&name) == 0 && sscanf(name.release, "%u.%u", &have_major, &have_minor) == 2 &&
           (have_major > major || (have_major == major && have_minor >= minor));
}

struct host_features host_features(void)
{
    return (struct host_features){
        .protection_keys = has_protection_keys(),
        .fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT,
        .syscall_dispatch = prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0,
        .hidden_signals = is_linux_since(6, 12),
    };
}
