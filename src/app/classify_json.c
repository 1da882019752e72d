/* classify_json.c - what `ringer classify` found, for programs and for the HTML page. */
#define _GNU_SOURCE /* memmem */
#include <json-c/json.h>
#include <string.h>

#include "app/classify.h"
#include "base/types.h"

static void put(struct json_object *object, const char *name, struct json_object *value)
{
    json_object_object_add(object, name, value);
}

static void put_text(struct json_object *object, const char *name, const char *text)
{
    put(object, name, text ? json_object_new_string(text) : NULL);
}

static void put_number(struct json_object *object, const char *name, uint64_t number)
{
    put(object, name, json_object_new_int64((int64_t)number));
}

static void put_bool(struct json_object *object, const char *name, bool value)
{
    put(object, name, json_object_new_boolean(value));
}

/* "a, b" as an array. */
static struct json_object *split(const char *text)
{
    struct json_object *array = json_object_new_array();

    while (*text) {
        const char *end = strstr(text, ", ");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        json_object_array_add(array, json_object_new_string_len(text, (int)length));
        text += length + (end ? 2 : 0);
    }
    return array;
}

static struct json_object *classes(unsigned set)
{
    static const char *const names[] = {"privileged", "iopl", "control", "location", "mode"};
    struct json_object *array = json_object_new_array();

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (set >> i & 1) {
            json_object_array_add(array, json_object_new_string(names[i]));
        }
    }
    return array;
}

/* ------------------------------------------------------------------ instructions */

static struct json_object *native(const struct ringer_pg_native *n)
{
    struct json_object *object = json_object_new_object();

    put_text(object, "verdict", classify_native_word(n));
    put_number(object, "runs", n->runs);
    put_number(object, "completed", n->completed);
    put_number(object, "gates", n->gates);
    put_number(object, "emulated", n->emulated);
    put_number(object, "trapped", n->trapped);
    put_text(object, "exceptions", n->exceptions);
    if (n->excluded) {
        put_text(object, "excluded", n->excluded);
    }
    return object;
}

static struct json_object *finding(const struct ringer_pg_finding *f)
{
    struct json_object *object = json_object_new_object(), *examples = json_object_new_array();

    for (unsigned i = 0; i < ARRAY_SIZE(f->witness); i++) {
        if (f->witness[i]) {
            json_object_array_add(examples, json_object_new_string(f->witness[i]));
        }
    }
    put_bool(object, "measured", f->measured);
    put(object, "classes", classes(f->classes));
    put(object, "user_classes", classes(f->user_classes));
    put_text(object, "traps", classify_traps_word(f));
    put(object, "depends", split(f->depends));
    put(object, "changes", split(f->changes));
    put(object, "examples", examples);
    put_number(object, "runs", f->runs);
    put(object, "native", native(&f->native));
    put(object, "native_guarded", native(&f->native_guarded));
    return object;
}

static struct json_object *instruction(const struct ringer_pg_instruction *insn)
{
    static const char *const kinds[RINGER_PG_KINDS] = {"32", "64"};
    struct json_object *object = json_object_new_object();

    put_text(object, "name", insn->name);
    put_text(object, "feature", insn->feature);
    put_number(object, "encodings", insn->encodings);
    put(object, "table", classes(insn->table_classes));
    put_bool(object, "robin_irvine", insn->listed[0]);
    put_bool(object, "bugnion_nieh_tsafrir", insn->listed[1]);
    put_text(object, "relative_of", insn->relative_of);
    for (unsigned i = 0; i < RINGER_PG_KINDS; i++) {
        put(object, kinds[i], insn->kind[i].exists ? finding(&insn->kind[i]) : NULL);
    }
    return object;
}

/* ------------------------------------------------------------------ variants, lists, host */

static struct json_object *names_of(const struct ringer_classification *c, const unsigned *indexes,
                                    unsigned count)
{
    struct json_object *array = json_object_new_array();

    for (unsigned i = 0; i < count; i++) {
        json_object_array_add(array, json_object_new_string(c->instructions[indexes[i]].name));
    }
    return array;
}

static struct json_object *variant(const struct ringer_classification *c,
                                   const struct ringer_pg_variant *v)
{
    static const char *const names[] = {"theorem_1", "theorem_2", "theorem_3"};
    struct json_object *object = json_object_new_object();

    put_text(object, "name", v->name);
    put_number(object, "code", v->kind == RINGER_PG_64 ? 64 : 32);
    put_bool(object, "host", v->is_host);
    put_bool(object, "measured", v->measured);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        put(object, names[i], v->measured ? json_object_new_boolean(v->theorem[i]) : NULL);
    }
    put_number(object, "privileged", v->privileged_count);
    put_number(object, "sensitive", v->sensitive_count);
    put_number(object, "user_sensitive", v->user_sensitive_count);
    put_number(object, "innocuous", v->innocuous_count);
    put(object, "spoilers", names_of(c, v->violators, v->violator_count));
    put(object, "user_spoilers", names_of(c, v->user_violators, v->user_violator_count));
    return object;
}

