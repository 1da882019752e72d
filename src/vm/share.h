/*
 * share.h - directories of the host that the guest may mount: what stands behind a virtio file
 * system device.
 *
 * Each is served by a process of its own, ringer-share (share/server.h): the guest's messages go to
 * it by a socket, and its answers come back, in the same order.  If it dies the guest gets I/O
 * errors, and the user a line; it dies with the board.
 */
#ifndef VM_SHARE_H
#define VM_SHARE_H

#include <ringer/ringer.h>

#include "dev/virtio/fs.h"

struct share;

/* Open the directory, start its server, and put it into the machine's list.  0 with *config filled
 * in, or -errno, with the reason in ringer_error(). */
int share_open(struct ringer *machine, const struct ringer_device *device,
               struct virtio_fs_config *config);

/* End all. */
void share_close_all(struct ringer *machine);

#endif
