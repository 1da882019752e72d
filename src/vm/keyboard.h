/*
 * keyboard.h - what is typed on the PS/2 keyboard, on its way to the guest.
 *
 * A keyboard sends one key after the other, and only as fast as fingers move: a guest that empties
 * the controller, as Linux does when it looks for one, must come to an end.  So keys wait here, and
 * the next one goes to the device a millisecond of the machine's time after the guest has read the
 * last.
 */
#ifndef VM_KEYBOARD_H
#define VM_KEYBOARD_H

#include <ringer/ringer.h>

#include "base/fields.h"

struct keyboard;

/* NULL without memory. */
struct keyboard *keyboard_create(struct ringer *machine);
void keyboard_destroy(struct keyboard *keyboard);

/* For input.c: take keys that are due from now on, and offer those that have been typed. */
size_t keyboard_take(struct keyboard *keyboard, const u8 *bytes, size_t size);
void keyboard_ask(struct keyboard *keyboard);

/* All of it that changes. */
struct ringer_checkpoint;
void keyboard_checkpoint(struct keyboard *keyboard, struct ringer_checkpoint *checkpoint);

/* The same for snapshots; and whether what has been read can be. */
extern const struct field keyboard_fields[];
bool keyboard_loaded(struct keyboard *keyboard);

/* For the i8042: the guest has read what it was given.  The context is the struct ringer. */
void keyboard_ready(void *context);

#endif
