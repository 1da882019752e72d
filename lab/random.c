/* random.c - random programs. */
#include "random.h"

#include <string.h>

enum { CODE_END = START + 30 * INSTRUCTION_WORDS, DATA = 104, THREE = RANDOM_PROGRAM_WORDS - 1 };

/* Marsaglia's xorshift64*. */
word random_below(struct random *random, word limit)
{
    uint64_t x = random->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return (word)((x * 0x2545f4914f6cdd1d) >> 32) % limit;
}

static word anything(struct random *random)
{
    word bits = 1 + random_below(random, 32);
    word w = random_below(random, UINT32_MAX) >> (32 - bits);

    return random_below(random, 2) ? w : ~w + 1;
}

static word code_address(struct random *random)
{
    return START + INSTRUCTION_WORDS * random_below(random, (CODE_END - START) / INSTRUCTION_WORDS);
}

/* One of the PSWs among the data. */
static word psw_address(struct random *random)
{
    return DATA + PSW_WORDS * random_below(random, (THREE - DATA) / PSW_WORDS);
}

static word data_address(struct random *random)
{
    return DATA + random_below(random, RANDOM_PROGRAM_WORDS - DATA);
}

static word operand(struct random *random)
{
    switch (random_below(random, 16)) {
    case 0:
        return random_below(random, START);
    case 1: /* about where the storage ends, or the numbers do */
        return (random_below(random, 4) ? RANDOM_PROGRAM_WORDS : 0) - 5 + random_below(random, 8);
    case 2:
        return random_below(random, 16) ? code_address(random) : anything(random);
    case 3:
    case 4:
        return code_address(random);
    case 5:
    case 6:
    case 7:
        return psw_address(random);
    default:
        return data_address(random);
    }
}

/* M, P, l, b: mostly such that there is an instruction at l + P. */
static void make_psw(struct random *random, word *psw)
{
    word at = code_address(random);

    psw[0] = random_below(random, 2);
    psw[2] = random_below(random, 2) ? 0 : INSTRUCTION_WORDS * random_below(random, 8);
    psw[1] = at - psw[2];
    psw[3] = random_below(random, 4) ? RANDOM_PROGRAM_WORDS - psw[2]
                                     : random_below(random, RANDOM_PROGRAM_WORDS + 20);
    if (random_below(random, 16) == 0) {
        psw[random_below(random, PSW_WORDS)] = anything(random);
    }
}

static void put(word *code, word op, word a, word b)
{
    code[0] = op;
    code[1] = a;
    code[2] = b;
}

static word random_op(struct random *random, enum kind kind)
{
    for (;;) {
        word op = random_below(random, OPS);
        bool is_wanted = op != OP_HALT || random_below(random, 4) == 0;

        if (is_wanted && machine_instruction(kind, op)) {
            return op;
        }
    }
}

static void make_instruction(struct random *random, enum kind kind, word *code)
{
    word op = random_below(random, 64) ? random_op(random, kind) : random_below(random, OPS + 2);
    word a = operand(random), b = operand(random);

    if (op == OP_JUMP || op == OP_JUMPZ || op == OP_JRST) {
        a = random_below(random, 16) ? code_address(random) : a;
    }
    if (op == OP_LPSW) {
        a = random_below(random, 2) ? psw_address(random) : a;
    }
    put(code, op, a, b);
}

/* A trap handler: it halts, or goes on behind what trapped. */
static void make_handler(word *code, bool halts)
{
    if (halts) {
        put(code, OP_HALT, 0, 0);
    } else {
        put(code, OP_ADD, OLD_PSW + 1, THREE);
        put(code + INSTRUCTION_WORDS, OP_LPSW, OLD_PSW, 0);
    }
}

void random_program(struct random *random, enum kind kind, word *program)
{
    memset(program, 0, RANDOM_PROGRAM_WORDS * sizeof(word));
    make_psw(random, program + OLD_PSW);
    make_psw(random, program + NEW_PSW);
    for (word n = START; n < CODE_END; n += INSTRUCTION_WORDS) {
        make_instruction(random, kind, program + n);
    }
    for (word n = DATA; n + PSW_WORDS <= RANDOM_PROGRAM_WORDS; n += PSW_WORDS) {
        make_psw(random, program + n);
    }
    program[THREE] = INSTRUCTION_WORDS;
    if (random_below(random, 8)) {
        program[NEW_PSW] = SUPERVISOR;
        program[NEW_PSW + 2] = 0;
        program[NEW_PSW + 3] = RANDOM_PROGRAM_WORDS;
    }
    word handler = CODE_END - 2 * INSTRUCTION_WORDS, choice = random_below(random, 8);
    if (choice < 5) {
        program[NEW_PSW + 1] = handler;
        make_handler(program + handler, choice == 0);
    }
}
