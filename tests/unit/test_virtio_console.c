/* test_virtio_console.c - a virtio console whose back end takes as much as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/virtio/console.h"
#include "virtio_fixture.h"

enum {
    RECEIVE = 0,
    TRANSMIT = 1,
    F_SIZE = 0,
    BUFFER = DRIVER_DATA,
    LARGE = 0x18000,
};

struct backend {
    char text[0x40000];
    size_t size, room;
    unsigned readies;
    struct device *console;
    const char *typed; /* to give when asked */
};

struct world {
    struct fixture x;
    struct backend b;
    struct device *console;
};

static void transmit(void *context, const u8 *bytes, size_t count)
{
    struct backend *b = context;

    assert_true(count <= b->room);
    assert_true(b->size + count < sizeof(b->text));
    memcpy(b->text + b->size, bytes, count);
    b->size += count;
    b->text[b->size] = 0;
    b->room -= count;
}

static void ready(void *context)
{
    struct backend *b = context;

    b->readies++;
    if (b->typed) {
        b->typed += virtio_console_receive(b->console, (const u8 *)b->typed, strlen(b->typed));
    }
}

static size_t room(void *context)
{
    return ((struct backend *)context)->room;
}

static const struct serial_port_ops ops = {transmit, ready, room};

static void init(struct world *w, bool packed)
{
    struct virtio_console_config config = {.ops = &ops, .context = &w->b};

    memset(&w->b, 0, sizeof(w->b));
    w->b.room = sizeof(w->b.text) - 1;
    fixture_init(&w->x, packed);
    assert_int_equal(virtio_console_create(pci_host_bus(w->x.host), &config, &w->console), 0);
    w->b.console = w->console;
    fixture_found(&w->x, w->console);
}

static void done(struct world *w)
{
    device_destroy(w->console);
    fixture_done(&w->x);
}

static unsigned count_used(struct world *w, u32 *bytes)
{
    unsigned count = 0;
    u32 id, length;

    for (*bytes = 0; driver_take(&w->x.d, &id, &length); count++) {
        *bytes += length;
    }
    return count;
}

static void put(struct world *w, const char *text, unsigned at)
{
    memcpy(driver_at(&w->x.d, BUFFER + at), text, strlen(text));
    driver_add(&w->x.d, &(struct driver_part){BUFFER + at, (u32)strlen(text), 0}, 1);
}

static void what_the_guest_says(void **state)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        u32 bytes;

        (void)state;
        init(&w, packed);
        assert_int_equal(get(&w.x, w.x.config + 4, 4), 1); /* port */
        restart_driver_on(&w.x, 0, TRANSMIT);
        put(&w, "hello, ", 0);
        put(&w, "world", 16);
        kick_queue(&w.x, TRANSMIT);
        assert_string_equal(w.b.text, "hello, world");
        assert_int_equal(count_used(&w, &bytes), 2);
        assert_int_equal(bytes, 0);
        done(&w);
    }
}

/* What there is no room for waits in the queue, and goes on where it stopped. */
static void a_slow_back_end(void **state)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        u32 bytes;

        (void)state;
        init(&w, packed);
        restart_driver_on(&w.x, 0, TRANSMIT);
        w.b.room = 3;
        put(&w, "abcdefgh", 0);
        put(&w, "ijk", 16);
        kick_queue(&w.x, TRANSMIT);
        assert_string_equal(w.b.text, "abc");
        assert_int_equal(count_used(&w, &bytes), 0);
        kick_queue(&w.x, TRANSMIT);
        virtio_console_resume(w.console);
        assert_string_equal(w.b.text, "abc");
        w.b.room = 6;
        virtio_console_resume(w.console);
        assert_string_equal(w.b.text, "abcdefghi");
        assert_int_equal(count_used(&w, &bytes), 1);
        w.b.room = 100;
        virtio_console_resume(w.console);
        assert_string_equal(w.b.text, "abcdefghijk");
        assert_int_equal(count_used(&w, &bytes), 1);

        /* A reset while some of it has gone: the next driver's first bytes are all there. */
        w.b.room = 2;
        put(&w, "lmnop", 0);
        kick_queue(&w.x, TRANSMIT);
        assert_string_equal(w.b.text, "abcdefghijklm");
        restart_driver_on(&w.x, 0, TRANSMIT);
        w.b.room = 100;
        put(&w, "LMNOP", 0);
        kick_queue(&w.x, TRANSMIT);
        assert_string_equal(w.b.text, "abcdefghijklmLMNOP");
        done(&w);
    }
}

/* A chain that shrinks while it waits has nothing left to say. */
static void a_chain_that_shrinks(void **state)
{
    struct world w;
    u32 bytes;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, TRANSMIT);
    w.b.room = 5;
    put(&w, "abcdefgh", 0);
    kick_queue(&w.x, TRANSMIT);
    driver_ring(&w.x.d)[0].length = 2;
    w.b.room = 100;
    virtio_console_resume(w.console);
    assert_string_equal(w.b.text, "abcde");
    assert_int_equal(count_used(&w, &bytes), 1);
    put(&w, "ijk", 0);
    kick_queue(&w.x, TRANSMIT);
    assert_string_equal(w.b.text, "abcdeijk");
    done(&w);
}

/* A guest that says much at once does not hold up the machine. */
static void others_get_their_turn(void **state)
{
    struct world w;
    u32 bytes;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, TRANSMIT);
    memset(driver_at(&w.x.d, BUFFER), 'x', LARGE);
    driver_add(&w.x.d, &(struct driver_part){BUFFER, LARGE, 0}, 1);
    kick_queue(&w.x, TRANSMIT);
    assert_int_equal(w.b.size, 65536);
    assert_int_equal(count_used(&w, &bytes), 0);
    timer_queue_run(&w.x.f.timers);
    assert_int_equal(w.b.size, LARGE);
    assert_int_equal(count_used(&w, &bytes), 1);
    done(&w);
}

