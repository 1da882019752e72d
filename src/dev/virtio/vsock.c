/*
 * vsock.c - a virtio socket device: packets between the guest and the connections.
 *
 *      queue 0 (rx)      packets to the guest, in buffers of its
 *      queue 1 (tx)      packets from the guest
 *      queue 2 (event)   "your connections are gone", after a snapshot has been restored
 *
 * A packet is a head (struct head) and, if its operation is RW, len bytes.  What the guest sends
 * for a connection that there is not is answered with RST; what it sends from another address than
 * its own is dropped.
 *
 * Nothing grows: connections are slots, each has at most VSOCK_BUFFER_BYTES for the host, and is
 * reset if the guest sends more than it has credit for; what is for the guest stays in the host's
 * sockets until there are buffers and credit.  While answers to packets of no connection wait, no
 * more packets are taken.
 *
 * VIRTIO 1.2, "Socket Device".
 *
 * LIMIT: stream sockets only, no SOCK_SEQPACKET.
 */
#include "dev/virtio/vsock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/fields.h"
#include "dev/virtio/virtio.h"
#include "dev/virtio/vsock_connection.h"

enum { RX, TX, EVENT, QUEUES };

enum {
    F_STREAM = 0,
    QUEUE_SIZE = 128,
    CID_HOST = 2,
    TYPE_STREAM = 1,
    EVENT_TRANSPORT_RESET = 0,
    STRAYS_MAX = 64,
    DATA_MAX = 65536,
    FIRST_PORT = 0x40000000, /* of the host's ends of connections that the host opens */
};

enum { /* operations */
       OP_REQUEST = 1,
       OP_RESPONSE = 2,
       OP_RST = 3,
       OP_SHUTDOWN = 4,
       OP_RW = 5,
       OP_CREDIT_UPDATE = 6,
       OP_CREDIT_REQUEST = 7,
};

