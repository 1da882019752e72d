/* calendar.h - the Gregorian calendar: days since 1970-01-01, which is day 0, to dates and back. */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include "base/types.h"

/* Months and days, which count from 1, may be out of range: a day beyond the end of its month is
 * one of the next. */
s64 calendar_days(s64 year, unsigned month, unsigned day);
void calendar_date(s64 days, s64 *year, unsigned *month, unsigned *day);

#endif
