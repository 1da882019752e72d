/*
 * result.c - findings put into words: what an instruction depends on and changes, an example of
 * each, and where x86.def says something else.
 */
#define _GNU_SOURCE /* asprintf, open_memstream */
#include "classify/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "classify/literature.h"
#include "classify/process.h"
#include "isa/cpuid.h"
#include "isa/vector.h"

/* ------------------------------------------------------------------ words */

/* The names of a set's members, with commas; NULL: no memory. */
static char *join(u64 set, const char *(*name)(unsigned), const char *separator)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return NULL;
    }
    for (unsigned i = 0, count = 0; i < 64; i++) {
        if (set & BIT(i)) {
            fprintf(out, "%s%s", count++ ? separator : "", name(i));
        }
    }
    return fclose(out) ? NULL : text;
}

static const char *variation_name(unsigned i)
{
    return variations[i].name;
}

static const char *piece_name(unsigned i)
{
    return pieces[i].name;
}

static const char *exception_name(unsigned i)
{
    static const char *const names[32] = {
        [VECTOR_DE] = "#DE", [VECTOR_DB] = "#DB", [VECTOR_BP] = "#BP", [VECTOR_OF] = "#OF",
        [VECTOR_BR] = "#BR", [VECTOR_UD] = "#UD", [VECTOR_NM] = "#NM", [VECTOR_DF] = "#DF",
        [VECTOR_TS] = "#TS", [VECTOR_NP] = "#NP", [VECTOR_SS] = "#SS", [VECTOR_GP] = "#GP",
        [VECTOR_PF] = "#PF", [VECTOR_MF] = "#MF", [VECTOR_AC] = "#AC", [VECTOR_XM] = "#XM",
    };
    return i < ARRAY_SIZE(names) && names[i] ? names[i] : "another";
}

/* "sgdt [ebx] at CPL 3: memory differs with GDTR base"; NULL if there is none, or no memory. */
static char *witness_text(const struct finding *f, enum code_kind kind, enum witness_of of)
{
    const struct witness *w = &f->witness[of];
    char insn_text[80], *text = NULL;
    struct insn insn;

    if (!w->length || insn_decode(&insn, sample_mode(kind), w->bytes, w->length) != INSN_OK) {
        return NULL;
    }
    insn_format(&insn, sample_mode(kind), CODE, insn_text, sizeof(insn_text));
    int result =
        of == WITNESS_CONTROL
            ? asprintf(&text, "%s at CPL %u changes %s", insn_text, w->cpl, pieces[w->what].name)
        : w->what == VARY_CPL
            ? asprintf(&text, "%s: %s differs between CPL 0 and 3", insn_text, w->difference)
            : asprintf(&text, "%s at CPL %u: %s shows %s", insn_text, w->cpl, w->difference,
                       variations[w->what].name);
    return result < 0 ? NULL : text;
}

/* ------------------------------------------------------------------ one instruction */

/* Of all its encodings together. */
struct merged {
    struct finding finding;
    struct native_finding native[NATIVE_PASSES];
    unsigned classes, user_classes;
    bool exists, measured, all_trap[2];
};

static void merge_native(struct native_finding *into, const struct native_finding *from)
{
    into->tries += from->tries;
    into->completed += from->completed;
    into->trapped += from->trapped;
    into->gates += from->gates;
    into->emulated += from->emulated;
    into->died += from->died;
    into->vectors |= from->vectors;
}

static void merge_finding(struct finding *into, const struct finding *from)
{
    into->tries += from->tries;
    into->samples += from->samples;
    into->runs += from->runs;
    for (unsigned level = 0; level < 2; level++) {
        into->depends[level] |= from->unrepeatable ? 0 : from->depends[level];
        into->changes[level] |= from->changes[level];
    }
    into->depends_on_cpl |= from->depends_on_cpl && !from->unrepeatable;
    for (unsigned i = 0; i < WITNESSES; i++) {
        if (!into->witness[i].length) {
            into->witness[i] = from->witness[i];
        }
    }
}

static void merge_row(struct merged *m, const struct experiments *x, unsigned row,
                      enum code_kind kind)
{
    const struct finding *f = &x->row[row][kind].finding;

    for (unsigned i = 0; i < NATIVE_PASSES; i++) {
        merge_native(&m->native[i], &x->row[row][kind].native[i]);
    }
    if (!f->tries) {
        return;
    }
    bool first = !m->measured;
    merge_finding(&m->finding, f);
    m->exists = true;
    if (!finding_is_measured(f)) {
        return;
    }
    m->measured = true;
    m->classes |= finding_classes(f);
    m->user_classes |= finding_user_classes(f);
    m->all_trap[0] = (first || m->all_trap[0]) && finding_traps(f, VARY_GUARDED);
    m->all_trap[1] = (first || m->all_trap[1]) && finding_traps(f, VARY_GUARDED_UMIP);
}

static bool describe_native(struct ringer_pg_native *out, const struct native_finding *f,
                            unsigned row)
{
    *out = (struct ringer_pg_native){
        .runs = f->tries,
        .completed = f->completed,
        .trapped = f->trapped,
        .gates = f->gates,
        .emulated = f->emulated,
        .exceptions = join(f->vectors, exception_name, " "),
        .excluded = experiment_native_excludes(row),
    };
    return out->exceptions;
}

