/*
 * testdev.c - QEMU's pc-testdev, which kvm-unit-tests and other test kernels use.
 *
 *      port E0, 4 bytes     echo: a register of 32 bits, at any width and offset
 *      port E4, dword       flush: drop what the CPUs hold of the page with that address
 *      port E8, 4 bytes     the same register as E0, but the device sees only bytes; not beside a
 *                           debug console, which has port E9
 *      ports 2000 to 2017   interrupt lines: a byte that is not 0 raises GSI 0 to 23, 0 lowers it
 *      ff000000, 64 KiB     memory behind MMIO, at any width
 *
 * All else reads as 0.
 *
 * QEMU, hw/misc/pc-testdev.c.
 */
#include "dev/testdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

struct testdev {
    struct device device;
    struct slot slot;
    struct testdev_config config;
    u32 echo;
    u8 memory[TESTDEV_MEMORY_LEN];
};

static u64 read_nothing(void *device, u64 offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

/* The bus sees to it that offset + size is at most 4. */
static u64 echo_read(void *device, u64 offset, unsigned size)
{
    const struct testdev *t = device;

    return bits_get(t->echo, 8 * (unsigned)offset, 8 * size);
}

static void echo_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = device;
    u64 mask = bits_mask(8 * size) << (8 * offset);

    t->echo = (u32)((t->echo & ~mask) | (value << (8 * offset)));
}

static void flush_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = device;
    gpa_t page = value & PAGE_MASK;

    if (offset == 0 && size == 4 && mem_ptr(t->config.mem, page)) {
        mem_changed(t->config.mem, page, PAGE_SIZE);
    }
}

static void line_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = device;

    (void)size;
    irq_set(&t->config.lines[offset], value != 0);
}

static u64 memory_read(void *device, u64 offset, unsigned size)
{
    const struct testdev *t = device;
    u64 value = 0;

    memcpy(&value, t->memory + offset, size);
    return value;
}

static void memory_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = device;

    memcpy(t->memory + offset, &value, size);
}

static const struct bus_region_ops echo_ops = {echo_read, echo_write, 1, 4};
static const struct bus_region_ops echo_bytes_ops = {echo_read, echo_write, 1, 1};
static const struct bus_region_ops flush_ops = {read_nothing, flush_write, 1, 4};
static const struct bus_region_ops line_ops = {read_nothing, line_write, 1, 1};
static const struct bus_region_ops memory_ops = {memory_read, memory_write, 1, 8};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = TESTDEV_ECHO, .size = 4, .ops = &echo_ops, .name = "test echo"},
    {.space = BUS_PIO, .base = TESTDEV_FLUSH, .size = 4, .ops = &flush_ops, .name = "test flush"},
    {.space = BUS_PIO,
     .base = TESTDEV_LINES_PORT,
     .size = TESTDEV_LINES,
     .ops = &line_ops,
     .name = "test lines"},
    {.space = BUS_MMIO,
     .base = TESTDEV_MEMORY,
     .size = TESTDEV_MEMORY_LEN,
     .ops = &memory_ops,
     .name = "test memory"},
    /* The last, which may be left out. */
    {.space = BUS_PIO,
     .base = TESTDEV_ECHO_BYTES,
     .size = 4,
     .ops = &echo_bytes_ops,
     .name = "test echo, bytes"},
};

static unsigned region_count(const struct testdev *t)
{
    return ARRAY_SIZE(regions) - t->config.no_echo_bytes;
}

static void reset(struct device *device)
{
    struct testdev *t = container_of(device, struct testdev, device);

    t->echo = 0;
    memset(t->memory, 0, sizeof(t->memory));
    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        irq_set(&t->config.lines[i], false);
    }
}

static void destroy(struct device *device)
{
    struct testdev *t = container_of(device, struct testdev, device);

    device_remove_regions(&t->slot, regions, region_count(t));
    free(t);
}

static const struct field fields[] = {
    FIELD(struct testdev, echo),
    FIELD_ARRAY(struct testdev, memory),
    FIELDS_END,
};

int testdev_create(const struct slot *slot, const struct testdev_config *config,
                   struct device **device)
{
    struct testdev *t = calloc(1, sizeof(*t));
    int error;

    if (!t) {
        return -ENOMEM;
    }
    t->device = (struct device){.name = "testdev",
                                .block = t,
                                .block_bytes = sizeof(*t),
                                .state = {{fields, t}},
                                .reset = reset,
                                .destroy = destroy};
    t->slot = *slot;
    t->config = *config;
    error = device_add_regions(slot, regions, region_count(t), t);
    if (error) {
        free(t);
        return error;
    }
    *device = &t->device;
    return 0;
}
