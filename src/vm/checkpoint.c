/*
 * checkpoint.c - a machine on virtual time, as it is now, in the memory of this process; and back.
 *
 * A machine is taken back in place: it keeps its processes, descriptors and addresses, and what it
 * is changes.  So a checkpoint is copies of blocks of memory, which are put back where they were:
 * each device's (struct device says how large it is), the CPUs', and what the board keeps besides.
 * RAM is kept by pages, of which checkpoints share those that are equal.
 *
 * What a checkpoint does not know of would be left as it is, and the machine would go wrong later.
 * Therefore it is refused unless everything is known that can be seen: each device at the bus, and
 * each timer that is armed, has to lie in one of the blocks.
 */
#define _GNU_SOURCE

#include "vm/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/keyboard.h"
#include "vm/machine.h"
#include "vm/sync.h"

struct page {
    u32 users;
    u8 bytes[PAGE_SIZE];
};

#define BLOCKS_MAX (PC_SLOTS + 64u)

struct block {
    void *at;
    size_t size;
    u8 *copy;
};

struct ringer_checkpoint {
    u64 instructions;
    unsigned block_count;
    struct block blocks[BLOCKS_MAX];
    struct bus_region *regions;
    unsigned region_count;
    u64 page_count;
    struct page **pages; /* NULL: all zero */
};

/* ------------------------------------------------------------------ RAM */

/* The next run of pages at or after `from` that have ever been written; false if there is none. */
static bool next_data(const struct ringer *m, u64 from, u64 *start, u64 *end)
{
    off_t data = lseek(m->arena.ram.fd, (off_t)from, SEEK_DATA), hole;

    if (data < 0) {
        return false;
    }
    hole = lseek(m->arena.ram.fd, data, SEEK_HOLE);
    *start = (u64)data & PAGE_MASK;
    *end = hole < 0 ? m->arena.ram.size : bits_align_up((u64)hole, PAGE_SIZE);
    return true;
}

static bool is_zero(const u8 *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, PAGE_SIZE - 1) == 0;
}

static void release(struct page *page)
{
    if (page && --page->users == 0) {
        free(page);
    }
}

static bool keep_page(struct ringer_checkpoint *c, u64 i, const u8 *bytes,
                      const struct ringer_checkpoint *like)
{
    struct page *page = like ? like->pages[i] : NULL;

    if (is_zero(bytes)) {
        return true;
    }
    if (page && memcmp(page->bytes, bytes, PAGE_SIZE) == 0) {
        page->users++;
        c->pages[i] = page;
        return true;
    }
    page = malloc(sizeof(*page));
    if (!page) {
        return false;
    }
    page->users = 1;
    memcpy(page->bytes, bytes, PAGE_SIZE);
    c->pages[i] = page;
    return true;
}

static bool keep_ram(struct ringer *m, struct ringer_checkpoint *c,
                     const struct ringer_checkpoint *like)
{
    const u8 *ram = m->arena.ram.base;

    c->page_count = m->arena.ram.size / PAGE_SIZE;
    c->pages = calloc(c->page_count, sizeof(struct page *));
    if (!c->pages) {
        return false;
    }
    for (u64 start = 0, end = 0; next_data(m, end, &start, &end);) {
        for (u64 at = start; at < end; at += PAGE_SIZE) {
            if (!keep_page(c, at / PAGE_SIZE, ram + at, like)) {
                return false;
            }
        }
    }
    return true;
}

static void restore_ram(struct ringer *m, const struct ringer_checkpoint *c)
{
    u8 *ram = m->arena.ram.base;

    for (u64 i = 0; i < c->page_count; i++) {
        u8 *bytes = ram + i * PAGE_SIZE;
        if (c->pages[i] && memcmp(bytes, c->pages[i]->bytes, PAGE_SIZE) != 0) {
            memcpy(bytes, c->pages[i]->bytes, PAGE_SIZE);
        }
    }
    for (u64 start = 0, end = 0; next_data(m, end, &start, &end);) {
        for (u64 at = start; at < end; at += PAGE_SIZE) {
            if (!c->pages[at / PAGE_SIZE] && !is_zero(ram + at)) {
                memset(ram + at, 0, PAGE_SIZE);
            }
        }
    }
}

/* ------------------------------------------------------------------ blocks */

void checkpoint_add(struct ringer_checkpoint *c, void *at, size_t size)
{
    if (c->block_count < BLOCKS_MAX) {
        c->blocks[c->block_count++] = (struct block){.at = at, .size = size};
    }
}

#define ADD(c, member) checkpoint_add(c, &(member), sizeof(member))

static int add_device(struct ringer *m, struct ringer_checkpoint *c, struct device *device)
{
    if (device && !device->block) {
        return machine_fail(m, -ENOTSUP, "a machine with the device '%s' cannot be taken back",
                            device->name);
    }
    if (device) {
        checkpoint_add(c, device->block, device->block_bytes);
    }
    return 0;
}

/* What of a machine changes while it runs.  -ENOTSUP: there is a device that cannot be taken back.
 */
