/*
 * process.c - starting a program that lies in our memory, and hearing of its end.
 *
 * vfork(), not fork(): a machine with much memory would copy its page tables.  The child only makes
 * system calls.
 */
#define _GNU_SOURCE

#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* Linux 6.3 */
#endif
#define FD_FIRST 2
#define FD_SAFE  64 /* above all that the child is given */
#define FDS_MAX  8

/* Without MFD_EXEC newer kernels warn, or deny execution by the sysctl vm.memfd_noexec. */
static int executable_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return fd < 0 ? -errno : fd;
}

int host_program_create(const char *name, const void *image, size_t size)
{
    int fd = executable_memfd(name), error;
    size_t done = 0;

    if (fd < 0) {
        return fd;
    }
    while (done < size) {
        ssize_t n = write(fd, (const char *)image + done, size - done);
        if (n <= 0) {
            error = n < 0 ? -errno : -EIO;
            close(fd);
            return error;
        }
        done += (size_t)n;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return fd;
}

/* In the child of vfork(): only system calls, and no change of memory but *error. */
static void become(int program, char *const argv[], const int *fds, unsigned count,
                   volatile int *error)
{
    char *const environment[] = {NULL};
    int high[FDS_MAX];
    int image = fcntl(program, F_DUPFD_CLOEXEC, FD_SAFE);
    unsigned i;

    if (image < 0) {
        goto fail;
    }
    for (i = 0; i < count; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_SAFE);
        if (high[i] < 0) {
            goto fail;
        }
    }
    for (i = 0; i < count; i++) {
        if (dup2(high[i], FD_FIRST + (int)i) < 0) {
            goto fail;
        }
    }
    close(0);
    close(1);
    /* From here on close-on-exec: image must live until it is executed. */
    for (i = FD_FIRST + count; i < FD_SAFE; i++) {
        close((int)i);
    }
    syscall(SYS_close_range, FD_SAFE, ~0u, 4u /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */);
    syscall(SYS_execveat, image, "", argv, environment, AT_EMPTY_PATH);
fail:
    *error = errno;
    _exit(127);
}

int host_process_start(struct host_process *p, int program, char *const argv[], const int *fds,
                       unsigned count)
{
    volatile int error = 0;
    sigset_t all, old;
    pid_t pid;

    /* No signal handler of ours may run in the child, which shares our memory. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    pid = vfork();
    if (pid == 0) {
        become(program, argv, fds, count, &error);
    }
    if (pid < 0) {
        error = errno;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0) {
        return -error;
    }
    if (error) {
        waitpid(pid, NULL, 0);
        return -error;
    }
    p->pid = pid;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->pidfd < 0) {
        error = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        p->pid = 0;
        return -error;
    }
    return 0;
}

int host_process_end(struct host_process *p)
{
    int status = -1;

    if (p->pid <= 0) {
        return -1;
    }
    syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    while (waitpid(p->pid, &status, 0) < 0) {
        if (errno != EINTR) { /* ECHILD: the program around us ignores SIGCHLD */
            status = -1;
            break;
        }
    }
    close(p->pidfd);
    *p = (struct host_process){.pidfd = -1};
    return status;
}

void host_process_signal(const struct host_process *p, int signal)
{
    if (p->pid > 0) {
        syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0);
    }
}

bool host_process_has_ended(const struct host_process *p)
{
    struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};

    return p->pid > 0 && poll(&poll_fd, 1, 0) == 1;
}
