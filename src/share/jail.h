/* jail.h - what the server's process gives up before it hears of the guest. */
#ifndef SHARE_JAIL_H
#define SHARE_JAIL_H

#include "base/types.h"

/* Leave this process no file but what lies beneath the directory root, and of that nothing to
 * change if it is read-only: Landlock.  0; -ENOSYS where the kernel has it not; -errno. */
int share_jail_files(int root, bool read_only);

/* Leave it only the system calls that a server makes: seccomp.  0 or -errno. */
int share_jail_calls(void);

#endif
