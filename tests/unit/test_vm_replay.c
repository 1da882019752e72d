/* test_vm_replay.c - runs that are recorded, and what their replays are like. */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "vm_fixture.h"

#define MIX_AT 0x500000u

/* Echoes COM1 until a 'q'; and mixes the time at which it looked into memory, so that an input
 * which comes a nanosecond later makes another run. */
static const u8 echo[] = {
    0x66,      0xba, 0xfd, 0x03,             /* look: mov dx, 0x3fd */
    0xec,                                    /* in al, dx */
    0xa8,      0x01,                         /* test al, 1 */
    0x75,      0x0b,                         /* jnz got */
    0x0f,      0x31,                         /* rdtsc */
    0x01,      0x05, 0x00, 0x00, 0x50, 0x00, /* add [MIX_AT], eax */
    0x46,                                    /* inc esi */
    0xeb,      0xec,                         /* jmp look */
    0x66,      0xba, 0xf8, 0x03,             /* got: mov dx, 0x3f8 */
    0xec,                                    /* in al, dx */
    0x3c,      0x71,                         /* cmp al, 'q' */
    0x74,      0x0b,                         /* je quit */
    0xee,                                    /* out dx, al */
    0x0f,      0x31,                         /* rdtsc */
    0x31,      0x05, 0x04, 0x00, 0x50, 0x00, /* xor [MIX_AT + 4], eax */
    0xeb,      0xd8,                         /* jmp look */
    0xb0,      0x2a,                         /* quit: mov al, 42 */
    CODE_EXIT,
};

static char path[] = "/tmp/ringer-replay-XXXXXX";

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

/* ------------------------------------------------------------------ one run */

struct run {
    struct ringer *m;
    struct transcript *said;
    int input; /* a pipe's end */
    u8 pending[64];
    size_t pending_size;
    u32 mix[2];
    u64 instructions;
    struct ringer_exit end;
};

static void give(void *context)
{
    struct run *run = context;
    size_t taken = ringer_serial_input(run->m, 0, run->pending, run->pending_size);

    memmove(run->pending, run->pending + taken, run->pending_size - taken);
    run->pending_size -= taken;
}

static void on_input(void *context)
{
    struct run *run = context;
    ssize_t n = read(run->input, run->pending + run->pending_size,
                     sizeof(run->pending) - run->pending_size);

    if (n > 0) {
        run->pending_size += (size_t)n;
    }
    give(run);
}

static void start(struct run *run, bool record, const u8 *code, size_t size)
{
    struct ringer_config config = small_config();

    config.icount = true;
    config.record_path = record ? path : NULL;
    config.replay_path = record ? NULL : path;
    config.serial[0].backend = "callback";
    config.serial[0].output = transcript_add;
    config.serial[0].context = run->said = calloc(1, sizeof(*run->said));
    run->m = machine_with_code(&config, code, size);
    ringer_serial_on_ready(run->m, 0, give, run);
}

static void look(struct run *run)
{
    struct ringer_registers r;

    assert_int_equal(ringer_get_registers(run->m, 0, &r), 0);
    run->instructions = r.instructions;
    assert_int_equal(ringer_read_memory(run->m, MIX_AT, run->mix, sizeof(run->mix)), 0);
}

static void finish(struct run *run)
{
    ringer_destroy(run->m);
    free(run->said);
}

/* Writes text with pauses; an 's' stops the machine instead. */
struct typist {
    struct ringer *m;
    const char *text;
    int output;
};

static void *type(void *context)
{
    struct typist *t = context;

    for (const char *c = t->text; *c; c++) {
        usleep(3000);
        if (*c == 's') {
            ringer_stop(t->m);
        } else if (write(t->output, *c == '*' ? "0123456789abcdefghijklmnopqrstuvwxyz" : c,
                         *c == '*' ? 26 : 1) < 0) {
            return NULL;
        }
    }
    return NULL;
}

