/*
 * ps2_mouse.c - a plain mouse with two buttons.
 *
 * LIMIT: nobody moves it: it answers commands, and has no movements to report.
 */
#include "dev/ps2.h"

static void answer(struct ps2_mouse *m, u8 byte)
{
    ps2_put(&m->answers, byte);
}

static void defaults(struct ps2_mouse *m)
{
    *m = (struct ps2_mouse){.answers = m->answers, .rate = 100, .resolution = 2, .last = m->last};
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
    m->answers.count = 0;
    defaults(m);
}

static void tell_status(struct ps2_mouse *m)
{
    answer(m, (m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scale2 ? 0x10 : 0));
    answer(m, m->resolution);
    answer(m, m->rate);
}

/* Commands that the mouse acknowledges. */
static void command(struct ps2_mouse *m, u8 byte)
{
    switch (byte) {
    case 0xe6:
    case 0xe7:
        m->scale2 = byte == 0xe7;
        break;
    case 0xe8: /* resolution */
    case 0xf3: /* sample rate */
        m->parameter_of = byte;
        break;
    case 0xe9:
        tell_status(m);
        break;
    case 0xea:
    case 0xf0:
        m->remote = byte == 0xf0;
        break;
    case 0xeb: /* read data: no buttons, no movement */
        answer(m, 0x08);
        answer(m, 0x00);
        answer(m, 0x00);
        break;
    case 0xec:
    case 0xee:
        m->wrap = byte == 0xee;
        break;
    case 0xf2: /* identify: a plain mouse */
        answer(m, 0x00);
        break;
    case 0xf4:
    case 0xf5:
        m->reporting = byte == 0xf4;
        break;
    case 0xf6:
        defaults(m);
        break;
    default: /* reset */
        defaults(m);
        answer(m, PS2_TEST_PASSED);
        answer(m, 0x00);
        break;
    }
}

static bool knows(u8 byte)
{
    return (byte >= 0xe6 && byte <= 0xf6 && byte != 0xed && byte != 0xef && byte != 0xf1) ||
           byte == 0xff;
}

void ps2_mouse_write(struct ps2_mouse *m, u8 byte)
{
    u8 waiting = m->parameter_of;

    m->parameter_of = 0;
    if (m->wrap && byte != 0xec && byte != 0xff) {
        answer(m, byte);
    } else if (waiting && byte < 0xe6) {
        *(waiting == 0xe8 ? &m->resolution : &m->rate) = byte;
        answer(m, PS2_ACK);
    } else if (byte == 0xfe) {
        answer(m, m->last);
    } else if (knows(byte)) {
        answer(m, PS2_ACK);
        command(m, byte);
    } else {
        answer(m, PS2_RESEND);
    }
}
