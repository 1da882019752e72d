/*
 * net.h - what stands behind a network card: something that takes Ethernet frames and gives some.
 *
 * A card sends the guest's frames to a back end (vm/nic.h), each in one piece and with its
 * checksums right.  What comes back is offered to the card (virtio_net_receive()).  Neither waits:
 * what a back end cannot take is lost, as on any network; what a card has no room for is offered
 * again.
 */
#ifndef DEV_NET_H
#define DEV_NET_H

#include <stddef.h>

#include "base/types.h"

#define NET_ADDRESS_BYTES 6
#define NET_HEADER_BYTES  14 /* of a frame: two addresses and a type */
#define NET_MTU_MIN       1280u
#define NET_MTU_MAX       65520u
#define NET_FRAME_MAX     (NET_HEADER_BYTES + 65535u)

struct net_ops {
    /* A frame of the guest's; it may be overwritten on return. */
    void (*send)(void *context, const u8 *frame, size_t size);
    /* The guest has made room: what it had none for may be offered again. */
    void (*ready)(void *context);
};

/* A back end, and what it says of itself. */
struct net {
    const struct net_ops *ops;
    void *context;
    unsigned mtu;        /* no IP packet is longer, either way, but for */
    bool takes_segments; /* a TCP segment from the guest, which may have any length */
    bool checks;         /* what it gives has right checksums: nobody need look again */
};

#endif
