/*
 * disk_nbd.c - a disk that an NBD server has, by libnbd; and of any format that qemu-nbd knows,
 * which is then started as the server and ends with the connection.
 *
 * libnbd calls back from within its functions, where none of them may be called.  So what has ended
 * goes into a list there, which is looked through afterwards.
 *
 * LIMIT: a connection that is lost is not made again.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>

#include "host/tsc.h"
#include "vm/disk.h"
#include "vm/machine.h"

#define CONNECT_NS 10000000000ull
#define POLL_MS    100

enum {
    PIECE_BYTES = 32 << 20, /* the most that any server takes at a time */
    BOUNCE_BYTES = 1 << 20, /* up to here one piece with a copy is better than many */
};

struct nbd_disk {
    struct disk disk;
    struct nbd_handle *nbd;
    uv_poll_t *poll; /* frees itself when it is closed */
    struct command *ended;
    unsigned in_flight; /* commands */
    bool can_fua, can_flush;
};

/* A request that is under way, as one or more pieces. */
struct command {
    struct nbd_disk *owner;
    struct block_request *request;
    struct command *next;
    unsigned pieces; /* not ended, and one for whoever is still sending */
    int error;
    bool flushing; /* what it wrote is being flushed */
    u8 *bounce;
};

/* ------------------------------------------------------------------ sending */

static void end_piece(struct command *c, int error)
{
    if (error && !c->error) {
        c->error = -error;
    }
    if (--c->pieces == 0) {
        c->next = c->owner->ended;
        c->owner->ended = c;
    }
}

static int on_piece(void *context, int *error)
{
    end_piece(context, *error);
    return 1; /* libnbd may forget it */
}

