/*
 * fuzz_vsock.c - a virtio socket device, whose guest and whose host are the input.
 *
 * The guest's driver works as it should (fuzz_virtio.c has those that do not), but its packets may
 * be any; the host's streams take, give, end and break as the input says.  What must hold: a stream
 * that is closed or broken is not used again, each is closed in the end, and a reset closes all.
 */
#include <stdlib.h>
#include <string.h>

#include "dev/pci/host.h"
#include "dev/virtio/ring.h"
#include "dev/virtio/virtio.h"
#include "dev/virtio/vsock.h"

#include "fuzz_board.h"
#include "fuzz_input.h"

enum {
    RAM = 0x40000,
    RING = 0x1000, /* each queue has three areas of a page */
    DATA = 0x20000,
    SIZE = 16,
    QUEUES = 3,
    RX = 0,
    TX = 1,
    STREAMS_MAX = 512,
    STEPS_MAX = 2048,
    HEAD_BYTES = 44,
};

struct board;

struct stream {
    struct board *board;
    struct vsock_connection *connection; /* NULL: closed */
    bool broken;
};

struct board {
    struct slot slot;
    struct bus_map bus;
    struct timer_queue timers;
    u64 now_ns;
    struct mem mem;
    struct interrupt_inbox inbox;
    struct interrupt_fabric fabric;
    struct device *host, *vsock;
    struct stream streams[STREAMS_MAX];
    unsigned count, flow; /* flow: what reads and writes give */
};

/* ------------------------------------------------------------------ the host */

static void expect_open(const struct stream *s)
{
    if (!s->connection) {
        abort();
    }
}

static void *connect_stream(void *context, struct vsock_connection *connection, u32 port)
{
    struct board *b = context;
    struct stream *s = &b->streams[b->count];

    if (port == 0 || b->count == STREAMS_MAX) {
        return NULL;
    }
    b->count++;
    *s = (struct stream){.board = b, .connection = connection};
    return s;
}

static void accept_stream(void *stream, u32 port)
{
    (void)port;
    expect_open(stream);
}

/* By `flow`: some bytes, none for now, the end, an error. */
static ssize_t transfer(struct stream *s, size_t size, bool writes)
{
    u32 most = s->board->flow * 64;

    expect_open(s);
    if (s->broken || size == 0) {
        abort();
    }
    switch (s->board->flow & 7) {
    case 0:
        s->broken = true;
        return -32;
    case 1:
        return writes ? -11 : 0;
    case 2:
    case 3:
        return -11;
    default:
        s->board->flow -= s->board->flow > 8 ? 8 : 2; /* not for ever */
        return (ssize_t)(size < most ? size : most);
    }
}

static ssize_t read_stream(void *stream, void *bytes, size_t size)
{
    ssize_t got = transfer(stream, size, false);

    memset(bytes, 0x33, got > 0 ? (size_t)got : 0);
    return got;
}

static ssize_t write_stream(void *stream, const void *bytes, size_t size)
{
    ssize_t put = transfer(stream, size, true);

    for (ssize_t i = 0; i < put; i++) {
        if (((const u8 *)bytes)[i] != 0x44) { /* all that guests send here */
            abort();
        }
    }
    return put;
}

static void end_stream(void *stream)
{
    expect_open(stream);
}

static void close_stream(void *stream)
{
    expect_open(stream);
    ((struct stream *)stream)->connection = NULL;
}

static const struct virtio_vsock_ops ops = {.connect = connect_stream,
                                            .accepted = accept_stream,
                                            .read = read_stream,
                                            .write = write_stream,
                                            .end_writing = end_stream,
                                            .close = close_stream};

/* The host opens a stream, or does something with one. */
static void use_stream(struct board *b, unsigned index, unsigned flow)
{
    struct stream *s;

    b->flow = flow;
    if (index == 0 && b->count < STREAMS_MAX) {
        s = &b->streams[b->count++];
        *s = (struct stream){.board = b};
        s->connection = virtio_vsock_open(b->vsock, s, flow % 3);
        return;
    }
    s = b->count ? &b->streams[index % b->count] : NULL;
    if (s && s->connection && index & 0x80) {
        virtio_vsock_writable(s->connection);
    } else if (s && s->connection) {
        virtio_vsock_readable(s->connection);
    }
}

/* ------------------------------------------------------------------ the guest */

static void set(struct board *b, unsigned offset, unsigned size, u64 value)
{
    struct virtio_device *v = container_of(b->vsock, struct virtio_device, device);

    bus_map_write(&b->bus, BUS_MMIO, pci_bar_address(&v->pci, 0) + offset, value, size);
}

static u64 area(unsigned queue, unsigned which)
{
    return RING + (3 * queue + which) * 0x1000u;
}

