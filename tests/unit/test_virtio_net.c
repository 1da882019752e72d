/* test_virtio_net.c - a virtio network card on a back end that keeps what it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/net_offload.h"
#include "dev/virtio/net.h"
#include "virtio_fixture.h"

enum {
    MTU = 9000,
    HEADER = 12,
    RECEIVE = 0,
    TRANSMIT = 1,
    CONTROL = 2,
    BUFFER = DRIVER_DATA, /* of the driver's */
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_MTU = 3,
    F_TSO4 = 11,
    F_TSO6 = 12,
    F_ECN = 13,
    F_MRG = 15,
    F_STATUS = 16,
    F_CTRL = 17,
    NEEDS_CSUM = 1,
    TCP4 = 1,
    UDP = 3,
    TCP6 = 4,
};

#define OFFLOADS (1ull << F_CSUM | 1ull << F_TSO4 | 1ull << F_TSO6)
#define MERGES   (1ull << F_MRG | 1ull << F_GUEST_CSUM)

static const u8 address[NET_ADDRESS_BYTES] = {0x52, 0x54, 0, 1, 2, 3};

struct world {
    struct fixture x;
    struct device *card;
    unsigned sent, asked; /* how often */
    size_t size;          /* of the last frame */
    u8 frame[NET_FRAME_MAX];
};

static void on_send(void *context, const u8 *frame, size_t size)
{
    struct world *w = context;

    w->sent++;
    w->size = size;
    memcpy(w->frame, frame, size);
}

static void on_ready(void *context)
{
    ((struct world *)context)->asked++;
}

static const struct net_ops ops = {.send = on_send, .ready = on_ready};

static void init(struct world *w, bool packed)
{
    struct virtio_net_config config = {
        .net = {.ops = &ops, .context = w, .mtu = MTU, .takes_segments = true, .checks = true}};

    memset(w, 0, sizeof(*w));
    memcpy(config.address, address, sizeof(address));
    fixture_init(&w->x, packed);
    assert_int_equal(virtio_net_create(pci_host_bus(w->x.host), &config, &w->card), 0);
    fixture_found(&w->x, w->card);
}

static void done(struct world *w)
{
    device_destroy(w->card);
    fixture_done(&w->x);
}

/* ------------------------------------------------------------------ frames */

/* The sum of RFC 1071, one word after the other. */
static u32 sum(const u8 *bytes, size_t size, u32 start)
{
    u32 total = start;

    for (size_t i = 0; i < size; i++) {
        total += (u32)bytes[i] << (i % 2 ? 0 : 8);
        total = (total & 0xffff) + (total >> 16);
    }
    return total;
}

static void put16(u8 *at, unsigned value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}

/* A TCP segment of so many bytes, in a frame for IPv4 or IPv6, its checksums still wrong.  Gives
 * the frame's size. */
static size_t make_tcp(u8 *frame, bool six, size_t bytes)
{
    size_t header = six ? 40 : 20, size = 14 + header + 20 + bytes;
    u8 *ip = frame + 14, *tcp = ip + header;

    memset(frame, 0x11, 14);
    put16(frame + 12, six ? 0x86dd : 0x0800);
    memset(ip, 0, header + 20);
    ip[0] = six ? 0x60 : 0x45;
    ip[six ? 6 : 9] = 6;
    for (size_t i = six ? 8 : 12; i < header; i++) {
        ip[i] = (u8)(i * 37 + 1);
    }
    tcp[12] = 5 << 4;
    for (size_t i = 20; i < 20 + bytes; i++) {
        tcp[i] = (u8)(i * 7 + i / 256);
    }
    return size;
}

static void check_tcp(const u8 *frame, size_t size, bool six)
{
    const u8 *ip = frame + 14, *tcp = ip + (six ? 40 : 20);
    size_t bytes = size - (size_t)(tcp - frame);
    u32 pseudo = sum(ip + (six ? 8 : 12), six ? 32 : 8, 6 + (u32)bytes);

    assert_int_equal(ip[six ? 4 : 2] << 8 | ip[six ? 5 : 3], six ? bytes : bytes + 20);
    assert_int_equal(six ? 0xffff : sum(ip, 20, 0), 0xffff);
    assert_int_equal(sum(tcp, bytes, pseudo), 0xffff);
}

