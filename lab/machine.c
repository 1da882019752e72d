/* machine.c - what the machine does. */
#include "machine.h"

#include <stdio.h>
#include <string.h>

word *machine_reach(const struct machine *m, word a, word count)
{
    uint64_t end = (uint64_t)a + count;

    return end <= m->b && m->l + end <= m->q ? m->E + m->l + a : NULL;
}

/* The word at a. */
static word *at(const struct machine *m, word a)
{
    return machine_reach(m, a, 1);
}

/* ---- Innocuous instructions.  P already points behind them. */

static enum trap do_svc(struct machine *m, word a, word b)
{
    (void)m, (void)a, (void)b;
    return TRAP_UNDEFINED;
}

static enum trap do_move(struct machine *m, word a, word b)
{
    word *to = at(m, a), *from = at(m, b);

    if (!to || !from) {
        return TRAP_MEMORY;
    }
    *to = *from;
    return TRAP_NONE;
}

static enum trap do_set(struct machine *m, word a, word n)
{
    word *to = at(m, a);

    if (!to) {
        return TRAP_MEMORY;
    }
    *to = n;
    return TRAP_NONE;
}

static enum trap do_load(struct machine *m, word a, word b)
{
    word *pointer = at(m, b);

    return pointer ? do_move(m, a, *pointer) : TRAP_MEMORY;
}

static enum trap do_store(struct machine *m, word a, word b)
{
    word *pointer = at(m, a);

    return pointer ? do_move(m, *pointer, b) : TRAP_MEMORY;
}

static enum trap do_add(struct machine *m, word a, word b)
{
    word *x = at(m, a), *y = at(m, b);

    if (!x || !y) {
        return TRAP_MEMORY;
    }
    *x += *y;
    return TRAP_NONE;
}

static enum trap do_sub(struct machine *m, word a, word b)
{
    word *x = at(m, a), *y = at(m, b);

    if (!x || !y) {
        return TRAP_MEMORY;
    }
    *x -= *y;
    return TRAP_NONE;
}

static enum trap do_less(struct machine *m, word a, word b)
{
    word *x = at(m, a), *y = at(m, b);

    if (!x || !y) {
        return TRAP_MEMORY;
    }
    *x = *x < *y;
    return TRAP_NONE;
}

static enum trap do_jump(struct machine *m, word a, word b)
{
    (void)b;
    m->P = a;
    return TRAP_NONE;
}

static enum trap do_jumpz(struct machine *m, word a, word b)
{
    word *condition = at(m, b);

    if (!condition) {
        return TRAP_MEMORY;
    }
    m->P = *condition == 0 ? a : m->P;
    return TRAP_NONE;
}

static enum trap do_jumpto(struct machine *m, word a, word b)
{
    word *target = at(m, a);

    (void)b;
    if (!target) {
        return TRAP_MEMORY;
    }
    m->P = *target;
    return TRAP_NONE;
}

/* ---- Sensitive instructions.  machine_step() has seen to it that the privileged ones may run. */

static void load_psw(struct machine *m, const word *psw)
{
    m->M = psw[0] == SUPERVISOR ? SUPERVISOR : USER;
    m->P = psw[1];
    m->l = psw[2];
    m->b = psw[3];
}

static void store_psw(const struct machine *m, word *psw)
{
    psw[0] = m->M;
    psw[1] = m->P;
    psw[2] = m->l;
    psw[3] = m->b;
}

static enum trap do_lpsw(struct machine *m, word a, word b)
{
    word *psw = machine_reach(m, a, PSW_WORDS);

    (void)b;
    if (!psw) {
        return TRAP_MEMORY;
    }
    load_psw(m, psw);
    return TRAP_NONE;
}

static enum trap do_spsw(struct machine *m, word a, word b)
{
    word *psw = machine_reach(m, a, PSW_WORDS);

    (void)b;
    if (!psw) {
        return TRAP_MEMORY;
    }
    store_psw(m, psw);
    return TRAP_NONE;
}

static enum trap do_setr(struct machine *m, word a, word b)
{
    word *r = machine_reach(m, a, 2);

    (void)b;
    if (!r) {
        return TRAP_MEMORY;
    }
    m->l = r[0];
    m->b = r[1];
    return TRAP_NONE;
}

