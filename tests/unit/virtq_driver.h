/* virtq_driver.h - the driver's side of a virtqueue, split or packed, in the RAM of a test. */
#ifndef VIRTQ_DRIVER_H
#define VIRTQ_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "dev/virtio/ring.h"

enum {
    DRIVER_RAM = 0x40000,
    DRIVER_RING = 0x1000, /* gpas of the three areas */
    DRIVER_AVAIL = 0x8000,
    DRIVER_USED = 0xa000,
    DRIVER_TABLE = 0x10000, /* and of indirect tables, a page each */
    DRIVER_DATA = 0x20000,
};

struct driver_part {
    u64 gpa;
    u32 length;
    u16 flags; /* VIRTQ_WRITE */
};

struct driver {
    struct mem mem;
    struct virtq queue;
    u16 size;
    bool packed;
    u16 next, avail_index;     /* the next free descriptor; split: avail's idx */
    u16 used_seen;             /* split: used entries looked at; packed: the ring index */
    bool wrap, used_wrap;      /* packed */
    u16 slots[VIRTQ_SIZE_MAX]; /* packed, by buffer ID: descriptors of that chain */
};

static inline u8 *driver_at(struct driver *d, u64 gpa)
{
    return d->mem.base + gpa;
}

static inline struct virtq_descriptor *driver_ring(struct driver *d)
{
    return (struct virtq_descriptor *)(void *)driver_at(d, DRIVER_RING);
}

static inline u16 *driver_avail(struct driver *d)
{
    return (u16 *)(void *)driver_at(d, DRIVER_AVAIL);
}

static inline u16 *driver_used(struct driver *d)
{
    return (u16 *)(void *)driver_at(d, DRIVER_USED);
}

/* Features are set before. */
static inline void driver_enable(struct driver *d)
{
    d->queue.mem = &d->mem;
    d->queue.size = d->size;
    d->queue.packed = d->packed;
    d->queue.descriptors = DRIVER_RING;
    d->queue.driver = DRIVER_AVAIL;
    d->queue.device = DRIVER_USED;
    assert_true(virtq_enable(&d->queue));
}

static inline void driver_init(struct driver *d, bool packed, u16 size)
{
    *d = (struct driver){.size = size, .packed = packed, .wrap = true, .used_wrap = true};
    d->mem = (struct mem){.base = calloc(1, DRIVER_RAM), .low_size = DRIVER_RAM};
    assert_non_null(d->mem.base);
}

static inline void driver_done(struct driver *d)
{
    assert_int_equal(d->queue.in_flight, 0);
    free(d->mem.base);
}

static inline void driver_make_available(struct driver *d, u16 head)
{
    driver_avail(d)[2 + d->avail_index++ % d->size] = head;
    driver_avail(d)[1] = d->avail_index;
}

/* A chain of count parts.  Returns its ID. */
static inline u16 driver_add(struct driver *d, const struct driver_part *parts, unsigned count)
{
    u16 head = d->next, head_flags = 0;
    bool wrap = d->wrap;

    for (unsigned i = 0; i < count; i++) {
        struct virtq_descriptor *at = &driver_ring(d)[d->next];
        u16 flags = parts[i].flags | (i + 1 < count ? VIRTQ_NEXT : 0);
        struct virtq_descriptor value = {.address = parts[i].gpa, .length = parts[i].length};
        d->next = (u16)((d->next + 1) % d->size);
        if (d->packed) {
            value.packed.id = head;
            flags |= d->wrap ? VIRTQ_AVAIL : VIRTQ_USED;
            value.packed.flags = i ? flags : (u16)(d->wrap ? VIRTQ_USED : VIRTQ_AVAIL);
            head_flags = i ? head_flags : flags;
            d->wrap ^= d->next == 0;
        } else {
            value.split.flags = flags;
            value.split.next = d->next;
        }
        *at = value;
    }
    if (d->packed) {
        d->slots[head] = (u16)count;
        driver_ring(d)[head].packed.flags = head_flags;
        (void)wrap;
    } else {
        driver_make_available(d, head);
    }
    return head;
}

/* The same through an indirect table, at page `table` of those. */
static inline u16 driver_add_indirect(struct driver *d, unsigned table,
                                      const struct driver_part *parts, unsigned count)
{
    u64 gpa = DRIVER_TABLE + table * 0x1000u;
    struct virtq_descriptor *at = (struct virtq_descriptor *)(void *)driver_at(d, gpa);

    for (unsigned i = 0; i < count; i++) {
        at[i] = (struct virtq_descriptor){.address = parts[i].gpa, .length = parts[i].length};
        if (d->packed) {
            at[i].packed.flags = parts[i].flags;
        } else {
            at[i].split.flags = parts[i].flags | (i + 1 < count ? VIRTQ_NEXT : 0);
            at[i].split.next = (u16)(i + 1);
        }
    }
    return driver_add(d, &(struct driver_part){gpa, 16 * count, VIRTQ_INDIRECT}, 1);
}

/* The next chain that the device has used: false where there is none. */
static inline bool driver_take(struct driver *d, u32 *id, u32 *length)
{
    if (d->packed) {
        const struct virtq_descriptor *at = &driver_ring(d)[d->used_seen];
        bool avail = at->packed.flags & VIRTQ_AVAIL, used = at->packed.flags & VIRTQ_USED;
        if (avail != d->used_wrap || used != d->used_wrap) {
            return false;
        }
        *id = at->packed.id;
        *length = at->length;
        d->used_seen = (u16)(d->used_seen + d->slots[*id % VIRTQ_SIZE_MAX]);
        if (d->used_seen >= d->size) {
            d->used_seen = (u16)(d->used_seen - d->size);
            d->used_wrap = !d->used_wrap;
        }
        return true;
    }
    if (driver_used(d)[1] == d->used_seen) {
        return false;
    }
    memcpy(id, &driver_used(d)[2 + 4 * (d->used_seen % d->size)], 4);
    memcpy(length, &driver_used(d)[4 + 4 * (d->used_seen % d->size)], 4);
    d->used_seen++;
    return true;
}

#endif
