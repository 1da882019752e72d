/* memory.c - memory that several processes share. */
#define _GNU_SOURCE

#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int map_somewhere(struct host_memory *m, u64 start, u64 step, u64 end)
{
    int error = -ENOMEM;
    u64 addr;

    for (addr = start; addr < end && m->size <= end - addr; addr += step) {
        void *got = mmap((void *)addr, m->size, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, m->fd, 0);
        if (got == (void *)addr) {
            m->base = got;
            return 0;
        }
        if (got != MAP_FAILED) { /* a kernel before 4.17 takes the address as a hint */
            munmap(got, m->size);
        } else if (errno != EEXIST) {
            error = -errno;
        }
    }
    return error;
}

int host_memory_create(struct host_memory *m, const char *name, u64 size, u64 start, u64 step,
                       u64 end)
{
    int error;

    *m = (struct host_memory){.fd = memfd_create(name, MFD_CLOEXEC), .size = size};
    if (m->fd < 0) {
        return -errno;
    }
    if (ftruncate(m->fd, (off_t)size) < 0) {
        error = -errno;
        goto fail;
    }
    error = map_somewhere(m, start, step, end);
    if (error < 0) {
        goto fail;
    }
    return 0;

fail:
    close(m->fd);
    *m = (struct host_memory){.fd = -1};
    return error;
}

void host_memory_destroy(struct host_memory *m)
{
    if (m->base) {
        munmap(m->base, m->size);
    }
    if (m->fd >= 0) {
        close(m->fd);
    }
    *m = (struct host_memory){.fd = -1};
}
