/*
 * fuzz_virtio.c - virtio devices whose driver is the input.
 *
 * A disk and a shared directory, whose requests end when the input says so, an entropy device, and
 * a network card, whose frames are answered now and then, on a PCI bus; or, by the input's first
 * byte, a console, whose back end takes as much as the input says, and a memory balloon instead of
 * directory and card.  The input is a string of operations: descriptors and indices with the layout
 * of a real queue, and now and then bytes and registers without any.  RAM is exactly as large as it
 * says, so the sanitizer sees every access outside of it.  What must hold besides: nothing is
 * written to RAM for a request that was given back, every request is given back, and a reset ends.
 */
#include <stdlib.h>
#include <string.h>

#include "dev/pci/host.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/console.h"
#include "dev/virtio/fs.h"
#include "dev/virtio/net.h"
#include "dev/virtio/ring.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/virtio.h"

#include "fuzz_board.h"
#include "fuzz_input.h"

enum {
    RAM = 0x22000,
    RING = 0x1000, /* each queue has three areas of a page */
    TABLE = 0x1c000,
    DATA = 0x1e000,
    SIZE = 16,
    FS = 2, /* among the devices */
    NET = 3,
    CONSOLE = 2, /* in the other set of them */
    BALLOON = 3,
    DEVICES = 4,
    OTHER_SET = 128, /* of the first byte */
    QUEUES_MAX = 4,
    WAITING_MAX = 4096,
    OPERATIONS_MAX = 4096,
    DISK_BYTES = 0x8000,
};

struct board {
    struct slot slot;
    struct bus_map bus;
    struct timer_queue timers;
    u64 now_ns;
    struct mem mem;
    struct interrupt_inbox inbox;
    struct interrupt_fabric fabric;
    struct device *host, *devices[DEVICES];
    struct block_request *waiting[WAITING_MAX];
    unsigned count;
    struct virtio_fs_request *messages[WAITING_MAX];
    unsigned message_count;
    bool sync;
    bool other;                    /* the other set of devices */
    size_t room;                   /* the console's back end takes so much */
    bool answers;                  /* each frame of the guest's is sent back at once */
    u16 next[DEVICES][QUEUES_MAX]; /* packed: the slot of the driver's next descriptor */
    bool wrap[DEVICES][QUEUES_MAX];
};

static void fill(void *context, void *bytes, size_t size)
{
    (void)context;
    memset(bytes, 0x5a, size);
}

/* ------------------------------------------------------------------ the back end */

static void end(struct block_request *r)
{
    if (r->op != BLOCK_FLUSH && (r->offset > DISK_BYTES || r->size > DISK_BYTES - r->offset)) {
        abort();
    }
    for (unsigned i = 0; i < r->count; i++) {
        memset(r->parts[i].iov_base, r->op == BLOCK_READ ? 1 : *(u8 *)r->parts[i].iov_base,
               r->parts[i].iov_len);
    }
    r->done(r, r->offset == 0 ? 0 : -5);
}

static void submit(void *context, struct block_request *r)
{
    struct board *b = context;

    if (b->sync || b->count == WAITING_MAX) {
        end(r);
    } else {
        b->waiting[b->count++] = r;
    }
}

static void end_one(struct board *b, unsigned index)
{
    struct block_request *r = b->waiting[index];

    b->waiting[index] = b->waiting[--b->count];
    end(r);
}

static void drain(void *context)
{
    struct board *b = context;

    while (b->count) {
        end_one(b, 0);
    }
}

static const struct block_ops ops = {.submit = submit, .drain = drain};

/* All of a message, and the longest answer that fits into a byte's number. */
static void answer(struct virtio_fs_request *r, unsigned size)
{
    static u8 message[VIRTIO_FS_MESSAGE_MAX];
    const u8 reply[16 + 255] = {0};

    virtio_fs_read(r, 0, message, virtio_fs_size(r));
    virtio_fs_answer(r, reply, 16 + size % 256);
}

static void submit_message(void *context, struct virtio_fs_request *r)
{
    struct board *b = context;

    if (b->sync || b->message_count == WAITING_MAX) {
        answer(r, 0);
    } else {
        b->messages[b->message_count++] = r;
    }
}

static void cancel_messages(void *context)
{
    struct board *b = context;

    while (b->message_count) {
        virtio_fs_fail(b->messages[--b->message_count], -5);
    }
}

static const struct virtio_fs_ops fs_ops = {.submit = submit_message, .cancel = cancel_messages};

static void receive(struct board *b, const u8 *frame, size_t size)
{
    virtio_net_receive(b->devices[NET], frame, size);
}

