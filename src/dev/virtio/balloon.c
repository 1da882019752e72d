/*
 * balloon.c - a virtio memory balloon.
 *
 *      queue 0   inflate: numbers of pages (32 bits each) that the guest gives away
 *      queue 1   deflate: numbers of pages that it takes back
 *      then      statistics: pairs of a tag (16) and a value (64)
 *      then      reports: buffers that are free memory, until they are given back
 *
 *      configuration   0 pages wanted (32)   4 pages in the balloon (32)   8 -   12 poison (32)
 *
 * A page that is given away reads as zero from then on, and takes nothing of the host: to take it
 * back is to touch it.  So deflating has nothing to do.  A guest that fills free pages with a
 * pattern (poison) and expects it there keeps those that it reports.
 *
 * The last two queues are only counted if they have been negotiated: so Linux and QEMU have it,
 * against the specification's fixed numbers.
 *
 * A chain that has more to do than one turn may take is put back, and taken again: nothing is held.
 * The same goes for the statistics' buffer, which is the device's until it wants news.
 *
 * VIRTIO 1.2, "Traditional Memory Balloon Device".
 *
 * LIMIT: no free page hints (VIRTIO_BALLOON_F_FREE_PAGE_HINT), which are for migration.
 */
#include "dev/virtio/balloon.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "dev/virtio/virtio.h"

enum {
    F_MUST_TELL_HOST = 0,
    F_STATS = 1,
    F_DEFLATE_ON_OOM = 2,
    F_PAGE_POISON = 4,
    F_REPORTING = 5,
};

enum role { INFLATE, DEFLATE, STATS, REPORTING, ROLES };

enum {
    QUEUE_SIZE = 128,
    NUMBERS = 256, /* of pages, that are read at once */
    STATS_MAX = 64,
    /* What is done before others get their turn, in the time that a page of a large range takes;
     * one page for itself takes many times that. */
    TURN_WORK = 16384,
    NUMBER_WORK = 16,
};

struct config {
    u32 target, actual, hint, poison;
};

_Static_assert(sizeof(struct config) == 16, "as the specification has it");

struct stat {
    u16 tag;
    u64 value;
} __attribute__((packed));

struct balloon {
    struct virtio_device virtio;
    struct virtio_balloon_config back;
    struct config config;
    const struct mem *mem;
    u64 done[ROLES]; /* bytes of the next chain of a queue that have been seen to */
    u64 stats[BALLOON_STATS];
    u8 stats_known; /* a bit for each */
    bool asked;     /* for statistics, and they have not come */
};

_Static_assert(BALLOON_STATS == 8, "a bit for each in stats_known");

static struct balloon *from_device(struct device *device)
{
    return container_of(device, struct balloon, virtio.device);
}

static enum role role_of(const struct balloon *b, unsigned queue)
{
    bool stats = virtio_has(&b->virtio, F_STATS);

    if (queue <= DEFLATE) {
        return (enum role)queue;
    }
    if (stats && queue == STATS) {
        return STATS;
    }
    return virtio_has(&b->virtio, F_REPORTING) && queue == DEFLATE + 1u + stats ? REPORTING : ROLES;
}

/* ------------------------------------------------------------------ memory that is not needed */

/* The whole pages of [gpa, gpa + size), which is RAM. */
static void discard(const struct balloon *b, gpa_t gpa, u64 size)
{
    gpa_t start = bits_align_up(gpa, PAGE_SIZE), end = (gpa + size) & PAGE_MASK;

    if (start < end) {
        b->back.discard(b->back.context, start, end - start);
        mem_changed(b->mem, start, end - start);
    }
}

struct run { /* of pages, one beside the other */
    u64 first, count;
};

static void end_run(const struct balloon *b, struct run *run)
{
    if (run->count) {
        discard(b, run->first << PAGE_SHIFT, run->count << PAGE_SHIFT);
    }
    run->count = 0;
}

/* Linux gives pages away one by one, mostly downwards. */
static void add_to_run(const struct balloon *b, struct run *run, u64 page)
{
    if (run->count && page == run->first + run->count) {
        run->count++;
    } else if (run->count && page + 1 == run->first) {
        run->first--;
        run->count++;
    } else {
        end_run(b, run);
        *run = (struct run){page, 1};
    }
}