/* The driver sends header and frame, in parts of at most `part` bytes. */
static void transmit(struct world *w, const u8 *header, const u8 *frame, size_t size, u32 part)
{
    struct driver_part parts[64];
    unsigned count = 0;
    u32 id, length;

    memcpy(driver_at(&w->x.d, BUFFER), header, HEADER);
    memcpy(driver_at(&w->x.d, BUFFER + HEADER), frame, size);
    for (u64 at = 0; at < HEADER + size; at += part) {
        u64 left = HEADER + size - at;
        parts[count++] = (struct driver_part){BUFFER + at, left < part ? (u32)left : part, 0};
    }
    driver_add_indirect(&w->x.d, 0, parts, count);
    kick_queue(&w->x, TRANSMIT);
    assert_true(driver_take(&w->x.d, &id, &length));
    assert_int_equal(length, 0);
}

static void header_init(u8 *h, u8 flags, u8 segments, u16 segment_bytes, u16 start, u16 offset)
{
    memset(h, 0, HEADER);
    h[0] = flags;
    h[1] = segments;
    memcpy(h + 4, &segment_bytes, 2);
    memcpy(h + 6, &start, 2);
    memcpy(h + 8, &offset, 2);
}

/* ------------------------------------------------------------------ transmit */

static void sends_frames(void **state)
{
    struct world w;
    u8 header[HEADER] = {0}, frame[1514];

    (void)state;
    for (size_t i = 0; i < sizeof(frame); i++) {
        frame[i] = (u8)(i * 13);
    }
    for (unsigned packed = 0; packed < 2; packed++) {
        init(&w, packed);
        start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC, TRANSMIT);
        transmit(&w, header, frame, sizeof(frame), 4096);
        assert_int_equal(w.size, sizeof(frame));
        assert_memory_equal(w.frame, frame, sizeof(frame));
        transmit(&w, header, frame, 60, 5); /* the header in three parts */
        assert_int_equal(w.size, 60);
        assert_memory_equal(w.frame, frame, 60);
        assert_int_equal(w.sent, 2);
        transmit(&w, header, frame, 13, 64); /* shorter than any frame */
        assert_int_equal(w.sent, 2);
        assert_int_equal(w.x.lines, 0);
        done(&w);
    }
}

static void keeps_to_the_mtu(void **state)
{
    struct world w;
    u8 header[HEADER] = {0}, *frame = calloc(1, NET_FRAME_MAX);

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC | 1ull << F_MTU, TRANSMIT);
    assert_int_equal(get(&w.x, w.x.config + 10, 2), MTU);
    transmit(&w, header, frame, 14 + 4 + MTU, 8192);
    assert_int_equal(w.sent, 1);
    transmit(&w, header, frame, 14 + 4 + MTU + 1, 8192);
    assert_int_equal(w.sent, 1);
    done(&w);
    free(frame);
}

/* Of UDP, with any length and place; the sum of the pseudo header lies there already. */
static void finishes_checksums(void **state)
{
    struct world w;
    u8 header[HEADER], frame[300];

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC | OFFLOADS, TRANSMIT);
    for (size_t size = 60; size < 90; size++) {
        for (size_t i = 0; i < sizeof(frame); i++) {
            frame[i] = (u8)(i * 31 + size);
        }
        put16(frame + 34 + 6, 0x1234 + (unsigned)size);
        u32 wanted = ~sum(frame + 34, size - 34, 0) & 0xffff;
        header_init(header, NEEDS_CSUM, 0, 0, 34, 6);
        transmit(&w, header, frame, size, 4096);
        assert_int_equal(w.frame[40] << 8 | w.frame[41], wanted);
        put16(frame + 40, wanted);
        assert_memory_equal(w.frame, frame, size);
    }
    /* One that comes to 0 is written as the other 0: 0 says that there is none. */
    memset(frame, 0, sizeof(frame));
    put16(frame + 40, 0xffff);
    transmit(&w, header, frame, 60, 4096);
    assert_int_equal(w.frame[40] << 8 | w.frame[41], 0xffff);

    w.sent = 0;
    header_init(header, NEEDS_CSUM, 0, 0, 34, 25); /* its second byte is beyond the end */
    transmit(&w, header, frame, 60, 4096);
    header_init(header, NEEDS_CSUM, 0, 0, 0xffff, 0xffff);
    transmit(&w, header, frame, 60, 4096);
    assert_int_equal(w.sent, 0);
    header_init(header, NEEDS_CSUM, 0, 0, 34, 24);
    transmit(&w, header, frame, 60, 4096);
    assert_int_equal(w.sent, 1);
    assert_int_equal(w.x.lines, 0);
    done(&w);
}

