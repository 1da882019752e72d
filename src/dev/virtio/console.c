/*
 * console.c - a virtio console of one port.
 *
 *      queue 0   buffers for what is typed          configuration   0 columns (16)   2 rows (16)
 *      queue 1   what the guest says                                4 ports (32)
 *                                                                   8 emergency write (32)
 *
 * What the back end has no room for stays in its queue: the chain is taken again, from the first
 * byte that has not gone, once there is room.  So a slow terminal holds up whoever writes to it,
 * and nothing is kept here.
 *
 * VIRTIO 1.2, "Console Device".
 *
 * LIMIT: one port (no VIRTIO_CONSOLE_F_MULTIPORT).
 */
#include "dev/virtio/console.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "dev/virtio/virtio.h"

enum { RECEIVE, TRANSMIT, QUEUES };

enum { F_SIZE = 0, F_EMERGENCY_WRITE = 2 };

enum {
    QUEUE_SIZE = 128,
    PIECE = 4096,      /* bytes for one call of the back end */
    TURN_BYTES = 65536 /* that go before others get their turn */
};

struct config {
    u16 columns, rows;
    u32 ports;
    u32 emergency_write;
};

_Static_assert(sizeof(struct config) == 12, "as the specification has it");

struct console {
    struct virtio_device virtio;
    struct virtio_console_config back;
    struct config config;
    u64 sent;       /* bytes of the next chain in TRANSMIT that have gone */
    bool starved;   /* a receive call took less than it was given */
    bool size_told; /* since the driver started */
};

static struct console *from_device(struct device *device)
{
    return container_of(device, struct console, virtio.device);
}

/* ------------------------------------------------------------------ what the guest says */

static u64 room(const struct console *c)
{
    return c->back.ops && c->back.ops->room ? c->back.ops->room(c->back.context) : UINT64_MAX;
}

static void say(const struct console *c, const u8 *bytes, size_t count)
{
    if (c->back.ops && c->back.ops->transmit) {
        c->back.ops->transmit(c->back.context, bytes, count);
    }
}

/* Send count bytes of a chain, from `sent` on. */
static void send(struct console *c, const struct virtq_chain *chain, u64 count)
{
    u8 piece[PIECE];

    while (count) {
        u64 size = virtq_read(chain, c->sent, piece, count < PIECE ? count : PIECE);
        say(c, piece, size);
        c->sent += size;
        count -= size;
    }
}

/* Linux (6.1, for one) learns the size from a change of the configuration only, and not before its
 * port is complete.  By the first bytes it is. */
static void tell_size(struct console *c)
{
    if (!c->size_told) {
        c->size_told = true;
        if (virtio_has(&c->virtio, F_SIZE) && c->config.columns) {
            virtio_config_changed(&c->virtio);
        }
    }
}

static void transmit(struct console *c)
{
    struct virtio_device *v = &c->virtio;
    struct virtq_chain *chain;
    u64 turn = TURN_BYTES;

    while ((chain = virtio_take(v, TRANSMIT))) {
        u64 left = chain->out_bytes > c->sent ? chain->out_bytes - c->sent : 0;
        u64 free = left ? room(c) : 0;
        u64 count = left < free ? left : free;

        count = count < turn ? count : turn;
        send(c, chain, count);
        turn -= count;
        if (count < left) {
            virtq_untake(chain);
            if (turn == 0) {
                virtio_again(v, TRANSMIT);
            }
            break;
        }
        c->sent = 0;
        virtio_give(v, chain, 0);
    }
    virtio_signal(v, TRANSMIT);
    if (turn < TURN_BYTES) {
        tell_size(c);
    }
}

void virtio_console_resume(struct device *device)
{
    transmit(from_device(device));
}

/* ------------------------------------------------------------------ what is typed */

size_t virtio_console_receive(struct device *device, const u8 *bytes, size_t count)
{
    struct console *c = from_device(device);
    struct virtio_device *v = &c->virtio;
    struct virtq_chain *chain;
    size_t done = 0;

    while (done < count && (chain = virtio_take(v, RECEIVE))) {
        u64 size = virtq_write(chain, 0, bytes + done, count - done);
        if (size == 0) {
            virtio_fail(v, RECEIVE, "a buffer for input that can hold none");
        }
        virtio_give(v, chain, size);
        done += size;
    }
    virtio_signal(v, RECEIVE);
    c->starved |= done < count;
    return done;
}

static void provide(struct console *c)
{
    if (c->starved) {
        c->starved = false;
        if (c->back.ops && c->back.ops->ready) {
            c->back.ops->ready(c->back.context);
        }
    }
}

static void notify(struct virtio_device *v, unsigned queue)
{
    struct console *c = container_of(v, struct console, virtio);

    if (queue == TRANSMIT) {
        transmit(c);
    } else {
        provide(c);
    }
}

/* ------------------------------------------------------------------ configuration */

void virtio_console_resize(struct device *device, u16 columns, u16 rows)
{
    struct console *c = from_device(device);

    if (c->config.columns != columns || c->config.rows != rows) {
        c->config.columns = columns;
        c->config.rows = rows;
        if (virtio_has(&c->virtio, F_SIZE)) {
            virtio_config_changed(&c->virtio);
        }
    }
}

/* A driver that has not set anything up may say something all the same. */
static void config_write(struct virtio_device *v, unsigned offset, unsigned size, u32 value)
{
    struct console *c = container_of(v, struct console, virtio);
    u8 byte = (u8)value;

    (void)size;
    if (offset == offsetof(struct config, emergency_write) && room(c)) {
        say(c, &byte, 1);
    }
}

static void reset(struct virtio_device *v)
{
    struct console *c = container_of(v, struct console, virtio);

    c->sent = 0;
    c->size_told = false;
}

static const struct virtio_ops ops = {
    .notify = notify, .reset = reset, .config_write = config_write};

/* Not `starved`: who is behind a restored console has offered nothing yet. */
static const struct field fields[] = {
    FIELD(struct console, config.columns),
    FIELD(struct console, config.rows),
    FIELD(struct console, sent),
    FIELD(struct console, size_told),
    FIELDS_END,
};

static const struct virtio_type type = {
    .name = "virtio-console", .id = 3, .class_code = 0x078000, .ops = &ops, .fields = fields};

/* ------------------------------------------------------------------ life */

static void destroy(struct device *device)
{
    struct console *c = from_device(device);

    virtio_done(&c->virtio);
    free(c);
}

int virtio_console_create(struct pci_bus *bus, const struct virtio_console_config *config,
                          struct device **device)
{
    struct console *c = calloc(1, sizeof(*c));
    int error;

    if (!c) {
        return -ENOMEM;
    }
    c->back = *config;
    c->config.ports = 1;
    c->virtio.type = &type;
    c->virtio.features = BIT(F_EMERGENCY_WRITE) | BIT(F_SIZE);
    c->virtio.queues = QUEUES;
    c->virtio.queue_size = QUEUE_SIZE;
    c->virtio.config = &c->config;
    c->virtio.config_bytes = sizeof(c->config);
    error = virtio_init(&c->virtio, bus);
    if (error) {
        free(c);
        return error;
    }
    c->virtio.device.destroy = destroy;
    c->virtio.device.block = c;
    c->virtio.device.block_bytes = sizeof(*c);
    *device = &c->virtio.device;
    return 0;
}
