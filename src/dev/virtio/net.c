/*
 * net.c - a virtio network card.
 *
 *      queue 0   receive:  in   header, frame; in several chains with MRG_RXBUF
 *      queue 1   transmit: out  header, frame
 *      queue 2   control:  out  class (8), command (8), its data;  in  answer (8)
 *
 *      header    0 flags (8)    1 segments (8)    2 bytes of headers (16)   4 of a segment (16)
 *                6 checksum from (16)             8 and at (16)            10 chains (16)
 *
 * A frame of the guest's is copied out of its memory once, finished there (net_offload.c), and goes
 * to the back end in one piece.  One that a card could not send is dropped, as a card would; a
 * chain that is none is against the rules.
 *
 * VIRTIO 1.2, "Network Device".
 *
 * LIMIT: one pair of queues; no filters for VLANs or addresses (a back end has no other guests);
 * long segments only from the guest, since a long MTU serves for the other way.
 */
#include "dev/virtio/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "dev/net_offload.h"
#include "dev/virtio/virtio.h"

enum {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_MTU = 3,
    F_MAC = 5,
    F_HOST_TSO4 = 11,
    F_HOST_TSO6 = 12,
    F_HOST_ECN = 13,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
    F_CTRL_VQ = 17,
    F_CTRL_RX = 18,
    F_CTRL_MAC_ADDR = 23,
};

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUE_CONTROL, QUEUES, QUEUE_SIZE = 256 };

enum { /* in a header */
       FLAG_NEEDS_CSUM = 1,
       FLAG_DATA_VALID = 2,
       SEGMENTS_NONE = 0,
       SEGMENTS_TCP4 = 1,
       SEGMENTS_TCP6 = 4,
       SEGMENTS_ECN = 0x80,
};

enum { /* of the control queue */
       CLASS_RX = 0,
       CLASS_MAC = 1,
       RX_PROMISC = 0,
       RX_ALLMULTI = 1,
       MAC_TABLE_SET = 0,
       MAC_ADDR_SET = 1,
       ANSWER_OK = 0,
       ANSWER_ERR = 1,
};

#define STATUS_LINK_UP 1u
#define VLAN_TAG_BYTES 4u

struct header {
    u8 flags, segments;
    u16 header_bytes, segment_bytes, checksum_start, checksum_offset, chains;
};

_Static_assert(sizeof(struct header) == 12, "as the specification has it");

struct config {
    u8 mac[NET_ADDRESS_BYTES];
    u16 status, max_virtqueue_pairs, mtu;
};

_Static_assert(sizeof(struct config) == 12, "as the specification has it");

struct card {
    struct virtio_device virtio;
    struct net net;
    struct config config;
    u8 address[NET_ADDRESS_BYTES]; /* the one that it is made with */
    u8 frame[NET_FRAME_MAX];       /* a copy of the one that the guest sends */
};

static struct card *from_device(struct device *device)
{
    return container_of(device, struct card, virtio.device);
}

/* ------------------------------------------------------------------ transmit */

/* False where the header is not one that was negotiated. */
static bool read_offload(const struct virtio_device *v, const struct header *h,
                         struct net_offload *o)
{
    unsigned segments = h->segments & ~(unsigned)SEGMENTS_ECN;

    *o = (struct net_offload){
        .checksum = h->flags & FLAG_NEEDS_CSUM,
        .start = h->checksum_start,
        .offset = h->checksum_offset,
    };
    if ((o->checksum && !virtio_has(v, F_CSUM)) ||
        (h->segments & SEGMENTS_ECN && !virtio_has(v, F_HOST_ECN))) {
        return false;
    }
    switch (segments) {
    case SEGMENTS_NONE:
        return h->segments == SEGMENTS_NONE;
    case SEGMENTS_TCP4:
        o->segments = NET_TCP4;
        return virtio_has(v, F_HOST_TSO4) && h->segment_bytes > 0;
    case SEGMENTS_TCP6:
        o->segments = NET_TCP6;
        return virtio_has(v, F_HOST_TSO6) && h->segment_bytes > 0;
    default:
        return false;
    }
}

