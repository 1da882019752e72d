/*
 * difference.c - where x86.def and the experiments, or the two kinds of experiments, do not agree.
 */
#define _GNU_SOURCE /* asprintf */
#include <stdio.h>
#include <stdlib.h>

#include "classify/process.h"
#include "classify/result.h"
#include "isa/vector.h"

static void class_words(unsigned classes, char text[32])
{
    snprintf(text, 32, "%s%s%s%s%s%s", classes ? "" : " none",
             classes & CLASS_PRIVILEGED ? " priv" : "", classes & CLASS_IO_PRIVILEGED ? " io" : "",
             classes & CLASS_CONTROL_SENSITIVE ? " ctl" : "",
             classes & CLASS_LOCATION_SENSITIVE ? " loc" : "",
             classes & CLASS_MODE_SENSITIVE ? " mode" : "");
}

static bool add(struct ringer_classification *c, char *line)
{
    char **more = line ? realloc(c->differences, (c->difference_count + 1) * sizeof(*more)) : NULL;

    if (!more) {
        free(line);
        return false;
    }
    c->differences = more;
    c->differences[c->difference_count++] = line;
    return true;
}

static bool compare_classes(struct ringer_classification *c, const struct experiments *x,
                            unsigned row)
{
    unsigned found = 0;
    bool measured = false;
    char says[32], finds[32], *line;

    for (unsigned kind = 0; kind < CODE_KINDS; kind++) {
        const struct finding *f = &x->row[row][kind].finding;
        if (finding_is_measured(f)) {
            measured = true;
            found |= finding_classes(f);
        }
    }
    if (!measured || found == insn_rows[row].classes) {
        return true;
    }
    class_words(insn_rows[row].classes, says);
    class_words(found, finds);
    if (asprintf(&line, "row %u, %s: x86.def says%s, experiments find%s", row,
                 insn_rows[row].mnemonic, says, finds) < 0) {
        line = NULL;
    }
    return add(c, line);
}

/* CR4.UMIP is what the host's kernel has made it. */
static bool depends_on_umip(unsigned id)
{
    return id == INSN_SGDT || id == INSN_SIDT || id == INSN_SLDT || id == INSN_STR ||
           id == INSN_SMSW;
}

/* At CPL 3 an instruction completes on the host if and only if it does in the laboratory.  An
 * instruction that only ever raises #UD here does not exist here. */
static bool compare_traps(struct ringer_classification *c, const struct experiments *x,
                          unsigned row, enum code_kind kind)
{
    const struct finding *f = &x->row[row][kind].finding;
    const struct native_finding *n = &x->row[row][kind].native[NATIVE_AS_IS];
    bool here = n->completed, there = f->completed[1][VARY_CPL];
    char *line;

    if (!finding_is_measured(f) || !(n->completed || n->trapped) || here == there ||
        depends_on_umip(insn_rows[row].id) || (!here && n->vectors == BIT(VECTOR_UD))) {
        return true;
    }
    if (asprintf(&line, "row %u, %s in %u-bit code at CPL 3: %s on the host, %s in Ringer", row,
                 insn_rows[row].mnemonic, kind == CODE_64 ? 64 : 32,
                 here ? "completes" : "always traps", there ? "completes" : "always traps") < 0) {
        line = NULL;
    }
    return add(c, line);
}

bool result_differences(struct ringer_classification *c, const struct experiments *x)
{
    for (unsigned row = 0; row < INSN_ROWS; row++) {
        if (!compare_classes(c, x, row) || !compare_traps(c, x, row, CODE_32) ||
            !compare_traps(c, x, row, CODE_64)) {
            return false;
        }
    }
    return true;
}
