/*
 * keys.h - what a terminal sends for its keys, as keys of the guest's keyboard.
 *
 * A terminal sends characters; for other keys it sends ESC and a sequence, and for a key with Alt
 * an ESC before it.  That a lone ESC is the Escape key shows only when nothing follows.
 */
#ifndef APP_KEYS_H
#define APP_KEYS_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys {
    char sequence[16]; /* from its ESC on */
    size_t length;     /* 0: none is under way */
    bool ticked;       /* keys_tick() has come since its last byte */
};

/* A byte from the terminal. */
void keys_input(struct keys *keys, struct ringer *machine, uint8_t byte);

/* Some time has passed, a few hundredths of a second: what is under way may be over. */
void keys_tick(struct keys *keys, struct ringer *machine);

#endif
