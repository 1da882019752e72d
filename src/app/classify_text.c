/* classify_text.c - what `ringer classify` found, for people. */
#include <inttypes.h>
#include <string.h>

#include "app/classify.h"
#include "base/types.h"

#define WIDTH  80
#define COLUMN 48 /* where the last column of the table begins */

/* ------------------------------------------------------------------ words and lines */

const char *classify_traps_word(const struct ringer_pg_finding *f)
{
    if (!f->exists) {
        return "";
    }
    return !f->measured ? "?" : f->traps[0] ? "yes" : f->traps[1] ? "umip" : "no";
}

const char *classify_native_word(const struct ringer_pg_native *n)
{
    if (n->excluded || !n->runs) {
        return "";
    }
    if (n->emulated) {
        return "emul";
    }
    if (n->completed) {
        return n->gates ? "gate" : "runs";
    }
    return n->trapped ? "traps" : "?";
}

/* Words, separated by blanks, in lines that begin at column `indent`; the first is there already,
 * at column `at`. */
static void wrap(FILE *file, const char *text, int at, int indent)
{
    bool first = true;

    while (*text) {
        int length = (int)strcspn(text, " ");
        if (!first && at + 1 + length > WIDTH - 1) {
            fprintf(file, "\n%*s", indent, "");
            at = indent;
        } else if (!first) {
            fputc(' ', file);
            at++;
        }
        fprintf(file, "%.*s", length, text);
        at += length;
        text += length;
        text += strspn(text, " ");
        first = false;
    }
    fputc('\n', file);
}

/* A list of names with commas, ended by a line's end. */
struct list {
    FILE *file;
    int at, indent, count;
};

static void list_add(struct list *list, const char *name)
{
    int length = (int)strlen(name);

    if (list->count) {
        fputc(',', list->file);
        list->at++;
        if (list->at + 2 + length > WIDTH - 1) {
            fprintf(list->file, "\n%*s", list->indent, "");
            list->at = list->indent;
        } else {
            fputc(' ', list->file);
            list->at++;
        }
    }
    fputs(name, list->file);
    list->at += length;
    list->count++;
}

/* ------------------------------------------------------------------ the table */

static void class_letters(unsigned classes, char text[6])
{
    static const char letters[] = "PICLM";

    for (unsigned i = 0; i < 5; i++) {
        text[i] = classes >> i & 1 ? letters[i] : '-';
    }
    text[5] = '\0';
}

static int finding_columns(char *text, size_t size, const struct ringer_pg_finding *f)
{
    char letters[6] = "";

    if (f->exists) {
        class_letters(f->classes, letters);
    }
    return snprintf(text, size, "%-5s %-4s %-6s", f->measured || !f->exists ? letters : "?",
                    classify_traps_word(f), classify_native_word(&f->native));
}

/* What the two kinds of code show differs little: the longer one has it all. */
static const char *longer(const char *a, const char *b)
{
    return strlen(a) >= strlen(b) ? a : b;
}

static void print_instruction(FILE *file, const struct ringer_pg_instruction *insn)
{
    const struct ringer_pg_finding *a = &insn->kind[RINGER_PG_32], *b = &insn->kind[RINGER_PG_64];
    const char *depends = longer(a->depends, b->depends), *changes = longer(a->changes, b->changes);
    char columns[60], text[600];
    int length = snprintf(columns, sizeof(columns), "%-14s", insn->name);

    length += finding_columns(columns + length, sizeof(columns) - (size_t)length, a);
    length += finding_columns(columns + length, sizeof(columns) - (size_t)length, b);
    snprintf(text, sizeof(text), "%s%s%s%s%s", *depends ? "shows " : "", depends,
             *depends && *changes ? "; " : "", *changes ? "changes " : "", changes);
    while (!*text && length && columns[length - 1] == ' ') {
        length--;
    }
    fprintf(file, "%.*s", length, columns);
    wrap(file, text, COLUMN, COLUMN);
}

