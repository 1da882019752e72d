/*
 * region.c - the map from addresses to devices.
 *
 * Accesses that a device does not take as they are:
 *   - wider than max_size: done in pieces of max_size, lowest address first;
 *   - narrower than min_size, or not at a multiple of it: a read reads the whole units around it; a
 *     write writes whole units, with zeros in the bytes that the access does not have;
 *   - over the end of a region: byte by byte, each to whoever is there.
 */
#include "bus/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* The index of the first region that is not wholly below addr. */
static unsigned find_index(const struct bus_map *map, enum bus_space space, u64 addr)
{
    unsigned low = 0, high = map->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const struct bus_region *r = &map->regions[middle];
        bool below =
            r->space < space || (r->space == space && r->base <= addr && addr - r->base >= r->size);
        if (below) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct bus_region *bus_map_find(const struct bus_map *map, enum bus_space space, u64 addr)
{
    unsigned index = find_index(map, space, addr);
    const struct bus_region *r = &map->regions[index];

    if (index == map->count || r->space != space || addr < r->base) {
        return NULL;
    }
    return r;
}

static int reserve(struct bus_map *map)
{
    unsigned capacity = map->capacity ? 2 * map->capacity : 16;
    struct bus_region *regions;

    if (map->count < map->capacity) {
        return 0;
    }
    regions = realloc(map->regions, capacity * sizeof(*regions));
    if (!regions) {
        return -ENOMEM;
    }
    map->regions = regions;
    map->capacity = capacity;
    return 0;
}

int bus_map_add(struct bus_map *map, const struct bus_region *region)
{
    unsigned index = find_index(map, region->space, region->base);
    int error;

    if (index < map->count) {
        const struct bus_region *r = &map->regions[index];
        bool overlaps = r->space == region->space &&
                        (r->base <= region->base || r->base - region->base < region->size);
        if (overlaps) {
            return -EEXIST;
        }
    }
    error = reserve(map);
    if (error) {
        return error;
    }
    memmove(&map->regions[index + 1], &map->regions[index],
            (map->count - index) * sizeof(*map->regions));
    map->regions[index] = *region;
    map->count++;
    map->changes++;
    return 0;
}

void bus_map_remove(struct bus_map *map, enum bus_space space, u64 base)
{
    const struct bus_region *r = bus_map_find(map, space, base);
    unsigned index;

    if (!r || r->base != base) {
        return;
    }
    index = (unsigned)(r - map->regions);
    map->count--;
    map->changes++;
    memmove(&map->regions[index], &map->regions[index + 1],
            (map->count - index) * sizeof(*map->regions));
}

void bus_map_destroy(struct bus_map *map)
{
    free(map->regions);
    *map = (struct bus_map){0};
}

static u64 region_read(const struct bus_region *r, u64 offset, unsigned size)
{
    return r->ops->read(r->device, offset, size) & bits_mask(8 * size);
}

/* Read through units of min_size; the access may touch several. */
static u64 read_units(const struct bus_region *r, u64 offset, unsigned size)
{
    unsigned unit = r->ops->min_size, i = 0;
    u64 value = 0;

    while (i < size) {
        unsigned skip = (offset + i) & (unit - 1);
        unsigned bytes = unit - skip < size - i ? unit - skip : size - i;
        u64 part = region_read(r, offset + i - skip, unit) >> (8 * skip);
        value |= (part & bits_mask(8 * bytes)) << (8 * i);
        i += bytes;
    }
    return value;
}

static void write_units(const struct bus_region *r, u64 offset, u64 value, unsigned size)
{
    unsigned unit = r->ops->min_size, i = 0;

    while (i < size) {
        unsigned skip = (offset + i) & (unit - 1);
        unsigned bytes = unit - skip < size - i ? unit - skip : size - i;
        u64 part = (value >> (8 * i)) & bits_mask(8 * bytes);
        r->ops->write(r->device, offset + i - skip, part << (8 * skip), unit);
        i += bytes;
    }
}

static bool whole_units(const struct bus_region *r, u64 offset, unsigned size)
{
    return size >= r->ops->min_size && (offset & (r->ops->min_size - 1u)) == 0;
}

u64 bus_map_read(struct bus_map *map, enum bus_space space, u64 addr, unsigned size)
{
    const struct bus_region *found = bus_map_find(map, space, addr);
    u64 value = 0;
    unsigned i, piece;

    if (found && size <= found->size - (addr - found->base)) {
        const struct bus_region r = *found; /* the device may change the map meanwhile */
        u64 offset = addr - r.base;
        if (!whole_units(&r, offset, size)) {
            return read_units(&r, offset, size);
        }
        piece = size < r.ops->max_size ? size : r.ops->max_size;
        for (i = 0; i < size; i += piece) {
            value |= region_read(&r, offset + i, piece) << (8 * i);
        }
        return value;
    }
    if (size == 1) {
        return 0xff;
    }
    for (i = 0; i < size; i++) {
        value |= bus_map_read(map, space, addr + i, 1) << (8 * i);
    }
    return value;
}

void bus_map_write(struct bus_map *map, enum bus_space space, u64 addr, u64 value, unsigned size)
{
    const struct bus_region *found = bus_map_find(map, space, addr);
    unsigned i, piece;

    if (found && size <= found->size - (addr - found->base)) {
        const struct bus_region r = *found; /* the device may change the map meanwhile */
        u64 offset = addr - r.base;
        if (!whole_units(&r, offset, size)) {
            write_units(&r, offset, value, size);
            return;
        }
        piece = size < r.ops->max_size ? size : r.ops->max_size;
        for (i = 0; i < size; i += piece) {
            r.ops->write(r.device, offset + i, (value >> (8 * i)) & bits_mask(8 * piece), piece);
        }
        return;
    }
    if (size == 1) {
        return;
    }
    for (i = 0; i < size; i++) {
        bus_map_write(map, space, addr + i, (value >> (8 * i)) & 0xff, 1);
    }
}
