/* disk_option.c - the argument of --disk. */
#include "app/disk_option.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define QUEUES_MAX 32

static bool parse_queues(struct ringer_device *device, const char *value, char *error,
                         size_t error_size)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (!isdigit((unsigned char)*value) || *end || number < 1 || number > QUEUES_MAX) {
        snprintf(error, error_size, "--disk queues=%s: write a number from 1 to %u", value,
                 QUEUES_MAX);
        return false;
    }
    device->disk.queues = (unsigned)number;
    return true;
}

/* One of the words after a comma.  *known is false where it is part of the name. */
static bool parse_word(struct ringer_device *device, const char *word, bool *known, char *error,
                       size_t error_size)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : 0;

    *known = true;
    if (!strcmp(word, "ro")) {
        device->disk.read_only = true;
    } else if (length == 6 && !strncmp(word, "format", 6)) {
        device->disk.format = equals + 1;
    } else if (length == 6 && !strncmp(word, "serial", 6)) {
        device->disk.serial = equals + 1;
    } else if (length == 6 && !strncmp(word, "queues", 6)) {
        return parse_queues(device, equals + 1, error, error_size);
    } else {
        *known = false;
    }
    return true;
}

bool disk_option_parse(struct ringer_device *device, const char *value, char *error,
                       size_t error_size)
{
    char *source = strdup(value), *comma;
    bool known = true;

    *device = (struct ringer_device){.kind = RINGER_DEVICE_DISK, .disk.source = source};
    if (!source) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    while ((comma = strrchr(source, ','))) {
        if (!parse_word(device, comma + 1, &known, error, error_size)) {
            free(source);
            return false;
        }
        if (!known) {
            break;
        }
        *comma = 0;
    }
    if (!*source) {
        snprintf(error, error_size, "--disk '%s': there is no file name", value);
        free(source);
        return false;
    }
    return true;
}
