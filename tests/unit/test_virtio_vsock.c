/*
 * test_virtio_vsock.c - a virtio socket device between a guest that sends what the test says, and
 * streams of the host that take and give as much as it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "dev/virtio/vsock.h"
#include "dev/virtio/vsock_connection.h"
#include "virtio_fixture.h"

enum {
    CID = 7,
    HOST = 2,
    STREAM = 1,
    EVENT = DRIVER_DATA + 0x10000,
    RX_BUFFER = DRIVER_DATA, /* SIZE of RX_BYTES */
    RX_BYTES = 4096,
    TX_AT = DRIVER_RAM,        /* the sending queue's areas lie so much higher, */
    EVENT_AT = 2 * DRIVER_RAM, /* and so much those of the queue of events */
    TX_PACKET = TX_AT + DRIVER_DATA,
    STREAMS = 300,
    REQUEST = 1,
    RESPONSE,
    RST,
    SHUTDOWN,
    RW,
    CREDIT_UPDATE,
    CREDIT_REQUEST,
};

struct packet {
    u64 src_cid, dst_cid;
    u32 src_port, dst_port, len;
    u16 type, op;
    u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

struct stream { /* of the host */
    struct vsock_connection *connection;
    u32 port;
    bool open, ended; /* ended: end_writing() */
    u32 accepted;     /* the port that was told */
    int error;        /* of reads and writes, if not 0 */
    bool at_end;      /* nothing more than `give` is to come */
    u32 give, given;  /* bytes for the guest: their values count up */
    u32 room, taken;  /* that it takes of the guest's: their values must count up */
};

struct world {
    struct fixture x;
    struct driver tx;
    struct device *vsock;
    struct stream streams[STREAMS];
    unsigned count;
    bool refuse;
    struct packet got; /* the last packet to the guest */
    u8 data[RX_BYTES];
};

/* ------------------------------------------------------------------ the host */

static void *on_connect(void *context, struct vsock_connection *connection, u32 port)
{
    struct world *w = context;
    struct stream *s = &w->streams[w->count];

    if (w->refuse) {
        return NULL;
    }
    assert_true(w->count++ < STREAMS);
    *s = (struct stream){.connection = connection, .port = port, .open = true, .room = UINT32_MAX};
    return s;
}

static void on_accepted(void *stream, u32 port)
{
    ((struct stream *)stream)->accepted = port;
}

static ssize_t on_read(void *stream, void *bytes, size_t size)
{
    struct stream *s = stream;
    u8 *at = bytes;

    assert_true(s->open && size > 0);
    if (s->error) {
        return s->error;
    }
    if (s->given == s->give) {
        return s->at_end ? 0 : -EAGAIN;
    }
    size = s->give - s->given < size ? s->give - s->given : size;
    for (size_t i = 0; i < size; i++) {
        at[i] = (u8)(s->given++ * 7);
    }
    return (ssize_t)size;
}

static ssize_t on_write(void *stream, const void *bytes, size_t size)
{
    struct stream *s = stream;
    const u8 *at = bytes;

    assert_true(s->open && !s->ended);
    if (s->error) {
        return s->error;
    }
    if (s->room == s->taken) {
        return -EAGAIN;
    }
    size = s->room - s->taken < size ? s->room - s->taken : size;
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(at[i], (u8)(s->taken++ * 3));
    }
    return (ssize_t)size;
}

static void on_end(void *stream)
{
    ((struct stream *)stream)->ended = true;
}

static void on_close(void *stream)
{
    struct stream *s = stream;

    assert_true(s->open);
    s->open = false;
}

static const struct virtio_vsock_ops ops = {.connect = on_connect,
                                            .accepted = on_accepted,
                                            .read = on_read,
                                            .write = on_write,
                                            .end_writing = on_end,
                                            .close = on_close};

/* ------------------------------------------------------------------ the guest */

static void set_queue_up(struct world *w, unsigned queue, u64 at)
{
    set(&w->x, w->x.common + 22, 2, queue);
    set(&w->x, w->x.common + 24, 2, SIZE);
    set(&w->x, w->x.common + 32, 8, at + DRIVER_RING);
    set(&w->x, w->x.common + 40, 8, at + DRIVER_AVAIL);
    set(&w->x, w->x.common + 48, 8, at + DRIVER_USED);
    set(&w->x, w->x.common + QUEUE_ENABLE, 2, 1);
}