struct head {
    u64 src_cid, dst_cid;
    u32 src_port, dst_port, len;
    u16 type, op;
    u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

_Static_assert(sizeof(struct head) == 44, "as the specification has it");

/* A RST for a packet of no connection. */
struct stray {
    u64 cid;
    u32 guest_port, host_port;
    u16 type;
};

struct vsock {
    struct virtio_device virtio;
    struct virtio_vsock_config config;
    u64 cid; /* the configuration space */
    u32 next_port;
    unsigned turn;   /* the connection that may send first */
    bool reset_told; /* false: the guest does not know yet that its connections are gone */
    struct stray strays[STRAYS_MAX];
    unsigned stray_count;
    bool working; /* work() is on the stack */
    struct vsock_connection connections[VIRTIO_VSOCK_CONNECTIONS_MAX];
    u8 data[DATA_MAX]; /* of the packet that is being looked at */
};

const struct virtio_vsock_ops *vsock_ops(const struct vsock *vsock)
{
    return vsock->config.ops;
}

/* ------------------------------------------------------------------ connections */

static struct vsock_connection *find(struct vsock *vsock, u32 guest_port, u32 host_port)
{
    for (unsigned i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        struct vsock_connection *c = &vsock->connections[i];
        if (c->state != VSOCK_FREE && c->guest_port == guest_port && c->host_port == host_port) {
            return c;
        }
    }
    return NULL;
}

static struct vsock_connection *add(struct vsock *vsock, u32 guest_port, u32 host_port)
{
    for (unsigned i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        struct vsock_connection *c = &vsock->connections[i];
        if (c->state == VSOCK_FREE) {
            *c = (struct vsock_connection){
                .vsock = vsock, .guest_port = guest_port, .host_port = host_port};
            return c;
        }
    }
    return NULL;
}

static void free_all(struct vsock *vsock)
{
    for (unsigned i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        if (vsock->connections[i].state != VSOCK_FREE) {
            vsock_free(&vsock->connections[i]);
        }
    }
    vsock->stray_count = 0;
}

/* ------------------------------------------------------------------ from the guest */

static void add_stray(struct vsock *vsock, const struct head *head)
{
    if (head->op != OP_RST) {
        vsock->strays[vsock->stray_count++] = (struct stray){.cid = head->dst_cid,
                                                             .guest_port = head->src_port,
                                                             .host_port = head->dst_port,
                                                             .type = head->type};
    }
}

static void on_request(struct vsock *vsock, const struct head *head)
{
    struct vsock_connection *c = add(vsock, head->src_port, head->dst_port);

    if (!c) {
        add_stray(vsock, head);
        return;
    }
    c->peer_buffer = head->buf_alloc;
    c->peer_forwarded = head->fwd_cnt;
    c->stream = vsock->config.ops->connect(vsock->config.context, c, head->dst_port);
    if (!c->stream) {
        vsock_doom(c);
        return;
    }
    c->state = VSOCK_OPEN;
    c->readable = true;
    c->waiting = VSOCK_SEND_RESPONSE;
}

static void on_response(struct vsock_connection *c)
{
    if (c->state != VSOCK_ASKED) {
        vsock_doom(c);
        return;
    }
    c->state = VSOCK_OPEN;
    c->readable = true;
    c->vsock->config.ops->accepted(c->stream, c->host_port);
}

static void on_data(struct vsock_connection *c, const struct virtq_chain *chain, u32 size)
{
    struct vsock *vsock = c->vsock;

    if (c->state != VSOCK_OPEN || c->guest_ended & VSOCK_NO_SEND || size > vsock_room(c)) {
        vsock_doom(c);
        return;
    }
    for (u32 done = 0; done < size && c->state == VSOCK_OPEN;) {
        u32 piece = size - done < DATA_MAX ? size - done : DATA_MAX;
        virtq_read(chain, sizeof(struct head) + done, vsock->data, piece);
        if (vsock_receive(c, vsock->data, piece) < 0) {
            vsock_doom(c);
        }
        done += piece;
    }
}

/* A packet of a connection that there is. */
static void on_packet(struct vsock_connection *c, const struct head *head,
                      const struct virtq_chain *chain)
{
    c->peer_buffer = head->buf_alloc;
    c->peer_forwarded = head->fwd_cnt;
    switch (head->op) {
    case OP_RESPONSE:
        on_response(c);
        break;
    case OP_RST:
        vsock_free(c);
        break;
    case OP_SHUTDOWN:
        vsock_guest_ends(c, head->flags);
        break;
    case OP_RW:
        on_data(c, chain, head->len);
        break;
    case OP_CREDIT_UPDATE:
        break;
    case OP_CREDIT_REQUEST:
        c->waiting |= VSOCK_SEND_CREDIT;
        break;
    default: /* also a REQUEST: it is connected already */
        vsock_doom(c);
        break;
    }
}

static void take_packet(struct vsock *vsock, const struct head *head,
                        const struct virtq_chain *chain)
{
    struct vsock_connection *c;

    if (head->src_cid != vsock->cid) {
        return;
    }
    if (head->dst_cid != CID_HOST || head->type != TYPE_STREAM) {
        add_stray(vsock, head);
        return;
    }
    c = find(vsock, head->src_port, head->dst_port);
    if (c && vsock_is_alive(c)) {
        on_packet(c, head, chain);
    } else if (c) {
        if (head->op == OP_RST) {
            vsock_free(c); /* it knows */
        }
    } else if (head->op == OP_REQUEST) {
        on_request(vsock, head);
    } else {
        add_stray(vsock, head);
    }
}

/* Returns whether there may be more once strays have been sent. */
static bool take_packets(struct vsock *vsock)
{
    struct virtio_device *v = &vsock->virtio;
    struct virtq_chain *chain;
    struct head head;

    while (vsock->stray_count < STRAYS_MAX) {
        chain = virtio_take(v, TX);
        if (!chain) {
            return false;
        }
        if (virtq_read(chain, 0, &head, sizeof(head)) < sizeof(head) ||
            head.len > chain->out_bytes - sizeof(head)) {
            virtio_fail(v, TX, "a packet that is shorter than it says");
        } else {
            take_packet(vsock, &head, chain);
        }
        virtio_give(v, chain, 0);
    }
    return true;
}

/* ------------------------------------------------------------------ to the guest */

static void put_packet(struct vsock *vsock, struct virtq_chain *chain, const struct head *head)
{
    virtq_write(chain, 0, head, sizeof(*head));
    virtq_write(chain, sizeof(*head), vsock->data, head->len);
    virtio_give(&vsock->virtio, chain, sizeof(*head) + head->len);
}

static void put_stray(struct vsock *vsock, struct virtq_chain *chain)
{
    const struct stray *stray = &vsock->strays[--vsock->stray_count];
    const struct head head = {.src_cid = stray->cid,
                              .dst_cid = vsock->cid,
                              .src_port = stray->host_port,
                              .dst_port = stray->guest_port,
                              .type = stray->type,
                              .op = OP_RST};

    put_packet(vsock, chain, &head);
}

/* Every packet also tells our side's credit. */
static void put_own(struct vsock_connection *c, struct virtq_chain *chain, u16 op, u32 flags,
                    u32 len)
{
    const struct head head = {.src_cid = CID_HOST,
                              .dst_cid = c->vsock->cid,
                              .src_port = c->host_port,
                              .dst_port = c->guest_port,
                              .len = len,
                              .type = TYPE_STREAM,
                              .op = op,
                              .flags = flags,
                              .buf_alloc = VSOCK_BUFFER_BYTES,
                              .fwd_cnt = c->forwarded};

    c->told = c->forwarded;
    c->waiting &= (u8)~VSOCK_SEND_CREDIT;
    put_packet(c->vsock, chain, &head);
}

/* The first of what waits; false where nothing does. */
static bool put_waiting(struct vsock_connection *c, struct virtq_chain *chain)
{
    static const struct {
        u8 bit, op;
    } order[] = {
        {VSOCK_SEND_RST, OP_RST},
        {VSOCK_SEND_REQUEST, OP_REQUEST},
        {VSOCK_SEND_RESPONSE, OP_RESPONSE},
        {VSOCK_SEND_SHUTDOWN, OP_SHUTDOWN},
        {VSOCK_SEND_CREDIT, OP_CREDIT_UPDATE},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        if (c->waiting & order[i].bit) {
            c->waiting &= (u8)~order[i].bit;
            put_own(c, chain, order[i].op, order[i].op == OP_SHUTDOWN ? c->host_ended : 0, 0);
            if (c->state == VSOCK_DOOMED) {
                vsock_free(c);
            }
            return true;
        }
    }
    return false;
}

static bool wants_data(const struct vsock_connection *c)
{
    return c->state == VSOCK_OPEN && c->readable && c->stream && vsock_credit(c) > 0 &&
           !(c->guest_ended & VSOCK_NO_RECEIVE) && !(c->host_ended & VSOCK_NO_SEND);
}

/* What the host has for the guest, or that it ends; false where there is nothing now. */
static bool put_data(struct vsock_connection *c, struct virtq_chain *chain)
{
    u64 room = chain->in_bytes - sizeof(struct head);
    u32 credit = vsock_credit(c), size = credit < DATA_MAX ? credit : DATA_MAX;
    ssize_t got;

    size = room < size ? (u32)room : size;
    got = c->vsock->config.ops->read(c->stream, c->vsock->data, size);
    if (got == -EAGAIN) {
        c->readable = false;
        return false;
    }
    if (got <= 0) {
        vsock_host_ends(c, got == 0 ? VSOCK_NO_SEND : VSOCK_NEITHER);
        return put_waiting(c, chain);
    }
    c->sent += (u32)got;
    put_own(c, chain, OP_RW, 0, (u32)got);
    return true;
}

/* One packet; false where nobody has one. */
static bool put_one(struct vsock *vsock, struct virtq_chain *chain)
{
    if (vsock->stray_count) {
        put_stray(vsock, chain);
        return true;
    }
    for (unsigned i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        struct vsock_connection *c = &vsock->connections[vsock->turn];
        vsock->turn = (vsock->turn + 1) % VIRTIO_VSOCK_CONNECTIONS_MAX;
        if (c->state != VSOCK_FREE &&
            (put_waiting(c, chain) || (wants_data(c) && put_data(c, chain)))) {
            return true;
        }
    }
    return false;
}

static bool has_packet(const struct vsock *vsock)
{
    if (vsock->stray_count) {
        return true;
    }
    for (unsigned i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        const struct vsock_connection *c = &vsock->connections[i];
        if (c->state != VSOCK_FREE && (c->waiting || wants_data(c))) {
            return true;
        }
    }
    return false;
}

static void put_packets(struct vsock *vsock)
{
    struct virtio_device *v = &vsock->virtio;
    struct virtq_chain *chain;

    while (has_packet(vsock) && (chain = virtio_take(v, RX))) {
        if (chain->in_bytes <= sizeof(struct head)) {
            virtio_fail(v, RX, "a buffer without room for a packet");
            virtio_give(v, chain, 0);
        } else if (!put_one(vsock, chain)) {
            virtq_untake(chain);
        }
    }
}

/* ------------------------------------------------------------------ work */

static void tell_reset(struct vsock *vsock)
{
    const u32 event = EVENT_TRANSPORT_RESET;
    struct virtq_chain *chain = vsock->reset_told ? NULL : virtio_take(&vsock->virtio, EVENT);

    if (chain) {
        vsock->reset_told = true;
        virtio_give(&vsock->virtio, chain, virtq_write(chain, 0, &event, sizeof(event)));
        virtio_signal(&vsock->virtio, EVENT);
    }
}

/* Whatever there is to do, in both directions.  Not again from what it calls. */
static void work(struct vsock *vsock)
{
    bool more = true;

    if (vsock->working || !virtio_is_ready(&vsock->virtio)) {
        return;
    }
    vsock->working = true;
    tell_reset(vsock);
    while (more) {
        more = take_packets(vsock);
        put_packets(vsock);
        more = more && vsock->stray_count < STRAYS_MAX;
    }
    vsock->working = false;
    virtio_signal(&vsock->virtio, TX);
    virtio_signal(&vsock->virtio, RX);
}

static void notify(struct virtio_device *v, unsigned queue)
{
    (void)queue;
    work(container_of(v, struct vsock, virtio));
}

static void reset(struct virtio_device *v)
{
    struct vsock *vsock = container_of(v, struct vsock, virtio);

    free_all(vsock);
    vsock->reset_told = true;
}

struct vsock_connection *virtio_vsock_open(struct device *device, void *stream, u32 port)
{
    struct vsock *vsock = container_of(device, struct vsock, virtio.device);
    struct vsock_connection *c;

