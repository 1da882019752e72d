/* test_virtio_blk.c - a virtio disk on a back end that fails, waits, and counts as the test says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "dev/virtio/blk.h"
#include "virtio_fixture.h"

enum {
    DISK = 0x20000,
    HEAD = DRIVER_DATA,
    BUFFER = DRIVER_DATA + 0x1000,
    STATUS_BYTE = DRIVER_DATA + 0x4000,
    F_RO = 5,
    F_FLUSH = 9,
    F_WCE = 11,
    F_DISCARD = 13,
    F_ZEROES = 14,
};

#define ALL_FEATURES (1ull << F_FLUSH | 1ull << F_WCE | 1ull << F_DISCARD | 1ull << F_ZEROES)

struct backend {
    u8 bytes[DISK];
    struct block_request *waiting[SIZE];
    unsigned count, drains;
    bool waits; /* requests end only when the test says so */
    int error;  /* of the next ones */
    struct block_request last;
};

struct world {
    struct fixture x;
    struct backend b;
    struct device *blk;
};

static void perform(struct backend *b, const struct block_request *r)
{
    u64 at = r->offset;

    assert_true(r->op == BLOCK_FLUSH || (r->offset <= DISK && r->size <= DISK - r->offset));
    for (unsigned i = 0; i < r->count; i++) {
        if (r->op == BLOCK_READ) {
            memcpy(r->parts[i].iov_base, b->bytes + at, r->parts[i].iov_len);
        } else {
            memcpy(b->bytes + at, r->parts[i].iov_base, r->parts[i].iov_len);
        }
        at += r->parts[i].iov_len;
    }
    assert_true(r->count == 0 || at == r->offset + r->size);
    if (r->op == BLOCK_ZERO) {
        memset(b->bytes + r->offset, 0, r->size);
    }
}

static void submit(void *context, struct block_request *r)
{
    struct backend *b = context;

    b->last = *r;
    if (b->waits) {
        b->waiting[b->count++] = r;
        return;
    }
    if (!b->error) {
        perform(b, r);
    }
    r->done(r, b->error);
}

static void drain(void *context)
{
    struct backend *b = context;

    b->drains++;
    while (b->count) {
        struct block_request *r = b->waiting[--b->count];
        r->done(r, 0);
    }
}

static const struct block_ops ops = {.submit = submit, .drain = drain};

static void init(struct world *w, bool read_only)
{
    struct virtio_blk_config config = {
        .block = {.ops = &ops,
                  .context = &w->b,
                  .size = DISK,
                  .read_only = read_only,
                  .can_discard = !read_only,
                  .can_zero = !read_only},
        .queues = 2,
        .serial = "a serial number of more than twenty bytes",
    };

    memset(&w->b, 0, sizeof(w->b));
    fixture_init(&w->x, false);
    assert_int_equal(virtio_blk_create(pci_host_bus(w->x.host), &config, &w->blk), 0);
    fixture_found(&w->x, w->blk);
    for (unsigned i = 0; i < DISK; i++) {
        w->b.bytes[i] = (u8)(i % 251 + 1);
    }
}

static void done(struct world *w)
{
    device_destroy(w->blk);
    assert_int_equal(w->b.drains, 1);
    fixture_done(&w->x);
}

static void put_head(struct world *w, u32 type, u64 sector)
{
    u8 *head = driver_at(&w->x.d, HEAD);

    pci_put32(head, type);
    memcpy(head + 8, &sector, 8);
    *driver_at(&w->x.d, STATUS_BYTE) = 0xee;
}

/* Head, a buffer of so many bytes if any, status.  Gives the status, or 0xee while there is none.
 */
static u8 request(struct world *w, u32 type, u64 sector, u32 bytes, bool to_guest)
{
    struct driver_part parts[3] = {{HEAD, 16, 0}};
    unsigned count = 1;
    u32 id, length;

    put_head(w, type, sector);
    if (bytes) {
        parts[count++] = (struct driver_part){BUFFER, bytes, to_guest ? VIRTQ_WRITE : 0};
    }
    parts[count++] = (struct driver_part){STATUS_BYTE, 1, VIRTQ_WRITE};
    driver_add(&w->x.d, parts, count);
    set(&w->x, w->x.notify, 2, 0);
    if (driver_take(&w->x.d, &id, &length)) {
        assert_int_equal(length, (to_guest ? bytes : 0) + 1);
    }
    return *driver_at(&w->x.d, STATUS_BYTE);
}

