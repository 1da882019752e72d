/*
 * coherence.h - no vCPU misses a store into code that it holds decoded, whoever makes it.
 *
 * A vCPU's own stores into such a page take the slow path, since its soft TLB has no write
 * permission to it, and are seen there.  For the stores of other vCPUs, the one that is about to
 * decode a page:
 *
 *      1. counts itself among the page's holders: from now on no TLB gets write permission to it;
 *      2. asks every other vCPU to flush its TLB, and waits until each has answered or is not
 *         inside cpu_run() (it then flushes when it comes back in). It looks for an answer for some
 *         microseconds and then sleeps, since the host may not be running the other just now;
 *      3. reads the page.
 *
 * A store in the slow path to a page with other holders tells them that what they have is stale;
 * they drop all of it at the next jump that leaves a straight line.  That is what x86 promises: a
 * store is seen by other processors' instruction fetches once they have serialized after they
 * learned of it. Intel SDM vol. 3A, "Handling Self- and Cross-Modifying Code".
 */
#ifndef EXEC_INTERPRET_COHERENCE_H
#define EXEC_INTERPRET_COHERENCE_H

#include "cpu/cpu.h"

/* The vCPU begins, or ends, executing.  It is not inside while it sleeps or waits for the board. */
void coherence_enter(struct cpu *cpu);
void coherence_leave(struct cpu *cpu);

/* Before the first bytes of a page are decoded: steps 1 and 2.  May flush this vCPU's own TLB. */
void coherence_hold(struct cpu *cpu, gpa_t page);

/* Everything of a page has been dropped. */
void coherence_release(struct cpu *cpu, gpa_t page);

/* A store of size bytes into a page that has holders; is_holder says whether this vCPU is one. */
void coherence_stored(struct cpu *cpu, gpa_t gpa, unsigned size, bool is_holder);

/* Answer the others, between two instructions, and drop what they have changed.  True: everything
 * decoded has to be dropped. */
bool coherence_poll(struct cpu *cpu);

#endif
