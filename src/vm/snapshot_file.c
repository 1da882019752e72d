/* snapshot_file.c - a snapshot's state as sections in one checked file. */
#include "vm/snapshot_file.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"

#define DIGEST_SEED 0x53746174u

static const char magic[8] = {'R', 'i', 'n', 'g', 'e', 'r', 'S', 't'};

struct head {
    char magic[8];
    u32 version, zero;
    u64 bytes;
};

_Static_assert(sizeof(struct head) == 24, "as the file has it");

/* ------------------------------------------------------------------ writing */

/* Once the size of something is known. */
static void patch(struct field_writer *w, u64 at, u64 value)
{
    if (at + sizeof(value) <= w->capacity) {
        memcpy(w->bytes + at, &value, sizeof(value));
    }
}

static u8 full_name(char text[256], const char *name, unsigned number)
{
    int length = snprintf(text, 256, "%s/%u", name, number);

    return length < 255 ? (u8)length : 255;
}

u64 section_begin(struct field_writer *w, const char *name, unsigned number, u32 version)
{
    char text[256];
    u8 length = full_name(text, name, number);
    u64 size = 0;

    fields_put(w, &length, 1);
    fields_put(w, text, length);
    fields_put(w, &version, sizeof(version));
    fields_put(w, &size, sizeof(size));
    return w->size;
}

void section_end(struct field_writer *w, u64 begin)
{
    patch(w, begin - sizeof(u64), w->size - begin);
}

void snapshot_file_begin(struct field_writer *w)
{
    struct head head = {.version = SNAPSHOT_VERSION};

    memcpy(head.magic, magic, sizeof(magic));
    fields_put(w, &head, sizeof(head));
}

void snapshot_file_end(struct field_writer *w)
{
    u64 digest = 0;

    patch(w, offsetof(struct head, bytes), w->size + sizeof(digest));
    if (w->size <= w->capacity) {
        digest = digest_bytes(DIGEST_SEED, w->bytes, w->size);
    }
    fields_put(w, &digest, sizeof(digest));
}

/* ------------------------------------------------------------------ reading */

const char *snapshot_file_check(const u8 *bytes, u64 size, struct field_reader *sections)
{
    struct head head;
    u64 digest;

    if (size < sizeof(head) + sizeof(digest)) {
        return "it is cut short";
    }
    memcpy(&head, bytes, sizeof(head));
    if (memcmp(head.magic, magic, sizeof(magic)) != 0) {
        return "it is no snapshot of Ringer's";
    }
    if (head.version != SNAPSHOT_VERSION) {
        return "it is of another version of Ringer";
    }
    if (head.bytes != size) {
        return size < head.bytes ? "it is cut short" : "there is something behind its end";
    }
    size -= sizeof(digest);
    memcpy(&digest, bytes + size, sizeof(digest));
    if (head.zero != 0 || digest != digest_bytes(DIGEST_SEED, bytes, size)) {
        return "it is damaged: its digest is another";
    }
    *sections = (struct field_reader){.bytes = bytes, .size = size, .at = sizeof(head)};
    return NULL;
}

static bool fail(struct field_reader *r, const char *field, const char *error)
{
    r->field = field;
    r->error = error;
    return false;
}

bool section_open(struct field_reader *r, const char *name, unsigned number, u32 version,
                  struct field_reader *section)
{
    char text[256];
    u8 length = full_name(text, name, number);
    const u8 *head = fields_take(r, 1u + length + sizeof(u32) + sizeof(u64)), *bytes;
    u32 its_version;
    u64 size;

    r->part = name;
    if (!head || head[0] != length || memcmp(head + 1, text, length) != 0) {
        return fail(r, "its place", "is another's");
    }
    memcpy(&its_version, head + 1 + length, sizeof(its_version));
    memcpy(&size, head + 1 + length + sizeof(u32), sizeof(size));
    if (its_version != version) {
        return fail(r, "its version", "is another");
    }
    bytes = fields_take(r, size);
    if (!bytes) {
        return fail(r, "its content", "is cut short");
    }
    *section = (struct field_reader){.bytes = bytes, .size = size};
    return true;
}

bool section_close(struct field_reader *section)
{
    return section->at == section->size || fail(section, "its end", "is not where it should be");
}

bool section_finish(struct field_reader *sections, struct field_reader *section, bool good)
{
    return (good && section_close(section)) || fail(sections, section->field, section->error);
}

bool section_load(struct field_reader *sections, const char *name, unsigned number,
                  const struct field *fields, void *base)
{
    struct field_reader s;

    return section_open(sections, name, number, 1, &s) &&
           section_finish(sections, &s, fields_load(&s, fields, base));
}
