/*
 * breakpoints.c - the packets Z and z.
 *
 * Software breakpoints (type 0) and hardware ones (1) are the same to the machine, which changes no
 * byte for either; gdb may have both at one address.
 */
#include "app/gdb/breakpoints.h"

#include <errno.h>
#include <stdlib.h>

enum { SOFTWARE, HARDWARE, WRITE, READ, ACCESS, TYPES };

static enum ringer_break kind_of(unsigned type)
{
    return type == WRITE    ? RINGER_BREAK_WRITE
           : type == READ   ? RINGER_BREAK_READ
           : type == ACCESS ? RINGER_BREAK_ACCESS
                            : RINGER_BREAK_EXECUTE;
}

/* What follows, conditions for instance, has not been offered. */
static bool parse(const char *args, struct gdb_breakpoint *b)
{
    uint64_t type;

    if (!gdb_parse_hex(&args, &type) || type >= TYPES || !gdb_parse_char(&args, ',') ||
        !gdb_parse_hex(&args, &b->address) || !gdb_parse_char(&args, ',') ||
        !gdb_parse_hex(&args, &b->size) || (*args && *args != ';')) {
        return false;
    }
    b->type = (unsigned)type;
    return true;
}

static bool same_place(const struct gdb_breakpoint *a, const struct gdb_breakpoint *b)
{
    if (kind_of(a->type) != kind_of(b->type) || a->address != b->address) {
        return false;
    }
    return kind_of(a->type) == RINGER_BREAK_EXECUTE || a->size == b->size;
}

static struct gdb_breakpoint *find(struct gdb_stub *s, const struct gdb_breakpoint *b)
{
    for (size_t i = 0; i < s->breakpoint_count; i++) {
        if (s->breakpoints[i].type == b->type && same_place(&s->breakpoints[i], b)) {
            return &s->breakpoints[i];
        }
    }
    return NULL;
}

/* Is one there that is the same to the machine? */
static bool is_there(const struct gdb_stub *s, const struct gdb_breakpoint *b)
{
    for (size_t i = 0; i < s->breakpoint_count; i++) {
        if (same_place(&s->breakpoints[i], b)) {
            return true;
        }
    }
    return false;
}

static int add(struct gdb_stub *s, const struct gdb_breakpoint *b)
{
    size_t size = (s->breakpoint_count + 1) * sizeof(*b);
    struct gdb_breakpoint *more = realloc(s->breakpoints, size);

    if (!more) {
        return -ENOMEM;
    }
    s->breakpoints = more;
    if (!is_there(s, b)) {
        int error = ringer_set_breakpoint(s->machine, kind_of(b->type), b->address, b->size);
        if (error < 0) {
            return error;
        }
    }
    s->breakpoints[s->breakpoint_count++] = *b;
    return 0;
}

static int drop(struct gdb_stub *s, struct gdb_breakpoint *b)
{
    struct gdb_breakpoint dropped = *b;

    *b = s->breakpoints[--s->breakpoint_count];
    return is_there(s, &dropped) ? 0
                                 : ringer_clear_breakpoint(s->machine, kind_of(dropped.type),
                                                           dropped.address, dropped.size);
}

static void answer(struct gdb_stub *s, int error)
{
    if (error < 0) {
        gdb_reply_error(s, error);
    } else {
        gdb_reply_ok(s);
    }
}

void gdb_breakpoints_set(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_breakpoint b;

    (void)size;
    if (!parse(args, &b)) {
        gdb_reply_error(s, -EINVAL);
    } else {
        answer(s, find(s, &b) ? 0 : add(s, &b));
    }
}

void gdb_breakpoints_clear(struct gdb_stub *s, const char *args, size_t size)
{
    struct gdb_breakpoint b, *found;

    (void)size;
    if (!parse(args, &b)) {
        gdb_reply_error(s, -EINVAL);
    } else {
        found = find(s, &b);
        answer(s, found ? drop(s, found) : 0);
    }
}

bool gdb_breakpoints_has(const struct gdb_stub *s, unsigned type, uint64_t address)
{
    for (size_t i = 0; i < s->breakpoint_count; i++) {
        if (s->breakpoints[i].type == type && s->breakpoints[i].address == address) {
            return true;
        }
    }
    return false;
}

void gdb_breakpoints_renew(struct gdb_stub *s)
{
    for (size_t i = 0; i < s->breakpoint_count; i++) {
        const struct gdb_breakpoint *b = &s->breakpoints[i];
        /* -EEXIST: another of them is the same to the machine. */
        (void)ringer_set_breakpoint(s->machine, kind_of(b->type), b->address, b->size);
    }
}

void gdb_breakpoints_withdraw(struct gdb_stub *s)
{
    for (size_t i = 0; i < s->breakpoint_count; i++) {
        const struct gdb_breakpoint *b = &s->breakpoints[i];
        /* -ENOENT: one that is the same to the machine has been cleared. */
        (void)ringer_clear_breakpoint(s->machine, kind_of(b->type), b->address, b->size);
    }
}

void gdb_breakpoints_clear_all(struct gdb_stub *s)
{
    while (s->breakpoint_count > 0) {
        (void)drop(s, &s->breakpoints[s->breakpoint_count - 1]);
    }
}