static bool is_special(const struct ringer_pg_instruction *insn)
{
    return insn->kind[RINGER_PG_32].classes || insn->kind[RINGER_PG_64].classes;
}

static bool is_unmeasured(const struct ringer_pg_instruction *insn)
{
    return !insn->kind[RINGER_PG_32].measured && !insn->kind[RINGER_PG_64].measured;
}

static void print_table(FILE *file, const struct ringer_classification *c)
{
    unsigned innocuous = 0;
    struct list list = {file, 14, 2, 0};

    fprintf(file, "\n%-14s%-17s%s\n%-14s%-5s %-4s %-6s%-5s %-4s %s\n", "", "32-bit code",
            "64-bit code", "INSTRUCTION", "class", "trap", "host", "class", "trap", "host");
    for (unsigned i = 0; i < c->instruction_count; i++) {
        if (is_special(&c->instructions[i])) {
            print_instruction(file, &c->instructions[i]);
        } else {
            innocuous += !is_unmeasured(&c->instructions[i]);
        }
    }
    fprintf(file,
            "\nclass  P privileged, I privileged as long as CPL > IOPL; sensitive: C control,\n"
            "       L by location, M by mode\n"
            "trap   at CPL 3, with IOPL 0 and CR4.TSD 1: always, only with UMIP, or not\n"
            "host   its CPU at CPL 3: traps; runs; enters the kernel by a gate; trapped, and\n"
            "       Linux emulated it\n\nInnocuous: %u other instructions.\n",
            innocuous);
    fprintf(file, "Not measured: ");
    for (unsigned i = 0; i < c->instruction_count; i++) {
        if (is_unmeasured(&c->instructions[i])) {
            list_add(&list, c->instructions[i].name);
        }
    }
    fputs(list.count ? ":\n  this machine has not got them, or they always trap.\n" : "none.\n",
          file);
}

/* ------------------------------------------------------------------ theorems */

static void print_spoilers(FILE *file, const struct ringer_classification *c,
                           const unsigned *indexes, unsigned count, const char *head)
{
    struct list list = {file, (int)strlen(head), 2, 0};

    fputs(head, file);
    for (unsigned i = 0; i < count; i++) {
        list_add(&list, c->instructions[indexes[i]].name);
    }
    fputc('\n', file);
}

/* Those of the first theorem that do not spoil the third. */
static unsigned supervisor_only(const struct ringer_pg_variant *v, unsigned *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < v->violator_count; i++) {
        bool user = false;
        for (unsigned k = 0; k < v->user_violator_count; k++) {
            user |= v->user_violators[k] == v->violators[i];
        }
        if (!user) {
            out[count++] = v->violators[i];
        }
    }
    return count;
}

/* All three theorems say "if", not "only if". */
static void print_theorems_head(FILE *file)
{
    fprintf(file,
            "\nTheorem 1: a VMM can be built if all sensitive instructions are privileged.\n"
            "Theorem 2: a recursive one, if it has no timing dependencies besides.\n"
            "Theorem 3: a hybrid VMM, if all that are sensitive in user mode are privileged.\n"
            "Where they fail, to trap and emulate is not enough.\n");
}

static void print_variant(FILE *file, const struct ringer_classification *c,
                          const struct ringer_pg_variant *v)
{
    static const char *const words[] = {"fails", "holds"};
    unsigned harmless[64];

    fprintf(file, "\n%s\n", v->name);
    if (!v->measured) {
        fprintf(file, "  not measured: this kernel does not let a process try\n");
        return;
    }
    fprintf(file, "  %u instructions are privileged, %u sensitive (%u in user mode), %u neither\n",
            v->privileged_count, v->sensitive_count, v->user_sensitive_count, v->innocuous_count);
    fprintf(file, "  theorem 1 (VMM)        %s\n", words[v->theorem[0]]);
    fprintf(file, "  theorem 2 (recursive)  %s%s\n", words[v->theorem[1]],
            v->theorem[1] ? ", for a VMM without timing dependencies" : "");
    fprintf(file, "  theorem 3 (hybrid VMM) %s\n", words[v->theorem[2]]);
    if (!v->violator_count) {
        return;
    }
    char head[64];
    snprintf(head, sizeof(head), "  spoiled by %u: ", v->violator_count);
    print_spoilers(file, c, v->violators, v->violator_count, head);
    if (v->violator_count <= ARRAY_SIZE(harmless)) {
        unsigned count = supervisor_only(v, harmless);
        if (count) {
            print_spoilers(file, c, harmless, count, "  of which these do not spoil theorem 3: ");
        }
    }
}