/* As much of the chain as `work` is for.  False: there is more of it, or the guest has failed. */
static bool inflate(struct balloon *b, const struct virtq_chain *chain, u64 *work)
{
    u64 *done = &b->done[INFLATE];
    struct run run = {0, 0};
    u32 numbers[NUMBERS];

    while (*work >= NUMBER_WORK && *done + sizeof(u32) <= chain->out_bytes) {
        u64 count = *work / NUMBER_WORK < NUMBERS ? *work / NUMBER_WORK : NUMBERS;
        count = virtq_read(chain, *done, numbers, count * sizeof(u32)) / sizeof(u32);
        for (u64 i = 0; i < count; i++) {
            if (!mem_range(b->mem, (gpa_t)numbers[i] << PAGE_SHIFT, PAGE_SIZE)) {
                virtio_fail(&b->virtio, INFLATE, "a page that is not in memory");
                end_run(b, &run);
                return false;
            }
            add_to_run(b, &run, numbers[i]);
        }
        *done += count * sizeof(u32);
        *work -= count * NUMBER_WORK;
    }
    end_run(b, &run);
    return *done + sizeof(u32) > chain->out_bytes;
}

static bool keeps_poison(const struct balloon *b)
{
    return virtio_has(&b->virtio, F_PAGE_POISON) && b->config.poison;
}

/* The same for a report: its buffers are the memory. */
static bool report(struct balloon *b, const struct virtq_chain *chain, u64 *work)
{
    u64 *done = &b->done[REPORTING], at = 0;

    for (unsigned i = 0; i < chain->in_count && !keeps_poison(b); i++) {
        const struct iovec *part = &virtq_in(chain)[i];
        u64 skip = *done > at ? *done - at : 0, left, size;
        at += part->iov_len;
        if (skip >= part->iov_len) {
            continue;
        }
        left = part->iov_len - skip;
        size = left < *work << PAGE_SHIFT ? left : *work << PAGE_SHIFT;
        discard(b, mem_gpa(b->mem, part->iov_base) + skip, size);
        *done += size;
        *work -= size >> PAGE_SHIFT < *work ? size >> PAGE_SHIFT : *work;
        if (size < left) {
            return false;
        }
        *work -= *work > 0; /* a small part is work, too */
    }
    return true;
}

/* Serve a queue whose chains are worked off piece by piece. */
static void work_off(struct balloon *b, unsigned queue, enum role role)
{
    struct virtio_device *v = &b->virtio;
    struct virtq_chain *chain;
    u64 work = TURN_WORK;

    while ((chain = virtio_take(v, queue))) {
        if (!(role == INFLATE ? inflate(b, chain, &work) : report(b, chain, &work))) {
            virtq_untake(chain);
            virtio_again(v, queue);
            break;
        }
        b->done[role] = 0;
        virtio_give(v, chain, 0);
    }
    virtio_signal(v, queue);
}

static void deflate(struct virtio_device *v)
{
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, DEFLATE))) {
        virtio_give(v, chain, 0);
    }
    virtio_signal(v, DEFLATE);
}

/* ------------------------------------------------------------------ statistics */

static void read_stats(struct balloon *b)
{
    struct virtq_chain *chain = virtio_take(&b->virtio, STATS);
    struct stat stats[STATS_MAX];
    u64 count;

    if (!chain) {
        return;
    }
    count = virtq_read(chain, 0, stats, sizeof(stats)) / sizeof(stats[0]);
    b->stats_known = 0;
    for (u64 i = 0; i < count; i++) {
        if (stats[i].tag < BALLOON_STATS) {
            b->stats[stats[i].tag] = stats[i].value;
            b->stats_known |= (u8)BIT(stats[i].tag);
        }
    }
    virtq_untake(chain);
    if (b->asked) {
        b->asked = false;
        b->back.answered(b->back.context);
    }
}