static void start(struct world *w)
{
    fixture_forget(&w->x);
    w->tx = (struct driver){.size = SIZE,
                            .packed = w->x.d.packed,
                            .wrap = true,
                            .used_wrap = true,
                            .mem.base = w->x.d.mem.base + TX_AT};
    memset(driver_at(&w->tx, DRIVER_RING), 0, DRIVER_DATA - DRIVER_RING);
    start_driver(&w->x, 0);
    set_queue_up(w, 1, TX_AT);
}

/* A buffer for a packet; the driver's descriptors go round, so do its buffers. */
static void add_buffer(struct world *w)
{
    driver_add(
        &w->x.d,
        &(struct driver_part){RX_BUFFER + w->x.d.next * (u32)RX_BYTES, RX_BYTES, VIRTQ_WRITE}, 1);
    set(&w->x, w->x.notify, 2, 0);
}

static void init(struct world *w, bool packed)
{
    struct virtio_vsock_config config = {.cid = CID, .ops = &ops, .context = w};

    memset(w, 0, sizeof(*w));
    fixture_init(&w->x, packed);
    free(w->x.d.mem.base);
    w->x.d.mem.base = calloc(3, DRIVER_RAM);
    w->x.d.mem.low_size = 3 * DRIVER_RAM;
    assert_non_null(w->x.d.mem.base);
    assert_int_equal(virtio_vsock_create(pci_host_bus(w->x.host), &config, &w->vsock), 0);
    fixture_found(&w->x, w->vsock);
    start(w);
    for (unsigned i = 0; i < SIZE; i++) {
        add_buffer(w);
    }
}

static void done(struct world *w)
{
    device_destroy(w->vsock);
    for (unsigned i = 0; i < w->count; i++) {
        assert_false(w->streams[i].open);
    }
    fixture_done(&w->x);
}

/* The operation of the next packet to the guest, which is then in w->got; 0: there is none. */
static unsigned receive_only(struct world *w)
{
    u32 id, length;

    if (!driver_take(&w->x.d, &id, &length)) {
        return 0;
    }
    memcpy(&w->got, driver_at(&w->x.d, RX_BUFFER + id * (u32)RX_BYTES), sizeof(w->got));
    assert_int_equal(length, sizeof(w->got) + w->got.len);
    memcpy(w->data, driver_at(&w->x.d, RX_BUFFER + id * (u32)RX_BYTES) + sizeof(w->got),
           w->got.len);
    assert_int_equal(w->got.dst_cid, CID);
    return w->got.op;
}

static unsigned receive(struct world *w)
{
    unsigned op = receive_only(w);

    if (op) {
        add_buffer(w);
    }
    return op;
}

/* A packet as it is, which says that it has len bytes, and has so many. */
static void send_as(struct world *w, struct packet packet, u32 has)
{
    u32 id, length;

    memcpy(driver_at(&w->x.d, TX_PACKET), &packet, sizeof(packet));
    driver_add(&w->tx,
               (struct driver_part[]){{TX_PACKET, sizeof(packet), 0},
                                      {TX_PACKET + sizeof(packet), has, 0}},
               has ? 2 : 1);
    kick_queue(&w->x, 1);
    if (driver_take(&w->tx, &id, &length)) {
        assert_int_equal(length, 0);
    }
}

static struct packet packet_of(u32 guest_port, u32 host_port, u16 op)
{
    return (struct packet){.src_cid = CID,
                           .dst_cid = HOST,
                           .src_port = guest_port,
                           .dst_port = host_port,
                           .type = STREAM,
                           .op = op,
                           .buf_alloc = 10000};
}

static void send_op(struct world *w, u32 guest_port, u32 host_port, u16 op, u32 flags)
{
    struct packet packet = packet_of(guest_port, host_port, op);

    packet.flags = flags;
    send_as(w, packet, 0);
}

/* So many bytes, whose values count up from that of number `from`. */
static void send_data(struct world *w, u32 guest_port, u32 host_port, u32 from, u32 size)
{
    struct packet packet = packet_of(guest_port, host_port, RW);

    packet.len = size;
    for (u32 i = 0; i < size; i++) {
        *driver_at(&w->x.d, TX_PACKET + sizeof(packet) + i) = (u8)((from + i) * 3);
    }
    send_as(w, packet, size);
}

