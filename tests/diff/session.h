/*
 * session.h - both sides together: cases are made, interpreted and sent to the host in batches, and
 * compared.
 */
#ifndef TESTS_DIFF_SESSION_H
#define TESTS_DIFF_SESSION_H

#include "compare.h"
#include "generate.h"
#include "guest.h"
#include "native.h"
#include "report.h"

struct half { /* one batch is made and interpreted while the host runs the other */
    unsigned count;
    struct diff_case cases[NATIVE_BATCH];
    struct outcome guest[NATIVE_BATCH];
};

struct slot { /* what is generated in turn */
    u16 row;  /* or one of SLOT_* */
    u8 mode;
};

#define SLOT_SEQUENCE 0xffff /* a sequence */
#define SLOT_NO_ROW   0xfffe /* an opcode that no row has */
#define SLOTS_MAX     (INSN_ROWS * 3 * 2 + 3000)

struct session {
    struct guest *guest;
    struct native_process *native;
    struct generator generator;
    struct comparison comparison;
    struct report report;
    bool row_usable[INSN_ROWS]; /* in sequences */
    u64 seed;
    const char *program; /* for reproducers */
    unsigned most_failures;
    unsigned slots;
    struct slot slot[SLOTS_MAX];
    struct half half[2];
};

/* NULL if the host cannot: *reason.  only: a mnemonic, or NULL for all. */
struct session *session_new(u64 seed, const char *only, const char **reason);
void session_free(struct session *s);

/* Run until `cases` have been compared, and `seconds` have passed; or there were too many failures.
 * No single instructions of `only` left: returns false. */
void session_run(struct session *s, u64 cases, unsigned seconds);

/* Run one case on both sides.  NULL if they are the same, else what differs.  *native_outcome and
 * *guest_outcome are filled in. */
const char *session_try(struct session *s, const struct diff_case *c, struct outcome *native,
                        struct outcome *guest);

/* Print both sides of a case that differs, with a reproducer. */
void session_print(struct session *s, const struct diff_case *c, const char *what,
                   const struct outcome *native, const struct outcome *guest);

#endif
