/*
 * server.h - a FUSE server for one directory of the host.
 *
 * The client is a guest, which may send anything.  It must reach nothing outside of the directory,
 * and this is how:
 *
 *   1. A node holds a descriptor of its file (O_PATH), never a path.  What others rename or replace
 *      meanwhile changes nothing of it.
 *   2. A name is looked up alone, in the directory that a node is, and never as a path: there is no
 *      "/" in it, and it is not "..".  share_get_name() is the only way to get one.
 *   3. No symbolic link is ever followed (O_NOFOLLOW, AT_EMPTY_PATH): a guest reads what is in it
 *      and walks there by itself, in its own tree.
 *   4. Only regular files and directories are opened: a guest has its own devices and pipes.
 *   5. No file gets set-user-ID or set-group-ID bits, and no device is made.
 *
 * So that a mistake in here stays one without consequences, the server is a process of its own,
 * in a jail (jail.h).
 *
 * Requests are answered in order.  Linux, include/uapi/linux/fuse.h, and VIRTIO 1.2, "File System
 * Device".
 *
 * LIMIT: no extended attributes; locks are the guest's own and not seen by the host.  Owners are
 * the host's: what a guest makes belongs to the user who runs Ringer, and it cannot give that away
 * unless this user may.  Each file that the guest's kernel keeps in its cache takes a descriptor.
 */
#ifndef SHARE_SERVER_H
#define SHARE_SERVER_H

#include "share/message.h"

struct share_server;

/* Serves the directory root; root and proc, of "/proc/self/fd", are descriptors that outlive the
 * server.  NULL where there is no memory. */
struct share_server *share_server_create(int root, int proc, bool read_only);

/* NULL is harmless. */
void share_server_destroy(struct share_server *server);

/* Answer a message of size bytes, in reply, which has SHARE_MESSAGE_MAX.  Returns the bytes of the
 * reply: every message has one, also those whose answer a guest does not wait for. */
u32 share_server_answer(struct share_server *server, const u8 *message, u32 size, u8 *reply);

#endif
