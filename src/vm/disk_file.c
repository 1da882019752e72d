/*
 * disk_file.c - a disk that is a raw image file, or a block device of the host.
 *
 * A request is carried out by a thread of libuv's pool.  Reads of what the host has cached are done
 * at once instead, without one.
 *
 * An image that has become shorter than the disk, or has been removed, fails every write and flush:
 * what it would take would be lost.  Once a flush has failed all later ones do, since the host may
 * have dropped what it could not write.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vm/disk.h"
#include "vm/machine.h"

enum {
    WINDOW = 64,         /* parts for one system call */
    ZEROS_BYTES = 65536, /* written at a time where the host cannot make zeros itself */
};

struct file_disk {
    struct disk disk;
    int fd;
    bool is_device;
    bool was_unlinked; /* from the beginning: it has no name to lose */
    unsigned in_flight;
    _Atomic bool flush_failed;
};

struct work {
    uv_work_t uv;
    struct file_disk *file;
    struct block_request *request;
    int error;
    const char *reason; /* NULL: as error says */
};

/* ------------------------------------------------------------------ in a thread of the pool */

/* Read or write all of the parts. */
static int transfer(int fd, bool writes, const struct iovec *parts, unsigned count, u64 offset)
{
    struct iovec window[WINDOW];
    size_t skip = 0; /* bytes of parts[0] that are done */

    while (count) {
        unsigned n = count < WINDOW ? count : WINDOW;
        ssize_t moved;
        memcpy(window, parts, n * sizeof(window[0]));
        window[0].iov_base = (u8 *)window[0].iov_base + skip;
        window[0].iov_len -= skip;
        moved = writes ? pwritev(fd, window, (int)n, (off_t)offset)
                       : preadv(fd, window, (int)n, (off_t)offset);
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved <= 0) {
            return moved < 0 ? -errno : -EIO; /* the end of the file */
        }
        offset += (u64)moved;
        skip += (size_t)moved;
        while (count && skip >= parts->iov_len) {
            skip -= parts->iov_len;
            parts++;
            count--;
        }
    }
    return 0;
}

static int flush(struct file_disk *f)
{
    if (atomic_load(&f->flush_failed)) {
        return -EIO;
    }
    if (fdatasync(f->fd) < 0) {
        int error = -errno;
        atomic_store(&f->flush_failed, true);
        return error;
    }
    return 0;
}

static int write_zeros(struct file_disk *f, u64 offset, u64 size)
{
    void *zeros = calloc(1, ZEROS_BYTES);
    int error = zeros ? 0 : -ENOMEM;

    while (size && !error) {
        u64 bytes = size < ZEROS_BYTES ? size : ZEROS_BYTES;
        const struct iovec part = {.iov_base = zeros, .iov_len = bytes};
        error = transfer(f->fd, true, &part, 1, offset);
        offset += bytes;
        size -= bytes;
    }
    free(zeros);
    return error;
}

