/*
 * disk.h - what stands behind a disk of the machine: a file or a block device (disk_file.c), or an
 * NBD server, also for formats other than raw (disk_nbd.c).
 *
 * No back end makes the event loop wait, but under --icount: there each request is done within
 * submit(), so that it ends at the same instruction in every run.
 *
 * So a run on virtual time with a disk repeats itself while the disk's contents do.  A recorded run
 * may only read its disks; to record what is written, too, the bytes and errors that done() brings
 * would be inputs.
 */
#ifndef VM_DISK_H
#define VM_DISK_H

#include <ringer/ringer.h>

#include "dev/block.h"

struct disk {
    struct ringer *machine;
    struct disk *next;
    const char *name; /* for messages; owned */
    struct block block;
    u64 told[3]; /* by errno: the user knows */
    void (*close)(
        struct disk *disk); /* ends what belongs to it, and frees it; nothing is in flight */
};

/* Open what the configuration names, and put it into the machine's list.  0 or -errno, with the
 * reason in ringer_error(). */
int disk_open(struct ringer *machine, const struct ringer_device *config, struct disk **disk);

/* Close all. */
void disk_close_all(struct ringer *machine);

/* ------------------------------------------------------------------ for the back ends */

/* As disk_open(), for their own sources.  *disk is not in the list yet. */
int disk_file_open(struct ringer *machine, const struct ringer_device *config, struct disk **disk);
int disk_nbd_open(struct ringer *machine, const struct ringer_device *config, struct disk **disk);

/* Is the source for disk_nbd_open()? */
bool disk_is_nbd(const struct ringer_device *config);

/* What the disk cannot do is an I/O error for the guest; the user gets one line for each kind of
 * error. */
void disk_tell(struct disk *disk, enum block_op op, int error, const char *reason);

#endif
