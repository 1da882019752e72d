/*
 * keys.c - the sequences of terminals: those of the VT220 and xterm, which nearly all others send,
 * and the Linux console's own.
 *
 * XTerm Control Sequences, "PC-Style Function Keys".
 */
#include "app/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"

#define ESC 0x1b

enum { KEY_ALT = 0x38 };

enum { SHIFT = 1, ALT = 2, CTRL = 4 }; /* the bits of a modifier parameter less 1 */

/* The last letter of ESC [ and of ESC O sequences. */
static const struct {
    char letter;
    const char *name;
} letters[] = {
    {'A', "up"},    {'B', "down"}, {'C', "right"}, {'D', "left"}, {'F', "end"}, {'H', "home"},
    {'M', "enter"}, {'P', "f1"},   {'Q', "f2"},    {'R', "f3"},   {'S', "f4"},
};

/* The number of ESC [ n ~ sequences. */
static const struct {
    unsigned number;
    const char *name;
} numbers[] = {
    {1, "home"}, {2, "insert"}, {3, "delete"}, {4, "end"},  {5, "pgup"}, {6, "pgdn"}, {7, "home"},
    {8, "end"},  {11, "f1"},    {12, "f2"},    {13, "f3"},  {14, "f4"},  {15, "f5"},  {17, "f6"},
    {18, "f7"},  {19, "f8"},    {20, "f9"},    {21, "f10"}, {23, "f11"}, {24, "f12"},
};

static void press(struct ringer *machine, unsigned modifiers, const char *name)
{
    char keys[64];
    snprintf(keys, sizeof(keys), "%s%s%s%s", modifiers & CTRL ? "ctrl-" : "",
             modifiers & ALT ? "alt-" : "", modifiers & SHIFT ? "shift-" : "", name);
    ringer_keyboard_press(machine, keys);
}

static void type(struct ringer *machine, char c)
{
    if (c == 0) { /* Ctrl-Space, or Ctrl-@ */
        ringer_keyboard_press(machine, "ctrl-space");
    } else {
        ringer_keyboard_type(machine, &c, 1); /* what no key types is dropped */
    }
}

static void type_with_alt(struct ringer *machine, char c)
{
    ringer_keyboard_key(machine, KEY_ALT, true);
    type(machine, c);
    ringer_keyboard_key(machine, KEY_ALT, false);
}

static void press_letter(struct ringer *machine, unsigned modifiers, char letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(letters); i++) {
        if (letters[i].letter == letter) {
            press(machine, modifiers, letters[i].name);
        }
    }
    if (letter == 'Z') {
        press(machine, SHIFT, "tab");
    }
}

static void press_number(struct ringer *machine, unsigned modifiers, unsigned long number)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (numbers[i].number == number) {
            press(machine, modifiers, numbers[i].name);
        }
    }
}

/* A whole sequence: ESC [ or ESC O, numbers, and a letter or ~. */
static void take_sequence(struct keys *keys, struct ringer *machine)
{
    char last = keys->sequence[keys->length - 1];
    char *end;
    keys->sequence[keys->length] = 0;
    if (keys->sequence[2] == '[') { /* the Linux console's F1 to F5: ESC [ [ A to E */
        press_number(machine, 0, 11 + (unsigned)(last - 'A'));
        return;
    }
    unsigned long number = strtoul(keys->sequence + 2, &end, 10);
    unsigned long modifiers = *end == ';' ? strtoul(end + 1, NULL, 10) - 1 : 0;
    if (last == '~') {
        press_number(machine, (unsigned)modifiers, number);
    } else {
        press_letter(machine, (unsigned)modifiers, last);
    }
}

/* Does this byte end the sequence that it now stands at the end of? */
static bool is_last(const struct keys *keys, uint8_t byte)
{
    bool linux_key = keys->length == 3 && byte == '[';
    return keys->length > 2 && byte >= 0x40 && byte <= 0x7e && !linux_key;
}

static void take_in_sequence(struct keys *keys, struct ringer *machine, uint8_t byte)
{
    if (keys->length == 1 && byte == ESC) { /* one more: the first was the key */
        type(machine, ESC);
        return;
    }
    keys->sequence[keys->length++] = (char)byte;
    if (keys->length == 2 && byte != '[' && byte != 'O') {
        keys->length = 0;
        type_with_alt(machine, (char)byte);
    } else if (is_last(keys, byte)) {
        take_sequence(keys, machine);
        keys->length = 0;
    } else if (keys->length == sizeof(keys->sequence) - 1) {
        keys->length = 0; /* no key sends so much */
    }
}

void keys_input(struct keys *keys, struct ringer *machine, uint8_t byte)
{
    keys->ticked = false;
    if (keys->length > 0) {
        take_in_sequence(keys, machine, byte);
    } else if (byte == ESC) {
        keys->sequence[keys->length++] = ESC;
    } else {
        type(machine, (char)byte);
    }
}

void keys_tick(struct keys *keys, struct ringer *machine)
{
    if (keys->length == 0 || !keys->ticked) {
        keys->ticked = true;
        return;
    }
    if (keys->length == 1) {
        type(machine, ESC);
    } else if (keys->length == 2) { /* Alt-[ or Alt-O after all */
        type_with_alt(machine, keys->sequence[1]);
    }
    keys->length = 0;
}