static void reads_and_writes(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    assert_int_equal(get(&w.x, w.x.config, 4), DISK / 512);
    assert_int_equal(get(&w.x, w.x.config + 34, 2), 2);
    assert_int_equal(request(&w, 0, 3, 1024, true), 0);
    assert_memory_equal(driver_at(&w.x.d, BUFFER), w.b.bytes + 3 * 512, 1024);
    memset(driver_at(&w.x.d, BUFFER), 0x5a, 512);
    assert_int_equal(request(&w, 1, 255, 512, false), 0);
    assert_int_equal(w.b.bytes[DISK - 1], 0x5a);
    assert_int_equal(w.b.bytes[DISK - 513] == 0x5a, 0);
    assert_false(w.b.last.through);
    assert_int_equal(request(&w, 4, 0, 0, false), 0);
    assert_int_equal(w.b.last.op, BLOCK_FLUSH);
    assert_int_equal(request(&w, 8, 0, 20, true), 0);
    assert_memory_equal(driver_at(&w.x.d, BUFFER), "a serial number of m", 20);
    done(&w);
}

/* The bytes count, not how they are cut up. */
static void finds_head_and_status_anywhere(void **state)
{
    struct world w;
    u32 id, length;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    put_head(&w, 0, 1);
    driver_add(&w.x.d,
               (struct driver_part[]){{HEAD, 3, 0},
                                      {HEAD + 3, 13, 0},
                                      {BUFFER, 100, VIRTQ_WRITE},
                                      {BUFFER + 100, 413, VIRTQ_WRITE}},
               4);
    set(&w.x, w.x.notify, 2, 0);
    assert_true(driver_take(&w.x.d, &id, &length));
    assert_int_equal(length, 513);
    assert_memory_equal(driver_at(&w.x.d, BUFFER), w.b.bytes + 512, 512);
    assert_int_equal(*driver_at(&w.x.d, BUFFER + 512), 0);

    put_head(&w, 1, 2);
    memcpy(driver_at(&w.x.d, HEAD + 16), "written", 7);
    driver_add(
        &w.x.d,
        (struct driver_part[]){{HEAD, 20, 0}, {HEAD + 20, 508, 0}, {STATUS_BYTE, 1, VIRTQ_WRITE}},
        3);
    set(&w.x, w.x.notify, 2, 0);
    assert_true(driver_take(&w.x.d, &id, &length));
    assert_memory_equal(w.b.bytes + 1024, "written", 7);
    done(&w);
}

static void stays_on_the_disk(void **state)
{
    static const struct {
        u64 sector;
        u32 bytes;
    } cases[] = {
        {256, 512}, {255, 1024}, {~0ull, 512}, {1ull << 55, 512}, {0x7fffffffffffff, 1024},
        {0, 511},   {0, 513},    {257, 0},
    };
    struct world w;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(request(&w, 0, cases[i].sector, cases[i].bytes, true), 1);
        assert_int_equal(request(&w, 1, cases[i].sector, cases[i].bytes, false), 1);
    }
    assert_int_equal(request(&w, 0, 256, 0, true), 0); /* nothing, at its end */
    static const u32 unknown[] = {2, 3, 5, 10, 14, 15, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
        assert_int_equal(request(&w, unknown[i], 0, 512, true), 2);
    }
    assert_int_equal(w.x.lines, 0);
    done(&w);
}

static u8 range(struct world *w, u32 type, u64 sector, u32 sectors, u32 flags)
{
    u8 *at = driver_at(&w->x.d, BUFFER);

    memcpy(at, &sector, 8);
    pci_put32(at + 8, sectors);
    pci_put32(at + 12, flags);
    return request(w, type, 0, 16, false);
}

static void discards_and_zeroes(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    assert_int_equal(range(&w, 13, 2, 3, 1), 0);
    assert_true(w.b.last.unmap);
    assert_int_equal(w.b.bytes[1023] != 0, 1);
    assert_int_equal(w.b.bytes[1024] | w.b.bytes[5 * 512 - 1], 0);
    assert_int_equal(w.b.bytes[5 * 512 + 1] != 0, 1);
    assert_int_equal(range(&w, 11, 0, 256, 0), 0);
    assert_int_equal(w.b.last.op, BLOCK_DISCARD);
    assert_int_equal(w.b.last.size, DISK);
    assert_int_equal(range(&w, 11, 0, 257, 0), 1);
    assert_int_equal(range(&w, 13, ~0ull, 2, 0), 1);
    assert_int_equal(range(&w, 13, 0, 0xffffffff, 0), 1);
    assert_int_equal(range(&w, 11, 0, 1, 1), 2); /* flags that are not known */
    assert_int_equal(range(&w, 13, 0, 1, 2), 2);
    assert_int_equal(request(&w, 11, 0, 15, false), 1);
    assert_int_equal(request(&w, 11, 0, 32, false), 1);
    fixture_forget(&w.x);
    start_driver(&w.x, 0);
    assert_int_equal(range(&w, 11, 0, 1, 0), 2); /* not negotiated */
    done(&w);
}