static void send_piece(struct command *c, u8 *bytes, u64 size, u64 offset)
{
    const struct block_request *r = c->request;
    struct nbd_handle *nbd = c->owner->nbd;
    nbd_completion_callback ended = {.callback = on_piece, .user_data = c};
    u32 fua = r->through && c->owner->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
    s64 cookie = -1;

    c->pieces++;
    switch (r->op) {
    case BLOCK_READ:
        cookie = nbd_aio_pread(nbd, bytes, size, offset, ended, 0);
        break;
    case BLOCK_WRITE:
        cookie = nbd_aio_pwrite(nbd, bytes, size, offset, ended, fua);
        break;
    case BLOCK_FLUSH:
        cookie = nbd_aio_flush(nbd, ended, 0);
        break;
    case BLOCK_DISCARD:
        cookie = nbd_aio_trim(nbd, size, offset, ended, 0);
        break;
    case BLOCK_ZERO:
        cookie =
            nbd_aio_zero(nbd, size, offset, ended, fua | (r->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
        break;
    }
    if (cookie < 0) {
        end_piece(c, EIO); /* it was not sent: nobody calls back */
    }
}

/* From one contiguous buffer, in pieces that a server takes. */
static void send_buffer(struct command *c, u8 *bytes, u64 size, u64 offset)
{
    while (size) {
        u64 piece = size < PIECE_BYTES ? size : PIECE_BYTES;
        send_piece(c, bytes, piece, offset);
        bytes += piece;
        size -= piece;
        offset += piece;
    }
}

static void copy_bounce(const struct command *c, bool to_guest)
{
    const struct block_request *r = c->request;
    u8 *at = c->bounce;

    for (unsigned i = 0; i < r->count; i++) {
        if (to_guest) {
            memcpy(r->parts[i].iov_base, at, r->parts[i].iov_len);
        } else {
            memcpy(at, r->parts[i].iov_base, r->parts[i].iov_len);
        }
        at += r->parts[i].iov_len;
    }
}

static void send_transfer(struct command *c)
{
    const struct block_request *r = c->request;
    u64 offset = r->offset;

    if (r->count > 1 && r->size <= BOUNCE_BYTES && (c->bounce = malloc(r->size))) {
        if (r->op == BLOCK_WRITE) {
            copy_bounce(c, false);
        }
        send_buffer(c, c->bounce, r->size, offset);
        return;
    }
    for (unsigned i = 0; i < r->count; i++) {
        send_buffer(c, r->parts[i].iov_base, r->parts[i].iov_len, offset);
        offset += r->parts[i].iov_len;
    }
}

static void send_all(struct command *c)
{
    const struct block_request *r = c->request;

    switch (r->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        send_transfer(c);
        break;
    case BLOCK_FLUSH:
        if (c->owner->can_flush) { /* else the server keeps nothing back */
            send_piece(c, NULL, 0, 0);
        }
        break;
    case BLOCK_DISCARD:
    case BLOCK_ZERO:
        if (r->size) {
            send_piece(c, NULL, r->size, r->offset);
        }
        break;
    }
}

/* ------------------------------------------------------------------ ending */

static void update_poll(struct nbd_disk *d);

/* A write that must be on the medium, of a server that cannot do that by itself. */
static bool flush_after(struct command *c)
{
    const struct nbd_disk *d = c->owner;
    nbd_completion_callback ended = {.callback = on_piece, .user_data = c};
    bool wrote = c->request->op == BLOCK_WRITE || c->request->op == BLOCK_ZERO;

    if (!wrote || !c->request->through || d->can_fua || !d->can_flush || c->flushing || c->error) {
        return false;
    }
    c->flushing = true;
    c->pieces = 1;
    if (nbd_aio_flush(d->nbd, ended, 0) < 0) {
        end_piece(c, EIO);
    }
    return true;
}

static void end(struct command *c)
{
    struct nbd_disk *d = c->owner;

    if (c->bounce && c->request->op == BLOCK_READ && !c->error) {
        copy_bounce(c, true);
    }
    if (c->error) {
        disk_tell(&d->disk, c->request->op, c->error,
                  nbd_aio_is_dead(d->nbd) || nbd_aio_is_closed(d->nbd) ? "the server has gone"
                                                                       : NULL);
    }
    d->in_flight--;
    c->request->done(c->request, c->error);
    free(c->bounce);
    free(c);
}

static void serve_ended(struct nbd_disk *d)
{
    while (d->ended) {
        struct command *c = d->ended;
        d->ended = c->next;
        if (!flush_after(c)) {
            end(c);
        }
    }
    update_poll(d);
}

/* ------------------------------------------------------------------ the event loop */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct nbd_disk *d = poll->data;
    unsigned wants = nbd_aio_get_direction(d->nbd);

    if ((status < 0 || events & UV_READABLE) && wants & LIBNBD_AIO_DIRECTION_READ) {
        nbd_aio_notify_read(d->nbd);
    } else if (events & UV_WRITABLE && wants & LIBNBD_AIO_DIRECTION_WRITE) {
        nbd_aio_notify_write(d->nbd);
    }
    serve_ended(d);
}

static void free_poll(uv_handle_t *handle)
{
    free(handle);
}

static void stop_poll(struct nbd_disk *d)
{
    if (d->poll) {
        uv_close((uv_handle_t *)d->poll, free_poll);
        d->poll = NULL;
    }
}

/* Look for what libnbd waits for; once the connection is dead, for nothing. */
static void update_poll(struct nbd_disk *d)
{
    unsigned wants;

    if (!d->poll) {
        return;
    }
    if (nbd_aio_is_dead(d->nbd) || nbd_aio_is_closed(d->nbd)) {
        stop_poll(d);
        return;
    }
    wants = nbd_aio_get_direction(d->nbd);
    uv_poll_start(d->poll,
                  (wants & LIBNBD_AIO_DIRECTION_READ ? UV_READABLE : 0) |
                      (wants & LIBNBD_AIO_DIRECTION_WRITE ? UV_WRITABLE : 0),
                  on_poll);
}

static int start_poll(struct nbd_disk *d)
{
    int error;

    d->poll = calloc(1, sizeof(*d->poll));
    if (!d->poll) {
        return -ENOMEM;
    }
    error = uv_poll_init(&d->disk.machine->loop, d->poll, nbd_aio_get_fd(d->nbd));
    if (error < 0) {
        free(d->poll);
        d->poll = NULL;
        return error;
    }
    d->poll->data = d;
    update_poll(d);
    return 0;
}

static void drain(void *context)
{
    struct nbd_disk *d = context;

    while (d->in_flight) {
        nbd_poll(d->nbd, POLL_MS); /* where the server has gone, everything ends with an error */
        serve_ended(d);
    }
}

static void submit(void *context, struct block_request *r)
{
    struct nbd_disk *d = context;
    struct command *c = calloc(1, sizeof(*c));

    if (!c) {
        r->done(r, -ENOMEM);
        return;
    }
    c->owner = d;
    c->request = r;
    c->pieces = 1;
    d->in_flight++;
    send_all(c);
    end_piece(c, 0);
    serve_ended(d);
    if (d->disk.machine->vm->clock.icount) {
        drain(d);
    }
}

static const struct block_ops ops = {.submit = submit, .drain = drain};

/* ------------------------------------------------------------------ life */

bool disk_is_nbd(const struct ringer_device *config)
{
    static const char *const schemes[] = {"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"};

    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (!strncmp(config->disk.source, schemes[i], strlen(schemes[i]))) {
            return true;
        }
    }
    return config->disk.format && strcmp(config->disk.format, "raw") != 0;
}