static void finishes_long_segments(void **state)
{
    struct world w;
    u8 header[HEADER], *frame = malloc(NET_FRAME_MAX);

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC | OFFLOADS | 1ull << F_ECN, TRANSMIT);
    for (unsigned six = 0; six < 2; six++) {
        size_t sizes[] = {1, 4000, 65535 - (six ? 60 : 40)};
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
            size_t size = make_tcp(frame, six, sizes[i]);
            header_init(header, NEEDS_CSUM, (six ? TCP6 : TCP4) | (i ? 0x80 : 0), 1448, 0, 0);
            transmit(&w, header, frame, size, 32768);
            assert_int_equal(w.size, size);
            check_tcp(w.frame, size, six);
            assert_memory_equal(w.frame + size - sizes[i], frame + size - sizes[i], sizes[i]);
        }
    }
    assert_int_equal(w.sent, 6);
    done(&w);
    free(frame);
}

static void drops_what_is_no_long_segment(void **state)
{
    static const struct {
        bool six;
        u8 at, value; /* what is changed in the frame */
    } rows[] = {
        {false, 13, 1},    {false, 14, 0x65},        {false, 14, 0x44},
        {false, 14, 0x4f}, {false, 20, 0x20},        {false, 21, 1},
        {false, 23, 17},   {false, 14 + 20 + 12, 0}, {false, 14 + 20 + 12, 0xf0},
        {true, 13, 0},     {true, 14, 0x45},         {true, 20, 44},
        {true, 66, 0x40},  {true, 66, 0xf0},
    };
    static const struct {
        u8 flags, segments;
        u16 bytes;
    } headers[] = {{NEEDS_CSUM, TCP4, 0}, {0, TCP4, 1448},         {NEEDS_CSUM, UDP, 1448},
                   {NEEDS_CSUM, 5, 1448}, {NEEDS_CSUM, 0x80, 0},   {NEEDS_CSUM, 2, 1448},
                   {NEEDS_CSUM, 0x7f, 1}, {NEEDS_CSUM, TCP6, 1448}};
    struct world w;
    u8 header[HEADER], frame[200];
    size_t size;

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC | OFFLOADS | 1ull << F_ECN, TRANSMIT);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        size = make_tcp(frame, rows[i].six, 30);
        frame[rows[i].at] = rows[i].value;
        header_init(header, NEEDS_CSUM, rows[i].six ? TCP6 : TCP4, 1448, 0, 0);
        transmit(&w, header, frame, size, 4096);
        assert_int_equal(w.sent, 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(headers); i++) {
        size = make_tcp(frame, false, 30);
        header_init(header, headers[i].flags, headers[i].segments, headers[i].bytes, 0, 0);
        transmit(&w, header, frame, size, 4096);
        assert_int_equal(w.sent, 0);
    }
    for (size = 14; size < 14 + 40; size++) { /* cut off */
        make_tcp(frame, false, 30);
        header_init(header, NEEDS_CSUM, TCP4, 1448, 0, 0);
        transmit(&w, header, frame, size, 4096);
        assert_int_equal(w.sent, 0);
    }
    assert_int_equal(w.x.lines, 0);

    /* What was not negotiated. */
    restart_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC, TRANSMIT);
    size = make_tcp(frame, false, 30);
    header_init(header, NEEDS_CSUM, TCP4, 1448, 0, 0);
    transmit(&w, header, frame, size, 4096);
    header_init(header, NEEDS_CSUM, 0, 0, 34, 16);
    transmit(&w, header, frame, size, 4096);
    assert_int_equal(w.sent, 0);
    done(&w);
}

/* A chain that is no frame breaks the rules. */
static void needs_a_header_and_an_end(void **state)
{
    struct driver_part parts[9];
    struct world w;

    (void)state;
    init(&w, false);
    for (unsigned i = 0; i < 3; i++) {
        restart_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC, TRANSMIT);
        if (i == 0) {
            driver_add(&w.x.d, &(struct driver_part){BUFFER, HEADER - 1, 0}, 1);
        } else if (i == 1) {
            driver_add(&w.x.d, &(struct driver_part){BUFFER, 64, VIRTQ_WRITE}, 1);
        } else { /* the same memory again and again */
            for (unsigned k = 0; k < ARRAY_SIZE(parts); k++) {
                parts[k] = (struct driver_part){BUFFER, k ? 8192 : HEADER + 14, 0};
            }
            driver_add_indirect(&w.x.d, 0, parts, ARRAY_SIZE(parts));
        }
        kick_queue(&w.x, TRANSMIT);
        assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
        assert_int_equal(w.x.lines, i + 1);
        assert_int_equal(w.sent, 0);
    }
    done(&w);
}

