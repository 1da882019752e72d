/* test_pci.c - configuration space by ports and memory, BARs that move, INTx, MSI-X, and resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dev/pci/host.h"
#include "fake_slot.h"

enum { COMMAND = 4, BAR_IO = 0x10, BAR_MEM = 0x14, BAR_MEM64 = 0x18, BAR_MSIX = 0x20, VCPUS = 2 };

struct card {
    struct pci_function function;
    u32 reg;
    unsigned resets;
};

struct world {
    struct fake_slot f;
    struct device *host;
    struct pci_bus *bus;
    struct interrupt_inbox inboxes[VCPUS];
    struct interrupt_fabric fabric;
    struct mem mem;
    u8 cf9;
    struct card cards[3];
};

static u64 card_read(void *device, u64 offset, unsigned size)
{
    struct card *card = device;

    (void)offset;
    (void)size;
    return card->reg;
}

static void card_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct card *card = device;

    (void)offset;
    (void)size;
    card->reg = (u32)value;
}

static void card_reset(struct pci_function *function)
{
    container_of(function, struct card, function)->resets++;
}

static const struct bus_region_ops card_ops = {card_read, card_write, 4, 4};
static const struct pci_ops card_pci_ops = {.reset = card_reset};

static u8 read_cf9(void *context)
{
    return ((struct world *)context)->cf9;
}

static void write_cf9(void *context, u8 value)
{
    ((struct world *)context)->cf9 = value;
}

static void plug(struct world *w, struct card *card)
{
    static const struct pci_identity identity = {
        .vendor = 0x1234, .device = 0x5678, .revision = 9, .class_code = 0xff0102};
    static const struct {
        enum pci_bar_kind kind;
        u64 size;
    } bars[] = {{PCI_BAR_IO, 0x20}, {PCI_BAR_MEM32, 0x1000}, {PCI_BAR_MEM64, 0x200000000}};

    pci_function_init(&card->function, "card", &card_pci_ops, &identity);
    for (unsigned i = 0; i < 3; i++) {
        struct pci_bar bar = {
            .kind = bars[i].kind,
            .size = bars[i].size,
            .parts = {{.base = 0, .size = 16, .ops = &card_ops, .device = card}},
            .count = 1,
        };
        pci_set_bar(&card->function, i, &bar);
    }
    pci_add_msix(&card->function, 4, 3);
    pci_add_express(&card->function);
    pci_use_intx(&card->function);
    assert_int_equal(pci_attach(w->bus, &card->function), 0);
}

static void init(struct world *w)
{
    struct pci_host_config config = {.fabric = &w->fabric,
                                     .mem = &w->mem,
                                     .read_cf9 = read_cf9,
                                     .write_cf9 = write_cf9,
                                     .context = w};

    *w = (struct world){.fabric = {.inboxes = w->inboxes, .count = VCPUS}};
    fake_slot_init(&w->f);
    w->mem = (struct mem){.base = calloc(1, 0x10000), .low_size = 0x10000};
    for (unsigned i = 0; i < VCPUS; i++) {
        w->inboxes[i].apic_id = i;
        w->inboxes[i].mode = 1;
    }
    for (unsigned i = 0; i < PCI_LINES; i++) {
        config.lines[i] = fake_irq(&w->f, i);
    }
    assert_int_equal(pci_host_create(&w->f.slot, &config, &w->host), 0);
    w->bus = pci_host_bus(w->host);
    for (unsigned i = 0; i < 3; i++) {
        plug(w, &w->cards[i]);
    }
    pci_assign(w->bus);
}

static void done(struct world *w)
{
    for (unsigned i = 0; i < 3; i++) {
        pci_detach(&w->cards[i].function);
    }
    device_destroy(w->host);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
    free(w->mem.base);
}

static u64 ecam(unsigned slot, unsigned offset)
{
    return MEM_ECAM_START + slot * 0x8000u + offset;
}

static u32 get(struct world *w, unsigned slot, unsigned offset)
{
    return (u32)bus_map_read(&w->f.bus, BUS_MMIO, ecam(slot, offset), 4);
}

static void set(struct world *w, unsigned slot, unsigned offset, u32 value)
{
    bus_map_write(&w->f.bus, BUS_MMIO, ecam(slot, offset), value, 4);
}

static unsigned find_cap(struct world *w, unsigned slot, u8 id)
{
    unsigned at = get(w, slot, 0x34) & 0xff;

    while (at && (get(w, slot, at) & 0xff) != id) {
        at = get(w, slot, at) >> 8 & 0xff;
    }
    assert_int_not_equal(at, 0);
    return at;
}

static void both_ways_lead_to_the_same(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    fake_out(&w.f, 0xcf8, 0x80000000 | 2 << 11 | 8, 4);
    assert_int_equal(fake_in(&w.f, 0xcf8, 4), 0x80001008);
    assert_int_equal(fake_in(&w.f, 0xcfc, 4), 0xff010209);
    assert_int_equal(fake_in(&w.f, 0xcfd, 1), 0x02);
    assert_int_equal(fake_in(&w.f, 0xcfe, 2), 0xff01);
    assert_int_equal(get(&w, 2, 8), 0xff010209);
    assert_int_equal(get(&w, 2, 0), 0x56781234);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, ecam(2, 0), 8) & 0xffffffff, 0x56781234);
    set(&w, 2, 0, 0xffffffff); /* read only */
    assert_int_equal(get(&w, 2, 0), 0x56781234);

    /* Nobody is there: another slot, function, bus; and the address not enabled. */
    static const u32 nowhere[] = {0x80000000 | 9 << 11, 0x80000100 | 2 << 11, 0x80010000 | 2 << 11,
                                  2 << 11};
    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
        fake_out(&w.f, 0xcf8, nowhere[i], 4);
        assert_int_equal(fake_in(&w.f, 0xcfc, 4), 0xffffffff);
        fake_out(&w.f, 0xcfc, 0xffffffff, 4);
    }
    assert_int_equal(get(&w, 9, 0), 0xffffffff);
    assert_int_equal(get(&w, 2, 0x1000), 0xffffffff); /* function 1 */
    assert_int_equal(get(&w, 2, 0x100), 0);           /* no extended capability */
    done(&w);
}

