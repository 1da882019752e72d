/*
 * test_interpret_sequence.c - whole runs of random instructions, by the interpreter's cached lines
 * and by the host CPU: flags and registers that pass from one handler to the next, short branches
 * and loops.
 *
 * A case is a block of some 20 instructions with forward branches among them and a loop around
 * them, and ends at an INT3 or at the first exception.  The interpreter goes first, so that a block
 * that would never end is left out.
 */
#include <stdio.h>

#include <cmocka.h>

#include "native_case.h"

#define BLOCK_INSNS 20
#define MOST_STEPS  3000

/* What counts the rounds of the loop in 32-bit code; in 64-bit code r15 does. */
#define COUNTER (AREA + 0xa800)

struct block {
    enum insn_mode mode;
    u8 bytes[BLOCK_INSNS * INSN_MAX_LENGTH + 64];
    unsigned size;
    struct native_registers before;
};

/* Instructions that both sides perform in just the same way, and that stay in the block. */
static bool is_fit(const struct insn *insn)
{
    u32 attributes = insn_row(insn)->attributes;

    if ((attributes & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX | ATTR_BRANCH | ATTR_CPL0)) ||
        insn->vex || insn_row(insn)->classes != CLASS_INNOCUOUS) {
        return false;
    }
    switch (insn->id) {
    case INSN_DIV: /* flags */
    case INSN_IDIV:
    case INSN_RDRAND:
    case INSN_RDSEED:
    case INSN_UD0:
    case INSN_UD1:
    case INSN_UD2:
    case INSN_CMPXCHG8B:
    case INSN_FXSAVE:
    case INSN_FXRSTOR:
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XRSTOR:
    case INSN_PUSH_SEG:
    case INSN_POPA:
    case INSN_ARPL:
    case INSN_LDS:
    case INSN_LES:
    case INSN_AAA: /* flags */
    case INSN_AAS:
    case INSN_AAM:
    case INSN_AAD:
    case INSN_DAA:
    case INSN_DAS:
        return false;
    case INSN_MOVSXD:
        return insn->operand_size != 2;
    case INSN_NOP:
        return insn->map == 0;
    default:
        break;
    }
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct operand *o = &insn->op[i];
        bool is_general = o->kind == OPERAND_REG && o->class == REG_GPR;
        /* rSP, rBP, rSI and rDI are kept for addresses: so nothing stores into the code. */
        if (is_general && o->written && o->reg >= RSP && o->reg <= RDI) {
            return false;
        }
    }
    return insn->id != INSN_LEAVE && insn->id != INSN_ENTER;
}

static bool is_placed(const struct insn *insn, enum insn_mode mode)
{
    unsigned wide = mode == INSN_MODE_64 ? 8 : 4;

    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return (insn->mem.base == RBP || insn->mem.base == RSI || insn->mem.base == RSP) &&
                   insn->mem.index == MEM_NO_REG && insn->mem.disp < 0x400 &&
                   insn->mem.disp > -0x400 && insn->address_size == wide &&
                   insn->mem.segment < SEG_FS;
        }
    }
    return true;
}

static void append_instruction(struct block *b)
{
    struct attempt a = {.mode = b->mode};

    for (unsigned tries = 0; tries < 10000; tries++) {
        unsigned map = one_in(3);
        random_bytes(&a, map, (unsigned)below(256), (unsigned)below(8));
        decode(&a);
        if (a.decoded == INSN_OK && is_fit(&a.insn) && is_placed(&a.insn, b->mode)) {
            memcpy(b->bytes + b->size, a.bytes, a.insn.length);
            b->size += a.insn.length;
            return;
        }
    }
}

/* Back to the start as long as there are rounds, and the INT3. */
static void append_loop(struct block *b)
{
    static const u8 dec_r15[] = {0x49, 0xff, 0xcf}, dec_memory[] = {0xff, 0x0d},
                    jnz[] = {0x0f, 0x85};
    u8 *at = b->bytes + b->size;
    u32 counter = COUNTER, back;

    if (b->mode == INSN_MODE_64) {
        at = mempcpy(at, dec_r15, 3);
    } else {
        at = mempcpy(mempcpy(at, dec_memory, 2), &counter, 4);
    }
    at = mempcpy(at, jnz, 2);
    back = (u32)(b->bytes - (at + 4));
    at = mempcpy(at, &back, 4);
    *at++ = 0xcc;
    b->size = (unsigned)(at - b->bytes);
}

static void build_block(struct block *b)
{
    unsigned starts[BLOCK_INSNS + 1], branches[BLOCK_INSNS], count = 0;

    b->size = 0;
    for (unsigned i = 0; i < BLOCK_INSNS; i++) {
        starts[i] = b->size;
        if (one_in(5)) { /* jcc rel8, to be aimed */
            b->bytes[b->size] = (u8)(0x70 | below(16));
            branches[count++] = i;
            b->size += 2;
        } else {
            append_instruction(b);
        }
    }
    starts[BLOCK_INSNS] = b->size;
    for (unsigned k = 0; k < count; k++) {
        unsigned from = branches[k], to = from + 1 + (unsigned)below(BLOCK_INSNS - from);
        unsigned distance = starts[to] - starts[from] - 2;
        b->bytes[starts[from] + 1] = (u8)(distance < 128 ? distance : 0);
    }
    append_loop(b);
}

