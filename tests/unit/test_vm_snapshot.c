/* test_vm_snapshot.c - a machine is kept in files, and another one goes on from them. */
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu/snapshot.h"
#include "vm/snapshot_file.h"
#include "vm_fixture.h"

#define MEMORY_BYTES (32u << 20)

struct place { /* a directory of the test's own */
    char base[64], snapshot[96], file[128];
};

static void place_make(struct place *p)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(p->base, sizeof(p->base), "%s/ringer-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->base));
    snprintf(p->snapshot, sizeof(p->snapshot), "%s/snap", p->base);
}

static unsigned count_entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d)) {
        count++;
    }
    closedir(d);
    return count - 2; /* . and .. */
}

static void place_remove(struct place *p)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", p->base);
    assert_int_equal(system(command), 0);
}

static const char *file_of(struct place *p, const char *name)
{
    snprintf(p->file, sizeof(p->file), "%s/%s", p->snapshot, name);
    return p->file;
}

/* ------------------------------------------------------------------ taking */

struct outcome {
    unsigned calls;
    int error;
    char line[256];
    u64 told_bytes;
};

static void done(void *context, int error, const char *line)
{
    struct outcome *o = context;

    o->calls++;
    o->error = error;
    snprintf(o->line, sizeof(o->line), "%s", line);
}

static void progress(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct outcome *o = context;

    assert_true(done_bytes > o->told_bytes && done_bytes <= all_bytes);
    o->told_bytes = done_bytes;
}

static struct outcome take_so(struct ringer *m, const char *path, bool replace)
{
    struct outcome o = {.calls = 0};
    struct ringer_snapshot_order order = {
        .replace = replace, .progress = progress, .done = done, .context = &o};

    assert_int_equal(ringer_snapshot_take(m, path, &order), 0);
    assert_int_equal(o.calls, 1);
    return o;
}

static void take(struct ringer *m, struct place *p)
{
    struct outcome o = take_so(m, p->snapshot, false);

    if (o.error) {
        fail_msg("%s", o.line);
    }
    assert_int_equal(count_entries(p->base), 1);
    assert_int_equal(count_entries(p->snapshot), 2);
}

static struct ringer *restore_with(struct place *p, struct ringer_config *config)
{
    struct ringer_snapshot *s;
    struct ringer *m;
    char error[256] = "";

    if (ringer_snapshot_open(p->snapshot, &s, error, sizeof(error)) < 0) {
        fail_msg("%s", error);
    }
    ringer_snapshot_configure(s, config);
    if (ringer_create(config, &m, error, sizeof(error)) < 0) {
        fail_msg("%s", error);
    }
    ringer_snapshot_close(s);
    return m;
}

/* ------------------------------------------------------------------ the same machine */

struct end { /* what a run comes to */
    struct ringer_exit exit;
    struct ringer_registers registers;
    struct ringer_fpu fpu;
    u8 *memory;
};

static struct end run_to_end(struct ringer *m)
{
    struct end end = {.memory = malloc(MEMORY_BYTES)};

    assert_int_equal(ringer_run(m, &end.exit), 0);
    assert_int_equal(ringer_get_registers(m, 0, &end.registers), 0);
    assert_int_equal(ringer_get_fpu(m, 0, &end.fpu), 0);
    memcpy(end.memory, m->arena.ram.base, MEMORY_BYTES);
    return end;
}

static void assert_same(const struct end *a, const struct end *b)
{
    assert_int_equal(a->exit.reason, b->exit.reason);
    assert_int_equal(a->registers.instructions, b->registers.instructions);
    assert_memory_equal(&a->registers, &b->registers, sizeof(a->registers));
    assert_memory_equal(&a->fpu, &b->fpu, sizeof(a->fpu));
    assert_int_equal(memcmp(a->memory, b->memory, MEMORY_BYTES), 0);
}

static struct ringer_config talking(struct transcript *t)
{
    struct ringer_config config = small_config();

    config.icount = true;
    config.serial[0].backend = "callback";
    config.serial[0].output = transcript_add;
    config.serial[0].context = t;
    return config;
}

static struct ringer *hello(const struct ringer_config *config)
{
    struct ringer *m;

