/*
 * ps2.h - the two devices behind the keyboard controller, as it sees them on its serial lines.
 *
 * Each is a plain structure inside the controller's: bytes go in by its write function, and what it
 * answers or reports waits in it until the controller takes it.
 *
 * IBM, "PS/2 Hardware Interface Technical Reference", "Keyboards (101- and 102-Key)", "Mouse".
 */
#ifndef DEV_PS2_H
#define DEV_PS2_H

#include "base/types.h"

enum { PS2_ACK = 0xfa, PS2_RESEND = 0xfe, PS2_TEST_PASSED = 0xaa };

#define PS2_QUEUE_SIZE 16

struct ps2_queue {
    u8 bytes[PS2_QUEUE_SIZE];
    unsigned head, count;
};

/* A full queue loses the byte: the guest sent commands and read no answers. */
static inline void ps2_put(struct ps2_queue *q, u8 byte)
{
    if (q->count < PS2_QUEUE_SIZE) {
        q->bytes[(q->head + q->count++) % PS2_QUEUE_SIZE] = byte;
    }
}

static inline u8 ps2_take(struct ps2_queue *q)
{
    u8 byte = q->bytes[q->head];

    q->head = (q->head + 1) % PS2_QUEUE_SIZE;
    q->count--;
    return byte;
}

/* ------------------------------------------------------------------ the keyboard */

struct ps2_keyboard {
    struct ps2_queue answers, codes; /* answers go first */
    u8 parameter_of;                 /* the command that waits for its parameter, or 0 */
    u8 scan_set;                     /* 1 or 2 */
    bool scanning;
    u8 leds;      /* 2 caps lock   1 num lock   0 scroll lock */
    u8 typematic; /* delay and rate, as written */
    u8 last;      /* what was sent last, for RESEND */
};

void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_keyboard_write(struct ps2_keyboard *k, u8 byte);

/* Has it something to send?  What. */
bool ps2_keyboard_has(const struct ps2_keyboard *k);
u8 ps2_keyboard_take(struct ps2_keyboard *k);

/* A key goes down or up.  A key is named by its scan code of set 1, with 0xe000 for those with an
 * E0 before it; Pause is 0xe11d.  Lost where the guest has turned scanning off. The caller sees to
 * it that no codes wait. */
void ps2_keyboard_key(struct ps2_keyboard *k, u16 key, bool down);

/* What a controller that translates makes of a byte of set 2; F0 it keeps, and sets bit 7 of the
 * next.
 */
u8 ps2_translate(u8 byte);

/* ------------------------------------------------------------------ the mouse */

struct ps2_mouse {
    struct ps2_queue answers;
    u8 parameter_of;
    u8 rate, resolution;
    bool reporting, scale2, remote, wrap;
    u8 last;
};

void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, u8 byte);

static inline u8 ps2_mouse_take(struct ps2_mouse *m)
{
    return m->last = ps2_take(&m->answers);
}

#endif