/* From the guest's port 1000 to the host's 80. */
static struct stream *connect_guest(struct world *w)
{
    struct stream *s = &w->streams[w->count];

    send_op(w, 1000, 80, REQUEST, 0);
    assert_int_equal(receive(w), RESPONSE);
    assert_int_equal(w->got.src_port, 80);
    assert_int_equal(w->got.dst_port, 1000);
    assert_int_equal(w->got.src_cid, HOST);
    assert_int_equal(w->got.type, STREAM);
    assert_int_equal(w->got.buf_alloc, VSOCK_BUFFER_BYTES);
    assert_true(s->open && s->port == 80);
    return s;
}

/* ------------------------------------------------------------------ connections */

static void guest_connects(void **state)
{
    struct world w;
    struct stream *s;

    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        init(&w, packed);
        assert_int_equal(get(&w.x, w.x.config, 4), CID);
        assert_int_equal(get(&w.x, w.x.config + 4, 4), 0);
        s = connect_guest(&w);
        send_data(&w, 1000, 80, 0, 5000);
        assert_int_equal(s->taken, 5000);
        s->give = 6000;
        virtio_vsock_readable(s->connection);
        assert_int_equal(receive(&w), RW);
        assert_int_equal(w.got.len, RX_BYTES - sizeof(w.got));
        assert_int_equal(w.got.fwd_cnt, 5000);
        assert_int_equal(w.data[100], (u8)(100 * 7));
        assert_int_equal(receive(&w), RW);
        assert_int_equal(w.got.len, 6000 - (RX_BYTES - sizeof(w.got)));
        assert_int_equal(receive(&w), 0);
        send_op(&w, 1000, 80, RST, 0);
        assert_false(s->open);
        assert_int_equal(receive(&w), 0);
        done(&w);
    }
}

static void host_refuses(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    w.refuse = true;
    send_op(&w, 1000, 80, REQUEST, 0);
    assert_int_equal(receive(&w), RST);
    assert_int_equal(w.got.src_port, 80);
    w.refuse = false;
    connect_guest(&w); /* the ports are free again */
    done(&w);
}

static void host_connects(void **state)
{
    struct stream mine = {.open = true, .room = UINT32_MAX}, other = {.open = true};
    struct world w;
    u32 port;

    (void)state;
    init(&w, false);
    mine.connection = virtio_vsock_open(w.vsock, &mine, 22);
    assert_non_null(mine.connection);
    assert_int_equal(receive(&w), REQUEST);
    assert_int_equal(w.got.dst_port, 22);
    port = w.got.src_port;
    assert_int_equal(mine.accepted, 0);
    send_op(&w, 22, port, RESPONSE, 0);
    assert_int_equal(mine.accepted, port);
    send_data(&w, 22, port, 0, 10);
    assert_int_equal(mine.taken, 10);

    other.connection = virtio_vsock_open(w.vsock, &other, 22); /* a second one, from another port */
    assert_int_equal(receive(&w), REQUEST);
    assert_int_not_equal(w.got.src_port, port);
    send_op(&w, 22, w.got.src_port, RST, 0);
    assert_false(other.open);
    assert_int_equal(other.accepted, 0);
    assert_true(mine.open);
    send_op(&w, 22, port, RESPONSE, 0); /* once more */
    assert_false(mine.open);
    assert_int_equal(receive(&w), RST);

    set(&w.x, w.x.common + STATUS, 1, 0);
    assert_null(virtio_vsock_open(w.vsock, &other, 22)); /* nobody is there */
    done(&w);
}

/* ------------------------------------------------------------------ credit */

