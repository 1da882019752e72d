/* test_vm_checkpoint.c - a machine is taken back, and goes the same way again. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "vm_fixture.h"

struct end { /* what a run comes to */
    struct ringer_exit exit;
    struct ringer_registers registers;
    u8 *memory;
};

#define MEMORY_BYTES (32u << 20)

static struct end run_to_end(struct ringer *m)
{
    struct end end = {.memory = malloc(MEMORY_BYTES)};

    assert_int_equal(ringer_run(m, &end.exit), 0);
    assert_int_equal(ringer_get_registers(m, 0, &end.registers), 0);
    memcpy(end.memory, m->arena.ram.base, MEMORY_BYTES);
    return end;
}

static void assert_same(const struct end *a, const struct end *b)
{
    assert_int_equal(a->exit.reason, b->exit.reason);
    assert_int_equal(a->registers.instructions, b->registers.instructions);
    assert_memory_equal(&a->registers, &b->registers, sizeof(a->registers));
    assert_memory_equal(a->memory, b->memory, MEMORY_BYTES);
}

static struct ringer *hello(struct transcript *t)
{
    struct ringer_config config = small_config();
    struct ringer *m;

    config.icount = true;
    config.serial[0].backend = "callback";
    config.serial[0].output = transcript_add;
    config.serial[0].context = t;
    assert_int_equal(ringer_create(&config, &m, NULL, 0), 0);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    return m;
}

/* The built-in guest uses most of the devices. */
static void test_there_and_back(void **state)
{
    struct transcript *t = calloc(1, sizeof(*t));
    struct ringer *m = hello(t);
    struct ringer_checkpoint *points[4] = {NULL};
    struct ringer_exit exit;
    struct end first, again;
    char *said;

    (void)state;
    assert_int_equal(ringer_checkpoint_take(m, NULL, &points[0]), 0);
    assert_int_equal(ringer_checkpoint_instructions(points[0]), 0);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(ringer_run_until(m, i * 3000, &exit), 0);
        assert_int_equal(exit.reason, RINGER_EXIT_COUNT);
        assert_int_equal(ringer_checkpoint_take(m, points[i - 1], &points[i]), 0);
        assert_true(ringer_checkpoint_instructions(points[i]) >= i * 3000);
    }
    first = run_to_end(m);
    said = strdup(t->text);
    assert_int_equal(first.exit.reason, RINGER_EXIT_POWER_OFF);
    for (unsigned i = 4; i-- > 0;) {
        assert_int_equal(ringer_checkpoint_restore(m, points[i]), 0);
        if (i < 3) { /* also to where there is another, without the end between */
            assert_int_equal(ringer_run_until(m, (i + 1) * 3000, &exit), 0);
            assert_int_equal(ringer_checkpoint_restore(m, points[i]), 0);
        }
        again = run_to_end(m);
        assert_same(&first, &again);
        assert_string_equal(t->text, said); /* nothing is said twice */
        free(again.memory);
    }
    for (unsigned i = 0; i < 4; i++) {
        ringer_checkpoint_destroy(points[i]);
    }
    ringer_destroy(m);
    free(first.memory);
    free(said);
    free(t);
}

/* Memory that was not there then is zero again. */
static void test_memory_is_taken_back(void **state)
{
    static const u8 endless[] = {0x40, 0xeb, 0xfd}; /* inc eax; jmp back */
    struct ringer_config config = small_config();
    struct ringer_checkpoint *point;
    struct ringer_exit exit;
    struct ringer *m;
    u8 bytes[3] = {1, 2, 3}, zeros[3] = {0}, back[3];

    (void)state;
    config.icount = true;
    m = machine_with_code(&config, endless, sizeof(endless));
    assert_int_equal(ringer_run_until(m, 100, &exit), 0);
    assert_int_equal(ringer_checkpoint_take(m, NULL, &point), 0);
    assert_int_equal(ringer_write_memory(m, 0x1800fff, bytes, 3), 0);
    assert_int_equal(ringer_write_memory(m, CODE_AT, zeros, 3), 0);
    assert_int_equal(ringer_checkpoint_restore(m, point), 0);
    assert_int_equal(ringer_read_memory(m, 0x1800fff, back, 3), 0);
    assert_memory_equal(back, zeros, 3);
    assert_int_equal(ringer_run_until(m, 1000, &exit), 0); /* code that has come back */
    assert_int_equal(exit.reason, RINGER_EXIT_COUNT);
    ringer_checkpoint_destroy(point);
    ringer_destroy(m);
}

static void test_refusals(void **state)
{
    static const u8 code[] = {0xb0, 0x2a, CODE_EXIT, 0xeb, 0xfe}; /* mov al, 42 */
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, code, sizeof(code));
    struct ringer_checkpoint *point;
    struct ringer_exit exit;

    (void)state;
    assert_int_equal(ringer_checkpoint_take(m, NULL, &point), -EINVAL); /* real time */
    assert_null(point);
    ringer_destroy(m);
    config.icount = true;
    m = machine_with_code(&config, code, sizeof(code));
    assert_int_equal(ringer_run(m, &exit), 0);
    assert_int_equal(ringer_checkpoint_take(m, NULL, &point), -EINVAL); /* it has ended */
    ringer_destroy(m);
    ringer_checkpoint_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_memory_is_taken_back),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
