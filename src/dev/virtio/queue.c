/*
 * queue.c - virtqueues: what split and packed rings have in common.
 */
#include "dev/virtio/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "dev/virtio/ring.h"

/* ------------------------------------------------------------------ building a chain */

bool virtq_fault(struct virtq *q, const char *reason)
{
    if (!q->fault) {
        q->fault = reason;
    }
    return false;
}

bool virtq_add_part(struct virtq *q, struct virtq_builder *b, gpa_t gpa, u32 length, bool writable)
{
    u8 *hva;

    if (b->count == VIRTQ_PARTS_MAX) {
        return virtq_fault(q, "a chain of more buffers than there may be");
    }
    if (!writable && b->in_count) {
        return virtq_fault(q, "a buffer for the device to read after one for it to write");
    }
    if (length == 0) {
        return true;
    }
    hva = mem_range(q->mem, gpa, length);
    if (!hva) {
        return virtq_fault(q, "a buffer that is not in memory");
    }
    b->parts[b->count++] = (struct iovec){.iov_base = hva, .iov_len = length};
    if (writable) {
        b->in_count++;
        b->in_bytes += length;
    } else {
        b->out_bytes += length;
    }
    if (b->in_bytes > UINT32_MAX || b->out_bytes > UINT32_MAX) {
        return virtq_fault(q, "a chain of more than 4 GiB");
    }
    return true;
}

bool virtq_copy_table(struct virtq *q, gpa_t gpa, u32 length, struct virtq_descriptor *table,
                      unsigned *count)
{
    if (!q->indirect) {
        return virtq_fault(q, "an indirect descriptor, which was not negotiated");
    }
    if (length == 0 || length % sizeof(*table)) {
        return virtq_fault(q, "an indirect table of a broken length");
    }
    *count = length / sizeof(*table);
    if (*count > VIRTQ_PARTS_MAX) {
        return virtq_fault(q, "an indirect table of more descriptors than there may be");
    }
    if (!mem_read(q->mem, gpa, table, length)) {
        return virtq_fault(q, "an indirect table that is not in memory");
    }
    return true;
}

static struct virtq_chain *make_chain(struct virtq *q, const struct virtq_builder *b)
{
    size_t bytes = b->count * sizeof(b->parts[0]);
    struct virtq_chain *chain = malloc(sizeof(*chain) + bytes);

    if (!chain) {
        virtq_fault(q, "no memory on the host for a chain");
        return NULL;
    }
    *chain = (struct virtq_chain){
        .queue = q,
        .generation = q->generation,
        .id = b->id,
        .slots = b->slots,
        .out_count = b->count - b->in_count,
        .in_count = b->in_count,
        .out_bytes = b->out_bytes,
        .in_bytes = b->in_bytes,
    };
    memcpy(chain->parts, b->parts, bytes);
    return chain;
}

/* ------------------------------------------------------------------ taking and giving */

struct virtq_chain *virtq_take(struct virtq *q)
{
    struct virtq_builder b;
    struct virtq_chain *chain;

    b.count = b.in_count = 0;
    b.in_bytes = b.out_bytes = 0;
    if (!q->enabled || q->fault || q->resetting ||
        !(q->packed ? virtq_packed_take(q, &b) : virtq_split_take(q, &b))) {
        return NULL;
    }
    chain = make_chain(q, &b);
    if (chain) {
        q->in_flight++;
        q->slots_in_flight += chain->slots;
    }
    return chain;
}

/* The vCPUs drop code that they have decoded where the device has written. */
static void tell_written(const struct virtq_chain *chain, u64 written)
{
    const struct mem *mem = chain->queue->mem;

    for (unsigned i = 0; i < chain->in_count && written; i++) {
        const struct iovec *part = &virtq_in(chain)[i];
        u64 bytes = part->iov_len < written ? part->iov_len : written;
        mem_changed(mem, mem_gpa(mem, part->iov_base), bytes);
        written -= bytes;
    }
}

static void retire(struct virtq_chain *chain)
{
    if (chain->generation == chain->queue->generation) {
        chain->queue->in_flight--;
        chain->queue->slots_in_flight -= chain->slots;
    }
    free(chain);
}

