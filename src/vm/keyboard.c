/*
 * keyboard.c - keys by number, by name and by character, and the queues of what is typed.
 *
 *      typed     -- input.h's door -->     due     -- one a millisecond -->     the i8042
 */
#include "vm/keyboard.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/i8042.h"
#include "vm/checkpoint.h"
#include "vm/machine.h"

#define INTERVAL_NS 1000000ull
#define EVENTS_MAX  4096u
#define CHORD_MAX   8u /* keys struck together */

enum { KEY_CTRL = 0x1d, KEY_SHIFT = 0x2a, KEY_PAUSE = 0xe11d };

#define EVENT_DOWN 0x10000u /* an event is a key, and whether it goes down */

struct keyboard {
    struct ringer *machine;
    struct timer timer; /* the next key is due */
    bool waits;         /* for the guest to read the last one */
    unsigned head, count;
    u32 due[EVENTS_MAX]; /* a ring */
    unsigned typed_count;
    u32 typed[EVENTS_MAX];
};

/* ------------------------------------------------------------------ keys */

static const struct {
    const char *name;
    u16 key;
} names[] = {
    {"esc", 0x01},      {"minus", 0x0c},      {"equal", 0x0d},    {"backspace", 0x0e},
    {"tab", 0x0f},      {"enter", 0x1c},      {"ret", 0x1c},      {"ctrl", 0x1d},
    {"shift", 0x2a},    {"shift_r", 0x36},    {"alt", 0x38},      {"space", 0x39},
    {"spc", 0x39},      {"caps_lock", 0x3a},  {"f1", 0x3b},       {"f2", 0x3c},
    {"f3", 0x3d},       {"f4", 0x3e},         {"f5", 0x3f},       {"f6", 0x40},
    {"f7", 0x41},       {"f8", 0x42},         {"f9", 0x43},       {"f10", 0x44},
    {"f11", 0x57},      {"f12", 0x58},        {"num_lock", 0x45}, {"scroll_lock", 0x46},
    {"sysrq", 0x54},    {"ctrl_r", 0xe01d},   {"alt_r", 0xe038},  {"print", 0xe037},
    {"home", 0xe047},   {"up", 0xe048},       {"pgup", 0xe049},   {"left", 0xe04b},
    {"right", 0xe04d},  {"end", 0xe04f},      {"down", 0xe050},   {"pgdn", 0xe051},
    {"insert", 0xe052}, {"delete", 0xe053},   {"meta", 0xe05b},   {"meta_r", 0xe05c},
    {"menu", 0xe05d},   {"pause", KEY_PAUSE},
};

/* The keys that type characters, on the US layout: from each code on, without and with Shift. */
static const struct {
    u16 key;
    const char *plain, *shifted;
} rows[] = {
    {0x02, "1234567890-=", "!@#$%^&*()_+"},
    {0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
    {0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
    {0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
    {0x39, " ", " "},
};

/* The key that types a character, or 0; whether with Shift, or Ctrl. */
static u16 key_of_char(char c, u16 *modifier)
{
    *modifier = 0;
    switch (c) {
    case '\n':
    case '\r':
        return 0x1c;
    case '\t':
        return 0x0f;
    case '\b':
    case 0x7f:
        return 0x0e;
    case 0x1b:
        return 0x01;
    }
    if (c > 0 && c < ' ') { /* Ctrl and one of @ A to Z [ \ ] ^ _ */
        u16 ignored;
        u16 key = key_of_char((char)tolower(c + '@'), &ignored);
        *modifier = KEY_CTRL;
        return key;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *plain = c ? strchr(rows[i].plain, c) : NULL;
        const char *shifted = c ? strchr(rows[i].shifted, c) : NULL;
        if (plain) {
            return (u16)(rows[i].key + (plain - rows[i].plain));
        }
        if (shifted) {
            *modifier = KEY_SHIFT;
            return (u16)(rows[i].key + (shifted - rows[i].shifted));
        }
    }
    return 0;
}

static u16 key_of_name(const char *name, size_t length)
{
    u16 modifier;

    if (length == 1) {
        return key_of_char((char)tolower((unsigned char)*name), &modifier);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i].name) == length && !strncasecmp(names[i].name, name, length)) {
            return names[i].key;
        }
    }
    return 0;
}

static bool is_key(unsigned key)
{
    unsigned code = key & 0xff;

    return key == KEY_PAUSE || ((key >> 8 == 0 || key >> 8 == 0xe0) && code > 0 && code < 0x60);
}

/* ------------------------------------------------------------------ the queue */

static void feed(struct keyboard *k)
{
    struct ringer *m = k->machine;

    if (k->count) {
        u32 event = k->due[k->head];
        k->waits = !i8042_key(m->pc.devices[PC_I8042], (u16)event, event & EVENT_DOWN);
        if (!k->waits) {
            k->head = (k->head + 1) % EVENTS_MAX;
            k->count--;
            timer_arm(&k->timer, timer_now(&m->timers) + INTERVAL_NS);
        }
    }
}

