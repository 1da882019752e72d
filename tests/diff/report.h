/* report.h - how many cases each row of the instruction table had, and why one had none. */
#ifndef TESTS_DIFF_REPORT_H
#define TESTS_DIFF_REPORT_H

#include <stdio.h>

#include "case.h"
#include "differences.h"
#include "encode.h"

#define REPORT_MODES 3

struct row_count {
    u64 compared[REPORT_MODES]; /* by enum insn_mode */
    u64 exceptions;             /* of these: at the instruction itself */
    u64 in_sequences;           /* sequences that contain it */
    u64 undefined;              /* encodings of it that are undefined: a wrong prefix, VEX.L, ... */
    u64 open;                   /* not compared: differences[] */
    const char *reason;         /* why the row is not run; or NULL */
};

struct report {
    struct row_count row[INSN_ROWS], no_row;
    u64 used[128]; /* by index in differences[] */
    u64 compared, singles, sequences, instructions, undefined, exceptions;
    u64 open, elsewhere, endless, kernel, hidden;
    u64 different;
};

struct row_count *report_row(struct report *r, const struct diff_case *c);

/* Count a case that was compared.  at_start: it ended in an exception of its first instruction. */
void report_count(struct report *r, const struct diff_case *c, bool at_start);

/* All rows, one a line. */
void report_write(const struct report *r, const struct encodings *e, enum vendor vendor, u64 seed,
                  FILE *file);

/* Some lines for the terminal: the totals; the rows that had no case. */
void report_totals(const struct report *r, FILE *file);
void report_rows_without(const struct report *r, const struct encodings *e, FILE *file);

/* Rows that should have had a case, and had none. */
unsigned report_missing(const struct report *r);

#endif
