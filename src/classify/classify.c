/*
 * classify.c - ringer_classify(): from the findings about encodings to instructions, variants and
 * theorems.
 */
#define _GNU_SOURCE /* asprintf */
#include <ringer/classify.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify/literature.h"
#include "classify/process.h"
#include "classify/result.h"
#include "classify/theorems.h"

#define SAME(public_name, own) _Static_assert((unsigned)(public_name) == (unsigned)(own), #own)
SAME(RINGER_PG_PRIVILEGED, CLASS_PRIVILEGED);
SAME(RINGER_PG_IOPL, CLASS_IO_PRIVILEGED);
SAME(RINGER_PG_CONTROL, CLASS_CONTROL_SENSITIVE);
SAME(RINGER_PG_LOCATION, CLASS_LOCATION_SENSITIVE);
SAME(RINGER_PG_MODE, CLASS_MODE_SENSITIVE);
SAME(RINGER_PG_32, CODE_32);
SAME(RINGER_PG_64, CODE_64);

/* ------------------------------------------------------------------ variants */

static const struct variant_row {
    const char *name;
    enum ringer_pg_kind kind;
    bool is_host, umip;
} variant_rows[RINGER_PG_VARIANTS] = {
    {"x86-32 without UMIP", RINGER_PG_32, false, false},
    {"x86-32 with UMIP", RINGER_PG_32, false, true},
    {"x86-64 without UMIP", RINGER_PG_64, false, false},
    {"x86-64 with UMIP", RINGER_PG_64, false, true},
    {"this host, 32-bit code", RINGER_PG_32, true, false},
    {"this host, 64-bit code", RINGER_PG_64, true, false},
};

/* Is an encoding privileged in a variant?  For one that was not tried on the host, nobody knows:
 * *known is false. */
static bool is_privileged(const struct experiments *x, unsigned row, const struct variant_row *v,
                          bool *known)
{
    const struct native_finding *native = &x->row[row][v->kind].native[NATIVE_AS_IS];

    *known = true;
    if (!v->is_host) {
        return finding_traps(&x->row[row][v->kind].finding,
                             v->umip ? VARY_GUARDED_UMIP : VARY_GUARDED);
    }
    *known = native->completed || native->trapped;
    return native->trapped && !native->completed;
}

/* What an instruction is in a variant: sensitive, if one of its encodings is; privileged, if all
 * are; and a spoiler, if one encoding is one. */
struct verdict {
    bool exists, sensitive, user_sensitive, privileged, spoils[THEOREMS];
};

static struct verdict judge(const struct experiments *x, unsigned id, const struct variant_row *v)
{
    struct verdict verdict = {.privileged = true};

    for (unsigned row = 0; row < INSN_ROWS; row++) {
        const struct finding *f = &x->row[row][v->kind].finding;
        bool known;
        if (insn_rows[row].id != id || !finding_is_measured(f)) {
            continue;
        }
        struct theorem_item item = {
            .sensitive = finding_classes(f) & RINGER_PG_SENSITIVE,
            .user_sensitive = finding_user_classes(f),
            .privileged = is_privileged(x, row, v, &known),
        };
        if (!known) {
            continue;
        }
        verdict.exists = true;
        verdict.sensitive |= item.sensitive;
        verdict.user_sensitive |= item.user_sensitive;
        verdict.privileged &= item.privileged;
        for (unsigned t = 0; t < THEOREMS; t++) {
            verdict.spoils[t] |= theorem_is_spoiled(t, item);
        }
    }
    verdict.privileged &= verdict.exists;
    return verdict;
}

