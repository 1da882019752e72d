/*
 * vsock_connection.h - one connection of a virtio socket device: its credit, and what is on its way
 * to the host.
 *
 * Each side tells the other how many bytes it takes (buf_alloc) and how many of those that came it
 * has passed on (fwd_cnt).  Counts are free-running:
 *
 *      the guest may send     VSOCK_BUFFER_BYTES - (received - forwarded)
 *      we may send            peer_buffer - (sent - peer_forwarded)
 */
#ifndef DEV_VIRTIO_VSOCK_CONNECTION_H
#define DEV_VIRTIO_VSOCK_CONNECTION_H

#include "dev/virtio/vsock.h"

#define VSOCK_BUFFER_BYTES 131072u

struct vsock; /* the device: vsock.c */

enum vsock_state {
    VSOCK_FREE,
    VSOCK_ASKED, /* the host's side wants it; the guest has not answered */
    VSOCK_OPEN,
    VSOCK_DOOMED, /* free as soon as the guest has been told */
};

enum { /* packets that wait for a buffer of the guest's */
       VSOCK_SEND_RST = 1 << 0,
       VSOCK_SEND_REQUEST = 1 << 1,
       VSOCK_SEND_RESPONSE = 1 << 2,
       VSOCK_SEND_CREDIT = 1 << 3,
       VSOCK_SEND_SHUTDOWN = 1 << 4,
};

enum { /* flags of a SHUTDOWN: what its sender does no more */
       VSOCK_NO_RECEIVE = 1,
       VSOCK_NO_SEND = 2,
       VSOCK_NEITHER = 3,
};

struct vsock_connection {
    struct vsock *vsock;
    enum vsock_state state;
    void *stream; /* NULL: the host's end is over */
    u32 guest_port, host_port;
    u32 peer_buffer, peer_forwarded, sent;
    u32 received, forwarded, told; /* told: `forwarded` as the guest knows it */
    u8 waiting;                    /* VSOCK_SEND_... */
    u8 guest_ended, host_ended;    /* VSOCK_NO_...: what each side has shut down */
    bool readable;                 /* the stream may have something */
    u8 *buffer;                    /* VSOCK_BUFFER_BYTES, once the stream has not taken all */
    u32 start, count;              /* what is in it, which goes round */
};

/* Is it a connection that a packet can be for? */
static inline bool vsock_is_alive(const struct vsock_connection *c)
{
    return c->state == VSOCK_ASKED || c->state == VSOCK_OPEN;
}

/* What we may send. */
u32 vsock_credit(const struct vsock_connection *c);

/* Room for bytes of the guest's. */
u32 vsock_room(const struct vsock_connection *c);

/* Bytes have come from the guest, no more than there is room for.  -ENOMEM, or 0. */
int vsock_receive(struct vsock_connection *c, const u8 *bytes, u32 size);

/* Pass on what waits for the host. */
void vsock_flush(struct vsock_connection *c);

/* The guest has shut that down. */
void vsock_guest_ends(struct vsock_connection *c, u32 flags);

/* The host has. */
void vsock_host_ends(struct vsock_connection *c, u8 flags);

/* The guest is to hear that the connection is no more. */
void vsock_doom(struct vsock_connection *c);

/* It is no more, and the slot is free. */
void vsock_free(struct vsock_connection *c);

const struct virtio_vsock_ops *vsock_ops(const struct vsock *vsock);

#endif
