/* unix_socket.c - Unix sockets of this process, by their paths. */
#define _GNU_SOURCE

#include "host/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool set_path(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) > HOST_UNIX_PATH_MAX) {
        return false;
    }
    strcpy(address->sun_path, path);
    return true;
}

static int make_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

int host_unix_connect(const char *path)
{
    struct sockaddr_un address;
    int fd, error;

    if (!set_path(&address, path)) {
        return -ENAMETOOLONG;
    }
    fd = make_socket();
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* A socket that nobody listens on any more is left from a run that was killed. */
static void remove_stale(const char *path)
{
    struct stat status;
    int fd;

    if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    fd = host_unix_connect(path);
    if (fd >= 0) {
        close(fd);
    } else if (fd == -ECONNREFUSED) {
        unlink(path);
    }
}

int host_unix_listen(const char *path, int backlog)
{
    struct sockaddr_un address;
    int fd, error;

    if (!set_path(&address, path)) {
        return -ENAMETOOLONG;
    }
    remove_stale(path);
    fd = make_socket();
    if (fd < 0) {
        return fd;
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    if (listen(fd, backlog) < 0) {
        error = -errno;
        close(fd);
        unlink(path);
        return error;
    }
    return fd;
}
