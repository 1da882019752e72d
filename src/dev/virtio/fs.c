/*
 * fs.c - a virtio file system device: a request is a FUSE message, and room for its answer.
 *
 *      out   length (32), opcode (32), unique (64), ... in all 40 bytes, then what the opcode has
 *      in    length (32), error (32), unique (64), then likewise; nothing where no answer is wanted
 *
 * Queue 0 has what must not wait behind other requests (here nothing waits long), queue 1 the
 * requests.  Only the head of a message is looked at: its length must be what the chain has.  It is
 * copied once, and goes on as it was then.
 *
 * VIRTIO 1.2, "File System Device"; Linux, include/uapi/linux/fuse.h.
 *
 * LIMIT: one queue of requests, no window of shared memory (DAX), no notifications to the guest.
 */
#include "dev/virtio/fs.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "dev/virtio/virtio.h"

enum { QUEUES = 2, QUEUE_SIZE = 256 };

struct config {
    char tag[VIRTIO_FS_TAG_MAX];
    u32 request_queues;
};

_Static_assert(sizeof(struct config) == 40, "as the specification has it");
_Static_assert(sizeof(struct fuse_in_header) == VIRTIO_FS_IN_BYTES &&
                   sizeof(struct fuse_out_header) == VIRTIO_FS_OUT_BYTES,
               "as fs.h has them");

struct fs {
    struct virtio_device virtio;
    struct config config;
    const struct virtio_fs_ops *ops;
    void *context;
};

struct virtio_fs_request {
    struct fs *fs;
    struct virtq_chain *chain;
    struct virtio_fs_request *next;
    struct fuse_in_header head;
    unsigned queue;
};

/* ------------------------------------------------------------------ the server's side */

u32 virtio_fs_size(const struct virtio_fs_request *r)
{
    return r->head.len;
}

u64 virtio_fs_unique(const struct virtio_fs_request *r)
{
    return r->head.unique;
}

struct virtio_fs_request **virtio_fs_next(struct virtio_fs_request *r)
{
    return &r->next;
}

void virtio_fs_read(const struct virtio_fs_request *r, u32 offset, u8 *bytes, u32 size)
{
    u32 head = 0;

    if (offset < sizeof(r->head)) {
        u32 rest = (u32)sizeof(r->head) - offset;
        head = rest < size ? rest : size;
        memcpy(bytes, (const u8 *)&r->head + offset, head);
    }
    virtq_read(r->chain, offset + head, bytes + head, size - head);
}

static void finish(struct virtio_fs_request *r, u32 written)
{
    virtio_give(&r->fs->virtio, r->chain, written);
    virtio_signal(&r->fs->virtio, r->queue);
    free(r);
}

void virtio_fs_answer(struct virtio_fs_request *r, const u8 *reply, u32 size)
{
    if (r->chain->in_bytes == 0) {
        finish(r, 0);
    } else if (size > r->chain->in_bytes) {
        virtio_fs_fail(r, -EOVERFLOW);
    } else {
        virtq_write(r->chain, 0, reply, size);
        finish(r, size);
    }
}

void virtio_fs_fail(struct virtio_fs_request *r, int error)
{
    struct fuse_out_header reply = {.len = sizeof(reply), .error = error, .unique = r->head.unique};

    virtio_fs_answer(r, (const u8 *)&reply, sizeof(reply));
}

/* ------------------------------------------------------------------ the guest's side */

/* What is wrong with a message, or NULL. */
static const char *check(const struct virtio_fs_request *r)
{
    u64 room = r->chain->in_bytes;

    if (r->chain->out_bytes < sizeof(r->head)) {
        return "a message without a head";
    }
    if (room && room < VIRTIO_FS_OUT_BYTES) {
        return "a message without room for the head of an answer";
    }
    if (r->head.len < sizeof(r->head) || r->head.len > r->chain->out_bytes) {
        return "a message of another length than it says";
    }
    return r->head.len > VIRTIO_FS_MESSAGE_MAX ? "a message that is too long" : NULL;
}

static void serve(struct fs *fs, unsigned queue, struct virtq_chain *chain)
{
    struct virtio_fs_request *r = calloc(1, sizeof(*r));
    const char *reason = "no memory on the host for a message";

    if (r) {
        r->fs = fs;
        r->chain = chain;
        r->queue = queue;
        virtq_read(chain, 0, &r->head, sizeof(r->head));
        reason = check(r);
    }
    if (reason) {
        free(r);
        virtio_fail(&fs->virtio, queue, reason);
        virtio_give(&fs->virtio, chain, 0);
        return;
    }
    fs->ops->submit(fs->context, r);
}

static void notify(struct virtio_device *v, unsigned queue)
{
    struct fs *fs = container_of(v, struct fs, virtio);
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, queue))) {
        serve(fs, queue, chain);
    }
    virtio_signal(v, queue);
}

static const struct virtio_ops ops = {.notify = notify};

static const struct virtio_type type = {
    .name = "virtio-fs", .id = 26, .class_code = 0x018000, .ops = &ops};

/* ------------------------------------------------------------------ life */

static void destroy(struct device *device)
{
    struct fs *fs = container_of(device, struct fs, virtio.device);

    fs->ops->cancel(fs->context);
    virtio_done(&fs->virtio);
    free(fs);
}

int virtio_fs_create(struct pci_bus *bus, const struct virtio_fs_config *config,
                     struct device **device)
{
    struct fs *fs = calloc(1, sizeof(*fs));
    int error;

    if (!fs) {
        return -ENOMEM;
    }
    fs->ops = config->ops;
    fs->context = config->context;
    memcpy(fs->config.tag, config->tag, strnlen(config->tag, sizeof(fs->config.tag)));
    fs->config.request_queues = QUEUES - 1;
    fs->virtio.type = &type;
    fs->virtio.queues = QUEUES;
    fs->virtio.queue_size = QUEUE_SIZE;
    fs->virtio.config = &fs->config;
    fs->virtio.config_bytes = sizeof(fs->config);
    error = virtio_init(&fs->virtio, bus);
    if (error) {
        free(fs);
        return error;
    }
    fs->virtio.device.destroy = destroy;
    *device = &fs->virtio.device;
    return 0;
}
