/*
 * machine.h - the third generation machine of Popek and Goldberg's paper.
 *
 * "Formal Requirements for Virtualizable Third Generation Architectures", CACM 17(7), 1974.  The
 * paper's model has a processor with two modes and a linear storage, and neither input, output nor
 * interrupts.  Its state is S = <E, M, P, R>:
 *
 *     E   executable storage: q words, E[0] to E[q-1]
 *     M   the mode: 0 is supervisor, 1 is user
 *     P   the program counter
 *     R   the relocation-bounds register (l, b), which is in force in both modes
 *
 * An instruction's address a is relative to R.  It names E[l + a], if a < b and l + a < q; if not,
 * the instruction memory-traps.  M, P and R together are the PSW, four words: M, P, l, b; an M that
 * is not 0 is taken for 1.
 *
 * A trap leaves all as it was before the instruction, and then swaps the PSW, whatever R says:
 *
 *     E[0..3]   the old PSW, which the trap stores
 *     E[4]      its cause, enum trap
 *     E[5..8]   the new PSW, which the trap loads
 *     E[9]      where the machine starts, as supervisor, with R = (0, q)
 *
 * An instruction is three words: its code and two operands, a and b.  The processor has no
 * registers besides M, P and R, as in the paper, so nothing else has to be saved at a trap.  Below,
 * [x] is the word at address x.
 *
 *     svc             (code 0) trap: like every code that there is not, in both modes
 *     move a b        [a] = [b]                  load a b     [a] = [[b]]
 *     set a n         [a] = n                    store a b    [[a]] = [b]
 *     add a b         [a] = [a] + [b]            jump a       P = a
 *     sub a b         [a] = [a] - [b]            jumpz a b    if [b] is 0, P = a
 *     less a b        [a] = [a] < [b]            jumpto a     P = [a]
 *
 *     privileged: they trap in user mode
 *     lpsw a          M, P, l, b = [a], [a+1], [a+2], [a+3]
 *     spsw a          [a], [a+1], [a+2], [a+3] = M, P, l, b
 *     setr a          l, b = [a], [a+1]
 *     halt            stop
 *
 * Two other kinds of machine have one more instruction each, which is sensitive and not privileged:
 *
 *     jrst a          M = user, P = a.  As JRST 1 of the DEC PDP-10: "return to user mode"
 *     lra a b         [a] = l + b.      As LRA of the IBM 360/67: "load real address"
 */
#ifndef LAB_MACHINE_H
#define LAB_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t word;

enum { OLD_PSW = 0, TRAP_CAUSE = 4, NEW_PSW = 5, START = 9 }; /* addresses that the machine knows */
enum { PSW_WORDS = 4, INSTRUCTION_WORDS = 3 };
enum { SUPERVISOR = 0, USER = 1 };

enum trap {
    TRAP_NONE,
    TRAP_PRIVILEGED, /* a privileged instruction in user mode */
    TRAP_MEMORY,     /* an address beyond R, or beyond the storage */
    TRAP_UNDEFINED,  /* an instruction that there is not; serves as supervisor call */
};

enum kind { KIND_PLAIN, KIND_JRST, KIND_LRA };

/* The codes of instructions: the first operand of INSTRUCTION in machine.c. */
enum op {
    OP_SVC,
    OP_MOVE,
    OP_SET,
    OP_LOAD,
    OP_STORE,
    OP_ADD,
    OP_SUB,
    OP_LESS,
    OP_JUMP,
    OP_JUMPZ,
    OP_JUMPTO,
    OP_LPSW,
    OP_SPSW,
    OP_SETR,
    OP_HALT,
    OP_JRST,
    OP_LRA,
    OPS
};

struct machine {
    enum kind kind;
    word *E; /* borrowed */
    word q;
    word M, P, l, b;
    bool halted;
};

struct instruction {
    const char *name;
    unsigned operands;
    bool privileged;
    unsigned kinds; /* a bit for each kind of machine that has it */
    enum trap (*perform)(struct machine *m, word a, word b);
};

/* The instruction with this code in machines of this kind; NULL if there is none. */
const struct instruction *machine_instruction(enum kind kind, word op);

/* The code of the instruction with this name, in any kind of machine; OPS if there is none. */
enum op machine_op(const char *name);

/* A machine with the q words at E, which the caller has filled and keeps; q is more than START. */
struct machine machine_reset(enum kind kind, word *E, word q);

/* Where the words [a, a + count) lie in E; NULL if one of them is beyond R or the storage. */
word *machine_reach(const struct machine *m, word a, word count);

/*
 * One step: an instruction, or the trap that takes its place.  Returns which trap.  A halted
 * machine stays as it is.
 */
enum trap machine_step(struct machine *m);

/* The code of the instruction that comes next; OPS if fetching it traps. */
word machine_next_op(const struct machine *m);

/* The instruction at E[address..], as the assembler writes it; text is cut to size. */
void machine_disassemble(const word *instruction, char *text, size_t size);

#endif
