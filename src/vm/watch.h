/* watch.h - descriptors in the machine's event loop. */
#ifndef VM_WATCH_H
#define VM_WATCH_H

#include "base/types.h"

struct ringer;
struct watch;

/* Call readable(context) whenever fd can be read or has ended, until it is removed.  fd is
 * borrowed. 0 or -errno: -EPERM for a regular file, which can always be read. */
int watch_add(struct ringer *machine, int fd, void (*readable)(void *context), void *context,
              struct watch **watch);

/* Harmless on NULL.  Nothing is called any more. */
void watch_remove(struct watch *watch);

/* Look for readability or not (in the beginning: yes); call writable once fd can be written, or not
 * if it is NULL. */
void watch_set(struct watch *watch, bool read, void (*writable)(void *context));

/* The watch of that descriptor, or NULL. */
struct watch *watch_find(const struct ringer *machine, int fd);

/* --icount: input only comes at a SYNC (input.h).  Call what has become readable since the last
 * one. */
void watch_call_ready(struct ringer *machine);

#endif
