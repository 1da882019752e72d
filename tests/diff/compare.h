/* compare.h - are two outcomes of a case the same, but for what the manual leaves open? */
#ifndef TESTS_DIFF_COMPARE_H
#define TESTS_DIFF_COMPARE_H

#include "case.h"
#include "differences.h"

struct comparison {
    enum vendor vendor;
    u64 *used;         /* by index in differences[]: for how many cases */
    bool not_compared; /* result: something in differences[] keeps all of it from being compared */
    bool once;         /* result: a difference counts only if it is there again */
    bool hidden;       /* result: the host has an instruction there that guests are not shown */
};

/* Could anything of the case be compared?  If not, the host need not run it: some would never end
 * there. */
bool compare_possible(const struct comparison *k, const struct diff_case *c);

/* NULL, or what differs. */
const char *compare_outcomes(struct comparison *k, const struct diff_case *c,
                             const struct outcome *host, const struct outcome *guest);

#endif
