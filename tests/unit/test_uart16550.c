/* test_uart16550.c - the serial port: registers, FIFOs, interrupts and their priority, loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dev/uart16550.h"
#include "fake_slot.h"

#define IRQ4 0
#define P    UART16550_COM1

struct world {
    struct fake_slot f;
    struct device *uart;
    char out[64];
    size_t out_count;
    const char *in; /* what ready() sends on */
    unsigned readies;
};

static void transmit(void *context, const u8 *bytes, size_t count)
{
    struct world *w = context;

    memcpy(w->out + w->out_count, bytes, count);
    w->out_count += count;
}

static void send(struct world *w)
{
    w->in += uart16550_receive(w->uart, (const u8 *)w->in, strlen(w->in));
}

static void ready(void *context)
{
    struct world *w = context;

    w->readies++;
    send(w);
}

static const struct serial_port_ops ops = {.transmit = transmit, .ready = ready};

static void init(struct world *w)
{
    struct uart16550_config config;

    memset(w, 0, sizeof(*w));
    fake_slot_init(&w->f);
    config = (struct uart16550_config){
        .port = P, .irq = fake_irq(&w->f, IRQ4), .ops = &ops, .context = w};
    assert_int_equal(uart16550_create(&w->f.slot, &config, &w->uart), 0);
    w->in = "";
}

static void done(struct world *w)
{
    device_destroy(w->uart);
    assert_int_equal(w->f.bus.count, 0);
    assert_null(w->f.timers.first);
    bus_map_destroy(&w->f.bus);
}

static void put(struct world *w, unsigned offset, u8 value)
{
    outb(&w->f, (u16)(P + offset), value);
}

static u8 get(struct world *w, unsigned offset)
{
    return inb(&w->f, (u16)(P + offset));
}

static size_t receive(struct world *w, const char *text)
{
    return uart16550_receive(w->uart, (const u8 *)text, strlen(text));
}

static void registers(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    assert_int_equal(get(&w, 5), 0x60);
    assert_int_equal(get(&w, 6), 0xb0);
    assert_int_equal(get(&w, 2), 0x01);
    put(&w, 7, 0xa5);
    assert_int_equal(get(&w, 7), 0xa5);
    put(&w, 1, 0xff);
    assert_int_equal(get(&w, 1), 0x0f);
    put(&w, 3, 0x83); /* DLAB */
    put(&w, 0, 0x34);
    put(&w, 1, 0x12);
    assert_int_equal(get(&w, 0), 0x34);
    assert_int_equal(get(&w, 1), 0x12);
    put(&w, 3, 0x03);
    assert_int_equal(get(&w, 1), 0x0f);
    assert_int_equal(get(&w, 3), 0x03);
    put(&w, 4, 0xff);
    assert_int_equal(get(&w, 4), 0x1f);
    put(&w, 2, 0x01);
    assert_int_equal(get(&w, 2) & 0xc0, 0xc0); /* a 16550A */
    put(&w, 2, 0x00);
    assert_int_equal(get(&w, 2) & 0xc0, 0);
    assert_int_equal(w.out_count, 0);
    done(&w);
}

static void transmits(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 0, 'h');
    put(&w, 0, 'i');
    assert_int_equal(w.out_count, 2);
    assert_memory_equal(w.out, "hi", 2);
    assert_int_equal(get(&w, 5), 0x60);
    assert_false(w.f.level[IRQ4]);
    done(&w);
}

static void thre_interrupt(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 1, 0x02); /* THR is empty: at once */
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 2), 0x02);
    assert_false(w.f.level[IRQ4]); /* reading IIR takes it back */
    assert_int_equal(get(&w, 2), 0x01);
    put(&w, 0, 'x');
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(w.f.rises[IRQ4], 2);
    put(&w, 1, 0x00);
    assert_false(w.f.level[IRQ4]);
    done(&w);
}

static void receives_without_a_fifo(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 1, 0x01);
    assert_int_equal(receive(&w, "ab"), 1);
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 2), 0x04);
    assert_int_equal(get(&w, 5), 0x61);
    assert_int_equal(get(&w, 0), 'a');
    assert_false(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 5), 0x60);
    assert_int_equal(w.readies, 1);
    assert_int_equal(get(&w, 0), 0);
    done(&w);
}

static void fifo_trigger_and_timeout(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 3, 0x83);
    put(&w, 0, 1); /* 115,200 baud: 87 us a character */
    put(&w, 1, 0);
    put(&w, 3, 0x03);
    put(&w, 2, 0x81); /* 8 bytes */
    put(&w, 1, 0x01);
    assert_int_equal(receive(&w, "1234567"), 7);
    assert_false(w.f.level[IRQ4]);
    fake_advance(&w.f, 340000);
    assert_false(w.f.level[IRQ4]);
    fake_advance(&w.f, 10000);
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 2), 0xcc);
    assert_int_equal(get(&w, 0), '1'); /* takes the time-out back, and starts it anew */
    assert_false(w.f.level[IRQ4]);
    fake_advance(&w.f, 350000);
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(receive(&w, "89"), 2);
    assert_int_equal(get(&w, 2), 0xc4); /* eight are there */
    while (get(&w, 5) & 1) {
        get(&w, 0);
    }
    assert_false(w.f.level[IRQ4]);
    fake_advance(&w.f, 1000000);
    assert_false(w.f.level[IRQ4]);
    done(&w);
}

