/*
 * handlers.h - what the files that answer requests share.
 *
 * A handler reads what follows the head of its request, and puts what follows that of its answer: 0
 * or -errno, and what it has put is dropped.  It looks at in->bad before it does anything.
 */
#ifndef SHARE_HANDLERS_H
#define SHARE_HANDLERS_H

#include "share/message.h"
#include "share/node.h"

struct share_server {
    int root, proc;
    bool read_only;
    struct share_nodes nodes;
    struct share_handles handles;
};

/* path is the descriptor of the node that the request is about. */
typedef int share_handler(struct share_server *server, int path, struct share_reader *in,
                          struct share_writer *out);

/* file.c */
share_handler share_open, share_create, share_opendir, share_read, share_write, share_release,
    share_fsync, share_readdir, share_fallocate;

/* attribute.c */
share_handler share_getattr, share_setattr, share_statfs, share_syncfs;

/* name.c */
share_handler share_lookup, share_symlink, share_mknod, share_readlink, share_link, share_mkdir,
    share_rename, share_rename2, share_unlink, share_rmdir;

/* Attributes for an answer. */
void share_fill_attributes(struct fuse_attr *to, const struct stat *status);

/* Put the entry of that name in a directory, as a node that the client has now.  0 or -errno. */
int share_put_entry(struct share_server *server, int directory, const char *name,
                    struct share_writer *out);

/* Open the file that a descriptor names, anew: >= 0 or -errno. */
int share_reopen(const struct share_server *server, int path, int flags);

/* The name of a descriptor in server->proc. */
struct share_proc_name {
    char text[12];
};
struct share_proc_name share_proc_name(int fd);

#endif
