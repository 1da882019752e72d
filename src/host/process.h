/* process.h - starting a program that lies in our memory, and hearing of its end. */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include <sys/types.h>

#include "base/types.h"

struct host_process {
    pid_t pid;
    int pidfd; /* readable once it has ended */
};

/* A descriptor of a program that can be executed: a memfd with the bytes of image in it.  >= 0 or
 * -errno. */
int host_program_create(const char *name, const void *image, size_t size);

/* Start the program, with the arguments argv (ends with NULL) and no environment.  fds[i], count of
 * them, become its descriptors 2 + i; it has no others.  0 or -errno. */
int host_process_start(struct host_process *p, int program, char *const argv[], const int *fds,
                       unsigned count);

/* Kill it if it has not ended, and clear it away.  Returns how it ended, as waitpid() gives it, or
 * -1 where that cannot be known. */
int host_process_end(struct host_process *p);

/* Send it a signal, if it still lives. */
void host_process_signal(const struct host_process *p, int signal);

/* Whether it has ended; host_process_end() then says how. */
bool host_process_has_ended(const struct host_process *p);

#endif
