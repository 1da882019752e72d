/*
 * nic_passt.c - passt as a network: frames through a Unix stream socket, each after its length
 * (32 bits, big-endian), as QEMU's `-netdev stream` has them.
 *
 * A passt that listens somewhere is connected to, and again each second once it has gone.  Else one
 * is started for this card, and ends with it.  While there is none the guest sees its cable out.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/machine.h"
#include "vm/nic.h"
#include "vm/nic_addresses.h"

enum {
    IN_BYTES = 256 << 10,
    OUT_BYTES = 1 << 20, /* that passt has not taken yet; more is lost */
    LENGTH_BYTES = 4,
    RECONNECT_MS = 1000,
    CHILD_FD = 3,
    ARGUMENTS_MAX = 64,
};

struct passt {
    struct nic nic;
    struct ringer *machine;
    char *path; /* NULL: it is our child */
    pid_t child;
    int fd;          /* -1: it has gone */
    uv_poll_t *poll; /* of fd; frees itself */
    uv_timer_t timer;
    bool full;               /* the guest has no room for the next frame */
    size_t in_start, in_end; /* of in: what has been read and not been taken */
    size_t out_start, out_end;
    u8 in[IN_BYTES], out[OUT_BYTES];
};

static void hang_up(struct passt *p, const char *reason);
static void update_poll(struct passt *p);

/* ------------------------------------------------------------------ from the guest */

