/*
 * main.c - ringer-share: the process that serves one shared directory.
 *
 * The board starts it (vm/share.c) with a socket and the directory, and "ro" or "rw" as its
 * argument.  It ends when the socket does, and so with the board.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/jail.h"
#include "share/process.h"
#include "share/server.h"

/* Whoever reads a tree has a descriptor for each file of it. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* else fewer files can be open at once */
    }
}

/* False at the end of the socket. */
static bool receive(u8 *bytes, size_t size)
{
    while (size) {
        ssize_t got = recv(SHARE_FD_SOCKET, bytes, size, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        if (got > 0) {
            bytes += got;
            size -= (size_t)got;
        }
    }
    return true;
}

static bool send_all(const u8 *bytes, size_t size)
{
    while (size) {
        ssize_t put = send(SHARE_FD_SOCKET, bytes, size, MSG_NOSIGNAL);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return true;
}

/* The board lets no message through that is longer, or shorter than its head. */
static void serve(struct share_server *server, u8 *message, u8 *reply)
{
    struct fuse_in_header head;

    while (receive(message, sizeof(head))) {
        memcpy(&head, message, sizeof(head));
        if (head.len < sizeof(head) || head.len > SHARE_MESSAGE_MAX ||
            !receive(message + sizeof(head), head.len - sizeof(head)) ||
            !send_all(reply, share_server_answer(server, message, head.len, reply))) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    bool read_only = argc < 2 || strcmp(argv[1], "rw") != 0;
    int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), error;
    struct share_server *server = share_server_create(SHARE_FD_ROOT, proc, read_only);
    u8 *message = malloc(SHARE_MESSAGE_MAX), *reply = malloc(SHARE_MESSAGE_MAX);

    if (proc < 0 || !server || !message || !reply) {
        return SHARE_EXIT_START;
    }
    prctl(PR_SET_NAME, "ringer-share"); /* it was executed by a descriptor */
    raise_limit();
    umask(0); /* the guest's own has been at work */
    error = share_jail_files(SHARE_FD_ROOT, read_only);
    if (error < 0 && error != -ENOSYS) {
        return SHARE_EXIT_JAIL;
    }
    if (share_jail_calls() < 0) {
        return SHARE_EXIT_JAIL;
    }
    serve(server, message, reply);
    return 0;
}