/* Of the dword at CF8 only the byte at CF9 is the reset register's. */
static void reset_control_is_passed_on(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0xcf9, 0x0a);
    assert_int_equal(w.cf9, 0x0a);
    assert_int_equal(inb(&w.f, 0xcf9), 0x0a);
    fake_out(&w.f, 0xcf8, 0x80000604, 4); /* bus 0, device 0, function 6 */
    fake_out(&w.f, 0xcf8, 0x0606, 2);
    fake_out(&w.f, 0xcfa, 0x0606, 2);
    outb(&w.f, 0xcfb, 0x06);
    outb(&w.f, 0xcf8, 0x06);
    assert_int_equal(w.cf9, 0x0a);
    assert_int_equal(fake_in(&w.f, 0xcf8, 4), 0x80000604);
    done(&w);
}

static void bars_are_sized_and_assigned(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    for (unsigned slot = 1; slot <= 3; slot++) {
        u64 high = get(&w, slot, BAR_MEM64) | (u64)get(&w, slot, BAR_MEM64 + 4) << 32;
        assert_int_equal(get(&w, slot, BAR_IO), (0xc000 + (slot - 1) * 0x20) | 1);
        assert_in_range(get(&w, slot, BAR_MEM), PCI_MEM32_START, PCI_MEM32_END - 0x1000);
        assert_int_equal(high & 0x1ffffffff, 4); /* aligned, 64 bits; 8 GiB fit only high */
        assert_in_range(high, PCI_MEM64_START, PCI_MEM64_END - 0x200000000);
        assert_int_equal(get(&w, slot, COMMAND) & 7, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
        assert_int_equal(get(&w, slot, 0x3c) & 0xffff, 0x100u | pci_isa_irqs[slot % 4]);
    }
    set(&w, 1, COMMAND, 0);
    for (unsigned at = BAR_IO; at <= 0x24; at += 4) {
        set(&w, 1, at, 0xffffffff);
    }
    assert_int_equal(get(&w, 1, BAR_IO), 0xffffffe1);
    assert_int_equal(get(&w, 1, BAR_MEM), 0xfffff000);
    assert_int_equal(get(&w, 1, BAR_MEM64), 0x00000004);
    assert_int_equal(get(&w, 1, BAR_MEM64 + 4), 0xfffffffe);
    assert_int_equal(get(&w, 1, BAR_MSIX), 0xfffff000);
    assert_int_equal(get(&w, 1, 0x24), 0);
    done(&w);
}

static void bars_move(void **state)
{
    struct world w;
    u64 from, to = 0x123400000000;

    (void)state;
    init(&w);
    from = get(&w, 1, BAR_MEM);
    bus_map_write(&w.f.bus, BUS_MMIO, from, 0xabcd, 4);
    assert_int_equal(w.cards[0].reg, 0xabcd);
    set(&w, 1, BAR_MEM, 0xe1234000);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, from, 4), 0xffffffff);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe1234000, 4), 0xabcd);

    /* The two halves of a 64-bit BAR, one after the other. */
    set(&w, 1, BAR_MEM64 + 4, (u32)(to >> 32));
    set(&w, 1, BAR_MEM64, (u32)to);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, to, 4), 0xabcd);

    set(&w, 1, BAR_IO, 0xd000);
    assert_int_equal(fake_in(&w.f, 0xd000, 4), 0xabcd);
    assert_int_equal(fake_in(&w.f, 0xc000, 4), 0xffffffff);
    set(&w, 1, BAR_IO, 0x1d000); /* beyond the ports */
    assert_int_equal(fake_in(&w.f, 0xd000, 4), 0xffffffff);

    set(&w, 1, COMMAND, PCI_COMMAND_IO);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe1234000, 4), 0xffffffff);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, to, 4), 0xffffffff);
    set(&w, 1, COMMAND, PCI_COMMAND_MEMORY);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe1234000, 4), 0xabcd);
    done(&w);
}

