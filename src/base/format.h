/*
 * format.h - a small snprintf() that needs no libc.
 *
 * Conversions: %s %c %d %i %u %x %X %p %%, with the lengths h, hh, l, ll and z, a width, the flags
 * '-' and '0', and for %s a precision.  Width and precision may be '*'.  No floating point.
 */
#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Write at most size bytes to buffer, always terminated unless size is 0.  Returns the length that
 * the whole text has, without its terminator, as snprintf() does. */
size_t format(char *buffer, size_t size, const char *fmt, ...)
    __attribute__((__format__(__printf__, 3, 4)));
size_t vformat(char *buffer, size_t size, const char *fmt, va_list args)
    __attribute__((__format__(__printf__, 3, 0)));

#endif