static int list_blocks(struct ringer *m, struct ringer_checkpoint *c)
{
    struct vm *vm = m->vm;
    int error = 0;

    checkpoint_add(c, vm->cpus, vm->cpu_count * sizeof(struct cpu));
    checkpoint_add(c, vm->inboxes, vm->cpu_count * sizeof(struct interrupt_inbox));
    ADD(c, m->shared->clock.warp_ns);
    ADD(c, m->now_ns);
    ADD(c, m->random_state);
    ADD(c, m->sync);
    ADD(c, m->input); /* of a replay: a recording is refused */
    ADD(c, m->timers.first);
    ADD(c, m->timers.run);
    ADD(c, m->a20.on);
    ADD(c, m->pc.pci_lines);
    for (unsigned i = 0; i < PC_SLOTS && error == 0; i++) {
        error = add_device(m, c, m->pc.devices[i]);
    }
    for (unsigned i = 0; i < m->pc.card_count && error == 0; i++) {
        error = add_device(m, c, m->pc.cards[i]);
    }
    keyboard_checkpoint(m->keyboard, c);
    for (unsigned i = 0; i < RINGER_SERIAL_PORTS; i++) {
        serial_checkpoint(m->serials[i], c);
    }
    serial_checkpoint(m->debug_console, c);
    if (error == 0 && c->block_count == BLOCKS_MAX) {
        error = machine_fail(m, -ENOTSUP, "a machine with so many devices cannot be taken back");
    }
    return error;
}

static bool is_known(const struct ringer_checkpoint *c, const void *at)
{
    for (unsigned i = 0; i < c->block_count; i++) {
        const u8 *start = c->blocks[i].at;
        if ((const u8 *)at >= start && (const u8 *)at < start + c->blocks[i].size) {
            return true;
        }
    }
    return false;
}

static int check_known(struct ringer *m, const struct ringer_checkpoint *c)
{
    for (unsigned i = 0; i < m->bus.count; i++) {
        if (!is_known(c, m->bus.regions[i].device)) {
            return machine_fail(m, -ENOTSUP, "a machine with '%s' cannot be taken back",
                                m->bus.regions[i].name);
        }
    }
    for (const struct timer *t = m->timers.first; t; t = t->next) {
        if (!is_known(c, t)) {
            return machine_fail(m, -ENOTSUP, "a machine with such a timer cannot be taken back");
        }
    }
    return 0;
}

static bool keep_blocks(struct ringer *m, struct ringer_checkpoint *c)
{
    for (unsigned i = 0; i < c->block_count; i++) {
        struct block *b = &c->blocks[i];
        b->copy = malloc(b->size);
        if (!b->copy) {
            return false;
        }
        memcpy(b->copy, b->at, b->size);
    }
    c->region_count = m->bus.count;
    c->regions = malloc(m->bus.count * sizeof(*c->regions));
    if (!c->regions) {
        return false;
    }
    memcpy(c->regions, m->bus.regions, m->bus.count * sizeof(*c->regions));
    return true;
}

static void restore_blocks(struct ringer *m, const struct ringer_checkpoint *c)
{
    for (unsigned i = 0; i < c->block_count; i++) {
        memcpy(c->blocks[i].at, c->blocks[i].copy, c->blocks[i].size);
    }
    memcpy(m->bus.regions, c->regions, c->region_count * sizeof(*c->regions)); /* it only grows */
    m->bus.count = c->region_count;
}

/* ------------------------------------------------------------------ the API */

static int check_state(struct ringer *m)
{
    if (!m->vm->clock.icount) {
        return machine_fail(m, -EINVAL, "only a machine on virtual time can be taken back");
    }
    if (m->input.mode == INPUT_RECORDING) {
        return machine_fail(m, -EINVAL, "a machine that is recorded cannot be taken back");
    }
    if (m->running || !m->held || m->sync.pending) {
        return machine_fail(m, -EBUSY, "the machine is running");
    }
    return 0;
}

int ringer_checkpoint_take(struct ringer *m, const struct ringer_checkpoint *like,
                           struct ringer_checkpoint **checkpoint)
{
    struct ringer_checkpoint *c;
    int error = check_state(m);

    *checkpoint = NULL;
    if (error < 0) {
        return error;
    }
    if (m->ended) {
        return machine_fail(m, -EINVAL, "the machine has ended");
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    c->instructions = m->vm->cpus[0].icount;
    error = list_blocks(m, c);
    if (error == 0) {
        error = check_known(m, c);
    }
    if (error == 0 && (!keep_blocks(m, c) || !keep_ram(m, c, like))) {
        error = machine_fail(m, -ENOMEM, "out of memory");
    }
    if (error < 0) {
        ringer_checkpoint_destroy(c);
        return error;
    }
    *checkpoint = c;
    return 0;
}

int ringer_checkpoint_restore(struct ringer *m, const struct ringer_checkpoint *c)
{
    int error = check_state(m);

    if (error < 0) {
        return error;
    }
    restore_ram(m, c);
    restore_blocks(m, c);
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct cpu *cpu = &m->vm->cpus[i];
        struct vcpu_control *control = &m->vm->controls[i];
        cpu->debugger = (struct debugger){.list = m->vm->debugger};
        m->vcpus[i].stays = false;
        atomic_store(&control->flush, 1);
        atomic_store(&control->state, vcpu_state_word(atomic_load(&control->order), VCPU_HELD));
    }
    m->ended = m->counted = false;
    sync_publish(m);
    machine_set_stop(m);
    return 0;
}

uint64_t ringer_checkpoint_instructions(const struct ringer_checkpoint *c)
{
    return c->instructions;
}

void ringer_checkpoint_destroy(struct ringer_checkpoint *c)
{
    if (!c) {
        return;
    }
    for (unsigned i = 0; i < c->block_count; i++) {
        free(c->blocks[i].copy);
    }
    for (u64 i = 0; c->pages && i < c->page_count; i++) {
        release(c->pages[i]);
    }
    free(c->pages);
    free(c->regions);
    free(c);
}
