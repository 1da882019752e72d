/*
 * vsock.h - a virtio socket device: stream connections between the guest and the host.
 *
 * The device has the protocol: connections, credit, resets.  Behind it stands something that has
 * the host's ends of them, streams (vm/vsock.c), which never waits.
 */
#ifndef DEV_VIRTIO_VSOCK_H
#define DEV_VIRTIO_VSOCK_H

#include <sys/types.h>

#include "dev/pci/pci.h"

#define VIRTIO_VSOCK_CONNECTIONS_MAX 256u
#define VIRTIO_VSOCK_CID_MIN         3u
#define VIRTIO_VSOCK_CID_MAX         0xfffffffeu

struct vsock_connection;

struct virtio_vsock_ops {
    /* The guest wants to be connected to the host's port: its stream, or NULL to refuse. */
    void *(*connect)(void *context, struct vsock_connection *connection, u32 port);
    /* The guest has accepted what virtio_vsock_open() asked for; the host's end is this port. */
    void (*accepted)(void *stream, u32 port);
    /* As recv() and send(): bytes, 0 at the stream's end, -EAGAIN (then virtio_vsock_readable() or
     * virtio_vsock_writable() says when to try again), or another -errno: the stream is broken. */
    ssize_t (*read)(void *stream, void *bytes, size_t size);
    ssize_t (*write)(void *stream, const void *bytes, size_t size);
    /* The guest sends no more. */
    void (*end_writing)(void *stream);
    /* The stream is over; it and its connection are not used any more. */
    void (*close)(void *stream);
};

struct virtio_vsock_config {
    u32 cid; /* the guest's address, VIRTIO_VSOCK_CID_MIN to VIRTIO_VSOCK_CID_MAX */
    const struct virtio_vsock_ops *ops;
    void *context; /* outlives the device */
};

/* 0 or -errno. */
int virtio_vsock_create(struct pci_bus *bus, const struct virtio_vsock_config *config,
                        struct device **device);

/* ------------------------------------------------------------------ for the host's side */

/* Connect a stream to the guest's port.  NULL: the guest has no driver, or there are too many.
 * Else accepted() or close() follows, later. */
struct vsock_connection *virtio_vsock_open(struct device *device, void *stream, u32 port);

/* A read, or a write, that was to be tried again would do something now. */
void virtio_vsock_readable(struct vsock_connection *connection);
void virtio_vsock_writable(struct vsock_connection *connection);

#endif
