/* serial.c - what stands behind a serial port. */
#define _GNU_SOURCE

#include "vm/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "host/unix_socket.h"
#include "vm/checkpoint.h"
#include "vm/console.h"
#include "vm/machine.h"

#define INPUT_BYTES 256

enum kind { NOWHERE, CALLBACK, TO_FILE, PTY, SOCKET };

struct serial {
    struct ringer *machine;
    unsigned port;
    enum kind kind;
    char *path;
    ringer_output_fn *callback;
    size_t (*write)(void *context, const void *bytes, size_t size); /* may be NULL */
    void *context;
    bool full;           /* write() has not taken all, and not said yet that it can take more */
    bool waits;          /* the device has filled the room, and may have more */
    int fd;              /* file, pty's master, connected client; -1 for none */
    int other_fd;        /* pty's slave, kept open; listening socket */
    struct watch *watch; /* of fd */
    struct watch *other_watch; /* of the listening socket */
    bool lost;                 /* the file could not be written: said once */
    u8 input[INPUT_BYTES];     /* read, but not yet taken by the guest */
    size_t input_size;
    u64 sent, told; /* bytes by the guest, and the most of them that it ever was */
    size_t output_size;
    u8 output[SERIAL_PENDING_MAX];
};

/* ------------------------------------------------------------------ output */

