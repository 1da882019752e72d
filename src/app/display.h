/*
 * display.h - the machine's text screen, drawn in the user's terminal, and its keys on the guest's
 * keyboard.
 *
 * It has the terminal's alternate screen while it is shown.  It looks at the guest's screen 25
 * times a second, and sends what has changed.
 */
#ifndef APP_DISPLAY_H
#define APP_DISPLAY_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/keys.h"

struct display {
    struct ringer *machine; /* NULL between two machines */
    ringer_output_fn *output;
    void *context;
    int timer, changes; /* descriptors: when to look, and that the terminal has changed; -1: none */
    bool shown;
    bool fresh; /* nothing of the screen is in the terminal */
    struct keys keys;
    unsigned attribute;          /* the terminal's, as in a cell's high byte; 0x100: not known */
    struct ringer_screen drawn;  /* what is in the terminal */
    struct ringer_screen screen; /* what is to be */
    size_t pending_size;
    char pending[4096]; /* on its way to output() */
};

/* Output goes by output(context), to the terminal that is standard output. */
void display_init(struct display *display, ringer_output_fn *output, void *context);

/* Connects a machine, and lets it go.  0 or -errno. */
int display_attach(struct display *display, struct ringer *machine);
void display_detach(struct display *display);

/* Takes the terminal's alternate screen, and gives it back. */
void display_show(struct display *display);
void display_hide(struct display *display);

/* A byte from the terminal. */
void display_input(struct display *display, uint8_t byte);

#endif
