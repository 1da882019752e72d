/*
 * rights.h - every access to a page through every combination of rights in its paging-structure
 * entries, against a model: what faults, with which error code, and accessed and dirty bits.
 *
 * rights64.c (4-level paging) and rights32.c (32-bit and PAE paging) build the tables; rights.c has
 * the model and the loops.  The model follows Intel SDM vol. 3A, "Access Rights", "Page-Fault
 * Exceptions" and "Accessed and Dirty Flags", and nothing else.
 */
#ifndef TESTS_RIGHTS_H
#define TESTS_RIGHTS_H

#include "guest.h"

enum {
    P = 1,
    W = 2,
    U = 4,
    A = 0x20,
    D = 0x40,
    PS = 0x80,
    LEVELS_MAX = 4,
};
#define NX (1ull << 63)

enum { CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21 };
#define CR0_WP   (1u << 16)
#define CR0_PG   (1u << 31)
#define MSR_EFER 0xc0000080u
#define EFER_NXE (1u << 11)
#define FLAGS_AC (1u << 18)

/* One entry on the way to the page, from the top. */
struct step {
    void *entry;  /* where it is: of 4 or 8 bytes */
    u64 address;  /* its address field, and PS where it maps a large page */
    u64 reserved; /* a bit that has to be 0 here, or 0 if there is none */
    u64 ignored;  /* bits that do not matter here */
};

/* A way to translate one linear address. */
struct space {
    const char *name;
    bool wide, pae; /* entries of 8 bytes; the format has NX */
    unsigned depth;
    struct step steps[LEVELS_MAX];
    word at; /* the linear address of the page */
};

/* What the features are: a configuration sets them only if CPUID has them. */
struct features {
    bool nx, smep, smap, gigabyte;
    unsigned physical_bits;
};
struct features rights_features(void);

/* The page that is accessed, and a page with code for CPL 3, which has to be mapped at user_code
 * for it. */
extern u8 rights_page[4096], rights_user_code[4096];

/* Only what is needed once. user_code: where CPL 3 may fetch from. */
void rights_init(word user_code);

/* Tries every combination, or every n-th: by the word "every=n" of the command line. */
void rights_run(const struct space *space);

#endif
