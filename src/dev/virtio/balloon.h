/* balloon.h - a virtio memory balloon: memory that the guest does not need goes back to the host.
 */
#ifndef DEV_VIRTIO_BALLOON_H
#define DEV_VIRTIO_BALLOON_H

#include "dev/pci/pci.h"

enum virtio_balloon_stat { /* the specification's tags; bytes, but for the counts of events */
                           BALLOON_SWAP_IN,
                           BALLOON_SWAP_OUT,
                           BALLOON_MAJOR_FAULTS,
                           BALLOON_MINOR_FAULTS,
                           BALLOON_FREE,
                           BALLOON_TOTAL,
                           BALLOON_AVAILABLE,
                           BALLOON_CACHES,
                           BALLOON_STATS
};

struct virtio_balloon_config {
    u32 target; /* see virtio_balloon_set_target() */
    /* Whole pages of RAM are not needed: they read as zero from now on. */
    void (*discard)(void *context, gpa_t gpa, u64 size);
    /* The guest has answered virtio_balloon_ask(). */
    void (*answered)(void *context);
    void *context;
};

/* 0 or -errno. */
int virtio_balloon_create(struct pci_bus *bus, const struct virtio_balloon_config *config,
                          struct device **device);

/* So many pages (of 4 KiB) should be in the balloon; and so many are, as the guest says. */
void virtio_balloon_set_target(struct device *device, u32 pages);
u32 virtio_balloon_target(struct device *device);
u32 virtio_balloon_actual(struct device *device);

/* Have the guest say anew how it uses its memory.  False: its driver does not. */
bool virtio_balloon_ask(struct device *device);

/* What it said last.  False: nothing of that. */
bool virtio_balloon_stat(struct device *device, enum virtio_balloon_stat stat, u64 *value);

#endif
