/*
 * packed.c - packed rings.
 *
 *      descriptor area   size x struct virtq_descriptor: the one ring, for both directions
 *      driver area       15 wrap, 14-0 index; then flags: when the driver wants interrupts
 *      device area       the same: when the device wants notifications
 *
 * A descriptor is available while its AVAIL flag is the driver's wrap counter and its USED flag is
 * not; it is used once both are the device's.  A counter changes each time the ring has been gone
 * round.  A chain's descriptors follow one another, and the last has the buffer ID.
 *
 * VIRTIO 1.2, "Packed Virtqueues".
 */
#include <string.h>

#include "dev/virtio/ring.h"

enum {
    EVENT_FLAGS = 2, /* offset in both event areas */
    EVENT_ENABLE = 0,
    EVENT_DISABLE = 1,
    EVENT_INDEX = 2,
    EVENT_WRAP = 1 << 15,
    DESCRIPTOR_FLAGS = 14,
};

struct virtq_areas virtq_packed_areas(const struct virtq *q)
{
    return (struct virtq_areas){
        .ring_bytes = 16ull * q->size,
        .driver_bytes = 4,
        .device_bytes = 4,
        .driver_align = 4,
        .device_align = 4,
    };
}

static void store16(struct virtq *q, u8 *at, u16 value)
{
    virtq_store16(at, value);
    mem_changed(q->mem, mem_gpa(q->mem, at), 2);
}

static u8 *slot(const struct virtq *q, u16 index)
{
    return q->ring + 16u * index;
}

static bool is_available(const struct virtq *q)
{
    u16 flags = virtq_load16(slot(q, q->next_avail) + DESCRIPTOR_FLAGS);
    bool avail = flags & VIRTQ_AVAIL, used = flags & VIRTQ_USED;

    return avail == q->avail_wrap && used != q->avail_wrap;
}

/* The same; where there is none, ask the driver first to notify us of the next. */
static bool wait_available(struct virtq *q)
{
    if (is_available(q)) {
        return true;
    }
    if (q->event_index) {
        store16(q, q->device_area, (u16)(q->next_avail | (q->avail_wrap ? EVENT_WRAP : 0)));
        store16(q, q->device_area + EVENT_FLAGS, EVENT_INDEX);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return is_available(q);
    }
    return false;
}

/* Go count slots forward in a ring of size; the counter changes where the ring begins anew. */
static void advance(u16 *index, bool *wrap, u16 count, u16 size)
{
    *index = (u16)(*index + count);
    if (*index >= size) {
        *index = (u16)(*index - size);
        *wrap = !*wrap;
    }
}

static bool add_indirect(struct virtq *q, struct virtq_builder *b, const struct virtq_descriptor *d)
{
    struct virtq_descriptor table[VIRTQ_PARTS_MAX];
    unsigned count;

    if (b->slots > 1 || d->packed.flags & VIRTQ_NEXT) {
        return virtq_fault(q, "an indirect descriptor in a chain with others");
    }
    if (!virtq_copy_table(q, d->address, d->length, table, &count)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!virtq_add_part(q, b, table[i].address, table[i].length,
                            table[i].packed.flags & VIRTQ_WRITE)) {
            return false;
        }
    }
    return true;
}

/* The chain that begins at next_avail. */
static bool walk(struct virtq *q, struct virtq_builder *b)
{
    struct virtq_descriptor d;
    u16 index = q->next_avail;
    bool wrap = false, more = true;

    while (more) {
        if (b->slots == q->size) {
            return virtq_fault(q, "a chain that is longer than the ring");
        }
        memcpy(&d, slot(q, index), sizeof(d)); /* the guest's memory, */
        __asm__ volatile("" : : : "memory");   /* and not read again */
        b->slots++;
        b->id = d.packed.id;
        more = d.packed.flags & VIRTQ_NEXT;
        if (d.packed.flags & VIRTQ_INDIRECT) {
            return add_indirect(q, b, &d);
        }
        if (!virtq_add_part(q, b, d.address, d.length, d.packed.flags & VIRTQ_WRITE)) {
            return false;
        }
        advance(&index, &wrap, 1, q->size);
    }
    return true;
}

bool virtq_packed_take(struct virtq *q, struct virtq_builder *b)
{
    b->slots = 0;
    if (!wait_available(q) || !walk(q, b)) {
        return false;
    }
    if (q->slots_in_flight + b->slots > q->size) {
        return virtq_fault(q, "more descriptors at a time than the ring has");
    }
    advance(&q->next_avail, &q->avail_wrap, b->slots, q->size);
    return true;
}

void virtq_packed_untake(struct virtq *q, const struct virtq_chain *chain)
{
    if (q->next_avail < chain->slots) {
        q->next_avail = (u16)(q->next_avail + q->size);
        q->avail_wrap = !q->avail_wrap;
    }
    q->next_avail = (u16)(q->next_avail - chain->slots);
}

/* Write one used descriptor, all but its address and its flags: these make it used, and are given
 * back. */
static u16 put_used(struct virtq *q, const struct virtq_chain *chain, u32 written)
{
    u16 before = q->next_used;
    u8 *at = slot(q, before);
    u16 flags = q->used_wrap ? VIRTQ_AVAIL | VIRTQ_USED : 0;
    struct virtq_descriptor d = {.length = written, .packed.id = chain->id};

    memcpy(at + 8, &d.length, 6);
    mem_changed(q->mem, mem_gpa(q->mem, at), sizeof(d));
    advance(&q->next_used, &q->used_wrap, chain->slots, q->size);
    if (q->next_used <= before) {
        q->signalled = (u16)(q->signalled - q->size); /* indices count from the ring's new lap */
    }
    return flags | (chain->in_count ? VIRTQ_WRITE : 0);
}

/* A driver looks at the first one that it waits for, and then at those behind it. */
void virtq_packed_give(struct virtq *q, struct virtq_chain *const *chains, const u32 *written,
                       unsigned count)
{
    u8 *first = slot(q, q->next_used);
    u16 first_flags = put_used(q, chains[0], written[0]);

    for (unsigned i = 1; i < count; i++) {
        u8 *at = slot(q, q->next_used);
        u16 flags = put_used(q, chains[i], written[i]);
        virtq_store16(at + DESCRIPTOR_FLAGS, flags);
    }
    virtq_store16(first + DESCRIPTOR_FLAGS, first_flags);
}

bool virtq_packed_wants_interrupt(struct virtq *q)
{
    u16 flags = virtq_load16(q->driver_area + EVENT_FLAGS);
    u16 event = virtq_load16(q->driver_area), index = event & (EVENT_WRAP - 1);
    u16 before = q->signalled;
    bool first = !q->signalled_valid;

    q->signalled = q->next_used;
    q->signalled_valid = true;
    if (flags == EVENT_DISABLE) {
        return false;
    }
    if (flags != EVENT_INDEX || !q->event_index) {
        return true;
    }
    if (!(event & EVENT_WRAP) == q->used_wrap) {
        index = (u16)(index - q->size); /* of the lap before */
    }
    return first || virtq_passes(index, q->next_used, before);
}
