/*
 * stub.h - gdb's remote protocol on a machine.
 *
 * The stub is given bytes from a client and gives bytes to it; where they come from and go to is
 * server.h's affair.  Whatever comes in, it answers or ignores it: a client can do to the guest
 * what it likes, which is what debuggers are for, and nothing to Ringer.
 *
 * As gdb has it, the client either waits for the guest to stop, or the guest is held and the client
 * asks.  A vCPU is a thread, numbered from 1.
 *
 * Source: the GDB manual, "Remote Protocol".
 */
#ifndef APP_GDB_STUB_H
#define APP_GDB_STUB_H

#include <ringer/ringer.h>

#include "app/gdb/packet.h"
#include "app/gdb/registers.h"
#include "app/monitor.h"

#define GDB_CPUS 64 /* at most, of a machine */

struct gdb_breakpoint { /* as in the packet Z */
    unsigned type;
    uint64_t address, size;
};

/* What the stub asks of those around it. */
struct gdb_host {
    void (*send)(void *context, const void *bytes, size_t size);
    void (*kill)(void *context);   /* the client wants the machine's end */
    void (*detach)(void *context); /* it has said good-bye; the guest runs on */
    /* Take the guest back, to the instruction before or the last stop before; tell the stub when it
     * is there.  NULL: it cannot be. */
    void (*back)(void *context, bool step);
    void *context;
};

struct gdb_stub {
    const struct gdb_host *host;
    struct ringer *machine; /* NULL between two machines */
    const struct gdb_arch *arch;
    unsigned cpus;
    struct gdb_reader reader;
    struct gdb_writer reply;
    bool no_ack;
    bool waits; /* the client waits for the guest to stop */
    bool reports_swbreak, reports_hwbreak;
    unsigned cpu;      /* that the client asks about */
    unsigned step_cpu; /* that c and s are about; GDB_CPUS: all */
    char stop[64];     /* the last stop's signal and reason, without registers */
    unsigned stop_cpu;
    struct gdb_breakpoint *breakpoints;
    size_t breakpoint_count;
    struct monitor monitor;  /* for the command `monitor` */
    char description[16384]; /* of the registers, as the client reads it piece by piece */
};

void gdb_stub_init(struct gdb_stub *stub, const struct gdb_host *host);
void gdb_stub_destroy(struct gdb_stub *stub);

/* A machine that is made and not yet run, or NULL before it is destroyed.  A client that is there
 * keeps its breakpoints. */
void gdb_stub_attach(struct gdb_stub *stub, struct ringer *machine);

/* A client has come; the machine is paused.  arch is how it will see the registers. */
void gdb_stub_connect(struct gdb_stub *stub, const struct gdb_arch *arch);

/* It has gone: clears its breakpoints.  The machine is paused. */
void gdb_stub_disconnect(struct gdb_stub *stub);

/* Bytes from the client. */
void gdb_stub_input(struct gdb_stub *stub, const void *bytes, size_t size);

/* The machine has stopped and is paused. */
void gdb_stub_stopped(struct gdb_stub *stub, const struct ringer_stop *stop);

/* The machine has stopped for a reason that has no struct ringer_stop, and is paused.  stop is a
 * signal's two digits, and what a stop packet says of the reason. */
void gdb_stub_tell(struct gdb_stub *stub, unsigned cpu, const char *stop);

/* What the client has last asked for has failed, with a negative errno. */
void gdb_stub_fail(struct gdb_stub *stub, int error);

/* The machine has ended, and the program will with this status; or by a signal if it is negative.
 */
void gdb_stub_ended(struct gdb_stub *stub, int status);

#endif