static void flush(struct passt *p)
{
    ssize_t n = 0;

    while (p->out_start < p->out_end && n >= 0) {
        n = send(p->fd, p->out + p->out_start, p->out_end - p->out_start,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        p->out_start += n > 0 ? (size_t)n : 0;
    }
    if (p->out_start == p->out_end) {
        p->out_start = p->out_end = 0;
    } else if (errno != EAGAIN && errno != EINTR) {
        hang_up(p, strerror(errno));
        return;
    }
    update_poll(p);
}

static void keep(struct passt *p, const u8 *bytes, size_t size)
{
    memcpy(p->out + p->out_end, bytes, size);
    p->out_end += size;
}

static void send_frame(struct nic *nic, const u8 *frame, size_t size)
{
    struct passt *p = container_of(nic, struct passt, nic);
    u32 length = htonl((u32)size);
    struct iovec parts[2] = {{&length, sizeof(length)}, {(void *)(uintptr_t)frame, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    size_t sent = 0;

    if (p->fd < 0 || p->out_end + size + sizeof(length) > OUT_BYTES) {
        return; /* lost, as on any network */
    }
    if (p->out_end == 0) {
        ssize_t n = sendmsg(p->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent = n > 0 ? (size_t)n : 0;
        if (sent == size + sizeof(length)) {
            return;
        }
    }
    if (sent < sizeof(length)) {
        keep(p, (u8 *)&length + sent, sizeof(length) - sent);
        sent = sizeof(length);
    }
    keep(p, frame + (sent - sizeof(length)), size - (sent - sizeof(length)));
    update_poll(p);
}

/* ------------------------------------------------------------------ for the guest */

/* Offer the frames that have come in whole. */
static void offer(struct passt *p)
{
    p->full = false;
    while (p->in_end - p->in_start >= LENGTH_BYTES) {
        u32 length;
        memcpy(&length, p->in + p->in_start, sizeof(length));
        length = ntohl(length);
        if (length > NET_FRAME_MAX) {
            hang_up(p, "it sends no frames");
            return;
        }
        if (p->in_end - p->in_start < LENGTH_BYTES + length) {
            break;
        }
        if (!nic_receive(&p->nic, p->in + p->in_start + LENGTH_BYTES, length)) {
            p->full = true;
            break;
        }
        p->in_start += LENGTH_BYTES + length;
    }
    memmove(p->in, p->in + p->in_start, p->in_end - p->in_start);
    p->in_end -= p->in_start;
    p->in_start = 0;
}

static void ask(struct nic *nic)
{
    struct passt *p = container_of(nic, struct passt, nic);

    if (p->fd >= 0 && p->full) {
        offer(p);
        update_poll(p);
    }
}

static void read_in(struct passt *p)
{
    ssize_t n = recv(p->fd, p->in + p->in_end, IN_BYTES - p->in_end, MSG_DONTWAIT);

    if (n > 0) {
        p->in_end += (size_t)n;
        offer(p);
        nic_received(&p->nic);
    } else if (n == 0) {
        hang_up(p, "it has closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
        hang_up(p, strerror(errno));
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct passt *p = poll->data;

    if (events & UV_WRITABLE) {
        flush(p);
    }
    if (p->poll == poll && !p->full && (status < 0 || events & (UV_READABLE | UV_DISCONNECT))) {
        read_in(p);
    }
    if (p->poll == poll) {
        update_poll(p);
    }
}

static void update_poll(struct passt *p)
{
    int events = (p->full ? 0 : UV_READABLE) | (p->out_end ? UV_WRITABLE : 0);

    if (!p->poll) {
        return;
    }
    if (events) {
        uv_poll_start(p->poll, events, on_poll);
    } else {
        uv_poll_stop(p->poll);
    }
}

/* ------------------------------------------------------------------ the connection */

static void free_poll(uv_handle_t *handle)
{
    free(handle);
}

static void disconnect(struct passt *p)
{
    if (p->poll) {
        uv_close((uv_handle_t *)p->poll, free_poll);
        p->poll = NULL;
    }
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    p->in_start = p->in_end = p->out_start = p->out_end = 0;
    p->full = false;
}

static int start_poll(struct passt *p)
{
    int error;

    p->poll = calloc(1, sizeof(*p->poll));
    if (!p->poll) {
        return -ENOMEM;
    }
    error = uv_poll_init(&p->machine->loop, p->poll, p->fd);
    if (error < 0) {
        free(p->poll);
        p->poll = NULL;
        return error;
    }
    p->poll->data = p;
    update_poll(p);
    return 0;
}

/* 0 or -errno. */
static int connect_to(struct passt *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error;

    if (strlen(p->path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, p->path, strlen(p->path) + 1);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0) {
        return -errno;
    }
    if (connect(p->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        error = -errno;
    } else {
        error = start_poll(p);
    }
    if (error < 0) {
        disconnect(p);
    }
    return error;
}

static void on_timer(uv_timer_t *timer)
{
    struct passt *p = timer->data;

    if (connect_to(p) == 0) {
        uv_timer_stop(timer);
        device_log(&p->machine->slot, "net: passt at '%s' is back", p->path);
        nic_set_link(&p->nic, true);
    }
}

static void hang_up(struct passt *p, const char *reason)
{
    disconnect(p);
    device_log(&p->machine->slot, "net: passt%s%s%s has gone: %s; the guest has no link%s",
               p->path ? " at '" : "", p->path ? p->path : "", p->path ? "'" : "", reason,
               p->path ? " until it is back" : "");
    nic_set_link(&p->nic, false);
    if (p->path) {
        uv_timer_start(&p->timer, on_timer, RECONNECT_MS, RECONNECT_MS);
    }
}

/* ------------------------------------------------------------------ a passt of our own */

struct arguments {
    char *list[ARGUMENTS_MAX + 1];
    unsigned count;
};

static void add(struct arguments *a, const char *text)
{
    char *copy = strdup(text);

    if (a->count < ARGUMENTS_MAX && copy) {
        a->list[a->count++] = copy;
    } else {
        free(copy);
    }
}

static int add_forwards(struct passt *p, struct arguments *a, const char *rest)
{
    char host[INET_ADDRSTRLEN], argument[64], text[NIC_FORWARD_TEXT];
    struct nic_forward f;

    while (nic_forward_next(&f, &rest, text) && !f.guest.s_addr) {
        inet_ntop(AF_INET, &f.host, host, sizeof(host));
        snprintf(argument, sizeof(argument), "%s/%u:%u", host, f.host_port, f.guest_port);
        add(a, f.udp ? "-u" : "-t");
        add(a, argument);
    }
    return rest ? machine_fail(p->machine, -EINVAL,
                               "net: hostfwd=%s: write it as tcp:127.0.0.1:2222-:22", text)
                : 0;
}

static int make_arguments(struct passt *p, const struct ringer_device *config, struct arguments *a)
{
    char mtu[16];

    snprintf(mtu, sizeof(mtu), "%u", config->net.mtu ? config->net.mtu : NET_MTU_MAX);
    add(a, "passt");
    add(a, "--foreground");
    add(a, "--quiet");
    add(a, "--fd");
    add(a, "3");
    add(a, "--mtu");
    add(a, mtu);
    if (config->net.no_ipv6) {
        add(a, "--ipv4-only");
    }
    return add_forwards(p, a, config->net.forwards);
}

static int spawn(struct passt *p, char *const *arguments, int fd)
{
    posix_spawn_file_actions_t actions;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
    error = posix_spawnp(&p->child, "passt", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        p->child = 0;
    }
    return -error;
}

static int start(struct passt *p, const struct ringer_device *config)
{
    struct arguments a = {.count = 0};
    int pair[2] = {-1, -1}, error = make_arguments(p, config, &a);

    if (error == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error = machine_fail(p->machine, -errno, "net: no socket for passt: %s", strerror(errno));
    }
    if (error == 0) {
        p->fd = pair[0];
        error = spawn(p, a.list, pair[1]);
        close(pair[1]);
        if (error < 0) {
            machine_fail(p->machine, error, "net: passt cannot be started: %s%s", strerror(-error),
                         error == -ENOENT ? "; install the package passt" : "");
        }
    }
    for (unsigned i = 0; i < a.count; i++) {
        free(a.list[i]);
    }
    return error < 0 ? error : start_poll(p);
}

/* ------------------------------------------------------------------ life */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_passt(struct nic *nic)
{
    struct passt *p = container_of(nic, struct passt, nic);

    nic->card = NULL;
    disconnect(p);
    if (p->child > 0) {
        kill(p->child, SIGKILL);
        while (waitpid(p->child, NULL, 0) < 0 && errno == EINTR) {}
    }
    free(p->path);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static void describe(struct nic *nic, void (*each)(void *context, const char *line), void *context)
{
    const struct passt *p = container_of(nic, struct passt, nic);
    char line[160];

    if (p->path) {
        snprintf(line, sizeof(line), "  passt at '%.100s'%s", p->path,
                 p->fd < 0 ? ", which has gone" : "");
    } else {
        snprintf(line, sizeof(line), "  passt, process %d%s", (int)p->child,
                 p->fd < 0 ? ", which has gone" : "");
    }
    each(context, line);
}

static const struct nic_backend backend = {
    .send = send_frame, .ask = ask, .describe = describe, .close = close_passt};

int nic_passt_open(struct ringer *m, const struct ringer_device *config, struct nic **nic)
{
    const char *path = config->net.socket;
    struct passt *p = calloc(1, sizeof(*p));
    int error;

    if (!p || (path && !(p->path = strdup(path)))) {
        free(p);
        return machine_fail(m, -ENOMEM, "net: out of memory");
    }
    p->machine = p->nic.machine = m;
    p->nic.number = m->nic_count;
    p->nic.backend = &backend;
    p->fd = -1;
    uv_timer_init(&m->loop, &p->timer);
    p->timer.data = p;
    if (path && config->net.forwards) {
        error = machine_fail(m, -EINVAL,
                             "net: hostfwd= is for the passt that has been started at "
                             "the socket to know");
    } else if (path) {
        error = connect_to(p);
        if (error < 0) {
            machine_fail(m, error, "net: passt at '%s': %s; start it with: passt --socket %s", path,
                         strerror(-error), path);
        }
    } else {
        error = start(p, config);
    }
    if (error < 0) {
        close_passt(&p->nic);
        return error;
    }
    *nic = &p->nic;
    return 0;
}
