/*
 * block.h - what stands behind a disk: something that reads, writes and keeps bytes.
 *
 * A disk controller submits requests; a back end (vm/disk.c) carries them out, in any order, and
 * calls done() for each, from submit() or later from the event loop.  A flush covers the writes
 * that were done before it was submitted.
 */
#ifndef DEV_BLOCK_H
#define DEV_BLOCK_H

#include <sys/uio.h>

#include "base/types.h"

#define BLOCK_SECTOR 512u

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,   /* what was written is on the medium when it is done */
    BLOCK_DISCARD, /* nobody needs what is there; it may stay, or read as anything */
    BLOCK_ZERO,    /* it reads as zeros then */
};

struct block_request {
    enum block_op op;
    u64 offset, size;          /* in bytes; multiples of BLOCK_SECTOR, within the disk */
    bool through;              /* BLOCK_WRITE, BLOCK_ZERO: on the medium when it is done */
    bool unmap;                /* BLOCK_ZERO: the space may be given back */
    const struct iovec *parts; /* BLOCK_READ, BLOCK_WRITE: of size bytes in all; good until done */
    unsigned count;
    void (*done)(struct block_request *request, int error); /* 0 or -errno */
};

struct block_ops {
    void (*submit)(void *context, struct block_request *request);
    /* Wait until done() has been called for all. */
    void (*drain)(void *context);
};

/* A back end, and what it says of itself. */
struct block {
    const struct block_ops *ops;
    void *context;
    u64 size; /* in bytes; a multiple of BLOCK_SECTOR */
    bool read_only, can_discard, can_zero;
};

#endif
