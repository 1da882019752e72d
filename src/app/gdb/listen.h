/* listen.h - the socket that gdb connects to. */
#ifndef APP_GDB_LISTEN_H
#define APP_GDB_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/* What the user wrote: "unix:PATH" or "tcp:ADDRESS:PORT", and ",wait" behind it. */
struct gdb_place {
    const char *text; /* all of it, borrowed */
    size_t length;    /* of the place in it */
    bool wait;        /* the guest waits for a debugger before its first instruction */
};

/* False, with a line for people, where it is not a place.  Only loopback addresses are: whoever can
 * connect can do to the guest, and see of it, what he likes. */
bool gdb_place_parse(struct gdb_place *place, const char *text, char *error, size_t error_size);

/* Listens there.  Returns a descriptor, or -1 with a line for people.  name gets where that is in
 * fact: port 0 means any. */
int gdb_listen(const struct gdb_place *place, char *name, size_t name_size, char *error,
               size_t error_size);

/* Closes it, and removes a socket's file. */
void gdb_listen_end(int fd);

#endif