static void the_guests_credit_is_kept(void **state)
{
    struct packet update = packet_of(1000, 80, CREDIT_UPDATE);
    struct world w;
    struct stream *s;
    u32 got = 0;

    (void)state;
    init(&w, false);
    s = connect_guest(&w);
    s->give = 100000;
    virtio_vsock_readable(s->connection);
    while (receive(&w) == RW) {
        got += w.got.len;
    }
    assert_int_equal(got, 10000);
    update.fwd_cnt = 20000; /* more than it got: it has none until that is true */
    send_as(&w, update, 0);
    assert_int_equal(receive(&w), 0);
    update.fwd_cnt = 9000;
    send_as(&w, update, 0);
    while (receive(&w) == RW) {
        got += w.got.len;
    }
    assert_int_equal(got, 19000);
    update.buf_alloc = 0;
    update.fwd_cnt = 19000;
    send_as(&w, update, 0);
    assert_int_equal(receive(&w), 0);
    update.buf_alloc = UINT32_MAX;
    send_as(&w, update, 0);
    while (receive(&w) == RW) {
        got += w.got.len;
    }
    assert_int_equal(got, 100000);
    done(&w);
}

/* A host that takes nothing: so much is kept, and not a byte more. */
static void our_credit_is_kept(void **state)
{
    struct world w;
    struct stream *s;
    u32 sent = 0, told = 0;

    (void)state;
    init(&w, false);
    s = connect_guest(&w);
    s->room = 100;
    while (sent < VSOCK_BUFFER_BYTES + 100) {
        u32 size =
            VSOCK_BUFFER_BYTES + 100 - sent < 30000 ? VSOCK_BUFFER_BYTES + 100 - sent : 30000;
        send_data(&w, 1000, 80, sent, size);
        sent += size;
        assert_true(s->open);
    }
    assert_int_equal(s->taken, 100);
    while (receive(&w)) {
        assert_int_equal(w.got.op, CREDIT_UPDATE);
        told = w.got.fwd_cnt;
    }
    assert_int_equal(told, 100);

    s->room = 70000; /* it goes on, in order, and the guest hears of it */
    virtio_vsock_writable(s->connection);
    assert_int_equal(s->taken, 70000);
    while (receive(&w)) {
        told = w.got.fwd_cnt;
    }
    assert_int_equal(told, 70000);
    send_data(&w, 1000, 80, sent, 60000);
    sent += 60000;
    s->room = UINT32_MAX;
    virtio_vsock_writable(s->connection);
    assert_int_equal(s->taken, sent);

    s->room = s->taken;
    for (unsigned i = 0; i < 4; i++) {
        send_data(&w, 1000, 80, sent, 32768);
        sent += 32768;
    }
    assert_true(s->open);
    send_data(&w, 1000, 80, sent, 1);
    assert_false(s->open);
    while (receive(&w) == CREDIT_UPDATE) {}
    assert_int_equal(w.got.op, RST);
    done(&w);
}

static void credit_is_told_when_asked(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    connect_guest(&w);
    send_data(&w, 1000, 80, 0, 10);
    assert_int_equal(receive(&w), 0);
    send_op(&w, 1000, 80, CREDIT_REQUEST, 0);
    assert_int_equal(receive(&w), CREDIT_UPDATE);
    assert_int_equal(w.got.fwd_cnt, 10);
    done(&w);
}

/* ------------------------------------------------------------------ ends */

static void guest_shuts_down(void **state)
{
    struct world w;
    struct stream *s;

    (void)state;
    init(&w, false);
    s = connect_guest(&w);
    s->room = 5;
    send_data(&w, 1000, 80, 0, 10);
    send_op(&w, 1000, 80, SHUTDOWN, 2);
    assert_false(s->ended); /* not before the host has all */
    s->room = 10;
    virtio_vsock_writable(s->connection);
    assert_true(s->ended && s->taken == 10);
    s->give = 10; /* the other direction goes on */
    virtio_vsock_readable(s->connection);
    assert_int_equal(receive(&w), RW);
    send_op(&w, 1000, 80, SHUTDOWN, 1);
    assert_int_equal(receive(&w), RST);
    assert_false(s->open);

    s = connect_guest(&w);
    send_op(&w, 1000, 80, SHUTDOWN, 1);
    s->give = 10; /* nobody wants it */
    virtio_vsock_readable(s->connection);
    assert_int_equal(receive(&w), 0);
    send_op(&w, 1000, 80, SHUTDOWN, 2);
    assert_int_equal(receive(&w), RST);

    s = connect_guest(&w); /* it may not send after it has said so */
    send_op(&w, 1000, 80, SHUTDOWN, 2);
    send_data(&w, 1000, 80, 0, 1);
    assert_int_equal(receive(&w), RST);
    assert_false(s->open);
    done(&w);
}

