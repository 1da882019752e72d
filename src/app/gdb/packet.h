/*
 * packet.h - the frames of gdb's remote protocol, without what is in them.
 *
 *      $ payload # checksum       two hexadecimal digits: the payload's bytes added up, modulo 256
 *      + or -                     the last packet has come in well, or not
 *      0x03                       an interrupt
 *
 * In a payload } goes before a byte XOR 0x20 that would otherwise have a meaning.
 *
 * Source: the GDB manual, "Remote Protocol", "Overview".
 */
#ifndef APP_GDB_PACKET_H
#define APP_GDB_PACKET_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_BYTES 0x4000 /* of a payload at most, in both directions: PacketSize */

enum gdb_event {
    GDB_NOTHING,   /* yet */
    GDB_PACKET,    /* there is a payload */
    GDB_DAMAGED,   /* a packet with a wrong checksum */
    GDB_TOO_LONG,  /* a packet, right but for its length */
    GDB_ACK,       /* + */
    GDB_NAK,       /* - */
    GDB_INTERRUPT, /* 0x03 */
};

struct gdb_reader {
    enum { GDB_OUTSIDE, GDB_INSIDE, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
    uint8_t sum, sum_high;
    bool too_long;
    size_t size;
    char payload[GDB_PACKET_BYTES + 1]; /* ended by a 0 after GDB_PACKET */
};

/* Take in one byte.  After GDB_PACKET payload and size are good until the next byte. */
enum gdb_event gdb_reader_take(struct gdb_reader *reader, uint8_t byte);

/* A payload on its way out; what does not fit is dropped, and noted. */
struct gdb_writer {
    size_t size;
    bool overflow;
    char payload[GDB_PACKET_BYTES];
};

void gdb_writer_clear(struct gdb_writer *writer);
void gdb_writer_add(struct gdb_writer *writer, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));
void gdb_writer_bytes(struct gdb_writer *writer, const void *bytes, size_t size);
void gdb_writer_hex(struct gdb_writer *writer, const void *bytes, size_t size);

/* Bytes of a frame at most, when all of its payload has to be escaped. */
#define GDB_FRAME_BYTES (2 * GDB_PACKET_BYTES + 4)

/* Make the frame of a payload; returns its size. */
size_t gdb_writer_frame(const struct gdb_writer *writer, char frame[GDB_FRAME_BYTES]);

/* ------------------------------------------------------------------ parts of a payload */

/* A hexadecimal number at *text, which goes on behind it.  False where there is none, or it does
 * not fit into 64 bits. */
bool gdb_parse_hex(const char **text, uint64_t *value);

/* Goes on behind c, if c is there. */
bool gdb_parse_char(const char **text, char c);

/* size bytes from 2 * size hexadecimal digits.  Goes on behind them. */
bool gdb_parse_bytes(const char **text, void *bytes, size_t size);

#endif
