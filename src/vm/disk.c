/* disk.c - the machine's disks: which back end each has, and what the user is told. */
#include "vm/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm/machine.h"

void disk_tell(struct disk *d, enum block_op op, int error, const char *reason)
{
    static const char *const names[] = {
        [BLOCK_READ] = "a read",       [BLOCK_WRITE] = "a write",         [BLOCK_FLUSH] = "a flush",
        [BLOCK_DISCARD] = "a discard", [BLOCK_ZERO] = "a write of zeros",
    };
    unsigned number = (unsigned)-error % (64 * ARRAY_SIZE(d->told));

    if (d->told[number / 64] >> number % 64 & 1) {
        return;
    }
    d->told[number / 64] |= 1ull << number % 64;
    device_log(&d->machine->slot, "disk '%s': %s failed: %s; the guest gets I/O errors", d->name,
               names[op], reason ? reason : strerror(-error));
}

int disk_open(struct ringer *m, const struct ringer_device *config, struct disk **disk)
{
    struct disk *d;
    int error;

    if (!config->disk.source || !config->disk.source[0]) {
        return machine_fail(m, -EINVAL, "disk: there is no file name");
    }
    if ((m->config.record_path || m->config.replay_path) && !config->disk.read_only) {
        return machine_fail(m, -EINVAL,
                            "disk '%s': what a recorded run reads must be there again; add ,ro",
                            config->disk.source);
    }
    error = disk_is_nbd(config) ? disk_nbd_open(m, config, &d) : disk_file_open(m, config, &d);
    if (error < 0) {
        return error;
    }
    d->next = m->disks;
    m->disks = d;
    *disk = d;
    return 0;
}

void disk_close_all(struct ringer *m)
{
    while (m->disks) {
        struct disk *d = m->disks;
        m->disks = d->next;
        d->close(d);
    }
}
