/* test_i8042.c - the keyboard controller's commands, its keyboard and mouse, A20 and reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/i8042.h"
#include "fake_slot.h"

#define IRQ1  0
#define IRQ12 1

struct world {
    struct fake_slot f;
    struct device *k;
    unsigned ready;
};

static void ready(void *context)
{
    struct world *w = context;

    w->ready++;
}

static void init(struct world *w, bool mouse)
{
    struct i8042_config config;

    fake_slot_init(&w->f);
    w->ready = 0;
    config = (struct i8042_config){.keyboard = fake_irq(&w->f, IRQ1),
                                   .aux = fake_irq(&w->f, IRQ12),
                                   .mouse = mouse,
                                   .keyboard_ready = ready,
                                   .context = w};
    assert_int_equal(i8042_create(&w->f.slot, &config, &w->k), 0);
}

static void done(struct world *w)
{
    device_destroy(w->k);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
}

static u8 status(struct world *w)
{
    return inb(&w->f, 0x64);
}

static void command(struct world *w, u8 value)
{
    outb(&w->f, 0x64, value);
}

/* The next byte, which must be there, from the keyboard or controller (aux false) or from aux. */
static u8 next(struct world *w, bool aux)
{
    assert_int_equal(status(w) & 0x21, aux ? 0x21 : 0x01);
    return inb(&w->f, 0x60);
}

static void nothing_more(struct world *w)
{
    assert_int_equal(status(w) & 0x01, 0);
}

static void controller(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    assert_int_equal(status(&w), 0x1c);
    command(&w, 0xaa);
    assert_int_equal(next(&w, false), 0x55);
    command(&w, 0xab);
    assert_int_equal(next(&w, false), 0x00);
    command(&w, 0xa9);
    assert_int_equal(next(&w, false), 0x00);
    command(&w, 0x20);
    assert_int_equal(next(&w, false), 0x65);
    command(&w, 0x60);
    outb(&w.f, 0x60, 0x47);
    assert_int_equal(status(&w) & 0x08, 0); /* data was written last */
    command(&w, 0x20);
    assert_int_equal(next(&w, false), 0x47);
    command(&w, 0xa7);
    command(&w, 0xad);
    command(&w, 0x20);
    assert_int_equal(next(&w, false), 0x77);
    command(&w, 0xa8);
    command(&w, 0xae);
    command(&w, 0x20);
    assert_int_equal(next(&w, false), 0x47);
    command(&w, 0x65); /* its RAM */
    outb(&w.f, 0x60, 0x99);
    command(&w, 0x25);
    assert_int_equal(next(&w, false), 0x99);
    command(&w, 0xc0);
    assert_int_equal(next(&w, false), 0x80);
    command(&w, 0x05); /* no such command */
    nothing_more(&w);
    done(&w);
}

static void loops(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0xd3); /* how Linux looks for an aux port */
    outb(&w.f, 0x60, 0x5a);
    assert_int_equal(next(&w, true), 0x5a);
    command(&w, 0xd2);
    outb(&w.f, 0x60, 0xa5);
    assert_int_equal(next(&w, false), 0xa5);
    nothing_more(&w);
    done(&w);
}

static void keyboard(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    outb(&w.f, 0x60, 0xff);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xaa);
    outb(&w.f, 0x60, 0xf2);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xab);
    assert_int_equal(next(&w, false), 0x41); /* translated */
    outb(&w.f, 0x60, 0xee);
    assert_int_equal(next(&w, false), 0xee);
    outb(&w.f, 0x60, 0xed);
    assert_int_equal(next(&w, false), 0xfa);
    outb(&w.f, 0x60, 0x07);
    assert_int_equal(next(&w, false), 0xfa);
    outb(&w.f, 0x60, 0xf3);
    outb(&w.f, 0x60, 0xf4); /* a command instead of the parameter */
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xfa);
    outb(&w.f, 0x60, 0x01); /* no command */
    assert_int_equal(next(&w, false), 0xfe);
    outb(&w.f, 0x60, 0xf5);
    assert_int_equal(next(&w, false), 0xfa);
    outb(&w.f, 0x60, 0xfe);
    assert_int_equal(next(&w, false), 0xfa); /* again */
    nothing_more(&w);
    done(&w);
}

