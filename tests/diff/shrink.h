/* shrink.h - a case that differs, made as plain as it can be while it still does. */
#ifndef TESTS_DIFF_SHRINK_H
#define TESTS_DIFF_SHRINK_H

#include "repro.h"
#include "session.h"

void shrink(struct session *s, struct diff_case *c, const char *what);

#endif
