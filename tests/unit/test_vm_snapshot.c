/* test_vm_snapshot.c - a machine is kept in files, and another one goes on from them. */
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
