/*
 * fields.h - what of a structure is its state, as a table of its fields: by it the state is written
 * to bytes, which a snapshot keeps, and read back.
 *
 *      static const struct field fields[] = {
 *          FIELD(struct uart, divisor),
 *          FIELD_MAX(struct uart, head, FIFO_SIZE - 1),
 *          FIELD_EACH(struct uart, fifo, byte),
 *          FIELD_TIMER(struct uart, timer),
 *          FIELDS_END,
 *      };
 *
 * A field is numbers, or a timer, or text.  The bytes hold its name, so that they fit no other
 * table, and depend on no address and no compiler:
 *
 *      length of the name (8), the name, bytes of a number (8), how many (32), the numbers
 *
 * all little-endian.  Bytes that are read may be anything: a number above its field's maximum is
 * refused, and whoever owns the structure checks what its fields must be to each other.
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/timer.h"
#include "base/types.h"

enum field_kind {
    FIELD_NUMBERS,
    FIELD_DEADLINE, /* a struct timer: a number, its deadline or TIMER_NEVER */
    FIELD_STRING,   /* a const char *, or NULL: its bytes with the 0 at their end */
};

struct field {
    const char *name; /* NULL ends a table */
    u32 offset, stride, count;
    u8 size; /* bytes of a number: 1, 2, 4 or 8 */
    u8 kind; /* enum field_kind */
    u64 max; /* that a number may be; 0: any */
};

#define FIELD_MEMBER(type, member) (((type *)0)->member)
/* A bool is 0 or 1. */
#define FIELD_LIMIT(type, member) _Generic(FIELD_MEMBER(type, member), bool : 1, default : 0)

#define FIELD_ROW(text, type, member, number, step, many, limit)                             \
    {                                                                                        \
        .name = (text), .offset = offsetof(type, member), .stride = (step), .count = (many), \
        .size = sizeof(FIELD_MEMBER(type, number)), .max = (limit)                           \
    }

#define FIELD_MAX(type, member, limit) FIELD_ROW(#member, type, member, member, 0, 1, limit)
#define FIELD(type, member)            FIELD_MAX(type, member, FIELD_LIMIT(type, member))

/* All numbers of an array. */
#define FIELD_ARRAY_MAX(type, member, limit)                                              \
    FIELD_ROW(#member, type, member[0], member[0], sizeof(FIELD_MEMBER(type, member[0])), \
              sizeof(FIELD_MEMBER(type, member)) / sizeof(FIELD_MEMBER(type, member[0])), limit)
#define FIELD_ARRAY(type, member) FIELD_ARRAY_MAX(type, member, FIELD_LIMIT(type, member[0]))

/* The first `many` numbers of an array. */
#define FIELD_SOME(type, member, many)                                                          \
    FIELD_ROW(#member, type, member[0], member[0], sizeof(FIELD_MEMBER(type, member[0])), many, \
              FIELD_LIMIT(type, member[0]))

/* A member of all structures in an array. */
#define FIELD_EACH_MAX(type, array, member, limit)                        \
    FIELD_ROW(#array "." #member, type, array[0].member, array[0].member, \
              sizeof(FIELD_MEMBER(type, array[0])),                       \
              sizeof(FIELD_MEMBER(type, array)) / sizeof(FIELD_MEMBER(type, array[0])), limit)
#define FIELD_EACH(type, array, member) \
    FIELD_EACH_MAX(type, array, member, FIELD_LIMIT(type, array[0].member))

/* The size bytes of a member, whatever it is made of: an array of arrays of bytes, say. */
#define FIELD_BYTES(type, member)                                       \
    {                                                                   \
        .name = #member, .offset = offsetof(type, member), .stride = 1, \
        .count = sizeof(FIELD_MEMBER(type, member)), .size = 1          \
    }

#define FIELD_TIMER(type, member)                                                           \
    {                                                                                       \
        .name = #member, .offset = offsetof(type, member), .count = 1, .size = sizeof(u64), \
        .kind = FIELD_DEADLINE                                                              \
    }

#define FIELD_TEXT(type, member)                                                  \
    {                                                                             \
        .name = #member, .offset = offsetof(type, member), .count = 1, .size = 1, \
        .kind = FIELD_STRING                                                      \
    }

#define FIELDS_END   \
    {                \
        .name = NULL \
    }

/* The table of what has no state. */
extern const struct field fields_none[];

/* Bytes that are written.  As many as fit are; size counts all. */
struct field_writer {
    u8 *bytes;
    u64 size, capacity;
};

void fields_put(struct field_writer *writer, const void *bytes, u64 size);
void fields_save(struct field_writer *writer, const struct field *fields, const void *base);

/* Bytes that are read. */
struct field_reader {
    const u8 *bytes;
    u64 size, at;
    const char *part;  /* whose fields these are, where there are several of whom; or NULL */
    const char *field; /* once reading has failed: the field that was to come */
    const char *error; /* and what is wrong with it */
};

/* The next size bytes, or NULL where there are not so many. */
const u8 *fields_take(struct field_reader *reader, u64 size);

/* False with an error, and perhaps some fields read, where the bytes are not what the table says.
 * Text is not copied: it lies in the reader's bytes.  Timers have been initialized. */
bool fields_load(struct field_reader *reader, const struct field *fields, void *base);

#endif
