/* test_virtio_balloon.c - a memory balloon, with drivers that are right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "dev/virtio/balloon.h"
#include "virtio_fixture.h"

enum {
    INFLATE,
    DEFLATE,
    STATS,
    REPORTING,
    F_STATS = 1,
    F_POISON = 4,
    F_REPORTING = 5,
    NUMBERS = DRIVER_DATA, /* where arrays of page numbers lie */
    PAGES = DRIVER_RAM / PAGE_SIZE,
};

#define STATS_FEATURE     (1ull << F_STATS)
#define REPORTING_FEATURE (1ull << F_REPORTING)
#define POISON_FEATURE    (1ull << F_POISON)

struct range {
    u64 first, count; /* pages */
};

struct world {
    struct fixture x;
    struct device *balloon;
    struct range ranges[64]; /* that were discarded, in their order */
    unsigned count, answers;
    u64 pages; /* in all */
};

static void discard(void *context, gpa_t gpa, u64 size)
{
    struct world *w = context;

    assert_int_equal(gpa % PAGE_SIZE, 0);
    assert_int_equal(size % PAGE_SIZE, 0);
    assert_true(size && gpa + size <= DRIVER_RAM);
    w->ranges[w->count++ % ARRAY_SIZE(w->ranges)] = (struct range){gpa >> 12, size >> 12};
    w->pages += size >> 12;
}

static void answered(void *context)
{
    ((struct world *)context)->answers++;
}

static void init(struct world *w, bool packed)
{
    struct virtio_balloon_config config = {
        .target = 5, .discard = discard, .answered = answered, .context = w};

    memset(w, 0, sizeof(*w));
    fixture_init(&w->x, packed);
    assert_int_equal(virtio_balloon_create(pci_host_bus(w->x.host), &config, &w->balloon), 0);
    fixture_found(&w->x, w->balloon);
}

static void done(struct world *w)
{
    device_destroy(w->balloon);
    fixture_done(&w->x);
}

static bool used(struct world *w)
{
    u32 id, length = 0;
    bool any = driver_take(&w->x.d, &id, &length);

    assert_int_equal(length, 0); /* a balloon writes nothing */
    return any;
}

static void give_pages(struct world *w, unsigned queue, const u32 *pages, unsigned count)
{
    memcpy(driver_at(&w->x.d, NUMBERS), pages, count * sizeof(u32));
    driver_add(&w->x.d, &(struct driver_part){NUMBERS, count * 4, 0}, 1);
    kick_queue(&w->x, queue);
}

static void assert_range(const struct world *w, unsigned index, u64 first, u64 count)
{
    assert_int_equal(w->ranges[index].first, first);
    assert_int_equal(w->ranges[index].count, count);
}

/* ------------------------------------------------------------------ inflating, deflating */

static void pages_go_back(void **state)
{
    static const u32 pages[] = {50, 51, 52, 40, 39, 38, 37, 60, 62, 60};

    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        init(&w, packed);
        restart_driver_on(&w.x, 0, INFLATE);
        give_pages(&w, INFLATE, pages, ARRAY_SIZE(pages));
        assert_true(used(&w));
        assert_int_equal(w.count, 5);
        assert_range(&w, 0, 50, 3);
        assert_range(&w, 1, 37, 4);
        assert_range(&w, 2, 60, 1);
        assert_range(&w, 3, 62, 1);
        assert_range(&w, 4, 60, 1); /* twice is once more */

        restart_driver_on(&w.x, 0, DEFLATE);
        give_pages(&w, DEFLATE, pages, 3);
        assert_true(used(&w));
        assert_int_equal(w.count, 5);
        done(&w);
    }
}

