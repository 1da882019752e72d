/* memory.h - memory that several processes share: a memfd, mapped at an address of our choice. */
#ifndef HOST_MEMORY_H
#define HOST_MEMORY_H

#include "base/types.h"

struct host_memory {
    int fd;
    void *base;
    u64 size;
};

/* Make a memfd of size bytes, zeroed and sparse, and map it for reading and writing at the first
 * address of start, start + step, ... below end that has room.  name is for /proc.  0 or -errno
 * (-ENOMEM also where no address is free). */
int host_memory_create(struct host_memory *m, const char *name, u64 size, u64 start, u64 step,
                       u64 end);

/* Harmless on one that was never created but zeroed with fd = -1. */
void host_memory_destroy(struct host_memory *m);

#endif