/* A frame that is whole: of each byte, and of nothing else, there is one. */
static void on_frame(void *context, const u8 *frame, size_t size)
{
    struct board *b = context;
    u8 *copy = malloc(size);

    if (!copy || size < NET_HEADER_BYTES || size > NET_FRAME_MAX) {
        abort();
    }
    memcpy(copy, frame, size);
    if (b->answers) {
        receive(b, copy, size);
    }
    free(copy);
}

static void on_ready(void *context)
{
    struct board *b = context;
    static const u8 frame[1514] = {1};

    if (b->answers) {
        receive(b, frame, sizeof(frame));
    }
}

static const struct net_ops net_ops = {.send = on_frame, .ready = on_ready};

/* ------------------------------------------------------------------ console and balloon */

static void transmit(void *context, const u8 *bytes, size_t count)
{
    struct board *b = context;
    unsigned sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += bytes[i];
    }
    if (count > b->room || sum > 255 * count) {
        abort();
    }
    b->room -= count;
}

static size_t room(void *context)
{
    return ((struct board *)context)->room;
}

static void ready(void *context)
{
    struct board *b = context;

    virtio_console_receive(b->devices[CONSOLE], (const u8 *)"typed", 5);
}

static const struct serial_port_ops console_ops = {
    .transmit = transmit, .ready = ready, .room = room};

static void discard(void *context, gpa_t gpa, u64 size)
{
    struct board *b = context;

    if (!size || (gpa | size) % PAGE_SIZE || gpa > RAM || size > RAM - gpa) {
        abort();
    }
    memset(b->mem.base + gpa, 0, size);
}

static void answered(void *context)
{
    struct board *b = context;
    u64 value;

    virtio_balloon_stat(b->devices[BALLOON], BALLOON_FREE, &value);
}

/* Something comes from outside. */
static void poke(struct board *b, unsigned index)
{
    static const u8 text[256];

    switch (index & 7) {
    case 0:
        virtio_console_receive(b->devices[CONSOLE], text, index);
        break;
    case 1:
        virtio_console_resize(b->devices[CONSOLE], (u16)index, 25);
        break;
    case 2:
        virtio_balloon_ask(b->devices[BALLOON]);
        break;
    case 3:
        virtio_balloon_set_target(b->devices[BALLOON], index);
        break;
    default:
        b->room += index;
        virtio_console_resume(b->devices[CONSOLE]);
        break;
    }
}

/* ------------------------------------------------------------------ the board */

static int make_last_two(struct board *b)
{
    struct virtio_fs_config fs = {.tag = "fuzz", .ops = &fs_ops, .context = b};
    struct virtio_net_config net = {.net = {.ops = &net_ops,
                                            .context = b,
                                            .mtu = NET_MTU_MAX,
                                            .takes_segments = true,
                                            .checks = true}};
    struct virtio_console_config console = {.ops = &console_ops, .context = b};
    struct virtio_balloon_config balloon = {.discard = discard, .answered = answered, .context = b};
    struct pci_bus *bus = pci_host_bus(b->host);

    if (b->other) {
        return virtio_console_create(bus, &console, &b->devices[CONSOLE]) ||
               virtio_balloon_create(bus, &balloon, &b->devices[BALLOON]);
    }
    return virtio_fs_create(bus, &fs, &b->devices[FS]) ||
           virtio_net_create(bus, &net, &b->devices[NET]);
}

static void make_board(struct board *b, bool other)
{
    struct pci_host_config host = {
        .fabric = &b->fabric, .mem = &b->mem, .read_cf9 = read_cf9, .write_cf9 = write_cf9};
    struct virtio_rng_config rng = {.fill = fill};
    struct virtio_blk_config blk = {.queues = 2, .serial = "fuzz"};

    memset(b, 0, sizeof(*b));
    b->other = other;
    b->room = 100;
    blk.block = (struct block){
        .ops = &ops, .context = b, .size = DISK_BYTES, .can_discard = true, .can_zero = true};
    b->timers = (struct timer_queue){.clock_ns = clock_ns, .clock = &b->now_ns};
    b->slot = (struct slot){.bus = &b->bus, .timers = &b->timers};
    b->mem = (struct mem){.base = calloc(1, RAM), .low_size = RAM};
    b->fabric = (struct interrupt_fabric){.inboxes = &b->inbox, .count = 1};
    b->inbox.mode = 1;
    if (!b->mem.base || pci_host_create(&b->slot, &host, &b->host) ||
        virtio_blk_create(pci_host_bus(b->host), &blk, &b->devices[0]) ||
        virtio_rng_create(pci_host_bus(b->host), &rng, &b->devices[1]) || make_last_two(b)) {
        abort();
    }
    pci_assign(pci_host_bus(b->host));
}

static void destroy_board(struct board *b)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        device_destroy(b->devices[i]);
    }
    device_destroy(b->host);
    if (b->count || b->message_count || b->bus.count || b->timers.first) {
        abort();
    }
    bus_map_destroy(&b->bus);
    free(b->mem.base);
}

