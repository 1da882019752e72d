/* test_virtio_pci.c - the virtio transport, driven through PCI as a driver does, with virtio-rng.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/virtio/rng.h"
#include "virtio_fixture.h"

/* A device whose I/O takes as long as the test wants: it keeps the chains that it takes. */
struct slow {
    struct virtio_device virtio;
    struct virtq_chain *held[SIZE];
    unsigned count, resets, starts;
    u32 config[2];
};

struct world {
    struct fixture x;
    struct device *rng;
    struct slow slow;
};

static void slow_notify(struct virtio_device *v, unsigned queue)
{
    struct slow *slow = container_of(v, struct slow, virtio);
    struct virtq_chain *chain;

    while ((chain = virtio_take(v, queue))) {
        slow->held[slow->count++] = chain;
    }
}

static void slow_reset(struct virtio_device *v)
{
    container_of(v, struct slow, virtio)->resets++;
}

static void slow_start(struct virtio_device *v)
{
    container_of(v, struct slow, virtio)->starts++;
}

static void slow_config_write(struct virtio_device *v, unsigned offset, unsigned size, u32 value)
{
    memcpy((u8 *)container_of(v, struct slow, virtio)->config + offset, &value, size);
}

static const struct virtio_ops slow_ops = {.notify = slow_notify,
                                           .reset = slow_reset,
                                           .start = slow_start,
                                           .config_write = slow_config_write};
static const struct virtio_type slow_type = {
    .name = "slow", .id = 0x3f, .class_code = 0xff0000, .ops = &slow_ops};

static void fill(void *context, void *bytes, size_t size)
{
    (void)context;
    memset(bytes, 0xa5, size);
}

static void init(struct world *w, bool packed)
{
    struct virtio_rng_config rng = {.fill = fill};

    fixture_init(&w->x, packed);
    assert_int_equal(virtio_rng_create(pci_host_bus(w->x.host), &rng, &w->rng), 0);
    w->slow = (struct slow){.virtio = {.type = &slow_type, .queues = 2, .queue_size = SIZE}};
    w->slow.virtio.config = w->slow.config;
    w->slow.virtio.config_bytes = sizeof(w->slow.config);
    assert_int_equal(virtio_init(&w->slow.virtio, pci_host_bus(w->x.host)), 0);
    fixture_found(&w->x, w->rng);
}

static void done(struct world *w)
{
    device_destroy(w->rng);
    virtio_done(&w->slow.virtio);
    fixture_done(&w->x);
}

static const struct driver_part page = {DRIVER_DATA, 0x1000, VIRTQ_WRITE};

static void fills_a_buffer(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        u32 id, length;
        init(&w, packed);
        assert_int_equal(get(&w.x, config_at(&w.x, 0), 4), 0x10441af4);
        start_driver(&w.x, 0);
        driver_add(&w.x.d, &page, 1);
        assert_false(driver_take(&w.x.d, &id, &length));
        set(&w.x, w.x.notify, 2, 0);
        assert_true(driver_take(&w.x.d, &id, &length));
        assert_int_equal(length, 0x1000);
        assert_int_equal(driver_at(&w.x.d, DRIVER_DATA)[0xfff], 0xa5);
        assert_int_equal(driver_at(&w.x.d, DRIVER_DATA)[0x1000], 0);
        assert_true(w.x.f.level[1]); /* slot 1's INTA# */
        assert_int_equal(get(&w.x, w.x.isr, 1), 1);
        assert_false(w.x.f.level[1]);
        assert_int_equal(get(&w.x, w.x.isr, 1), 0);
        assert_int_equal(w.x.lines, 0);
        done(&w);
    }
}

static void interrupts_by_msix(void **state)
{
    struct world w;
    u64 table;
    unsigned cap;

    (void)state;
    init(&w, false);
    start_driver(&w.x, 0);
    table = get(&w.x, config_at(&w.x, 0x18), 4);
    cap = w.x.function->msix.cap;
    set(&w.x, table + 16, 8, 0xfee00000);
    set(&w.x, table + 24, 8, 0x51);
    set(&w.x, config_at(&w.x, cap + 2), 2, 0x8000);
    set(&w.x, w.x.common + 26, 2, 1);
    assert_int_equal(get(&w.x, w.x.common + 26, 2), 1);
    driver_add(&w.x.d, &page, 1);
    set(&w.x, w.x.notify, 2, 0);
    assert_int_equal(w.x.inbox.irr[1], 1ull << (0x51 - 64));
    assert_false(w.x.f.level[1]);
    set(&w.x, w.x.common + 26, 2, 2); /* there are vectors 0 and 1 */
    assert_int_equal(get(&w.x, w.x.common + 26, 2), 0xffff);
    set(&w.x, w.x.common + 16, 2, 0);
    assert_int_equal(get(&w.x, w.x.common + 16, 2), 0);
    done(&w);
}