static void host_shuts_down(void **state)
{
    struct world w;
    struct stream *s;

    (void)state;
    init(&w, false);
    s = connect_guest(&w);
    s->give = 10;
    s->at_end = true;
    virtio_vsock_readable(s->connection);
    assert_int_equal(receive(&w), RW);
    assert_int_equal(receive(&w), SHUTDOWN);
    assert_int_equal(w.got.flags, 2);
    send_data(&w, 1000, 80, 0, 10); /* the other direction goes on */
    assert_int_equal(s->taken, 10);
    s->error = -EPIPE;
    send_data(&w, 1000, 80, 10, 10);
    assert_false(s->open);
    assert_int_equal(receive(&w), SHUTDOWN);
    assert_int_equal(w.got.flags, 3);
    send_data(&w, 1000, 80, 20, 10); /* on its way already: dropped */
    assert_int_equal(receive(&w), 0);
    send_op(&w, 1000, 80, RST, 0);
    assert_int_equal(receive(&w), 0);

    s = connect_guest(&w); /* it breaks while bytes wait for it */
    s->room = 0;
    send_data(&w, 1000, 80, 0, 100);
    s->error = -ECONNRESET;
    virtio_vsock_writable(s->connection);
    assert_false(s->open);
    assert_int_equal(receive(&w), SHUTDOWN);
    done(&w);
}

/* ------------------------------------------------------------------ hostile guests */

static void strangers_are_reset(void **state)
{
    static const u16 operations[] = {0, RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST,
                                     8, 0xffff};
    struct packet packet;
    struct world w;

    (void)state;
    init(&w, false);
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        send_op(&w, 1000 + i, 80, operations[i], 3);
        assert_int_equal(receive(&w), RST);
        assert_int_equal(w.got.dst_port, 1000 + i);
        assert_int_equal(receive(&w), 0);
    }
    send_op(&w, 1000, 80, RST, 0); /* never a RST for a RST */
    packet = packet_of(1000, 80, REQUEST);
    packet.src_cid = 8; /* of somebody else */
    send_as(&w, packet, 0);
    packet.src_cid = 1ull << 32 | CID;
    send_as(&w, packet, 0);
    assert_int_equal(receive(&w), 0);

    packet = packet_of(1000, 80, REQUEST);
    packet.dst_cid = 8;
    send_as(&w, packet, 0);
    assert_int_equal(receive(&w), RST);
    assert_int_equal(w.got.src_cid, 8);
    packet = packet_of(1000, 80, REQUEST);
    packet.type = 2;
    send_as(&w, packet, 0);
    assert_int_equal(receive(&w), RST);
    assert_int_equal(w.got.type, 2);
    assert_int_equal(w.count, 0);
    done(&w);
}

static void wrong_operations_end_a_connection(void **state)
{
    static const u16 operations[] = {REQUEST, RESPONSE, 0, 8, 0x8005};
    struct world w;

    (void)state;
    init(&w, false);
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        struct stream *s = connect_guest(&w);
        send_op(&w, 1000, 80, operations[i], 0);
        assert_false(s->open);
        assert_int_equal(receive(&w), RST);
        assert_int_equal(receive(&w), 0);
    }
    done(&w);
}

static void broken_packets_need_a_reset(void **state)
{
    struct packet packet = packet_of(1000, 80, RW);
    struct world w;
    struct stream *s;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        init(&w, i & 1);
        s = connect_guest(&w);
        packet.len = i == 0 ? 11 : UINT32_MAX;
        if (i < 2) {
            send_as(&w, packet, 10);
        } else { /* a head in pieces, and not whole */
            driver_add(&w.tx, &(struct driver_part){TX_PACKET, 43, 0}, 1);
            kick_queue(&w.x, 1);
        }
        assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
        assert_int_equal(w.x.lines, 1);
        virtio_vsock_readable(s->connection); /* nothing happens now */
        start(&w);
        assert_false(s->open); /* the reset has ended it */
        add_buffer(&w);
        connect_guest(&w);
        done(&w);
    }
}

