/*
 * snapshot_store.c - the directory of a snapshot that is being written.
 *
 * Its files are on the medium before it gets its name, and the name is before anyone is told.
 * Whoever writes holds a lock on it, so that a part without one is known to be left over.
 */
#define _GNU_SOURCE

#include "vm/snapshot_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------ names */

/* "a/b/" is "b" in "a". */
static int split(struct snapshot_store *s, const char *directory)
{
    char *path = strdup(directory), *slash;
    size_t length = path ? strlen(path) : 0;

    if (!path) {
        return -ENOMEM;
    }
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = 0;
    }
    slash = strrchr(path, '/');
    s->name = strdup(slash ? slash + 1 : path);
    if (!s->name || asprintf(&s->partial_name, ".%s.partial", s->name) < 0) {
        s->partial_name = NULL;
        free(path);
        return -ENOMEM;
    }
    if (!*s->name || !strcmp(s->name, ".") || !strcmp(s->name, "..")) {
        free(path);
        return -EINVAL;
    }
    if (slash) {
        slash[slash == path] = 0; /* "/a" is in "/" */
    }
    s->parent = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return s->parent < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ removal */

/* A snapshot's directory has files only; what is no such directory stays, and is told. */
static int remove_directory(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    int error = 0;

    if (!directory) {
        error = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    while ((entry = readdir(directory)) && error == 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(fd, entry->d_name, 0) < 0) {
            error = -errno;
        }
    }
    closedir(directory);
    return error < 0 || unlinkat(parent, name, AT_REMOVEDIR) == 0 ? error : -errno;
}

static void done(struct snapshot_store *s)
{
    if (s->partial >= 0) {
        close(s->partial);
    }
    if (s->parent >= 0) {
        close(s->parent);
    }
    free(s->name);
    free(s->partial_name);
    *s = (struct snapshot_store){.parent = -1, .partial = -1};
}

/* ------------------------------------------------------------------ beginning */

/* Somebody's who lives, or left over? */
static int remove_left_over(const struct snapshot_store *s)
{
    int fd = openat(s->parent, s->partial_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error;

    if (fd < 0) {
        return -errno;
    }
    error =
        flock(fd, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : remove_directory(s->parent, s->partial_name);
    close(fd);
    return error;
}

static int make_partial(struct snapshot_store *s)
{
    int error;

    if (mkdirat(s->parent, s->partial_name, 0700) < 0) {
        if (errno != EEXIST) {
            return -errno;
        }
        error = remove_left_over(s);
        if (error == 0 && mkdirat(s->parent, s->partial_name, 0700) < 0) {
            error = -errno;
        }
        if (error < 0) {
            return error;
        }
    }
    s->partial =
        openat(s->parent, s->partial_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->partial < 0) {
        return -errno;
    }
    return flock(s->partial, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : 0;
}

/* What is replaced has to be a snapshot, or a directory that could become one. */
static int check_replaced(const struct snapshot_store *s)
{
    struct stat status;
    char *file;
    int error = 0;

    if (fstatat(s->parent, s->name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!s->replace) {
        return -EEXIST;
    }
    if (!S_ISDIR(status.st_mode)) {
        return -ENOTDIR;
    }
    if (asprintf(&file, "%s/state", s->name) < 0) {
        return -ENOMEM;
    }
    if (fstatat(s->parent, file, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        error = -ENOTEMPTY; /* not ours to remove */
    }
    free(file);
    return error;
}

int snapshot_store_begin(struct snapshot_store *s, const char *directory, bool replace)
{
    int error;

    *s = (struct snapshot_store){.parent = -1, .partial = -1, .replace = replace};
    error = split(s, directory);
    if (error == 0) {
        error = check_replaced(s);
    }
    if (error == 0) {
        error = make_partial(s);
    }
    if (error < 0) {
        done(s);
    }
    return error;
}

/* ------------------------------------------------------------------ files */

int snapshot_store_create(const struct snapshot_store *s, const char *name)
{
    int fd = openat(s->partial, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

int snapshot_store_close(int fd)
{
    int error = fsync(fd) < 0 ? -errno : 0;

    return close(fd) < 0 && error == 0 ? -errno : error;
}

/* ------------------------------------------------------------------ the end */

static int rename_with(const struct snapshot_store *s, unsigned flags)
{
    long result = syscall(SYS_renameat2, s->parent, s->partial_name, s->parent, s->name, flags);

    return result < 0 ? -errno : 0;
}

/* Both names at once, where the file system can; the old one is then the partial one. */
static int give_name(const struct snapshot_store *s)
{
    int error = rename_with(s, RENAME_NOREPLACE);

    if (error == -EINVAL) { /* a file system that does not know the flag */
        error = faccessat(s->parent, s->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST
                                                                              : rename_with(s, 0);
    }
    if (error == -EEXIST && s->replace) {
        error = rename_with(s, RENAME_EXCHANGE);
    }
    return error;
}

int snapshot_store_commit(struct snapshot_store *s)
{
    int error = fsync(s->partial) < 0 ? -errno : 0;

    if (error == 0) {
        error = give_name(s);
    }
    if (error < 0) {
        snapshot_store_abort(s);
        return error;
    }
    error = fsync(s->parent) < 0 ? -errno : 0;
    remove_directory(s->parent, s->partial_name); /* what was replaced, if anything */
    done(s);
    return error;
}

void snapshot_store_abort(struct snapshot_store *s)
{
    if (s->partial >= 0) {
        remove_directory(s->parent, s->partial_name);
    }
    done(s);
}