/* ------------------------------------------------------------------ lists */

static void print_relatives(FILE *file, const struct ringer_classification *c, const char *of)
{
    const struct ringer_pg_variant *v = &c->variant[0];
    struct list list = {file, 0, 4, 0};

    fprintf(file, "  relatives of %s: ", of);
    list.at = 17 + (int)strlen(of);
    for (unsigned i = 0; i < v->violator_count; i++) {
        const struct ringer_pg_instruction *insn = &c->instructions[v->violators[i]];
        if (insn->relative_of && !strcmp(insn->relative_of, of)) {
            list_add(&list, insn->name);
        }
    }
    fputc('\n', file);
}

static void print_others(FILE *file, const struct ringer_classification *c, bool newer)
{
    const struct ringer_pg_variant *v = &c->variant[0];
    const char *head = newer ? "  newer than the Pentium: " : "  in neither list: ";
    struct list list = {file, (int)strlen(head), 4, 0};

    fputs(head, file);
    for (unsigned i = 0; i < v->violator_count; i++) {
        const struct ringer_pg_instruction *insn = &c->instructions[v->violators[i]];
        if (!insn->listed[0] && !insn->listed[1] && !insn->relative_of &&
            newer == (insn->feature != NULL)) {
            list_add(&list, insn->name);
        }
    }
    fputs(list.count ? "\n" : "none\n", file);
}

static void print_lists(FILE *file, const struct ringer_classification *c)
{
    fprintf(file, "\nx86-32 without UMIP, beside what others found by reading the manual\n");
    for (unsigned i = 0; i < ARRAY_SIZE(c->list); i++) {
        const struct ringer_pg_list *list = &c->list[i];
        fprintf(file, "  %s: %u of %u found\n    %s\n", list->title, list->found_count,
                list->entry_count, list->says);
        for (unsigned k = 0; k < list->entry_count; k++) {
            if (!list->entry[k].found) {
                fprintf(file, "    not found: %s\n", list->entry[k].name);
            }
        }
    }
    print_relatives(file, c, "MOV segment");
    print_relatives(file, c, "INT n");
    print_others(file, c, true);
    print_others(file, c, false);
}

/* ------------------------------------------------------------------ the host */

static const char *umip_word(enum ringer_umip_answer answer)
{
    switch (answer) {
    case RINGER_UMIP_TRAPS:
        return "trap";
    case RINGER_UMIP_EMULATED:
        return "trap, and Linux answers in the CPU's place";
    case RINGER_UMIP_EXECUTED:
        return "are executed";
    case RINGER_UMIP_UNKNOWN:
        break;
    }
    return "were not tried";
}

