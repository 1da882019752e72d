/* snapshot_description.c - what of a snapshot says how to make the machine: snapshot_state.h. */
#include <stdlib.h>

#include "vm/disk.h"
#include "vm/snapshot_file.h"
#include "vm/snapshot_state.h"

#define DEVICES_MAX 4096u /* nobody has more */

static const struct field kind_fields[] = {
    FIELD(struct ringer_device, kind),
    FIELDS_END,
};

static const struct field identity_fields[] = {
    FIELD(struct disk_identity, bytes),
    FIELD(struct disk_identity, modified_ns),
    FIELDS_END,
};

void state_save_description(const struct made *made, const struct disk_identity *disks,
                            const struct memory_pieces *memory, struct field_writer *w)
{
    u64 at = section_begin(w, "machine", 0, 1);

    fields_save(w, made_fields, made);
    section_end(w, at);
    for (unsigned i = 0; i < made->device_count; i++) {
        const struct ringer_device *device = &made->devices[i];
        at = section_begin(w, "configuration", i, 1);
        fields_save(w, kind_fields, device);
        fields_save(w, made_device_fields(device->kind), device);
        fields_save(w, identity_fields, &disks[i]);
        section_end(w, at);
    }
    at = section_begin(w, "memory", 0, 1);
    memory_pieces_save(memory, w);
    section_end(w, at);
}

static bool load_configuration(struct snapshot_description *d, unsigned i,
                               struct field_reader *sections)
{
    struct field_reader s;
    const struct field *fields;
    bool good;

    if (!section_open(sections, "configuration", i, 1, &s)) {
        return false;
    }
    good = fields_load(&s, kind_fields, &d->devices[i]);
    fields = good ? made_device_fields(d->devices[i].kind) : NULL;
    if (good && !fields) {
        sections->field = "kind";
        sections->error = "is one that this Ringer does not know";
        return false;
    }
    good = good && fields_load(&s, fields, &d->devices[i]) &&
           fields_load(&s, identity_fields, &d->disks[i]);
    return section_finish(sections, &s, good);
}

bool state_load_description(struct snapshot_description *d, struct field_reader *sections)
{
    struct field_reader s;

    *d = (struct snapshot_description){.devices = NULL};
    if (!section_load(sections, "machine", 0, made_fields, &d->made)) {
        return false;
    }
    if (d->made.device_count > DEVICES_MAX || d->made.memory_bytes == 0 ||
        d->made.memory_bytes % PAGE_SIZE || d->made.memory_bytes > VM_RAM_MAX) {
        sections->field = "memory_bytes";
        sections->error = "holds what cannot be";
        return false;
    }
    d->devices = calloc(d->made.device_count + 1, sizeof(*d->devices));
    d->disks = calloc(d->made.device_count + 1, sizeof(*d->disks));
    for (unsigned i = 0; d->devices && d->disks && i < d->made.device_count; i++) {
        if (!load_configuration(d, i, sections)) {
            return false;
        }
    }
    return d->devices && d->disks && section_open(sections, "memory", 0, 1, &s) &&
           section_finish(sections, &s, memory_pieces_load(&d->memory, d->made.memory_bytes, &s));
}

void state_description_destroy(struct snapshot_description *d)
{
    free(d->devices);
    free(d->disks);
    memory_pieces_destroy(&d->memory);
    *d = (struct snapshot_description){.devices = NULL};
}