static void read_only_is_read_only(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    set(&w.x, w.x.common, 4, 0);
    assert_int_equal(get(&w.x, w.x.common + 4, 4) & (1u << F_RO | 1u << F_DISCARD | 1u << F_ZEROES),
                     1u << F_RO);
    start_driver(&w.x, 1ull << F_RO);
    assert_int_equal(request(&w, 0, 0, 512, true), 0);
    assert_int_equal(request(&w, 1, 0, 512, false), 1);
    assert_int_equal(range(&w, 13, 0, 1, 0), 2);
    assert_int_equal(w.b.last.op, BLOCK_READ);
    done(&w);
}

/* Without flushes, or with the cache off, a write is through before it is done. */
static void writes_through(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    start_driver(&w.x, 0);
    request(&w, 1, 0, 512, false);
    assert_true(w.b.last.through);
    done(&w);

    init(&w, false);
    start_driver(&w.x, 1ull << F_FLUSH | 1ull << F_WCE);
    assert_int_equal(get(&w.x, w.x.config + 32, 1), 1);
    request(&w, 1, 0, 512, false);
    assert_false(w.b.last.through);
    set(&w.x, w.x.config + 32, 1, 0);
    request(&w, 1, 0, 512, false);
    assert_true(w.b.last.through);
    set(&w.x, w.x.config + 32, 1, 1);
    request(&w, 1, 0, 512, false);
    assert_false(w.b.last.through);
    done(&w);
}

/* The host's errors are the guest's I/O errors; the device goes on. */
static void passes_errors_on(void **state)
{
    static const int errors[] = {-EIO, -ENOSPC, -ENOMEM, -ENXIO, -EBADF};
    struct world w;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    for (unsigned i = 0; i < ARRAY_SIZE(errors); i++) {
        w.b.error = errors[i];
        assert_int_equal(request(&w, 0, 0, 512, true), 1);
        assert_int_equal(request(&w, 1, 0, 512, false), 1);
        assert_int_equal(request(&w, 4, 0, 0, false), 1);
        assert_int_equal(range(&w, 13, 0, 1, 0), 1);
        w.b.error = 0;
        assert_int_equal(request(&w, 1, 0, 512, false), 0);
    }
    done(&w);
}

/* Answers come when the I/O ends, in its order; a reset waits for them, and drops them. */
static void waits_for_io(void **state)
{
    struct world w;
    u32 id, length, first;

    (void)state;
    init(&w, false);
    start_driver(&w.x, ALL_FEATURES);
    w.b.waits = true;
    assert_int_equal(request(&w, 0, 0, 512, true), 0xee);
    first = w.x.d.next;
    assert_int_equal(request(&w, 4, 0, 0, false), 0xee);
    assert_int_equal(get(&w.x, w.x.isr, 1), 0);
    w.b.waiting[1]->done(w.b.waiting[1], 0);
    assert_true(driver_take(&w.x.d, &id, &length));
    assert_int_equal(id, first);
    assert_int_equal(get(&w.x, w.x.isr, 1), 1);
    assert_false(driver_take(&w.x.d, &id, &length));

    set(&w.x, w.x.common + STATUS, 1, 0);
    assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 15);
    w.b.waiting[0]->done(w.b.waiting[0], 0);
    assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 0);
    assert_false(driver_take(&w.x.d, &id, &length));

    /* The machine's end waits, too: done() checks that the back end was drained. */
    fixture_forget(&w.x);
    w.b.count = 0;
    start_driver(&w.x, ALL_FEATURES);
    assert_int_equal(request(&w, 4, 0, 0, false), 0xee);
    done(&w);
}

static void needs_head_and_status(void **state)
{
    static const struct {
        struct driver_part parts[2];
        unsigned count;
    } cases[] = {
        {{{HEAD, 16, 0}}, 1},
        {{{HEAD, 15, 0}, {STATUS_BYTE, 1, VIRTQ_WRITE}}, 2},
        {{{STATUS_BYTE, 1, VIRTQ_WRITE}}, 1},
        {{{HEAD, 16, 0}, {STATUS_BYTE, 0, VIRTQ_WRITE}}, 2},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world w;
        u32 id, length;
        init(&w, false);
        start_driver(&w.x, ALL_FEATURES);
        put_head(&w, 0, 0);
        driver_add(&w.x.d, cases[i].parts, cases[i].count);
        set(&w.x, w.x.notify, 2, 0);
        assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 15 | NEEDS_RESET);
        assert_int_equal(w.x.lines, 1);
        assert_non_null(strstr(w.x.line, "without a head"));
        assert_false(driver_take(&w.x.d, &id, &length));
        done(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),       cmocka_unit_test(finds_head_and_status_anywhere),
        cmocka_unit_test(stays_on_the_disk),      cmocka_unit_test(discards_and_zeroes),
        cmocka_unit_test(read_only_is_read_only), cmocka_unit_test(writes_through),
        cmocka_unit_test(passes_errors_on),       cmocka_unit_test(waits_for_io),
        cmocka_unit_test(needs_head_and_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
