/*
 * blk.c - a virtio disk.
 *
 *      out   type (32), reserved (32), sector (64), then what is to be written
 *      in    what is read, then a byte of status
 *
 * The head and the status are found by their place in the bytes, not in the buffers: a driver may
 * cut a request up as it likes.
 *
 * A driver that does not negotiate flushes, or turns the write cache off, has every write on the
 * medium before it is told of its end.
 *
 * VIRTIO 1.2, "Block Device".
 *
 * LIMIT: no zoned devices, no secure erase, no lifetime; one range for each discard.
 */
#include "dev/virtio/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "dev/virtio/virtio.h"

enum {
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
};

enum { /* types of requests */
       TYPE_IN = 0,
       TYPE_OUT = 1,
       TYPE_FLUSH = 4,
       TYPE_GET_ID = 8,
       TYPE_DISCARD = 11,
       TYPE_WRITE_ZEROES = 13,
};

enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

enum {
    QUEUE_SIZE = 256,
    SEGMENTS_MAX = QUEUE_SIZE - 2,
    RANGE_SECTORS_MAX = 1 << 22, /* of a discard: 2 GiB */
    RANGE_UNMAP = 1,             /* flag of a range */
};

struct head {
    u32 type, reserved;
    u64 sector;
};

struct range {
    u64 sector;
    u32 sectors, flags;
};

struct config {
    u64 capacity; /* in sectors */
    u32 size_max, seg_max;
    u16 cylinders;
    u8 heads, sectors;
    u32 blk_size;
    u8 physical_block_exp, alignment_offset;
    u16 min_io_size;
    u32 opt_io_size;
    u8 writeback, unused;
    u16 num_queues;
    u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
    u32 max_write_zeroes_sectors, max_write_zeroes_seg;
    u8 write_zeroes_may_unmap, unused2[3];
};

_Static_assert(sizeof(struct config) == 64 && offsetof(struct config, writeback) == 32 &&
                   offsetof(struct config, write_zeroes_may_unmap) == 56,
               "as the specification has it");

#define CONFIG_BYTES 60 /* without the compiler's padding */

struct blk {
    struct virtio_device virtio;
    struct block block;
    struct config config;
    char serial[VIRTIO_BLK_SERIAL_SIZE];
};

/* A request of the driver's on its way. */
struct request {
    struct block_request block;
    struct blk *blk;
    struct virtq_chain *chain;
    unsigned queue;
    struct iovec parts[]; /* the chain's, without head and status */
};

/* ------------------------------------------------------------------ answers */

/* The status is the last byte of "in", so all of that counts as written. */
static void answer(struct blk *blk, struct virtq_chain *chain, u8 status)
{
    virtq_write(chain, chain->in_bytes - 1, &status, 1);
    virtio_give(&blk->virtio, chain, chain->in_bytes);
}

static void on_done(struct block_request *block, int error)
{
    struct request *r = container_of(block, struct request, block);

    answer(r->blk, r->chain, error ? STATUS_IOERR : STATUS_OK);
    virtio_signal(&r->blk->virtio, r->queue);
    free(r);
}

/* ------------------------------------------------------------------ requests */

/* Copy parts without their first skip bytes, as many as there are up to size bytes in all. */
static unsigned slice(struct iovec *to, const struct iovec *from, unsigned count, u64 skip,
                      u64 size)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count && size; i++) {
        u64 length = from[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        length = length - skip < size ? length - skip : size;
        to[n++] = (struct iovec){.iov_base = (u8 *)from[i].iov_base + skip, .iov_len = length};
        size -= length;
        skip = 0;
    }
    return n;
}

/* False where that is not on the disk. */
static bool set_range(const struct blk *blk, struct block_request *block, u64 sector, u64 bytes)
{
    u64 sectors = blk->block.size / BLOCK_SECTOR;

    if (bytes % BLOCK_SECTOR || sector > sectors || bytes / BLOCK_SECTOR > sectors - sector) {
        return false;
    }
    block->offset = sector * BLOCK_SECTOR;
    block->size = bytes;
    return true;
}

