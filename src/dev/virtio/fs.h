/*
 * fs.h - a virtio file system device: FUSE messages between the guest and a server that stands
 * behind the device.
 */
#ifndef DEV_VIRTIO_FS_H
#define DEV_VIRTIO_FS_H

#include "dev/pci/pci.h"

#define VIRTIO_FS_TAG_MAX     36u /* bytes of the name that the guest mounts by */
#define VIRTIO_FS_IN_BYTES    40u /* heads of messages: struct fuse_in_header, */
#define VIRTIO_FS_OUT_BYTES   16u /* struct fuse_out_header */
#define VIRTIO_FS_MESSAGE_MAX (524288u + 4096u)

/* A message of the guest's, until it is answered. */
struct virtio_fs_request;

struct virtio_fs_ops {
    /* Answer the request, now or later from the event loop.  The server gets requests in the order
     * in which they come here. */
    void (*submit)(void *context, struct virtio_fs_request *request);
    /* Answer all that were submitted, with errors at the worst; never waits for the server. */
    void (*cancel)(void *context);
};

struct virtio_fs_config {
    const char *tag; /* copied */
    const struct virtio_fs_ops *ops;
    void *context; /* outlives the device */
};

/* 0 or -errno. */
int virtio_fs_create(struct pci_bus *bus, const struct virtio_fs_config *config,
                     struct device **device);

/* ------------------------------------------------------------------ for the server's side */

/* Of the message: its size, from VIRTIO_FS_IN_BYTES to VIRTIO_FS_MESSAGE_MAX, and what its answer
 * must name.  They stay as they are here; what follows the head is in guest memory and may change.
 */
u32 virtio_fs_size(const struct virtio_fs_request *request);
u64 virtio_fs_unique(const struct virtio_fs_request *request);

/* Copy size bytes of the message, from offset on; they are within it. */
void virtio_fs_read(const struct virtio_fs_request *request, u32 offset, u8 *bytes, u32 size);

/* Give the guest the answer, a whole one; the request is gone then.  A guest that waits for none
 * gets none, and one that has left too little room gets an error. */
void virtio_fs_answer(struct virtio_fs_request *request, const u8 *reply, u32 size);

/* The same with an error, -errno. */
void virtio_fs_fail(struct virtio_fs_request *request, int error);

/* For lists of the server's side. */
struct virtio_fs_request **virtio_fs_next(struct virtio_fs_request *request);

#endif