static void send(struct card *c, struct virtq_chain *chain)
{
    struct net_offload offload;
    struct header h;
    u64 size;

    if (chain->out_bytes < sizeof(h) || chain->out_bytes - sizeof(h) > NET_FRAME_MAX) {
        virtio_fail(&c->virtio, QUEUE_TRANSMIT, "a frame without a header, or of more than 64 KiB");
        return;
    }
    size = chain->out_bytes - sizeof(h);
    virtq_read(chain, 0, &h, sizeof(h));
    if (!read_offload(&c->virtio, &h, &offload) ||
        (offload.segments == NET_WHOLE && size > NET_HEADER_BYTES + VLAN_TAG_BYTES + c->net.mtu)) {
        return;
    }
    virtq_read(chain, sizeof(h), c->frame, size);
    if (net_offload_finish(c->frame, size, &offload) && c->config.status & STATUS_LINK_UP) {
        c->net.ops->send(c->net.context, c->frame, size);
    }
}

static void serve_transmit(struct card *c)
{
    struct virtq_chain *chain;

    while ((chain = virtio_take(&c->virtio, QUEUE_TRANSMIT))) {
        send(c, chain);
        virtio_give(&c->virtio, chain, 0);
    }
    virtio_signal(&c->virtio, QUEUE_TRANSMIT);
}

/* ------------------------------------------------------------------ receive */

static void untake_all(struct virtq_chain *const *chains, unsigned count)
{
    while (count) {
        virtq_untake(chains[--count]);
    }
}

/* Take chains with room for so many bytes.  Gives their number; 0 where there is no such room, and
 * *later says whether there may be when the driver has made more available. */
static unsigned take_room(struct card *c, u64 bytes, struct virtq_chain **chains, bool *later)
{
    struct virtio_device *v = &c->virtio;
    unsigned most = virtio_has(v, F_MRG_RXBUF) ? v->queue[QUEUE_RECEIVE].size : 1, count = 0;
    u64 room = 0;

    *later = false;
    while (room < bytes && count < most) {
        struct virtq_chain *chain = virtio_take(v, QUEUE_RECEIVE);
        if (!chain) {
            *later = virtio_is_ready(v);
            break;
        }
        chains[count++] = chain;
        room += chain->in_bytes;
        if (chain->in_bytes < sizeof(struct header)) {
            virtio_fail(v, QUEUE_RECEIVE, "a buffer that has no room for a header");
            break;
        }
    }
    if (room < bytes || !virtio_is_ready(v)) {
        untake_all(chains, count);
        return 0;
    }
    return count;
}

/* Scatter header and frame over the chains, and give them back. */
static void fill(struct card *c, struct virtq_chain *const *chains, unsigned count, const u8 *frame,
                 size_t size)
{
    const struct header h = {
        .flags = virtio_has(&c->virtio, F_GUEST_CSUM) && c->net.checks ? FLAG_DATA_VALID : 0,
        .chains = (u16)count,
    };
    u32 written[VIRTQ_SIZE_MAX];

    for (unsigned i = 0; i < count; i++) {
        u64 skip = i ? 0 : sizeof(h);
        u64 bytes = virtq_write(chains[i], skip, frame, size);
        if (i == 0) {
            virtq_write(chains[i], 0, &h, sizeof(h));
        }
        written[i] = (u32)(skip + bytes);
        frame += bytes;
        size -= bytes;
    }
    virtio_give_all(&c->virtio, chains, written, count);
}

bool virtio_net_receive(struct device *device, const u8 *frame, size_t size)
{
    struct card *c = from_device(device);
    struct virtq_chain *chains[VIRTQ_SIZE_MAX];
    unsigned count;
    bool later;

    if (size < NET_HEADER_BYTES || size > NET_HEADER_BYTES + VLAN_TAG_BYTES + c->net.mtu ||
        !virtio_is_ready(&c->virtio) || !c->virtio.queue[QUEUE_RECEIVE].enabled ||
        !pci_is_master(&c->virtio.pci)) {
        return true;
    }
    count = take_room(c, sizeof(struct header) + size, chains, &later);
    if (count) {
        fill(c, chains, count, frame, size);
    }
    return count || !later;
}

void virtio_net_received(struct device *device)
{
    virtio_signal(&from_device(device)->virtio, QUEUE_RECEIVE);
}

/* ------------------------------------------------------------------ control */

static u8 command(struct card *c, const struct virtq_chain *chain)
{
    struct {
        u8 class, command, data[NET_ADDRESS_BYTES];
    } out;
    u64 size = virtq_read(chain, 0, &out, sizeof(out));

    if (size < 2) {
        return ANSWER_ERR;
    }
    switch (out.class << 8 | out.command) {
    case CLASS_RX << 8 | RX_PROMISC: /* there is no filter: all comes in anyway */
    case CLASS_RX << 8 | RX_ALLMULTI:
    case CLASS_MAC << 8 | MAC_TABLE_SET:
        return ANSWER_OK;
    case CLASS_MAC << 8 | MAC_ADDR_SET:
        if (size < sizeof(out)) {
            return ANSWER_ERR;
        }
        memcpy(c->config.mac, out.data, sizeof(c->config.mac));
        return ANSWER_OK;
    default:
        return ANSWER_ERR;
    }
}

