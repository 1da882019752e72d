/* ring.h - what queue.c and the two ring formats (split.c, packed.c) share. */
#ifndef DEV_VIRTIO_RING_H
#define DEV_VIRTIO_RING_H

#include "dev/virtio/queue.h"

/* A descriptor, in a ring of either format or in an indirect table:
 *
 *      0 address (64)   8 length (32)   12 split: flags, next; packed: buffer ID, flags
 */
struct virtq_descriptor {
    u64 address;
    u32 length;
    union {
        struct {
            u16 flags, next;
        } split;
        struct {
            u16 id, flags;
        } packed;
    };
};

_Static_assert(sizeof(struct virtq_descriptor) == 16, "a descriptor has 16 bytes");

enum { /* flags */
       VIRTQ_NEXT = 1 << 0,
       VIRTQ_WRITE = 1 << 1,
       VIRTQ_INDIRECT = 1 << 2,
       VIRTQ_AVAIL = 1 << 7, /* packed rings only */
       VIRTQ_USED = 1 << 15,
};

/* A chain under construction. */
struct virtq_builder {
    u16 id, slots;
    unsigned count, in_count; /* of parts; how many of them are "in" */
    u64 out_bytes, in_bytes;
    struct iovec parts[VIRTQ_PARTS_MAX];
};

/* Bytes of the three areas, and what their addresses are multiples of. */
struct virtq_areas {
    u64 ring_bytes, driver_bytes, device_bytes;
    unsigned driver_align, device_align;
};

/* Always false. */
bool virtq_fault(struct virtq *queue, const char *reason);

/* False with a fault.  A buffer of no bytes is passed over. */
bool virtq_add_part(struct virtq *queue, struct virtq_builder *builder, gpa_t gpa, u32 length,
                    bool writable);

/* Copy an indirect table of length bytes to table, which has VIRTQ_PARTS_MAX entries. */
bool virtq_copy_table(struct virtq *queue, gpa_t gpa, u32 length, struct virtq_descriptor *table,
                      unsigned *count);

/* The two formats.  take: false where there is no chain, or a fault.  give: the driver sees all
 * chains at once. */
struct virtq_areas virtq_split_areas(const struct virtq *queue);
bool virtq_split_take(struct virtq *queue, struct virtq_builder *builder);
void virtq_split_give(struct virtq *queue, struct virtq_chain *const *chains, const u32 *written,
                      unsigned count);
bool virtq_split_wants_interrupt(struct virtq *queue);

struct virtq_areas virtq_packed_areas(const struct virtq *queue);
bool virtq_packed_take(struct virtq *queue, struct virtq_builder *builder);
void virtq_packed_give(struct virtq *queue, struct virtq_chain *const *chains, const u32 *written,
                       unsigned count);
void virtq_packed_untake(struct virtq *queue, const struct virtq_chain *chain);
bool virtq_packed_wants_interrupt(struct virtq *queue);

/* 16 bits in guest memory, at an even address, that the guest may access at the same time. */
static inline u16 virtq_load16(const u8 *at)
{
    return __atomic_load_n((const u16 *)(const void *)at, __ATOMIC_ACQUIRE);
}

static inline void virtq_store16(u8 *at, u16 value)
{
    __atomic_store_n((u16 *)(void *)at, value, __ATOMIC_RELEASE);
}

/* As in the specification: has the driver asked to be told when its index `event` is passed? */
static inline bool virtq_passes(u16 event, u16 now, u16 before)
{
    return (u16)(now - event - 1) < (u16)(now - before);
}

#endif
