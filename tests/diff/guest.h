/* guest.h - a guest of the interpreter that sees what a Linux program sees, and a case run in it.
 */
#ifndef TESTS_DIFF_GUEST_H
#define TESTS_DIFF_GUEST_H

#include "case.h"

struct guest;

/* How a case ended in the interpreter.  Only of the first kind are there results to compare. */
enum guest_end {
    GUEST_EXCEPTION,
    GUEST_ENDLESS,   /* not within a few thousand instructions */
    GUEST_KERNEL,    /* it has entered the kernel: a system call */
    GUEST_ELSEWHERE, /* at an address where only the host has something: its own process's memory,
                      * or what its kernel emulates */
};

/* Addresses at which the native process has memory: the cases that reach them cannot be compared.
 */
struct host_range {
    u64 start, end;
};

struct host_ranges {
    unsigned count;
    struct host_range range[64];
};

struct guest *guest_new(void);
void guest_free(struct guest *guest);

enum guest_end guest_run(struct guest *guest, const struct diff_case *c,
                         const struct host_ranges *host, struct outcome *o);

/* Is the CPUID bit set for the guest?  reg: CPUID_EAX to CPUID_EDX. */
bool guest_has(struct guest *guest, u32 leaf, u32 subleaf, unsigned reg, unsigned bit);

/* For the handlers of SIGFPE and SIGILL: see thunk_fixup(). */
u64 guest_fixup(const struct guest *guest, u64 host_rip);

#endif