static void make_variant(struct ringer_classification *c, const struct experiments *x,
                         const unsigned *ids, const struct variant_row *row,
                         struct ringer_pg_variant *v)
{
    v->name = row->name;
    v->kind = row->kind;
    v->is_host = row->is_host;
    v->measured = !row->is_host || x->can_run_natively;
    if (!v->measured) {
        return;
    }
    for (unsigned i = 0; i < c->instruction_count; i++) {
        struct verdict verdict = judge(x, ids[i], row);
        v->privileged_count += verdict.privileged;
        v->sensitive_count += verdict.sensitive;
        v->user_sensitive_count += verdict.user_sensitive;
        v->innocuous_count += verdict.exists && !verdict.sensitive && !verdict.privileged;
        if (verdict.spoils[THEOREM_VMM]) {
            v->violators[v->violator_count++] = i;
        }
        if (verdict.spoils[THEOREM_HYBRID]) {
            v->user_violators[v->user_violator_count++] = i;
        }
    }
    v->theorem[THEOREM_VMM] = v->theorem[THEOREM_RECURSIVE] = !v->violator_count;
    v->theorem[THEOREM_HYBRID] = !v->user_violator_count;
}

/* ------------------------------------------------------------------ lists */

static bool is_violator(const struct ringer_classification *c, unsigned variant, unsigned index)
{
    const struct ringer_pg_variant *v = &c->variant[variant];

    for (unsigned i = 0; i < v->violator_count; i++) {
        if (v->violators[i] == index) {
            return true;
        }
    }
    return false;
}

static void make_list(struct ringer_classification *c, const unsigned *ids, unsigned number)
{
    struct ringer_pg_list *list = &c->list[number];

    list->title = literature[number].title;
    list->says = literature[number].says;
    for (const struct literature_entry *e = literature[number].entries; e->name; e++) {
        unsigned at = list->entry_count++;
        list->entry[at].name = e->name;
        for (unsigned i = 0; i < c->instruction_count; i++) {
            list->entry[at].found |= ids[i] == e->id && is_violator(c, 0, i);
        }
        list->found_count += list->entry[at].found;
    }
}

/* ------------------------------------------------------------------ putting it together */

static bool make_variants(struct ringer_classification *c, const struct experiments *x,
                          const unsigned *ids)
{
    for (unsigned i = 0; i < RINGER_PG_VARIANTS; i++) {
        struct ringer_pg_variant *v = &c->variant[i];
        v->violators = calloc(c->instruction_count, sizeof(*v->violators));
        v->user_violators = calloc(c->instruction_count, sizeof(*v->user_violators));
        if (!v->violators || !v->user_violators) {
            return false;
        }
        make_variant(c, x, ids, &variant_rows[i], v);
    }
    return true;
}

static bool make_all(struct ringer_classification *c, const struct experiments *x)
{
    unsigned *ids = result_instructions(c, x);
    bool ok = ids && make_variants(c, x, ids) && result_differences(c, x);

    if (ok) {
        result_host(c, x);
        for (unsigned i = 0; i < LITERATURE_LISTS; i++) {
            make_list(c, ids, i);
        }
    }
    free(ids);
    return ok;
}

int ringer_classify(struct ringer_classification **result, char *error, size_t error_size)
{
    struct experiments *x;
    char ignored[1];
    int status;

    *result = NULL;
    if (!error) {
        error = ignored;
        error_size = sizeof(ignored);
    }
    if ((status = experiments_run(&x, error, error_size))) {
        return status;
    }
    struct ringer_classification *c = calloc(1, sizeof(*c));
    if (!c || !make_all(c, x)) {
        snprintf(error, error_size, "no memory");
        ringer_classification_free(c);
        c = NULL;
        status = -ENOMEM;
    }
    experiments_free(x);
    *result = c;
    return status;
}

void ringer_classification_free(struct ringer_classification *c)
{
    if (!c) {
        return;
    }
    result_free_instructions(c);
    for (unsigned i = 0; i < RINGER_PG_VARIANTS; i++) {
        free(c->variant[i].violators);
        free(c->variant[i].user_violators);
    }
    for (unsigned i = 0; i < c->difference_count; i++) {
        free(c->differences[i]);
    }
    free(c->differences);
    free(c);
}
