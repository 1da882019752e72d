/* test_virtio_fs.c - a virtio file system device before a server that answers when the test says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/fuse.h>

#include "dev/virtio/fs.h"
#include "virtio_fixture.h"

enum { MESSAGE = DRIVER_DATA, ANSWER = DRIVER_DATA + 0x2000, UNIQUE = 0x7788 };

struct world {
    struct fixture x;
    struct device *fs;
    struct virtio_fs_request *waiting[SIZE];
    unsigned count, cancels;
};

static void submit(void *context, struct virtio_fs_request *r)
{
    struct world *w = context;

    w->waiting[w->count++] = r;
}

static void cancel(void *context)
{
    struct world *w = context;

    w->cancels++;
    while (w->count) {
        virtio_fs_fail(w->waiting[--w->count], -EIO);
    }
}

static const struct virtio_fs_ops ops = {.submit = submit, .cancel = cancel};

static void init(struct world *w, bool packed)
{
    struct virtio_fs_config config = {
        .tag = "a-tag-of-thirty-six-bytes-and-no-more-of-them", .ops = &ops, .context = w};

    memset(w, 0, sizeof(*w));
    fixture_init(&w->x, packed);
    assert_int_equal(virtio_fs_create(pci_host_bus(w->x.host), &config, &w->fs), 0);
    fixture_found(&w->x, w->fs);
    start_driver(&w->x, 0);
}

static void done(struct world *w)
{
    device_destroy(w->fs);
    assert_int_equal(w->cancels, 1);
    fixture_done(&w->x);
}

/* A message that says so many bytes and has so many, with so much room for its answer. */
static void send_message(struct world *w, u32 says, u32 has, u32 room)
{
    struct fuse_in_header head = {.len = says, .opcode = FUSE_LOOKUP, .unique = UNIQUE};
    struct driver_part parts[3];
    unsigned count = 0;

    memset(driver_at(&w->x.d, MESSAGE), 0x5a, 0x2000);
    memcpy(driver_at(&w->x.d, MESSAGE), &head, sizeof(head));
    memset(driver_at(&w->x.d, ANSWER), 0xee, 256);
    parts[count++] = (struct driver_part){MESSAGE, has < 10 ? has : 10, 0};
    if (has > 10) {
        parts[count++] = (struct driver_part){MESSAGE + 10, has - 10, 0};
    }
    if (room) {
        parts[count++] = (struct driver_part){ANSWER, room, VIRTQ_WRITE};
    }
    driver_add(&w->x.d, parts, count);
    set(&w->x, w->x.notify, 2, 0);
}

static void expect_used(struct world *w, u32 bytes)
{
    u32 id, length;

    assert_true(driver_take(&w->x.d, &id, &length));
    assert_int_equal(length, bytes);
}

static struct fuse_out_header answered(struct world *w)
{
    struct fuse_out_header head;

    memcpy(&head, driver_at(&w->x.d, ANSWER), sizeof(head));
    return head;
}

static void shows_its_tag(void **state)
{
    struct world w;
    char tag[37] = "";

    (void)state;
    init(&w, false);
    for (unsigned i = 0; i < 36; i++) {
        tag[i] = (char)get(&w.x, w.x.config + i, 1);
    }
    assert_string_equal(tag, "a-tag-of-thirty-six-bytes-and-no-mor");
    assert_int_equal(get(&w.x, w.x.config + 36, 4), 1);
    done(&w);
}

static void passes_messages(void **state)
{
    static const u8 reply[] = {20, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x77, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4};
    struct world w;
    u8 bytes[100];

    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        init(&w, packed);
        send_message(&w, 60, 60, 100);
        send_message(&w, 50, 60, 100); /* what is behind the message is not of it */
        assert_int_equal(w.count, 2);
        assert_int_equal(virtio_fs_size(w.waiting[0]), 60);
        assert_int_equal(virtio_fs_size(w.waiting[1]), 50);
        assert_true(virtio_fs_unique(w.waiting[0]) == UNIQUE);

        /* The guest changes its mind: the head is what it was. */
        memset(driver_at(&w.x.d, MESSAGE), 0xcc, 100);
        virtio_fs_read(w.waiting[0], 0, bytes, 4);
        virtio_fs_read(w.waiting[0], 4, bytes + 4, 56);
        assert_memory_equal(bytes, "\x3c\0\0\0\x01\0\0\0\x88\x77", 10);
        assert_int_equal(bytes[39], 0);
        assert_int_equal(bytes[40], 0xcc);

        virtio_fs_answer(w.waiting[1], reply, sizeof(reply)); /* in any order */
        expect_used(&w, 20);
        assert_memory_equal(driver_at(&w.x.d, ANSWER), reply, 20);
        assert_int_equal(*driver_at(&w.x.d, ANSWER + 20), 0xee);
        virtio_fs_fail(w.waiting[0], -ENOENT);
        expect_used(&w, 16);
        assert_int_equal(answered(&w).error, -ENOENT);
        assert_int_equal(answered(&w).len, 16);
        w.count = 0;
        done(&w);
    }
}

static void room_for_answers_is_the_guests(void **state)
{
    u8 reply[64] = {64};
    struct world w;

    (void)state;
    init(&w, false);
    send_message(&w, 48, 48, 0); /* FORGET and its like */
    virtio_fs_answer(w.waiting[0], reply, sizeof(reply));
    expect_used(&w, 0);
    send_message(&w, 48, 48, 63);
    virtio_fs_answer(w.waiting[1], reply, sizeof(reply));
    expect_used(&w, 16);
    assert_int_equal(answered(&w).error, -EOVERFLOW);
    assert_true(answered(&w).unique == UNIQUE);
    assert_int_equal(*driver_at(&w.x.d, ANSWER + 16), 0xee);
    w.count = 0;
    done(&w);
}

static void wrong_messages_need_a_reset(void **state)
{
    static const struct {
        u32 says, has, room;
    } wrong[] = {
        {60, 59, 100}, {39, 60, 100}, {0, 60, 100}, {0xffffffff, 60, 100},  {40, 39, 100},
        {0, 1, 100},   {60, 60, 15},  {60, 60, 1},  {0x1000, 0xfff, 0x100}, {0x80000000, 64, 0x10},
    };
    struct world w;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        init(&w, i & 1);
        send_message(&w, wrong[i].says, wrong[i].has, wrong[i].room);
        assert_int_equal(w.count, 0);
        assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
        assert_int_equal(w.x.lines, 1);
        fixture_forget(&w.x);
        start_driver(&w.x, 0);
        send_message(&w, 60, 60, 16);
        assert_int_equal(w.count, 1);
        done(&w);
    }
}

static void a_reset_waits_for_answers(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    send_message(&w, 60, 60, 100);
    set(&w.x, w.x.common + STATUS, 1, 0);
    assert_int_not_equal(get(&w.x, w.x.common + STATUS, 1), 0);
    virtio_fs_fail(w.waiting[0], -EIO);
    assert_int_equal(get(&w.x, w.x.common + STATUS, 1), 0);
    assert_int_equal(*driver_at(&w.x.d, DRIVER_USED + 2), 0); /* nobody is told any more */
    w.count = 0;

    fixture_forget(&w.x);
    start_driver(&w.x, 0);
    send_message(&w, 60, 60, 100);
    send_message(&w, 60, 60, 100);
    done(&w); /* with two of them under way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_its_tag),
        cmocka_unit_test(passes_messages),
        cmocka_unit_test(room_for_answers_is_the_guests),
        cmocka_unit_test(wrong_messages_need_a_reset),
        cmocka_unit_test(a_reset_waits_for_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
