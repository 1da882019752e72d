/* attribute.c - what is known of a file, and changing it. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "share/handlers.h"

#define VALID_S     1u /* how long a guest need not ask again */
#define MODE_SET_ID 06000u

void share_fill_attributes(struct fuse_attr *to, const struct stat *status)
{
    *to = (struct fuse_attr){
        .ino = status->st_ino,
        .size = (u64)status->st_size,
        .blocks = (u64)status->st_blocks,
        .atime = (u64)status->st_atim.tv_sec,
        .mtime = (u64)status->st_mtim.tv_sec,
        .ctime = (u64)status->st_ctim.tv_sec,
        .atimensec = (u32)status->st_atim.tv_nsec,
        .mtimensec = (u32)status->st_mtim.tv_nsec,
        .ctimensec = (u32)status->st_ctim.tv_nsec,
        .mode = status->st_mode,
        .nlink = (u32)status->st_nlink,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .rdev = (u32)status->st_rdev,
        .blksize = (u32)status->st_blksize,
    };
}

static int put_attributes(int path, struct share_writer *out)
{
    struct fuse_attr_out answer = {.attr_valid = VALID_S};
    struct stat status;

    if (fstat(path, &status) < 0) {
        return -errno;
    }
    share_fill_attributes(&answer.attr, &status);
    share_put(out, &answer, sizeof(answer));
    return 0;
}

int share_getattr(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    (void)s;
    (void)in;
    return put_attributes(path, out);
}

/* ------------------------------------------------------------------ changing */

static int set_size(const struct share_server *s, int path, const struct fuse_setattr_in *set)
{
    int file = set->valid & FATTR_FH ? share_handle_file(&s->handles, set->fh) : -1, fd, error;

    if (set->size > INT64_MAX) {
        return -EFBIG;
    }
    fd = file >= 0 ? file : share_reopen(s, path, O_WRONLY);
    if (fd < 0) {
        return fd;
    }
    error = ftruncate(fd, (off_t)set->size) < 0 ? -errno : 0;
    if (fd != file) {
        close(fd);
    }
    return error;
}

/* A program that takes the rights of the host's user along is not for a guest to make. */
static int set_mode(const struct share_server *s, int path, const struct stat *status, mode_t mode)
{
    if (S_ISLNK(status->st_mode)) {
        return -EOPNOTSUPP;
    }
    if (mode & MODE_SET_ID && !S_ISDIR(status->st_mode)) {
        return -EPERM;
    }
    return fchmodat(s->proc, share_proc_name(path).text, mode & 07777, 0) < 0 ? -errno : 0;
}

static int set_owner(int path, const struct stat *status, const struct fuse_setattr_in *set)
{
    bool user = set->valid & FATTR_UID && set->uid != status->st_uid;
    bool group = set->valid & FATTR_GID && set->gid != status->st_gid;

    if (!user && !group) {
        return 0;
    }
    return fchownat(path, "", user ? set->uid : (uid_t)-1, group ? set->gid : (gid_t)-1,
                    AT_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

static struct timespec new_time(bool set, bool now, u64 seconds, u32 nanoseconds)
{
    return !set  ? (struct timespec){.tv_nsec = UTIME_OMIT}
           : now ? (struct timespec){.tv_nsec = UTIME_NOW}
                 : (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds};
}

static int set_times(int path, const struct fuse_setattr_in *set)
{
    struct timespec times[2];

    if (set->atimensec > 999999999 || set->mtimensec > 999999999) {
        return -EINVAL;
    }
    times[0] = new_time(set->valid & FATTR_ATIME, set->valid & FATTR_ATIME_NOW, set->atime,
                        set->atimensec);
    times[1] = new_time(set->valid & FATTR_MTIME, set->valid & FATTR_MTIME_NOW, set->mtime,
                        set->mtimensec);
    return utimensat(path, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int share_setattr(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    struct fuse_setattr_in set;
    struct stat status;
    int error = 0;

    share_get(in, &set, sizeof(set));
    if (in->bad) {
        return -EINVAL;
    }
    if (fstat(path, &status) < 0) {
        return -errno;
    }
    if (set.valid & FATTR_SIZE) {
        error = set_size(s, path, &set);
    }
    if (!error && set.valid & (FATTR_UID | FATTR_GID)) {
        error = set_owner(path, &status, &set);
    }
    if (!error && set.valid & FATTR_MODE) {
        error = set_mode(s, path, &status, set.mode);
    }
    if (!error && set.valid & (FATTR_ATIME | FATTR_MTIME)) {
        error = set_times(path, &set);
    }
    return error ? error : put_attributes(path, out);
}

/* ------------------------------------------------------------------ the file system */

int share_statfs(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    struct fuse_statfs_out answer;
    struct statfs status;

    (void)s;
    (void)in;
    if (fstatfs(path, &status) < 0) {
        return -errno;
    }
    answer.st = (struct fuse_kstatfs){
        .blocks = status.f_blocks,
        .bfree = status.f_bfree,
        .bavail = status.f_bavail,
        .files = status.f_files,
        .ffree = status.f_ffree,
        .bsize = (u32)status.f_bsize,
        .namelen = (u32)status.f_namelen,
        .frsize = (u32)status.f_frsize,
    };
    share_put(out, &answer, sizeof(answer));
    return 0;
}

int share_syncfs(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    (void)path;
    (void)in;
    (void)out;
    return syncfs(s->root) < 0 ? -errno : 0;
}