    assert_int_equal(ringer_create(config, &m, NULL, 0), 0);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    return m;
}

/* What is kept of the same machine at the same instruction is the same to the last bit. */
static void assert_same_state(struct ringer *a, struct ringer *b)
{
    struct memory_pieces pieces;
    u8 *bytes_a, *bytes_b;
    u64 size_a, size_b;

    assert_int_equal(memory_pieces_create(&pieces, MEMORY_BYTES), 0);
    assert_int_equal(state_save(a, &pieces, &bytes_a, &size_a), 0);
    assert_int_equal(state_save(b, &pieces, &bytes_b, &size_b), 0);
    assert_int_equal(size_a, size_b);
    assert_int_equal(memcmp(bytes_a, bytes_b, size_a), 0);
    free(bytes_a);
    free(bytes_b);
    memory_pieces_destroy(&pieces);
}

/* On virtual time a run goes the same way to its last bit whether it was kept in between or not.
 * The built-in guest uses most of the devices. */
static void goes_on_from(u64 instructions, const struct end *whole, const char *said)
{
    struct transcript *t = calloc(1, sizeof(*t));
    struct ringer_config config = talking(t);
    struct ringer *m = hello(&config), *other;
    struct ringer_exit exit;
    struct place p;
    struct end end;

    place_make(&p);
    assert_int_equal(ringer_run_until(m, instructions, &exit), 0);
    take(m, &p);
    other = restore_with(&p, &config);
    assert_same_state(m, other);
    ringer_destroy(m);
    end = run_to_end(other); /* says the rest to the same transcript */
    assert_same(whole, &end);
    assert_string_equal(t->text, said);
    ringer_destroy(other);
    free(end.memory);
    free(t);
    place_remove(&p);
}

static void test_goes_on(void **state)
{
    static const u64 points[] = {0, 1, 3000, 9000, 30000};
    struct transcript *t = calloc(1, sizeof(*t));
    struct ringer_config config = talking(t);
    struct ringer *m = hello(&config);
    struct ringer_exit exit;
    struct place p;
    struct end whole, end;
    char *said;

    (void)state;
    whole = run_to_end(m);
    assert_int_equal(whole.exit.reason, RINGER_EXIT_POWER_OFF);
    said = strdup(t->text);
    ringer_destroy(m);
    for (unsigned i = 0; i < ARRAY_SIZE(points); i++) {
        goes_on_from(points[i], &whole, said);
    }
    memset(t, 0, sizeof(*t)); /* the machine itself, too, as if nothing had been */
    m = hello(&config);
    place_make(&p);
    assert_int_equal(ringer_run_until(m, 5000, &exit), 0);
    take(m, &p);
    end = run_to_end(m);
    assert_same(&whole, &end);
    assert_string_equal(t->text, said);
    ringer_destroy(m);
    free(end.memory);
    free(whole.memory);
    free(said);
    free(t);
    place_remove(&p);
}

/* ------------------------------------------------------------------ real time, while it runs */

static const u8 counting[] = CODE_COUNTING;

struct watcher {
    struct ringer *m;
    int fd; /* readable from the beginning */
    struct place place;
    struct outcome outcome;
    bool refused_second;
};

static void on_taken(void *context, int error, const char *line)
{
    struct watcher *w = context;

    done(&w->outcome, error, line);
    ringer_stop(w->m);
}

static void on_readable(void *context)
{
    struct watcher *w = context;
    const struct ringer_snapshot_order order = {.done = on_taken, .context = w};

    ringer_watch_fd(w->m, w->fd, NULL, NULL);
    assert_int_equal(ringer_snapshot_take(w->m, w->place.snapshot, &order), 0);
    assert_int_equal(w->outcome.calls, 0);
    w->refused_second =
        ringer_snapshot_take(w->m, w->place.snapshot, &order) == -EBUSY; /* one at a time */
}

static void stop(void *machine)
{
    ringer_stop(machine);
}

static void on_clone_readable(void *machine)
{
    stop_when_counted(machine);
}

static u64 instructions_of(struct ringer *m)
{
    struct ringer_registers r;

    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    return r.instructions;
}

