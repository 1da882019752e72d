/*
 * vsock.c - the host's side of a virtio socket device: Unix sockets.
 *
 * Nothing here waits, and nothing is kept: what a socket does not take stays with the device, which
 * gives the guest no more credit then, and what the guest does not take stays in the socket.
 */
#define _GNU_SOURCE

#include "vm/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/unix_socket.h"
#include "vm/machine.h"

#define CID_DEFAULT    3u
#define PORT_DIGITS    11 /* and the underscore */
#define LINE_MAX_BYTES 32 /* "CONNECT 4294967295\n" and some blanks */
#define BACKLOG        64
#define GREETING       "CONNECT "
#define CLIENTS_MAX    VIRTIO_VSOCK_CONNECTIONS_MAX

/* A connection's end on the host. */
struct stream {
    struct vsock_host *host;
    struct stream *next, **link;
    struct vsock_connection *connection; /* NULL: a program that has not said yet what it wants */
    struct watch *watch;
    int fd;
    bool reads, writes; /* what is waited for */
    char line[LINE_MAX_BYTES + 1];
    unsigned line_bytes;
};

struct vsock_host {
    struct ringer *machine;
    char *path;
    struct device *device;
    struct watch *watch; /* of the listening socket */
    int fd;
    struct stream *streams;
    unsigned count;
};

/* ------------------------------------------------------------------ streams */

static void on_readable(void *context);
static void on_writable(void *context);

static void wait_for(struct stream *s, bool reads, bool writes)
{
    s->reads = reads;
    s->writes = writes;
    watch_set(s->watch, reads, writes ? on_writable : NULL);
}

/* The descriptor is taken.  NULL where there are too many, or where the host has no room. */
static struct stream *add_stream(struct vsock_host *h, int fd)
{
    struct stream *s = h->count < CLIENTS_MAX ? calloc(1, sizeof(*s)) : NULL;

    if (!s || watch_add(h->machine, fd, on_readable, s, &s->watch) < 0) {
        close(fd);
        free(s);
        return NULL;
    }
    s->host = h;
    s->fd = fd;
    s->reads = true;
    s->next = h->streams;
    s->link = &h->streams;
    if (s->next) {
        s->next->link = &s->next;
    }
    h->streams = s;
    if (++h->count == CLIENTS_MAX) {
        watch_set(h->watch, false, NULL); /* others wait in line */
    }
    return s;
}

static void remove_stream(struct stream *s)
{
    struct vsock_host *h = s->host;

    watch_remove(s->watch);
    close(s->fd);
    *s->link = s->next;
    if (s->next) {
        s->next->link = s->link;
    }
    free(s);
    h->count--;
    if (h->watch) {
        watch_set(h->watch, true, NULL);
    }
}

/* ------------------------------------------------------------------ what programs ask for */

/* The port of "CONNECT P\n". */
static bool parse_port(const char *line, u32 *port)
{
    const char *digits = line + strlen(GREETING);
    unsigned long value;
    char *end;

    if (strncmp(line, GREETING, strlen(GREETING)) != 0 || *digits < '0' || *digits > '9') {
        return false;
    }
    value = strtoul(digits, &end, 10);
    end += *end == '\r';
    *port = (u32)value;
    return *end == '\n' && value <= UINT32_MAX;
}

/* Take a line off the socket, and nothing behind it.  1: it is whole; 0: not yet; < 0: never. */
static int take_line(struct stream *s)
{
    while (s->line_bytes < LINE_MAX_BYTES) {
        ssize_t got = recv(s->fd, s->line + s->line_bytes, 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return 0;
        }
        if (got <= 0) {
            return -EPROTO;
        }
        if (s->line[s->line_bytes++] == '\n') {
            return 1;
        }
    }
    return -EPROTO;
}

static void on_request(struct stream *s)
{
    int result = take_line(s);
    u32 port;

    if (result == 0) {
        return;
    }
    if (result < 0 || !parse_port(s->line, &port)) {
        remove_stream(s);
        return;
    }
    wait_for(s, false, false); /* until the guest has answered */
    s->connection = virtio_vsock_open(s->host->device, s, port);
    if (!s->connection) {
        remove_stream(s);
    }
}

static void on_client(void *context)
{
    struct vsock_host *h = context;
    int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        add_stream(h, fd);
    } else if (errno == EMFILE || errno == ENFILE) {
        watch_set(h->watch, h->count == 0, NULL); /* until one of ours ends */
    }
}

/* ------------------------------------------------------------------ the event loop */

static void on_readable(void *context)
{
    struct stream *s = context;

    if (!s->connection) {
        on_request(s);
        return;
    }
    wait_for(s, false, s->writes); /* read_stream() says when it wants to be told again */
    virtio_vsock_readable(s->connection);
}

static void on_writable(void *context)
{
    struct stream *s = context;

    s->writes = false;
    virtio_vsock_writable(s->connection);
}

