/*
 * control.h - the door by which other programs reach a running machine: --control PATH.
 *
 * PATH is a UNIX socket.  A client writes the monitor's commands (monitor.h), one a line, and gets
 * what they say, and after each a line "ok" or "failed".  One client is served at a time; others
 * wait.  The socket outlives machines: a reset makes a new one.
 */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

#include "app/monitor.h"

struct control {
    const char *path;       /* borrowed */
    struct ringer *machine; /* NULL between two */
    int listener, client;   /* -1: none */
    bool quit;              /* a client wants the machine's end */
    char line[MONITOR_LINE];
    size_t length;
    struct monitor monitor;
};

/* Listens at path.  False with a line for people. */
bool control_open(struct control *control, const char *path, char *error, size_t error_size);
void control_close(struct control *control);

/* A machine that has been made and not yet run; and before it is destroyed. */
void control_attach(struct control *control, struct ringer *machine);
void control_detach(struct control *control);

#endif
