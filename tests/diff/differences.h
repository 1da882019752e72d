/*
 * differences.h - where two processors may differ, or the host's kernel stands between: the one
 * list of what is not compared, with the reasons.
 *
 * The flags that the manual leaves undefined are not here but in the table: u= in x86.def.
 */
#ifndef TESTS_DIFF_DIFFERENCES_H
#define TESTS_DIFF_DIFFERENCES_H

#include "case.h"

enum vendor { VENDOR_INTEL, VENDOR_AMD };

/* By the host's CPUID.  Zhaoxin counts as Intel, Hygon as AMD. */
enum vendor vendor_of_host(void);

/* What is not compared. */
enum {
    OPEN_RUN = 1 << 0,         /* it is not even run */
    OPEN_CASE = 1 << 1,        /* all of the case */
    OPEN_EXCEPTION = 1 << 2,   /* if both sides meet an exception: which, and all after it */
    OPEN_PARTIAL = 1 << 3,     /* at an exception: how much was done before it */
    OPEN_DESTINATION = 1 << 4, /* bits of the destination register: open_bits */
    OPEN_RESULTS = 1 << 5,     /* the low halves of RAX, RBX, RCX, RDX */
    OPEN_MEMORY = 1 << 6,      /* what it stores */
    OPEN_WORDS = 1 << 7,       /* of what it stores, bits of each 8 bytes: bits */
    OPEN_FAULT = 1 << 8,       /* if there is a fault of memory: whether there is one, and where */
    OPEN_RF = 1 << 9,          /* RFLAGS.RF, saved by a trap */
    OPEN_FLAGS = 1 << 10,      /* the arithmetic flags */
    OPEN_ONCE = 1 << 11,       /* what does not differ when it is run again */
    OPEN_SEQUENCE = 1 << 12,   /* no more than what the table says, but a sequence cannot have it */
};

struct difference {
    u16 id;     /* enum insn_id; INSN_INVALID: of any instruction */
    u8 vendors; /* BIT(enum vendor): hosts on which it shows */
    u16 open;   /* OPEN_* */
    u64 bits;   /* of OPEN_DESTINATION and OPEN_WORDS */
    bool (*applies)(const struct insn *insn, const struct diff_case *c); /* NULL: always */
    const char *reason;
};

extern const struct difference differences[];
extern const unsigned difference_count;

/* What is open for this instruction on a host of that vendor; *bits as above.  c may be NULL: then
 * only what holds always.  used, if not NULL, counts by index in differences[]. */
unsigned differences_of(const struct insn *insn, const struct diff_case *c, enum vendor vendor,
                        u64 *bits, u64 *used);

/* Is there any for this instruction, whatever the case? */
bool differences_any(unsigned id, enum vendor vendor);

/* Why it is not run; NULL if it is. */
const char *differences_not_run(unsigned id, enum vendor vendor);

#endif
