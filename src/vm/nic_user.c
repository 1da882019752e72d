/*
 * nic_user.c - a network of the process's own, by libslirp: the guest's connections become sockets
 * of this process, so nobody needs any privilege.
 *
 *      10.0.2.2   the host: its 127.0.0.1, and the gateway to all else
 *      10.0.2.3   a name server, the host's own
 *      10.0.2.15  the first guest that asks by DHCP
 *
 * libslirp says before each wait which descriptors it waits for, and most of them have not changed
 * since.  They lie in an epoll set of their own, and that set is one descriptor of the event loop.
 *
 * LIMIT: a UDP port that another program forwards, too, is not found to be in use.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/tsc.h"
#include "vm/machine.h"
#include "vm/nic.h"
#include "vm/nic_addresses.h"

enum {
    EVENTS_AT_ONCE = 64,
    WAITING_MAX = 1024,          /* frames that the guest has no room for, and their bytes; */
    WAITING_BYTES_MAX = 4 << 20, /* more are lost */
    ERRORS_TOLD = 4,
};

struct frame {
    struct frame *next;
    size_t size;
    u8 bytes[];
};

/* A descriptor's events, of EPOLL*. */
struct polled {
    u32 wanted, set, ready; /* by libslirp; in the epoll set; that have come */
};

struct user {
    struct nic nic;
    struct ringer *machine;
    Slirp *slirp;
    int epoll_fd;
    struct polled *fds; /* by descriptor */
    unsigned fd_count;
    uv_poll_t poll; /* of epoll_fd */
    uv_prepare_t prepare;
    uv_timer_t timer;
    unsigned handles; /* open ones, of these three */
    struct frame *waiting, **waiting_end;
    unsigned waiting_count;
    size_t waiting_bytes;
    unsigned errors; /* of the guest's, that libslirp has told */
};

/* ------------------------------------------------------------------ frames */

static void send_frame(struct nic *nic, const u8 *frame, size_t size)
{
    struct user *u = container_of(nic, struct user, nic);

    slirp_input(u->slirp, frame, (int)size);
}

static void keep(struct user *u, const void *bytes, size_t size)
{
    struct frame *f;

    if (u->waiting_count == WAITING_MAX || u->waiting_bytes + size > WAITING_BYTES_MAX ||
        !(f = malloc(sizeof(*f) + size))) {
        return; /* lost, as on any network: TCP sends it again */
    }
    f->next = NULL;
    f->size = size;
    memcpy(f->bytes, bytes, size);
    *u->waiting_end = f;
    u->waiting_end = &f->next;
    u->waiting_count++;
    u->waiting_bytes += size;
}

static void drop_first(struct user *u)
{
    struct frame *f = u->waiting;

    u->waiting = f->next;
    if (!u->waiting) {
        u->waiting_end = &u->waiting;
    }
    u->waiting_count--;
    u->waiting_bytes -= f->size;
    free(f);
}

static void ask(struct nic *nic)
{
    struct user *u = container_of(nic, struct user, nic);

    while (u->waiting && nic_receive(nic, u->waiting->bytes, u->waiting->size)) {
        drop_first(u);
    }
}

static ssize_t on_packet(const void *bytes, size_t size, void *opaque)
{
    struct user *u = opaque;

    if (u->waiting || !nic_receive(&u->nic, bytes, size)) {
        keep(u, bytes, size);
    }
    return (ssize_t)size;
}

/* ------------------------------------------------------------------ descriptors */