/* ------------------------------------------------------------------ receive */

static void offer_buffer(struct world *w, unsigned number, u32 bytes)
{
    driver_add(&w->x.d, &(struct driver_part){BUFFER + number * 0x1000u, bytes, VIRTQ_WRITE}, 1);
}

static void check_used(struct world *w, u32 bytes)
{
    u32 id, length;

    assert_true(driver_take(&w->x.d, &id, &length));
    assert_int_equal(length, bytes);
}

static void receives_frames(void **state)
{
    struct world w;
    u8 frame[3000];
    u32 id, length;

    (void)state;
    for (size_t i = 0; i < sizeof(frame); i++) {
        frame[i] = (u8)(i * 3 + 1);
    }
    for (unsigned packed = 0; packed < 2; packed++) {
        init(&w, packed);
        assert_true(virtio_net_receive(w.card, frame, 60)); /* nobody is there */
        start_driver(&w.x, MERGES);
        assert_false(virtio_net_receive(w.card, frame, 60));
        offer_buffer(&w, 0, 1526);
        w.asked = 0;
        set(&w.x, w.x.notify, 2, RECEIVE);
        assert_int_equal(w.asked, 1);
        assert_true(virtio_net_receive(w.card, frame, 60));
        assert_int_equal(get(&w.x, w.x.isr, 4), 0);
        virtio_net_received(w.card);
        assert_int_equal(get(&w.x, w.x.isr, 4), 1);
        check_used(&w, HEADER + 60);
        assert_memory_equal(driver_at(&w.x.d, BUFFER), "\2\0\0\0\0\0\0\0\0\0\1\0", HEADER);
        assert_memory_equal(driver_at(&w.x.d, BUFFER + HEADER), frame, 60);

        /* In three buffers, once there are three. */
        offer_buffer(&w, 0, 1000);
        offer_buffer(&w, 1, 1000);
        assert_false(virtio_net_receive(w.card, frame, 2500));
        assert_false(driver_take(&w.x.d, &id, &length));
        offer_buffer(&w, 2, 1000);
        assert_true(virtio_net_receive(w.card, frame, 2500));
        check_used(&w, 1000);
        check_used(&w, 1000);
        check_used(&w, HEADER + 500);
        assert_int_equal(*driver_at(&w.x.d, BUFFER + 10), 3);
        assert_memory_equal(driver_at(&w.x.d, BUFFER + HEADER), frame, 988);
        assert_memory_equal(driver_at(&w.x.d, BUFFER + 0x1000), frame + 988, 1000);
        assert_memory_equal(driver_at(&w.x.d, BUFFER + 0x2000), frame + 1988, 512);
        assert_int_equal(w.x.lines, 0);
        done(&w);
    }
}

/* Until all of a frame is there, the driver sees nothing of it: what it looks at is written last.
 * Round the ring's end, too. */
static void gives_a_frame_at_once(void **state)
{
    struct virtq_chain *chains[3];
    const u32 written[3] = {10, 20, 30};
    struct driver d;
    u32 id, length;

    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        driver_init(&d, packed, 8);
        driver_enable(&d);
        for (unsigned round = 0; round < 6; round++) {
            for (unsigned i = 0; i < 3; i++) {
                driver_add(&d, &(struct driver_part){DRIVER_DATA, 64, VIRTQ_WRITE}, 1);
                chains[i] = virtq_take(&d.queue);
                assert_non_null(chains[i]);
            }
            virtq_give_all(chains, written, 3);
            for (unsigned i = 0; i < 3; i++) {
                assert_true(driver_take(&d, &id, &length));
                assert_int_equal(length, written[i]);
            }
            assert_false(driver_take(&d, &id, &length));
        }
        driver_done(&d);
    }
}