/* Whoever came first keeps the place; the other gets it once that has moved away. */
static void bars_may_lie_over_each_other(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    w.cards[0].reg = 1;
    w.cards[1].reg = 2;
    set(&w, 1, BAR_MEM, 0xe0000000);
    set(&w, 2, BAR_MEM, 0xe0000000);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe0000000, 4), 1);
    set(&w, 1, BAR_MEM, 0xe0001000);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe0000000, 4), 2);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, 0xe0001000, 4), 1);
    set(&w, 1, BAR_MEM, (u32)MEM_ECAM_START); /* over configuration space itself */
    assert_int_equal(get(&w, 1, 0), 0x56781234);
    done(&w);
}

static void intx_is_shared(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    for (unsigned slot = 1; slot <= 3; slot++) {
        pci_set_intx(&w.cards[slot - 1].function, true);
        assert_true(w.f.level[slot % 4]);
        assert_int_equal(get(&w, slot, COMMAND) >> 16 & 8, 8);
    }
    set(&w, 1, COMMAND, PCI_COMMAND_INTX_OFF);
    assert_false(w.f.level[1]);
    assert_int_equal(get(&w, 1, COMMAND) >> 16 & 8, 8);
    set(&w, 1, COMMAND, 0);
    assert_true(w.f.level[1]);
    pci_set_intx(&w.cards[0].function, false);
    assert_false(w.f.level[1]);

    struct card fourth[2] = {0};
    plug(&w, &fourth[0]);
    plug(&w, &fourth[1]); /* slot 5 shares slot 1's line */
    pci_set_intx(&w.cards[0].function, true);
    pci_set_intx(&fourth[1].function, true);
    pci_set_intx(&w.cards[0].function, false);
    assert_true(w.f.level[1]);
    pci_detach(&fourth[1].function);
    assert_false(w.f.level[1]);
    pci_detach(&fourth[0].function);
    done(&w);
}

/* Program vector n of slot 1 and enable MSI-X. */
static u64 program_msix(struct world *w, unsigned n, u64 address, u32 data)
{
    u64 table = get(w, 1, BAR_MSIX);

    bus_map_write(&w->f.bus, BUS_MMIO, table + 16 * n, address, 8);
    bus_map_write(&w->f.bus, BUS_MMIO, table + 16 * n + 8, data, 4);
    bus_map_write(&w->f.bus, BUS_MMIO, table + 16 * n + 12, 0, 4);
    set(w, 1, COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    set(w, 1, find_cap(w, 1, 0x11), 0x80000000);
    return table;
}

static bool has_vector(struct world *w, unsigned vcpu, unsigned vector)
{
    return atomic_fetch_and(&w->inboxes[vcpu].irr[vector / 64], ~(1ull << vector % 64)) >>
               vector % 64 &
           1;
}

static void msix_reaches_a_local_apic(void **state)
{
    struct world w;
    struct pci_function *f = &w.cards[0].function;
    u64 table;

    (void)state;
    init(&w);
    assert_int_equal(get(&w, 1, find_cap(&w, 1, 0x11)) >> 16, 2); /* three vectors, off */
    pci_msix_send(f, 1);
    assert_false(has_vector(&w, 1, 0x41));
    table = program_msix(&w, 1, 0xfee01000, 0x41);
    pci_msix_send(f, 1);
    assert_true(has_vector(&w, 1, 0x41));
    assert_false(has_vector(&w, 0, 0x41));
    pci_msix_send(f, 3); /* there are three */
    pci_msix_send(f, 0xffff);

    /* While MSI-X is on, INTx is off. */
    pci_set_intx(f, true);
    assert_false(w.f.level[1]);

    /* Masked in each of the ways, it is pending, and comes later, once. */
    bus_map_write(&w.f.bus, BUS_MMIO, table + 16 + 12, 1, 4);
    pci_msix_send(f, 1);
    pci_msix_send(f, 1);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, table + 0x800, 8), 2);
    bus_map_write(&w.f.bus, BUS_MMIO, table + 16 + 12, 0, 4);
    assert_true(has_vector(&w, 1, 0x41));
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, table + 0x800, 8), 0);
    set(&w, 1, find_cap(&w, 1, 0x11), 0xc0000000);
    pci_msix_send(f, 1);
    assert_false(has_vector(&w, 1, 0x41));
    set(&w, 1, find_cap(&w, 1, 0x11), 0x80000000);
    assert_true(has_vector(&w, 1, 0x41));
    set(&w, 1, COMMAND, PCI_COMMAND_MEMORY);
    pci_msix_send(f, 1);
    assert_false(has_vector(&w, 1, 0x41));
    set(&w, 1, COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_true(has_vector(&w, 1, 0x41));

    /* A vector that was never programmed is masked. */
    pci_msix_send(f, 0);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, table + 0x800, 8), 1);
    done(&w);
}

