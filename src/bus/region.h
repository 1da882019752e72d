/*
 * region.h - the device contract, and the map from port and MMIO addresses to devices.
 *
 * A device gives its regions read and write functions with an offset into the region, and says
 * which access sizes it takes; the map splits and joins accesses of other sizes, so a device never
 * sees one.  Devices never see a CPU or an engine.  The map lives on the board.
 */
#ifndef BUS_REGION_H
#define BUS_REGION_H

#include "base/types.h"

enum bus_space {
    BUS_PIO,  /* ports 0 to 0xffff */
    BUS_MMIO, /* guest-physical addresses that are not RAM */
};

struct bus_region_ops {
    /* size is a power of two in [min_size, max_size], offset is a multiple of min_size. */
    u64 (*read)(void *device, u64 offset, unsigned size);
    void (*write)(void *device, u64 offset, u64 value, unsigned size);
    u8 min_size, max_size; /* in bytes: 1, 2, 4 or 8 */
};

struct bus_region {
    enum bus_space space;
    u64 base, size;
    const struct bus_region_ops *ops;
    void *device;
    const char *name; /* for the monitor and traces */
    bool doorbell;    /* writes only say "look": their order with other vCPUs' does not matter */
};

struct bus_map {
    struct bus_region *regions; /* sorted by space, then base; never overlapping */
    unsigned count, capacity;
    unsigned changes; /* regions added and removed so far */
};

/* 0, -ENOMEM, or -EEXIST where the region would overlap another.  The map copies *region; ops,
 * device and name are borrowed. */
int bus_map_add(struct bus_map *map, const struct bus_region *region);
void bus_map_remove(struct bus_map *map, enum bus_space space, u64 base);
void bus_map_destroy(struct bus_map *map);

/* size is 1, 2, 4 or 8.  Where nothing answers, reads give all ones and writes vanish, as on a PC.
 * An access that spans regions is done byte by byte. */
u64 bus_map_read(struct bus_map *map, enum bus_space space, u64 addr, unsigned size);
void bus_map_write(struct bus_map *map, enum bus_space space, u64 addr, u64 value, unsigned size);

/* The region at addr, or NULL. */
const struct bus_region *bus_map_find(const struct bus_map *map, enum bus_space space, u64 addr);

#endif
