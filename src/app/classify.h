/* classify.h - `ringer classify`. */
#ifndef APP_CLASSIFY_H
#define APP_CLASSIFY_H

#include <ringer/classify.h>
#include <stdio.h>

/* argv[0] is "classify".  Returns the exit status. */
int classify_main(int argc, char **argv);

/* ------------------------------------------------------------------ its files */

/* The whole report for people, 80 columns wide. */
void classify_text(FILE *file, const struct ringer_classification *c);

/* All that is known of one instruction. */
void classify_explain(FILE *file, const struct ringer_pg_instruction *insn);

/* The same for programs.  The HTML page is complete in itself. */
void classify_json(FILE *file, const struct ringer_classification *c);
void classify_html(FILE *file, const struct ringer_classification *c);

/* "umip" and such: what was seen of an instruction at CPL 3, in a word. */
const char *classify_traps_word(const struct ringer_pg_finding *f);
const char *classify_native_word(const struct ringer_pg_native *n);

#endif
