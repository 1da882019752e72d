/* test_ioapic.c - redirection entries: what is sent where and when, remote IRR, and EOIs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/ioapic.h"
#include "fake_slot.h"

#define LEVEL  (1u << 15)
#define MASKED (1u << 16)
#define REMOTE (1u << 14)

struct world {
    struct fake_slot f;
    struct interrupt_inbox inboxes[2];
    struct interrupt_fabric fabric;
    struct device *io;
};

static void init(struct world *w)
{
    struct ioapic_config config;
    unsigned i;

    fake_slot_init(&w->f);
    for (i = 0; i < 2; i++) {
        w->inboxes[i] = (struct interrupt_inbox){
            .apic_id = i, .mode = 1, .dfr = 0xffffffff, .ldr = 1u << (24 + i)};
    }
    w->fabric = (struct interrupt_fabric){.inboxes = w->inboxes, .count = 2};
    config = (struct ioapic_config){.fabric = &w->fabric, .base = IOAPIC_BASE, .id = 3};
    assert_int_equal(ioapic_create(&w->f.slot, &config, &w->io), 0);
}

static void done(struct world *w)
{
    device_destroy(w->io);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static u32 get(struct world *w, u8 index)
{
    bus_map_write(&w->f.bus, BUS_MMIO, IOAPIC_BASE, index, 4);
    return (u32)bus_map_read(&w->f.bus, BUS_MMIO, IOAPIC_BASE + 0x10, 4);
}

static void put(struct world *w, u8 index, u32 value)
{
    bus_map_write(&w->f.bus, BUS_MMIO, IOAPIC_BASE, index, 4);
    bus_map_write(&w->f.bus, BUS_MMIO, IOAPIC_BASE + 0x10, value, 4);
}

static void entry(struct world *w, unsigned pin, u32 low, u8 dest)
{
    put(w, (u8)(0x11 + 2 * pin), (u32)dest << 24);
    put(w, (u8)(0x10 + 2 * pin), low);
}

static void set(struct world *w, unsigned pin, bool level)
{
    struct irq irq = ioapic_irq(w->io, pin);
    irq_set(&irq, level);
}

/* Whether vCPU n has been sent this vector since the last call. */
static bool sent(struct world *w, unsigned n, u8 vector)
{
    u64 bit = 1ull << (vector % 64);
    return atomic_fetch_and(&w->inboxes[n].irr[vector / 64], ~bit) & bit;
}

static void identification(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(get(&w, 0), 0x03000000);
    assert_int_equal(get(&w, 1), 0x00170020);
    assert_int_equal(get(&w, 2), 0x03000000);
    put(&w, 0, 0xffffffff);
    assert_int_equal(get(&w, 0), 0x0f000000);
    put(&w, 1, 0);
    assert_int_equal(get(&w, 1), 0x00170020);
    assert_int_equal(get(&w, 0x10), MASKED);
    assert_int_equal(get(&w, 0x3e), MASKED);
    assert_int_equal(get(&w, 0x40), 0);
    assert_int_equal(get(&w, 0x0f), 0);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, IOAPIC_BASE, 4), 0x0f);
    put(&w, 0xff, 0xffffffff);
    entry(&w, 23, 0xffffffff, 0xab);
    assert_int_equal(get(&w, 0x3e), 0x0001afff); /* status and remote IRR are read-only */
    assert_int_equal(get(&w, 0x3f), 0xab000000);
    w.io->reset(w.io);
    assert_int_equal(get(&w, 0x3e), MASKED);
    assert_int_equal(get(&w, 0), 0x03000000);
    done(&w);
}