static u8 prepare_transfer(const struct blk *blk, struct request *r, const struct head *head)
{
    const struct virtq_chain *chain = r->chain;
    bool writes = head->type == TYPE_OUT;
    u64 bytes = writes ? chain->out_bytes - sizeof(*head) : chain->in_bytes - 1;

    if ((writes && blk->block.read_only) || !set_range(blk, &r->block, head->sector, bytes)) {
        return STATUS_IOERR;
    }
    r->block.op = writes ? BLOCK_WRITE : BLOCK_READ;
    r->block.parts = r->parts;
    r->block.count = writes
                         ? slice(r->parts, virtq_out(chain), chain->out_count, sizeof(*head), bytes)
                         : slice(r->parts, virtq_in(chain), chain->in_count, 0, bytes);
    return STATUS_OK;
}

static u8 prepare_range(const struct blk *blk, struct request *r, const struct head *head)
{
    bool zero = head->type == TYPE_WRITE_ZEROES;
    struct range range;

    if (!virtio_has(&blk->virtio, zero ? F_WRITE_ZEROES : F_DISCARD)) {
        return STATUS_UNSUPP;
    }
    if (r->chain->out_bytes != sizeof(*head) + sizeof(range) ||
        virtq_read(r->chain, sizeof(*head), &range, sizeof(range)) != sizeof(range)) {
        return STATUS_IOERR;
    }
    if (range.flags & ~(zero ? RANGE_UNMAP : 0u)) {
        return STATUS_UNSUPP;
    }
    if (blk->block.read_only || range.sectors > RANGE_SECTORS_MAX ||
        !set_range(blk, &r->block, range.sector, (u64)range.sectors * BLOCK_SECTOR)) {
        return STATUS_IOERR;
    }
    r->block.op = zero ? BLOCK_ZERO : BLOCK_DISCARD;
    r->block.unmap = range.flags & RANGE_UNMAP;
    return STATUS_OK;
}

static u8 prepare(const struct blk *blk, struct request *r, const struct head *head)
{
    switch (head->type) {
    case TYPE_IN:
    case TYPE_OUT:
        return prepare_transfer(blk, r, head);
    case TYPE_FLUSH:
        r->block.op = BLOCK_FLUSH;
        return STATUS_OK;
    case TYPE_DISCARD:
    case TYPE_WRITE_ZEROES:
        return prepare_range(blk, r, head);
    default:
        return STATUS_UNSUPP;
    }
}

static void submit(struct blk *blk, unsigned queue, struct virtq_chain *chain,
                   const struct head *head)
{
    size_t parts = chain->out_count + chain->in_count;
    struct request *r = malloc(sizeof(*r) + parts * sizeof(r->parts[0]));
    u8 status;

    if (!r) {
        answer(blk, chain, STATUS_IOERR);
        return;
    }
    *r = (struct request){.blk = blk, .chain = chain, .queue = queue, .block.done = on_done};
    r->block.through = !blk->config.writeback;
    status = prepare(blk, r, head);
    if (status == STATUS_OK) {
        blk->block.ops->submit(blk->block.context, &r->block);
    } else {
        answer(blk, chain, status);
        free(r);
    }
}

static void serve(struct blk *blk, unsigned queue, struct virtq_chain *chain)
{
    struct head head;

    if (virtq_read(chain, 0, &head, sizeof(head)) < sizeof(head) || chain->in_bytes == 0) {
        virtio_fail(&blk->virtio, queue, "a request without a head or without a status");
        virtio_give(&blk->virtio, chain, 0);
        return;
    }
    if (head.type == TYPE_GET_ID) {
        u64 room = chain->in_bytes - 1;
        virtq_write(chain, 0, blk->serial, room < sizeof(blk->serial) ? room : sizeof(blk->serial));
        answer(blk, chain, STATUS_OK);
        return;
    }
    submit(blk, queue, chain, &head);
}

static void notify(struct virtio_device *v, unsigned queue)
{
    struct blk *blk = container_of(v, struct blk, virtio);
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, queue))) {
        serve(blk, queue, chain);
    }
    virtio_signal(v, queue);
}

/* ------------------------------------------------------------------ the write cache */

