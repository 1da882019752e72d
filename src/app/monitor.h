/*
 * monitor.h - a small monitor on the console: looks into the guest, stops it and lets it go.
 *
 * The guest goes on while the monitor is open; a command that looks at registers or memory holds it
 * for that moment.
 */
#ifndef APP_MONITOR_H
#define APP_MONITOR_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MONITOR_LINE 4352 /* a path, and a command before it */

struct monitor {
    struct ringer *machine;
    ringer_output_fn *output; /* to the user's terminal, which is raw */
    void *context;
    bool open;
    char line[MONITOR_LINE];
    size_t length;
    char argument[MONITOR_LINE];  /* what stands behind the first word */
    char last[MONITOR_LINE];      /* the line before */
    uint8_t key;                  /* the last byte of a function key that is under way; 0: none */
    uint64_t next_address;        /* where x goes on without an address */
    bool failed;                  /* the last command did not do what it was to */
    bool waits;                   /* it is still under way */
    void (*ready)(void *context); /* called once it is not; NULL: there is a prompt instead */
    time_t told;                  /* when it last said how far it is */
};

void monitor_init(struct monitor *monitor, ringer_output_fn *output, void *context);
void monitor_open(struct monitor *monitor, struct ringer *machine);
void monitor_close(struct monitor *monitor);

/* A byte that the user typed.  True if the user asked for the machine's end. */
bool monitor_input(struct monitor *monitor, uint8_t byte);

/* The command that is under way has ended. */
void monitor_ready(struct monitor *monitor, bool good);

/* The command in monitor->line, without a prompt.  True if it asks for the machine's end. */
bool monitor_execute(struct monitor *monitor);

#endif
