/*
 * digest.c - digests of a held machine.
 *
 * That of RAM is the sum of its pages' digests, each going on from its place; a page of zeros adds
 * nothing.  So it does not matter which pages of the sparse memfd are there.
 */
#define _GNU_SOURCE

#include "vm/digest.h"

#include <unistd.h>

#include "base/digest.h"
#include "vm/machine.h"

static bool is_zero(const u8 *page)
{
    const u64 *word = (const u64 *)page;
    u64 any = 0;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*word) && !any; i += 8) {
        any = word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] |
              word[i + 6] | word[i + 7];
    }
    return !any;
}

u64 digest_memory(const struct ringer *m)
{
    const struct host_memory *ram = &m->arena.ram;
    off_t size = (off_t)ram->size, at = 0;
    u64 sum = 0;

    while (at < size && (at = lseek(ram->fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(ram->fd, at, SEEK_HOLE);
        for (end = end < 0 ? size : end; at < end; at += PAGE_SIZE) {
            const u8 *page = (const u8 *)ram->base + at;
            sum += is_zero(page) ? 0 : digest_bytes((u64)at, page, PAGE_SIZE);
        }
    }
    return sum;
}
