/* test_testdev.c - the echo register, the lines and the memory of pc-testdev. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dev/testdev.h"
#include "fake_slot.h"

struct world {
    struct fake_slot f;
    struct device *t;
    struct mem mem;
    struct mem_coherence vcpu;
    u8 ram[4 * PAGE_SIZE], holders[4];
};

static void init_beside(struct world *w, bool debug_console)
{
    struct testdev_config config = {.mem = &w->mem, .no_echo_bytes = debug_console};

    memset(w, 0, sizeof(*w));
    fake_slot_init(&w->f);
    w->mem = (struct mem){.base = w->ram,
                          .low_size = sizeof(w->ram),
                          .code_holders = w->holders,
                          .coherence = &w->vcpu,
                          .cpu_count = 1};
    for (unsigned i = 0; i < FAKE_LINES; i++) {
        config.lines[i] = fake_irq(&w->f, i);
    }
    assert_int_equal(testdev_create(&w->f.slot, &config, &w->t), 0);
}

static void init(struct world *w)
{
    init_beside(w, false);
}

static void done(struct world *w)
{
    device_destroy(w->t);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static void echo(void **state)
{
    static const u16 ports[] = {TESTDEV_ECHO, TESTDEV_ECHO_BYTES};
    struct world w;

    (void)state;
    init(&w);
    for (unsigned i = 0; i < 2; i++) {
        u16 port = ports[i];
        fake_out(&w.f, port, 0x11223344, 4);
        assert_int_equal(fake_in(&w.f, port, 4), 0x11223344);
        assert_int_equal(fake_in(&w.f, port, 2), 0x3344);
        assert_int_equal(fake_in(&w.f, port + 2, 2), 0x1122);
        assert_int_equal(fake_in(&w.f, port + 3, 1), 0x11);
        fake_out(&w.f, port + 1, 0xaabb, 2);
        fake_out(&w.f, port + 3, 0xcc, 1);
        assert_int_equal(fake_in(&w.f, port, 4), 0xccaabb44);
        assert_int_equal(fake_in(&w.f, ports[1 - i], 4), 0xccaabb44); /* they are one register */
    }
    w.t->reset(w.t);
    assert_int_equal(fake_in(&w.f, TESTDEV_ECHO, 4), 0);
    done(&w);
}

static void beside_a_debug_console(void **state)
{
    struct world w;

    (void)state;
    init_beside(&w, true);
    fake_out(&w.f, TESTDEV_ECHO, 0x11223344, 4);
    assert_int_equal(fake_in(&w.f, TESTDEV_ECHO, 4), 0x11223344);
    assert_int_equal(fake_in(&w.f, TESTDEV_ECHO_BYTES, 4), 0xffffffff);
    done(&w);
}

static void lines(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, TESTDEV_LINES_PORT + 14, 1);
    assert_true(w.f.level[14]);
    assert_false(w.f.level[15]);
    outb(&w.f, TESTDEV_LINES_PORT + 15, 0x80);
    assert_true(w.f.level[15]);
    outb(&w.f, TESTDEV_LINES_PORT + 14, 0);
    assert_false(w.f.level[14]);
    assert_int_equal(inb(&w.f, TESTDEV_LINES_PORT + 15), 0);
    outb(&w.f, TESTDEV_LINES_PORT + 23, 1); /* to nowhere here */
    w.t->reset(w.t);
    assert_false(w.f.level[15]);
    done(&w);
}

static void memory(void **state)
{
    struct world w;
    u64 at = TESTDEV_MEMORY, end = at + TESTDEV_MEMORY_LEN;

    (void)state;
    init(&w);
    bus_map_write(&w.f.bus, BUS_MMIO, at + 0x101, 0x1122334455667788, 8);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, at + 0x101, 8), 0x1122334455667788);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, at + 0x103, 2), 0x5566);
    bus_map_write(&w.f.bus, BUS_MMIO, end - 2, 0xa1b2c3d4, 4); /* half of it is beyond */
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, end - 2, 4), 0xffffc3d4);
    w.t->reset(w.t);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, at + 0x101, 8), 0);
    done(&w);
}

/* The vCPU is told if it holds code of that page. */
static void flush(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    w.holders[1] = 1;
    fake_out(&w.f, TESTDEV_FLUSH, 2 * PAGE_SIZE, 4);
    fake_out(&w.f, TESTDEV_FLUSH, PAGE_SIZE, 2);  /* only dwords count */
    fake_out(&w.f, TESTDEV_FLUSH, 0xfffff000, 4); /* no RAM */
    assert_int_equal(w.vcpu.stale, 0);
    fake_out(&w.f, TESTDEV_FLUSH, PAGE_SIZE + 0x123, 4);
    assert_int_equal(w.vcpu.stale, MEM_STALE_SLOT);
    assert_int_equal(w.vcpu.stale_at[0], (u64)PAGE_SIZE << 13 | PAGE_SIZE);
    assert_int_equal(fake_in(&w.f, TESTDEV_FLUSH, 4), 0);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo),  cmocka_unit_test(beside_a_debug_console),
        cmocka_unit_test(lines), cmocka_unit_test(memory),
        cmocka_unit_test(flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
