/*
 * serial.h - what stands behind a serial port, the virtio console or the debug console: nothing, a
 * callback, a file, a pseudo-terminal or a UNIX socket.
 *
 * Output is gathered and goes out when the board has served what the guest has sent so far.  A file
 * or a callback takes everything, however long that takes; of a pseudo-terminal or a socket that
 * nobody reads, what is over SERIAL_PENDING_MAX is lost.  The virtio console can wait, and does for
 * a connected socket, and for a callback that says how much it takes: then nothing is lost, and the
 * board goes on.
 */
#ifndef VM_SERIAL_H
#define VM_SERIAL_H

#include <ringer/ringer.h>

#include "base/types.h"
#include "dev/serial_port.h"

#define SERIAL_PENDING_MAX 65536u

struct serial;
struct ringer;

/* For devices; the context is a struct serial. */
extern const struct serial_port_ops serial_port_ops;

struct serial_back { /* as in struct ringer_config */
    const char *backend;
    ringer_output_fn *output;
    size_t (*write)(void *context, const void *bytes, size_t size);
    void *context;
};

/* port is RINGER_SERIAL_PORTS for the debug console.  0 or -errno, with the reason in
 * ringer_error(). */
int serial_create(struct ringer *machine, unsigned port, const struct serial_back *back,
                  struct serial **serial);
void serial_destroy(struct serial *serial);

/* Have whoever is behind a serial port offer what he has for the guest. */
void serial_ask(struct serial *serial);

/* How much the guest has sent is a part of a machine that is taken back (checkpoint.h): what it
 * sends once more is not told once more. */
struct ringer_checkpoint;
void serial_checkpoint(struct serial *serial, struct ringer_checkpoint *checkpoint);

/* Send what has been gathered; what a patient port's back end does not take now stays. */
void serial_flush(struct serial *serial);

/* The machine stops: send what has been gathered, and have a callback wait for it. */
void serial_finish(struct serial *serial);

/* See ringer_serial_path(). */
const char *serial_path(const struct serial *serial);

#endif