static int allocate(struct file_disk *f, int mode, const struct block_request *r)
{
    int result;

    do {
        result = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->size);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* A hole reads as zeros, on a block device, too. */
static int zero(struct file_disk *f, const struct block_request *r)
{
    int error = -EOPNOTSUPP;

    if (r->size == 0) {
        return 0;
    }
    if (r->unmap) {
        error = allocate(f, FALLOC_FL_PUNCH_HOLE, r);
    }
    if (error == -EOPNOTSUPP) {
        error = allocate(f, FALLOC_FL_ZERO_RANGE, r);
    }
    return error == -EOPNOTSUPP ? write_zeros(f, r->offset, r->size) : error;
}

/* It is advice: where the host cannot take it, nothing is wrong. */
static int discard(struct file_disk *f, const struct block_request *r)
{
    u64 range[2] = {r->offset, r->size};
    int error = 0;

    if (r->size == 0) {
        return 0;
    }
    if (!f->is_device) {
        error = allocate(f, FALLOC_FL_PUNCH_HOLE, r);
    } else if (ioctl(f->fd, BLKDISCARD, range) < 0) {
        error = -errno;
    }
    return error == -EOPNOTSUPP ? 0 : error;
}

/* May it still take what is to last? */
static int check_presence(struct file_disk *f, const char **reason)
{
    struct stat status;

    if (f->is_device) {
        return 0;
    }
    if (fstat(f->fd, &status) < 0) {
        return -errno;
    }
    if ((u64)status.st_size < f->disk.block.size) {
        *reason = "the image has become shorter";
        return -ENXIO;
    }
    if (status.st_nlink == 0 && !f->was_unlinked) {
        *reason = "the image has been removed";
        return -ENOENT;
    }
    return 0;
}

static int perform(struct file_disk *f, const struct block_request *r, const char **reason)
{
    int error = r->op == BLOCK_READ ? 0 : check_presence(f, reason);

    if (error) {
        return error;
    }
    switch (r->op) {
    case BLOCK_READ:
        error = transfer(f->fd, false, r->parts, r->count, r->offset);
        break;
    case BLOCK_WRITE:
        error = transfer(f->fd, true, r->parts, r->count, r->offset);
        break;
    case BLOCK_FLUSH:
        return flush(f);
    case BLOCK_DISCARD:
        return discard(f, r);
    case BLOCK_ZERO:
        error = zero(f, r);
        break;
    }
    return !error && r->through && r->op != BLOCK_READ ? flush(f) : error;
}

static void on_work(uv_work_t *uv)
{
    struct work *w = container_of(uv, struct work, uv);

    w->error = perform(w->file, w->request, &w->reason);
}

/* ------------------------------------------------------------------ on the board */

static void finish(struct file_disk *f, struct block_request *r, int error, const char *reason)
{
    if (error) {
        disk_tell(&f->disk, r->op, error, reason);
    }
    r->done(r, error);
}

static void on_worked(uv_work_t *uv, int status)
{
    struct work *w = container_of(uv, struct work, uv);

    w->file->in_flight--;
    finish(w->file, w->request, status < 0 ? status : w->error, w->reason);
    free(w);
}

/* What the host has in its cache needs no thread, and no waiting. */
static bool read_cached(struct file_disk *f, const struct block_request *r)
{
    return r->op == BLOCK_READ && preadv2(f->fd, r->parts, (int)r->count, (off_t)r->offset,
                                          RWF_NOWAIT) == (ssize_t)r->size;
}

static void submit(void *context, struct block_request *r)
{
    struct file_disk *f = context;
    const char *reason = NULL;
    struct work *w;
    int error;

    if (f->disk.machine->vm->clock.icount) {
        error = perform(f, r, &reason);
        finish(f, r, error, reason);
        return;
    }
    if (read_cached(f, r)) {
        r->done(r, 0);
        return;
    }
    w = malloc(sizeof(*w));
    if (!w) {
        finish(f, r, -ENOMEM, NULL);
        return;
    }
    *w = (struct work){.file = f, .request = r};
    f->in_flight++;
    uv_queue_work(&f->disk.machine->loop, &w->uv, on_work,
                  on_worked); /* fails only without on_work */
}

static void drain(void *context)
{
    struct file_disk *f = context;

    while (f->in_flight) {
        uv_run(&f->disk.machine->loop, UV_RUN_ONCE);
    }
}

static const struct block_ops ops = {.submit = submit, .drain = drain};

/* ------------------------------------------------------------------ life */

static void close_file(struct disk *disk)
{
    struct file_disk *f = container_of(disk, struct file_disk, disk);

    if (f->fd >= 0) {
        close(f->fd);
    }
    free((void *)(uintptr_t)f->disk.name);
    free(f);
}

static u64 modified_ns(const struct disk *disk)
{
    const struct file_disk *f = container_of(disk, struct file_disk, disk);
    struct stat status;

    if (f->is_device || fstat(f->fd, &status) < 0) {
        return 0;
    }
    return (u64)status.st_mtim.tv_sec * 1000000000ull + (u64)status.st_mtim.tv_nsec;
}

static int find_size(struct file_disk *f)
{
    struct stat status;
    u64 bytes;

    if (fstat(f->fd, &status) < 0) {
        return -errno;
    }
    if (S_ISBLK(status.st_mode)) {
        f->is_device = true;
        if (ioctl(f->fd, BLKGETSIZE64, &bytes) < 0) {
            return -errno;
        }
    } else if (S_ISREG(status.st_mode)) {
        f->was_unlinked = status.st_nlink == 0;
        bytes = (u64)status.st_size;
    } else {
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENOTBLK;
    }
    f->disk.block.size = bytes / BLOCK_SECTOR * BLOCK_SECTOR;
    return bytes < BLOCK_SECTOR ? -ENODATA : 0;
}

/* No two programs that write, nor one that writes and one that reads. */
static int lock(const struct file_disk *f)
{
    if (flock(f->fd, (f->disk.block.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? -EBUSY : 0; /* where there are no locks we do without */
    }
    return 0;
}

/* A raw image may hold anything, and a guest may have written it: the content never decides. */
static void warn_of_format(struct file_disk *f)
{
    char magic[4];

    if (pread(f->fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, "QFI\xfb", 4)) {
        device_log(
            &f->disk.machine->slot,
            "disk '%s' looks like qcow2 and is taken as raw; if it is not, add ,format=qcow2",
            f->disk.name);
    }
}

static const char *explain(int error, bool read_only)
{
    switch (-error) {
    case EBUSY:
        return "another program uses it";
    case ENODATA:
        return "it is shorter than a sector";
    case ENOTBLK:
        return "it is neither a file nor a block device";
    case EACCES:
    case EROFS:
        return read_only ? strerror(-error) : "it cannot be written; add ,ro to only read it";
    default:
        return strerror(-error);
    }
}

static int open_file(struct file_disk *f, const char *path)
{
    int flags = (f->disk.block.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
    int error;

    f->fd = open(path, flags); /* O_NONBLOCK: not to wait for the other end of a pipe */
    if (f->fd < 0) {
        return -errno;
    }
    error = find_size(f);
    return error ? error : lock(f);
}

int disk_file_open(struct ringer *m, const struct ringer_device *config, struct disk **disk)
{
    struct file_disk *f = calloc(1, sizeof(*f));
    bool read_only = config->disk.read_only;
    int error;

    if (!f || !(f->disk.name = strdup(config->disk.source))) {
        free(f);
        return machine_fail(m, -ENOMEM, "disk: out of memory");
    }
    f->disk.machine = m;
    f->disk.close = close_file;
    f->disk.modified_ns = modified_ns;
    f->disk.block = (struct block){.ops = &ops,
                                   .context = f,
                                   .read_only = read_only,
                                   .can_discard = !read_only,
                                   .can_zero = !read_only};
    error = open_file(f, config->disk.source);
    if (error) {
        close_file(&f->disk);
        return machine_fail(m, error, "disk '%s': %s", config->disk.source,
                            explain(error, read_only));
    }
    warn_of_format(f);
    *disk = &f->disk;
    return 0;
}