/* ------------------------------------------------------------------ the driver */

static void set(struct board *b, unsigned device, unsigned offset, unsigned size, u64 value)
{
    struct virtio_device *v = container_of(b->devices[device], struct virtio_device, device);

    bus_map_write(&b->bus, BUS_MMIO, pci_bar_address(&v->pci, 0) + offset, value, size);
}

static u8 *area(struct board *b, unsigned device, unsigned queue, unsigned which)
{
    return b->mem.base + RING + (3 * ((2 * device + queue) % 9u) + which) * 0x1000u;
}

static unsigned queues_of(const struct board *b, unsigned device)
{
    return device != NET ? 2 : b->other ? 4 : 3;
}

/* As a driver that does everything right. */
static void start(struct board *b, unsigned device, u8 how)
{
    static const u32 own[2][DEVICES] = {
        {[0] = 1u << 9 | 1u << 11 | 1u << 13 | 1u << 14,
         [NET] = 1u << 0 | 1u << 1 | 1u << 3 | 7u << 11 | 1u << 15 | 7u << 16 | 1u << 23},
        {[CONSOLE] = 1u << 0 | 1u << 2, [BALLOON] = 0x37},
    };
    u32 high = 1 | (how & 1 ? 4 : 0) | 1 << 8, low = (how & 2 ? 1u << 29 : 0) | 1u << 28;

    set(b, device, 20, 1, 0);
    set(b, device, 20, 1, 3);
    set(b, device, 8, 4, 0);
    set(b, device, 12, 4, low | own[b->other][device]);
    set(b, device, 8, 4, 1);
    set(b, device, 12, 4, high);
    set(b, device, 20, 1, 11);
    for (unsigned queue = 0; queue < queues_of(b, device); queue++) {
        set(b, device, 22, 2, queue);
        set(b, device, 24, 2, SIZE);
        for (unsigned i = 0; i < 3; i++) {
            set(b, device, 32 + 8 * i, 4, (u64)(area(b, device, queue, i) - b->mem.base));
        }
        set(b, device, 28, 2, 1);
        b->next[device][queue] = 0;
        b->wrap[device][queue] = true;
        memset(area(b, device, queue, 0), 0, 3 * 0x1000);
    }
    set(b, device, 20, 1, 15);
}

/* A descriptor in a ring or in a table: mostly one that could be right. */
static void put_descriptor(struct input *in, u8 *at, bool wild)
{
    struct virtq_descriptor d = {.address = DATA + (take(in, 1) << 5), .length = (u32)take(in, 1)};

    d.split.flags = (u16)(take(in, 2) & 0x8087);
    d.split.next = (u16)take(in, 1);
    if (wild) {
        d.address = take(in, 8);
        d.length = (u32)take(in, 4);
        d.packed.flags = (u16)take(in, 2);
    }
    memcpy(at, &d, sizeof(d));
}

/* What a driver does that is right: a chain of up to four buffers, made available. */
static void add_chain(struct board *b, struct input *in, unsigned device, unsigned queue)
{
    struct virtio_device *v = container_of(b->devices[device], struct virtio_device, device);
    bool packed = v->queue[queue].packed;
    u16 *avail = (u16 *)(void *)area(b, device, queue, 1), *next = &b->next[device][queue];
    unsigned count = (take(in, 1) & 3) + 1, index = packed ? *next : 4u * avail[1] % SIZE;
    u16 head = (u16)index;

    for (unsigned i = 0; i < count; i++) {
        struct virtq_descriptor d = {.address = DATA + (take(in, 1) << 5)};
        u16 flags = i + 1 < count ? VIRTQ_NEXT : 0;
        d.length = (u32)take(in, 1) * 2;
        flags |= take(in, 1) & 1 ? VIRTQ_WRITE : 0;
        if (packed) {
            d.packed.id = head;
            d.packed.flags = flags | (b->wrap[device][queue] ? VIRTQ_AVAIL : VIRTQ_USED);
        } else {
            d.split.flags = flags;
            d.split.next = (u16)((index + 1) % SIZE);
        }
        memcpy(area(b, device, queue, 0) + 16 * index, &d, sizeof(d));
        index = (index + 1) % SIZE;
        b->wrap[device][queue] ^= packed && index == 0;
    }
    if (packed) {
        *next = (u16)index;
    } else {
        avail[2 + avail[1] % SIZE] = head;
        avail[1]++;
    }
}

/* The head of a disk's request, or of a message. */
static void put_head(struct board *b, struct input *in, unsigned device)
{
    u8 *at = b->mem.base + DATA + (take(in, 1) << 5);
    u32 type = (u32)take(in, 1) & (device == FS ? 255 : 15); /* a message's length */
    u64 sector = take(in, 1);

    memcpy(at, &type, 4);
    memcpy(at + 8, &sector, 8);
}