static void write_file(struct serial *s)
{
    size_t done = 0;

    while (done < s->output_size) {
        ssize_t n = write(s->fd, s->output + done, s->output_size - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) { /* "file:" may name a pipe or a terminal */
            struct pollfd wait = {.fd = s->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            if (!s->lost) {
                fprintf(stderr, "ringer: serial output '%s': %s; the rest is lost\n", s->path,
                        strerror(errno));
            }
            s->lost = true;
            break;
        }
    }
    s->output_size = 0;
}

static void hang_up(struct serial *s)
{
    watch_remove(s->watch);
    s->watch = NULL;
    close(s->fd);
    s->fd = -1;
    s->input_size = 0;
}

static void on_writable(void *context)
{
    serial_flush(context);
}

static void drop_output(struct serial *s, size_t count)
{
    s->output_size -= count;
    memmove(s->output, s->output + count, s->output_size);
}

/* Write what goes without waiting, and come back for the rest. */
static void write_some(struct serial *s)
{
    ssize_t n = 0;

    if (s->fd < 0) {
        s->output_size = 0; /* nobody is connected */
        return;
    }
    if (s->output_size > 0) {
        n = s->kind == SOCKET ? send(s->fd, s->output, s->output_size, MSG_NOSIGNAL)
                              : write(s->fd, s->output, s->output_size);
    }
    if (n > 0) {
        drop_output(s, (size_t)n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR && s->kind == SOCKET) {
        hang_up(s);
        return;
    }
    watch_set(s->watch, s->input_size == 0, s->output_size > 0 ? on_writable : NULL);
}

static void call_back(struct serial *s)
{
    size_t size = s->output_size;

    s->output_size = 0;
    s->callback(s->context, s->output, size);
}

static void call_write(struct serial *s)
{
    if (!s->full) {
        size_t taken = s->write(s->context, s->output, s->output_size);
        s->full = taken < s->output_size;
        drop_output(s, taken < s->output_size ? taken : s->output_size);
    }
}

/* Can the device behind it wait?  Not on virtual time: when it went on would depend on the host. */
static bool is_patient(const struct serial *s)
{
    bool may_take_less = s->kind == CALLBACK ? s->write != NULL : s->kind == SOCKET && s->fd >= 0;

    return may_take_less && s->port == RINGER_PORT_HVC0 && !s->machine->vm->clock.icount;
}

static size_t room(void *context)
{
    const struct serial *s = context;

    return is_patient(s) ? SERIAL_PENDING_MAX - s->output_size : SIZE_MAX;
}

static void tell_room(struct serial *s)
{
    if (s->waits && room(s)) {
        s->waits = false;
        console_resume(s->machine);
    }
}

void serial_finish(struct serial *s)
{
    serial_flush(s);
    if (s && s->kind == CALLBACK && s->output_size) {
        call_back(s);
    }
}

void serial_flush(struct serial *s)
{
    if (!s || s->output_size == 0) {
        return;
    }
    switch (s->kind) {
    case NOWHERE:
        s->output_size = 0;
        break;
    case CALLBACK:
        if (is_patient(s)) {
            call_write(s);
        } else {
            call_back(s);
        }
        break;
    case TO_FILE:
        write_file(s);
        break;
    case PTY:
    case SOCKET:
        write_some(s);
        break;
    }
    tell_room(s);
}

static void transmit(void *context, const u8 *bytes, size_t count)
{
    struct serial *s = context;

    s->sent += count;
    if (s->kind == NOWHERE || s->sent <= s->told) {
        return;
    }
    if (count > s->sent - s->told) {
        bytes += count - (s->sent - s->told);
        count = s->sent - s->told;
    }
    s->told = s->sent;
    if (count > SERIAL_PENDING_MAX - s->output_size) {
        serial_flush(s);
    }
    if (count > SERIAL_PENDING_MAX - s->output_size) {
        count = SERIAL_PENDING_MAX - s->output_size;
    }
    memcpy(s->output + s->output_size, bytes, count);
    s->output_size += count;
    s->waits |= room(s) == 0;
}

void serial_checkpoint(struct serial *s, struct ringer_checkpoint *c)
{
    if (s) {
        checkpoint_add(c, &s->sent, sizeof(s->sent));
    }
}

/* ------------------------------------------------------------------ input */

static enum input_source source_of(unsigned port)
{
    static const enum input_source sources[RINGER_SERIAL_PORTS] = {
        [RINGER_PORT_COM1] = INPUT_COM1,
        [RINGER_PORT_COM2] = INPUT_COM2,
        [RINGER_PORT_HVC0] = INPUT_HVC0,
    };

    return sources[port];
}

/* Offer the guest what has been read; go on reading once it has taken all. */
static void offer(struct serial *s)
{
    size_t taken = s->port < RINGER_SERIAL_PORTS
                       ? input_offer(s->machine, source_of(s->port), s->input, s->input_size)
                       : s->input_size;

    s->input_size -= taken;
    memmove(s->input, s->input + taken, s->input_size);
    if (s->watch) {
        watch_set(s->watch, s->input_size == 0, s->output_size > 0 ? on_writable : NULL);
    }
}

static void on_readable(void *context)
{
    struct serial *s = context;
    ssize_t n = read(s->fd, s->input + s->input_size, sizeof(s->input) - s->input_size);

    if (n > 0) {
        s->input_size += (size_t)n;
        offer(s);
    } else if (s->kind == SOCKET && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
        hang_up(s);
    }
}

void serial_ask(struct serial *s)
{
    struct ringer *m = s->machine;

    if (s->input_size > 0) {
        offer(s);
    }
    if (m->serial_ready[s->port]) {
        m->serial_ready[s->port](m->serial_ready_context[s->port]);
    }
}

static void ready(void *context)
{
    struct serial *s = context;

    if (s->port < RINGER_SERIAL_PORTS) {
        input_ready_begin(s->machine, source_of(s->port));
        serial_ask(s);
        input_ready_end(s->machine);
    }
}

const struct serial_port_ops serial_port_ops = {.transmit = transmit, .ready = ready, .room = room};

/* ------------------------------------------------------------------ back ends */

static int open_callback(struct serial *s, const char *argument)
{
    (void)argument;
    s->kind = s->callback ? CALLBACK : NOWHERE;
    return 0;
}

static int open_nowhere(struct serial *s, const char *argument)
{
    (void)argument;
    s->kind = NOWHERE;
    return 0;
}

static int open_file(struct serial *s, const char *argument)
{
    s->kind = TO_FILE;
    s->path = strdup(argument);
    s->fd = open(argument, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return s->fd < 0 ? -errno : 0;
}

/* The slave stays open here too: else the master would say that it is hung up until somebody comes,
 * and the first reader would find an echoing terminal. */
static int open_pty(struct serial *s, const char *argument)
{
    struct termios raw;
    char name[64];

    (void)argument;
    s->kind = PTY;
    s->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0 || grantpt(s->fd) < 0 || unlockpt(s->fd) < 0) {
        return -errno;
    }
    if (ptsname_r(s->fd, name, sizeof(name)) != 0) {
        return -errno;
    }
    s->path = strdup(name);
    s->other_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s->other_fd < 0 || tcgetattr(s->other_fd, &raw) < 0) {
        return -errno;
    }
    cfmakeraw(&raw);
    tcsetattr(s->other_fd, TCSANOW, &raw);
    return watch_add(s->machine, s->fd, on_readable, s, &s->watch);
}

static void on_connection(void *context)
{
    struct serial *s = context;
    int fd = accept4(s->other_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    if (s->fd >= 0) { /* one at a time */
        close(fd);
        return;
    }
    s->fd = fd;
    if (watch_add(s->machine, fd, on_readable, s, &s->watch) < 0) {
        close(fd);
        s->fd = -1;
    }
}

static int open_socket(struct serial *s, const char *argument)
{
    int fd = host_unix_listen(argument, 1);

    s->kind = SOCKET;
    if (fd < 0) {
        return fd;
    }
    s->other_fd = fd;
    s->path = strdup(argument); /* from here on it is ours to remove */
    return watch_add(s->machine, s->other_fd, on_connection, s, &s->other_watch);
}

/* A name that ends in ':' takes an argument. */
static const struct {
    const char *name;
    int (*open)(struct serial *s, const char *argument);
} backends[] = {
    {"none", open_nowhere}, {"callback", open_callback}, {"pty", open_pty},
    {"file:", open_file},   {"unix:", open_socket},
};

static int open_backend(struct serial *s, const char *backend)
{
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        const char *name = backends[i].name;
        size_t length = strlen(name);
        bool takes_argument = name[length - 1] == ':';
        if (takes_argument ? strncmp(backend, name, length) == 0 && backend[length]
                           : strcmp(backend, name) == 0) {
            return backends[i].open(s, backend + length);
        }
    }
    return -EINVAL;
}

static const char *port_name(unsigned port)
{
    static const char *const names[RINGER_SERIAL_PORTS + 1] = {
        [RINGER_PORT_COM1] = "serial port 1",
        [RINGER_PORT_COM2] = "serial port 2",
        [RINGER_PORT_HVC0] = "virtio console",
        [RINGER_SERIAL_PORTS] = "debug console",
    };

    return names[port];
}

int serial_create(struct ringer *m, unsigned port, const struct serial_back *back,
                  struct serial **serial)
{
    const char *backend = back->backend ? back->backend : "none";
    struct serial *s = calloc(1, sizeof(*s));
    int error;

    if (!s) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    s->machine = m;
    s->port = port;
    s->callback = back->output;
    s->write = back->write;
    s->context = back->context;
    s->fd = s->other_fd = -1;
    error = open_backend(s, backend);
    if (error < 0) {
        serial_destroy(s);
        return error == -EINVAL ? machine_fail(m, error,
                                               "%s: '%s' is not one of none, pty, file:PATH and "
                                               "unix:PATH",
                                               port_name(port), backend)
                                : machine_fail(m, error, "%s: '%s': %s", port_name(port), backend,
                                               strerror(-error));
    }
    *serial = s;
    return 0;
}

void serial_destroy(struct serial *s)
{
    if (!s) {
        return;
    }
    serial_flush(s);
    watch_remove(s->watch);
    watch_remove(s->other_watch);
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->other_fd >= 0) {
        close(s->other_fd);
    }
    if (s->kind == SOCKET && s->path) {
        unlink(s->path);
    }
    free(s->path);
    free(s);
}

const char *serial_path(const struct serial *s)
{
    return s && (s->kind == PTY || s->kind == SOCKET) ? s->path : NULL;
}

/* ------------------------------------------------------------------ the API's */

size_t ringer_serial_input(struct ringer *m, unsigned port, const void *bytes, size_t size)
{
    return port < RINGER_SERIAL_PORTS ? input_offer(m, source_of(port), bytes, size) : 0;
}

void ringer_serial_writable(struct ringer *m, unsigned port)
{
    struct serial *s = port < RINGER_SERIAL_PORTS ? m->serials[port] : NULL;

    if (s) {
        s->full = false;
        serial_flush(s);
    }
}

void ringer_serial_on_ready(struct ringer *m, unsigned port, void (*callback)(void *context),
                            void *context)
{
    if (port < RINGER_SERIAL_PORTS) {
        m->serial_ready[port] = callback;
        m->serial_ready_context[port] = context;
    }
}

const char *ringer_serial_path(const struct ringer *m, unsigned port)
{
    return port < RINGER_SERIAL_PORTS ? serial_path(m->serials[port]) : NULL;
}
