/* test_region.c - the map from addresses to devices: look-up, overlap, and how accesses are split.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus/region.h"

/* A device that is memory, and logs what it was asked. */
struct ram {
    u8 bytes[64];
    unsigned calls;
    struct {
        u64 offset, value;
        unsigned size;
    } log[16];
};

static void note(struct ram *ram, u64 offset, u64 value, unsigned size)
{
    ram->log[ram->calls % 16].offset = offset;
    ram->log[ram->calls % 16].value = value;
    ram->log[ram->calls % 16].size = size;
    ram->calls++;
}

static u64 ram_read(void *device, u64 offset, unsigned size)
{
    struct ram *ram = device;
    u64 value = ~0ull; /* what is above the size must not matter */

    memcpy(&value, ram->bytes + offset, size);
    note(ram, offset, value, size);
    return value;
}

static void ram_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct ram *ram = device;

    memcpy(ram->bytes + offset, &value, size);
    note(ram, offset, value, size);
}

static const struct bus_region_ops bytes_ops = {ram_read, ram_write, 1, 1};
static const struct bus_region_ops dwords_ops = {ram_read, ram_write, 4, 4};
static const struct bus_region_ops any_ops = {ram_read, ram_write, 1, 8};

static struct bus_region region(enum bus_space space, u64 base, u64 size,
                                const struct bus_region_ops *ops, struct ram *ram)
{
    return (struct bus_region){
        .space = space, .base = base, .size = size, .ops = ops, .device = ram, .name = "ram"};
}

static int add(struct bus_map *map, enum bus_space space, u64 base, u64 size,
               const struct bus_region_ops *ops, struct ram *ram)
{
    struct bus_region r = region(space, base, size, ops, ram);
    return bus_map_add(map, &r);
}

static void keeps_regions_apart(void **state)
{
    struct bus_map map = {0};
    struct ram ram = {0};

    (void)state;
    assert_int_equal(add(&map, BUS_PIO, 0x60, 4, &bytes_ops, &ram), 0);
    assert_int_equal(add(&map, BUS_PIO, 0x20, 2, &bytes_ops, &ram), 0);
    assert_int_equal(add(&map, BUS_PIO, 0x64, 1, &bytes_ops, &ram), 0);
    assert_int_equal(add(&map, BUS_MMIO, 0x60, 4, &bytes_ops, &ram), 0);
    assert_int_equal(add(&map, BUS_PIO, 0x63, 1, &bytes_ops, &ram), -EEXIST);
    assert_int_equal(add(&map, BUS_PIO, 0x5f, 2, &bytes_ops, &ram), -EEXIST);
    assert_int_equal(add(&map, BUS_PIO, 0x10, 0x100, &bytes_ops, &ram), -EEXIST);
    assert_int_equal(add(&map, BUS_PIO, 0x61, 2, &bytes_ops, &ram), -EEXIST);
    assert_int_equal(map.count, 4);
    assert_null(bus_map_find(&map, BUS_PIO, 0x5f));
    assert_int_equal(bus_map_find(&map, BUS_PIO, 0x63)->base, 0x60);
    assert_int_equal(bus_map_find(&map, BUS_PIO, 0x64)->base, 0x64);
    assert_null(bus_map_find(&map, BUS_PIO, 0x65));
    assert_int_equal(bus_map_find(&map, BUS_MMIO, 0x61)->space, BUS_MMIO);
    bus_map_remove(&map, BUS_PIO, 0x61); /* not its base */
    assert_int_equal(map.count, 4);
    bus_map_remove(&map, BUS_PIO, 0x60);
    assert_null(bus_map_find(&map, BUS_PIO, 0x60));
    assert_int_equal(bus_map_find(&map, BUS_PIO, 0x64)->base, 0x64);
    bus_map_destroy(&map);
    assert_null(bus_map_find(&map, BUS_PIO, 0x64));
}

static void holds_many_regions(void **state)
{
    struct bus_map map = {0};
    struct ram ram = {0};
    u64 i;

    (void)state;
    for (i = 0; i < 200; i++) { /* in a scattered order */
        assert_int_equal(add(&map, BUS_MMIO, (i * 77 % 200) * 16, 8, &any_ops, &ram), 0);
    }
    for (i = 0; i < 200; i++) {
        assert_int_equal(bus_map_find(&map, BUS_MMIO, i * 16 + 7)->base, i * 16);
        assert_null(bus_map_find(&map, BUS_MMIO, i * 16 + 8));
    }
    bus_map_destroy(&map);
}

