/* format.c - a small snprintf() that needs no libc. */
#include "base/format.h"

#include "base/string.h"
#include "base/types.h"

struct sink {
    char *buffer;
    size_t size, length;
};

struct spec { /* one conversion */
    bool left, zero, negative;
    unsigned width;
    size_t precision; /* SIZE_MAX: none */
    int length;       /* count of 'l'; negative: of 'h' */
};

static void put(struct sink *s, char c)
{
    if (s->length + 1 < s->size) {
        s->buffer[s->length] = c;
    }
    s->length++;
}

static void put_padded(struct sink *s, const struct spec *spec, const char *text, size_t length)
{
    size_t whole = length + spec->negative;
    size_t pad = spec->width > whole ? spec->width - whole : 0;
    bool zero = spec->zero && !spec->left;

    for (size_t i = 0; i < pad && !spec->left && !zero; i++) {
        put(s, ' ');
    }
    if (spec->negative) {
        put(s, '-');
    }
    for (size_t i = 0; i < pad && zero; i++) {
        put(s, '0');
    }
    for (size_t i = 0; i < length; i++) {
        put(s, text[i]);
    }
    for (size_t i = 0; i < pad && spec->left; i++) {
        put(s, ' ');
    }
}

static void put_number(struct sink *s, const struct spec *spec, u64 value, unsigned radix, char ten)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        unsigned digit = (unsigned)(value % radix);
        digits[--at] = (char)(digit < 10 ? '0' + digit : (unsigned)ten + digit - 10);
        value /= radix;
    } while (value);
    put_padded(s, spec, digits + at, sizeof(digits) - at);
}

static void put_string(struct sink *s, struct spec *spec, const char *text)
{
    size_t length = 0;

    if (!text) {
        text = "(null)";
    }
    while (length < spec->precision && text[length]) {
        length++;
    }
    spec->zero = false;
    put_padded(s, spec, text, length);
}

static unsigned parse_number(const char **fmt)
{
    unsigned value = 0;

    while (**fmt >= '0' && **fmt <= '9') {
        value = value * 10 + (unsigned)(*(*fmt)++ - '0');
    }
    return value;
}

static s64 narrow_signed(s64 value, int length)
{
    return length == -1 ? (short)value : length <= -2 ? (signed char)value : value;
}

static u64 narrow(u64 value, int length)
{
    return length == -1 ? (u16)value : length <= -2 ? (u8)value : value;
}

/* va_list may be an array type, so it travels in a struct. */
struct arguments {
    va_list list;
};

static void parse_spec(struct spec *spec, const char **fmt, struct arguments *args)
{
    *spec = (struct spec){.precision = SIZE_MAX};
    for (;; (*fmt)++) {
        if (**fmt == '-') {
            spec->left = true;
        } else if (**fmt == '0') {
            spec->zero = true;
        } else {
            break;
        }
    }
    if (**fmt == '*') {
        int width = va_arg(args->list, int);
        spec->left |= width < 0;
        spec->width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
        (*fmt)++;
    } else {
        spec->width = parse_number(fmt);
    }
    if (**fmt == '.') {
        (*fmt)++;
        if (**fmt == '*') {
            int precision = va_arg(args->list, int);
            spec->precision = precision < 0 ? SIZE_MAX : (size_t)precision;
            (*fmt)++;
        } else {
            spec->precision = parse_number(fmt);
        }
    }
    for (; **fmt == 'l' || **fmt == 'h' || **fmt == 'z'; (*fmt)++) {
        spec->length += **fmt == 'h' ? -1 : 1;
    }
}

static void convert(struct sink *s, const char **fmt, struct arguments *args)
{
    struct spec spec;
    s64 number;
    char c;

    parse_spec(&spec, fmt, args);
    switch (**fmt) {
    case 'c':
        c = (char)va_arg(args->list, int);
        spec.zero = false;
        put_padded(s, &spec, &c, 1);
        break;
    case 's':
        put_string(s, &spec, va_arg(args->list, const char *));
        break;
    case 'd':
    case 'i':
        number = spec.length > 0 ? va_arg(args->list, long)
                                 : narrow_signed(va_arg(args->list, int), spec.length);
        spec.negative = number < 0;
        put_number(s, &spec, number < 0 ? 0 - (u64)number : (u64)number, 10, 'a');
        break;
    case 'u':
    case 'x':
    case 'X':
        put_number(s, &spec,
                   spec.length > 0 ? va_arg(args->list, unsigned long)
                                   : narrow(va_arg(args->list, unsigned), spec.length),
                   **fmt == 'u' ? 10 : 16, **fmt == 'X' ? 'A' : 'a');
        break;
    case 'p':
        put(s, '0');
        put(s, 'x');
        put_number(s, &spec, (uintptr_t)va_arg(args->list, void *), 16, 'a');
        break;
    case '\0':
        return;
    default: /* %% and what is not known here */
        put(s, **fmt);
        break;
    }
    (*fmt)++;
}

size_t vformat(char *buffer, size_t size, const char *fmt, va_list args)
{
    struct sink sink = {.buffer = buffer, .size = size};
    struct arguments copy;

    va_copy(copy.list, args);
    while (*fmt) {
        if (*fmt != '%') {
            put(&sink, *fmt++);
            continue;
        }
        fmt++;
        convert(&sink, &fmt, &copy);
    }
    va_end(copy.list);
    if (size) {
        buffer[sink.length < size ? sink.length : size - 1] = '\0';
    }
    return sink.length;
}

size_t format(char *buffer, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    size_t length = vformat(buffer, size, fmt, args);
    va_end(args);
    return length;
}