/* The driver fills its buffer anew when it gets it back. */
bool virtio_balloon_ask(struct device *device)
{
    struct balloon *b = from_device(device);
    struct virtq_chain *chain;

    if (role_of(b, STATS) != STATS || !(chain = virtio_take(&b->virtio, STATS))) {
        return false;
    }
    b->asked = true;
    virtio_give(&b->virtio, chain, 0);
    virtio_signal(&b->virtio, STATS);
    return true;
}

bool virtio_balloon_stat(struct device *device, enum virtio_balloon_stat stat, u64 *value)
{
    const struct balloon *b = from_device(device);

    *value = b->stats[stat];
    return b->stats_known & BIT(stat);
}

/* ------------------------------------------------------------------ the driver */

static void notify(struct virtio_device *v, unsigned queue)
{
    struct balloon *b = container_of(v, struct balloon, virtio);
    enum role role = role_of(b, queue);

    switch (role) {
    case INFLATE:
    case REPORTING:
        work_off(b, queue, role);
        break;
    case DEFLATE:
        deflate(v);
        break;
    case STATS:
        read_stats(b);
        break;
    case ROLES: /* not negotiated */
        break;
    }
}

static void reset(struct virtio_device *v)
{
    struct balloon *b = container_of(v, struct balloon, virtio);

    for (unsigned i = 0; i < ROLES; i++) {
        b->done[i] = 0;
    }
    b->config.actual = b->config.poison = 0;
    b->stats_known = 0;
    b->asked = false;
}

static void config_write(struct virtio_device *v, unsigned offset, unsigned size, u32 value)
{
    struct balloon *b = container_of(v, struct balloon, virtio);

    if (offset == offsetof(struct config, actual) && size == 4) {
        b->config.actual = value;
    } else if (offset == offsetof(struct config, poison) && size == 4 &&
               virtio_has(v, F_PAGE_POISON)) {
        b->config.poison = value;
    }
}

void virtio_balloon_set_target(struct device *device, u32 pages)
{
    struct balloon *b = from_device(device);

    if (b->config.target != pages) {
        b->config.target = pages;
        virtio_config_changed(&b->virtio);
    }
}

u32 virtio_balloon_target(struct device *device)
{
    return from_device(device)->config.target;
}

u32 virtio_balloon_actual(struct device *device)
{
    return from_device(device)->config.actual;
}

static const struct virtio_ops ops = {
    .notify = notify, .reset = reset, .config_write = config_write};

static const struct field fields[] = {
    FIELD(struct balloon, config.target),
    FIELD(struct balloon, config.actual),
    FIELD(struct balloon, config.poison),
    FIELD_ARRAY(struct balloon, done),
    FIELD_ARRAY(struct balloon, stats),
    FIELD(struct balloon, stats_known),
    FIELDS_END,
};

static const struct virtio_type type = {
    .name = "virtio-balloon", .id = 5, .class_code = 0x00ff00, .ops = &ops, .fields = fields};

/* ------------------------------------------------------------------ life */

static void destroy(struct device *device)
{
    struct balloon *b = from_device(device);

    virtio_done(&b->virtio);
    free(b);
}

int virtio_balloon_create(struct pci_bus *bus, const struct virtio_balloon_config *config,
                          struct device **device)
{
    struct balloon *b = calloc(1, sizeof(*b));
    int error;

    if (!b) {
        return -ENOMEM;
    }
    b->back = *config;
    b->config.target = config->target;
    b->mem = bus->mem;
    b->virtio.type = &type;
    b->virtio.features = BIT(F_MUST_TELL_HOST) | BIT(F_STATS) | BIT(F_DEFLATE_ON_OOM) |
                         BIT(F_PAGE_POISON) | BIT(F_REPORTING);
    b->virtio.queues = ROLES;
    b->virtio.queue_size = QUEUE_SIZE;
    b->virtio.config = &b->config;
    b->virtio.config_bytes = sizeof(b->config);
    error = virtio_init(&b->virtio, bus);
    if (error) {
        free(b);
        return error;
    }
    b->virtio.device.destroy = destroy;
    b->virtio.device.block = b;
    b->virtio.device.block_bytes = sizeof(*b);
    *device = &b->virtio.device;
    return 0;
}
