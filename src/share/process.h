/* process.h - what the board and ringer-share agree on. */
#ifndef SHARE_PROCESS_H
#define SHARE_PROCESS_H

enum {                      /* its descriptors, besides standard error */
       SHARE_FD_SOCKET = 3, /* a stream of messages one way, answers the other, in the same order */
       SHARE_FD_ROOT = 4,   /* the directory */
};

enum {                       /* how it ends, if not with the socket */
       SHARE_EXIT_START = 2, /* no /proc, or no memory */
       SHARE_EXIT_JAIL = 3,  /* the jail cannot be built */
};

#endif