static enum trap do_halt(struct machine *m, word a, word b)
{
    (void)a, (void)b;
    m->halted = true;
    m->P -= INSTRUCTION_WORDS; /* it stops at the instruction */
    return TRAP_NONE;
}

static enum trap do_jrst(struct machine *m, word a, word b)
{
    (void)b;
    m->M = USER;
    m->P = a;
    return TRAP_NONE;
}

static enum trap do_lra(struct machine *m, word a, word b)
{
    return do_set(m, a, m->l + b);
}

/* ---- The instruction set. */

enum { ALL = 1 << KIND_PLAIN | 1 << KIND_JRST | 1 << KIND_LRA };

static const struct instruction instructions[OPS] = {
    [OP_SVC] = {"svc", 0, false, ALL, do_svc},
    [OP_MOVE] = {"move", 2, false, ALL, do_move},
    [OP_SET] = {"set", 2, false, ALL, do_set},
    [OP_LOAD] = {"load", 2, false, ALL, do_load},
    [OP_STORE] = {"store", 2, false, ALL, do_store},
    [OP_ADD] = {"add", 2, false, ALL, do_add},
    [OP_SUB] = {"sub", 2, false, ALL, do_sub},
    [OP_LESS] = {"less", 2, false, ALL, do_less},
    [OP_JUMP] = {"jump", 1, false, ALL, do_jump},
    [OP_JUMPZ] = {"jumpz", 2, false, ALL, do_jumpz},
    [OP_JUMPTO] = {"jumpto", 1, false, ALL, do_jumpto},
    [OP_LPSW] = {"lpsw", 1, true, ALL, do_lpsw},
    [OP_SPSW] = {"spsw", 1, true, ALL, do_spsw},
    [OP_SETR] = {"setr", 1, true, ALL, do_setr},
    [OP_HALT] = {"halt", 0, true, ALL, do_halt},
    [OP_JRST] = {"jrst", 1, false, 1 << KIND_JRST, do_jrst},
    [OP_LRA] = {"lra", 2, false, 1 << KIND_LRA, do_lra},
};

const struct instruction *machine_instruction(enum kind kind, word op)
{
    return op < OPS && instructions[op].kinds & 1u << kind ? &instructions[op] : NULL;
}

enum op machine_op(const char *name)
{
    enum op op = 0;

    while (op < OPS && strcmp(instructions[op].name, name)) {
        op++;
    }
    return op;
}

struct machine machine_reset(enum kind kind, word *E, word q)
{
    return (struct machine){.kind = kind, .E = E, .q = q, .P = START, .b = q};
}

/* Fetch the instruction at P and perform it, with P already behind it. */
static enum trap execute(struct machine *m)
{
    const word *code = machine_reach(m, m->P, INSTRUCTION_WORDS);
    if (!code) {
        return TRAP_MEMORY;
    }
    const struct instruction *i = machine_instruction(m->kind, code[0]);
    if (!i) {
        return TRAP_UNDEFINED;
    }
    if (i->privileged && m->M != SUPERVISOR) {
        return TRAP_PRIVILEGED;
    }
    m->P += INSTRUCTION_WORDS;
    return i->perform(m, code[1], code[2]);
}

enum trap machine_step(struct machine *m)
{
    word P = m->P;

    if (m->halted) {
        return TRAP_NONE;
    }
    enum trap trap = execute(m);
    if (trap) {
        m->P = P;
        store_psw(m, m->E + OLD_PSW);
        m->E[TRAP_CAUSE] = trap;
        load_psw(m, m->E + NEW_PSW);
    }
    return trap;
}

word machine_next_op(const struct machine *m)
{
    const word *code = machine_reach(m, m->P, INSTRUCTION_WORDS);

    return code ? code[0] : OPS;
}

void machine_disassemble(const word *code, char *text, size_t size)
{
    if (code[0] >= OPS) {
        snprintf(text, size, "word %u %u %u", code[0], code[1], code[2]);
        return;
    }
    const struct instruction *i = &instructions[code[0]];
    switch (i->operands) {
    case 0:
        snprintf(text, size, "%s", i->name);
        break;
    case 1:
        snprintf(text, size, "%s %u", i->name, code[1]);
        break;
    default:
        snprintf(text, size, "%s %u %u", i->name, code[1], code[2]);
    }
}