static void record_run(struct run *run, const char *text)
{
    struct typist typist = {.text = text};
    pthread_t thread;
    int fds[2];

    start(run, true, echo, sizeof(echo));
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    run->input = fds[0];
    assert_int_equal(ringer_watch_fd(run->m, fds[0], on_input, run), 0);
    typist.m = run->m;
    typist.output = fds[1];
    assert_int_equal(pthread_create(&thread, NULL, type, &typist), 0);
    assert_int_equal(ringer_run(run->m, &run->end), 0);
    pthread_join(thread, NULL);
    look(run);
    ringer_watch_fd(run->m, fds[0], NULL, NULL);
    close(fds[0]);
    close(fds[1]);
}

static void assert_same(const struct run *a, const struct run *b)
{
    assert_int_equal(a->instructions, b->instructions);
    assert_memory_equal(a->mix, b->mix, sizeof(a->mix));
    assert_string_equal(a->said->text, b->said->text);
}

/* ------------------------------------------------------------------ good replays */

/* One byte at a time, and more than a UART without a FIFO takes at once. */
static void test_a_replay_is_the_same_run(void **state)
{
    struct run first = {0}, second = {0};

    (void)state;
    record_run(&first, "hello, *world*q");
    assert_int_equal(first.end.reason, RINGER_EXIT_DEBUG);
    assert_string_equal(first.said->text, "hello, 0123456789abcdefghijklmnop"
                                          "world0123456789abcdefghijklmnop");
    start(&second, false, echo, sizeof(echo));
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_DEBUG);
    assert_int_equal(second.end.code, 42);
    look(&second);
    assert_same(&first, &second);
    finish(&first);
    finish(&second);
}

static void test_a_stop_ends_a_recording(void **state)
{
    struct run first = {0}, second = {0};

    (void)state;
    record_run(&first, "abc*s");
    assert_int_equal(first.end.reason, RINGER_EXIT_STOPPED);
    ringer_destroy(first.m);
    start(&second, false, echo, sizeof(echo));
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_REPLAYED);
    look(&second);
    assert_same(&first, &second);
    assert_int_equal(ringer_run(second.m, &second.end), 0); /* there is no more */
    assert_int_equal(second.end.reason, RINGER_EXIT_REPLAYED);
    free(first.said);
    finish(&second);
}

/* Stops in the middle, at each place twice: the same state, and the same end. */
static void test_a_replay_stops_at_any_instruction(void **state)
{
    struct run first = {0}, second = {0}, third = {0};

    (void)state;
    record_run(&first, "abc*defq");
    start(&second, false, echo, sizeof(echo));
    for (u64 i = 1; i <= 20; i++) {
        u64 at = first.instructions * i / 21;
        assert_int_equal(ringer_run_until(second.m, at, &second.end), 0);
        assert_int_equal(second.end.reason, RINGER_EXIT_COUNT);
        look(&second);
        assert_int_equal(second.instructions, at);
        if (i % 10 == 0) {
            start(&third, false, echo, sizeof(echo));
            assert_int_equal(ringer_run_until(third.m, at, &third.end), 0);
            look(&third);
            assert_same(&second, &third);
            finish(&third);
        }
    }
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_DEBUG);
    look(&second);
    assert_same(&first, &second);
    finish(&first);
    finish(&second);
}

/* A recording may itself be stopped at an instruction, and end there. */
static void test_a_recording_that_stops_at_an_instruction(void **state)
{
    struct run first = {0}, second = {0};

    (void)state;
    start(&first, true, echo, sizeof(echo));
    assert_int_equal(ringer_run_until(first.m, 54321, &first.end), 0);
    assert_int_equal(ringer_run_until(first.m, 1234567, &first.end), 0);
    assert_int_equal(first.end.reason, RINGER_EXIT_COUNT);
    look(&first);
    ringer_destroy(first.m);
    start(&second, false, echo, sizeof(echo));
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_REPLAYED);
    look(&second);
    assert_same(&first, &second);
    free(first.said);
    finish(&second);
}

