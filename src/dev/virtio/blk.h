/* blk.h - a virtio disk. */
#ifndef DEV_VIRTIO_BLK_H
#define DEV_VIRTIO_BLK_H

#include "dev/block.h"
#include "dev/pci/pci.h"

#define VIRTIO_BLK_QUEUES_MAX  32
#define VIRTIO_BLK_SERIAL_SIZE 20

struct virtio_blk_config {
    struct block block; /* outlives the device */
    unsigned queues;    /* 1 to VIRTIO_BLK_QUEUES_MAX */
    const char *serial; /* at most VIRTIO_BLK_SERIAL_SIZE of it count; copied */
};

/* 0 or -errno. */
int virtio_blk_create(struct pci_bus *bus, const struct virtio_blk_config *config,
                      struct device **device);

#endif
