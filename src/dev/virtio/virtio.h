/*
 * virtio.h - what a virtio device is to its transport, PCI (pci.c).
 *
 * A device is one file: it embeds a struct virtio_device, fills in a const struct virtio_type, and
 * answers notifications.  All of the protocol (features, status, queues, interrupts, what to do
 * when the guest breaks the rules) is the transport's.  The smallest example is rng.c;
 * docs/add-a-device.md goes through it.
 *
 *      notify(queue)                           the driver has made chains available
 *          while ((chain = virtio_take(v, queue)))
 *              ... virtq_read(), virtq_write() ...
 *              virtio_give(v, chain, written)  now, or later when its I/O has ended
 *          virtio_signal(v, queue)             an interrupt, if the driver wants one
 */
#ifndef DEV_VIRTIO_VIRTIO_H
#define DEV_VIRTIO_VIRTIO_H

#include "dev/pci/pci.h"
#include "dev/virtio/queue.h"

#define VIRTIO_QUEUES_MAX 64

/* Feature bits of every device; the transport offers and handles them. */
enum {
    VIRTIO_F_INDIRECT_DESC = 28,
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
    VIRTIO_F_RING_PACKED = 34,
    VIRTIO_F_RING_RESET = 40,
};

struct virtio_device;

struct virtio_ops {
    /* There may be chains in that queue. */
    void (*notify)(struct virtio_device *device, unsigned queue);

    /* Optional.  Forget what the driver has set up.  Chains that the device holds are given back
     * now, or when their I/O has ended: until then the driver sees that the reset goes on. */
    void (*reset)(struct virtio_device *device);

    /* Optional.  The driver is ready: virtio_has() tells what it wants. */
    void (*start)(struct virtio_device *device);

    /* Optional.  The driver writes size bytes (1, 2 or 4) at offset in the device's configuration,
     * within config_bytes. */
    void (*config_write)(struct virtio_device *device, unsigned offset, unsigned size, u32 value);

    /* For snapshots, both optional.  Before one is taken: wait until all I/O has ended, and put
     * back (virtq_untake()) or give back each chain that is held.  NULL, or why that cannot be. */
    const char *(*settle)(struct virtio_device *device);

    /* Its fields have been read into a device that was just made, and its queues are set up again.
     * False where they cannot be. */
    bool (*loaded)(struct virtio_device *device);
};

/* What a kind of device is. */
struct virtio_type {
    const char *name; /* "virtio-rng" */
    u16 id;           /* the specification's device ID */
    u32 class_code;   /* PCI's */
    const struct virtio_ops *ops;

    /* What a snapshot keeps of a device besides what the transport has of it: fields of the
     * structure that begins with its struct virtio_device.  NULL: it cannot be in a snapshot;
     * fields_none: there is nothing else. */
    const struct field *fields;
    u32 fields_version;
};

struct virtio_device {
    /* The device's, before virtio_init(). */
    const struct virtio_type *type;
    u64 features;          /* offered, without those above */
    unsigned queues;       /* at most VIRTIO_QUEUES_MAX */
    u16 queue_size;        /* largest; a power of two */
    const void *config;    /* little-endian, as the specification lays it out; may change with */
    unsigned config_bytes; /* virtio_config_changed(); a multiple of 4 */

    /* The transport's. */
    struct device device; /* its destroy() is the device's to set, after virtio_init() */
    struct pci_function pci;
    struct virtq queue[VIRTIO_QUEUES_MAX];
    u16 queue_vector[VIRTIO_QUEUES_MAX];
    u16 config_vector, queue_select;
    u32 feature_select, driver_feature_select;
    u64 driver_features;
    u8 status, isr, generation;
    unsigned window;   /* the capability for access by configuration space */
    bool resetting;    /* a reset waits for chains in flight */
    unsigned failures; /* how often the guest has broken the rules */
    unsigned budget;   /* chains that may still be taken before others get their turn */
    u64 again;         /* queues that are to be notified by the timer */
    struct timer timer;
};

/* Attach the device to the bus.  0 or -errno.  device->device is then the machine's; its destroy()
 * ends the device's I/O, then calls virtio_done(), then frees. */
int virtio_init(struct virtio_device *device, struct pci_bus *bus);
void virtio_done(struct virtio_device *device);

/* The next chain of a queue; NULL: none now. */
struct virtq_chain *virtio_take(struct virtio_device *device, unsigned queue);

/* Have the device notified of that queue once more, when others have had their turn. */
void virtio_again(struct virtio_device *device, unsigned queue);

/* See virtq_give(). */
void virtio_give(struct virtio_device *device, struct virtq_chain *chain, u64 written);

/* See virtq_give_all(). */
void virtio_give_all(struct virtio_device *device, struct virtq_chain *const *chains,
                     const u32 *written, unsigned count);

/* Interrupt the driver, if it wants that, for what has been given back. */
void virtio_signal(struct virtio_device *device, unsigned queue);

/* The guest has broken the rules of this device: it needs a reset, and the user gets a line. */
void virtio_fail(struct virtio_device *device, unsigned queue, const char *reason);

/* What config points to has changed. */
void virtio_config_changed(struct virtio_device *device);

/* Has the driver accepted that feature? */
static inline bool virtio_has(const struct virtio_device *device, unsigned feature)
{
    return device->driver_features >> feature & 1;
}

/* Has the driver set the device up, and neither side failed since? */
bool virtio_is_ready(const struct virtio_device *device);

#endif