static void start(struct board *b)
{
    memset(b->mem.base, 0, DATA);
    set(b, 20, 1, 0);
    set(b, 20, 1, 3);
    set(b, 8, 4, 1);
    set(b, 12, 4, 1);
    set(b, 20, 1, 11);
    for (unsigned queue = 0; queue < QUEUES; queue++) {
        set(b, 22, 2, queue);
        set(b, 24, 2, SIZE);
        for (unsigned i = 0; i < 3; i++) {
            set(b, 32 + 8 * i, 4, area(queue, i));
        }
        set(b, 28, 2, 1);
    }
    set(b, 20, 1, 15);
}

static void add_buffer(struct board *b, unsigned queue, u64 gpa, u32 length, u16 flags)
{
    u8 *avail = b->mem.base + area(queue, 1);
    struct virtq_descriptor d = {.address = gpa, .length = length, .split.flags = flags};
    u16 index, slot;

    memcpy(&index, avail + 2, 2);
    slot = index++ % SIZE;
    memcpy(b->mem.base + area(queue, 0) + 16 * slot, &d, sizeof(d));
    memcpy(avail + 4 + 2 * slot, &slot, 2);
    memcpy(avail + 2, &index, 2);
    set(b, 0x3000 + 4 * queue, 2, queue);
}

/* A packet, mostly of one of few connections, with up to 16 KiB of data. */
static void send_packet(struct board *b, struct input *in, u8 shape)
{
    u32 fields[11] = {3, 0, 2, 0, take_byte(in) % 4, take_byte(in) % 4};
    u32 bytes = (u32)(take_byte(in) & 0x7f) << 7;

    fields[4] = fields[4] == 3 ? (u32)take_byte(in) << 24 : fields[4];
    fields[5] = fields[5] == 3 ? 0x40000000u + take_byte(in) : fields[5]; /* of the host's own */
    fields[6] = bytes + (shape & 1 ? take_byte(in) : 0);                  /* more than there is */
    fields[7] = 1 | (u32)(take_byte(in) % 9) << 16;                       /* type, operation */
    fields[8] = take_byte(in);                                            /* flags */
    fields[9] = (u32)take_byte(in) << 12;                                 /* credit */
    fields[10] = (u32)take_byte(in) << 8;
    if (shape & 2) {
        fields[take_byte(in) % 11] = (u32)take_byte(in) << (take_byte(in) & 31);
    }
    memcpy(b->mem.base + DATA, fields, sizeof(fields));
    memset(b->mem.base + DATA + HEAD_BYTES, 0x44, 0x4000);
    add_buffer(b, TX, DATA, HEAD_BYTES + bytes, 0);
}

static void step(struct board *b, struct input *in)
{
    u8 op = take_byte(in);

    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        send_packet(b, in, op & 0xc0 ? 0 : op >> 3);
        break;
    case 3:
        add_buffer(b, RX, DATA + 0x8000, op & 0x80 ? take_byte(in) : 4096, VIRTQ_WRITE);
        break;
    case 4:
    case 5:
        use_stream(b, take_byte(in), take_byte(in));
        break;
    case 6:
        timer_queue_run(&b->timers);
        break;
    default:
        if (op & 0x80) {
            b->vsock->loaded(b->vsock);
            add_buffer(b, 2, DATA + 0x8000, take_byte(in), VIRTQ_WRITE);
        } else {
            start(b);
        }
        break;
    }
}

/* ------------------------------------------------------------------ one run */

static void make_board(struct board *b)
{
    struct pci_host_config host = {
        .fabric = &b->fabric, .mem = &b->mem, .read_cf9 = read_cf9, .write_cf9 = write_cf9};
    struct virtio_vsock_config vsock = {.cid = 3, .ops = &ops, .context = b};

    memset(b, 0, sizeof(*b));
    b->timers = (struct timer_queue){.clock_ns = clock_ns, .clock = &b->now_ns};
    b->slot = (struct slot){.bus = &b->bus, .timers = &b->timers};
    b->mem = (struct mem){.base = calloc(1, RAM), .low_size = RAM};
    b->fabric = (struct interrupt_fabric){.inboxes = &b->inbox, .count = 1};
    b->inbox.mode = 1;
    if (!b->mem.base || pci_host_create(&b->slot, &host, &b->host) ||
        virtio_vsock_create(pci_host_bus(b->host), &vsock, &b->vsock)) {
        abort();
    }
    pci_assign(pci_host_bus(b->host));
    pci_config_write(pci_host_bus(b->host),
                     container_of(b->vsock, struct virtio_device, device)->pci.slot, PCI_COMMAND, 2,
                     7);
}

static void expect_all_closed(const struct board *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->streams[i].connection) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct board b;

    make_board(&b);
    start(&b);
    for (unsigned i = 0; in.size && i < STEPS_MAX; i++) {
        step(&b, &in);
    }
    if (size & 1) {
        b.vsock->reset(b.vsock);
        expect_all_closed(&b);
    }
    device_destroy(b.vsock);
    expect_all_closed(&b);
    device_destroy(b.host);
    bus_map_destroy(&b.bus);
    free(b.mem.base);
    return 0;
}
