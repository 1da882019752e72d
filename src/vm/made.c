/* made.c - what a machine is made of: copies of its configuration, and which of it a snapshot has.
 */
#define _GNU_SOURCE

#include "vm/made.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct field made_fields[] = {
    FIELD(struct made, memory_bytes),      FIELD(struct made, cpus),
    FIELD(struct made, device_count),      FIELD(struct made, icount),
    FIELD(struct made, debug_exit),        FIELD(struct made, debug_console),
    FIELD(struct made, testdev),           FIELD_MAX(struct made, protocol, RINGER_PROTOCOL_ELF),
    FIELD_TEXT(struct made, kernel),       FIELD_TEXT(struct made, initrd),
    FIELD_TEXT(struct made, command_line), FIELDS_END,
};

static const struct field disk_fields[] = {
    FIELD_TEXT(struct ringer_device, disk.source), FIELD_TEXT(struct ringer_device, disk.format),
    FIELD_TEXT(struct ringer_device, disk.serial), FIELD(struct ringer_device, disk.read_only),
    FIELD(struct ringer_device, disk.queues),      FIELDS_END,
};

static const struct field net_fields[] = {
    FIELD_MAX(struct ringer_device, net.backend, RINGER_NET_PASST),
    FIELD_ARRAY(struct ringer_device, net.address),
    FIELD(struct ringer_device, net.mtu),
    FIELD_TEXT(struct ringer_device, net.socket),
    FIELD_TEXT(struct ringer_device, net.forwards),
    FIELD_TEXT(struct ringer_device, net.network),
    FIELD_TEXT(struct ringer_device, net.host),
    FIELD_TEXT(struct ringer_device, net.dns),
    FIELD_TEXT(struct ringer_device, net.dhcp_start),
    FIELD_TEXT(struct ringer_device, net.hostname),
    FIELD(struct ringer_device, net.restricted),
    FIELD(struct ringer_device, net.no_ipv6),
    FIELDS_END,
};

static const struct field vsock_fields[] = {
    FIELD_TEXT(struct ringer_device, vsock.path),
    FIELD(struct ringer_device, vsock.cid),
    FIELDS_END,
};

static const struct field *const device_fields[] = {
    [RINGER_DEVICE_DISK] = disk_fields,   [RINGER_DEVICE_NET] = net_fields,
    [RINGER_DEVICE_RNG] = fields_none,    [RINGER_DEVICE_CONSOLE] = fields_none,
    [RINGER_DEVICE_VSOCK] = vsock_fields,
    [RINGER_DEVICE_BALLOON] = fields_none, /* what it is to keep to is its device's */
};

const struct field *made_device_fields(unsigned kind)
{
    return kind < ARRAY_SIZE(device_fields) ? device_fields[kind] : NULL;
}

/* ------------------------------------------------------------------ copies */

/* The text at *text becomes a copy, which is owned. */
static bool own(const char **text)
{
    if (*text) {
        *text = strdup(*text);
        return *text != NULL;
    }
    return true;
}

/* The same for the name of a file; what is no file's stays as it is. */
static bool own_path(const char **text)
{
    char *path = *text ? realpath(*text, NULL) : NULL;

    if (path) {
        *text = path;
        return true;
    }
    return own(text);
}

static void disown(const char **text)
{
    free((void *)(uintptr_t)*text);
    *text = NULL;
}

static void for_each_text(struct ringer_device *device, bool (*each)(const char **text), bool *good)
{
    const struct field *f = made_device_fields(device->kind);

    for (; f && f->name; f++) {
        if (f->kind == FIELD_STRING) {
            *good = each((const char **)(void *)((u8 *)device + f->offset)) && *good;
        }
    }
}

static bool disown_each(const char **text)
{
    disown(text);
    return true;
}

static bool own_device(struct ringer_device *device)
{
    bool good = true;

    for_each_text(device, own, &good);
    if (good && device->kind == RINGER_DEVICE_DISK) {
        char *path = realpath(device->disk.source, NULL);
        if (path) {
            disown(&device->disk.source);
            device->disk.source = path;
        }
    }
    return good;
}

int made_keep_config(struct made *made, const struct ringer_config *c)
{
    *made = (struct made){
        .memory_bytes = c->memory_bytes,
        .cpus = c->cpus,
        .icount = c->icount,
        .debug_exit = c->debug_exit,
        .debug_console = c->debug_console,
        .testdev = c->testdev,
    };
    made->devices = calloc(c->device_count ? c->device_count : 1, sizeof(*made->devices));
    if (!made->devices) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < c->device_count; i++) {
        made->devices[i] = c->devices[i];
        made->device_count++;
        if (!own_device(&made->devices[i])) {
            return -ENOMEM;
        }
    }
    return 0;
}

int made_keep_boot(struct made *made, enum ringer_protocol protocol, const char *kernel,
                   const char *initrd, const char *command_line)
{
    bool good = own_path(&kernel);

    good = own_path(&initrd) && good; /* what could not be copied is NULL */
    good = own(&command_line) && good;
    disown(&made->kernel);
    disown(&made->initrd);
    disown(&made->command_line);
    made->protocol = (u32)protocol;
    made->kernel = kernel;
    made->initrd = initrd;
    made->command_line = command_line;
    return good ? 0 : -ENOMEM;
}

void made_destroy(struct made *made)
{
    for (unsigned i = 0; i < made->device_count; i++) {
        for_each_text(&made->devices[i], disown_each, &(bool){true});
    }
    free(made->devices);
    disown(&made->kernel);
    disown(&made->initrd);
    disown(&made->command_line);
    *made = (struct made){0};
}
