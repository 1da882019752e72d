/* test_vm_lockstep.c - two engines in lockstep: equal ones, and a wrong one that is found out. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "vm_fixture.h"

struct request {
    const char *engines[2];
    const u8 *code;
    size_t size;
    unsigned made;
    struct transcript *said;
};

static struct ringer *make(void *context, unsigned which)
{
    struct request *r = context;
    struct ringer_config config = small_config();

    config.engine = r->engines[which];
    config.icount = true;
    config.lockstep_interval = 1000;
    r->made++;
    return machine_with_code(&config, r->code, r->size);
}

static void say(void *context, const char *line)
{
    struct request *r = context;

    transcript_add(r->said, line, strlen(line));
    transcript_add(r->said, "\n", 1);
}

static enum ringer_lockstep_result compare(struct request *r, const char *other, const u8 *code,
                                           size_t size, struct ringer_lockstep_figures *figures)
{
    struct ringer_lockstep lockstep = {
        .names = {"interp", other}, .make = make, .say = say, .context = r};

    *r = (struct request){.engines = {"interp", other}, .code = code, .size = size};
    r->said = calloc(1, sizeof(*r->said));
    return ringer_lockstep(&lockstep, figures);
}

#define LOOP(low, high) 0xb9, low, high, 0, 0, 0x49, 0x75, 0xfd /* mov ecx, n; dec ecx; jnz */
#define EXIT            0xb0, 0x2a, CODE_EXIT
#define LOOPS           (2 * 0x7530 + 2 * 0x4e20)

static const u8 with_bswap[] = {
    LOOP(0x30, 0x75),
    0x0f,
    0xc8, /* bswap eax */
    0x19,
    0xdb, /* sbb ebx, ebx */
    LOOP(0x20, 0x4e),
    EXIT,
};

/* The wrong value is stored, and not looked at. */
static const u8 with_movnti[] = {
    LOOP(0x30, 0x75), 0x0f, 0xc3, 0x05, 0, 0, 0x60, 0, /* movnti [0x600000], eax */
    LOOP(0x20, 0x4e), EXIT,
};

/* It is loaded, long after it was stored. */
static const u8 with_movnti_and_load[] = {
    LOOP(0x30, 0x75), 0x0f, 0xc3, 0x05, 0, 0,    0x60, 0, /* movnti [0x600000], eax */
    LOOP(0x20, 0x4e), 0x8b, 0x1d, 0,    0, 0x60, 0,       /* mov ebx, [0x600000] */
    LOOP(0x20, 0x4e), EXIT,
};

/* It is loaded at once, and overwritten by the right one. */
static const u8 with_movnti_and_more[] = {
    LOOP(0x30, 0x75),
    0x0f,
    0xc3,
    0x05,
    0,
    0,
    0x60,
    0, /* movnti [0x600000], eax */
    0x8b,
    0x1d,
    0,
    0,
    0x60,
    0, /* mov ebx, [0x600000] */
    0x89,
    0x0d,
    0,
    0,
    0x60,
    0, /* mov [0x600000], ecx */
    LOOP(0x20, 0x4e),
    EXIT,
};

/* Only a device is told something wrong. */
static const u8 with_out[] = {
    LOOP(0x30, 0x75), 0xe7, 0x80, /* out 0x80, eax */
    LOOP(0x20, 0x4e), EXIT,
};

static void test_equal(void **state)
{
    struct ringer_lockstep_figures figures;
    struct request r;

    (void)state;
    assert_int_equal(compare(&r, "interp-nocache", with_bswap, sizeof(with_bswap), &figures),
                     RINGER_LOCKSTEP_EQUAL);
    assert_string_equal(r.said->text, "");
    assert_in_range(figures.instructions, LOOPS, LOOPS + 10);
    assert_in_range(figures.events, LOOPS / 1000, LOOPS / 1000 + 2);
    assert_int_equal(figures.memory_compared, 1);
    assert_int_equal(r.made, 2);
    free(r.said);
}

static void test_a_wrong_flag_is_found(void **state)
{
    struct ringer_lockstep_figures figures;
    struct request r;

    (void)state;
    assert_int_equal(compare(&r, "interp-wrong", with_bswap, sizeof(with_bswap), &figures),
                     RINGER_LOCKSTEP_DIFFERENT);
    assert_non_null(strstr(r.said->text, "after this instruction, number 60002 at CPL 0"));
    assert_non_null(strstr(r.said->text, "  0000000000400008  bswap eax\n"));
    assert_non_null(strstr(r.said->text, "\n* rflags "));
    assert_non_null(strstr(r.said->text, "\n  rip "));
    assert_null(strstr(r.said->text, "\n* rbx ")); /* that differs later */
    assert_null(strstr(r.said->text, "\n* memory"));
    free(r.said);
}

static void find_the_store(const u8 *code, size_t size)
{
    struct ringer_lockstep_figures figures;
    struct request r;

    assert_int_equal(compare(&r, "interp-wrong", code, size, &figures), RINGER_LOCKSTEP_DIFFERENT);
    assert_non_null(strstr(r.said->text, "  0000000000400008  movnti "));
    assert_non_null(strstr(r.said->text, "\n* memory 000000600000  "));
    assert_null(strstr(r.said->text, "\n* r"));
    free(r.said);
}

static void test_a_wrong_store_is_found(void **state)
{
    (void)state;
    find_the_store(with_movnti, sizeof(with_movnti));
    find_the_store(with_movnti_and_load, sizeof(with_movnti_and_load));
    find_the_store(with_movnti_and_more, sizeof(with_movnti_and_more));
}

static void test_a_wrong_write_to_a_device_is_found(void **state)
{
    struct ringer_lockstep_figures figures;
    struct request r;

    (void)state;
    assert_int_equal(compare(&r, "interp-wrong", with_out, sizeof(with_out), &figures),
                     RINGER_LOCKSTEP_DIFFERENT);
    assert_non_null(strstr(r.said->text, "  0000000000400008  out 0x80, eax\n"));
    assert_non_null(strstr(r.said->text, "\n* interp: last wrote to port 80 size 4 value "));
    assert_non_null(strstr(r.said->text, "\n* interp-wrong: last wrote to port 80 size 4 value "));
    assert_null(strstr(r.said->text, "\n* r"));
    free(r.said);
}

static struct ringer *make_none(void *context, unsigned which)
{
    return which ? NULL : make(context, 0);
}

static bool stop(void *context, const struct ringer_lockstep_figures *figures)
{
    (void)context;
    (void)figures;
    return false;
}

static void test_other_ends(void **state)
{
    static const u8 code[] = {LOOP(0x30, 0x75), EXIT};
    struct ringer_lockstep_figures figures;
    struct request r = {
        .engines = {"interp", "interp"}, .code = code, .size = sizeof(code), .said = NULL};
    struct ringer_lockstep lockstep = {
        .names = {"a", "b"}, .make = make_none, .say = say, .context = &r};
    struct ringer_config config = small_config();
    struct ringer *m;
    char error[256];

    (void)state;
    assert_int_equal(ringer_lockstep(&lockstep, &figures), RINGER_LOCKSTEP_FAILED);
    lockstep.make = make;
    lockstep.progress = stop;
    assert_int_equal(ringer_lockstep(&lockstep, &figures), RINGER_LOCKSTEP_STOPPED);
    config.lockstep_interval = 1000;
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "lockstep: it needs virtual time"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_a_wrong_flag_is_found),
        cmocka_unit_test(test_a_wrong_store_is_found),
        cmocka_unit_test(test_a_wrong_write_to_a_device_is_found),
        cmocka_unit_test(test_other_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
