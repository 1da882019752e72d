/* options.h - the options of `ringer run`. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app/gdb/listen.h"

#define OPTIONS_DEVICES_MAX 32

struct options {
    const char *kernel, *initrd, *append;
    uint64_t memory_bytes;
    unsigned cpus;
    const char *engine;
    enum ringer_protocol protocol;
    const char *console, *serial2; /* "stdio", or a back end of ringer.h */
    bool display;                  /* the screen is shown in the terminal */
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
    bool no_reboot;
    bool help, version;
};

/* Fills *options from the arguments after `run`; argv[0] is not looked at.  Strings are borrowed
 * from argv.  False, with a line for people in error, where they are wrong. */
bool options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size);

/* The machine itself, from RINGER_CONFIG_DEFAULT on; not what is around it.  *config borrows
 * devices, which is filled in: with the source of randomness, and those of the options. */
void options_configure(const struct options *options, struct ringer_config *config,
                       struct ringer_device devices[OPTIONS_DEVICES_MAX + 1]);

/* What `ringer run --help` says; fits a screen of 80 by 24. */
void options_print_help(FILE *file);

/* For shell completion: for each option a line "--name", a tab, and what its argument is: nothing,
 * "file", or its words between blanks. */
void options_print_words(FILE *file);

#endif
