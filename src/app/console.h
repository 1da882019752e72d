/*
 * console.h - a guest's serial port or virtio console, or its screen and keyboard, on standard
 * input and output, with the escape keys.
 *
 * Only if standard input is a terminal are there escape keys, after Ctrl-A: a pipe's bytes reach
 * the guest as they are.
 */
#ifndef APP_CONSOLE_H
#define APP_CONSOLE_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/display.h"
#include "app/monitor.h"

#define CONSOLE_PENDING 4096

struct console {
    struct ringer *machine; /* NULL between two machines */
    enum ringer_port port;
    struct display *display; /* the screen, instead of the port; NULL: the port */
    bool terminal;           /* standard input is one, and raw */
    bool escape;             /* the last byte was Ctrl-A */
    bool ended;              /* nothing more comes from standard input */
    bool watched;            /* standard input is watched */
    bool file;               /* standard input is a file: always readable, and cannot be watched */
    bool output_tty;         /* standard output is a terminal */
    bool in_line;            /* what was written last did not end a line */
    int output_error;        /* an errno, once standard output takes nothing any more; else 0 */
    bool waiting;            /* for standard output: the machine must not be called */
    int room_fd;             /* can be read once standard output takes something; -1: none */
    bool room_watched;
    bool size_watched; /* changes of the terminal's size are */
    bool quit;         /* the user asked for the end */
    bool want_monitor; /* asked for while waiting */
    bool telling;      /* the escape keys are told instead of the screen, until the next key */
    uint8_t pending[CONSOLE_PENDING]; /* from standard input, not yet taken by the guest */
    size_t pending_size;
    const volatile int *interrupted; /* not 0 once a signal wants the end */
    struct monitor monitor;
};

/* interrupted points at what is not 0 once a signal wants the end.  With a display, which is
 * borrowed, it is the machine's screen and keyboard. */
void console_init(struct console *console, enum ringer_port port, struct display *display,
                  const volatile int *interrupted);

/* Makes the terminal raw if there is one: from here the guest has it. */
void console_start(struct console *console);

/* The guest's bytes: a ringer_output_fn, whose context is the console.  Waits for a slow standard
 * output, but not once the user or a signal wants the end.  If it cannot be written, output_error
 * says why, and the machine is stopped. */
void console_output(void *context, const void *bytes, size_t size);

/* The same without waiting, for a port that can wait: returns how much was taken, and calls
 * ringer_serial_writable() when standard output takes more. */
size_t console_write(void *context, const void *bytes, size_t size);

/* True once the user asked for the machine's end, or its output has no way to go. */
bool console_wants_end(const struct console *console);

/* Ends a line that the guest has begun on a terminal: what comes next is ours or the shell's. */
void console_end_line(struct console *console);

/* Connects a machine that was created with console_output() on the console's port, and lets it go
 * before it is destroyed. */
int console_attach(struct console *console, struct ringer *machine);
void console_detach(struct console *console);

#endif
