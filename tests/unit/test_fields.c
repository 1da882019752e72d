/* test_fields.c - structures to bytes and back, by tables; and bytes that are not what they should
 * be. */
#include <cmocka.h>
#include <string.h>

#include "base/fields.h"

struct part {
    u16 low;
    bool set;
    u8 between;
};

struct thing {
    u64 big;
    bool flag;
    u32 bounded;
    u8 bytes[5];
    bool flags[3];
    struct part parts[4];
    u8 table[2][3];
    const char *text, *nothing;
    struct timer armed, idle;
};

static const struct field fields[] = {
    FIELD(struct thing, big),
    FIELD(struct thing, flag),
    FIELD_MAX(struct thing, bounded, 1000),
    FIELD_ARRAY(struct thing, bytes),
    FIELD_ARRAY(struct thing, flags),
    FIELD_EACH(struct thing, parts, low),
    FIELD_EACH(struct thing, parts, set),
    FIELD_BYTES(struct thing, table),
    FIELD_TEXT(struct thing, text),
    FIELD_TEXT(struct thing, nothing),
    FIELD_TIMER(struct thing, armed),
    FIELD_TIMER(struct thing, idle),
    FIELDS_END,
};

struct world {
    struct timer_queue queue;
    struct thing a, b;
    u8 bytes[512];
    u64 size;
};

static u64 clock_0(void *clock)
{
    (void)clock;
    return 0;
}

static void never(void *arg)
{
    (void)arg;
}

static void init(struct world *w)
{
    struct field_writer writer = {.bytes = w->bytes, .capacity = sizeof(w->bytes)};

    memset(w, 0, sizeof(*w));
    w->queue.clock_ns = clock_0;
    timer_init(&w->a.armed, &w->queue, never, NULL);
    timer_init(&w->a.idle, &w->queue, never, NULL);
    timer_init(&w->b.armed, &w->queue, never, NULL);
    timer_init(&w->b.idle, &w->queue, never, NULL);
    w->a.big = 0x1122334455667788ull;
    w->a.flag = true;
    w->a.bounded = 1000;
    memcpy(w->a.bytes, "abcde", 5);
    w->a.flags[1] = true;
    for (unsigned i = 0; i < 4; i++) {
        w->a.parts[i] = (struct part){.low = (u16)(0x1000 + i), .set = i & 1, .between = 7};
    }
    memcpy(w->a.table, "uvwxyz", 6);
    w->a.text = "a text";
    timer_arm(&w->a.armed, 12345);
    timer_arm(&w->b.idle, 1); /* to be cancelled */
    fields_save(&writer, fields, &w->a);
    w->size = writer.size;
    assert_true(w->size < sizeof(w->bytes));
}

static bool load(struct world *w, u64 size, struct field_reader *r)
{
    *r = (struct field_reader){.bytes = w->bytes, .size = size};
    return fields_load(r, fields, &w->b);
}

static void test_there_and_back(void **state)
{
    struct field_reader r;
    struct world w;

    (void)state;
    init(&w);
    assert_true(load(&w, w.size, &r));
    assert_int_equal(r.at, w.size);
    assert_true(w.b.big == w.a.big && w.b.flag && w.b.bounded == 1000);
    assert_memory_equal(w.b.bytes, "abcde", 5);
    assert_true(!w.b.flags[0] && w.b.flags[1] && !w.b.flags[2]);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(w.b.parts[i].low, 0x1000 + i);
        assert_int_equal(w.b.parts[i].set, i & 1);
        assert_int_equal(w.b.parts[i].between, 0); /* no field */
    }
    assert_memory_equal(w.b.table, "uvwxyz", 6);
    assert_string_equal(w.b.text, "a text");
    assert_null(w.b.nothing);
    assert_true(w.b.armed.armed && w.b.armed.deadline_ns == 12345 && !w.b.idle.armed);
}

/* The form is part of what is kept: another one would need another version. */
static void test_form(void **state)
{
    static const u8 form[] = {3, 'b', 'i', 'g', 8, 1, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44};
    struct world w;

    (void)state;
    init(&w);
    assert_memory_equal(w.bytes, form, sizeof(form));
}

static void test_size_is_told(void **state)
{
    struct field_writer writer = {.bytes = NULL};
    struct world w;

    (void)state;
    init(&w);
    fields_save(&writer, fields, &w.a);
    assert_int_equal(writer.size, w.size);
}

static void test_cut_short(void **state)
{
    struct field_reader r;
    struct world w;

    (void)state;
    init(&w);
    for (u64 size = 0; size < w.size; size++) {
        assert_false(load(&w, size, &r));
        assert_non_null(r.error);
        assert_non_null(r.field);
    }
}

/* Numbers may be any others; but no flag is ever anything but 0 or 1, no text without its end. */
static void test_flipped_bits(void **state)
{
    struct field_reader r;
    unsigned refused = 0;
    struct world w;

    (void)state;
    init(&w);
    for (u64 bit = 0; bit < 8 * w.size; bit++) {
        w.bytes[bit / 8] ^= (u8)(1u << bit % 8);
        if (load(&w, w.size, &r)) {
            assert_true(*(u8 *)&w.b.flag <= 1 && w.b.bounded <= 1000);
            assert_true(strlen(w.b.text) == 6 && !w.b.nothing);
            for (unsigned i = 0; i < 3; i++) {
                assert_true(*(u8 *)&w.b.flags[i] <= 1);
            }
        } else {
            refused++;
        }
        w.bytes[bit / 8] ^= (u8)(1u << bit % 8);
    }
    assert_true(refused > 4 * w.size); /* names, sizes and counts, which are most of it */
    assert_true(load(&w, w.size, &r));
}

static void test_another_table(void **state)
{
    static const struct field others[] = {FIELD(struct thing, flag), FIELDS_END};
    struct field_reader r = {.bytes = NULL};
    struct world w;

    (void)state;
    init(&w);
    r = (struct field_reader){.bytes = w.bytes, .size = w.size};
    assert_false(fields_load(&r, others, &w.b));
    assert_string_equal(r.field, "flag");
    assert_string_equal(r.error, "is not where it should be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_form),
        cmocka_unit_test(test_size_is_told),   cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_flipped_bits),   cmocka_unit_test(test_another_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
