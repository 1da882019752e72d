/* test_i8259.c - the pair of PICs: initialization, priority, cascade, EOIs, polls, spurious
 * requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/i8259.h"
#include "fake_slot.h"

#define INTR 0

struct world {
    struct fake_slot f;
    struct device *pic;
};

static void program(struct world *w, u8 master_icw4, u8 slave_icw4)
{
    outb(&w->f, 0x20, 0x11);
    outb(&w->f, 0x21, 0x30);
    outb(&w->f, 0x21, 0x04);
    outb(&w->f, 0x21, master_icw4);
    outb(&w->f, 0xa0, 0x11);
    outb(&w->f, 0xa1, 0x38);
    outb(&w->f, 0xa1, 0x02);
    outb(&w->f, 0xa1, slave_icw4);
}

static void init(struct world *w)
{
    struct i8259_config config;

    fake_slot_init(&w->f);
    config = (struct i8259_config){.output = fake_irq(&w->f, INTR)};
    assert_int_equal(i8259_create(&w->f.slot, &config, &w->pic), 0);
    program(w, 0x01, 0x01);
}

static void done(struct world *w)
{
    device_destroy(w->pic);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static void set(struct world *w, unsigned n, bool level)
{
    struct irq irq = i8259_irq(w->pic, n);
    irq_set(&irq, level);
}

static void pulse(struct world *w, unsigned n)
{
    set(w, n, true);
    set(w, n, false);
}

static u8 isr(struct world *w, u16 port)
{
    outb(&w->f, port, 0x0b);
    return inb(&w->f, port);
}

static u8 irr(struct world *w, u16 port)
{
    outb(&w->f, port, 0x0a);
    return inb(&w->f, port);
}

static void masked_at_power_on(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    w.pic->reset(w.pic);
    pulse(&w, 0);
    assert_false(w.f.level[INTR]);
    assert_int_equal(inb(&w.f, 0x21), 0xff);
    done(&w);
}

static void one_request(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    pulse(&w, 4);
    assert_true(w.f.level[INTR]);
    assert_int_equal(irr(&w, 0x20), 0x10);
    assert_int_equal(i8259_acknowledge(w.pic), 0x34);
    assert_false(w.f.level[INTR]);
    assert_int_equal(irr(&w, 0x20), 0);
    assert_int_equal(isr(&w, 0x20), 0x10);
    pulse(&w, 4); /* waits for the EOI */
    assert_false(w.f.level[INTR]);
    outb(&w.f, 0x20, 0x20);
    assert_true(w.f.level[INTR]);
    done(&w);
}

static void masks(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x21, 0x10);
    assert_int_equal(inb(&w.f, 0x21), 0x10);
    pulse(&w, 4);
    assert_false(w.f.level[INTR]);
    outb(&w.f, 0x21, 0);
    assert_true(w.f.level[INTR]); /* the edge was kept */
    done(&w);
}

static void priorities(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    pulse(&w, 5);
    assert_int_equal(i8259_acknowledge(w.pic), 0x35);
    pulse(&w, 6);
    assert_false(w.f.level[INTR]);
    pulse(&w, 1);
    assert_true(w.f.level[INTR]);
    assert_int_equal(i8259_acknowledge(w.pic), 0x31);
    assert_int_equal(isr(&w, 0x20), 0x22);
    outb(&w.f, 0x20, 0x20); /* ends the higher one */
    assert_int_equal(isr(&w, 0x20), 0x20);
    outb(&w.f, 0x20, 0x65); /* specific */
    assert_int_equal(isr(&w, 0x20), 0);
    assert_int_equal(i8259_acknowledge(w.pic), 0x36);
    done(&w);
}

static void cascade(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    pulse(&w, 12);
    pulse(&w, 8);
    assert_int_equal(irr(&w, 0x20), 0x04);
    assert_int_equal(i8259_acknowledge(w.pic), 0x38);
    assert_int_equal(isr(&w, 0x20), 0x04);
    assert_int_equal(isr(&w, 0xa0), 0x01);
    assert_false(w.f.level[INTR]);
    outb(&w.f, 0xa0, 0x20);
    outb(&w.f, 0x20, 0x20);
    assert_true(w.f.level[INTR]);
    assert_int_equal(i8259_acknowledge(w.pic), 0x3c);
    set(&w, 2, true); /* the cascade input is no one else's */
    set(&w, 2, false);
    assert_int_equal(irr(&w, 0x20), 0);
    done(&w);
}

static void spurious(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(i8259_acknowledge(w.pic), 0x37);
    assert_int_equal(isr(&w, 0x20), 0);
    outb(&w.f, 0x4d1, 0x02); /* IRQ 9 is level-triggered, and goes away */
    set(&w, 9, true);
    assert_true(w.f.level[INTR]);
    set(&w, 9, false);
    assert_false(w.f.level[INTR]);
    assert_int_equal(i8259_acknowledge(w.pic), 0x37);
    done(&w);
}

static void level_triggered(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x4d0, 0xff);
    outb(&w.f, 0x4d1, 0xff);
    assert_int_equal(inb(&w.f, 0x4d0), 0xf8); /* some are always edges */
    assert_int_equal(inb(&w.f, 0x4d1), 0xde);
    set(&w, 5, true);
    assert_int_equal(i8259_acknowledge(w.pic), 0x35);
    outb(&w.f, 0x20, 0x20);
    assert_true(w.f.level[INTR]); /* still asserted */
    assert_int_equal(i8259_acknowledge(w.pic), 0x35);
    set(&w, 5, false);
    outb(&w.f, 0x20, 0x20);
    assert_false(w.f.level[INTR]);
    done(&w);
}

