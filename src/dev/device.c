/* device.c - what device constructors share. */
#include "dev/device.h"

#include <stdarg.h>

#include "base/format.h"

int device_add_regions(const struct slot *slot, const struct bus_region *regions, unsigned count,
                       void *device)
{
    unsigned i;
    int error;

    for (i = 0; i < count; i++) {
        struct bus_region region = regions[i];
        region.device = device;
        error = bus_map_add(slot->bus, &region);
        if (error) {
            device_remove_regions(slot, regions, i);
            return error;
        }
    }
    return 0;
}

void device_remove_regions(const struct slot *slot, const struct bus_region *regions,
                           unsigned count)
{
    unsigned i;

    for (i = 0; i < count; i++) {
        bus_map_remove(slot->bus, regions[i].space, regions[i].base);
    }
}

void device_log(const struct slot *slot, const char *text, ...)
{
    char line[512];
    va_list args;

    if (!slot->log) {
        return;
    }
    va_start(args, text);
    vformat(line, sizeof(line), text, args);
    va_end(args);
    slot->log(slot->log_context, line);
}

void device_save(const struct device *device, struct field_writer *writer)
{
    for (unsigned i = 0; i < DEVICE_PARTS && device->state[i].fields; i++) {
        fields_save(writer, device->state[i].fields, device->state[i].base);
    }
}

bool device_load(struct device *device, struct field_reader *reader)
{
    for (unsigned i = 0; i < DEVICE_PARTS && device->state[i].fields; i++) {
        if (!fields_load(reader, device->state[i].fields, device->state[i].base)) {
            return false;
        }
    }
    if (device->loaded && !device->loaded(device)) {
        reader->field = device->name;
        reader->error = "is in a state that cannot be";
        return false;
    }
    return true;
}