static void numbers_in_pieces(void **state)
{
    static const u32 pages[] = {10, 11, 12};
    struct world w;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, INFLATE);
    memcpy(driver_at(&w.x.d, NUMBERS), pages, sizeof(pages));
    driver_add(&w.x.d,
               (struct driver_part[]){
                   {NUMBERS, 3, 0}, {NUMBERS + 3, 6, 0}, {NUMBERS + 9, 3, 0}, {NUMBERS, 3, 0}},
               4);
    kick_queue(&w.x, INFLATE);
    assert_true(used(&w)); /* what is left of a number is none */
    assert_int_equal(w.count, 1);
    assert_range(&w, 0, 10, 3);
    done(&w);
}

static void pages_outside_memory(void **state)
{
    static const u32 wrong[] = {PAGES, 0xfffff, 0xffffffff, 0x80000000};
    struct world w;

    (void)state;
    init(&w, false);
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        const u32 pages[] = {1, 2, wrong[i], 3};
        w.count = 0;
        restart_driver_on(&w.x, 0, INFLATE);
        give_pages(&w, INFLATE, pages, ARRAY_SIZE(pages));
        assert_false(used(&w));
        assert_true(get(&w.x, w.x.common + STATUS, 1) & NEEDS_RESET);
        assert_int_equal(w.x.lines, i + 1);
        assert_non_null(strstr(w.x.line, "a page that is not in memory"));
        assert_int_equal(w.count, 1); /* what had gone before has gone */
        assert_range(&w, 0, 1, 2);
    }
    restart_driver_on(&w.x, 0, INFLATE); /* and it works again */
    give_pages(&w, INFLATE, (const u32[]){7}, 1);
    assert_true(used(&w));
    done(&w);
}

/* A chain of many pages takes several turns, in which others get theirs. */
static void much_at_once(void **state)
{
    enum { COUNT = 5000 };
    struct driver_part parts[5];
    struct world w;
    unsigned turns = 0;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, INFLATE);
    for (unsigned i = 0; i < 1000; i++) {
        const u32 page = i % 2 ? 3 : 9;
        memcpy(driver_at(&w.x.d, NUMBERS + 4 * i), &page, 4);
    }
    for (unsigned i = 0; i < 5; i++) {
        parts[i] = (struct driver_part){NUMBERS, 4000, 0};
    }
    driver_add(&w.x.d, parts, 5);
    kick_queue(&w.x, INFLATE);
    assert_int_equal(w.pages, 1024);
    while (!used(&w)) {
        assert_true(turns++ < 10);
        timer_queue_run(&w.x.f.timers);
    }
    assert_int_equal(w.pages, COUNT);
    assert_int_equal(turns, 4);

    /* A reset in the middle, after which the next chain begins at its beginning. */
    driver_add(&w.x.d, parts, 5);
    kick_queue(&w.x, INFLATE);
    w.pages = 0;
    restart_driver_on(&w.x, 0, INFLATE);
    timer_queue_run(&w.x.f.timers);
    assert_int_equal(w.pages, 0);
    give_pages(&w, INFLATE, (const u32[]){7, 8}, 2);
    assert_true(used(&w));
    assert_int_equal(w.pages, 2);
    done(&w);
}

/* ------------------------------------------------------------------ reports of free pages */

static void reports(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        init(&w, packed);
        restart_driver_on(&w.x, STATS_FEATURE | REPORTING_FEATURE, REPORTING);
        driver_add(&w.x.d,
                   (struct driver_part[]){{0x30000, 0x4000, VIRTQ_WRITE},
                                          {0x2c100, 0x2000, VIRTQ_WRITE}, /* one whole page */
                                          {0x2a100, 0xe00, VIRTQ_WRITE}}, /* none */
                   3);
        kick_queue(&w.x, REPORTING);
        assert_true(used(&w));
        assert_int_equal(w.count, 2);
        assert_range(&w, 0, 0x30, 4);
        assert_range(&w, 1, 0x2d, 1);

        /* Without statistics it is the queue before. */
        restart_driver_on(&w.x, REPORTING_FEATURE, STATS);
        driver_add(&w.x.d, &(struct driver_part){0x30000, 0x1000, VIRTQ_WRITE}, 1);
        kick_queue(&w.x, STATS);
        assert_true(used(&w));
        assert_int_equal(w.count, 3);

        /* And without reports there is none. */
        restart_driver_on(&w.x, STATS_FEATURE, REPORTING);
        driver_add(&w.x.d, &(struct driver_part){0x30000, 0x1000, VIRTQ_WRITE}, 1);
        kick_queue(&w.x, REPORTING);
        assert_false(used(&w));
        assert_int_equal(w.count, 3);
        done(&w);
    }
}

