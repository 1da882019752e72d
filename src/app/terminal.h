/*
 * terminal.h - the user's terminal: raw while the guest has it, and always given back as it was.
 *
 * A process has one terminal, and signal handlers must find it, so its state is the process's own:
 * the one exception to "no mutable state at file scope".
 */
#ifndef APP_TERMINAL_H
#define APP_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* Makes the terminal that fd is raw, until terminal_restore() or the end of the process, however
 * that comes (but for SIGKILL).  Returns false if fd is no terminal.  In any case the restoring
 * also undoes O_NONBLOCK on fd: the event loop sets it, and others share the open file. */
bool terminal_make_raw(int fd);
void terminal_restore(void);

/* The alternate screen of the terminal that is standard output, which is given back with the rest:
 * what was on the terminal before stays on its own. */
void terminal_enter_screen(void);
void terminal_leave_screen(void);

/* Of the terminal that is standard output; 80 by 24 if it does not say. */
void terminal_size(unsigned *columns, unsigned *rows);

/* A descriptor, the same each time, that can be read once the terminal has got another size, or has
 * been the shell's for a while: an eventfd.  -1 if there is none. */
int terminal_changes(void);

/* Standard error as a file of its own, for what others write there while the guest has the
 * terminal: then it ends lines with "\r\n".  NULL if standard error is no terminal, or without
 * memory: stderr itself will do.  The caller closes it. */
FILE *terminal_open_errors(void);

#endif