static u32 to_epoll(int events)
{
    return (events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
           (events & SLIRP_POLL_PRI ? EPOLLPRI : 0);
}

static int from_epoll(u32 events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static int want(int fd, int events, void *opaque)
{
    struct user *u = opaque;

    if (fd < 0) {
        return -1;
    }
    if ((unsigned)fd >= u->fd_count) {
        unsigned count = (unsigned)fd + 64;
        struct polled *fds = realloc(u->fds, count * sizeof(*fds));
        if (!fds) {
            return -1;
        }
        memset(fds + u->fd_count, 0, (count - u->fd_count) * sizeof(*fds));
        u->fds = fds;
        u->fd_count = count;
    }
    u->fds[fd].wanted |= to_epoll(events);
    return fd;
}

static int what_came(int index, void *opaque)
{
    const struct user *u = opaque;

    return index >= 0 && (unsigned)index < u->fd_count ? from_epoll(u->fds[index].ready) : 0;
}

/* A descriptor is about to be closed: what has its number next is another one. */
static void forget(int fd, void *opaque)
{
    struct user *u = opaque;

    if (fd >= 0 && (unsigned)fd < u->fd_count) {
        if (u->fds[fd].set) {
            epoll_ctl(u->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        }
        u->fds[fd] = (struct polled){0};
    }
}

static void on_register(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void update(struct user *u, unsigned fd)
{
    struct polled *p = &u->fds[fd];
    struct epoll_event event = {.events = p->wanted, .data.fd = (int)fd};

    if (p->wanted != p->set) {
        int op = !p->wanted ? EPOLL_CTL_DEL : p->set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        epoll_ctl(u->epoll_fd, op, (int)fd, &event);
        p->set = p->wanted;
    }
    p->wanted = 0;
}

/* ------------------------------------------------------------------ the event loop */

static void serve(struct user *u)
{
    slirp_pollfds_poll(u->slirp, 0, what_came, u);
    for (unsigned i = 0; i < u->fd_count; i++) {
        u->fds[i].ready = 0;
    }
    nic_received(&u->nic);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct user *u = poll->data;
    struct epoll_event came[EVENTS_AT_ONCE];
    int count = epoll_wait(u->epoll_fd, came, EVENTS_AT_ONCE, 0);

    (void)status;
    (void)events;
    for (int i = 0; i < count; i++) {
        u->fds[came[i].data.fd].ready = came[i].events;
    }
    serve(u);
}

static void on_timer(uv_timer_t *timer)
{
    serve(timer->data);
}

/* libslirp's own timers: it wants to be asked again at the latest so many milliseconds from now. */
static void set_timer(struct user *u, u32 timeout_ms)
{
    if (!uv_is_active((uv_handle_t *)&u->timer) || uv_timer_get_due_in(&u->timer) > timeout_ms) {
        uv_timer_start(&u->timer, on_timer, timeout_ms, 0);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct user *u = prepare->data;
    u32 timeout_ms = UINT32_MAX;

    slirp_pollfds_fill(u->slirp, &timeout_ms, want, u);
    for (unsigned i = 0; i < u->fd_count; i++) {
        update(u, i);
    }
    set_timer(u, timeout_ms);
}

/* ------------------------------------------------------------------ what libslirp asks for */

/* Of IPv6's router advertisements. */
struct slirp_timer {
    uv_timer_t uv;
    SlirpTimerCb callback;
    void *argument;
    struct user *user;
};

static void on_slirp_timer(uv_timer_t *uv)
{
    struct slirp_timer *t = uv->data;

    t->callback(t->argument);
    nic_received(&t->user->nic);
}

static void *timer_new(SlirpTimerCb callback, void *argument, void *opaque)
{
    struct user *u = opaque;
    struct slirp_timer *t = calloc(1, sizeof(*t));

    if (t) {
        t->callback = callback;
        t->argument = argument;
        t->user = u;
        t->uv.data = t;
        uv_timer_init(&u->machine->loop, &t->uv);
    }
    return t;
}

static void free_timer(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_free(void *timer, void *opaque)
{
    struct slirp_timer *t = timer;

    (void)opaque;
    if (t) {
        uv_close((uv_handle_t *)&t->uv, free_timer);
    }
}

static s64 now_ns(void *opaque)
{
    (void)opaque;
    return (s64)host_monotonic_ns();
}

static void timer_mod(void *timer, s64 expire_ms, void *opaque)
{
    struct slirp_timer *t = timer;
    s64 now_ms = now_ns(opaque) / 1000000;

    if (t) {
        uv_timer_start(&t->uv, on_slirp_timer, expire_ms > now_ms ? (u64)(expire_ms - now_ms) : 0,
                       0);
    }
}

static void on_guest_error(const char *message, void *opaque)
{
    struct user *u = opaque;

    if (u->errors++ < ERRORS_TOLD) {
        device_log(&u->machine->slot, "net: the guest's network made a mistake: %s", message);
    }
}

static void on_notify(void *opaque)
{
    (void)opaque; /* each wait begins with a look at everything */
}

static const SlirpCb callbacks = {
    .send_packet = on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = now_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = on_register,
    .unregister_poll_fd = forget,
    .notify = on_notify,
};

/* ------------------------------------------------------------------ life */

/* The last of the handles has gone, or there never was one. */
static void finish(struct user *u)
{
    while (u->waiting) {
        drop_first(u);
    }
    if (u->epoll_fd >= 0) {
        close(u->epoll_fd);
    }
    free(u->fds);
    free(u);
}

static void on_closed(uv_handle_t *handle)
{
    struct user *u = handle->data;

    if (--u->handles == 0) {
        finish(u);
    }
}

static void close_user(struct nic *nic)
{
    struct user *u = container_of(nic, struct user, nic);

    nic->card = NULL;
    if (u->slirp) {
        slirp_cleanup(u->slirp);
    }
    if (u->handles == 0) {
        finish(u);
        return;
    }
    uv_close((uv_handle_t *)&u->poll, on_closed);
    uv_close((uv_handle_t *)&u->prepare, on_closed);
    uv_close((uv_handle_t *)&u->timer, on_closed);
}

/* libslirp has it as one text. */
static void describe(struct nic *nic, void (*each)(void *context, const char *line), void *context)
{
    struct user *u = container_of(nic, struct user, nic);
    char *text = slirp_connection_info(u->slirp), *rest = text, *line;

    each(context, "  user: a network of this process's own, by libslirp");
    while ((line = strsep(&rest, "\r\n"))) {
        if (*line) {
            each(context, line);
        }
    }
    free(text); /* g_malloc() is malloc() */
}

static const struct nic_backend backend = {
    .send = send_frame, .ask = ask, .describe = describe, .close = close_user};

static int start_loop(struct user *u)
{
    uv_loop_t *loop = &u->machine->loop;
    int error = uv_poll_init(loop, &u->poll, u->epoll_fd);

    if (error < 0) {
        return error;
    }
    uv_prepare_init(loop, &u->prepare);
    uv_timer_init(loop, &u->timer);
    u->handles = 3;
    u->poll.data = u->prepare.data = u->timer.data = u;
    uv_prepare_start(&u->prepare, on_prepare);
    return uv_poll_start(&u->poll, UV_READABLE, on_ready);
}

static int forward_all(struct user *u, const struct ringer_device *config)
{
    const char *rest = config->net.forwards;
    char text[NIC_FORWARD_TEXT];
    struct nic_forward f;

    while (nic_forward_next(&f, &rest, text)) {
        if (slirp_add_hostfwd(u->slirp, f.udp, f.host, f.host_port, f.guest, f.guest_port) < 0) {
            int error = errno ? errno : EINVAL;
            const char *help = error == EADDRINUSE ? "; choose another, or end what uses it"
                               : error == EACCES   ? "; choose one from 1024"
                                                   : "";
            return machine_fail(u->machine, -error, "net: hostfwd=%s: port %u of the host: %s%s",
                                text, f.host_port, strerror(error), help);
        }
    }
    return rest ? machine_fail(u->machine, -EINVAL,
                               "net: hostfwd=%s: write it as tcp:127.0.0.1:2222-:22", text)
                : 0;
}

static int start_slirp(struct user *u, const struct ringer_device *config)
{
    SlirpConfig c = {
        .version = 4,
        .restricted = config->net.restricted,
        .in_enabled = true,
        .in6_enabled = !config->net.no_ipv6,
        .vprefix_len = 64,
        .vhostname = config->net.hostname,
        .if_mtu = config->net.mtu ? config->net.mtu : NIC_USER_MTU,
        .if_mru = config->net.mtu ? config->net.mtu : NIC_USER_MTU,
    };
    struct nic_addresses a;
    char error[128];

    if (!nic_addresses_parse(&a, config, error, sizeof(error))) {
        return machine_fail(u->machine, -EINVAL, "net: %s", error);
    }
    c.vnetwork = a.network;
    c.vnetmask = a.mask;
    c.vhost = a.host;
    c.vdhcp_start = a.dhcp_start;
    c.vnameserver = a.dns;
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    u->slirp = slirp_new(&c, &callbacks, u);
    return u->slirp ? forward_all(u, config)
                    : machine_fail(u->machine, -EINVAL, "net: libslirp does not start");
}

int nic_user_open(struct ringer *m, const struct ringer_device *config, struct nic **nic)
{
    struct user *u = calloc(1, sizeof(*u));
    int error;

    if (!u) {
        return machine_fail(m, -ENOMEM, "net: out of memory");
    }
    u->machine = u->nic.machine = m;
    u->nic.number = m->nic_count;
    u->nic.backend = &backend;
    u->waiting_end = &u->waiting;
    u->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    error = u->epoll_fd < 0 ? -errno : start_loop(u);
    if (error < 0) {
        error =
            machine_fail(m, error, "net: the event loop does not take it: %s", strerror(-error));
    } else {
        error = start_slirp(u, config);
    }
    if (error < 0) {
        close_user(&u->nic);
        return error;
    }
    *nic = &u->nic;
    return 0;
}
