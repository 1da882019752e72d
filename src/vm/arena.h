/* arena.h - makes a VM's arena and RAM, and lays the arena out. */
#ifndef VM_ARENA_H
#define VM_ARENA_H

#include "host/memory.h"
#include "vm/vm.h"

struct arena {
    struct host_memory memory; /* struct vm is at its start */
    struct host_memory ram;
};

/* ram_bytes is a multiple of 4096.  On success the structures are zeroed, but for what describes
 * the layout, struct mem and the bus fabric's size.  0 or -errno. */
int arena_create(struct arena *arena, u64 ram_bytes, unsigned cpu_count);
void arena_destroy(struct arena *arena);

static inline struct vm *arena_vm(const struct arena *arena)
{
    return arena->memory.base;
}

#endif