static void negotiates(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    set(&w.x, w.x.common, 4, 1);
    assert_int_equal(get(&w.x, w.x.common + 4, 4), 1 | 4 | 1 << 8);
    set(&w.x, w.x.common, 4, 0);
    assert_int_equal(get(&w.x, w.x.common + 4, 4), 1u << 28 | 1u << 29);
    set(&w.x, w.x.common, 4, 77);
    assert_int_equal(get(&w.x, w.x.common + 4, 4), 0);

    static const u64 bad[] = {0, 1ull << 32 | 1, 1ull << 32 | 1ull << 33, 1ull << 29};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        set(&w.x, w.x.common + STATUS, 1, 0);
        set(&w.x, w.x.common + STATUS, 1, 3);
        set(&w.x, w.x.common + 8, 4, 0);
        set(&w.x, w.x.common + 12, 4, (u32)bad[i]);
        set(&w.x, w.x.common + 8, 4, 1);
        set(&w.x, w.x.common + 12, 4, (u32)(bad[i] >> 32));
        set(&w.x, w.x.common + STATUS, 1, 15);
        assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 3);
        set(&w.x, w.x.common + STATUS, 1, 7); /* nor by itself */
        assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 3);
    }
    /* What does not exist reads as 0, and is not written. */
    set(&w.x, w.x.common + 22, 2, 1);
    assert_int_equal(get(&w.x, w.x.common + 24, 2), 0);
    set(&w.x, w.x.common + QUEUE_ENABLE, 2, 1);
    set(&w.x, w.x.common + 0x40, 4, ~0u);
    assert_int_equal(get(&w.x, w.x.common + 0x40, 4), 0);
    assert_int_equal(get(&w.x, w.x.common + 18, 2), 1);
    done(&w);
}

/* Nothing before DRIVER_OK, and nothing without bus mastering. */
static void waits_for_its_driver(void **state)
{
    struct world w;
    u32 id, length;

    (void)state;
    init(&w, false);
    driver_add(&w.x.d, &page, 1);
    set(&w.x, w.x.notify, 2, 0);
    assert_false(driver_take(&w.x.d, &id, &length));
    set(&w.x, config_at(&w.x, 4), 2, PCI_COMMAND_MEMORY);
    start_driver(&w.x, 0);
    set(&w.x, w.x.notify, 2, 0);
    assert_false(driver_take(&w.x.d, &id, &length));
    set(&w.x, config_at(&w.x, 4), 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    set(&w.x, w.x.notify + 4, 2, 1); /* another queue's, which there is not */
    assert_false(driver_take(&w.x.d, &id, &length));
    set(&w.x, w.x.notify, 2, 0);
    assert_true(driver_take(&w.x.d, &id, &length));
    done(&w);
}

static void needs_a_reset_after_a_fault(void **state)
{
    struct world w;
    u32 id, length;

    (void)state;
    init(&w, false);
    for (unsigned round = 0; round < 20; round++) {
        fixture_forget(&w.x);
        start_driver(&w.x, 0);
        driver_avail(&w.x.d)[1] = 100;
        set(&w.x, w.x.notify, 2, 0);
        assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 15 | NEEDS_RESET);
        assert_int_equal(get(&w.x, w.x.isr, 1), 2); /* the configuration has changed */
        assert_int_equal(w.x.lines, round < 8 ? round + 1 : 8);
        driver_avail(&w.x.d)[1] = 0;
        driver_add(&w.x.d, &page, 1);
        set(&w.x, w.x.notify, 2, 0);
        assert_false(driver_take(&w.x.d, &id, &length));
        if (round == 0) {
            assert_string_equal(w.x.line,
                                "virtio-rng in slot 1, queue 0: the guest gave an index of "
                                "available buffers that has jumped; it needs a reset");
        }
    }
    fixture_forget(&w.x);
    start_driver(&w.x, 0); /* and then it works again */
    driver_add(&w.x.d, &page, 1);
    set(&w.x, w.x.notify, 2, 0);
    assert_true(driver_take(&w.x.d, &id, &length));
    done(&w);
}

/* While I/O is under way a reset does not end, of the device, of a queue, of the function. */
static void reset_waits_for_io(void **state)
{
    static const char *const ways[] = {"device", "queue", "function"};

    (void)state;
    for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
        struct world w;
        u32 id, length;
        init(&w, false);
        find_registers(&w.x, &w.slow.virtio.pci);
        start_driver(&w.x, 1ull << VIRTIO_F_RING_RESET);
        assert_int_equal(w.slow.starts, 1);
        driver_add(&w.x.d, &page, 1);
        driver_add(&w.x.d, &page, 1);
        set(&w.x, w.x.notify, 2, 0);
        assert_int_equal(w.slow.count, 2);
        if (way == 0) {
            set(&w.x, w.x.common + STATUS, 1, 0);
            set(&w.x, w.x.common + STATUS, 1, 0);
            assert_int_equal(w.slow.resets, 2); /* the driver had reset it before all else */
            assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 15);
        } else if (way == 1) {
            set(&w.x, w.x.common + QUEUE_RESET, 2, 1);
            assert_int_equal(get(&w.x, w.x.common + QUEUE_RESET, 2), 1);
        } else {
            set(&w.x, config_at(&w.x, w.x.function->express + 8), 2, 0x8000);
            pci_assign(pci_host_bus(w.x.host));
            assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 15);
        }
        set(&w.x, w.x.notify, 2, 0);
        virtio_give(&w.slow.virtio, w.slow.held[0], 1);
        assert_int_equal(get(&w.x, w.x.common + (way == 1 ? QUEUE_RESET : STATUS), 1),
                         way == 1 ? 1 : 15);
        virtio_give(&w.slow.virtio, w.slow.held[1], 1);
        assert_int_equal(get(&w.x, w.x.common + (way == 1 ? QUEUE_RESET : STATUS), 1), 0);
        assert_int_equal(get(&w.x, w.x.common + QUEUE_ENABLE, 2), 0);
        assert_int_equal(get(&w.x, w.x.common + 32, 4), 0);
        assert_false(driver_take(&w.x.d, &id, &length));
        done(&w);
    }
}