static void small_buffers_need_a_reset(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    start(&w); /* no buffers */
    send_op(&w, 1000, 80, REQUEST, 0);
    driver_add(&w.x.d, &(struct driver_part){RX_BUFFER, 44, VIRTQ_WRITE}, 1);
    set(&w.x, w.x.notify, 2, 0);
    assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
    done(&w);
}

/* ------------------------------------------------------------------ bounds */

static void connections_are_bounded(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    for (u32 i = 0; i < VIRTIO_VSOCK_CONNECTIONS_MAX; i++) {
        send_op(&w, i, 80, REQUEST, 0);
        assert_int_equal(receive(&w), RESPONSE);
        assert_int_equal(w.got.dst_port, i);
    }
    send_op(&w, 5000, 80, REQUEST, 0);
    assert_int_equal(receive(&w), RST);
    assert_null(virtio_vsock_open(w.vsock, &w, 22));
    send_op(&w, 77, 80, RST, 0);
    send_op(&w, 5000, 80, REQUEST, 0);
    assert_int_equal(receive(&w), RESPONSE);
    /* Each gets its turn. */
    for (u32 i = 0; i < 8; i++) {
        w.streams[i].give = 100000;
        virtio_vsock_readable(w.streams[i].connection);
    }
    u32 seen = 0;
    for (u32 i = 0; i < 16 && receive(&w) == RW; i++) {
        seen |= 1u << w.got.dst_port;
    }
    assert_int_equal(seen, 0xff);
    done(&w);
}

/* A guest that sends and never takes: its packets wait, and it is the one who waits. */
static void answers_are_bounded(void **state)
{
    struct world w;
    unsigned answered = 0, sent;
    u32 id, length;

    (void)state;
    init(&w, false);
    start(&w);
    for (sent = 0; sent < 500; sent++) {
        struct packet packet = packet_of(sent, 80, RW);
        memcpy(driver_at(&w.x.d, TX_PACKET), &packet, sizeof(packet));
        driver_add(&w.tx, &(struct driver_part){TX_PACKET, sizeof(packet), 0}, 1);
        kick_queue(&w.x, 1);
        if (!driver_take(&w.tx, &id, &length)) {
            break;
        }
    }
    assert_int_equal(sent, 64);
    for (unsigned i = 0; i < 200; i++) {
        add_buffer(&w);
        answered += receive_only(&w) == RST;
    }
    assert_int_equal(answered, 65);
    assert_true(driver_take(&w.tx, &id, &length));
    done(&w);
}

/* ------------------------------------------------------------------ snapshots */

static void a_restored_guest_hears_of_it(void **state)
{
    struct driver events = {.size = SIZE, .wrap = true, .used_wrap = true};
    u32 id, length, event;
    struct world w;

    (void)state;
    init(&w, false);
    set_queue_up(&w, 2, EVENT_AT);
    events.mem.base = w.x.d.mem.base + EVENT_AT;
    memset(driver_at(&w.x.d, EVENT), 0xee, 8);
    driver_add(&events, &(struct driver_part){EVENT, 8, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, 2);
    connect_guest(&w);
    assert_false(driver_take(&events, &id, &length)); /* nothing has happened yet */
    assert_true(device_has_state(w.vsock));
    assert_true(w.vsock->loaded(w.vsock));
    timer_queue_run(&w.x.f.timers);
    assert_true(driver_take(&events, &id, &length));
    assert_int_equal(length, 4);
    memcpy(&event, driver_at(&w.x.d, EVENT), 4);
    assert_int_equal(event, 0);
    driver_add(&events, &(struct driver_part){EVENT, 8, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, 2);
    assert_false(driver_take(&events, &id, &length)); /* once */
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guest_connects),
        cmocka_unit_test(host_refuses),
        cmocka_unit_test(host_connects),
        cmocka_unit_test(the_guests_credit_is_kept),
        cmocka_unit_test(our_credit_is_kept),
        cmocka_unit_test(credit_is_told_when_asked),
        cmocka_unit_test(guest_shuts_down),
        cmocka_unit_test(host_shuts_down),
        cmocka_unit_test(strangers_are_reset),
        cmocka_unit_test(wrong_operations_end_a_connection),
        cmocka_unit_test(broken_packets_need_a_reset),
        cmocka_unit_test(small_buffers_need_a_reset),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(a_restored_guest_hears_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
