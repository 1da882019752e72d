/*
 * rng.c - the virtio entropy device: a request is a buffer, the answer is that it is filled.
 *
 * VIRTIO 1.2, "Entropy Device".
 */
#include "dev/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/virtio/virtio.h"

#define ANSWER_MAX 65536u /* bytes for one request; the driver asks again for more */

struct rng {
    struct virtio_device virtio;
    struct virtio_rng_config config;
};

static u64 answer(struct rng *rng, const struct virtq_chain *chain)
{
    u64 written = 0;

    for (unsigned i = 0; i < chain->in_count && written < ANSWER_MAX; i++) {
        const struct iovec *part = &virtq_in(chain)[i];
        u64 rest = ANSWER_MAX - written;
        u64 bytes = part->iov_len < rest ? part->iov_len : rest;
        rng->config.fill(rng->config.context, part->iov_base, bytes);
        written += bytes;
    }
    return written;
}

static void notify(struct virtio_device *v, unsigned queue)
{
    struct rng *rng = container_of(v, struct rng, virtio);
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, queue))) {
        virtio_give(v, chain, answer(rng, chain));
    }
    virtio_signal(v, queue);
}

static const struct virtio_ops ops = {.notify = notify};

static const struct virtio_type type = {
    .name = "virtio-rng", .id = 4, .class_code = 0x00ff00, .ops = &ops, .fields = fields_none};

static void destroy(struct device *device)
{
    struct rng *rng = container_of(device, struct rng, virtio.device);

    virtio_done(&rng->virtio);
    free(rng);
}

int virtio_rng_create(struct pci_bus *bus, const struct virtio_rng_config *config,
                      struct device **device)
{
    struct rng *rng = calloc(1, sizeof(*rng));
    int error;

    if (!rng) {
        return -ENOMEM;
    }
    rng->virtio.type = &type;
    rng->virtio.queues = 1;
    rng->virtio.queue_size = 64;
    rng->config = *config;
    error = virtio_init(&rng->virtio, bus);
    if (error) {
        free(rng);
        return error;
    }
    rng->virtio.device.destroy = destroy;
    rng->virtio.device.block = rng;
    rng->virtio.device.block_bytes = sizeof(*rng);
    *device = &rng->virtio.device;
    return 0;
}
