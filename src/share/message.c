/* message.c - the parts of messages that need checking. */
#include "share/message.h"

#include <errno.h>

const char *share_get_text(struct share_reader *in)
{
    const char *text = (const char *)in->at;
    const u8 *end = in->bad ? NULL : memchr(in->at, 0, (size_t)(in->end - in->at));

    if (!end) {
        in->bad = true;
        return NULL;
    }
    in->at = end + 1;
    return text;
}

const char *share_get_name(struct share_reader *in, int *error)
{
    const char *name = share_get_text(in);

    if (!name) {
        *error = -EINVAL;
    } else if (strlen(name) > SHARE_NAME_MAX) {
        *error = -ENAMETOOLONG;
    } else if (!name[0] || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) {
        *error = -EACCES;
    } else {
        return name;
    }
    return NULL;
}
