/*
 * theorems.h - Popek and Goldberg's three theorems as what they are: statements about sets.
 *
 *      1   a VMM can be built if the sensitive instructions are a subset of the privileged ones
 *      2   it is recursively virtualizable if that holds, and if its VMM can be one without timing
 *          dependencies: this, no experiment on the processor can show
 *      3   a hybrid VMM can be built if the user-sensitive instructions are a subset of the
 *          privileged ones
 */
#ifndef CLASSIFY_THEOREMS_H
#define CLASSIFY_THEOREMS_H

#include "base/types.h"

/* An instruction, or one encoding of it. */
struct theorem_item {
    bool sensitive, user_sensitive, privileged;
};

enum theorem { THEOREM_VMM, THEOREM_RECURSIVE, THEOREM_HYBRID, THEOREMS };

/* Does this instruction spoil the theorem? */
static inline bool theorem_is_spoiled(enum theorem theorem, struct theorem_item item)
{
    return (theorem == THEOREM_HYBRID ? item.user_sensitive : item.sensitive) && !item.privileged;
}

static inline bool theorem_holds(enum theorem theorem, const struct theorem_item *items,
                                 unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (theorem_is_spoiled(theorem, items[i])) {
            return false;
        }
    }
    return true;
}

#endif
