/*
 * node.h - what the client has numbers of: nodes, which are files that it has looked up, and
 * handles, which are files that it has opened.
 *
 * A node is found by its number, and by the file's identity, so that a file has one node only.  It
 * lives until it has been forgotten as often as it was entered.
 */
#ifndef SHARE_NODE_H
#define SHARE_NODE_H

#include <sys/stat.h>

#include "base/types.h"

#define SHARE_NODE_ROOT    1u /* FUSE_ROOT_ID */
#define SHARE_NODES_MAX    (1u << 20)
#define SHARE_NODE_BUCKETS 4096u
#define SHARE_HANDLES_MAX  65536u

struct share_node {
    int path;     /* descriptor of the file itself, O_PATH; -1: the slot is free */
    u32 next;     /* in its bucket, or among the free ones; 0: none */
    u64 lookups;  /* not yet forgotten */
    dev_t device; /* identity */
    ino_t number;
};

struct share_nodes {
    struct share_node *slots;
    u32 count, free; /* slots in use or free; the first free one */
    u32 buckets[SHARE_NODE_BUCKETS];
};

/* The descriptor of a node, or -1. */
int share_node_path(const struct share_nodes *nodes, u64 id);

/* Enter a file that has been found; its descriptor is taken, also on failure.  > 0, the node's
 * number, or -errno. */
int share_node_enter(struct share_nodes *nodes, int path, const struct stat *status);

/* Forget so many lookups.  The root is never forgotten. */
void share_node_forget(struct share_nodes *nodes, u64 id, u64 lookups);
void share_node_forget_all(struct share_nodes *nodes);

struct share_handles {
    int *files; /* -1: free */
    u32 count, hint;
};

/* The descriptor is taken, also on failure.  >= 0 or -errno. */
int share_handle_add(struct share_handles *handles, int file);

/* -1: there is no such handle. */
int share_handle_file(const struct share_handles *handles, u64 handle);

bool share_handle_remove(struct share_handles *handles, u64 handle);
void share_handle_remove_all(struct share_handles *handles);

#endif
