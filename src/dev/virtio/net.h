/* net.h - a virtio network card. */
#ifndef DEV_VIRTIO_NET_H
#define DEV_VIRTIO_NET_H

#include "dev/net.h"
#include "dev/pci/pci.h"

struct virtio_net_config {
    struct net net; /* outlives the device */
    u8 address[NET_ADDRESS_BYTES];
    bool keeps_state; /* nothing of the back end changes: the machine can be taken back */
};

/* 0 or -errno. */
int virtio_net_create(struct pci_bus *bus, const struct virtio_net_config *config,
                      struct device **device);

/* A frame for the guest.  False: there is no room for it now, and the back end will be told of
 * more; true: the guest has it, or nobody ever will. */
bool virtio_net_receive(struct device *device, const u8 *frame, size_t size);

/* After frames that came in by themselves, neither in send() nor in ready(): tell the driver. */
void virtio_net_received(struct device *device);

/* The cable is in, or out. */
void virtio_net_set_link(struct device *device, bool up);

#endif
