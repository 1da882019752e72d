/*
 * vsock.c - a program for guests: vsock connections, as nc does TCP's.
 *
 *      vsock connect PORT    to the host's port: standard input there, what comes to standard
 *                            output; ends when both have
 *      vsock echo PORT       listens, and sends back what comes on each connection
 *      vsock cid             prints the guest's address
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static char buffer[65536];

static int fail(const char *what)
{
    printf("vsock: %s: %s\n", what, strerror(errno));
    return 1;
}

/* False once to takes nothing any more. */
static int write_all(int to, const char *bytes, size_t size)
{
    while (size) {
        ssize_t put = write(to, bytes, size);
        if (put < 0 && errno != EINTR) {
            return 0;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return 1;
}

/* What is there, from one to the other.  False at its end. */
static int copy(int from, int to)
{
    ssize_t got = read(from, buffer, sizeof(buffer));

    return got > 0 && write_all(to, buffer, (size_t)got);
}

static int connect_to(unsigned port)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        return fail("connect");
    }
    while (fds[1].fd >= 0) {
        poll(fds, 2, -1);
        if (fds[0].revents && !copy(0, fd)) {
            shutdown(fd, SHUT_WR);
            fds[0].fd = -1;
        }
        if (fds[1].revents && !copy(fd, 1)) {
            fds[1].fd = -1;
        }
    }
    return 0;
}

static int echo(unsigned port)
{
    const struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0), client;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 64) < 0) {
        return fail("listen");
    }
    signal(SIGCHLD, SIG_IGN);
    printf("listening\n");
    fflush(stdout);
    while ((client = accept(fd, NULL, NULL)) >= 0) {
        if (fork() == 0) {
            while (copy(client, client)) {}
            _exit(0);
        }
        close(client);
    }
    return fail("accept");
}

static int print_cid(void)
{
    unsigned cid = 0;
    int fd = open("/dev/vsock", O_RDONLY);

    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0) {
        return fail("/dev/vsock");
    }
    printf("%u\n", cid);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned port = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (argc == 3 && !strcmp(argv[1], "connect")) {
        return connect_to(port);
    }
    if (argc == 3 && !strcmp(argv[1], "echo")) {
        return echo(port);
    }
    return argc == 2 && !strcmp(argv[1], "cid") ? print_cid() : 2;
}
