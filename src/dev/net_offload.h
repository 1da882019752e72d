/* net_offload.h - finishing what a driver leaves to its network card: checksums, long segments. */
#ifndef DEV_NET_OFFLOAD_H
#define DEV_NET_OFFLOAD_H

#include <stddef.h>

#include "base/types.h"

enum net_segments { NET_WHOLE, NET_TCP4, NET_TCP6 };

struct net_offload {
    bool checksum;     /* the 16 bits at start + offset are that of the bytes from start on; they */
    u16 start, offset; /* have the sum of the pseudo header by now */
    enum net_segments segments; /* not NET_WHOLE: one TCP segment, of more bytes than its sender
                                 * would have sent at a time; `checksum` then is set, too */
};

/* Make of it a frame that is whole and right, in place.  False where it is not what it says. */
bool net_offload_finish(u8 *frame, size_t size, const struct net_offload *offload);

#endif
