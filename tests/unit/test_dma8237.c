/* test_dma8237.c - the DMA controllers' registers, the page registers and the POST port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/dma8237.h"
#include "fake_slot.h"

struct world {
    struct fake_slot f;
    struct device *dma;
};

static void init(struct world *w)
{
    fake_slot_init(&w->f);
    assert_int_equal(dma8237_create(&w->f.slot, &w->dma), 0);
}

static void done(struct world *w)
{
    device_destroy(w->dma);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static void words_go_through_the_flip_flop(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x0c, 0);
    outb(&w.f, 0x04, 0x34);
    outb(&w.f, 0x04, 0x12);
    assert_int_equal(inb(&w.f, 0x04), 0x34);
    assert_int_equal(inb(&w.f, 0x04), 0x12);
    outb(&w.f, 0x05, 0x78); /* one byte, then the flip-flop cleared */
    outb(&w.f, 0x0c, 0);
    assert_int_equal(inb(&w.f, 0x05), 0x78);
    assert_int_equal(inb(&w.f, 0x05), 0x00);
    outb(&w.f, 0xc4, 0xcd); /* the second controller, two ports apart */
    outb(&w.f, 0xc4, 0xab);
    assert_int_equal(inb(&w.f, 0xc4), 0xcd);
    assert_int_equal(inb(&w.f, 0xc4), 0xab);
    done(&w);
}

static void masks(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(inb(&w.f, 0x0f), 0xff);
    outb(&w.f, 0x0a, 0x02);
    assert_int_equal(inb(&w.f, 0x0f), 0xfb);
    outb(&w.f, 0x0a, 0x06);
    assert_int_equal(inb(&w.f, 0x0f), 0xff);
    outb(&w.f, 0x0e, 0);
    assert_int_equal(inb(&w.f, 0x0f), 0xf0);
    outb(&w.f, 0xde, 0x05);
    assert_int_equal(inb(&w.f, 0xde), 0xf5);
    outb(&w.f, 0xda, 0); /* master clear */
    assert_int_equal(inb(&w.f, 0xde), 0xff);
    assert_int_equal(inb(&w.f, 0x08), 0);
    done(&w);
}

static void pages_and_post(void **state)
{
    struct world w;
    u16 port;

    (void)state;
    init(&w);
    for (port = 0x80; port < 0x90; port++) {
        outb(&w.f, port, (u8)(port ^ 0x55));
    }
    for (port = 0x80; port < 0x90; port++) {
        assert_int_equal(inb(&w.f, port), port ^ 0x55);
    }
    assert_int_equal(dma8237_post_code(w.dma), 0xd5);
    w.dma->reset(w.dma);
    assert_int_equal(inb(&w.f, 0x87), 0);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_go_through_the_flip_flop),
        cmocka_unit_test(masks),
        cmocka_unit_test(pages_and_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