/* What the guest has filled with a pattern has it still. */
static void poison(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, STATS_FEATURE | REPORTING_FEATURE | POISON_FEATURE, REPORTING);
    set(&w.x, w.x.config + 12, 4, 0xaaaaaaaa);
    assert_int_equal(get(&w.x, w.x.config + 12, 4), 0xaaaaaaaa);
    driver_add(&w.x.d, &(struct driver_part){0x30000, 0x4000, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, REPORTING);
    assert_true(used(&w));
    assert_int_equal(w.count, 0);
    set(&w.x, w.x.config + 12, 4, 0); /* zero is a pattern that such pages have */
    driver_add(&w.x.d, &(struct driver_part){0x30000, 0x4000, VIRTQ_WRITE}, 1);
    kick_queue(&w.x, REPORTING);
    assert_true(used(&w));
    assert_int_equal(w.count, 1);

    restart_driver_on(&w.x, STATS_FEATURE | REPORTING_FEATURE, REPORTING);
    set(&w.x, w.x.config + 12, 4, 0xaaaaaaaa); /* not negotiated: nothing is kept */
    assert_int_equal(get(&w.x, w.x.config + 12, 4), 0);
    done(&w);
}

/* The same memory a thousand times in one report: bounded work for each turn. */
static void a_large_report(void **state)
{
    struct virtq_descriptor *table;
    struct world w;
    unsigned turns = 0;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, STATS_FEATURE | REPORTING_FEATURE | 1ull << VIRTIO_F_INDIRECT_DESC,
                      REPORTING);
    table = (struct virtq_descriptor *)(void *)driver_at(&w.x.d, 0x20000);
    for (unsigned i = 0; i < 1024; i++) {
        table[i] = (struct virtq_descriptor){.address = 0, .length = DRIVER_RAM};
        table[i].split.flags = VIRTQ_WRITE | (i < 1023 ? VIRTQ_NEXT : 0);
        table[i].split.next = (u16)(i + 1);
    }
    driver_add(&w.x.d, &(struct driver_part){0x20000, 1024 * 16, VIRTQ_INDIRECT}, 1);
    kick_queue(&w.x, REPORTING);
    assert_true(w.pages && w.pages <= 16384);
    while (!used(&w)) {
        u64 before = w.pages;
        assert_true(turns++ < 10);
        timer_queue_run(&w.x.f.timers);
        assert_true(w.pages - before <= 16384);
    }
    assert_int_equal(w.pages, 1024 * PAGES);
    assert_true(turns >= 3);
    done(&w);
}

/* ------------------------------------------------------------------ statistics, configuration */

static void put_stat(struct world *w, unsigned index, u16 tag, u64 value)
{
    memcpy(driver_at(&w->x.d, NUMBERS + 10 * index), &tag, 2);
    memcpy(driver_at(&w->x.d, NUMBERS + 10 * index + 2), &value, 8);
}

