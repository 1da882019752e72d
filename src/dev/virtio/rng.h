/* rng.h - the virtio entropy device. */
#ifndef DEV_VIRTIO_RNG_H
#define DEV_VIRTIO_RNG_H

#include "dev/pci/pci.h"

struct virtio_rng_config {
    /* Fill bytes with randomness; never waits. */
    void (*fill)(void *context, void *bytes, size_t size);
    void *context;
};

/* 0 or -errno. */
int virtio_rng_create(struct pci_bus *bus, const struct virtio_rng_config *config,
                      struct device **device);

#endif