static void edges(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    entry(&w, 4, 0x41, 1);
    set(&w, 4, true);
    assert_true(sent(&w, 1, 0x41));
    assert_false(sent(&w, 0, 0x41));
    set(&w, 4, true);
    assert_false(sent(&w, 1, 0x41));
    set(&w, 4, false);
    assert_false(sent(&w, 1, 0x41));
    set(&w, 4, true);
    assert_true(sent(&w, 1, 0x41));
    assert_int_equal(w.inboxes[1].tmr[1], 0);
    entry(&w, 4, MASKED | 0x41, 1);
    set(&w, 4, false);
    set(&w, 4, true);
    entry(&w, 4, 0x41, 1);
    assert_false(sent(&w, 1, 0x41)); /* an edge at a masked pin is lost */
    set(&w, IOAPIC_PINS, true);      /* no such pin */
    done(&w);
}

static void levels(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    entry(&w, 9, LEVEL | 0x51, 0);
    set(&w, 9, true);
    assert_true(sent(&w, 0, 0x51));
    assert_true(w.inboxes[0].tmr[1] & 1ull << 0x11);
    assert_int_equal(get(&w, 0x22), LEVEL | REMOTE | 0x51);
    set(&w, 9, false);
    set(&w, 9, true);
    assert_false(sent(&w, 0, 0x51)); /* in service */
    ioapic_eoi(w.io, 0x52);
    assert_false(sent(&w, 0, 0x51));
    ioapic_eoi(w.io, 0x51);
    assert_true(sent(&w, 0, 0x51)); /* still asserted */
    set(&w, 9, false);
    ioapic_eoi(w.io, 0x51);
    assert_false(sent(&w, 0, 0x51));
    assert_int_equal(get(&w, 0x22), LEVEL | 0x51);
    entry(&w, 9, MASKED | LEVEL | 0x51, 0);
    set(&w, 9, true);
    assert_false(sent(&w, 0, 0x51));
    entry(&w, 9, LEVEL | 0x51, 0); /* a level is seen when unmasked */
    assert_true(sent(&w, 0, 0x51));
    set(&w, 9, false);
    bus_map_write(&w.f.bus, BUS_MMIO, IOAPIC_BASE + 0x40, 0x51, 4); /* the EOI register */
    assert_int_equal(get(&w, 0x22), LEVEL | 0x51);
    done(&w);
}

static void edge_mode_clears_remote_irr(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    entry(&w, 9, LEVEL | 0x51, 0);
    set(&w, 9, true);
    assert_int_equal(get(&w, 0x22) & REMOTE, REMOTE);
    put(&w, 0x22, MASKED | 0x51);
    put(&w, 0x22, MASKED | LEVEL | 0x51);
    assert_int_equal(get(&w, 0x22) & REMOTE, 0);
    done(&w);
}

static void nobody_there(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    entry(&w, 9, LEVEL | 0x51, 7);
    set(&w, 9, true);
    assert_int_equal(get(&w, 0x22) & REMOTE, 0); /* not stuck for ever */
    entry(&w, 9, LEVEL | 0x51, 1);
    assert_true(sent(&w, 1, 0x51));
    done(&w);
}

static void delivery_modes(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    entry(&w, 1, 1 << 11 | 0x61, 3); /* logical, to both */
    set(&w, 1, true);
    assert_true(sent(&w, 0, 0x61));
    assert_true(sent(&w, 1, 0x61));
    entry(&w, 2, 1 << 11 | INTERRUPT_LOWEST << 8 | 0x62, 3);
    set(&w, 2, true);
    assert_int_equal(sent(&w, 0, 0x62) + sent(&w, 1, 0x62), 1);
    entry(&w, 3, INTERRUPT_NMI << 8, 1);
    set(&w, 3, true);
    assert_int_equal(w.inboxes[1].events, INBOX_NMI);
    entry(&w, 5, LEVEL | INTERRUPT_NMI << 8, 0);
    set(&w, 5, true);
    assert_int_equal(get(&w, 0x1a) & REMOTE, 0); /* only fixed and lowest priority have it */
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identification), cmocka_unit_test(edges),
        cmocka_unit_test(levels),         cmocka_unit_test(edge_mode_clears_remote_irr),
        cmocka_unit_test(nobody_there),   cmocka_unit_test(delivery_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