static void scan_code_sets(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0x60);
    outb(&w.f, 0x60, 0x01); /* no translation */
    outb(&w.f, 0x60, 0xf0);
    outb(&w.f, 0x60, 0x00);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0x02);
    outb(&w.f, 0x60, 0xf0);
    outb(&w.f, 0x60, 0x01);
    outb(&w.f, 0x60, 0xf0);
    outb(&w.f, 0x60, 0x00);
    next(&w, false);
    next(&w, false);
    next(&w, false);
    next(&w, false);
    assert_int_equal(next(&w, false), 0x01);
    outb(&w.f, 0x60, 0xf0);
    outb(&w.f, 0x60, 0x09);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xfe);
    outb(&w.f, 0x60, 0xf2);
    next(&w, false);
    next(&w, false);
    assert_int_equal(next(&w, false), 0x83);
    done(&w);
}

static void each_byte_interrupts(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    outb(&w.f, 0x60, 0xff);
    assert_true(w.f.level[IRQ1]);
    assert_int_equal(w.f.rises[IRQ1], 1);
    inb(&w.f, 0x60);
    assert_int_equal(w.f.rises[IRQ1], 2);
    inb(&w.f, 0x60);
    assert_false(w.f.level[IRQ1]);
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xf4);
    assert_int_equal(w.f.rises[IRQ12], 0); /* disabled in the command byte */
    command(&w, 0x60);
    outb(&w.f, 0x60, 0x47);
    assert_true(w.f.level[IRQ12]);
    assert_int_equal(next(&w, true), 0xfa);
    assert_false(w.f.level[IRQ12]);
    assert_int_equal(w.f.rises[IRQ1], 2);
    done(&w);
}

static void a_disabled_keyboard_holds_its_bytes(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    outb(&w.f, 0x60, 0xff);
    command(&w, 0xad);
    assert_int_equal(next(&w, false), 0xfa); /* was in the buffer already */
    nothing_more(&w);
    command(&w, 0xae);
    assert_int_equal(next(&w, false), 0xaa);
    done(&w);
}

static void mouse(void **state)
{
    static const u8 reset_answer[] = {0xfa, 0xaa, 0x00}, status_answer[] = {0xfa, 0x20, 3, 80};
    struct world w;
    unsigned i;

    (void)state;
    init(&w, true);
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xff);
    for (i = 0; i < 3; i++) {
        assert_int_equal(next(&w, true), reset_answer[i]);
    }
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xf2);
    assert_int_equal(next(&w, true), 0xfa);
    assert_int_equal(next(&w, true), 0x00);
    for (i = 0; i < 5; i++) {
        command(&w, 0xd4);
        outb(&w.f, 0x60, (const u8[]){0xe8, 3, 0xf3, 80, 0xf4}[i]);
        assert_int_equal(next(&w, true), 0xfa);
    }
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xe9);
    for (i = 0; i < 4; i++) {
        assert_int_equal(next(&w, true), status_answer[i]);
    }
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xee);
    next(&w, true);
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0x42); /* wrap mode echoes */
    assert_int_equal(next(&w, true), 0x42);
    nothing_more(&w);
    done(&w);
}

/* Sends one byte to the mouse, and compares what it answers. */
static void ask_mouse(struct world *w, u8 byte, const u8 *answer, unsigned count)
{
    unsigned i;

    command(w, 0xd4);
    outb(&w->f, 0x60, byte);
    for (i = 0; i < count; i++) {
        assert_int_equal(next(w, true), answer[i]);
    }
    nothing_more(w);
}

static void more_of_the_mouse(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    ask_mouse(&w, 0xe7, (const u8[]){0xfa}, 1);
    ask_mouse(&w, 0xf0, (const u8[]){0xfa}, 1);
    ask_mouse(&w, 0xe9, (const u8[]){0xfa, 0x50, 2, 100}, 4); /* remote, scaled by two */
    ask_mouse(&w, 0xeb, (const u8[]){0xfa, 0x08, 0, 0}, 4);
    ask_mouse(&w, 0xf6, (const u8[]){0xfa}, 1);
    ask_mouse(&w, 0xe9, (const u8[]){0xfa, 0x00, 2, 100}, 4);
    ask_mouse(&w, 0xfe, (const u8[]){100}, 1); /* the last byte again */
    ask_mouse(&w, 0x12, (const u8[]){0xfe}, 1);
    done(&w);
}