static void close_nbd(struct disk *disk)
{
    struct nbd_disk *d = container_of(disk, struct nbd_disk, disk);

    stop_poll(d);
    if (d->nbd) {
        if (nbd_aio_is_ready(d->nbd) == 1) {
            nbd_shutdown(d->nbd, 0);
        }
        nbd_close(d->nbd);
    }
    free((void *)(uintptr_t)d->disk.name);
    free(d);
}

/* A server that does not answer does not keep us for ever. */
static int connect_uri(struct nbd_disk *d, const char *uri)
{
    u64 start_ns = host_monotonic_ns();

    if (nbd_aio_connect_uri(d->nbd, uri) < 0) {
        return -1;
    }
    while (nbd_aio_is_ready(d->nbd) != 1) {
        if (nbd_aio_is_dead(d->nbd) == 1 || nbd_aio_is_closed(d->nbd) == 1 ||
            nbd_poll(d->nbd, POLL_MS) < 0) {
            return -1;
        }
        if (host_monotonic_ns() - start_ns > CONNECT_NS) {
            return -ETIMEDOUT;
        }
    }
    return 0;
}

static int start_server(struct nbd_disk *d, const struct ringer_device *config)
{
    char format[64];
    char *arguments[] = {
        (char[]){"qemu-nbd"},
        format,
        (char[]){"--discard=unmap"},
        config->disk.read_only ? (char[]){"--read-only"} : (char[]){"--cache=writeback"},
        (char[]){"--"},
        (char *)(uintptr_t)config->disk.source,
        NULL,
    };

    snprintf(format, sizeof(format), "--format=%s", config->disk.format);
    return nbd_connect_systemd_socket_activation(d->nbd, arguments);
}

static int fail(struct nbd_disk *d, int error, const char *reason)
{
    int result = machine_fail(d->disk.machine, error, "disk '%s': %s", d->disk.name, reason);

    close_nbd(&d->disk);
    return result;
}

/* What libnbd has to say, without the name of its function before it. */
static const char *nbd_reason(void)
{
    const char *text = nbd_get_error(), *rest = text ? strstr(text, ": ") : NULL;

    return rest ? rest + 2 : text ? text : "the server cannot be reached";
}

static int learn(struct nbd_disk *d)
{
    struct block *b = &d->disk.block;
    s64 bytes = nbd_get_size(d->nbd);

    if (bytes < BLOCK_SECTOR) {
        return fail(d, -EINVAL, "it is shorter than a sector");
    }
    if (nbd_is_read_only(d->nbd) == 1 && !b->read_only) {
        return fail(d, -EROFS, "the server lets it only be read; add ,ro");
    }
    b->size = (u64)bytes / BLOCK_SECTOR * BLOCK_SECTOR;
    b->can_discard = !b->read_only && nbd_can_trim(d->nbd) == 1;
    b->can_zero = !b->read_only && nbd_can_zero(d->nbd) == 1;
    d->can_fua = nbd_can_fua(d->nbd) == 1;
    d->can_flush = nbd_can_flush(d->nbd) == 1;
    return 0;
}

int disk_nbd_open(struct ringer *m, const struct ringer_device *config, struct disk **disk)
{
    bool is_file = config->disk.format && strcmp(config->disk.format, "raw") != 0;
    struct nbd_disk *d = calloc(1, sizeof(*d));
    int error;

    if (!d || !(d->disk.name = strdup(config->disk.source)) || !(d->nbd = nbd_create())) {
        if (d) {
            free((void *)(uintptr_t)d->disk.name);
            free(d);
        }
        return machine_fail(m, -ENOMEM, "disk: out of memory");
    }
    d->disk.machine = m;
    d->disk.close = close_nbd;
    d->disk.block = (struct block){.ops = &ops, .context = d, .read_only = config->disk.read_only};
    nbd_set_uri_allow_local_file(d->nbd, true);
    error = is_file ? start_server(d, config) : connect_uri(d, config->disk.source);
    if (error == -ETIMEDOUT) {
        return fail(d, -ETIMEDOUT, "the server does not answer");
    }
    if (error < 0) {
        return fail(d, -EINVAL, is_file ? "qemu-nbd cannot serve it in that format" : nbd_reason());
    }
    error = learn(d);
    if (error < 0) {
        return error;
    }
    error = start_poll(d);
    if (error < 0) {
        return fail(d, error, strerror(-error));
    }
    *disk = &d->disk;
    return 0;
}
