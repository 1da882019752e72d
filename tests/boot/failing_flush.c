/*
 * failing_flush.c - preloaded into ringer: a medium that takes writes and fails at fdatasync(), while
 * there is a file of the name that FAILING_FLUSH in the environment has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    const char *name = getenv("FAILING_FLUSH");

    if (name && access(name, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
