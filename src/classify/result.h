/* result.h - parts of what ringer_classify() returns. */
#ifndef CLASSIFY_RESULT_H
#define CLASSIFY_RESULT_H

#include <ringer/classify.h>

struct experiments;

/* Sets c->instructions, sorted by name, and the counters; returns the enum insn_id of each, to be
 * freed, or NULL: no memory. */
unsigned *result_instructions(struct ringer_classification *c, const struct experiments *x);
void result_free_instructions(struct ringer_classification *c);

/* Sets c->differences.  False: no memory. */
bool result_differences(struct ringer_classification *c, const struct experiments *x);

/* Sets c->host. */
void result_host(struct ringer_classification *c, const struct experiments *x);

#endif
