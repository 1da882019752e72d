/* socket.c - UNIX sockets of this program's. */
#define _GNU_SOURCE

#include "app/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 1000

static bool set_address(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(address->sun_path)) {
        errno = *path ? ENAMETOOLONG : ENOENT;
        return false;
    }
    strcpy(address->sun_path, path);
    return true;
}

static int close_with(int fd, int error)
{
    close(fd);
    errno = error;
    return -1;
}

int socket_connect(const char *path)
{
    struct sockaddr_un address;
    int fd;
    if (!set_address(&address, path)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0
               ? close_with(fd, errno)
               : fd;
}

void socket_remove_stale(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    int fd = socket_connect(path);
    if (fd >= 0) {
        close(fd);
    } else if (errno == ECONNREFUSED) {
        unlink(path);
    }
}

int socket_listen(const char *path)
{
    struct sockaddr_un address;
    if (!set_address(&address, path)) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    socket_remove_stale(path);
    mode_t mask = umask(0177);
    int result = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    int error = errno;
    umask(mask);
    if (result < 0) {
        return close_with(fd, error);
    }
    if (listen(fd, 8) < 0) {
        error = errno;
        unlink(path);
        return close_with(fd, error);
    }
    return fd;
}

bool socket_send(int fd, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0) {
        ssize_t n = send(fd, next, size, MSG_NOSIGNAL);
        if (n > 0) {
            next += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            if (poll(&wait, 1, PATIENCE_MS) == 0) {
                errno = ETIMEDOUT;
                return false;
            }
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}