static void start(struct virtio_device *v)
{
    struct blk *blk = container_of(v, struct blk, virtio);

    /* With CONFIG_WCE it is as the driver has set it. */
    if (!virtio_has(v, F_CONFIG_WCE)) {
        blk->config.writeback = virtio_has(v, F_FLUSH);
    }
}

static void reset(struct virtio_device *v)
{
    container_of(v, struct blk, virtio)->config.writeback = 1;
}

static void config_write(struct virtio_device *v, unsigned offset, unsigned size, u32 value)
{
    struct blk *blk = container_of(v, struct blk, virtio);

    if (offset == offsetof(struct config, writeback) && size == 1 && virtio_has(v, F_CONFIG_WCE)) {
        blk->config.writeback = value & 1;
    }
}

/* ------------------------------------------------------------------ snapshots */

static const struct field fields[] = {
    FIELD_MAX(struct blk, config.writeback, 1),
    FIELD(struct blk, config.capacity),
    FIELD_ARRAY(struct blk, serial), /* the disk may have another name by now */
    FIELDS_END,
};

static const char *settle(struct virtio_device *v)
{
    const struct blk *blk = container_of(v, struct blk, virtio);

    blk->block.ops->drain(blk->block.context);
    return NULL;
}

static bool loaded(struct virtio_device *v)
{
    const struct blk *blk = container_of(v, struct blk, virtio);

    return blk->config.capacity == blk->block.size / BLOCK_SECTOR;
}

static const struct virtio_ops ops = {
    .notify = notify,
    .reset = reset,
    .start = start,
    .config_write = config_write,
    .settle = settle,
    .loaded = loaded,
};

static const struct virtio_type type = {
    .name = "virtio-blk", .id = 2, .class_code = 0x010000, .ops = &ops, .fields = fields};

/* ------------------------------------------------------------------ life */

static void destroy(struct device *device)
{
    struct blk *blk = container_of(device, struct blk, virtio.device);

    blk->block.ops->drain(blk->block.context);
    virtio_done(&blk->virtio);
    free(blk);
}

static void describe(struct blk *blk, const struct virtio_blk_config *config)
{
    const struct block *block = &blk->block;

    blk->config = (struct config){
        .capacity = block->size / BLOCK_SECTOR,
        .seg_max = SEGMENTS_MAX,
        .blk_size = BLOCK_SECTOR,
        .writeback = 1,
        .num_queues = (u16)config->queues,
        .max_discard_sectors = block->can_discard ? RANGE_SECTORS_MAX : 0,
        .max_discard_seg = block->can_discard,
        .discard_sector_alignment = block->can_discard ? 4096 / BLOCK_SECTOR : 0,
        .max_write_zeroes_sectors = block->can_zero ? RANGE_SECTORS_MAX : 0,
        .max_write_zeroes_seg = block->can_zero,
        .write_zeroes_may_unmap = block->can_zero,
    };
    blk->virtio.type = &type;
    blk->virtio.features = BIT(F_SEG_MAX) | BIT(F_BLK_SIZE) | BIT(F_FLUSH) | BIT(F_CONFIG_WCE) |
                           BIT(F_MQ) | (block->read_only ? BIT(F_RO) : 0) |
                           (block->can_discard ? BIT(F_DISCARD) : 0) |
                           (block->can_zero ? BIT(F_WRITE_ZEROES) : 0);
    blk->virtio.queues = config->queues;
    blk->virtio.queue_size = QUEUE_SIZE;
    blk->virtio.config = &blk->config;
    blk->virtio.config_bytes = CONFIG_BYTES;
    memcpy(blk->serial, config->serial, strnlen(config->serial, sizeof(blk->serial)));
}

int virtio_blk_create(struct pci_bus *bus, const struct virtio_blk_config *config,
                      struct device **device)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    int error;

    if (!blk) {
        return -ENOMEM;
    }
    blk->block = config->block;
    describe(blk, config);
    error = virtio_init(&blk->virtio, bus);
    if (error) {
        free(blk);
        return error;
    }
    blk->virtio.device.destroy = destroy;
    *device = &blk->virtio.device;
    return 0;
}
