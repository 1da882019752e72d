/* calendar.c - the Gregorian calendar, for ever in both directions. */
#include "base/calendar.h"

s64 calendar_days(s64 year, unsigned month, unsigned day)
{
    s64 era, year_of_era, day_of_year;

    month = month ? month - 1 : 0; /* from 0 */
    year += month / 12;
    month %= 12;
    /* Count years from March: the leap day is then the last. */
    month = (month + 10) % 12;
    year -= month >= 10;
    era = (year >= 0 ? year : year - 399) / 400;
    year_of_era = year - era * 400;
    day_of_year = (153 * month + 2) / 5 + (s64)day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

void calendar_date(s64 days, s64 *year, unsigned *month, unsigned *day)
{
    s64 era, day_of_era, year_of_era, day_of_year, shifted;

    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    day_of_era = days - era * 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    shifted = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}
