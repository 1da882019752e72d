/*
 * split.c - split rings.
 *
 *      descriptor area   size x struct virtq_descriptor: a table that the rings point into
 *      driver area       flags, idx, ring[size], used_event       (available: 16 bits each)
 *      device area       flags, idx, ring[size] of {id, length}, avail_event      (used)
 *
 * The indices run freely; size is a power of two.
 *
 * VIRTIO 1.2, "Split Virtqueues".
 */
#include <string.h>

#include "dev/virtio/ring.h"

enum {
    RING_INDEX = 2, /* offsets in both rings */
    RING_ENTRIES = 4,
    USED_ENTRY = 8,
    AVAIL_NO_INTERRUPT = 1,
};

struct virtq_areas virtq_split_areas(const struct virtq *q)
{
    unsigned event = q->event_index ? 2 : 0;

    return (struct virtq_areas){
        .ring_bytes = 16ull * q->size,
        .driver_bytes = RING_ENTRIES + 2ull * q->size + event,
        .device_bytes = RING_ENTRIES + (u64)USED_ENTRY * q->size + event,
        .driver_align = 2,
        .device_align = 4,
    };
}

static void store16(struct virtq *q, u8 *at, u16 value)
{
    virtq_store16(at, value);
    mem_changed(q->mem, mem_gpa(q->mem, at), 2);
}

/* How many chains the driver has made available; more than there is room for is a fault. */
static u16 count_available(struct virtq *q)
{
    u16 count = (u16)(virtq_load16(q->driver_area + RING_INDEX) - q->next_avail);

    if (count > q->size) {
        virtq_fault(q, "an index of available buffers that has jumped");
        return 0;
    }
    return count;
}

/* The same; where there is none, ask the driver first to notify us of the next. */
static u16 wait_available(struct virtq *q)
{
    u16 count = count_available(q);

    if (count || q->fault) {
        return count;
    }
    if (q->event_index) {
        store16(q, q->device_area + RING_ENTRIES + USED_ENTRY * q->size, q->next_avail);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return count_available(q);
    }
    return 0;
}

/* Follow a chain from head through a table of count descriptors. */
static bool walk(struct virtq *q, struct virtq_builder *b, const struct virtq_descriptor *table,
                 unsigned count, unsigned head, bool indirect);

static bool walk_indirect(struct virtq *q, struct virtq_builder *b,
                          const struct virtq_descriptor *d)
{
    struct virtq_descriptor table[VIRTQ_PARTS_MAX];
    unsigned count;

    if (d->split.flags & VIRTQ_NEXT) {
        return virtq_fault(q, "an indirect descriptor with another after it");
    }
    return virtq_copy_table(q, d->address, d->length, table, &count) &&
           walk(q, b, table, count, 0, true);
}

static bool walk(struct virtq *q, struct virtq_builder *b, const struct virtq_descriptor *table,
                 unsigned count, unsigned head, bool indirect)
{
    struct virtq_descriptor d;
    unsigned index = head;

    for (unsigned steps = 0; steps < count; steps++) {
        if (index >= count) {
            return virtq_fault(q, "a descriptor beyond the table");
        }
        memcpy(&d, &table[index], sizeof(d)); /* the guest's memory, unless indirect */
        __asm__ volatile("" : : : "memory");  /* and not read again */
        if (d.split.flags & VIRTQ_INDIRECT) {
            return indirect ? virtq_fault(q, "an indirect descriptor in an indirect table")
                            : walk_indirect(q, b, &d);
        }
        if (!virtq_add_part(q, b, d.address, d.length, d.split.flags & VIRTQ_WRITE)) {
            return false;
        }
        if (!(d.split.flags & VIRTQ_NEXT)) {
            return true;
        }
        index = d.split.next;
    }
    return virtq_fault(q, "a chain that goes round in a loop");
}

bool virtq_split_take(struct virtq *q, struct virtq_builder *b)
{
    if (wait_available(q) == 0) {
        return false;
    }
    if (q->in_flight >= q->size) {
        return virtq_fault(q, "more chains at a time than the ring has descriptors");
    }
    b->id = virtq_load16(q->driver_area + RING_ENTRIES + 2 * (q->next_avail & (q->size - 1)));
    b->slots = 0;
    q->next_avail++;
    return walk(q, b, (const struct virtq_descriptor *)(const void *)q->ring, q->size, b->id,
                false);
}

void virtq_split_give(struct virtq *q, struct virtq_chain *const *chains, const u32 *written,
                      unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        u8 *entry = q->device_area + RING_ENTRIES + USED_ENTRY * (q->next_used & (q->size - 1));
        const u32 value[2] = {chains[i]->id, written[i]};

        memcpy(entry, value, sizeof(value));
        mem_changed(q->mem, mem_gpa(q->mem, entry), sizeof(value));
        q->next_used++;
    }
    store16(q, q->device_area + RING_INDEX, q->next_used);
}

bool virtq_split_wants_interrupt(struct virtq *q)
{
    u16 before = q->signalled;
    bool first = !q->signalled_valid;

    if (!q->event_index) {
        return !(virtq_load16(q->driver_area) & AVAIL_NO_INTERRUPT);
    }
    q->signalled = q->next_used;
    q->signalled_valid = true;
    return first || virtq_passes(virtq_load16(q->driver_area + RING_ENTRIES + 2 * q->size),
                                 q->next_used, before);
}