static void ports_and_lines(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0xa4);
    assert_int_equal(next(&w, false), 0xf1);
    command(&w, 0xe0);
    assert_int_equal(next(&w, false), 0x01); /* the aux clock is held */
    outb(&w.f, 0x60, 0xf7);
    command(&w, 0xd0);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false) & 0x30, 0x10); /* a keyboard byte was waiting */
    command(&w, 0xdd);
    command(&w, 0xd0);
    assert_int_equal(next(&w, false) & 0x02, 0x00);
    command(&w, 0xdf);
    command(&w, 0xd0);
    assert_int_equal(next(&w, false) & 0x02, 0x02);
    done(&w);
}

static void no_mouse(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0xd4);
    outb(&w.f, 0x60, 0xff);
    assert_int_equal(status(&w) & 0x61, 0x61); /* timed out */
    assert_int_equal(next(&w, true), 0xfe);
    nothing_more(&w);
    done(&w);
}

static void a20_and_reset(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0xd0);
    assert_int_equal(next(&w, false) & 0x03, 0x03);
    command(&w, 0xd1);
    outb(&w.f, 0x60, 0xdd);
    assert_false(w.f.a20.on);
    command(&w, 0xd0);
    assert_int_equal(next(&w, false) & 0x03, 0x01);
    command(&w, 0xd1);
    outb(&w.f, 0x60, 0xdf);
    assert_true(w.f.a20.on);
    command(&w, 0xdd);
    assert_false(w.f.a20.on);
    command(&w, 0xdd);
    command(&w, 0xdf);
    assert_true(w.f.a20.on);
    assert_int_equal(w.f.a20_changes, 4);
    w.f.a20.on = false; /* by another door */
    command(&w, 0xd0);
    assert_int_equal(next(&w, false) & 0x03, 0x01);
    command(&w, 0xff); /* pulses nothing */
    assert_int_equal(w.f.powers, 0);
    command(&w, 0xfe);
    assert_int_equal(w.f.powers, 1);
    assert_int_equal(w.f.event, POWER_RESET);
    command(&w, 0xd1);
    outb(&w.f, 0x60, 0x02);
    assert_int_equal(w.f.powers, 2);
    assert_true(w.f.a20.on);
    command(&w, 0xdd);
    w.k->reset(w.k);
    assert_true(w.f.a20.on);
    assert_int_equal(status(&w), 0x1c);
    done(&w);
}

static void a_guest_that_never_reads(void **state)
{
    struct world w;
    unsigned i;

    (void)state;
    init(&w, true);
    for (i = 0; i < 1000; i++) {
        outb(&w.f, 0x60, 0xf2);
        command(&w, 0x20);
        command(&w, 0xd4);
        outb(&w.f, 0x60, 0xe9);
    }
    for (i = 0; i < 1000 && status(&w) & 1; i++) {
        inb(&w.f, 0x60);
    }
    assert_in_range(i, 48, 49);
    done(&w);
}

/* ------------------------------------------------------------------ typing */

/* A key goes down and up; what the guest reads is compared. */
static void strike(struct world *w, u16 key, const u8 *expected, unsigned count)
{
    unsigned i = 0;

    for (unsigned up = 0; up < 2; up++) {
        assert_true(i8042_key(w->k, key, !up));
        while (status(w) & 1) {
            assert_true(i < count);
            assert_int_equal(next(w, false), expected[i++]);
        }
    }
    assert_int_equal(i, count);
}