static void nothing_reads_as_ones(void **state)
{
    struct bus_map map = {0};

    (void)state;
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0x80, 1), 0xff);
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0x80, 2), 0xffff);
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0xffff, 4), 0xffffffff);
    assert_true(bus_map_read(&map, BUS_MMIO, ~0ull, 8) == ~0ull);
    bus_map_write(&map, BUS_MMIO, ~0ull - 2, 0, 8);
}

static void splits_wide_accesses(void **state)
{
    struct bus_map map = {0};
    struct ram ram = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8}};

    (void)state;
    add(&map, BUS_PIO, 0x100, 16, &bytes_ops, &ram);
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0x102, 4), 0x06050403);
    assert_int_equal(ram.calls, 4);
    assert_int_equal(ram.log[0].offset, 2);
    assert_int_equal(ram.log[3].offset, 5);
    bus_map_write(&map, BUS_PIO, 0x100, 0xffffffffaabbccdd, 2);
    assert_int_equal(ram.bytes[0], 0xdd);
    assert_int_equal(ram.bytes[1], 0xcc);
    assert_int_equal(ram.bytes[2], 3);
    bus_map_destroy(&map);
}

static void joins_narrow_accesses(void **state)
{
    struct bus_map map = {0};
    struct ram ram = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8}};

    (void)state;
    add(&map, BUS_MMIO, 0xfec00000, 16, &dwords_ops, &ram);
    assert_int_equal(bus_map_read(&map, BUS_MMIO, 0xfec00001, 1), 2);
    assert_int_equal(ram.log[0].offset, 0);
    assert_int_equal(ram.log[0].size, 4);
    assert_int_equal(bus_map_read(&map, BUS_MMIO, 0xfec00002, 4), 0x06050403);
    assert_int_equal(ram.calls, 3); /* two whole units */
    assert_true(bus_map_read(&map, BUS_MMIO, 0xfec00000, 8) == 0x0807060504030201);
    bus_map_write(&map, BUS_MMIO, 0xfec00001, 0xab, 1);
    assert_int_equal(ram.log[5].offset, 0);
    assert_int_equal(ram.log[5].value, 0xab00);
    bus_map_write(&map, BUS_MMIO, 0xfec00006, 0x11223344, 4);
    assert_int_equal(ram.log[6].offset, 4);
    assert_int_equal(ram.log[6].value, 0x33440000);
    assert_int_equal(ram.log[7].offset, 8);
    assert_int_equal(ram.log[7].value, 0x1122);
    bus_map_destroy(&map);
}

static void passes_what_fits(void **state)
{
    struct bus_map map = {0};
    struct ram ram = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8}};

    (void)state;
    add(&map, BUS_MMIO, 0, 16, &any_ops, &ram);
    assert_int_equal(bus_map_read(&map, BUS_MMIO, 3, 2), 0x0504);
    assert_int_equal(ram.calls, 1);
    bus_map_write(&map, BUS_MMIO, 0, ~0ull, 8);
    assert_int_equal(ram.log[1].size, 8);
    bus_map_write(&map, BUS_MMIO, 0, ~0ull, 1);
    assert_int_equal(ram.log[2].value, 0xff);
    bus_map_destroy(&map);
}

static void splits_at_the_end_of_a_region(void **state)
{
    struct bus_map map = {0};
    struct ram first = {.bytes = {1, 2}}, second = {.bytes = {3}};

    (void)state;
    add(&map, BUS_PIO, 0x10, 2, &any_ops, &first);
    add(&map, BUS_PIO, 0x12, 1, &any_ops, &second);
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0x10, 4), 0xff030201);
    assert_int_equal(bus_map_read(&map, BUS_PIO, 0x0f, 2), 0x01ff);
    bus_map_write(&map, BUS_PIO, 0x11, 0xccbbaa, 4);
    assert_int_equal(first.bytes[1], 0xaa);
    assert_int_equal(second.bytes[0], 0xbb);
    bus_map_destroy(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_regions_apart),           cmocka_unit_test(holds_many_regions),
        cmocka_unit_test(nothing_reads_as_ones),         cmocka_unit_test(splits_wide_accesses),
        cmocka_unit_test(joins_narrow_accesses),         cmocka_unit_test(passes_what_fits),
        cmocka_unit_test(splits_at_the_end_of_a_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
