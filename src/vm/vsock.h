/*
 * vsock.h - the host's side of a virtio socket device: Unix sockets, in the form that Firecracker
 * made usual.
 *
 *      the guest connects to port P      the board connects to what listens at PATH_P
 *      a program connects to PATH        it sends "CONNECT P\n"; once the guest has accepted, the
 *                                        answer is "OK N\n", N being the port of the host's end;
 *                                        if the guest refuses, the connection ends
 *
 * From there on it is a stream of bytes.
 */
#ifndef VM_VSOCK_H
#define VM_VSOCK_H

#include <ringer/ringer.h>

#include "dev/virtio/vsock.h"

struct vsock_host;

/* Listen at the path of the configuration.  0 with *config filled in, or -errno, with the reason in
 * ringer_error(). */
int vsock_open(struct ringer *machine, const struct ringer_device *device,
               struct virtio_vsock_config *config);

/* The device that has been made with that configuration. */
void vsock_attach(struct ringer *machine, struct device *device);

/* The device has been destroyed. */
void vsock_close(struct ringer *machine);

#endif