static void test_nothing_changes_a_guest_from_outside(void **state)
{
    struct ringer_registers r;
    struct run run = {0};

    (void)state;
    for (unsigned record = 2; record-- > 0;) {
        start(&run, record, echo, sizeof(echo));
        assert_int_equal(ringer_run_until(run.m, 1000, &run.end), 0);
        assert_int_equal(ringer_get_registers(run.m, 0, &r), 0);
        assert_int_equal(ringer_set_registers(run.m, 0, &r), -EBUSY);
        assert_int_equal(ringer_write_memory(run.m, MIX_AT, &r, 4), -EBUSY);
        assert_non_null(strstr(ringer_error(run.m), record ? "recorded" : "replayed"));
        finish(&run);
    }
}

/* ------------------------------------------------------------------ bad ones */

/* Reads the file, has change() work on each record in turn, and writes it with new checksums; what
 * follows the record for which it says false is left out. */
static void edit(bool (*change)(struct record_head *head, u8 *payload))
{
    static u8 bytes[1 << 20];
    FILE *file = fopen(path, "r+b");
    size_t size = fread(bytes, 1, sizeof(bytes), file), at = 16;

    for (bool more = true; more && at < size;) {
        struct record_head head;
        memcpy(&head, bytes + at, sizeof(head));
        more = change(&head, bytes + at + sizeof(head));
        head.checksum = (u32)crc32(crc32(0, (Bytef *)&head.size, sizeof(head) - 4),
                                   bytes + at + sizeof(head), head.size);
        memcpy(bytes + at, &head, sizeof(head));
        at += sizeof(head) + head.size;
    }
    rewind(file);
    assert_int_equal(fwrite(bytes, 1, at, file), at);
    fclose(file);
    assert_int_equal(truncate(path, (off_t)at), 0);
}

static bool cut_after_the_third_input(struct record_head *head, u8 *payload)
{
    (void)payload;
    return head->number < 3;
}

/* What a recorder leaves that was killed. */
static void test_a_file_without_an_end_replays_as_far_as_it_goes(void **state)
{
    struct run first = {0}, second = {0};

    (void)state;
    record_run(&first, "abcdefq");
    edit(cut_after_the_third_input);
    start(&second, false, echo, sizeof(echo));
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_REPLAYED);
    look(&second);
    assert_true(second.said->size >= 2); /* the third may have come at its very last SYNC */
    assert_memory_equal(second.said->text, "abc", second.said->size);
    finish(&first);
    finish(&second);
}

static void *kill_later(void *context)
{
    (void)context;
    usleep(200000);
    kill(getpid(), SIGKILL);
    return NULL;
}

static void test_a_recorder_that_was_killed(void **state)
{
    struct run second = {0};
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        struct run first = {0};
        pthread_t thread;
        pthread_create(&thread, NULL, kill_later, NULL);
        record_run(&first, "ab");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    start(&second, false, echo, sizeof(echo));
    assert_int_equal(ringer_run(second.m, &second.end), 0);
    assert_string_equal(ringer_error(second.m), "");
    assert_int_equal(second.end.reason, RINGER_EXIT_REPLAYED);
    finish(&second);
}

static bool change_a_byte(struct record_head *head, u8 *payload)
{
    if (head->kind == RECORD_INPUT && *payload == 'd') {
        *payload = 'q';
    }
    return true;
}

static bool change_a_place(struct record_head *head, u8 *payload)
{
    (void)payload;
    head->position += head->where == RECORD_AT_READY;
    return true;
}

static bool change_a_source(struct record_head *head, u8 *payload)
{
    (void)payload;
    if (head->kind == RECORD_INPUT && head->number == 1) {
        head->source = 77;
    }
    return true;
}