static void set_registers(struct block *b, u64 start)
{
    struct native_registers *r = &b->before;

    *r = (struct native_registers){.rip = start,
                                   .cs = b->mode == INSN_MODE_64 ? NATIVE_CODE64 : NATIVE_CODE32,
                                   .ss = NATIVE_DATA,
                                   .ds = b->mode == INSN_MODE_64 ? 0 : NATIVE_DATA,
                                   .es = b->mode == INSN_MODE_64 ? 0 : NATIVE_DATA,
                                   .frame = AREA + AREA_SIZE - 16};
    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = random_value();
    }
    r->flags = (random_u64() & RFLAGS_ARITHMETIC) | RFLAGS_FIXED | RFLAGS_IF;
    r->gpr[RSP] = AREA + 0x5800 + below(64) * 8;
    r->gpr[RBP] = AREA + 0x5800 + below(0x200);
    r->gpr[RSI] = AREA + 0x5e00 + below(0x400); /* pages meet there */
    r->gpr[RDI] = AREA + 0x9800 + below(0x400);
    r->gpr[15] = 1 + below(4);
    for (unsigned i = 0; b->mode != INSN_MODE_64 && i < 16; i++) {
        r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
    }
}

struct totals {
    unsigned compared, ended, endless, different;
    u64 instructions;
};

static bool alike(enum insn_mode mode, const struct native_result *n,
                  const struct native_registers *g, bool ended, const struct fault *fault,
                  const struct pair *p)
{
    const u64 ignored = RFLAGS_RF | RFLAGS_TF;

    if (ended ? n->vector != VECTOR_BP || n->r.rip != g->rip + 1
              : n->vector != fault->vector || n->r.rip != g->rip ||
                    (n->vector == VECTOR_PF && n->cr2 != fault->cr2)) {
        return false;
    }
    for (unsigned i = 0; i < (mode == INSN_MODE_64 ? 16 : 8); i++) {
        if ((n->r.gpr[i] ^ g->gpr[i]) & (mode == INSN_MODE_64 ? ~0ull : 0xffffffff)) {
            return false;
        }
    }
    return !((n->r.flags ^ g->flags) & ~ignored) && pair_compare(p) < 0;
}

static void report(const struct block *b, const struct native_result *n,
                   const struct native_registers *g, const struct fault *fault)
{
    for (unsigned at = 0; at < b->size;) {
        struct insn insn;
        char text[128];
        if (insn_decode(&insn, b->mode, b->bytes + at, b->size - at) != INSN_OK) {
            break;
        }
        insn_format(&insn, b->mode, b->before.rip + at, text, sizeof(text));
        print_error("  %#lx %s\n", b->before.rip + at, text);
        at += insn.length;
    }
    print_error("host: vector %u rip %#lx flags %#lx; Ringer: vector %u rip %#lx flags %#lx\n",
                n->vector, n->r.rip, n->r.flags, fault->vector, g->rip, g->flags);
    for (unsigned i = 0; i < 16; i++) {
        print_error("  %u: %#lx before, host %#lx, Ringer %#lx\n", i, b->before.gpr[i], n->r.gpr[i],
                    g->gpr[i]);
    }
}

static void try_block(struct pair *p, const u8 *contents, enum insn_mode mode, struct totals *t)
{
    struct cpu *cpu = p->f->cpu;
    struct block b = {.mode = mode};
    u64 start = CODE + below(0x1f00 - sizeof(b.bytes));
    struct native_registers g;
    struct native_result n;

    build_block(&b);
    set_registers(&b, start);
    pair_put_data(p, contents);
    pair_poke(p, COUNTER, 1 + below(4), 4);
    pair_put_code(p, start, b.bytes, b.size);
    guest_load(p->f, &b.before);
    cpu->icount = 0;
    interpret_fixture_run(p->f, MOST_STEPS);
    struct fault fault = cpu->fault;
    guest_store(cpu, &g);
    bool ended = fault.pending && g.rip == start + b.size - 1;
    bool elsewhere = fault.vector == VECTOR_PF && fault.cr2 - AREA >= AREA_SIZE - PAGE_SIZE;
    if (!fault.pending || elsewhere) {
        t->endless++;
    } else {
        native_run(&b.before, &n);
        t->compared++;
        t->ended += ended;
        t->instructions += cpu->icount;
        if (!alike(b.mode, &n, &g, ended, &fault, p) && t->different++ < 5) {
            report(&b, &n, &g, &fault);
        }
    }
    memset(b.bytes, 0xcc, b.size);
    pair_put_code(p, start, b.bytes, b.size);
}

static void sequences(void **state)
{
    struct pair p;
    struct totals t = {0};
    u8 *contents = test_malloc(AREA_SIZE);
    (void)state;
    if (!native_possible()) {
        print_message("skipped: this kernel does not let programs use WRFSBASE\n");
        skip();
    }
    native_signals();
    p.f = guest_new();
    p.guest = p.f->mem.base + AREA_GPA;
    memset(p.guest + (CODE - AREA), 0xcc, CODE_SIZE);
    p.native = native_area_new();
    assert_non_null(p.native);
    for (unsigned i = 0; i < AREA_SIZE; i += 8) {
        u64 value = random_value();
        memcpy(contents + i, &value, 8);
    }
    pair_fill(&p, contents);
    for (unsigned i = 0; i < 50000; i++) {
        try_block(&p, contents, i & 1 ? INSN_MODE_32 : INSN_MODE_64, &t);
    }
    printf("%u blocks compared with the host, %lu instructions; %u to their end, %u left out\n",
           t.compared, t.instructions, t.ended, t.endless);
    assert_int_equal(t.different, 0);
    assert_true(t.compared > 10000 && t.ended > 2000);
    munmap(p.native, AREA_SIZE);
    interpret_fixture_free(p.f);
    test_free(contents);
}

/* Another seed may be given, to look further than `make check` does. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sequences)};
    random_state ^= argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
