/* snapshot_store.h - the directory of a snapshot that is being written: all of it, or none. */
#ifndef VM_SNAPSHOT_STORE_H
#define VM_SNAPSHOT_STORE_H

#include "base/types.h"

struct snapshot_store {
    int parent;   /* the directory that the snapshot is to be in */
    int partial;  /* ".NAME.partial" in it */
    bool replace; /* what has the name already */
    char *name;   /* owned */
    char *partial_name;
};

/* Make the directory beside the one to be.  0, -EEXIST where there is something of that name and it
 * is not to be replaced, -EBUSY where somebody else is writing it, or -errno.  A part that was left
 * by a process that has died is removed. */
int snapshot_store_begin(struct snapshot_store *store, const char *directory, bool replace);

/* A new file in it, to be written.  A descriptor or -errno. */
int snapshot_store_create(const struct snapshot_store *store, const char *name);

/* Make sure that it lasts, and close it.  0 or -errno. */
int snapshot_store_close(int fd);

/* Give it its name.  0 or -errno; in any case the store is no more. */
int snapshot_store_commit(struct snapshot_store *store);

/* Remove it.  Harmless after the others. */
void snapshot_store_abort(struct snapshot_store *store);

#endif
