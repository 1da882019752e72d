/* vsock_connection.c - what happens to one connection, without any packet. */
#include "dev/virtio/vsock_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ ends */

static void close_stream(struct vsock_connection *c)
{
    if (c->stream) {
        void *stream = c->stream;
        c->stream = NULL;
        vsock_ops(c->vsock)->close(stream);
    }
    free(c->buffer);
    c->buffer = NULL;
    c->count = c->start = 0;
    c->readable = false;
}

void vsock_free(struct vsock_connection *c)
{
    close_stream(c);
    c->state = VSOCK_FREE;
    c->waiting = 0;
}

void vsock_doom(struct vsock_connection *c)
{
    close_stream(c);
    c->state = VSOCK_DOOMED;
    c->waiting = VSOCK_SEND_RST;
}

void vsock_host_ends(struct vsock_connection *c, u8 flags)
{
    if (flags == VSOCK_NEITHER) {
        close_stream(c);
        c->forwarded = c->received; /* what still comes is dropped */
    }
    if (flags & ~c->host_ended) {
        c->host_ended |= flags;
        c->waiting |= VSOCK_SEND_SHUTDOWN;
    }
}

/* What the guest has shut down takes effect once the host has all that was sent before. */
static void end_if_flushed(struct vsock_connection *c)
{
    if (c->count) {
        return;
    }
    if (c->guest_ended == VSOCK_NEITHER) {
        vsock_doom(c);
    } else if (c->guest_ended & VSOCK_NO_SEND && c->stream) {
        vsock_ops(c->vsock)->end_writing(c->stream);
    }
}

void vsock_guest_ends(struct vsock_connection *c, u32 flags)
{
    u8 before = c->guest_ended;

    c->guest_ended |= flags & VSOCK_NEITHER;
    if (c->guest_ended != before) {
        end_if_flushed(c);
    }
}

/* ------------------------------------------------------------------ credit */

/* A guest that takes its words back has no credit until they fit again. */
u32 vsock_credit(const struct vsock_connection *c)
{
    u32 under_way = c->sent - c->peer_forwarded;

    return under_way < c->peer_buffer ? c->peer_buffer - under_way : 0;
}

u32 vsock_room(const struct vsock_connection *c)
{
    return VSOCK_BUFFER_BYTES - (c->received - c->forwarded);
}

/* Tell the guest in time: when it believes that half of the buffer is full. */
static void forward(struct vsock_connection *c, u32 size)
{
    c->forwarded += size;
    if (c->received - c->told > VSOCK_BUFFER_BYTES / 2 && c->forwarded != c->told) {
        c->waiting |= VSOCK_SEND_CREDIT;
    }
}

/* ------------------------------------------------------------------ to the host */

/* As many bytes as the host takes now; all of them where it is gone. */
static u32 pass_on(struct vsock_connection *c, const u8 *bytes, u32 size)
{
    ssize_t put = c->stream ? vsock_ops(c->vsock)->write(c->stream, bytes, size) : (ssize_t)size;

    if (put < 0 && put != -EAGAIN) {
        vsock_host_ends(c, VSOCK_NEITHER);
        return size;
    }
    return put < 0 ? 0 : (u32)put;
}

static void keep(struct vsock_connection *c, const u8 *bytes, u32 size)
{
    u32 at = (c->start + c->count) % VSOCK_BUFFER_BYTES;
    u32 first = VSOCK_BUFFER_BYTES - at < size ? VSOCK_BUFFER_BYTES - at : size;

    memcpy(c->buffer + at, bytes, first);
    memcpy(c->buffer, bytes + first, size - first);
    c->count += size;
}

int vsock_receive(struct vsock_connection *c, const u8 *bytes, u32 size)
{
    u32 passed;

    c->received += size;
    passed = c->count ? 0 : pass_on(c, bytes, size);
    if (!c->stream) { /* gone, perhaps just now */
        c->forwarded = c->received;
        return 0;
    }
    forward(c, passed);
    if (passed == size) {
        return 0;
    }
    if (!c->buffer && !(c->buffer = malloc(VSOCK_BUFFER_BYTES))) {
        return -ENOMEM;
    }
    keep(c, bytes + passed, size - passed);
    return 0;
}

void vsock_flush(struct vsock_connection *c)
{
    while (c->count) {
        u32 piece =
            VSOCK_BUFFER_BYTES - c->start < c->count ? VSOCK_BUFFER_BYTES - c->start : c->count;
        u32 put = pass_on(c, c->buffer + c->start, piece);
        if (!c->stream) {
            break; /* it has broken: nothing is left */
        }
        if (put == 0) {
            return;
        }
        c->start = (c->start + put) % VSOCK_BUFFER_BYTES;
        c->count -= put;
        forward(c, put);
    }
    end_if_flushed(c);
}
