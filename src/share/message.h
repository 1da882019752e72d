/*
 * message.h - the bytes of FUSE messages.
 *
 *      request   struct fuse_in_header, the structure of its opcode, names that end with NUL, data
 *      answer    struct fuse_out_header, the structure of its opcode, data
 *
 * Whatever is read was written by a guest: a reader gives zeros once it has been asked for more
 * than there is, and `bad` says so.
 */
#ifndef SHARE_MESSAGE_H
#define SHARE_MESSAGE_H

#include <linux/fuse.h>
#include <string.h>

#include "base/types.h"

#define SHARE_DATA_MAX    524288u /* bytes that are read or written at once */
#define SHARE_MESSAGE_MAX (SHARE_DATA_MAX + 4096u)
#define SHARE_NAME_MAX    255u

/* ------------------------------------------------------------------ reading */

struct share_reader {
    const u8 *at, *end;
    bool bad;
};

/* The next size bytes, or NULL. */
static inline const u8 *share_get_bytes(struct share_reader *in, size_t size)
{
    const u8 *at = in->at;

    if (in->bad || size > (size_t)(in->end - in->at)) {
        in->bad = true;
        return NULL;
    }
    in->at += size;
    return at;
}

/* The same, copied. */
static inline void share_get(struct share_reader *in, void *to, size_t size)
{
    const u8 *at = share_get_bytes(in, size);

    if (at) {
        memcpy(to, at, size);
    } else {
        memset(to, 0, size);
    }
}

/* The next text, which ends with NUL, in place.  NULL where there is none. */
const char *share_get_text(struct share_reader *in);

/* The name of an entry of a directory: one component of a path, and none that leads elsewhere.
 * NULL, with *error set to -errno, where it is none. */
const char *share_get_name(struct share_reader *in, int *error);

/* ------------------------------------------------------------------ writing */

/* An answer, of SHARE_MESSAGE_MAX bytes at most; data is put by who has looked at the room. */
struct share_writer {
    u8 *at, *end;
};

static inline size_t share_room(const struct share_writer *out)
{
    return (size_t)(out->end - out->at);
}

/* False, and nothing is put, where there is no room. */
static inline bool share_put(struct share_writer *out, const void *bytes, size_t size)
{
    if (size > share_room(out)) {
        return false;
    }
    memcpy(out->at, bytes, size);
    out->at += size;
    return true;
}

#endif