    if (!virtio_is_ready(&vsock->virtio)) {
        return NULL;
    }
    while (find(vsock, port, vsock->next_port)) {
        vsock->next_port = vsock->next_port == UINT32_MAX ? FIRST_PORT : vsock->next_port + 1;
    }
    c = add(vsock, port, vsock->next_port);
    if (!c) {
        return NULL;
    }
    vsock->next_port = vsock->next_port == UINT32_MAX ? FIRST_PORT : vsock->next_port + 1;
    c->state = VSOCK_ASKED;
    c->stream = stream;
    c->waiting = VSOCK_SEND_REQUEST;
    work(vsock);
    return c;
}

void virtio_vsock_readable(struct vsock_connection *c)
{
    c->readable = true;
    work(c->vsock);
}

void virtio_vsock_writable(struct vsock_connection *c)
{
    struct vsock *vsock = c->vsock;

    vsock_flush(c);
    work(vsock);
}

/* ------------------------------------------------------------------ life */

/* From a snapshot: no connection has come along, and the guest has to hear of it. */
static bool loaded(struct virtio_device *v)
{
    container_of(v, struct vsock, virtio)->reset_told = false;
    virtio_again(v, EVENT);
    return true;
}

static const struct virtio_ops ops = {.notify = notify, .reset = reset, .loaded = loaded};

static const struct virtio_type type = {
    .name = "virtio-vsock", .id = 19, .class_code = 0x078000, .ops = &ops, .fields = fields_none};

static void destroy(struct device *device)
{
    struct vsock *vsock = container_of(device, struct vsock, virtio.device);

    vsock->working = true; /* nothing more is sent */
    free_all(vsock);
    virtio_done(&vsock->virtio);
    free(vsock);
}

int virtio_vsock_create(struct pci_bus *bus, const struct virtio_vsock_config *config,
                        struct device **device)
{
    struct vsock *vsock = calloc(1, sizeof(*vsock));
    int error;

    if (!vsock) {
        return -ENOMEM;
    }
    vsock->config = *config;
    vsock->cid = config->cid;
    vsock->next_port = FIRST_PORT;
    vsock->reset_told = true;
    vsock->virtio.type = &type;
    vsock->virtio.features = BIT(F_STREAM);
    vsock->virtio.queues = QUEUES;
    vsock->virtio.queue_size = QUEUE_SIZE;
    vsock->virtio.config = &vsock->cid;
    vsock->virtio.config_bytes = sizeof(vsock->cid);
    error = virtio_init(&vsock->virtio, bus);
    if (error) {
        free(vsock);
        return error;
    }
    vsock->virtio.device.destroy = destroy;
    *device = &vsock->virtio.device;
    return 0;
}