#define STRIKE(w, key, ...) \
    strike(w, key, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* As firmware leaves it: the keyboard sends set 2, and the controller makes set 1 of it. */
static void typing_translated(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    for (u8 key = 1; key <= 0x58; key++) {
        STRIKE(&w, key, key, key | 0x80);
        if (key != 0x37) {
            STRIKE(&w, 0xe000 | key, 0xe0, key, 0xe0, key | 0x80);
        }
    }
    STRIKE(&w, 0xe037, 0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
    STRIKE(&w, 0xe11d, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    done(&w);
}

static void no_translation(struct world *w)
{
    command(w, 0x60);
    outb(&w->f, 0x60, 0x05);
}

static void typing_in_set_2(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    no_translation(&w);
    STRIKE(&w, 0x1e, 0x1c, 0xf0, 0x1c);               /* A */
    STRIKE(&w, 0x1c, 0x5a, 0xf0, 0x5a);               /* Enter */
    STRIKE(&w, 0x41, 0x83, 0xf0, 0x83);               /* F7 */
    STRIKE(&w, 0x3b, 0x05, 0xf0, 0x05);               /* F1 */
    STRIKE(&w, 0xe048, 0xe0, 0x75, 0xe0, 0xf0, 0x75); /* up */
    STRIKE(&w, 0xe038, 0xe0, 0x11, 0xe0, 0xf0, 0x11); /* right Alt */
    STRIKE(&w, 0xe037, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    STRIKE(&w, 0xe11d, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    done(&w);
}

static void typing_in_set_1(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    no_translation(&w);
    outb(&w.f, 0x60, 0xf0);
    outb(&w.f, 0x60, 0x01);
    next(&w, false);
    next(&w, false);
    STRIKE(&w, 0x1e, 0x1e, 0x9e);
    STRIKE(&w, 0xe048, 0xe0, 0x48, 0xe0, 0xc8);
    outb(&w.f, 0x60, 0xf6); /* defaults: set 2 again */
    next(&w, false);
    STRIKE(&w, 0x1e, 0x1c, 0xf0, 0x1c);
    done(&w);
}

/* One key after the other, each byte an interrupt. */
static void typing_ahead(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    assert_true(i8042_key(w.k, 0xe048, true));
    assert_int_equal(w.f.rises[IRQ1], 1);
    assert_false(i8042_key(w.k, 0x1e, true)); /* half of the code is still in the keyboard */
    assert_int_equal(w.ready, 0);
    assert_int_equal(next(&w, false), 0xe0);
    assert_int_equal(w.f.rises[IRQ1], 2);
    assert_int_equal(w.ready, 1);
    assert_true(i8042_key(w.k, 0x1e, true)); /* while the other half waits to be read */
    assert_int_equal(next(&w, false), 0x48);
    assert_int_equal(next(&w, false), 0x1e);
    assert_int_equal(w.f.rises[IRQ1], 3);
    nothing_more(&w);
    done(&w);
}

static void typing_while_off(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    outb(&w.f, 0x60, 0xf5); /* no scanning: the key is lost */
    assert_int_equal(next(&w, false), 0xfa);
    assert_true(i8042_key(w.k, 0x1e, true));
    nothing_more(&w);
    outb(&w.f, 0x60, 0xf4);
    assert_int_equal(next(&w, false), 0xfa);
    nothing_more(&w);
    command(&w, 0xad); /* the clock is held: it waits in the keyboard */
    assert_true(i8042_key(w.k, 0x1e, true));
    nothing_more(&w);
    command(&w, 0x20);
    assert_int_equal(next(&w, false) & 0x10, 0x10);
    command(&w, 0xae);
    assert_int_equal(next(&w, false), 0x1e);
    done(&w);
}

/* An answer overtakes what has been typed. */
static void answers_go_first(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    command(&w, 0xad);
    i8042_key(w.k, 0x1e, true);
    outb(&w.f, 0x60, 0xed); /* also turns the clock on */
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0x1e);
    i8042_key(w.k, 0xe048, true);
    outb(&w.f, 0x60, 0xff); /* the rest of the code is dropped */
    assert_int_equal(next(&w, false), 0xe0);
    assert_int_equal(next(&w, false), 0xfa);
    assert_int_equal(next(&w, false), 0xaa);
    nothing_more(&w);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controller),
        cmocka_unit_test(loops),
        cmocka_unit_test(keyboard),
        cmocka_unit_test(scan_code_sets),
        cmocka_unit_test(each_byte_interrupts),
        cmocka_unit_test(a_disabled_keyboard_holds_its_bytes),
        cmocka_unit_test(mouse),
        cmocka_unit_test(more_of_the_mouse),
        cmocka_unit_test(ports_and_lines),
        cmocka_unit_test(no_mouse),
        cmocka_unit_test(a20_and_reset),
        cmocka_unit_test(a_guest_that_never_reads),
        cmocka_unit_test(typing_translated),
        cmocka_unit_test(typing_in_set_2),
        cmocka_unit_test(typing_in_set_1),
        cmocka_unit_test(typing_ahead),
        cmocka_unit_test(typing_while_off),
        cmocka_unit_test(answers_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
