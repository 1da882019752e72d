/* packet.c - the frames of gdb's remote protocol; see packet.h. */
#include "app/gdb/packet.h"

#include <stdio.h>
#include <string.h>

#define INTERRUPT 0x03

static const char digits[] = "0123456789abcdef";

/* The value of a hexadecimal digit, or -1. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* ------------------------------------------------------------------ in */

static void begin(struct gdb_reader *r)
{
    r->state = GDB_INSIDE;
    r->sum = 0;
    r->size = 0;
    r->too_long = false;
}

static void keep(struct gdb_reader *r, uint8_t byte)
{
    if (r->size < GDB_PACKET_BYTES) {
        r->payload[r->size++] = (char)byte;
    } else {
        r->too_long = true;
    }
}

static enum gdb_event outside(struct gdb_reader *r, uint8_t byte)
{
    switch (byte) {
    case '$':
        begin(r);
        return GDB_NOTHING;
    case '+':
        return GDB_ACK;
    case '-':
        return GDB_NAK;
    case INTERRUPT:
        return GDB_INTERRUPT;
    default: /* noise on the line */
        return GDB_NOTHING;
    }
}

static void inside(struct gdb_reader *r, uint8_t byte)
{
    if (byte == '$') { /* the end of the one before has been lost */
        begin(r);
        return;
    }
    if (byte == '#') {
        r->state = GDB_SUM_HIGH;
        return;
    }
    r->sum += byte;
    if (byte == '}') {
        r->state = GDB_ESCAPED;
    } else {
        keep(r, byte);
    }
}

static enum gdb_event end(struct gdb_reader *r, uint8_t byte)
{
    int high = digit_of((char)r->sum_high), low = digit_of((char)byte);

    r->state = GDB_OUTSIDE;
    r->payload[r->size] = 0;
    if (high < 0 || low < 0 || (high << 4 | low) != r->sum) {
        return GDB_DAMAGED;
    }
    return r->too_long ? GDB_TOO_LONG : GDB_PACKET;
}

enum gdb_event gdb_reader_take(struct gdb_reader *r, uint8_t byte)
{
    switch (r->state) {
    case GDB_OUTSIDE:
        return outside(r, byte);
    case GDB_INSIDE:
        inside(r, byte);
        return GDB_NOTHING;
    case GDB_ESCAPED:
        r->sum += byte;
        keep(r, byte ^ 0x20);
        r->state = GDB_INSIDE;
        return GDB_NOTHING;
    case GDB_SUM_HIGH:
        r->sum_high = byte;
        r->state = GDB_SUM_LOW;
        return GDB_NOTHING;
    case GDB_SUM_LOW:
        return end(r, byte);
    }
    return GDB_NOTHING;
}

/* ------------------------------------------------------------------ out */

void gdb_writer_clear(struct gdb_writer *w)
{
    w->size = 0;
    w->overflow = false;
}

void gdb_writer_bytes(struct gdb_writer *w, const void *bytes, size_t size)
{
    size_t room = sizeof(w->payload) - w->size;

    if (size > room) {
        w->overflow = true;
        size = room;
    }
    memcpy(w->payload + w->size, bytes, size);
    w->size += size;
}

void gdb_writer_add(struct gdb_writer *w, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(text)) {
        w->overflow = true;
        return;
    }
    gdb_writer_bytes(w, text, (size_t)length);
}

void gdb_writer_hex(struct gdb_writer *w, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < size; i++) {
        char pair[2] = {digits[b[i] >> 4], digits[b[i] & 15]};
        gdb_writer_bytes(w, pair, 2);
    }
}

size_t gdb_writer_frame(const struct gdb_writer *w, char frame[GDB_FRAME_BYTES])
{
    char *next = frame;
    uint8_t sum = 0;

    *next++ = '$';
    for (size_t i = 0; i < w->size; i++) {
        char c = w->payload[i];
        if (c == '#' || c == '$' || c == '}' || c == '*') {
            *next++ = '}';
            c ^= 0x20;
            sum += '}';
        }
        sum += (uint8_t)c;
        *next++ = c;
    }
    *next++ = '#';
    *next++ = digits[sum >> 4];
    *next++ = digits[sum & 15];
    return (size_t)(next - frame);
}

/* ------------------------------------------------------------------ parts */

bool gdb_parse_hex(const char **text, uint64_t *value)
{
    uint64_t sum = 0;
    const char *c = *text;

    for (int digit; (digit = digit_of(*c)) >= 0; c++) {
        if (sum >> 60) {
            return false;
        }
        sum = sum << 4 | (unsigned)digit;
    }
    if (c == *text) {
        return false;
    }
    *text = c;
    *value = sum;
    return true;
}

bool gdb_parse_char(const char **text, char c)
{
    if (**text != c) {
        return false;
    }
    ++*text;
    return true;
}

bool gdb_parse_bytes(const char **text, void *bytes, size_t size)
{
    uint8_t *b = bytes;

    for (size_t i = 0; i < size; i++) {
        int high = digit_of((*text)[0]);
        int low = high < 0 ? -1 : digit_of((*text)[1]);
        if (low < 0) {
            return false;
        }
        b[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}
