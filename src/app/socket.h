/* socket.h - UNIX sockets of this program's. */
#ifndef APP_SOCKET_H
#define APP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

/* Removes a socket that nobody listens on any more: it is left from a run that was killed. */
void socket_remove_stale(const char *path);

/* Listens at path, for this user only.  A descriptor that does not block, or -1 with errno. */
int socket_listen(const char *path);

/* A descriptor that blocks, or -1 with errno. */
int socket_connect(const char *path);

/* All of it, or false with errno.  Waits for a slow reader no longer than a second. */
bool socket_send(int fd, const void *bytes, size_t size);

#endif