static void more_waits_outside(void **state)
{
    struct world w;
    char got[64];
    size_t count = 0;

    (void)state;
    init(&w);
    put(&w, 2, 0x01);
    w.in = "the quick brown fox jumps over the lazy dog";
    send(&w);
    assert_int_equal(strlen(w.in), 43 - 16);
    while (get(&w, 5) & 1) {
        got[count++] = (char)get(&w, 0);
    }
    got[count] = 0;
    assert_string_equal(got, "the quick brown fox jumps over the lazy dog");
    assert_int_equal(w.readies, 2);
    assert_int_equal(get(&w, 5), 0x60); /* no overrun */
    done(&w);
}

static void clearing_the_fifo(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 2, 0x01);
    receive(&w, "abc");
    put(&w, 2, 0x03);
    assert_int_equal(get(&w, 5), 0x60);
    receive(&w, "abc");
    put(&w, 2, 0x00); /* so does turning it off */
    assert_int_equal(get(&w, 5), 0x60);
    done(&w);
}

static void breaks(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 2, 0x01);
    put(&w, 1, 0x05);
    receive(&w, "a");
    uart16550_break(w.uart);
    assert_int_equal(get(&w, 5), 0xe1); /* somewhere in the FIFO */
    get(&w, 0);
    assert_int_equal(get(&w, 2), 0xc6);
    assert_int_equal(get(&w, 5), 0xf1); /* at its head */
    assert_int_equal(get(&w, 5), 0x61);
    assert_int_equal(get(&w, 0), 0);
    done(&w);
}

static void loopback(void **state)
{
    struct world w;
    unsigned i;

    (void)state;
    init(&w);
    put(&w, 4, 0x1a); /* what Linux tries first: RTS, OUT2 */
    assert_int_equal(get(&w, 6) & 0xf0, 0x90);
    put(&w, 4, 0x15); /* DTR, OUT1 */
    assert_int_equal(get(&w, 6), 0x60 | 0x0b);
    put(&w, 4, 0x10); /* OUT1 falls: the trailing edge of a ring */
    assert_int_equal(get(&w, 6), 0x06);
    put(&w, 0, 'x');
    assert_int_equal(w.out_count, 0);
    assert_int_equal(get(&w, 5), 0x61);
    put(&w, 0, 'y'); /* overruns: the newer stays */
    assert_int_equal(get(&w, 5), 0x63);
    assert_int_equal(get(&w, 5), 0x61);
    assert_int_equal(get(&w, 0), 'y');
    put(&w, 2, 0x01);
    for (i = 0; i < 17; i++) {
        put(&w, 0, (u8)i);
    }
    assert_int_equal(get(&w, 5), 0x63);
    for (i = 0; i < 16; i++) {
        assert_int_equal(get(&w, 0), i);
    }
    assert_int_equal(get(&w, 5), 0x60);
    w.in = "z";
    send(&w);
    assert_int_equal(get(&w, 5), 0x60); /* the outside is cut off */
    put(&w, 3, 0x40);
    assert_int_equal(get(&w, 5), 0xf1); /* its own break */
    get(&w, 0);
    put(&w, 4, 0x00);
    assert_int_equal(get(&w, 0), 'z'); /* and comes back */
    done(&w);
}

static void modem_interrupt_and_priorities(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 1, 0x0f);
    put(&w, 4, 0x10); /* all inputs fall */
    put(&w, 0, 'a');
    put(&w, 0, 'b'); /* overrun, data, THRE, modem: all four */
    assert_int_equal(get(&w, 2), 0x06);
    get(&w, 5);
    assert_int_equal(get(&w, 2), 0x04);
    get(&w, 0);
    assert_int_equal(get(&w, 2), 0x02);
    assert_int_equal(get(&w, 2), 0x00);
    assert_true(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 6), 0x0b);
    assert_int_equal(get(&w, 2), 0x01);
    assert_false(w.f.level[IRQ4]);
    done(&w);
}

static void resets(void **state)
{
    struct world w;

    (void)state;
    init(&w);
    put(&w, 2, 0x01);
    put(&w, 1, 0x03);
    receive(&w, "abc");
    w.uart->reset(w.uart);
    assert_false(w.f.level[IRQ4]);
    assert_int_equal(get(&w, 1), 0);
    assert_int_equal(get(&w, 5), 0x60);
    assert_null(w.f.timers.first);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(transmits),
        cmocka_unit_test(thre_interrupt),
        cmocka_unit_test(receives_without_a_fifo),
        cmocka_unit_test(fifo_trigger_and_timeout),
        cmocka_unit_test(more_waits_outside),
        cmocka_unit_test(clearing_the_fifo),
        cmocka_unit_test(breaks),
        cmocka_unit_test(loopback),
        cmocka_unit_test(modem_interrupt_and_priorities),
        cmocka_unit_test(resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