void virtq_give_all(struct virtq_chain *const *chains, const u32 *written, unsigned count)
{
    struct virtq *q = chains[0]->queue;

    for (unsigned i = 0; i < count; i++) {
        tell_written(chains[i], written[i]);
    }
    if (chains[0]->generation == q->generation && q->enabled && !q->fault && !q->resetting) {
        q->given = true;
        if (q->packed) {
            virtq_packed_give(q, chains, written, count);
        } else {
            virtq_split_give(q, chains, written, count);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        retire(chains[i]);
    }
}

void virtq_give(struct virtq_chain *chain, u32 written)
{
    virtq_give_all(&chain, &written, 1);
}

void virtq_untake(struct virtq_chain *chain)
{
    struct virtq *q = chain->queue;

    if (chain->generation == q->generation) {
        if (q->packed) {
            virtq_packed_untake(q, chain);
        } else {
            q->next_avail--;
        }
    }
    retire(chain);
}

bool virtq_wants_interrupt(struct virtq *q)
{
    if (!q->given || !q->enabled || q->fault) {
        return false;
    }
    q->given = false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was given is seen before we look */
    return q->packed ? virtq_packed_wants_interrupt(q) : virtq_split_wants_interrupt(q);
}

/* ------------------------------------------------------------------ life */

static bool check_areas(struct virtq *q, const struct virtq_areas *areas)
{
    if (q->descriptors % 16 || q->driver % areas->driver_align || q->device % areas->device_align) {
        return virtq_fault(q, "a ring at an address that is not aligned");
    }
    q->ring = mem_range(q->mem, q->descriptors, areas->ring_bytes);
    q->driver_area = mem_range(q->mem, q->driver, areas->driver_bytes);
    q->device_area = mem_range(q->mem, q->device, areas->device_bytes);
    if (!q->ring || !q->driver_area || !q->device_area) {
        return virtq_fault(q, "a ring that is not in memory");
    }
    return true;
}

/* Find the areas that the driver has set. */
static bool find_areas(struct virtq *q)
{
    struct virtq_areas areas;

    if (q->size == 0 || q->size > VIRTQ_SIZE_MAX ||
        (!q->packed && !bits_is_power_of_two(q->size))) {
        return virtq_fault(q, "a ring of a size that there is not");
    }
    areas = q->packed ? virtq_packed_areas(q) : virtq_split_areas(q);
    return check_areas(q, &areas);
}

bool virtq_enable(struct virtq *q)
{
    if (!find_areas(q)) {
        return false;
    }
    q->next_avail = q->next_used = q->signalled = 0;
    q->avail_wrap = q->used_wrap = true;
    q->signalled_valid = false;
    q->enabled = true;
    return true;
}

bool virtq_loaded(struct virtq *q)
{
    bool inside = !q->packed || (q->next_avail < q->size && q->next_used < q->size);

    return !q->enabled || (inside && find_areas(q));
}

void virtq_reset(struct virtq *q)
{
    *q = (struct virtq){.mem = q->mem, .size = q->size, .generation = q->generation + 1};
}

/* ------------------------------------------------------------------ the bytes of a chain */

/* Copy between a buffer and count parts, from offset on. */
static u64 copy(const struct iovec *parts, unsigned count, u64 offset, u8 *buffer, u64 size,
                bool to_parts)
{
    u64 done = 0;

    for (unsigned i = 0; i < count && done < size; i++) {
        u64 length = parts[i].iov_len, bytes;
        u8 *at = parts[i].iov_base;
        if (offset >= length) {
            offset -= length;
            continue;
        }
        bytes = length - offset < size - done ? length - offset : size - done;
        if (to_parts) {
            memcpy(at + offset, buffer + done, bytes);
        } else {
            memcpy(buffer + done, at + offset, bytes);
        }
        done += bytes;
        offset = 0;
    }
    return done;
}

u64 virtq_read(const struct virtq_chain *chain, u64 offset, void *buffer, u64 size)
{
    return copy(virtq_out(chain), chain->out_count, offset, buffer, size, false);
}

u64 virtq_write(const struct virtq_chain *chain, u64 offset, const void *buffer, u64 size)
{
    return copy(virtq_in(chain), chain->in_count, offset, (u8 *)(uintptr_t)buffer, size, true);
}
