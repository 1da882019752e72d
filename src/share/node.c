/* node.c - the tables of nodes and of handles. */
#include "share/node.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------ nodes */

static u32 *bucket(struct share_nodes *nodes, dev_t device, ino_t number)
{
    return &nodes->buckets[((u64)number ^ (u64)device * 31) % SHARE_NODE_BUCKETS];
}

static bool is_node(const struct share_nodes *nodes, u64 id)
{
    return id >= SHARE_NODE_ROOT && id < nodes->count && nodes->slots[id].path >= 0;
}

int share_node_path(const struct share_nodes *nodes, u64 id)
{
    return is_node(nodes, id) ? nodes->slots[id].path : -1;
}

/* A free slot, or 0.  Slot 0 is none. */
static u32 take_slot(struct share_nodes *nodes)
{
    u32 slot = nodes->free, count = nodes->count;

    if (slot) {
        nodes->free = nodes->slots[slot].next;
        return slot;
    }
    if (count == SHARE_NODES_MAX) {
        return 0;
    }
    if ((count & (count - 1)) == 0) { /* as many as there are, once more */
        struct share_node *slots = realloc(nodes->slots, (count ? 2 * count : 2) * sizeof(*slots));
        if (!slots) {
            return 0;
        }
        nodes->slots = slots;
    }
    nodes->count = count ? count + 1 : 2;
    nodes->slots[0].path = -1;
    return count ? count : SHARE_NODE_ROOT;
}

int share_node_enter(struct share_nodes *nodes, int path, const struct stat *status)
{
    u32 *head = bucket(nodes, status->st_dev, status->st_ino), slot;

    for (slot = *head; slot; slot = nodes->slots[slot].next) {
        struct share_node *node = &nodes->slots[slot];
        if (node->device == status->st_dev && node->number == status->st_ino) {
            close(path);
            node->lookups++;
            return (int)slot;
        }
    }
    slot = take_slot(nodes);
    if (!slot) {
        close(path);
        return -ENFILE;
    }
    nodes->slots[slot] = (struct share_node){.path = path,
                                             .next = *head,
                                             .lookups = 1,
                                             .device = status->st_dev,
                                             .number = status->st_ino};
    *head = slot;
    return (int)slot;
}

static void remove_node(struct share_nodes *nodes, u32 id)
{
    struct share_node *node = &nodes->slots[id];
    u32 *link = bucket(nodes, node->device, node->number);

    while (*link != id) {
        link = &nodes->slots[*link].next;
    }
    *link = node->next;
    close(node->path);
    node->path = -1;
    node->next = nodes->free;
    nodes->free = id;
}

void share_node_forget(struct share_nodes *nodes, u64 id, u64 lookups)
{
    struct share_node *node;

    if (id == SHARE_NODE_ROOT || !is_node(nodes, id)) {
        return;
    }
    node = &nodes->slots[id];
    node->lookups -= lookups < node->lookups ? lookups : node->lookups;
    if (node->lookups == 0) {
        remove_node(nodes, (u32)id);
    }
}

void share_node_forget_all(struct share_nodes *nodes)
{
    for (u32 id = SHARE_NODE_ROOT + 1; id < nodes->count; id++) {
        share_node_forget(nodes, id, UINT64_MAX);
    }
}

/* ------------------------------------------------------------------ handles */

/* A free handle at or after the hint; more room where there is none. */
static int find_handle(struct share_handles *handles)
{
    u32 count = handles->count, more = count ? 2 * count : 64;
    int *files;

    for (u32 i = handles->hint; i < count; i++) {
        if (handles->files[i] < 0) {
            return (int)i;
        }
    }
    if (more > SHARE_HANDLES_MAX) {
        return -ENFILE;
    }
    files = realloc(handles->files, more * sizeof(*files));
    if (!files) {
        return -ENOMEM;
    }
    for (u32 i = count; i < more; i++) {
        files[i] = -1;
    }
    handles->files = files;
    handles->count = more;
    return (int)count;
}

int share_handle_add(struct share_handles *handles, int file)
{
    int handle = find_handle(handles);

    if (handle < 0) {
        close(file);
        return handle;
    }
    handles->files[handle] = file;
    handles->hint = (u32)handle + 1;
    return handle;
}

int share_handle_file(const struct share_handles *handles, u64 handle)
{
    return handle < handles->count ? handles->files[handle] : -1;
}

bool share_handle_remove(struct share_handles *handles, u64 handle)
{
    int file = share_handle_file(handles, handle);

    if (file < 0) {
        return false;
    }
    close(file);
    handles->files[handle] = -1;
    if (handle < handles->hint) {
        handles->hint = (u32)handle; /* no free one lies before it */
    }
    return true;
}

void share_handle_remove_all(struct share_handles *handles)
{
    for (u32 i = 0; i < handles->count; i++) {
        share_handle_remove(handles, i);
    }
}
