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
    d->number = (unsigned)(config - m->config.devices);
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

/* ------------------------------------------------------------------ snapshots */

struct wait {
    struct block_request request;
    bool done;
    int error;
};

static void on_flushed(struct block_request *request, int error)
{
    struct wait *w = container_of(request, struct wait, request);

    w->done = true;
    w->error = error;
}

int disk_flush_all(struct ringer *m)
{
    for (struct disk *d = m->disks; d; d = d->next) {
        struct wait wait = {.request = {.op = BLOCK_FLUSH, .done = on_flushed}};
        if (d->block.read_only) {
            continue;
        }
        d->block.ops->submit(d->block.context, &wait.request);
        if (!wait.done) {
            d->block.ops->drain(d->block.context);
        }
        if (wait.error) {
            return machine_fail(m, wait.error, "disk '%s' cannot be flushed: %s", d->name,
                                strerror(-wait.error));
        }
    }
    return 0;
}

static const struct disk *find(const struct ringer *m, unsigned number)
{
    const struct disk *d = m->disks;

    while (d && d->number != number) {
        d = d->next;
    }
    return d;
}

struct disk_identity disk_identity(const struct ringer *m, unsigned number)
{
    const struct disk *d = find(m, number);

    return (struct disk_identity){
        .bytes = d ? d->block.size : 0,
        .modified_ns = d && d->modified_ns ? d->modified_ns(d) : 0,
    };
}

int disk_check_identity(struct ringer *m, unsigned number, const struct disk_identity *was)
{
    const struct disk *d = find(m, number);
    struct disk_identity is = disk_identity(m, number);

    if (d && is.bytes != was->bytes) {
        return machine_fail(m, -EINVAL,
                            "disk '%s' has %lu bytes now; it had %lu when the snapshot was taken",
                            d->name, (unsigned long)is.bytes, (unsigned long)was->bytes);
    }
    if (d && is.modified_ns != was->modified_ns) {
        device_log(&m->slot,
                   "disk '%s' has been written since the snapshot was taken: its file systems may "
                   "not be what the guest takes them for",
                   d->name);
    }
    return 0;
}