/* A message that is no interrupt is a write to memory, or to nowhere. */
static void msix_may_write_memory(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    program_msix(&w, 0, 0x8000, 0x12345678);
    pci_msix_send(&w.cards[0].function, 0);
    assert_int_equal(pci_get32(w.mem.base + 0x8000), 0x12345678);
    program_msix(&w, 0, 0xfffe, 0x12345678);
    pci_msix_send(&w.cards[0].function, 0);
    assert_int_equal(w.mem.base[0xfffc], 0x78); /* the two low bits of an address are 0 */
    program_msix(&w, 0, 0x123456789abc, 1);
    pci_msix_send(&w.cards[0].function, 0);
    done(&w);
}

static void function_level_reset(void **state)
{
    struct world w;
    unsigned express;
    u64 at;

    (void)state;
    init(&w);
    express = find_cap(&w, 1, 0x10);
    assert_int_equal(get(&w, 1, express + 4) >> 28 & 1, 1);
    at = program_msix(&w, 0, 0xfee00000, 0x41);
    pci_set_intx(&w.cards[0].function, true);
    set(&w, 1, express + 8, 0x8000);
    assert_int_equal(w.cards[0].resets, 1);
    assert_int_equal(get(&w, 1, COMMAND) & 0xffff, 0);
    assert_int_equal(get(&w, 1, BAR_MEM), 0);
    assert_int_equal(get(&w, 1, find_cap(&w, 1, 0x11)) >> 31, 0);
    assert_int_equal(get(&w, 1, express + 8) & 0x8000, 0);
    assert_int_equal(bus_map_read(&w.f.bus, BUS_MMIO, at, 4), 0xffffffff);
    assert_false(w.f.level[1]);
    assert_int_equal(get(&w, 1, 0), 0x56781234);
    bus_map_write(&w.f.bus, BUS_MMIO, ecam(1, express + 9), 0x80, 1); /* by its byte, too */
    assert_int_equal(w.cards[0].resets, 2);
    assert_int_equal(w.cards[1].resets, 0);
    done(&w);
}

static void slots_are_full_once(void **state)
{
    struct world w;
    struct card *more = calloc(PCI_SLOTS, sizeof(*more));

    (void)state;
    init(&w);
    for (unsigned i = 4; i < PCI_SLOTS; i++) {
        plug(&w, &more[i]);
    }
    assert_int_equal(pci_attach(w.bus, &more[0].function), -28); /* ENOSPC */
    pci_assign(w.bus);
    for (unsigned i = 4; i < PCI_SLOTS; i++) {
        pci_detach(&more[i].function);
    }
    done(&w);
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_lead_to_the_same),
        cmocka_unit_test(reset_control_is_passed_on),
        cmocka_unit_test(bars_are_sized_and_assigned),
        cmocka_unit_test(bars_move),
        cmocka_unit_test(bars_may_lie_over_each_other),
        cmocka_unit_test(intx_is_shared),
        cmocka_unit_test(msix_reaches_a_local_apic),
        cmocka_unit_test(msix_may_write_memory),
        cmocka_unit_test(function_level_reset),
        cmocka_unit_test(slots_are_full_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