static void an_edge_is_taken_once(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    set(&w, 3, true);
    assert_int_equal(i8259_acknowledge(w.pic), 0x33);
    outb(&w.f, 0x20, 0x20);
    set(&w, 3, true);
    assert_false(w.f.level[INTR]);
    set(&w, 3, false);
    set(&w, 3, true);
    assert_true(w.f.level[INTR]);
    outb(&w.f, 0x20, 0x11); /* ICW1 forgets edges, also of lines that are high */
    outb(&w.f, 0x21, 0x30);
    outb(&w.f, 0x21, 0x04);
    outb(&w.f, 0x21, 0x01);
    assert_false(w.f.level[INTR]);
    done(&w);
}

static void auto_eoi(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    program(&w, 0x03, 0x01);
    pulse(&w, 0);
    assert_int_equal(i8259_acknowledge(w.pic), 0x30);
    assert_int_equal(isr(&w, 0x20), 0);
    outb(&w.f, 0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(&w, 1);
    assert_int_equal(i8259_acknowledge(w.pic), 0x31);
    pulse(&w, 0);
    pulse(&w, 3);
    assert_int_equal(i8259_acknowledge(w.pic), 0x33); /* 2 now comes first, 1 last */
    assert_int_equal(i8259_acknowledge(w.pic), 0x30);
    done(&w);
}

static void rotation(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x20, 0xc4); /* 4 is the lowest: 5 comes first */
    pulse(&w, 0);
    pulse(&w, 6);
    assert_int_equal(i8259_acknowledge(w.pic), 0x36);
    outb(&w.f, 0x20, 0xa0); /* non-specific EOI, rotate: 6 is the lowest */
    pulse(&w, 6);
    pulse(&w, 7);
    assert_int_equal(i8259_acknowledge(w.pic), 0x37);
    outb(&w.f, 0x20, 0xe7); /* specific EOI, rotate: 7 is the lowest */
    assert_int_equal(i8259_acknowledge(w.pic), 0x30);
    done(&w);
}

static void special_mask_mode(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    pulse(&w, 2 + 1);
    assert_int_equal(i8259_acknowledge(w.pic), 0x33);
    pulse(&w, 5);
    assert_false(w.f.level[INTR]);
    outb(&w.f, 0x21, 0x08);
    outb(&w.f, 0x20, 0x68);
    assert_true(w.f.level[INTR]); /* 3, masked, holds nothing back */
    assert_int_equal(i8259_acknowledge(w.pic), 0x35);
    outb(&w.f, 0x20, 0x20); /* does not end the masked one */
    assert_int_equal(isr(&w, 0x20), 0x08);
    outb(&w.f, 0x20, 0x48);
    pulse(&w, 5);
    assert_false(w.f.level[INTR]);
    done(&w);
}

static void special_fully_nested(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    pulse(&w, 12);
    assert_int_equal(i8259_acknowledge(w.pic), 0x3c);
    pulse(&w, 9);
    assert_false(w.f.level[INTR]);
    program(&w, 0x11, 0x01);
    pulse(&w, 12);
    assert_int_equal(i8259_acknowledge(w.pic), 0x3c);
    pulse(&w, 9); /* of higher priority in the slave */
    assert_true(w.f.level[INTR]);
    assert_int_equal(i8259_acknowledge(w.pic), 0x39);
    pulse(&w, 13);
    assert_false(w.f.level[INTR]);
    done(&w);
}

static void polls(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x20, 0x0c);
    assert_int_equal(inb(&w.f, 0x20), 0);
    pulse(&w, 6);
    outb(&w.f, 0x20, 0x0c);
    assert_int_equal(inb(&w.f, 0x20), 0x86);
    assert_false(w.f.level[INTR]);
    assert_int_equal(inb(&w.f, 0x20), 0); /* IRR again: the poll is over */
    assert_int_equal(isr(&w, 0x20), 0x40);
    done(&w);
}

static void initialization_without_icw3_and_4(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    outb(&w.f, 0x20, 0x12);
    pulse(&w, 1);
    assert_false(w.f.level[INTR]); /* not while it is being initialized */
    outb(&w.f, 0x21, 0x4f);
    assert_true(w.f.level[INTR]);
    outb(&w.f, 0x21, 0xf0); /* the IMR already */
    assert_int_equal(inb(&w.f, 0x21), 0xf0);
    assert_int_equal(i8259_acknowledge(w.pic), 0x49);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_at_power_on),
        cmocka_unit_test(one_request),
        cmocka_unit_test(masks),
        cmocka_unit_test(priorities),
        cmocka_unit_test(cascade),
        cmocka_unit_test(spurious),
        cmocka_unit_test(level_triggered),
        cmocka_unit_test(an_edge_is_taken_once),
        cmocka_unit_test(auto_eoi),
        cmocka_unit_test(rotation),
        cmocka_unit_test(special_mask_mode),
        cmocka_unit_test(special_fully_nested),
        cmocka_unit_test(polls),
        cmocka_unit_test(initialization_without_icw3_and_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
