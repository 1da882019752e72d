/* snapshot.c - taking a snapshot of a machine. */
#define _GNU_SOURCE

#include "vm/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/board.h"
#include "vm/debug.h"
#include "vm/disk.h"
#include "vm/machine.h"
#include "vm/snapshot_file.h"
#include "vm/snapshot_store.h"

/* ------------------------------------------------------------------ whether */

static int check(struct ringer *m)
{
    const char *hindrance = state_hindrance(m);

    if (m->input.mode != INPUT_LIVE || m->config.lockstep_interval) {
        return machine_fail(
            m, -EINVAL, "a run that is recorded, replayed or in lockstep cannot be in a snapshot");
    }
    if (!m->loaded) {
        return machine_fail(m, -EINVAL, "nothing has been loaded");
    }
    if (hindrance) {
        return machine_fail(m, -ENOTSUP, "a machine with the device '%s' cannot be in a snapshot",
                            hindrance);
    }
    return 0;
}

static int settle(struct ringer *m, struct device *device)
{
    const char *reason = device && device->settle ? device->settle(device) : NULL;

    return reason ? machine_fail(m, -EBUSY, "no snapshot now: the device '%s' %s", device->name,
                                 reason)
                  : 0;
}

/* All that the guest has begun has ended, and what it has written is on its disks. */
static int settle_all(struct ringer *m)
{
    int error = board_serve_rest(m);

    for (unsigned i = 0; i < PC_SLOTS && error == 0; i++) {
        error = settle(m, m->pc.devices[i]);
    }
    for (unsigned i = 0; i < m->pc.card_count && error == 0; i++) {
        error = settle(m, m->pc.cards[i]);
    }
    return error == 0 ? disk_flush_all(m) : error;
}

/* ------------------------------------------------------------------ writing */

struct progress {
    struct ringer *machine;
    u64 told_bytes;
};

/* ringer_stop() ends it, too. */
static int tell(void *context, u64 done_bytes)
{
    struct progress *p = context;
    struct ringer *m = p->machine;

    if (m->snapshot.progress && done_bytes - p->told_bytes >= MEMORY_PIECE_BYTES * 64) {
        p->told_bytes = done_bytes;
        m->snapshot.progress(m->snapshot.context, done_bytes, m->vm->ram_bytes);
    }
    return atomic_load(&m->stop_requested) ? -EINTR : 0;
}

static int write_memory(struct ringer *m, const struct snapshot_store *store,
                        struct memory_pieces *pieces)
{
    struct progress progress = {.machine = m};
    int fd = snapshot_store_create(store, SNAPSHOT_MEMORY), error;

    if (fd < 0) {
        return fd;
    }
    mem_need(&m->vm->mem, 0, m->vm->ram_bytes); /* it may be a snapshot's itself */
    error = m->ended ? -EIO : memory_write(m, fd, pieces, tell, &progress);
    if (error < 0) {
        close(fd);
        return error;
    }
    return snapshot_store_close(fd);
}

static int write_state(struct ringer *m, const struct snapshot_store *store,
                       const struct memory_pieces *pieces)
{
    u8 *bytes;
    u64 size;
    int error = state_save(m, pieces, &bytes, &size), fd;

    if (error < 0) {
        return error;
    }
    fd = snapshot_store_create(store, SNAPSHOT_STATE);
    error = fd < 0 ? fd : memory_write_all(fd, bytes, size, 0);
    free(bytes);
    if (fd >= 0) {
        int closed = snapshot_store_close(fd);
        error = error < 0 ? error : closed;
    }
    return error;
}

static int write_both(struct ringer *m, const struct snapshot_store *store)
{
    struct memory_pieces pieces;
    int error = memory_pieces_create(&pieces, m->vm->ram_bytes);

    if (error == 0) {
        error = write_memory(m, store, &pieces);
    }
    if (error == 0) {
        error = write_state(m, store, &pieces);
    }
    memory_pieces_destroy(&pieces);
    return error;
}

static const char *explain(int error)
{
    switch (-error) {
    case EEXIST:
        return "it is there already";
    case EBUSY:
        return "another process is writing it";
    case ENOTDIR:
        return "it is no directory, nor in one";
    case ENOTEMPTY:
        return "it is there already, and is no snapshot";
    case EINTR:
        return "the machine was stopped meanwhile";
    case EINVAL:
        return "that is no name for it";
    default:
        return strerror(-error);
    }
}

static int store(struct ringer *m)
{
    struct snapshot_store store;
    const char *directory = m->snapshot.directory;
    int error = snapshot_store_begin(&store, directory, m->snapshot.replace);

    if (error == 0) {
        error = write_both(m, &store);
        if (error == 0) {
            error = snapshot_store_commit(&store);
        } else {
            snapshot_store_abort(&store);
        }
    }
    return error < 0 ? machine_fail(m, error, "snapshot '%s': %s", directory, explain(error)) : 0;
}

/* ------------------------------------------------------------------ orders */

static int take(struct ringer *m)
{
    int error = check(m);
    bool was_held = m->held;

    if (error < 0) {
        return error;
    }
    error = was_held ? 0 : machine_hold(m);
    if (error == 0 && m->ended) {
        error = machine_fail(m, -EINVAL, "the machine has ended");
    }
    if (error == 0) {
        error = settle_all(m);
    }
    if (error == 0) {
        error = store(m);
    }
    m->snapshot.taking = false;
    if (!was_held && !m->paused && !m->ended && !debug_is_pending(m)) {
        machine_release(m);
    }
    return error;
}

void snapshot_serve(struct ringer *m)
{
    struct snapshot_order *order = &m->snapshot;
    int error;

    if (!order->wanted || order->taking) {
        return;
    }
    order->taking = true;
    m->error[0] = 0;
    error = take(m);
    order->taking = order->wanted = false;
    free(order->directory);
    order->directory = NULL;
    order->done(order->context, error, error < 0 ? m->error : "");
}

void snapshot_cancel(struct ringer *m)
{
    struct snapshot_order *order = &m->snapshot;

    if (order->wanted) {
        order->wanted = false;
        order->done(order->context, -ECANCELED, "the machine has ended");
    }
    free(order->directory);
    order->directory = NULL;
}

int ringer_snapshot_take(struct ringer *m, const char *directory,
                         const struct ringer_snapshot_order *how)
{
    char *copy;

    if (m->snapshot.wanted) {
        return machine_fail(m, -EBUSY, "a snapshot is being taken already");
    }
    if (!directory || !*directory) {
        return machine_fail(m, -EINVAL, "a snapshot needs a directory's name");
    }
    copy = strdup(directory);
    if (!copy) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    m->snapshot = (struct snapshot_order){
        .wanted = true,
        .replace = how->replace,
        .directory = copy,
        .progress = how->progress,
        .done = how->done,
        .context = how->context,
    };
    if (!m->running) {
        snapshot_serve(m);
    } else {
        board_wake(m);
    }
    return 0;
}