static void has_a_configuration(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    find_registers(&w.x, &w.slow.virtio.pci);
    w.slow.config[1] = 0x12345678;
    assert_int_equal(get(&w.x, w.x.config + 4, 4), 0x12345678);
    assert_int_equal(get(&w.x, w.x.config + 6, 1), 0x34);
    assert_int_equal(get(&w.x, w.x.config + 8, 4), 0);
    set(&w.x, w.x.config + 2, 2, 0xbeef);
    assert_int_equal(w.slow.config[0], 0xbeef0000);
    set(&w.x, w.x.config + 8, 4, ~0u);
    start_driver(&w.x, 0);
    unsigned generation = get(&w.x, w.x.common + 21, 1);
    virtio_config_changed(&w.slow.virtio);
    assert_int_equal(get(&w.x, w.x.common + 21, 1), (generation + 1) & 0xff);
    assert_int_equal(get(&w.x, w.x.isr, 1), 2);
    done(&w);
}

/* The registers by way of configuration space, where BARs are out of reach. */
static void has_a_window(void **state)
{
    struct world w;
    u64 cap;

    (void)state;
    init(&w, false);
    start_driver(&w.x, 0);
    cap = config_at(&w.x, w.slow.virtio.window); /* the same for both */
    cap = config_at(&w.x, container_of(w.rng, struct virtio_device, device)->window);
    set(&w.x, cap + 8, 4, STATUS);
    set(&w.x, cap + 12, 4, 1);
    assert_int_equal(get(&w.x, cap + 16, 1), 15);
    assert_int_equal(get(&w.x, cap + 16, 4), 0); /* not the length that was set */
    set(&w.x, cap + 16, 1, 0);
    assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 0);
    static const struct {
        u32 bar, offset, length;
    } bad[] = {{6, 0, 4}, {255, 0, 4}, {1, 0, 4}, {0, 0x4000, 4}, {0, 0xfffffffc, 4},
               {0, 1, 4}, {0, 0, 0},   {0, 0, 3}, {0, 0, ~0u},    {0, 0x3000, 1}};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        set(&w.x, cap + 4, 1, bad[i].bar);
        set(&w.x, cap + 8, 4, bad[i].offset);
        set(&w.x, cap + 12, 4, bad[i].length);
        for (unsigned size = 1; size <= 4; size *= 2) {
            assert_int_equal(get(&w.x, cap + 16, size), 0);
            set(&w.x, cap + 16, size, ~0u);
        }
    }
    done(&w);
}

/* A driver that makes buffers available without end does not keep the board for itself. */
static struct world *endless;

static void fill_and_add(void *context, void *bytes, size_t size)
{
    (void)context;
    (void)bytes;
    (void)size;
    driver_make_available(&endless->x.d, 0);
}

static void takes_turns(void **state)
{
    struct world w;
    struct virtio_rng_config rng = {.fill = fill_and_add};
    u16 used;

    (void)state;
    endless = &w;
    init(&w, false);
    device_destroy(w.rng);
    assert_int_equal(virtio_rng_create(pci_host_bus(w.x.host), &rng, &w.rng), 0);
    pci_assign(pci_host_bus(w.x.host));
    find_registers(&w.x, &container_of(w.rng, struct virtio_device, device)->pci);
    start_driver(&w.x, 0);
    driver_add(&w.x.d, &page, 1);
    set(&w.x, w.x.notify, 2, 0);
    used = driver_used(&w.x.d)[1];
    assert_int_equal(used, VIRTQ_SIZE_MAX);
    timer_queue_run(&w.x.f.timers);
    assert_int_equal(driver_used(&w.x.d)[1], (u16)(used + VIRTQ_SIZE_MAX));
    set(&w.x, w.x.common + STATUS, 1, 0);
    assert_null(w.x.f.timers.first);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_a_buffer),
        cmocka_unit_test(interrupts_by_msix),
        cmocka_unit_test(negotiates),
        cmocka_unit_test(waits_for_its_driver),
        cmocka_unit_test(needs_a_reset_after_a_fault),
        cmocka_unit_test(reset_waits_for_io),
        cmocka_unit_test(has_a_configuration),
        cmocka_unit_test(has_a_window),
        cmocka_unit_test(takes_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
