/* report.c - see report.h. */
#include "report.h"

#include <string.h>

static void count_sequence(struct report *r, const struct diff_case *c)
{
    struct insn insn;

    r->sequences++;
    for (unsigned at = 0; at < c->code_size; at += insn.length) {
        if (insn_decode(&insn, c->mode, c->code + at, c->code_size - at) != INSN_OK) {
            return;
        }
        r->row[insn.row].in_sequences++;
        r->instructions++;
    }
}

struct row_count *report_row(struct report *r, const struct diff_case *c)
{
    return c->row == CASE_NO_ROW ? &r->no_row : &r->row[c->row];
}

void report_count(struct report *r, const struct diff_case *c, bool at_start)
{
    struct row_count *row = report_row(r, c);

    r->compared++;
    r->exceptions += at_start;
    switch ((enum case_kind)c->kind) {
    case CASE_SINGLE:
        r->singles++;
        row->compared[c->mode]++;
        row->exceptions += at_start;
        break;
    case CASE_UNDEFINED:
        r->undefined++;
        row->undefined++;
        break;
    case CASE_SEQUENCE:
        count_sequence(r, c);
        break;
    }
}

static u64 cases(const struct row_count *row)
{
    return row->compared[0] + row->compared[1] + row->compared[2];
}

unsigned report_missing(const struct report *r)
{
    unsigned missing = 0;

    for (unsigned i = 0; i < INSN_ROWS; i++) {
        missing += !cases(&r->row[i]) && !r->row[i].reason && !r->row[i].open;
    }
    return missing;
}

static void write_row(const struct report *r, const struct encodings *e, unsigned i, FILE *file)
{
    const struct row_count *row = &r->row[i];
    char text[64];

    encode_text(e, i, text, sizeof(text));
    fprintf(file, "%-27s %-16s", text, insn_rows[i].mnemonic);
    if (row->reason) {
        fprintf(file, " none: %s\n", row->reason);
        return;
    }
    fprintf(file, " %7lu %7lu %7lu %7lu %7lu %7lu %7lu\n", row->compared[INSN_MODE_64],
            row->compared[INSN_MODE_32], row->compared[INSN_MODE_16], row->exceptions,
            row->in_sequences, row->undefined, row->open);
}

void report_totals(const struct report *r, FILE *file)
{
    fprintf(file,
            "%lu cases compared with the host: %lu single instructions, %lu sequences of %lu "
            "instructions, %lu undefined ones\n"
            "%lu of them met an exception in their first instruction; %lu differ\n",
            r->compared, r->singles, r->sequences, r->instructions, r->undefined, r->exceptions,
            r->different);
    fprintf(file,
            "not compared: %lu as differences.c says, %lu at addresses of the host's process, "
            "%lu without end, %lu system calls, %lu instructions that guests are not shown\n",
            r->open, r->elsewhere, r->endless, r->kernel, r->hidden);
}

static const char *id_name(unsigned id)
{
    for (unsigned row = 0; id != INSN_INVALID && row < INSN_ROWS; row++) {
        if (insn_rows[row].id == id) {
            return insn_rows[row].mnemonic;
        }
    }
    return "(any)";
}

void report_write(const struct report *r, const struct encodings *e, enum vendor vendor, u64 seed,
                  FILE *file)
{
    fprintf(file, "Native against interpreted, seed %#lx, on a host of %s's kind.\n\n", seed,
            vendor == VENDOR_AMD ? "AMD" : "Intel");
    report_totals(r, file);
    fprintf(file,
            "\nCases of each row of src/isa/x86.def: in 64-, 32- and 16-bit code; of them "
            "with an exception;\nsequences with it; undefined forms of it; not compared.\n\n"
            "%-27s %-16s %7s %7s %7s %7s %7s %7s %7s\n",
            "encoding", "instruction", "64", "32", "16", "except", "seq", "undef", "open");
    for (unsigned i = 0; i < INSN_ROWS; i++) {
        write_row(r, e, i, file);
    }
    fprintf(file,
            "\nWhat differences.c leaves open on this host, and for how many cases it held:\n\n");
    for (unsigned i = 0; i < difference_count; i++) {
        const struct difference *d = &differences[i];
        if (d->vendors & BIT(vendor) && !(d->open & (OPEN_RUN | OPEN_SEQUENCE))) {
            fprintf(file, "%10lu %-12s %s\n", r->used[i], id_name(d->id), d->reason);
        }
    }
}

void report_rows_without(const struct report *r, const struct encodings *e, FILE *file)
{
    unsigned none = 0;

    for (unsigned i = 0; i < INSN_ROWS; i++) {
        none += !cases(&r->row[i]);
    }
    fprintf(file, "%u of %u rows of the table had cases%s\n", INSN_ROWS - none, INSN_ROWS,
            none ? "; without:" : "");
    for (unsigned i = 0; i < INSN_ROWS; i++) {
        if (!cases(&r->row[i])) {
            char text[64];
            encode_text(e, i, text, sizeof(text));
            fprintf(file, "  %-27s %-12s %s\n", text, insn_rows[i].mnemonic,
                    r->row[i].reason ? r->row[i].reason
                    : r->row[i].open ? "run, but not compared: differences.c"
                                     : "NOT REACHED");
        }
    }
}