static bool change_the_end(struct record_head *head, u8 *payload)
{
    if (head->kind == RECORD_END) {
        payload[offsetof(struct recording_end, memory)] ^= 1;
    }
    return true;
}

static void test_a_changed_recording_diverges(void **state)
{
    static bool (*const changes[])(struct record_head *, u8 *) = {change_a_byte, change_a_place,
                                                                  change_a_source, change_the_end};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
        struct run first = {0}, second = {0};
        record_run(&first, "abcd*efq");
        finish(&first);
        edit(changes[i]);
        start(&second, false, echo, sizeof(echo));
        assert_int_equal(ringer_run(second.m, &second.end), 0);
        assert_int_equal(second.end.reason, RINGER_EXIT_DIVERGED);
        assert_non_null(strstr(ringer_error(second.m), path));
        assert_non_null(strstr(ringer_error(second.m), "went another way"));
        finish(&second);
    }
}

static bool change_the_kernel(struct record_head *head, u8 *payload)
{
    if (head->kind == RECORD_START) {
        payload[offsetof(struct recording_start, kernel)] ^= 1;
    }
    return true;
}

/* Refused when it is loaded; what else differs in memory, before the first instruction. */
static void test_a_recording_of_another_machine(void **state)
{
    struct ringer_config config = small_config();
    u8 other[sizeof(echo)];
    struct run run = {0};
    char error[256];

    (void)state;
    record_run(&run, "q");
    finish(&run);
    memcpy(other, echo, sizeof(echo));
    other[sizeof(other) - 3] = 43;
    start(&run, false, other, sizeof(other));
    assert_int_equal(ringer_run(run.m, &run.end), -EINVAL);
    assert_non_null(strstr(ringer_error(run.m), "from other memory"));
    finish(&run);

    config.icount = true;
    config.replay_path = path;
    config.memory_bytes *= 2;
    assert_int_equal(ringer_create(&config, &run.m, error, sizeof(error)), 0);
    assert_int_equal(ringer_load(run.m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), -EINVAL);
    assert_non_null(strstr(ringer_error(run.m), "another size of memory"));
    ringer_destroy(run.m);
    config.memory_bytes /= 2;
    assert_int_equal(ringer_create(&config, &run.m, error, sizeof(error)), 0);
    assert_int_equal(ringer_load(run.m, RINGER_PROTOCOL_AUTO, NULL, NULL, "debug"), -EINVAL);
    assert_non_null(strstr(ringer_error(run.m), "with the command line ''"));
    ringer_destroy(run.m);
    edit(change_the_kernel);
    assert_int_equal(ringer_create(&config, &run.m, error, sizeof(error)), 0);
    assert_int_equal(ringer_load(run.m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), -EINVAL);
    assert_non_null(strstr(ringer_error(run.m), "another kernel"));
    ringer_destroy(run.m);
}

static void test_mistakes(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m;
    char error[256];

    (void)state;
    config.record_path = path;
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "virtual time"));
    config.icount = true;
    config.replay_path = path;
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "either"));
    config.replay_path = NULL;
    config.record_path = "/nowhere/at/all";
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -ENOENT);
    assert_non_null(strstr(error, "'/nowhere/at/all'"));
    config.record_path = NULL;
    config.replay_path = "/dev/null";
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "'/dev/null'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_replay_is_the_same_run),
        cmocka_unit_test(test_a_stop_ends_a_recording),
        cmocka_unit_test(test_a_replay_stops_at_any_instruction),
        cmocka_unit_test(test_a_recording_that_stops_at_an_instruction),
        cmocka_unit_test(test_nothing_changes_a_guest_from_outside),
        cmocka_unit_test(test_a_file_without_an_end_replays_as_far_as_it_goes),
        cmocka_unit_test(test_a_recorder_that_was_killed),
        cmocka_unit_test(test_a_changed_recording_diverges),
        cmocka_unit_test(test_a_recording_of_another_machine),
        cmocka_unit_test(test_mistakes),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