/* The header of a frame, and most of an IP packet with a TCP segment. */
static void put_frame(struct board *b, struct input *in)
{
    u8 *at = b->mem.base + DATA + (take(in, 1) << 5);
    u8 header[12] = {(u8)take(in, 1), (u8)take(in, 1)}, six = (u8)take(in, 1);

    header[4] = (u8)take(in, 1);
    header[6] = (u8)take(in, 1);
    header[8] = (u8)take(in, 1);
    memcpy(at, header, sizeof(header));
    memset(at + 12, 0, 80);
    at[24] = six & 1 ? 0x86 : 0x08;
    at[25] = six & 1 ? 0xdd : 0x00;
    at[26] = six & 1 ? 0x60 : 0x40 | (six >> 1 & 15);
    at[six & 1 ? 32 : 35] = 6;
    at[(six & 1 ? 66 : 46) + 12] = (u8)take(in, 1);
}

static void step(struct board *b, struct input *in)
{
    u8 op = (u8)take(in, 1);
    unsigned device = (op >> 4 & 1) + (op >> 5 & 2), queue = op >> 5 & 1;
    unsigned index = (unsigned)take(in, 1);
    struct virtio_device *v = container_of(b->devices[device], struct virtio_device, device);
    u16 value;

    if (device == NET && op & 128) {
        queue = b->other ? 2 + queue : 2;
    }
    switch (op & 15) {
    case 0:
        start(b, device, (u8)index);
        break;
    case 1:
    case 2:
        put_descriptor(in, area(b, device, queue, 0) + 16 * (index % SIZE), op & 128);
        break;
    case 3:
        put_descriptor(in, b->mem.base + TABLE + 16 * index, op & 128);
        break;
    case 4: /* an index, an entry, an event: 16 bits in the driver's area */
        value = (u16)take(in, 1);
        memcpy(area(b, device, queue, 1) + 2 * (index % (SIZE + 4)), &value, 2);
        break;
    case 6:
        add_chain(b, in, device, queue);
        set(b, device, 0x3000 + 4 * queue, 2, queue);
        break;
    case 5:
        set(b, device, 0x3000 + 4 * queue, 2, index);
        break;
    case 7:
        if (device == NET && !b->other) {
            put_frame(b, in);
        } else {
            put_head(b, in, device);
        }
        break;
    case 8:
        if (b->other && device >= 2) {
            poke(b, index);
        } else if (device == NET) {
            static const u8 frame[0x10000];
            receive(b, frame, index << 8 | 60);
            virtio_net_received(b->devices[NET]);
        } else if (b->count) {
            end_one(b, index % b->count);
        }
        if (b->message_count) {
            answer(b->messages[--b->message_count], index);
        }
        break;
    case 9:
        b->sync = index & 1;
        b->answers = index & 2;
        if (!b->other) {
            virtio_net_set_link(b->devices[NET], !(index & 4));
        }
        break;
    case 10:
        set(b, device, (unsigned)take(in, 2) & 0x3fff, 1u << (index & 3), take(in, 4));
        break;
    case 11:
        pci_config_write(pci_host_bus(b->host), v->pci.slot, index & 0xfcu, 4, (u32)take(in, 4));
        break;
    case 12:
        pci_config_read(pci_host_bus(b->host), v->pci.slot, index & 0xfcu, 4);
        bus_map_read(&b->bus, BUS_MMIO, pci_bar_address(&v->pci, 0) + (take(in, 2) & 0x3fff), 4);
        break;
    case 13:
        timer_queue_run(&b->timers);
        break;
    case 14:
        b->mem.base[take(in, 3) % RAM] = (u8)index;
        break;
    default:
        pci_assign(pci_host_bus(b->host));
        pci_config_write(pci_host_bus(b->host), v->pci.slot, PCI_COMMAND, 2, 7);
        break;
    }
}

/* With all I/O at its end, a reset is at its end, too. */
static void check_resets(struct board *b)
{
    drain(b);
    cancel_messages(b);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct virtio_device *v = container_of(b->devices[i], struct virtio_device, device);
        v->device.reset(&v->device);
        if (v->status || v->resetting) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct board b;

    make_board(&b, size && bytes[0] & OTHER_SET);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct virtio_device *v = container_of(b.devices[i], struct virtio_device, device);
        pci_config_write(pci_host_bus(b.host), v->pci.slot, PCI_COMMAND, 2, 7);
        start(&b, i, size ? bytes[0] : 0);
    }
    for (unsigned i = 0; in.size && i < OPERATIONS_MAX; i++) {
        step(&b, &in);
    }
    check_resets(&b);
    destroy_board(&b);
    return 0;
}
