/* options.h - the options of `ringer run`. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app/gdb/listen.h"

#define OPTIONS_DEVICES_MAX     32
#define OPTIONS_ALL_DEVICES_MAX (OPTIONS_DEVICES_MAX + 3) /* with those that come by themselves */

struct options {
    const char *kernel, *initrd, *append;
    uint64_t memory_bytes;
    bool balloon;
    uint64_t balloon_bytes; /* that the guest is to keep to; 0: all */
    unsigned cpus;
    const char *engine;
    enum ringer_protocol protocol;
    const char *ports[RINGER_SERIAL_PORTS]; /* "stdio", or a back end of ringer.h; NULL: none */
    bool display;                           /* the screen is shown in the terminal */
    bool debug_exit;
    bool debug_console;
    const char *debug_console_path; /* NULL: standard error */
    bool testdev;
    struct ringer_device devices[OPTIONS_DEVICES_MAX]; /* in the order of their options */
    unsigned device_count;
    struct gdb_place gdb; /* its text is NULL without one */
    const char *trace;
    bool stats;
    const char *stats_path; /* NULL: standard error */
    bool unprotected;
    bool icount;
    const char *record, *replay;
    const char *control; /* the path of a socket, or NULL */
    const char *restore; /* a snapshot's directory, or NULL */
    bool no_reboot;
    bool help, version;
};

/* Fills *options from the arguments after `run`; argv[0] is not looked at.  Strings are borrowed
 * from argv.  False, with a line for people in error, where they are wrong. */
bool options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size);

/* Is the port on standard input and output? */
bool options_is_stdio(const struct options *options, enum ringer_port port);

/* The machine itself, from RINGER_CONFIG_DEFAULT on; not what is around it.  *config borrows
 * devices, which is filled in: with the source of randomness, those of the options, and the
 * console. */
void options_configure(const struct options *options, struct ringer_config *config,
                       struct ringer_device devices[OPTIONS_ALL_DEVICES_MAX]);

/* What `ringer run --help` says; fits a screen of 80 by 24. */
void options_print_help(FILE *file);

/* For shell completion: for each option a line "--name", a tab, and what its argument is: nothing,
 * "file", or its words between blanks. */
void options_print_words(FILE *file);

#endif
