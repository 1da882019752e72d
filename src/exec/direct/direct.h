/*
 * direct.h - the executor `direct`: the host's CPU runs the guest's own bytes, deprivileged.
 *
 * Guest register = host register, guest address = host address (mmu/mirror.h).  What is privileged
 * traps, as in Popek and Goldberg's theorem 1, and a trap is a signal:
 *
 *      direct_execute_*() enter ------> guest code, at CPL 3 of the host
 *           ^                                |
 *           |                                v   SIGSEGV  TLB miss, #PF, #GP
 *           +---- the cause, in d->trap <----+   SIGSYS   SYSCALL, INT 0x80
 *                                                SIGILL, SIGFPE, SIGTRAP, SIGBUS
 *                                                SIGALRM, SIGUSR1  an interrupt has come
 *
 * A TLB miss is mirror_fill()'s.  Whatever else an instruction wants, interpret does that one.
 *
 * User code runs so only where nobody can tell (runnable.c, sensitive.c): theorem 3's hybrid VMM.
 * Supervisor code may be run so as well, which is theorem 1's, and on x86 goes wrong where an
 * instruction is sensitive and does not trap.
 *
 * How guest code is entered and left, with signal frames and protection keys, is the affair of the
 * process (vm/cpu_direct.c, vm/cpu_gate.S): here is what may be run, and what a trap means.
 */
#ifndef EXEC_DIRECT_DIRECT_H
#define EXEC_DIRECT_DIRECT_H

#include "cpu/cpu.h"
#include "exec/direct/patience.h"
#include "exec/interpret/code.h"
#include "mmu/mirror.h"

/* The selectors with which Linux runs programs, hosts and guests alike. */
#define DIRECT_CS    0x33
#define DIRECT_CS_32 0x23
#define DIRECT_DS    0x2b

enum direct_trap_kind {
    DIRECT_INTERRUPT,  /* something came from outside; the guest is between two instructions */
    DIRECT_PAGE_FAULT, /* address and access say which */
    DIRECT_SYSCALL, /* SYSCALL, INT 0x80: rIP is after it; address is the vsyscall page's, or 0 */
    DIRECT_BREAKPOINT,  /* INT3, INT1, INTO: rIP is after it */
    DIRECT_TRACED,      /* the guest has set TF: rIP is after an instruction */
    DIRECT_STEPPED,     /* the one instruction asked for is done */
    DIRECT_INSTRUCTION, /* any other fault: rIP is at the instruction */
};

struct direct_trap {
    u8 kind;         /* enum direct_trap_kind */
    unsigned access; /* ACCESS_WRITE, ACCESS_FETCH */
    u64 address;
};

/* What the process does for the executor. */
struct direct_host {
    /* Run guest code from cpu's registers until it traps; then they are in cpu again, and the cause
     * in cpu->direct->trap.  With `step`, one instruction. */
    void (*enter)(void *context, struct cpu *cpu, bool step);
    void *context;
    bool cpuid_faults; /* CPUID traps, so that pages which hold it may run */
};

struct direct {
    struct direct_trap trap;
    struct direct_host host;
    bool (*can_run)(const struct cpu *cpu); /* runnable.c: which code, by engine */
    bool pure;          /* of theorem 1: instructions that do not trap are let go wrong */
    unsigned privilege; /* ACCESS_USER, ACCESS_AC: what the mirror was filled for; if pure */
    /* Where the same trap comes back with nothing changed, the host refuses for a reason of its
     * own. */
    u64 last_rip, last_address, last_drops;
    unsigned repeats;
    bool filled; /* the last trap was a miss, and the mirror has got the piece */
    u64 run_ns;  /* how long the last run took, the signal that ended it included */
    struct patience patience;
    struct {
        u64 entries, page_faults, syscalls, instructions;
    } stats;
    struct mirror mirror;
    /* Code is executed from here (mmu/mirror.h): the copy of a page that is held as
     * cpu->exec->pages[i], if its note says that it is safe. */
    u8 copies[PAGE_POOL][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
};

/* Run user code until something has to be looked at, or it is left: as struct engine's execute().
 * What is hardly worth it is interpreted instead (patience.h), unless `at_once`. */
void direct_execute_user(struct cpu *cpu, u64 limit, bool at_once);

/* Code of another mode is about to be executed, by somebody else. */
void direct_leave_user(struct cpu *cpu);

/* Run all code that can be mapped, as in theorem 1; the rest is interpreted. */
void direct_execute_all(struct cpu *cpu, u64 limit);

/* struct mirror_host's functions; context is the CPU. */
const u8 *direct_copy_of_code(void *context, gva_t gva, gpa_t gpa);
bool direct_may_join(void *context, const u8 *page, const u8 *next);
void direct_let_go(void *context, gpa_t gpa);

/* ---- runnable.c */

/* Could the host's CPU run the user code at cpu->rip now, and nobody tell the difference? */
bool runnable_as_is(const struct cpu *cpu);

/* Could it run the code at cpu->rip at all, at CPL 3 of the host?  What does not trap then may well
 * do something else than in the guest's mode: that is what the engine `trap` shows. */
bool runnable_if_mapped(const struct cpu *cpu);

/* ---- sensitive.c */

/* Does a page hold, at any offset, bytes that could change PKRU: WRPKRU, XRSTOR? */
bool sensitive_holds_pkru(const u8 *page);

/* Do the end of one page and the start of the next make such an instruction? */
bool sensitive_joins_pkru(const u8 *page, const u8 *next);

/* A page, with the end of the one before it (zeroes where there is none). */
#define SENSITIVE_BEFORE 64u

struct sensitive_window {
    enum insn_mode mode;
    bool cpuid_faults;
    u8 bytes[SENSITIVE_BEFORE + PAGE_SIZE];
};

/* Does the page hold, where an instruction is likely to begin, one that does not trap and that the
 * host's CPU would perform otherwise than the guest's? */
bool sensitive_holds_instruction(const struct sensitive_window *window);

#endif