static struct json_object *list(const struct ringer_pg_list *l)
{
    struct json_object *object = json_object_new_object(), *entries = json_object_new_array();

    put_text(object, "title", l->title);
    put_text(object, "says", l->says);
    put_number(object, "found", l->found_count);
    for (unsigned i = 0; i < l->entry_count; i++) {
        struct json_object *entry = json_object_new_object();
        put_text(entry, "name", l->entry[i].name);
        put_bool(entry, "found", l->entry[i].found);
        json_object_array_add(entries, entry);
    }
    put(object, "entries", entries);
    return object;
}

static struct json_object *host(const struct ringer_pg_host *h)
{
    static const char *const answers[] = {"unknown", "traps", "emulated", "executed"};
    struct json_object *object = json_object_new_object(), *umip = json_object_new_array();

    put_text(object, "cpu", h->cpu);
    put_text(object, "kernel", h->kernel);
    put_bool(object, "umip_offered", h->umip_offered);
    put_bool(object, "native_possible", h->can_run);
    put_bool(object, "rdtsc_can_be_guarded", h->guard_tsc);
    put_bool(object, "cpuid_can_be_guarded", h->guard_cpuid);
    for (unsigned i = 0; i < ARRAY_SIZE(h->umip); i++) {
        struct json_object *probe = json_object_new_object();
        char value[24];
        snprintf(value, sizeof(value), "%#llx", (unsigned long long)h->umip[i].value[RINGER_PG_64]);
        put_text(probe, "name", h->umip[i].name);
        put_text(probe, "answer_32", answers[h->umip[i].answer[RINGER_PG_32]]);
        put_text(probe, "answer_64", answers[h->umip[i].answer[RINGER_PG_64]]);
        put_text(probe, "value_64", value);
        put_number(probe, "cost_ns", h->umip[i].cost_ns);
        json_object_array_add(umip, probe);
    }
    put(object, "umip", umip);
    return object;
}

/* ------------------------------------------------------------------ everything */

/* Without the innocuous ones but their names, if brief. */
static struct json_object *everything(const struct ringer_classification *c, bool brief)
{
    struct json_object *root = json_object_new_object(), *all = json_object_new_array(),
                       *innocuous = json_object_new_array(), *variants = json_object_new_array(),
                       *lists = json_object_new_array(), *differences = json_object_new_array();

    for (unsigned i = 0; i < c->instruction_count; i++) {
        const struct ringer_pg_instruction *insn = &c->instructions[i];
        bool special = insn->kind[0].classes || insn->kind[1].classes || insn->table_classes;
        if (special || !brief) {
            json_object_array_add(all, instruction(insn));
        } else {
            json_object_array_add(innocuous, json_object_new_string(insn->name));
        }
    }
    for (unsigned i = 0; i < RINGER_PG_VARIANTS; i++) {
        json_object_array_add(variants, variant(c, &c->variant[i]));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(c->list); i++) {
        json_object_array_add(lists, list(&c->list[i]));
    }
    for (unsigned i = 0; i < c->difference_count; i++) {
        json_object_array_add(differences, json_object_new_string(c->differences[i]));
    }
    put(root, "host", host(&c->host));
    put_number(root, "encodings", c->encoding_count);
    put_number(root, "runs", c->runs);
    put_number(root, "native_runs", c->native_runs);
    put(root, "variants", variants);
    put(root, "lists", lists);
    put(root, "instructions", all);
    if (brief) {
        put(root, "others", innocuous);
    } else {
        json_object_put(innocuous);
    }
    put(root, "differences", differences);
    return root;
}

void classify_json(FILE *file, const struct ringer_classification *c)
{
    struct json_object *root = everything(c, false);
    int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;

    fprintf(file, "%s\n", json_object_to_json_string_ext(root, style));
    json_object_put(root);
}

/* ------------------------------------------------------------------ the page */

extern const char classify_page[], classify_page_end[]; /* classify.html, from classify_page.S */

#define PLACE "@CLASSIFICATION@"

void classify_html(FILE *file, const struct ringer_classification *c)
{
    size_t size = (size_t)(classify_page_end - classify_page);
    const char *place = memmem(classify_page, size, PLACE, strlen(PLACE));
    struct json_object *root = everything(c, true);

    /* json-c writes </ as <\/, so that no text in it can end the script. */
    fwrite(classify_page, 1, (size_t)(place - classify_page), file);
    fputs(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN), file);
    place += strlen(PLACE);
    fwrite(place, 1, (size_t)(classify_page_end - place), file);
    json_object_put(root);
}