static void on_timer(void *arg)
{
    feed(arg);
}

void keyboard_ready(void *context)
{
    struct ringer *m = context;
    struct keyboard *k = m->keyboard;

    if (k->waits) {
        k->waits = false;
        timer_arm(&k->timer, timer_now(&m->timers) + INTERVAL_NS);
    }
}

size_t keyboard_take(struct keyboard *k, const u8 *bytes, size_t size)
{
    size_t done = 0;

    for (; size - done >= sizeof(k->due[0]) && k->count < EVENTS_MAX; done += sizeof(k->due[0])) {
        memcpy(&k->due[(k->head + k->count++) % EVENTS_MAX], bytes + done, sizeof(k->due[0]));
        if (!k->waits && !k->timer.armed) {
            feed(k);
        }
    }
    return done;
}

void keyboard_ask(struct keyboard *k)
{
    size_t size = k->typed_count * sizeof(k->typed[0]);
    size_t taken = input_offer(k->machine, INPUT_KEYBOARD, k->typed, size);

    memmove(k->typed, (const u8 *)k->typed + taken, size - taken);
    k->typed_count -= (unsigned)(taken / sizeof(k->typed[0]));
}

static bool has_room(const struct keyboard *k, unsigned events)
{
    return EVENTS_MAX - k->count - k->typed_count >= events;
}

static void put(struct keyboard *k, u16 key, bool down)
{
    k->typed[k->typed_count++] = key | (down ? EVENT_DOWN : 0);
}

struct keyboard *keyboard_create(struct ringer *m)
{
    struct keyboard *k = calloc(1, sizeof(*k));

    if (k) {
        k->machine = m;
        timer_init(&k->timer, &m->timers, on_timer, k);
    }
    return k;
}

void keyboard_destroy(struct keyboard *k)
{
    if (k) {
        timer_cancel(&k->timer);
        free(k);
    }
}

void keyboard_checkpoint(struct keyboard *k, struct ringer_checkpoint *c)
{
    checkpoint_add(c, k, sizeof(*k));
}

const struct field keyboard_fields[] = {
    FIELD(struct keyboard, waits),
    FIELD_MAX(struct keyboard, head, EVENTS_MAX - 1),
    FIELD_MAX(struct keyboard, count, EVENTS_MAX),
    FIELD_ARRAY(struct keyboard, due),
    FIELD_MAX(struct keyboard, typed_count, EVENTS_MAX),
    FIELD_ARRAY(struct keyboard, typed),
    FIELD_TIMER(struct keyboard, timer),
    FIELDS_END,
};

bool keyboard_loaded(struct keyboard *k)
{
    return k->count + k->typed_count <= EVENTS_MAX;
}

/* ------------------------------------------------------------------ the API's */

static int fail_full(struct ringer *m)
{
    return machine_fail(m, -EAGAIN, "the guest does not read its keyboard");
}

int ringer_keyboard_key(struct ringer *m, unsigned key, bool down)
{
    if (!is_key(key)) {
        return machine_fail(m, -EINVAL, "there is no key %#x", key);
    }
    if (!has_room(m->keyboard, 1)) {
        return fail_full(m);
    }
    put(m->keyboard, (u16)key, down);
    keyboard_ask(m->keyboard);
    return 0;
}

int ringer_keyboard_press(struct ringer *m, const char *keys)
{
    u16 chord[CHORD_MAX];
    unsigned count = 0;

    for (const char *name = keys; name; count++) {
        size_t length = strcspn(name, "-");
        u16 key = key_of_name(name, length);
        if (!key || count == CHORD_MAX) {
            return machine_fail(m, -EINVAL, "'%s' are no keys: write f1, ctrl-c or ctrl-alt-delete",
                                keys);
        }
        chord[count] = key;
        name = name[length] ? name + length + 1 : NULL;
    }
    if (!has_room(m->keyboard, 2 * count)) {
        return fail_full(m);
    }
    for (unsigned i = 0; i < count; i++) {
        put(m->keyboard, chord[i], true);
    }
    while (count-- > 0) {
        put(m->keyboard, chord[count], false);
    }
    keyboard_ask(m->keyboard);
    return 0;
}

size_t ringer_keyboard_type(struct ringer *m, const char *text, size_t size)
{
    size_t done = 0;

    for (; done < size && has_room(m->keyboard, 4); done++) {
        u16 modifier, key = key_of_char(text[done], &modifier);
        if (!key) {
            break;
        }
        if (modifier) {
            put(m->keyboard, modifier, true);
        }
        put(m->keyboard, key, true);
        put(m->keyboard, key, false);
        if (modifier) {
            put(m->keyboard, modifier, false);
        }
    }
    keyboard_ask(m->keyboard);
    return done;
}