/* Memory is brought as it is touched; the snapshot stays as it was. */
static void test_while_it_runs(void **state)
{
    static const char far_away[] = "far away";
    struct ringer_config config = small_config();
    struct watcher w = {.fd = -1};
    struct ringer_exit exit;
    char text[sizeof(far_away)];
    struct ringer *clone;
    int fds[2];
    u64 before;

    (void)state;
    place_make(&w.place);
    w.m = machine_with_code(&config, counting, sizeof(counting));
    assert_int_equal(ringer_write_memory(w.m, 0x1234567, far_away, sizeof(far_away)), 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    w.fd = fds[0];
    assert_int_equal(ringer_watch_fd(w.m, w.fd, on_readable, &w), 0);
    assert_int_equal(ringer_run(w.m, &exit), 0);
    assert_int_equal(w.outcome.error, 0);
    assert_int_equal(w.outcome.calls, 1);
    assert_true(w.refused_second);
    ringer_destroy(w.m);
    for (unsigned i = 0; i < 2; i++) { /* two of the same, one after the other */
        clone = restore_with(&w.place, &config);
        before = instructions_of(clone);
        assert_int_equal(clone->shared->pieces[0x1234567 / MEMORY_PIECE_BYTES], MEM_ABSENT);
        assert_int_equal(ringer_read_memory(clone, 0x1234567, text, sizeof(text)), 0);
        assert_string_equal(text, far_away);
        assert_int_equal(clone->shared->pieces[0x1234567 / MEMORY_PIECE_BYTES], MEM_PRESENT);
        assert_int_equal(ringer_write_memory(clone, 0x1234567, "", 1), 0); /* its own copy */
        assert_int_equal(ringer_watch_fd(clone, fds[0], on_clone_readable, clone), 0);
        assert_int_equal(ringer_run(clone, &exit), 0);
        assert_true(instructions_of(clone) > before);
        ringer_destroy(clone);
    }
    close(fds[0]);
    close(fds[1]);
    place_remove(&w.place);
}

/* ------------------------------------------------------------------ where it may not be */

static void test_names(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    char path[160];
    struct outcome o;
    struct place p;

    (void)state;
    place_make(&p);
    snprintf(path, sizeof(path), "%s/no/where", p.base);
    assert_int_equal(take_so(m, path, false).error, -ENOENT);
    assert_int_equal(take_so(m, p.base, true).error, -ENOTEMPTY); /* no snapshot: it stays */
    assert_int_equal(take_so(m, "/", true).error, -EINVAL);
    assert_int_equal(ringer_snapshot_take(m, "", &(struct ringer_snapshot_order){.done = done}),
                     -EINVAL);
    take(m, &p);
    o = take_so(m, p.snapshot, false);
    assert_int_equal(o.error, -EEXIST);
    assert_non_null(strstr(o.line, "it is there already"));
    assert_int_equal(take_so(m, p.snapshot, true).error, 0);
    assert_int_equal(count_entries(p.base), 1);
    /* What a process that was killed has left is no hindrance, and goes. */
    snprintf(path, sizeof(path), "%s/.snap.partial", p.base);
    assert_int_equal(mkdir(path, 0700), 0);
    strcat(path, "/memory");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(take_so(m, p.snapshot, true).error, 0);
    assert_int_equal(count_entries(p.base), 1);
    ringer_destroy(m);
    place_remove(&p);
}

/* The disk is full: one line, nothing is left, and the machine is none the worse. */
static void test_no_room(void **state)
{
    struct rlimit before, small = {.rlim_cur = 0x100000};
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    struct outcome o;
    struct place p;

    (void)state;
    place_make(&p);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    o = take_so(m, p.snapshot, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(o.error, -EFBIG);
    assert_non_null(strstr(o.line, "snap': File too large"));
    assert_int_equal(count_entries(p.base), 0);
    take(m, &p);
    ringer_destroy(m);
    place_remove(&p);
}

/* ------------------------------------------------------------------ what is refused */

static const char *open_error(struct place *p)
{
    static char error[256];
    struct ringer_snapshot *s;

    assert_true(ringer_snapshot_open(p->snapshot, &s, error, sizeof(error)) < 0);
    assert_null(s);
    assert_null(strchr(error, '\n'));
    return error;
}

/* The whole of a small file. */
static u8 *slurp(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY);
    struct stat status;
    u8 *bytes;

    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    *size = (size_t)status.st_size;
    bytes = malloc(*size);
    assert_int_equal(read(fd, bytes, *size), *size);
    close(fd);
    return bytes;
}

static void spit(const char *path, const u8 *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Cut short at any byte, and any of its bits another: the check sees it. */
static void check_damage(u8 *bytes, size_t size)
{
    struct field_reader r;

    assert_null(snapshot_file_check(bytes, size, &r));
    for (size_t length = 0; length < size; length++) {
        assert_non_null(snapshot_file_check(bytes, length, &r));
    }
    for (size_t bit = 0; bit < 8 * size; bit += bit < 2048 ? 1 : 7919) {
        bytes[bit / 8] ^= (u8)(1u << bit % 8);
        assert_non_null(snapshot_file_check(bytes, size, &r));
        bytes[bit / 8] ^= (u8)(1u << bit % 8);
    }
}

/* With a digest that fits: as one who means harm would write it. */
static void forge(const char *path, u8 *bytes, size_t size)
{
    struct field_writer w = {.bytes = bytes, .size = size - 8, .capacity = size};

    snapshot_file_end(&w);
    spit(path, bytes, size);
}

static void test_damaged_state(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    struct place p;
    size_t size;
    u8 *bytes;

    (void)state;
    place_make(&p);
    take(m, &p);
    ringer_destroy(m);
    bytes = slurp(file_of(&p, "state"), &size);
    check_damage(bytes, size);
    spit(p.file, bytes, size / 2);
    assert_non_null(strstr(open_error(&p), "cut short"));
    spit(p.file, bytes, 0);
    assert_non_null(strstr(open_error(&p), "cut short"));
    bytes[size / 2] ^= 1;
    spit(p.file, bytes, size);
    assert_non_null(strstr(open_error(&p), "damaged"));
    bytes[size / 2] ^= 1;
    bytes[8]++; /* the version */
    forge(p.file, bytes, size);
    assert_non_null(strstr(open_error(&p), "another version"));
    bytes[8]--;
    bytes[0] = 'X';
    forge(p.file, bytes, size);
    assert_non_null(strstr(open_error(&p), "no snapshot of Ringer's"));
    bytes[0] = 'R';
    memcpy(memmem(bytes, size, "i8254/", 6), "i8255/", 6); /* a device that is not in the machine */
    forge(p.file, bytes, size);
    {
        struct ringer_snapshot *s;
        char error[256];
        assert_int_equal(ringer_snapshot_open(p.snapshot, &s, error, sizeof(error)), 0);
        ringer_snapshot_configure(s, &config);
        assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -EINVAL);
        assert_non_null(strstr(error, "i8254: its place is another's"));
        ringer_snapshot_close(s);
    }
    assert_int_equal(unlink(p.file), 0);
    assert_non_null(strstr(open_error(&p), "there is none"));
    free(bytes);
    place_remove(&p);
}

/* One who means harm can write a digest that fits.  Whatever a machine is made of it then, that
 * is refused or runs, and nothing happens to the board. */
static void test_forged_state(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    unsigned refused = 0, ran = 0;
    struct ringer_snapshot *s;
    struct ringer_exit exit;
    size_t size, begin, end;
    struct place p;
    char error[256];
    u8 *bytes;
    int fds[2];

    (void)state;
    place_make(&p);
    take(m, &p);
    ringer_destroy(m);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    bytes = slurp(file_of(&p, "state"), &size);
    begin = (size_t)((u8 *)memmem(bytes, size, "board/0", 7) - bytes);
    end =
        (size_t)((u8 *)memmem(bytes, size, "VGA/", 4) - bytes); /* the rest is mostly its memory */
    for (size_t at = begin; at < end; at += (end - begin) / 40) {
        bytes[at] ^= 0xff;
        forge(p.file, bytes, size);
        bytes[at] ^= 0xff;
        assert_int_equal(ringer_snapshot_open(p.snapshot, &s, error, sizeof(error)), 0);
        config = small_config();
        ringer_snapshot_configure(s, &config);
        if (ringer_create(&config, &m, error, sizeof(error)) < 0) {
            refused++;
        } else {
            ringer_watch_fd(m, fds[0], stop, m);
            assert_int_equal(ringer_run(m, &exit), 0);
            ringer_destroy(m);
            ran++;
        }
        ringer_snapshot_close(s);
    }
    assert_true(refused > 5 && ran > 5);
    free(bytes);
    close(fds[0]);
    close(fds[1]);
    place_remove(&p);
}

/* Memory is checked by pieces: all of it by ringer_snapshot_check(), else what the guest needs. */
static void test_damaged_memory(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    struct ringer_snapshot *s;
    struct ringer_exit exit;
    char error[256] = "";
    struct place p;
    int fd;

    (void)state;
    place_make(&p);
    take(m, &p);
    ringer_destroy(m);
    assert_int_equal(ringer_snapshot_open(p.snapshot, &s, error, sizeof(error)), 0);
    assert_int_equal(ringer_snapshot_check(s, error, sizeof(error)), 0);
    fd = open(file_of(&p, "memory"), O_RDWR);
    assert_int_equal(pwrite(fd, "\x41", 1, CODE_AT), 1); /* inc ecx */
    assert_int_equal(ringer_snapshot_check(s, error, sizeof(error)), -EBADMSG);
    assert_non_null(strstr(error, "its memory is damaged"));
    ringer_snapshot_close(s);
    m = restore_with(&p, &config);
    assert_int_equal(ringer_run(m, &exit), 0);
    assert_int_equal(exit.reason, RINGER_EXIT_FAILURE);
    assert_non_null(strstr(ringer_error(m), "the snapshot's memory is damaged"));
    ringer_destroy(m);
    assert_int_equal(ftruncate(fd, MEMORY_BYTES - 4096), 0);
    assert_non_null(strstr(open_error(&p), "its memory is of another size"));
    close(fd);
    assert_int_equal(unlink(p.file), 0);
    assert_non_null(strstr(open_error(&p), "its memory is missing"));
    place_remove(&p);
}

static void test_no_snapshot(void **state)
{
    struct place p;

    (void)state;
    place_make(&p);
    assert_non_null(strstr(open_error(&p), "there is none"));
    assert_int_equal(mkdir(p.snapshot, 0700), 0);
    assert_non_null(strstr(open_error(&p), "there is none"));
    spit(file_of(&p, "state"), (const u8 *)"#!/bin/sh\necho this is something else\n", 38);
    assert_non_null(strstr(open_error(&p), "no snapshot of Ringer's"));
    place_remove(&p);
}

/* What the guest was told that its CPU has it must have. */
static void test_features(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting)), *other;
    struct field_writer w = {.bytes = NULL};
    struct field_reader r;
    u32 leaf7;
    u8 *at;

    (void)state;
    other = machine_with_code(&config, counting, sizeof(counting));
    cpu_save(&m->vm->cpus[0], &w);
    w = (struct field_writer){.bytes = malloc(w.size), .capacity = w.size};
    cpu_save(&m->vm->cpus[0], &w);
    r = (struct field_reader){.bytes = w.bytes, .size = w.size};
    assert_true(cpu_load(&other->vm->cpus[0], &r));
    at = memmem(w.bytes, w.size, "leaf7_ebx", 9);
    assert_non_null(at);
    memcpy(&leaf7, at + 9 + 5, 4);
    leaf7 |= 1u << 16; /* AVX-512F: no Ringer tells of that */
    memcpy(at + 9 + 5, &leaf7, 4);
    r = (struct field_reader){.bytes = w.bytes, .size = w.size};
    assert_false(cpu_load(&other->vm->cpus[0], &r));
    assert_non_null(strstr(r.error, "this host's does not have"));
    free(w.bytes);
    ringer_destroy(m);
    ringer_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),        cmocka_unit_test(test_while_it_runs),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_damaged_state),  cmocka_unit_test(test_forged_state),
        cmocka_unit_test(test_damaged_memory), cmocka_unit_test(test_no_snapshot),
        cmocka_unit_test(test_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