static void serve_control(struct card *c)
{
    struct virtio_device *v = &c->virtio;
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, QUEUE_CONTROL))) {
        u8 answer;
        if (chain->in_bytes == 0) {
            virtio_fail(v, QUEUE_CONTROL, "a command without room for its answer");
            virtio_give(v, chain, 0);
            break;
        }
        answer = command(c, chain);
        virtq_write(chain, 0, &answer, 1);
        virtio_give(v, chain, 1);
    }
    virtio_signal(v, QUEUE_CONTROL);
}

/* ------------------------------------------------------------------ the device */

static void notify(struct virtio_device *v, unsigned queue)
{
    struct card *c = container_of(v, struct card, virtio);

    switch (queue) {
    case QUEUE_RECEIVE:
        c->net.ops->ready(c->net.context);
        break;
    case QUEUE_TRANSMIT:
        serve_transmit(c);
        break;
    default:
        serve_control(c);
        break;
    }
    virtio_signal(v, QUEUE_RECEIVE); /* a back end may have answered at once */
}

static void reset(struct virtio_device *v)
{
    struct card *c = container_of(v, struct card, virtio);

    memcpy(c->config.mac, c->address, sizeof(c->config.mac));
}

void virtio_net_set_link(struct device *device, bool up)
{
    struct card *c = from_device(device);
    u16 status = up ? STATUS_LINK_UP : 0;

    if (c->config.status != status) {
        c->config.status = status;
        virtio_config_changed(&c->virtio);
    }
}

static const struct field fields[] = {
    FIELD_ARRAY(struct card, config.mac),
    FIELD_MAX(struct card, config.status, STATUS_LINK_UP),
    FIELDS_END,
};

/* The back end is a new one, whose cable is in.  A driver that has seen it out is told. */
static bool loaded(struct virtio_device *v)
{
    virtio_net_set_link(&v->device, true);
    return true;
}

static const struct virtio_ops ops = {.notify = notify, .reset = reset, .loaded = loaded};

static const struct virtio_type type = {
    .name = "virtio-net", .id = 1, .class_code = 0x020000, .ops = &ops, .fields = fields};

/* ------------------------------------------------------------------ life */

static void destroy(struct device *device)
{
    struct card *c = from_device(device);

    virtio_done(&c->virtio);
    free(c);
}

static void describe(struct card *c, const struct virtio_net_config *config)
{
    c->net = config->net;
    memcpy(c->address, config->address, sizeof(c->address));
    memcpy(c->config.mac, config->address, sizeof(c->config.mac));
    c->config.status = STATUS_LINK_UP;
    c->config.max_virtqueue_pairs = 1;
    c->config.mtu = (u16)c->net.mtu;
    c->virtio.type = &type;
    c->virtio.features =
        BIT(F_CSUM) | BIT(F_MTU) | BIT(F_MAC) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_CTRL_VQ) |
        BIT(F_CTRL_RX) | BIT(F_CTRL_MAC_ADDR) | (c->net.checks ? BIT(F_GUEST_CSUM) : 0) |
        (c->net.takes_segments ? BIT(F_HOST_TSO4) | BIT(F_HOST_TSO6) | BIT(F_HOST_ECN) : 0);
    c->virtio.queues = QUEUES;
    c->virtio.queue_size = QUEUE_SIZE;
    c->virtio.config = &c->config;
    c->virtio.config_bytes = sizeof(c->config);
}

int virtio_net_create(struct pci_bus *bus, const struct virtio_net_config *config,
                      struct device **device)
{
    struct card *c = calloc(1, sizeof(*c));
    int error;

    if (!c) {
        return -ENOMEM;
    }
    describe(c, config);
    error = virtio_init(&c->virtio, bus);
    if (error) {
        free(c);
        return error;
    }
    c->virtio.device.destroy = destroy;
    if (config->keeps_state) {
        c->virtio.device.block = c;
        c->virtio.device.block_bytes = sizeof(*c);
    }
    *device = &c->virtio.device;
    return 0;
}