static void what_is_typed(void **state)
{
    struct world w;
    u32 bytes;

    (void)state;
    init(&w, false);
    assert_int_equal(virtio_console_receive(w.console, (const u8 *)"x", 1), 0); /* no driver */
    w.b.typed = "0123456789";
    restart_driver_on(&w.x, 0, RECEIVE); /* there is no room yet */
    assert_int_equal(w.b.readies, 1);
    driver_add(&w.x.d, &(struct driver_part){BUFFER, 4, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, RECEIVE); /* the room that the device has waited for */
    assert_int_equal(w.b.readies, 2);
    assert_string_equal(w.b.typed, "456789");
    assert_memory_equal(driver_at(&w.x.d, BUFFER), "0123", 4);
    driver_add(&w.x.d,
               (struct driver_part[]){{BUFFER, 3, VIRTQ_WRITE}, {BUFFER + 3, 100, VIRTQ_WRITE}}, 2);
    kick_queue(&w.x, RECEIVE);
    assert_int_equal(w.b.readies, 3);
    assert_string_equal(w.b.typed, "");
    assert_memory_equal(driver_at(&w.x.d, BUFFER), "456789", 6);
    assert_int_equal(count_used(&w, &bytes), 2);
    assert_int_equal(bytes, 10);

    /* Room of which nobody waits is not told of. */
    driver_add(&w.x.d, &(struct driver_part){BUFFER, 4, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, RECEIVE);
    assert_int_equal(w.b.readies, 3);
    assert_int_equal(virtio_console_receive(w.console, (const u8 *)"ab", 2), 2);
    assert_int_equal(count_used(&w, &bytes), 1);
    assert_int_equal(bytes, 2);
    done(&w);
}

static void a_buffer_for_nothing(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, RECEIVE);
    driver_add(&w.x.d, &(struct driver_part){BUFFER, 4, 0}, 1);
    kick_queue(&w.x, RECEIVE);
    assert_int_equal(virtio_console_receive(w.console, (const u8 *)"ab", 2), 0);
    assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
    assert_int_equal(w.x.lines, 1);
    assert_non_null(strstr(w.x.line, "a buffer for input that can hold none"));
    done(&w);
}

/* The ISR bit of the configuration, which reading clears. */
static bool has_changed(struct world *w)
{
    return get(&w->x, w->x.isr, 1) & 2;
}

static void the_size(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    virtio_console_resize(w.console, 100, 30);
    assert_int_equal(get(&w.x, w.x.config, 4), 30 << 16 | 100);
    restart_driver_on(&w.x, 1u << F_SIZE, TRANSMIT);
    assert_false(has_changed(&w));
    put(&w, "$", 0);
    kick_queue(&w.x, TRANSMIT); /* the first bytes: now the driver listens */
    assert_true(has_changed(&w));
    put(&w, "$", 0);
    kick_queue(&w.x, TRANSMIT);
    assert_false(has_changed(&w));
    virtio_console_resize(w.console, 100, 30);
    assert_false(has_changed(&w));
    virtio_console_resize(w.console, 80, 50);
    assert_true(has_changed(&w));
    assert_int_equal(get(&w.x, w.x.config, 4), 50 << 16 | 80);

    restart_driver_on(&w.x, 0, TRANSMIT); /* who does not want to know is not told */
    virtio_console_resize(w.console, 81, 50);
    put(&w, "$", 0);
    kick_queue(&w.x, TRANSMIT);
    assert_false(has_changed(&w));
    done(&w);
}

static void emergency_writes(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    set(&w.x, w.x.config + 8, 4, 'o'); /* before there is a driver */
    restart_driver_on(&w.x, 0, TRANSMIT);
    set(&w.x, w.x.config + 8, 1, 'h');
    set(&w.x, w.x.config + 0, 4, 0x00ff00ff); /* the rest is read-only */
    set(&w.x, w.x.config + 4, 4, 5);
    assert_int_equal(get(&w.x, w.x.config, 4), 0);
    assert_int_equal(get(&w.x, w.x.config + 4, 4), 1);
    w.b.room = 0;
    set(&w.x, w.x.config + 8, 4, '!');
    assert_string_equal(w.b.text, "oh");
    done(&w);
}

/* Nobody is behind it: what the guest says is gone. */
static void connected_to_nothing(void **state)
{
    struct virtio_console_config config = {.ops = NULL};
    struct world w;
    u32 bytes;

    (void)state;
    fixture_init(&w.x, false);
    assert_int_equal(virtio_console_create(pci_host_bus(w.x.host), &config, &w.console), 0);
    fixture_found(&w.x, w.console);
    restart_driver_on(&w.x, 0, TRANSMIT);
    put(&w, "hello", 0);
    kick_queue(&w.x, TRANSMIT);
    assert_int_equal(count_used(&w, &bytes), 1);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_guest_says),
        cmocka_unit_test(a_slow_back_end),
        cmocka_unit_test(a_chain_that_shrinks),
        cmocka_unit_test(others_get_their_turn),
        cmocka_unit_test(what_is_typed),
        cmocka_unit_test(a_buffer_for_nothing),
        cmocka_unit_test(the_size),
        cmocka_unit_test(emergency_writes),
        cmocka_unit_test(connected_to_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
