/* feature.h - the CPUID features of the table's rows: has the host them, are guests offered them?
 */
#ifndef TESTS_DIFF_FEATURE_H
#define TESTS_DIFF_FEATURE_H

#include "guest.h"

/* Why rows of a feature (enum insn_cpuid) cannot be compared: "this host does not have ..." or
 * "guests are not offered ..."; NULL if they can. */
const char *feature_missing(struct guest *guest, unsigned feature);

#endif
