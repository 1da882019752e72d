/* unix_socket.h - Unix sockets of this process, by their paths. */
#ifndef HOST_UNIX_SOCKET_H
#define HOST_UNIX_SOCKET_H

#include "base/types.h"

#define HOST_UNIX_PATH_MAX 107 /* bytes of a path, without its 0 */

/* A stream socket that listens at path and does not wait.  One that is left there, and that nobody
 * listens on any more, is replaced.  >= 0, or -errno: -EADDRINUSE where there is something,
 * -ENAMETOOLONG. */
int host_unix_listen(const char *path, int backlog);

/* Connect to what listens at path; neither this nor the socket waits.  >= 0 or -errno. */
int host_unix_connect(const char *path);

#endif
