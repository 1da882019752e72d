/* name.c - finding, making, linking, renaming and removing what directories hold. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "share/handlers.h"

#define VALID_S   1u /* how long a guest need not look again */
#define MODE_KEPT 01777u

int share_put_entry(struct share_server *s, int directory, const char *name,
                    struct share_writer *out)
{
    struct fuse_entry_out entry = {.entry_valid = VALID_S, .attr_valid = VALID_S};
    int path = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), id;
    struct stat status;

    if (path < 0) {
        return -errno;
    }
    if (fstat(path, &status) < 0) {
        id = -errno;
        close(path);
        return id;
    }
    id = share_node_enter(&s->nodes, path, &status);
    if (id < 0) {
        return id;
    }
    entry.nodeid = (u64)id;
    share_fill_attributes(&entry.attr, &status);
    share_put(out, &entry, sizeof(entry));
    return 0;
}

int share_lookup(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    int error = 0;
    const char *name = share_get_name(in, &error);

    return name ? share_put_entry(s, path, name, out) : error;
}

/* ------------------------------------------------------------------ making */

int share_mkdir(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_mkdir_in request;
    const char *name;
    int error = 0;

    share_get(in, &request, sizeof(request));
    name = share_get_name(in, &error);
    if (!name) {
        return error;
    }
    if (mkdirat(path, name, request.mode & MODE_KEPT) < 0) {
        return -errno;
    }
    return share_put_entry(s, path, name, out);
}

int share_mknod(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_mknod_in request;
    const char *name;
    int error = 0;

    share_get(in, &request, sizeof(request));
    name = share_get_name(in, &error);
    if (!name) {
        return error;
    }
    if (!S_ISREG(request.mode) && !S_ISFIFO(request.mode) && !S_ISSOCK(request.mode)) {
        return -EPERM;
    }
    if (mknodat(path, name, request.mode & (S_IFMT | MODE_KEPT), 0) < 0) {
        return -errno;
    }
    return share_put_entry(s, path, name, out);
}

/* The target is text to us. */
int share_symlink(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    int error = 0;
    const char *name = share_get_name(in, &error), *target = share_get_text(in);

    if (!name || !target) {
        return name ? -EINVAL : error;
    }
    if (symlinkat(target, path, name) < 0) {
        return -errno;
    }
    return share_put_entry(s, path, name, out);
}

int share_readlink(struct share_server *s, int path, struct share_reader *in,
                   struct share_writer *out)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(path, "", target, sizeof(target));

    (void)s;
    (void)in;
    if (length < 0) {
        return errno == ENOENT ? -EINVAL : -errno; /* so the kernel says that it is no link */
    }
    share_put(out, target, (size_t)length);
    return 0;
}

/* The link in /proc is followed to the file itself; the file, which may be a link, is not. */
int share_link(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct fuse_link_in request;
    const char *name;
    int error = 0, file;

    share_get(in, &request, sizeof(request));
    name = share_get_name(in, &error);
    if (!name) {
        return error;
    }
    file = share_node_path(&s->nodes, request.oldnodeid);
    if (file < 0) {
        return -ESTALE;
    }
    if (linkat(s->proc, share_proc_name(file).text, path, name, AT_SYMLINK_FOLLOW) < 0) {
        return -errno;
    }
    return share_put_entry(s, path, name, out);
}

/* ------------------------------------------------------------------ renaming and removing */

static int rename_entry(struct share_server *s, int from, u64 to, unsigned flags,
                        struct share_reader *in)
{
    int error = 0, target = share_node_path(&s->nodes, to);
    const char *name = share_get_name(in, &error);
    const char *new_name = name ? share_get_name(in, &error) : NULL;

    if (!new_name) {
        return error;
    }
    if (target < 0) {
        return -ESTALE;
    }
    return renameat2(from, name, target, new_name, flags) < 0 ? -errno : 0;
}

int share_rename(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    struct fuse_rename_in request;

    (void)out;
    share_get(in, &request, sizeof(request));
    return rename_entry(s, path, request.newdir, 0, in);
}

int share_rename2(struct share_server *s, int path, struct share_reader *in,
                  struct share_writer *out)
{
    struct fuse_rename2_in request;

    (void)out;
    share_get(in, &request, sizeof(request));
    if (request.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return -EINVAL;
    }
    return rename_entry(s, path, request.newdir, request.flags, in);
}

static int remove_entry(int directory, struct share_reader *in, int flags)
{
    int error = 0;
    const char *name = share_get_name(in, &error);

    if (!name) {
        return error;
    }
    return unlinkat(directory, name, flags) < 0 ? -errno : 0;
}

int share_unlink(struct share_server *s, int path, struct share_reader *in,
                 struct share_writer *out)
{
    (void)s;
    (void)out;
    return remove_entry(path, in, 0);
}

int share_rmdir(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    (void)s;
    (void)out;
    return remove_entry(path, in, AT_REMOVEDIR);
}