static bool describe(struct ringer_pg_finding *out, const struct merged *m, enum code_kind kind,
                     unsigned row)
{
    const struct finding *f = &m->finding;
    u64 depends = f->depends[0] | f->depends[1] | (f->depends_on_cpl ? BIT(VARY_CPL) : 0);

    *out = (struct ringer_pg_finding){
        .exists = m->exists,
        .measured = m->measured,
        .classes = m->classes,
        .user_classes = m->user_classes,
        .traps = {m->all_trap[0], m->all_trap[1]},
        .depends = join(depends & ~BIT(VARY_IOPL_IF), variation_name, ", "),
        .changes = join(f->changes[0] | f->changes[1], piece_name, ", "),
        .runs = f->runs,
    };
    for (unsigned i = 0; i < WITNESSES; i++) {
        out->witness[i] = witness_text(f, kind, i);
    }
    return out->depends && out->changes &&
           describe_native(&out->native, &m->native[NATIVE_AS_IS], row) &&
           describe_native(&out->native_guarded, &m->native[NATIVE_GUARDED], row);
}

static bool make_instruction(struct ringer_pg_instruction *out, const struct experiments *x,
                             unsigned id)
{
    unsigned first = INSN_ROWS;
    struct merged merged[CODE_KINDS];
    char name[32];

    memset(merged, 0, sizeof(merged));
    for (unsigned row = 0; row < INSN_ROWS; row++) {
        if (insn_rows[row].id != id) {
            continue;
        }
        first = first == INSN_ROWS ? row : first;
        out->encodings++;
        out->table_classes |= insn_rows[row].classes;
        for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
            merge_row(&merged[kind], x, row, kind);
        }
    }
    const char *feature = insn_cpuid_names[insn_rows[first].cpuid];
    out->feature = *feature ? feature : NULL;
    out->name = strdup(instruction_name(id, insn_rows[first].mnemonic, name, sizeof(name)));
    out->relative_of = literature_relative(id);
    for (unsigned i = 0; i < LITERATURE_LISTS; i++) {
        out->listed[i] = literature_has(i, id);
    }
    for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
        if (!describe(&out->kind[kind], &merged[kind], kind, first)) {
            return false;
        }
    }
    return out->name;
}

/* ------------------------------------------------------------------ all of them */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct ringer_pg_instruction *)a)->name,
                  ((const struct ringer_pg_instruction *)b)->name);
}

/* Which instruction is it?  Names are not unique: MOVSD is two. */
static void sort(struct ringer_classification *c, unsigned *ids)
{
    struct ringer_pg_instruction *all = c->instructions;

    for (unsigned i = 1; i < c->instruction_count; i++) {
        struct ringer_pg_instruction item = all[i];
        unsigned id = ids[i], k = i;
        for (; k && compare_names(&all[k - 1], &item) > 0; k--) {
            all[k] = all[k - 1];
            ids[k] = ids[k - 1];
        }
        all[k] = item;
        ids[k] = id;
    }
}

unsigned *result_instructions(struct ringer_classification *c, const struct experiments *x)
{
    unsigned *ids = calloc(INSN_COUNT, sizeof(*ids));

    c->instructions = calloc(INSN_COUNT, sizeof(*c->instructions));
    if (!ids || !c->instructions) {
        free(ids);
        return NULL;
    }
    for (unsigned id = INSN_INVALID + 1; id < INSN_COUNT; id++) {
        struct ringer_pg_instruction *out = &c->instructions[c->instruction_count];
        ids[c->instruction_count++] = id;
        if (!make_instruction(out, x, id)) {
            free(ids);
            return NULL;
        }
        c->encoding_count += out->encodings;
        for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
            c->runs += out->kind[kind].runs;
            c->native_runs += out->kind[kind].native.runs + out->kind[kind].native_guarded.runs;
        }
    }
    sort(c, ids);
    return ids;
}

void result_free_instructions(struct ringer_classification *c)
{
    for (unsigned i = 0; i < c->instruction_count; i++) {
        struct ringer_pg_instruction *insn = &c->instructions[i];
        for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
            struct ringer_pg_finding *f = &insn->kind[kind];
            free((char *)f->depends);
            free((char *)f->changes);
            free((char *)f->native.exceptions);
            free((char *)f->native_guarded.exceptions);
            for (unsigned k = 0; k < WITNESSES; k++) {
                free((char *)f->witness[k]);
            }
        }
        free((char *)insn->name);
    }
    free(c->instructions);
}

/* ------------------------------------------------------------------ the host */

static void cpu_name(char name[64])
{
    u32 words[16] = {0};

    for (u32 i = 0; i < 3; i++) {
        u32 *out = words + 4 * i;
        __asm__("cpuid"
                : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                : "a"(0x80000002 + i), "c"(0));
    }
    const char *from = (const char *)words;
    while (*from == ' ') {
        from++;
    }
    snprintf(name, 64, "%s", from);
}

static bool cpuid_has_umip(void)
{
    u32 eax = 7, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return ecx & CPUID_7C_UMIP;
}

void result_host(struct ringer_classification *c, const struct experiments *x)
{
    struct ringer_pg_host *host = &c->host;
    struct utsname kernel;

    cpu_name(host->cpu);
    if (!uname(&kernel)) {
        snprintf(host->kernel, sizeof(host->kernel), "%.30s %.48s", kernel.sysname, kernel.release);
    }
    host->umip_offered = cpuid_has_umip();
    for (unsigned i = 0; i < UMIP_PROBES; i++) {
        host->umip[i].name = umip_names[i];
        host->umip[i].cost_ns = x->umip[i][CODE_64].cost_ns;
        for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
            host->umip[i].answer[kind] = x->umip[i][kind].answer;
            host->umip[i].value[kind] = x->umip[i][kind].value;
        }
    }
    host->can_run = x->can_run_natively;
    host->guard_tsc = x->guard_tsc;
    host->guard_cpuid = x->guard_cpuid;
}