static void drops_what_cannot_come_in(void **state)
{
    struct world w;
    u8 frame[14 + 4 + MTU + 1] = {1};
    u32 id, length;

    (void)state;
    init(&w, false);
    start_driver(&w.x, 0); /* one buffer for each */
    offer_buffer(&w, 0, HEADER + 100);
    assert_true(virtio_net_receive(w.card, frame, 101));
    assert_false(driver_take(&w.x.d, &id, &length));
    assert_true(virtio_net_receive(w.card, frame, 100));
    check_used(&w, HEADER + 100);
    assert_int_equal(*driver_at(&w.x.d, BUFFER), 0); /* of checksums nobody has asked */
    assert_int_equal(*driver_at(&w.x.d, BUFFER + 10), 1);

    fixture_forget(&w.x);
    start_driver(&w.x, MERGES);
    for (unsigned i = 0; i < SIZE; i++) { /* the whole ring is not enough */
        offer_buffer(&w, i, 100);
    }
    assert_true(virtio_net_receive(w.card, frame, 1514));
    assert_true(virtio_net_receive(w.card, frame, 13));
    assert_true(virtio_net_receive(w.card, frame, sizeof(frame)));
    assert_false(driver_take(&w.x.d, &id, &length));
    assert_true(virtio_net_receive(w.card, frame, 60));
    check_used(&w, HEADER + 60);
    assert_int_equal(w.x.lines, 0);

    fixture_forget(&w.x);
    start_driver(&w.x, MERGES);
    offer_buffer(&w, 0, HEADER - 1);
    assert_true(virtio_net_receive(w.card, frame, 60));
    assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
    assert_int_equal(w.x.lines, 1);
    assert_true(virtio_net_receive(w.card, frame, 60));
    done(&w);
}

/* ------------------------------------------------------------------ control, link */

static u8 control(struct world *w, const void *bytes, u32 size)
{
    struct driver_part parts[] = {{BUFFER, size, 0}, {BUFFER + 0x1000, 1, VIRTQ_WRITE}};

    memcpy(driver_at(&w->x.d, BUFFER), bytes, size);
    *driver_at(&w->x.d, BUFFER + 0x1000) = 0xee;
    driver_add(&w->x.d, parts, 2);
    kick_queue(&w->x, CONTROL);
    check_used(w, 1);
    return *driver_at(&w->x.d, BUFFER + 0x1000);
}

static void takes_commands(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << F_CTRL, CONTROL);
    assert_int_equal(get(&w.x, w.x.config, 4), 0x01005452);
    assert_int_equal(control(&w, "\0\0\1", 3), 0);
    assert_int_equal(control(&w, "\0\1\1", 3), 0);
    assert_int_equal(control(&w, "\1\1\x0a\x0b\x0c\x0d\x0e", 7), 1);
    assert_int_equal(get(&w.x, w.x.config, 4), 0x01005452);
    assert_int_equal(control(&w, "\1\1\x0a\x0b\x0c\x0d\x0e\x0f", 8), 0);
    assert_int_equal(get(&w.x, w.x.config, 4), 0x0d0c0b0a);
    assert_int_equal(get(&w.x, w.x.config + 4, 2), 0x0f0e);
    assert_int_equal(control(&w, "\4\0\1\0", 4), 1); /* several pairs of queues */
    assert_int_equal(control(&w, "\xff\xff", 2), 1);
    assert_int_equal(control(&w, "\0", 1), 1);
    driver_add(&w.x.d, &(struct driver_part){BUFFER, 3, 0}, 1);
    kick_queue(&w.x, CONTROL);
    assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
    set(&w.x, w.x.common + STATUS, 1, 0);
    assert_int_equal(get(&w.x, w.x.config, 4), 0x01005452);
    done(&w);
}

static void tells_of_the_link(void **state)
{
    struct world w;
    u8 header[HEADER] = {0}, frame[60] = {0};

    (void)state;
    init(&w, false);
    start_driver_on(&w.x, 1ull << VIRTIO_F_INDIRECT_DESC | 1ull << F_STATUS, TRANSMIT);
    assert_int_equal(get(&w.x, w.x.config + 6, 2), 1);
    virtio_net_set_link(w.card, false);
    virtio_net_set_link(w.card, false);
    assert_int_equal(get(&w.x, w.x.config + 6, 2), 0);
    assert_int_equal(get(&w.x, w.x.isr, 4), 2);
    assert_int_equal(get(&w.x, w.x.common + 21, 1), 1);
    transmit(&w, header, frame, sizeof(frame), 4096);
    assert_int_equal(w.sent, 0);
    virtio_net_set_link(w.card, true);
    assert_int_equal(get(&w.x, w.x.config + 6, 2), 1);
    transmit(&w, header, frame, sizeof(frame), 4096);
    assert_int_equal(w.sent, 1);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_frames),
        cmocka_unit_test(keeps_to_the_mtu),
        cmocka_unit_test(finishes_checksums),
        cmocka_unit_test(finishes_long_segments),
        cmocka_unit_test(drops_what_is_no_long_segment),
        cmocka_unit_test(needs_a_header_and_an_end),
        cmocka_unit_test(receives_frames),
        cmocka_unit_test(gives_a_frame_at_once),
        cmocka_unit_test(drops_what_cannot_come_in),
        cmocka_unit_test(takes_commands),
        cmocka_unit_test(tells_of_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
