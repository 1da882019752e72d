/* test_recording.c - the file of --record: what was written is read, and nothing else is. */
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vm/recording.h"

static char path[] = "/tmp/ringer-recording-XXXXXX";
static char error[256];

static int make_path(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 || close(fd) < 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

/* START, three INPUTs, a MARK, END. */
static void write_machine(unsigned machine)
{
    struct recording_start start = {.memory_bytes = 1 << 20};
    struct recording_mark mark = {.instructions = 77};
    struct recording_end end = {.code = 5};
    struct recorder r;

    assert_int_equal(recorder_open(&r, path, machine), 0);
    recorder_add(&r, &(struct record_head){.kind = RECORD_START}, &start, sizeof(start));
    for (u64 i = 1; i <= 3; i++) {
        struct record_head head = {
            .kind = RECORD_INPUT, .where = RECORD_AT_SYNC, .time_ns = i * 1000, .offered = 6};
        recorder_add(&r, &head, "hello", (u32)i);
    }
    recorder_add(&r, &(struct record_head){.kind = RECORD_MARK, .time_ns = 4000}, &mark,
                 sizeof(mark));
    recorder_add(&r, &(struct record_head){.kind = RECORD_END, .time_ns = 5000}, &end, sizeof(end));
    recorder_close(&r);
}

static u8 *contents(size_t *size)
{
    FILE *file = fopen(path, "rb");
    u8 *bytes = malloc(65536);

    *size = fread(bytes, 1, 65536, file);
    fclose(file);
    return bytes;
}

/* A copy of the bytes, parsed. */
static int parse(struct recording *r, const u8 *bytes, size_t size, unsigned machine)
{
    u8 *copy = malloc(size + 1);

    memcpy(copy, bytes, size);
    error[0] = 0;
    return recording_parse(r, "x", copy, size, machine, error, sizeof(error));
}

static void test_what_was_written_is_read(void **state)
{
    struct recording r;

    (void)state;
    write_machine(0);
    write_machine(1);
    for (unsigned machine = 0; machine < 2; machine++) {
        assert_int_equal(recording_open(&r, path, machine, error, sizeof(error)), 0);
        assert_int_equal(r.count, 6);
        assert_true(r.complete);
        assert_int_equal(r.records[0].head.number, machine * 6);
        assert_int_equal(r.records[2].head.time_ns, 2000);
        assert_int_equal(r.records[2].head.offered, 6);
        assert_memory_equal(r.records[2].payload, "he", 2);
        recording_close(&r);
    }
    assert_int_equal(recording_open(&r, path, 2, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "ends with machine 1"));
    recording_close(&r);
}

static bool is_boundary(const u8 *bytes, size_t size, size_t at)
{
    size_t next = 16;

    while (next < at && next < size) {
        struct record_head head;
        memcpy(&head, bytes + next, sizeof(head));
        next += sizeof(head) + head.size;
    }
    return next == at;
}

/* A recorder that was killed leaves whole records; anything else is damage. */
static void test_a_cut_is_found_unless_it_is_between_records(void **state)
{
    struct recording r;
    size_t size;
    u8 *bytes;

    (void)state;
    write_machine(0);
    bytes = contents(&size);
    for (size_t cut = 0; cut < size; cut++) {
        bool good = cut > 16 && is_boundary(bytes, size, cut);
        assert_int_equal(parse(&r, bytes, cut, 0), good ? 0 : -EINVAL);
        if (good) {
            assert_false(r.complete);
        } else {
            assert_non_null(strstr(error, "replay file 'x': "));
            assert_null(strchr(error, '\n'));
        }
        recording_close(&r);
    }
    free(bytes);
}

static void test_every_changed_bit_is_found(void **state)
{
    struct recording r;
    size_t size;
    u8 *bytes;

    (void)state;
    write_machine(0);
    bytes = contents(&size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (u8)(1 << bit % 8);
        assert_int_equal(parse(&r, bytes, size, 0), -EINVAL);
        bytes[bit / 8] ^= (u8)(1 << bit % 8);
    }
    assert_int_equal(parse(&r, bytes, size, 0), 0);
    recording_close(&r);
    free(bytes);
}

/* Records 1 and 2 have 41 and 42 bytes, and lie after START. */
static void test_order(void **state)
{
    size_t size, first = 16 + sizeof(struct record_head) + sizeof(struct recording_start);
    struct recording r;
    u8 copy[42], *bytes;

    (void)state;
    write_machine(0);
    bytes = contents(&size);
    memcpy(copy, bytes + first, 41);
    memmove(bytes + first, bytes + first + 41, 42);
    memcpy(bytes + first + 42, copy, 41);
    assert_int_equal(parse(&r, bytes, size, 0), -EINVAL);
    assert_non_null(strstr(error, "record 2 stands where record 1 should"));
    free(bytes);

    write_machine(0);
    bytes = contents(&size);
    memmove(bytes + first, bytes + first + 41, size - first - 41); /* one is missing */
    assert_int_equal(parse(&r, bytes, size - 41, 0), -EINVAL);
    assert_non_null(strstr(error, "record 2 stands where record 1 should"));
    memmove(bytes + 16, bytes + first, size - first - 41); /* and START too */
    assert_int_equal(parse(&r, bytes, size - 41 - (first - 16), 0), -EINVAL);
    free(bytes);
}

static void test_foreign_files(void **state)
{
    static const char *const foreign[] = {"", "#!/bin/sh\n", "Ringer record",
                                          "Ringer record \n\n..", "Ringer record 2\n..."};
    struct recording r;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++) {
        assert_int_equal(parse(&r, (const u8 *)foreign[i], strlen(foreign[i]), 0), -EINVAL);
        assert_non_null(strstr(error, i < 4 ? "is not a recording" : "version 2"));
        assert_null(strchr(error, '\n'));
    }
    assert_int_equal(recording_open(&r, "/tmp", 0, error, sizeof(error)), -EINVAL);
    assert_string_equal(error, "replay file '/tmp': is not a file");
    assert_int_equal(recording_open(&r, "/nowhere/at/all", 0, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "'/nowhere/at/all'"));
}

/* What fits stays good. */
static void test_a_full_disk(void **state)
{
    struct rlimit old, small = {.rlim_cur = 300, .rlim_max = RLIM_INFINITY};
    struct record_head head = {.kind = RECORD_INPUT, .offered = 50};
    struct recording_start start = {.cpus = 1};
    struct recording recording;
    struct recorder r;
    u8 bytes[50] = {0};

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(recorder_open(&r, path, 0), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    recorder_add(&r, &(struct record_head){.kind = RECORD_START}, &start, sizeof(start));
    for (unsigned i = 0; i < 4; i++) {
        recorder_add(&r, &head, bytes, sizeof(bytes));
    }
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(r.error < 0);
    recorder_close(&r);
    assert_int_equal(recording_open(&recording, path, 0, error, sizeof(error)), 0);
    assert_int_equal(recording.count, 2);
    recording_close(&recording);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_a_cut_is_found_unless_it_is_between_records),
        cmocka_unit_test(test_every_changed_bit_is_found),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_a_full_disk),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
