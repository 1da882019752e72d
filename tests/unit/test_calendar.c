/* test_calendar.c - dates to days and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/calendar.h"

static void known_days(void **state)
{
    static const struct {
        s64 days, year;
        unsigned month, day;
    } rows[] = {
        {0, 1970, 1, 1},      {-1, 1969, 12, 31},   {59, 1970, 3, 1},    {789, 1972, 2, 29},
        {11016, 2000, 2, 29}, {11017, 2000, 3, 1},  {19723, 2024, 1, 1}, {47540, 2100, 2, 28},
        {47541, 2100, 3, 1},  {-25508, 1900, 3, 1}, {-719468, 0, 3, 1},  {2932896, 9999, 12, 31},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        s64 year;
        unsigned month, day;
        assert_int_equal(calendar_days(rows[i].year, rows[i].month, rows[i].day), rows[i].days);
        calendar_date(rows[i].days, &year, &month, &day);
        assert_int_equal(year, rows[i].year);
        assert_int_equal(month, rows[i].month);
        assert_int_equal(day, rows[i].day);
    }
}

/* 400 years are a whole cycle; each day is one more than the day before. */
static void round_trips(void **state)
{
    (void)state;
    for (s64 days = -146097; days < 146097; days++) {
        s64 year;
        unsigned month, day;
        calendar_date(days, &year, &month, &day);
        assert_true(month >= 1 && month <= 12 && day >= 1 && day <= 31);
        assert_int_equal(calendar_days(year, month, day), days);
    }
}

static void out_of_range(void **state)
{
    (void)state;
    assert_int_equal(calendar_days(2023, 2, 29), calendar_days(2023, 3, 1));
    assert_int_equal(calendar_days(2023, 13, 1), calendar_days(2024, 1, 1));
    assert_int_equal(calendar_days(2023, 0, 1), calendar_days(2023, 1, 1)); /* as the RTC may say */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_days),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(out_of_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