/* ------------------------------------------------------------------ for the device */

static void *connect_stream(void *context, struct vsock_connection *connection, u32 port)
{
    struct vsock_host *h = context;
    char path[HOST_UNIX_PATH_MAX + 1];
    struct stream *s;
    int fd;

    snprintf(path, sizeof(path), "%s_%u", h->path, port);
    fd = host_unix_connect(path);
    s = fd < 0 ? NULL : add_stream(h, fd);
    if (s) {
        s->connection = connection;
        wait_for(s, false, false);
    }
    return s;
}

/* The first bytes that this socket gets: there is room for them. */
static void accepted(void *stream, u32 port)
{
    struct stream *s = stream;
    char line[LINE_MAX_BYTES];
    int length = snprintf(line, sizeof(line), "OK %u\n", port);

    send(s->fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t read_stream(void *stream, void *bytes, size_t size)
{
    struct stream *s = stream;
    ssize_t got = recv(s->fd, bytes, size, MSG_DONTWAIT);

    if (got >= 0) {
        return got;
    }
    if (errno != EAGAIN && errno != EINTR) {
        return -errno;
    }
    wait_for(s, true, s->writes);
    return -EAGAIN;
}

static ssize_t write_stream(void *stream, const void *bytes, size_t size)
{
    struct stream *s = stream;
    ssize_t put = send(s->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        return -errno;
    }
    if (put < (ssize_t)size) {
        wait_for(s, s->reads, true);
    }
    return put < 0 ? -EAGAIN : put;
}

static void end_writing(void *stream)
{
    shutdown(((struct stream *)stream)->fd, SHUT_WR);
}

static void close_stream(void *stream)
{
    remove_stream(stream);
}

static const struct virtio_vsock_ops ops = {.connect = connect_stream,
                                            .accepted = accepted,
                                            .read = read_stream,
                                            .write = write_stream,
                                            .end_writing = end_writing,
                                            .close = close_stream};

/* ------------------------------------------------------------------ life */

static int check(struct ringer *m, const struct ringer_device *device)
{
    const char *path = device->vsock.path;
    u32 cid = device->vsock.cid;

    if (!path || !path[0]) {
        return machine_fail(m, -EINVAL, "vsock: there is no path");
    }
    if (m->vsock) {
        return machine_fail(m, -EINVAL,
                            "vsock '%s': a guest has one socket device, and that is "
                            "'%s' already",
                            path, m->vsock->path);
    }
    if (m->config.icount) {
        return machine_fail(m, -EINVAL,
                            "vsock '%s': what comes in by it would make runs differ: not with "
                            "--icount, --record and --replay",
                            path);
    }
    if (strlen(path) > HOST_UNIX_PATH_MAX - PORT_DIGITS) {
        return machine_fail(m, -ENAMETOOLONG, "vsock '%s': the path is longer than %u bytes", path,
                            HOST_UNIX_PATH_MAX - PORT_DIGITS);
    }
    if (cid && (cid < VIRTIO_VSOCK_CID_MIN || cid > VIRTIO_VSOCK_CID_MAX)) {
        return machine_fail(m, -EINVAL, "vsock '%s': cid %u is not between %u and %u", path, cid,
                            VIRTIO_VSOCK_CID_MIN, VIRTIO_VSOCK_CID_MAX);
    }
    return 0;
}

int vsock_open(struct ringer *m, const struct ringer_device *device,
               struct virtio_vsock_config *config)
{
    const char *path = device->vsock.path;
    int error = check(m, device);
    struct vsock_host *h;

    if (error) {
        return error;
    }
    h = calloc(1, sizeof(*h));
    if (!h || !(h->path = strdup(path))) {
        free(h);
        return machine_fail(m, -ENOMEM, "vsock: out of memory");
    }
    h->machine = m;
    h->fd = host_unix_listen(path, BACKLOG);
    error = h->fd < 0 ? h->fd : watch_add(m, h->fd, on_client, h, &h->watch);
    m->vsock = h;
    if (error < 0) {
        bool used = error == -EADDRINUSE;
        return machine_fail(m, error, "vsock '%s': %s", path,
                            used ? "there is something of that name already" : strerror(-error));
    }
    *config = (struct virtio_vsock_config){
        .cid = device->vsock.cid ? device->vsock.cid : CID_DEFAULT, .ops = &ops, .context = h};
    return 0;
}

void vsock_attach(struct ringer *m, struct device *device)
{
    m->vsock->device = device;
}

void vsock_close(struct ringer *m)
{
    struct vsock_host *h = m->vsock;

    if (!h) {
        return;
    }
    watch_remove(h->watch);
    h->watch = NULL;
    while (h->streams) { /* the device has closed its own: these had not asked yet */
        remove_stream(h->streams);
    }
    if (h->fd >= 0) {
        close(h->fd);
        unlink(h->path);
    }
    free(h->path);
    free(h);
    m->vsock = NULL;
}
