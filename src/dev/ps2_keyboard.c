/*
 * ps2_keyboard.c - a keyboard with 101 keys and the US layout's scan codes, in sets 1 and 2.
 *
 * LIMIT: there is no set 3; asking for it is answered with FE, as by a keyboard that lacks it.
 * LIMIT: a key that is held down does not repeat by itself; whoever types sends it down again.
 * LIMIT: no shifts are faked around the grey cursor keys while Num Lock is on.
 */
#include "dev/ps2.h"

#include "base/bits.h"

enum { PREFIX = 0xe0, PREFIX_PAUSE = 0xe1, BREAK = 0xf0, KEY_PRINT = 0xe037, KEY_PAUSE = 0xe11d };

/* ------------------------------------------------------------------ scan codes */

/* Set 2 to set 1.  IBM, "PS/2 Hardware Interface Technical Reference", "Keyboard and Auxiliary
 * Device Controller", "Scan code translation". */
static const u8 set1_of_set2[] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
    0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
    0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
    0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
    0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
    0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
    0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
    0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
    0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54,
};

u8 ps2_translate(u8 byte)
{
    return byte < ARRAY_SIZE(set1_of_set2) ? set1_of_set2[byte] : byte;
}

/* From the end: where two codes of set 2 become the same, the keyboard's is the higher one. */
static u8 set2_of_set1(u8 code)
{
    unsigned i = ARRAY_SIZE(set1_of_set2);

    while (i-- > 1 && set1_of_set2[i] != code) {}
    return (u8)i;
}

/* A byte of set 1, in the set that the guest has chosen. */
static void put_code(struct ps2_keyboard *k, u8 byte)
{
    if (k->scan_set == 1 || byte == PREFIX || byte == PREFIX_PAUSE) {
        ps2_put(&k->codes, byte);
        return;
    }
    if (byte & 0x80) {
        ps2_put(&k->codes, BREAK);
    }
    ps2_put(&k->codes, set2_of_set1(byte & 0x7f));
}

static void put_codes(struct ps2_keyboard *k, const u8 *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put_code(k, bytes[i]);
    }
}

void ps2_keyboard_key(struct ps2_keyboard *k, u16 key, bool down)
{
    static const u8 pause[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const u8 print_down[] = {0xe0, 0x2a, 0xe0, 0x37}, print_up[] = {0xe0, 0xb7, 0xe0, 0xaa};
    u8 code = (u8)((key & 0x7f) | (down ? 0 : 0x80));

    if (!k->scanning) {
        return;
    }
    if (key == KEY_PAUSE) { /* tells of its way down only */
        put_codes(k, pause, down ? ARRAY_SIZE(pause) : 0);
    } else if (key == KEY_PRINT) {
        put_codes(k, down ? print_down : print_up, ARRAY_SIZE(print_down));
    } else {
        if (key >> 8) {
            put_code(k, PREFIX);
        }
        put_code(k, code);
    }
}

/* ------------------------------------------------------------------ commands */

static void defaults(struct ps2_keyboard *k)
{
    k->codes.count = 0;
    k->scan_set = 2;
    k->scanning = true;
    k->typematic = 0x2b; /* 10.9 a second, after half a second */
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    *k = (struct ps2_keyboard){.last = k->last};
    defaults(k);
}

static void answer(struct ps2_keyboard *k, u8 byte)
{
    ps2_put(&k->answers, byte);
}

static void parameter(struct ps2_keyboard *k, u8 command, u8 value)
{
    if (command == 0xf0 && value > 2) {
        answer(k, PS2_RESEND);
        return;
    }
    answer(k, PS2_ACK);
    switch (command) {
    case 0xed:
        k->leds = value & 7;
        break;
    case 0xf0:
        if (value == 0) {
            answer(k, k->scan_set);
        } else {
            k->scan_set = value;
        }
        break;
    case 0xf3:
        k->typematic = value;
        break;
    default: /* modes of one key: only set 3 has them */
        break;
    }
}

static void command(struct ps2_keyboard *k, u8 byte)
{
    switch (byte) {
    case 0xed: /* indicators */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate */
    case 0xfb: /* modes of one key */
    case 0xfc:
    case 0xfd:
        k->parameter_of = byte;
        answer(k, PS2_ACK);
        break;
    case 0xee: /* echo */
        answer(k, 0xee);
        break;
    case 0xf2: /* identify */
        answer(k, PS2_ACK);
        answer(k, 0xab);
        answer(k, 0x83);
        break;
    case 0xf4: /* enable */
        k->codes.count = 0;
        k->scanning = true;
        answer(k, PS2_ACK);
        break;
    case 0xf5: /* defaults, and disable */
    case 0xf6: /* defaults */
        defaults(k);
        k->scanning = byte == 0xf6;
        answer(k, PS2_ACK);
        break;
    case 0xf7: /* modes of all keys */
    case 0xf8:
    case 0xf9:
    case 0xfa:
        answer(k, PS2_ACK);
        break;
    case 0xfe: /* resend */
        answer(k, k->last);
        break;
    case 0xff: /* reset */
        defaults(k);
        k->leds = 0;
        answer(k, PS2_ACK);
        answer(k, PS2_TEST_PASSED);
        break;
    default:
        answer(k, PS2_RESEND);
        break;
    }
}

void ps2_keyboard_write(struct ps2_keyboard *k, u8 byte)
{
    u8 waiting = k->parameter_of;

    k->parameter_of = 0;
    if (waiting && byte < 0x80) {
        parameter(k, waiting, byte);
    } else {
        command(k, byte);
    }
}

bool ps2_keyboard_has(const struct ps2_keyboard *k)
{
    return k->answers.count || k->codes.count;
}

u8 ps2_keyboard_take(struct ps2_keyboard *k)
{
    return k->last = ps2_take(k->answers.count ? &k->answers : &k->codes);
}
