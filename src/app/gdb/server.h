/*
 * server.h - the debugger's door: where gdb connects, and what that does to the guest.
 *
 * The socket outlives machines: a reset makes a new one, and the debugger stays.  There is one
 * client at a time; another finds its connection closed.  A client that comes holds the guest; one
 * that goes lets it run on, however it goes.
 */
#ifndef APP_GDB_SERVER_H
#define APP_GDB_SERVER_H

#include <ringer/ringer.h>

#include "app/gdb/listen.h"
#include "app/gdb/stub.h"
#include "app/gdb/travel.h"

struct gdb_server {
    struct ringer *machine; /* NULL between two */
    int listener, client;   /* -1: none */
    bool waits;             /* the guest waits for a client that lets it go */
    bool quit;              /* a client wants the machine's end */
    bool replay;            /* the machine is a replay: it can be taken back */
    enum { GDB_FORWARD, GDB_BACK_A_STEP, GDB_BACK_TO_A_STOP } wanted; /* by the client */
    struct gdb_travel travel;
    bool (*wants_end)(void *context); /* has somebody else stopped the machine, for good? */
    void *wants_end_context;
    const char *kernel; /* path, or NULL: it tells which architecture is debugged */
    char name[160];     /* where it listens */
    struct gdb_host host;
    struct gdb_stub stub;
};

/* Listens.  NULL, with a line for people, on failure. */
struct gdb_server *gdb_server_create(const struct gdb_place *place, const char *kernel, bool replay,
                                     char *error, size_t error_size);
void gdb_server_destroy(struct gdb_server *server); /* NULL is harmless */

/* A machine that has been made and loaded and not yet run; and before it is destroyed.  0 or
 * -errno.
 */
int gdb_server_attach(struct gdb_server *server, struct ringer *machine);
void gdb_server_detach(struct gdb_server *server);

/* ringer_run(), with all that a debugger may want meanwhile.  A replay that has come to its end
 * while a client waits does not end. */
int gdb_server_run(struct gdb_server *server, struct ringer_exit *end);

/* The program is about to end with this status, or because of a signal if it is negative. */
void gdb_server_tell_end(struct gdb_server *server, int status);

#endif
