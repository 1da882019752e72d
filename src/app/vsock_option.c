/* vsock_option.c - the argument of --vsock. */
#include "app/vsock_option.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CID_WORD ",cid="
#define CID_MIN  3u
#define CID_MAX  0xfffffffeu

bool vsock_option_parse(struct ringer_device *device, const char *value, char *error,
                        size_t error_size)
{
    char *path = strdup(value), *word = path ? strstr(path, CID_WORD) : NULL, *end;

    *device = (struct ringer_device){.kind = RINGER_DEVICE_VSOCK, .vsock.path = path};
    if (!path) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    if (word) {
        const char *digits = word + strlen(CID_WORD);
        unsigned long cid = strtoul(digits, &end, 10);
        if (!isdigit((unsigned char)*digits) || *end || cid < CID_MIN || cid > CID_MAX) {
            snprintf(error, error_size, "--vsock cid=%s: write a number from %u to %u", digits,
                     CID_MIN, CID_MAX);
            free(path);
            return false;
        }
        device->vsock.cid = (uint32_t)cid;
        *word = 0;
    }
    if (!*path) {
        snprintf(error, error_size, "--vsock '%s': there is no path", value);
        free(path);
        return false;
    }
    return true;
}
