/* file.c - opening, reading and writing; the entries of a directory. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "share/handlers.h"

/* FUSE numbers flags of open() as the guest's CPU does.  Others than these are the guest's affair.
 */
#define FLAGS_KEPT  (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC)
#define MODE_KEPT   01777u
#define BATCH_BYTES 16384u

/* ------------------------------------------------------------------ opening */

struct share_proc_name share_proc_name(int fd)
{
    struct share_proc_name name;

    snprintf(name.text, sizeof(name.text), "%d", fd);
    return name;
}

/* A link in /proc/self/fd leads to the file itself, by whatever name it goes now. */
int share_reopen(const struct share_server *s, int path, int flags)
{
    struct stat status;
    int fd;

    if (fstat(path, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        return S_ISLNK(status.st_mode) ? -ELOOP : -ENXIO;
    }
    fd = openat(s->proc, share_proc_name(path).text, flags | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

/* The descriptor is taken. */
static int put_handle(struct share_server *s, int file, struct share_writer *out)
{
    int handle = share_handle_add(&s->handles, file);
    struct fuse_open_out answer = {.fh = (u64)handle};

    if (handle < 0) {
        return handle;
    }
    share_put(out, &answer, sizeof(answer));
    return 0;
}

int share_open(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_open_in request;
    int flags, file;

    share_get(in, &request, sizeof(request));
    if (in->bad) {
        return -EINVAL;
    }
    flags = (int)request.flags & FLAGS_KEPT;
    if (s->read_only && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)) {
        return -EROFS;
    }
    file = share_reopen(s, path, flags);
    return file < 0 ? file : put_handle(s, file, out);
}

int share_opendir(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    int file = share_reopen(s, path, O_RDONLY | O_DIRECTORY);

    (void)in;
    return file < 0 ? file : put_handle(s, file, out);
}

/* What was there under that name is opened if it is a file, but waits for nobody. */
static int create(int directory, const char *name, int flags, mode_t mode)
{
    struct stat status;
    int fd = openat(directory, name,
                    flags | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -ENXIO;
    }
    return fd;
}

int share_create(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    struct fuse_create_in request;
    const char *name;
    int error = 0, file;

    share_get(in, &request, sizeof(request));
    name = share_get_name(in, &error);
    if (!name) {
        return error;
    }
    file = create(path, name, (int)request.flags & (FLAGS_KEPT | O_EXCL), request.mode & MODE_KEPT);
    if (file < 0) {
        return file;
    }
    error = share_put_entry(s, path, name, out);
    if (error) {
        close(file);
        return error;
    }
    return put_handle(s, file, out);
}

int share_release(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    struct fuse_release_in request;

    (void)path;
    (void)out;
    share_get(in, &request, sizeof(request));
    return !in->bad && share_handle_remove(&s->handles, request.fh) ? 0 : -EBADF;
}

/* ------------------------------------------------------------------ contents */

/* The file of a request that has been read. */
static int get_file(const struct share_server *s, const struct share_reader *in, u64 handle)
{
    int file = in->bad ? -1 : share_handle_file(&s->handles, handle);

    return file < 0 ? -EBADF : file;
}

int share_read(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_read_in request;
    ssize_t got;
    int file;

    (void)path;
    share_get(in, &request, sizeof(request));
    file = get_file(s, in, request.fh);
    if (file < 0) {
        return file;
    }
    if (request.size > share_room(out) || request.offset > INT64_MAX) {
        return -EINVAL;
    }
    got = pread(file, out->at, request.size, (off_t)request.offset);
    if (got < 0) {
        return -errno;
    }
    out->at += got;
    return 0;
}

int share_write(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_write_in request;
    struct fuse_write_out answer = {0};
    const u8 *bytes;
    ssize_t put;
    int file;

    (void)path;
    share_get(in, &request, sizeof(request));
    bytes = share_get_bytes(in, request.size);
    file = share_handle_file(&s->handles, request.fh);
    if (!bytes || request.offset > INT64_MAX) {
        return -EINVAL;
    }
    if (file < 0) {
        return -EBADF;
    }
    put = pwrite(file, bytes, request.size, (off_t)request.offset);
    if (put < 0) {
        return -errno;
    }
    answer.size = (u32)put;
    share_put(out, &answer, sizeof(answer));
    return 0;
}

int share_fsync(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_fsync_in request;
    int file;

    (void)path;
    (void)out;
    share_get(in, &request, sizeof(request));
    file = get_file(s, in, request.fh);
    if (file < 0) {
        return file;
    }
    return (request.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(file) : fsync(file)) < 0 ? -errno
                                                                                            : 0;
}

int share_fallocate(struct share_server *s, int path, struct share_reader *in,
                    struct share_writer *out)
{
    struct fuse_fallocate_in request;
    int file;

    (void)path;
    (void)out;
    share_get(in, &request, sizeof(request));
    file = get_file(s, in, request.fh);
    if (file < 0) {
        return file;
    }
    return fallocate(file, (int)request.mode, (off_t)request.offset, (off_t)request.length) < 0
               ? -errno
               : 0;
}

/* ------------------------------------------------------------------ directories */

/* False where there is no room. */
static bool put_entry(struct share_writer *out, const struct dirent64 *entry)
{
    size_t length = strlen(entry->d_name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    struct fuse_dirent head = {.ino = entry->d_ino,
                               .off = (u64)entry->d_off,
                               .namelen = (u32)length,
                               .type = entry->d_type};

    if (size > share_room(out)) {
        return false;
    }
    memset(out->at, 0, size);
    memcpy(out->at, &head, FUSE_NAME_OFFSET);
    memcpy(out->at + FUSE_NAME_OFFSET, entry->d_name, length);
    out->at += size;
    return true;
}

/* Put entries from the directory's position on.  0, or -errno where there are none for an error. */
static int put_entries(struct share_writer *out, int file)
{
    _Alignas(struct dirent64) u8 batch[BATCH_BYTES];
    bool some = false;

    for (;;) {
        long got = syscall(SYS_getdents64, file, batch, sizeof(batch));
        if (got <= 0) {
            return got < 0 && !some ? -errno : 0;
        }
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(batch + at);
            if (!put_entry(out, entry)) {
                return some ? 0 : -EINVAL;
            }
            some = true;
            at += entry->d_reclen;
        }
    }
}

/* From offset 0, or from what came with the last entry that the client has. */
int share_readdir(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    struct fuse_read_in request;
    struct share_writer entries = *out;
    int file, error;

    (void)path;
    share_get(in, &request, sizeof(request));
    file = get_file(s, in, request.fh);
    if (file < 0) {
        return file;
    }
    if (request.size < share_room(out)) {
        entries.end = entries.at + request.size;
    }
    if (lseek(file, (off_t)request.offset, SEEK_SET) < 0) {
        return -errno;
    }
    error = put_entries(&entries, file);
    out->at = entries.at;
    return error;
}
