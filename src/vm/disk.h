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

/* By what a disk is known again when a snapshot is restored. */
struct disk_identity {
    u64 bytes;
    u64 modified_ns; /* since the epoch; 0: nobody knows */
};

struct disk {
    struct ringer *machine;
    struct disk *next;
    unsigned number;  /* in the machine's configuration */
    const char *name; /* for messages; owned */
    struct block block;
    u64 told[3];                                 /* by errno: the user knows */
    u64 (*modified_ns)(const struct disk *disk); /* NULL: nobody knows */
    void (*close)(
        struct disk *disk); /* ends what belongs to it, and frees it; nothing is in flight */
};

/* Open what the configuration names, and put it into the machine's list.  0 or -errno, with the
 * reason in ringer_error(). */
int disk_open(struct ringer *machine, const struct ringer_device *config, struct disk **disk);

/* Close all. */
void disk_close_all(struct ringer *machine);

/* Have all that was written reach the medium; nothing is in flight.  0 or -errno with the reason in
 * ringer_error(). */
int disk_flush_all(struct ringer *machine);

/* Of the disk that is device number `number` of the configuration; zeros where that is no disk. */
struct disk_identity disk_identity(const struct ringer *machine, unsigned number);

/* Is it the disk that it was?  0; -EINVAL with the reason in ringer_error(); or 0 and a line for
 * the user where it has been changed since. */
int disk_check_identity(struct ringer *machine, unsigned number, const struct disk_identity *was);

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
