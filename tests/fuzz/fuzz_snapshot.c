/*
 * fuzz_snapshot.c - a snapshot's state as bytes that anyone may have written: its sections, and
 * what of it says how to make a machine.  What devices read is fuzz_devices.c's.
 *
 * The input is the sections; head and digest are put around them, for no fuzzer finds a digest.
 */
#include <stdlib.h>
#include <string.h>

#include "vm/disk.h"
#include "vm/snapshot_file.h"
#include "vm/snapshot_state.h"

#define VALUE_MAX 4096u

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

/* Every text has its end, within the file. */
static void look_at(const char *text)
{
    if (text && strlen(text) > VALUE_MAX * VALUE_MAX) {
        abort();
    }
}

static void read_description(struct field_reader sections)
{
    struct snapshot_description d;

    if (state_load_description(&d, &sections)) {
        look_at(d.made.kernel);
        look_at(d.made.initrd);
        look_at(d.made.command_line);
        for (unsigned i = 0; i < d.made.device_count; i++) {
            if (d.devices[i].kind == RINGER_DEVICE_DISK) {
                look_at(d.devices[i].disk.source);
                look_at(d.devices[i].disk.format);
            }
        }
    } else if (sections.field && !sections.error) {
        abort();
    }
    state_description_destroy(&d);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
    struct field_writer w = {.bytes = malloc(size + 64), .capacity = size + 64};
    struct field_reader sections;

    if (!w.bytes) {
        abort();
    }
    if (snapshot_file_check(bytes, size, &sections) == NULL) { /* a whole one, of the corpus */
        read_description(sections);
    }
    snapshot_file_begin(&w);
    fields_put(&w, bytes, size);
    snapshot_file_end(&w);
    if (snapshot_file_check(w.bytes, w.size, &sections)) {
        abort();
    }
    read_description(sections);
    free(w.bytes);
    return 0;
}
