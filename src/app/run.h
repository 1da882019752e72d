/* run.h - `ringer run`. */
#ifndef APP_RUN_H
#define APP_RUN_H

/* What `ringer run` ends with, besides a debug exit's value and 128 plus a signal's number. */
enum {
    STATUS_OK = 0,
    STATUS_USER = 1,        /* the user's mistake */
    STATUS_DIFFERENT = 123, /* a replay went another way than its recording; two engines differ */
    STATUS_TRIPLE_FAULT = 124, /* the guest's */
    STATUS_FAILURE = 125,      /* Ringer's own */
};

/* Of an error in making or loading a machine: STATUS_USER or STATUS_FAILURE. */
int run_status_of_error(int error);

/* argv[0] is "run".  Returns the exit status. */
int run_main(int argc, char **argv);

#endif