static void print_host(FILE *file, const struct ringer_classification *c)
{
    const struct ringer_pg_host *h = &c->host;

    fprintf(file, "%s, %s\n", h->cpu, h->kernel);
    fprintf(file,
            "%u encodings of %u instructions, executed %.1f million times in the\n"
            "interpreter and %.0f thousand times on the host's CPU\n",
            c->encoding_count, c->instruction_count, (double)c->runs / 1e6,
            (double)c->native_runs / 1e3);
    fprintf(file, "UMIP: the CPU has %s; at CPL 3 here\n", h->umip_offered ? "it" : "it not");
    for (unsigned i = 0; h->can_run && i < ARRAY_SIZE(h->umip); i++) {
        fprintf(file, "  %-5s %s", h->umip[i].name, umip_word(h->umip[i].answer[RINGER_PG_64]));
        if (h->umip[i].cost_ns) {
            fprintf(file, " (%#" PRIx64 ", %u ns)", h->umip[i].value[RINGER_PG_64],
                    h->umip[i].cost_ns);
        }
        fputc('\n', file);
    }
    fprintf(file, "Guards that a process has here: RDTSC %s made to trap; CPUID %s.\n",
            h->guard_tsc ? "can be" : "cannot be", h->guard_cpuid ? "can, too" : "cannot");
}

void classify_text(FILE *file, const struct ringer_classification *c)
{
    print_host(file, c);
    print_table(file, c);
    print_theorems_head(file);
    for (unsigned i = 0; i < RINGER_PG_VARIANTS; i++) {
        print_variant(file, c, &c->variant[i]);
    }
    print_lists(file, c);
    fprintf(file, "\nRinger's own table, x86.def, %s.\n",
            c->difference_count ? "differs" : "says the same of every encoding");
    for (unsigned i = 0; i < c->difference_count; i++) {
        fprintf(file, "  %s\n", c->differences[i]);
    }
}

/* ------------------------------------------------------------------ one instruction */

static void explain_native(FILE *file, const struct ringer_pg_native *n, const char *name)
{
    if (n->excluded) {
        fprintf(file, "    %s: not tried: %s\n", name, n->excluded);
        return;
    }
    fprintf(file, "    %s: of %u executions %u completed", name, n->runs, n->completed);
    if (n->gates) {
        fprintf(file, " (%u by a gate)", n->gates);
    }
    if (n->emulated) {
        fprintf(file, " (%u emulated by Linux)", n->emulated);
    }
    fprintf(file, ", %u trapped%s%s\n", n->trapped, *n->exceptions ? ": " : "", n->exceptions);
}

static void explain_kind(FILE *file, const struct ringer_pg_finding *f, const char *name)
{
    static const char *const words[] = {"privileged", "privileged as long as CPL > IOPL",
                                        "control-sensitive", "location-sensitive",
                                        "mode-sensitive"};
    unsigned shown = 0;

    fprintf(file, "  in %s code: ", name);
    if (!f->exists) {
        fprintf(file, "there is none\n");
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        if (f->classes >> i & 1) {
            fprintf(file, "%s%s", shown++ ? ", " : "", words[i]);
        }
    }
    fprintf(file, "%s\n", shown ? "" : f->measured ? "innocuous" : "not measured");
    if (f->user_classes) {
        fprintf(file, "    sensitive at CPL 3 alone, too\n");
    }
    if (*f->depends) {
        fprintf(file, "    its result shows: %s\n", f->depends);
    }
    if (*f->changes) {
        fprintf(file, "    it changes: %s\n", f->changes);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(f->witness); i++) {
        if (f->witness[i]) {
            fprintf(file, "    for example: %s\n", f->witness[i]);
        }
    }
    fprintf(file, "    traps at CPL 3: %s without UMIP, %s with it (%u executions)\n",
            f->traps[0] ? "yes" : "no", f->traps[1] ? "yes" : "no", f->runs);
    explain_native(file, &f->native, "on the host's CPU");
    explain_native(file, &f->native_guarded, "with its guards set");
}

void classify_explain(FILE *file, const struct ringer_pg_instruction *insn)
{
    fprintf(file, "%s: %u encoding%s%s%s\n", insn->name, insn->encodings,
            insn->encodings == 1 ? "" : "s", insn->feature ? ", CPUID feature " : "",
            insn->feature ? insn->feature : "");
    explain_kind(file, &insn->kind[RINGER_PG_32], "32-bit");
    explain_kind(file, &insn->kind[RINGER_PG_64], "64-bit");
}
