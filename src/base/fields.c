/* fields.c - structures to bytes and back, by a table of their fields: fields.h. */
#include "base/fields.h"

#include "base/string.h"

const struct field fields_none[] = {FIELDS_END};

/* ------------------------------------------------------------------ writing */

void fields_put(struct field_writer *w, const void *bytes, u64 size)
{
    if (w->size <= w->capacity && size <= w->capacity - w->size) {
        memcpy(w->bytes + w->size, bytes, size);
    }
    w->size += size;
}

static u64 deadline(const void *at)
{
    const struct timer *timer = at;

    return timer->armed ? timer->deadline_ns : TIMER_NEVER;
}

static const char *text_at(const u8 *at)
{
    const char *text;

    memcpy(&text, at, sizeof(text));
    return text;
}

static void save(struct field_writer *w, const struct field *f, const u8 *at)
{
    u8 name_length = (u8)strlen(f->name);
    const char *text = f->kind == FIELD_STRING ? text_at(at) : NULL;
    u32 text_bytes = text ? (u32)strlen(text) + 1 : 0;
    u64 number;

    fields_put(w, &name_length, 1);
    fields_put(w, f->name, name_length);
    fields_put(w, &f->size, sizeof(f->size));
    fields_put(w, f->kind == FIELD_STRING ? &text_bytes : &f->count, sizeof(u32));
    switch ((enum field_kind)f->kind) {
    case FIELD_NUMBERS:
        for (u32 i = 0; i < f->count; i++) {
            fields_put(w, at + (u64)i * f->stride, f->size);
        }
        break;
    case FIELD_DEADLINE:
        number = deadline(at);
        fields_put(w, &number, sizeof(number));
        break;
    case FIELD_STRING:
        fields_put(w, text, text_bytes);
        break;
    }
}

void fields_save(struct field_writer *w, const struct field *f, const void *base)
{
    for (; f->name; f++) {
        save(w, f, (const u8 *)base + f->offset);
    }
}

/* ------------------------------------------------------------------ reading */

static bool fail(struct field_reader *r, const struct field *f, const char *error)
{
    if (!r->error) {
        r->field = f->name;
        r->error = error;
    }
    return false;
}

const u8 *fields_take(struct field_reader *r, u64 size)
{
    const u8 *bytes = r->bytes + r->at;

    if (size > r->size - r->at) {
        return NULL;
    }
    r->at += size;
    return bytes;
}

/* The field's own head: its name, the size of a number, how many. */
static bool take_head(struct field_reader *r, const struct field *f, u32 *count)
{
    u8 length = (u8)strlen(f->name);
    const u8 *head = fields_take(r, 1u + length + 1 + sizeof(*count));

    if (!head) {
        return fail(r, f, "is missing");
    }
    if (head[0] != length || memcmp(head + 1, f->name, length) != 0) {
        return fail(r, f, "is not where it should be");
    }
    memcpy(count, head + 1 + length + 1, sizeof(*count));
    if (head[1 + length] != f->size || (f->kind != FIELD_STRING && *count != f->count)) {
        return fail(r, f, "is of another size");
    }
    return true;
}

static bool load_numbers(struct field_reader *r, const struct field *f, u8 *at)
{
    const u8 *bytes = fields_take(r, (u64)f->count * f->size);

    if (!bytes) {
        return fail(r, f, "is cut short");
    }
    for (u32 i = 0; i < f->count; i++, bytes += f->size) {
        u64 number = 0;
        memcpy(&number, bytes, f->size);
        if (f->max && number > f->max) {
            return fail(r, f, "holds what cannot be");
        }
        memcpy(at + (u64)i * f->stride, bytes, f->size);
    }
    return true;
}

static bool load_timer(struct field_reader *r, const struct field *f, struct timer *timer)
{
    const u8 *bytes = fields_take(r, sizeof(u64));
    u64 deadline_ns;

    if (!bytes) {
        return fail(r, f, "is cut short");
    }
    memcpy(&deadline_ns, bytes, sizeof(deadline_ns));
    if (deadline_ns == TIMER_NEVER) {
        timer_cancel(timer);
    } else {
        timer_arm(timer, deadline_ns);
    }
    return true;
}

static bool load_text(struct field_reader *r, const struct field *f, u8 *at, u32 count)
{
    const char *text = (const char *)fields_take(r, count);

    if (!text) {
        return fail(r, f, "is cut short");
    }
    if (count && (text[count - 1] != 0 || strlen(text) != count - 1)) {
        return fail(r, f, "is no text");
    }
    text = count ? text : NULL;
    memcpy(at, &text, sizeof(text));
    return true;
}

static bool load(struct field_reader *r, const struct field *f, u8 *at)
{
    u32 count;

    if (!take_head(r, f, &count)) {
        return false;
    }
    switch ((enum field_kind)f->kind) {
    case FIELD_NUMBERS:
        return load_numbers(r, f, at);
    case FIELD_DEADLINE:
        return load_timer(r, f, (struct timer *)(void *)at);
    case FIELD_STRING:
        return load_text(r, f, at, count);
    }
    return false;
}

bool fields_load(struct field_reader *r, const struct field *f, void *base)
{
    for (; f->name; f++) {
        if (!load(r, f, (u8 *)base + f->offset)) {
            return false;
        }
    }
    return true;
}
