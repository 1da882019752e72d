/* share_option.c - the argument of --share. */
#include "app/share_option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool share_option_parse(struct ringer_device *device, const char *value, char *error,
                        size_t error_size)
{
    char *directory = strdup(value), *comma, *colon;

    *device = (struct ringer_device){.kind = RINGER_DEVICE_SHARE, .share.directory = directory};
    if (!directory) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    comma = strrchr(directory, ',');
    if (comma && !strcmp(comma, ",ro")) {
        device->share.read_only = true;
        *comma = 0;
    }
    colon = strrchr(directory, ':');
    if (colon && !strchr(colon, '/')) { /* else it is part of the path */
        device->share.tag = colon + 1;
        *colon = 0;
    }
    if (!*directory || (device->share.tag && !*device->share.tag)) {
        snprintf(error, error_size, "--share '%s': write DIR, DIR:TAG or DIR:TAG,ro", value);
        free(directory);
        return false;
    }
    return true;
}