static void statistics(void **state)
{
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        struct world w;
        u64 value;

        init(&w, packed);
        assert_false(virtio_balloon_ask(w.balloon));
        restart_driver_on(&w.x, 0, STATS);
        assert_false(virtio_balloon_ask(w.balloon));
        restart_driver_on(&w.x, STATS_FEATURE, STATS);
        assert_false(virtio_balloon_ask(w.balloon)); /* there is no buffer yet */
        put_stat(&w, 0, BALLOON_FREE, 1234567);
        put_stat(&w, 1, 0xffff, 1); /* a tag of another time */
        put_stat(&w, 2, BALLOON_TOTAL, 7654321);
        driver_add(&w.x.d, &(struct driver_part){NUMBERS, 35, 0}, 1);
        kick_queue(&w.x, STATS);
        assert_false(used(&w)); /* it is kept until there is a question */
        assert_int_equal(w.answers, 0);
        assert_true(virtio_balloon_stat(w.balloon, BALLOON_FREE, &value));
        assert_int_equal(value, 1234567);
        assert_true(virtio_balloon_stat(w.balloon, BALLOON_TOTAL, &value));
        assert_int_equal(value, 7654321);
        assert_false(virtio_balloon_stat(w.balloon, BALLOON_CACHES, &value));

        assert_true(virtio_balloon_ask(w.balloon));
        assert_true(used(&w));
        put_stat(&w, 0, BALLOON_CACHES, 5);
        driver_add(&w.x.d, &(struct driver_part){NUMBERS, 10, 0}, 1);
        kick_queue(&w.x, STATS);
        assert_int_equal(w.answers, 1);
        assert_true(virtio_balloon_stat(w.balloon, BALLOON_CACHES, &value));
        assert_int_equal(value, 5);
        assert_false(virtio_balloon_stat(w.balloon, BALLOON_FREE, &value));
        restart_driver_on(&w.x, STATS_FEATURE, STATS);
        assert_false(virtio_balloon_stat(w.balloon, BALLOON_CACHES, &value));
        done(&w);
    }
}

static void the_target(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    restart_driver_on(&w.x, 0, INFLATE);
    assert_int_equal(get(&w.x, w.x.config, 4), 5);
    get(&w.x, w.x.isr, 1);
    virtio_balloon_set_target(w.balloon, 5);
    assert_int_equal(get(&w.x, w.x.isr, 1), 0);
    virtio_balloon_set_target(w.balloon, 33);
    assert_int_equal(get(&w.x, w.x.isr, 1), 2);
    assert_int_equal(get(&w.x, w.x.config, 4), 33);
    set(&w.x, w.x.config, 4, 44); /* the host's */
    set(&w.x, w.x.config + 4, 4, 22);
    assert_int_equal(virtio_balloon_target(w.balloon), 33);
    assert_int_equal(virtio_balloon_actual(w.balloon), 22);
    restart_driver_on(&w.x, 0, INFLATE);
    assert_int_equal(virtio_balloon_target(w.balloon), 33);
    assert_int_equal(virtio_balloon_actual(w.balloon), 0);
    done(&w);
}

/* Code that vCPUs have decoded of such pages is not there any more. */
static void decoded_code(void **state)
{
    struct mem_coherence coherence = {0};
    u8 holders[PAGES] = {[12] = 1};
    struct world w;

    (void)state;
    init(&w, false);
    w.x.d.mem.code_holders = holders;
    w.x.d.mem.coherence = &coherence;
    w.x.d.mem.cpu_count = 1;
    restart_driver_on(&w.x, 0, INFLATE);
    give_pages(&w, INFLATE, (const u32[]){14, 15}, 2);
    assert_int_equal(atomic_load(&coherence.stale), 0);
    give_pages(&w, INFLATE, (const u32[]){11, 12}, 2);
    assert_int_equal(atomic_load(&coherence.stale), MEM_STALE_ALL);
    atomic_store(&coherence.stale, 0);
    give_pages(&w, INFLATE, (const u32[]){12}, 1);
    assert_int_equal(atomic_load(&coherence.stale), MEM_STALE_SLOT);
    assert_int_equal(atomic_load(&coherence.stale_at[0]), 12ull << 25 | PAGE_SIZE);
    w.x.d.mem.coherence = NULL;
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_go_back),
        cmocka_unit_test(numbers_in_pieces),
        cmocka_unit_test(pages_outside_memory),
        cmocka_unit_test(much_at_once),
        cmocka_unit_test(reports),
        cmocka_unit_test(poison),
        cmocka_unit_test(a_large_report),
        cmocka_unit_test(statistics),
        cmocka_unit_test(the_target),
        cmocka_unit_test(decoded_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
