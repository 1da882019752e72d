/*
 * queue.h - virtqueues: requests from the guest's driver, and the answers to them.
 *
 * A request is a chain of buffers in guest memory: first those that the device reads ("out"), then
 * those that it writes ("in").  virtq_take() gives the next one, with every buffer checked to lie
 * in RAM; virtq_give() tells the driver that it is done.  Rings are split or packed, as the driver
 * chose; nobody above this file knows which.
 *
 * Everything in the rings is the guest's and may be wrong, or change at any moment.  So:
 *
 *   1. What is read from guest memory is copied once; the copy is checked; only the copy is used.
 *   2. What the device must rely on later (indices, counters) is kept here, never read back.
 *   3. A chain has at most VIRTQ_PARTS_MAX buffers and a queue at most its size of chains in
 *      flight, so nothing that a guest does takes long, or much memory.
 *   4. What is against the rules sets `fault`, and the queue stops.  The transport then sets
 *      DEVICE_NEEDS_RESET and logs the line.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2, "Split Virtqueues", "Packed Virtqueues".
 */
#ifndef DEV_VIRTIO_QUEUE_H
#define DEV_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include "mem/mem.h"

#define VIRTQ_SIZE_MAX  1024u
#define VIRTQ_PARTS_MAX 1024u

struct virtq {
    /* By the driver, while the queue is not enabled. */
    u16 size;                          /* descriptors; split rings: a power of two */
    gpa_t descriptors, driver, device; /* the three areas */

    /* By the transport. */
    const struct mem *mem;
    bool packed, event_index, indirect; /* features that were negotiated */
    bool enabled;
    bool resetting; /* a reset of this queue alone waits for what is in flight */

    const char *fault;        /* why the queue has stopped; NULL: it has not */
    u32 generation;           /* of the queue: counts resets */
    unsigned in_flight;       /* chains taken and not given back */
    unsigned slots_in_flight; /* packed: their descriptors */

    u8 *ring, *driver_area, *device_area; /* hvas of the three areas */
    u16 next_avail, next_used;            /* split: free-running; packed: below size */
    bool avail_wrap, used_wrap;
    bool given;    /* something, since the driver was last asked about an interrupt */
    u16 signalled; /* next_used when the driver was last asked about an interrupt */
    bool signalled_valid;
};

/* One request.  Allocated by virtq_take(), freed by virtq_give(). */
struct virtq_chain {
    struct virtq *queue;
    u32 generation;
    u16 id;      /* split: the head; packed: the buffer ID */
    u16 slots;   /* packed: descriptors that it takes in the ring */
    void *owner; /* the transport's */
    unsigned out_count, in_count;
    u64 out_bytes, in_bytes;
    struct iovec parts[]; /* out_count of them, then in_count; each wholly in RAM */
};

/* Check what the driver has set and start the queue.  False, with fault set, where it is wrong. */
bool virtq_enable(struct virtq *queue);

/* What the driver has set and how far the queue is has been read from a snapshot: go on there, if
 * it is enabled.  False where that cannot be. */
bool virtq_loaded(struct virtq *queue);

/* Forget everything but mem and size.  Chains in flight are freed when they are given back. */
void virtq_reset(struct virtq *queue);

/* The next chain, or NULL: there is none now (the driver will notify), or there is a fault. */
struct virtq_chain *virtq_take(struct virtq *queue);

/* The device is done with it and has written so many bytes, from the first "in" buffer on. */
void virtq_give(struct virtq_chain *chain, u32 written);

/* The same for several chains of one queue, each with its own count: the driver sees all of them at
 * once. */
void virtq_give_all(struct virtq_chain *const *chains, const u32 *written, unsigned count);

/* Put back the chain that virtq_take() gave last, as if it had not been taken.  Nothing may have
 * been written to it. */
void virtq_untake(struct virtq_chain *chain);

/* Does the driver want an interrupt for what was given back since this was last asked? */
bool virtq_wants_interrupt(struct virtq *queue);

/* ------------------------------------------------------------------ the bytes of a chain */

static inline const struct iovec *virtq_out(const struct virtq_chain *chain)
{
    return chain->parts;
}

static inline const struct iovec *virtq_in(const struct virtq_chain *chain)
{
    return chain->parts + chain->out_count;
}

/* Copy from "out" or to "in", beginning offset bytes from its start.  Returns how many bytes there
 * were, at most size. */
u64 virtq_read(const struct virtq_chain *chain, u64 offset, void *buffer, u64 size);
u64 virtq_write(const struct virtq_chain *chain, u64 offset, const void *buffer, u64 size);

#endif
