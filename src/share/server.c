/* server.c - the session, and which handler answers what. */
#define _GNU_SOURCE

#include "share/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "share/handlers.h"

/* What our answers are laid out by: version 7.31, which Linux 5.4 was the first to speak over
 * virtio. */
enum { MINOR = 31, MINOR_MIN = 27, PAGE = 4096 };

/* What we take of what a client offers: reads and lookups at the same time, O_TRUNC with open(),
 * large requests, and that a file that the host has changed is read anew. */
#define FLAGS                                                                         \
    (FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | \
     FUSE_MAX_PAGES | FUSE_AUTO_INVAL_DATA)

#define BACKGROUND_MAX 64u /* requests that a client makes ahead */

/* ------------------------------------------------------------------ the session */

static void forget_session(struct share_server *s)
{
    share_handle_remove_all(&s->handles);
    share_node_forget_all(&s->nodes);
}

static int init(struct share_server *s, int path, struct share_reader *in, struct share_writer *out)
{
    struct {
        u32 major, minor, max_readahead, flags;
    } offer;
    struct fuse_init_out answer = {
        .major = FUSE_KERNEL_VERSION,
        .minor = MINOR,
        .max_background = BACKGROUND_MAX,
        .congestion_threshold = BACKGROUND_MAX * 3 / 4,
        .max_write = SHARE_DATA_MAX,
        .time_gran = 1,
        .max_pages = SHARE_DATA_MAX / PAGE,
    };

    (void)path;
    share_get(in, &offer, sizeof(offer));
    if (in->bad || offer.major < FUSE_KERNEL_VERSION ||
        (offer.major == FUSE_KERNEL_VERSION && offer.minor < MINOR_MIN)) {
        return -EPROTO;
    }
    forget_session(s);
    answer.max_readahead = offer.max_readahead;
    answer.flags = offer.flags & FLAGS;
    share_put(out, &answer, sizeof(answer));
    return 0;
}

static int destroy(struct share_server *s, int path, struct share_reader *in,
                   struct share_writer *out)
{
    (void)path;
    (void)in;
    (void)out;
    forget_session(s);
    return 0;
}

static int batch_forget(struct share_server *s, int path, struct share_reader *in,
                        struct share_writer *out)
{
    struct fuse_batch_forget_in head;
    struct fuse_forget_one one;

    (void)path;
    (void)out;
    share_get(in, &head, sizeof(head));
    for (u32 i = 0; i < head.count; i++) {
        share_get(in, &one, sizeof(one));
        if (in->bad) {
            return -EINVAL;
        }
        share_node_forget(&s->nodes, one.nodeid, one.nlookup);
    }
    return 0;
}

/* ------------------------------------------------------------------ answering */

enum {
    NODE = 1,   /* the request is about a node */
    WRITES = 2, /* and not for a directory that is only read */
};

static const struct row {
    share_handler *handler;
    unsigned flags;
} rows[FUSE_SYNCFS + 1] = {
    [FUSE_LOOKUP] = {share_lookup, NODE},
    [FUSE_GETATTR] = {share_getattr, NODE},
    [FUSE_SETATTR] = {share_setattr, NODE | WRITES},
    [FUSE_READLINK] = {share_readlink, NODE},
    [FUSE_SYMLINK] = {share_symlink, NODE | WRITES},
    [FUSE_MKNOD] = {share_mknod, NODE | WRITES},
    [FUSE_MKDIR] = {share_mkdir, NODE | WRITES},
    [FUSE_UNLINK] = {share_unlink, NODE | WRITES},
    [FUSE_RMDIR] = {share_rmdir, NODE | WRITES},
    [FUSE_RENAME] = {share_rename, NODE | WRITES},
    [FUSE_RENAME2] = {share_rename2, NODE | WRITES},
    [FUSE_LINK] = {share_link, NODE | WRITES},
    [FUSE_OPEN] = {share_open, NODE},
    [FUSE_READ] = {share_read, 0},
    [FUSE_WRITE] = {share_write, WRITES},
    [FUSE_STATFS] = {share_statfs, NODE},
    [FUSE_RELEASE] = {share_release, 0},
    [FUSE_FSYNC] = {share_fsync, 0},
    [FUSE_INIT] = {init, 0},
    [FUSE_OPENDIR] = {share_opendir, NODE},
    [FUSE_READDIR] = {share_readdir, 0},
    [FUSE_RELEASEDIR] = {share_release, 0},
    [FUSE_FSYNCDIR] = {share_fsync, 0},
    [FUSE_CREATE] = {share_create, NODE | WRITES},
    [FUSE_DESTROY] = {destroy, 0},
    [FUSE_BATCH_FORGET] = {batch_forget, 0},
    [FUSE_FALLOCATE] = {share_fallocate, WRITES},
    [FUSE_SYNCFS] = {share_syncfs, 0},
};

static int forget(struct share_server *s, u64 node, struct share_reader *in)
{
    struct fuse_forget_in request;

    share_get(in, &request, sizeof(request));
    if (in->bad) {
        return -EINVAL;
    }
    share_node_forget(&s->nodes, node, request.nlookup);
    return 0;
}

static int answer(struct share_server *s, const struct fuse_in_header *head,
                  struct share_reader *in, struct share_writer *out)
{
    const struct row *row = head->opcode < ARRAY_SIZE(rows) ? &rows[head->opcode] : NULL;
    int path = share_node_path(&s->nodes, head->nodeid);

    if (head->opcode == FUSE_FORGET) {
        return forget(s, head->nodeid, in);
    }
    if (!row || !row->handler) {
        return -ENOSYS;
    }
    if (row->flags & NODE && path < 0) {
        return -ESTALE;
    }
    if (row->flags & WRITES && s->read_only) {
        return -EROFS;
    }
    return row->handler(s, path, in, out);
}

u32 share_server_answer(struct share_server *s, const u8 *message, u32 size, u8 *reply)
{
    struct share_reader in = {.at = message, .end = message + size};
    struct share_writer out = {.at = reply + sizeof(struct fuse_out_header),
                               .end = reply + SHARE_MESSAGE_MAX};
    struct fuse_in_header head;
    struct fuse_out_header answered;
    int error;

    share_get(&in, &head, sizeof(head));
    error = in.bad || head.len != size ? -EINVAL : answer(s, &head, &in, &out);
    if (error) {
        out.at = reply + sizeof(answered);
    }
    answered = (struct fuse_out_header){
        .len = (u32)(out.at - reply), .error = error, .unique = head.unique};
    memcpy(reply, &answered, sizeof(answered));
    return answered.len;
}

/* ------------------------------------------------------------------ life */

struct share_server *share_server_create(int root, int proc, bool read_only)
{
    struct share_server *s = calloc(1, sizeof(*s));
    struct stat status;
    int path;

    if (!s) {
        return NULL;
    }
    s->root = root;
    s->proc = proc;
    s->read_only = read_only;
    path = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (path < 0 || fstat(path, &status) < 0 ||
        share_node_enter(&s->nodes, path, &status) != SHARE_NODE_ROOT) {
        free(s->nodes.slots);
        free(s);
        return NULL;
    }
    return s;
}

void share_server_destroy(struct share_server *s)
{
    if (!s) {
        return;
    }
    forget_session(s);
    close(share_node_path(&s->nodes, SHARE_NODE_ROOT));
    free(s->nodes.slots);
    free(s->handles.files);
    free(s);
}
