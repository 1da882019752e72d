/*
 * arena.c - makes a VM's arena and RAM, and lays the arena out.
 *
 * The pieces follow one another, each at the start of a page: struct vm, inboxes, rings, controls,
 * traces, the trail, CPUs, what they tell each other of code, executors' memory.
 */
#include "vm/arena.h"

#include <errno.h>

#include "exec/engine.h"

/* Reserve count elements of size bytes; returns where they are. */
static u64 reserve(u64 *offset, u64 count, u64 size)
{
    u64 start = *offset;

    *offset = bits_align_up(start + count * size, PAGE_SIZE);
    return start;
}

static void mem_init(struct mem *mem, u8 *base, u64 ram_bytes)
{
    *mem = (struct mem){
        .base = base,
        .low_size = ram_bytes < MEM_LOW_MAX ? ram_bytes : MEM_LOW_MAX,
    };
    mem->high_size = ram_bytes - mem->low_size;
}

int arena_create(struct arena *arena, u64 ram_bytes, unsigned cpu_count)
{
    u64 size = 0, exec_bytes = bits_align_up(exec_size(), PAGE_SIZE);
    u64 vm_at = reserve(&size, 1, sizeof(struct vm));
    u64 debugger = reserve(&size, 1, sizeof(struct debugger_list));
    u64 inboxes = reserve(&size, cpu_count, sizeof(struct interrupt_inbox));
    u64 rings = reserve(&size, cpu_count, sizeof(struct ring));
    u64 controls = reserve(&size, cpu_count, sizeof(struct vcpu_control));
    u64 traces = reserve(&size, cpu_count, sizeof(struct trace_ring));
    u64 trail = reserve(&size, 1, sizeof(struct trail));
    u64 cpus = reserve(&size, cpu_count, sizeof(struct cpu));
    u64 holders = reserve(&size, ram_bytes / PAGE_SIZE, 1);
    u64 coherence = reserve(&size, cpu_count, sizeof(struct mem_coherence));
    u64 digests = reserve(&size, VM_PIECES_MAX, sizeof(u64));
    u64 pieces = reserve(&size, VM_PIECES_MAX, sizeof(u8));
    u64 gates = reserve(&size, cpu_count, PAGE_SIZE);
    u64 exec = reserve(&size, cpu_count, exec_bytes);
    struct vm *vm;
    u8 *base;
    int error;

    *arena = (struct arena){.memory.fd = -1, .ram.fd = -1};
    error = host_memory_create(&arena->ram, "ringer-ram", ram_bytes, VM_RAM_START, VM_SLOT_BYTES,
                               VM_HIDDEN_END);
    if (error < 0) {
        return error;
    }
    if (size > VM_SLOT_BYTES) {
        error = -ENOMEM;
        goto fail;
    }
    error = host_memory_create(&arena->memory, "ringer-arena", size, VM_ARENA_START, VM_SLOT_BYTES,
                               VM_RAM_START);
    if (error < 0) {
        goto fail;
    }
    base = arena->memory.base;
    vm = (struct vm *)(base + vm_at);
    *vm = (struct vm){
        .magic = VM_MAGIC,
        .vm_bytes = sizeof(struct vm),
        .cpu_bytes = sizeof(struct cpu),
        .arena_bytes = size,
        .ram_bytes = ram_bytes,
        .cpu_count = cpu_count,
        .debugger = (struct debugger_list *)(base + debugger),
        .inboxes = (struct interrupt_inbox *)(base + inboxes),
        .rings = (struct ring *)(base + rings),
        .controls = (struct vcpu_control *)(base + controls),
        .traces = (struct trace_ring *)(base + traces),
        .trail = (struct trail *)(base + trail),
        .cpus = (struct cpu *)(base + cpus),
        .gates = base + gates,
        .exec = base + exec,
        .exec_bytes = exec_bytes,
    };
    mem_init(&vm->mem, arena->ram.base, ram_bytes);
    vm->mem.code_holders = base + holders;
    vm->mem.coherence = (struct mem_coherence *)(base + coherence);
    vm->mem.cpu_count = cpu_count;
    vm->source.digests = (u64 *)(base + digests);
    vm->pieces = (_Atomic u8 *)(base + pieces);
    return 0;

fail:
    arena_destroy(arena);
    return error;
}

void arena_destroy(struct arena *arena)
{
    host_memory_destroy(&arena->memory);
    host_memory_destroy(&arena->ram);
}
