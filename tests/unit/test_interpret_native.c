/*
 * test_interpret_native.c - the integer instructions that user mode may execute, by the interpreter
 * and by the host CPU, from the same random state: the same registers, flags, memory and
 * exceptions.
 *
 * Each opcode is tried with each ModRM.reg and with random prefixes, operands and register
 * contents, in 64-, 32- and 16-bit code segments.  A memory operand is aimed at the area, where
 * pages end, are read-only or are not there.  The seed is fixed: a failure can be repeated.
 */
#include <cpuid.h>

#include <cmocka.h>

#include "native_case.h"

/* ------------------------------------------------------------------ what is not compared */

/* Instructions whose result is the host's own, which would reach the host's kernel, or which Ringer
 * makes as Intel does where this host is another's. */
static bool is_excluded(const struct trial *t, const struct attempt *a)
{
    const struct insn *insn = &a->insn;
    u32 attributes = insn_row(insn)->attributes;

    if ((attributes & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX)) || insn->vex) {
        return true; /* test_vector.c */
    }
    switch (insn->id) {
    case INSN_FXSAVE:
    case INSN_FXRSTOR:
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XRSTOR: /* test_fpu.c */
    case INSN_XSAVES:
    case INSN_XRSTORS: /* guests are not shown these two */
    case INSN_SYSCALL:
    case INSN_SYSENTER:
    case INSN_SYSRET:
    case INSN_SYSEXIT:
    case INSN_INT1:
    case INSN_INT3:
    case INSN_CPUID:
    case INSN_RDTSC:
    case INSN_RDTSCP:
    case INSN_RDPMC:
    case INSN_RDPID:
    case INSN_RDRAND:
    case INSN_RDSEED:
    case INSN_XGETBV:
    case INSN_VMCALL:
    case INSN_VMMCALL:
    case INSN_SGDT: /* CR4.UMIP: the kernel may emulate them */
    case INSN_SIDT:
    case INSN_SLDT:
    case INSN_STR:
    case INSN_SMSW:
        return true;
    case INSN_INT:
        return insn->imm == 0x80 || insn->imm == 3 || insn->imm == 4;
    case INSN_JMP:
    case INSN_CALL:
    case INSN_RET:
    case INSN_JCC:
    case INSN_JCXZ:
    case INSN_LOOP:
    case INSN_LOOPE:
    case INSN_LOOPNE: /* AMD cuts rIP to 16 bits; F2 and F3 mean NE and E there, whatever the opcode
                       */
        return !t->is_intel && ((a->mode == INSN_MODE_64 && insn->prefix_66) || insn->rep);
    case INSN_PUSH_SEG: /* Intel's stores 16 bits of the slot */
        return t->is_intel;
    case INSN_POP_SEG: /* and may load as many */
        return t->is_intel && (a->before.gpr[RSP] & 7);
    case INSN_INS:
    case INSN_OUTS: /* AMD looks whether the port is allowed even where the count is 0 */
        return insn->rep && !(a->before.gpr[RCX] & bits_mask(insn->address_size * 8));
    case INSN_MOVSXD: /* with 66 AMD reads 32 bits, too */
        return insn->operand_size == 2 && !t->is_intel;
    case INSN_UD0:
    case INSN_UD1: /* AMD's have no ModRM byte */
        return !t->is_intel;
    case INSN_ARPL: /* AMD's does not write what it does not change: no #GP or #PF then */
        return insn->op[0].kind == OPERAND_MEM;
    case INSN_NOP: /* 0F 0D with a register: #UD on AMD */
        return insn->map == 1 && insn->opcode == 0x0d && !t->is_intel;
    case INSN_JMP_FAR:
    case INSN_CALL_FAR:
    case INSN_LSS:
    case INSN_LFS:
    case INSN_LGS: /* AMD has no m16:64 */
        return (insn->rex & 8) && !t->is_intel;
    default:
        return false;
    }
}

/* May bytes that our decoder does not know be executed here? */
static bool may_try_unknown(const struct trial *t, unsigned map, unsigned opcode,
                            const struct attempt *a)
{
    bool is_other = map ? opcode >> 4 == 8 || opcode == 0xff || opcode == 0xb9
                        : opcode == 0xe8 || opcode == 0xe9;
    if (a->decoded == INSN_TOO_LONG && is_other && !t->is_intel) {
        return false; /* shorter on AMD: near branches with 66, UD0 and UD1 */
    }
    if (map == 0) {
        return opcode != 0x62 && opcode != 0xc6 && opcode != 0xc7 && opcode != 0xc4 &&
               opcode != 0xc5 && opcode != 0x8f;
    }
    return opcode != 0x01 && opcode != 0xae && opcode != 0xc7 && opcode != 0x0f && opcode != 0x38 &&
           opcode != 0x3a && opcode != 0x05 && opcode != 0x34;
}

/* Prefixes and escapes are not opcodes. */
static bool is_opcode(unsigned map, unsigned opcode, enum insn_mode mode)
{
    if (map) {
        return opcode != 0x38 && opcode != 0x3a;
    }
    return opcode != 0x0f && opcode != 0x26 && opcode != 0x2e && opcode != 0x36 && opcode != 0x3e &&
           (opcode < 0x64 || opcode > 0x67) && opcode != 0xf0 && opcode != 0xf2 && opcode != 0xf3 &&
           !(mode == INSN_MODE_64 && opcode >= 0x40 && opcode < 0x50);
}

/* ------------------------------------------------------------------ comparison */

struct outcome {
    struct native_registers r;
    bool completed;
    unsigned vector;
    u64 error, cr2;
};

static struct outcome by_interpreter(struct trial *t, const struct attempt *a)
{
    struct cpu *cpu = t->pair.f->cpu;
    struct outcome o = {0};

    guest_load(t->pair.f, &a->before);
    cpu->icount = 0;
    interpret_fixture_run(t->pair.f, a->step || one_in(2) ? 1 : 1000);
    o.completed = cpu->icount > 0;
    guest_store(cpu, &o.r);
    if (!o.completed) {
        o.vector = cpu->fault.vector;
        o.error = cpu->fault.has_error ? cpu->fault.error : 0;
        o.cr2 = cpu->fault.vector == VECTOR_PF ? cpu->fault.cr2 : 0;
    }
    return o;
}

static struct outcome by_host(struct attempt *a)
{
    struct native_registers before = a->before;
    u64 next = a->before.rip + a->insn.length;
    struct native_result result;
    struct outcome o = {0};

    before.flags |= a->step ? RFLAGS_TF : 0;
    native_run(&before, &result);
    next = a->mode == INSN_MODE_64 ? next : (u32)next;
    o.r = result.r;
    if (a->step) {
        o.completed = result.vector == VECTOR_DB;
    } else if (result.vector == VECTOR_BP) {
        o.completed = true;
        o.r.rip--;
    } else {
        o.completed = a->decoded == INSN_OK && result.r.rip == next; /* nothing there to fetch */
    }
    if (!o.completed) {
        o.vector = result.vector;
        o.error = result.error;
        o.cr2 = result.cr2;
    }
    return o;
}

/* The kernel's return to the handler makes null selectors of any RPL 0. */
static bool not_same_segment(u64 a, u64 b)
{
    return a != b && (a > 3 || b > 3);
}

/* What the manual leaves open, and two processors do in two ways, of this instruction. */
struct tolerance {
    u64 flags;      /* these may differ */
    bool registers; /* how much has been loaded before a fault */
    bool order;     /* which of several exceptions it is, and what has been stored before it */
    u64 bits;       /* of the destination register */
};

static struct tolerance tolerance(const struct trial *t, const struct attempt *a)
{
    struct tolerance open = {.flags = RFLAGS_TF | RFLAGS_RF};

    switch (a->insn.id) {
    case INSN_DIV:
    case INSN_IDIV:
    case INSN_AAA:
    case INSN_AAS:
    case INSN_AAM:
    case INSN_AAD:
    case INSN_DAA:
    case INSN_DAS: /* not by the host's instruction */
        open.flags |= insn_row(&a->insn)->flags_undefined;
        break;
    case INSN_CALL:
    case INSN_CALL_FAR: /* AMD pushes before it checks the target */
    case INSN_JMP_FAR:
    case INSN_RET_FAR:
    case INSN_IRET: /* AMD pops all before it checks any of it */
    case INSN_LDS:
    case INSN_LES:
    case INSN_LFS:
    case INSN_LGS:
    case INSN_LSS: /* AMD checks offset and selector one after the other */
        open.order = true;
        break;
    case INSN_ENTER:
    case INSN_PUSHA:
    case INSN_CMPXCHG8B:
        open.order = t->is_intel;
        break;
    case INSN_POPA:
        open.registers = true;
        break;
    case INSN_LAR:
        open.bits = 0xf0000; /* the limit's */
        break;
    default:
        break;
    }
    return open;
}

static const char *compare(const struct trial *t, const struct attempt *a, const struct outcome *n,
                           const struct outcome *g)
{
    const struct tolerance open = tolerance(t, a);
    /* Outside 64-bit mode, and so after a change to another, nobody sees the upper halves. */
    u64 mask = a->mode == INSN_MODE_64 && n->r.cs == NATIVE_CODE64 ? ~0ull : 0xffffffff;

    if (a->mode != INSN_MODE_64 && (n->r.cs == NATIVE_CODE64 || g->r.cs == NATIVE_CODE64) &&
        a->before.ss != NATIVE_DATA) {
        return NULL; /* to 64-bit code: whether the old mode or the new one governs the stack */
    }
    if (n->completed != g->completed) {
        return "whether it completes";
    }
    if (!n->completed && open.order) {
        return NULL;
    }
    if (!n->completed && (n->vector != g->vector || n->error != g->error)) {
        return "exception";
    }
    if (!n->completed && n->cr2 != g->cr2) {
        return "CR2";
    }
    for (unsigned i = 0; i < (a->mode == INSN_MODE_64 ? 16 : 8); i++) {
        if ((n->r.gpr[i] ^ g->r.gpr[i]) & mask & ~open.bits && (n->completed || !open.registers)) {
            return "a general register";
        }
    }
    if ((n->r.rip ^ g->r.rip) & mask) {
        return "rIP";
    }
    if ((n->r.flags ^ g->r.flags) & ~open.flags) {
        return "flags";
    }
    if (n->r.cs != g->r.cs || n->r.ss != g->r.ss || not_same_segment(n->r.ds, g->r.ds) ||
        not_same_segment(n->r.es, g->r.es) || not_same_segment(n->r.fs, g->r.fs) ||
        not_same_segment(n->r.gs, g->r.gs)) {
        return "a segment register";
    }
    if ((a->insn.id == INSN_WRFSBASE && n->r.fs_base != g->r.fs_base) ||
        (a->insn.id == INSN_WRGSBASE && n->r.gs_base != g->r.gs_base)) {
        return "the base of FS or GS";
    }
    return pair_compare(&t->pair) >= 0 ? "memory" : NULL;
}

static void print_side(const char *who, const struct outcome *o)
{
    print_error("  %-8s %s vector %u error %#lx cr2 %#lx rip %#lx flags %#lx cs %lx ss %lx\n   ",
                who, o->completed ? "completed" : "faulted", o->vector, o->error, o->cr2, o->r.rip,
                o->r.flags, o->r.cs, o->r.ss);
    for (unsigned i = 0; i < 16; i++) {
        print_error(" %lx", o->r.gpr[i]);
    }
    print_error("\n");
}

static void report(struct trial *t, const struct attempt *a, const char *what,
                   const struct outcome *n, const struct outcome *g)
{
    const struct outcome before = {.r = a->before};
    char text[128] = "(not known to the decoder)";

    t->different++;
    if (t->different_by_id[a->decoded == INSN_OK ? a->insn.id : 0]++ >= 2) {
        return;
    }
    if (a->decoded == INSN_OK) {
        insn_format(&a->insn, a->mode, a->before.rip, text, sizeof(text));
    }
    print_error("%u-bit code, %s (", 16u << a->mode, text);
    for (unsigned i = 0; i < a->insn.length; i++) {
        print_error("%02x ", a->bytes[i]);
    }
    print_error("): %s differs; ds %lx es %lx fs %lx gs %lx\n", what, a->before.ds, a->before.es,
                a->before.fs, a->before.gs);
    print_side("before", &before);
    print_side("host", n);
    print_side("Ringer", g);
}

/* ------------------------------------------------------------------ all of it */

/* Would the host meet what the guest has not: memory of this test's own process? */
static bool is_elsewhere(const struct outcome *g)
{
    return !g->completed && g->vector == VECTOR_PF &&
           (g->cr2 >= 0x40000000 || g->cr2 < 0x10000 ||
            (g->cr2 >= AREA + AREA_SIZE - PAGE_SIZE && g->cr2 < AREA + AREA_SIZE));
}

static void try_one(struct trial *t, struct attempt *a, unsigned map, unsigned opcode)
{
    u64 target = random_target();

    decode(a);
    bool known = a->decoded == INSN_OK;
    random_registers(t, a);
    pair_put_data(&t->pair, t->contents);
    if (known) {
        tame_immediate(a);
        if (a->mode == INSN_MODE_64 && one_in(40)) {
            target = BIT(47) - below(16); /* where canonical addresses end */
        }
        if (is_string(&a->insn)) {
            aim_strings(t, a);
        } else if (memory_operand(&a->insn)) {
            target &= t->is_intel && is_locked(&a->insn) ? ~15ull : ~0ull;
            aim(t, a, target);
        }
        if (a->decoded != INSN_OK || is_excluded(t, a)) {
            return;
        }
        refine(t, a, target);
        keep_stack_pointer(t, a);
        a->step = insn_row(&a->insn)->attributes & ATTR_BRANCH;
    } else if (!may_try_unknown(t, map, opcode, a)) {
        return;
    } else {
        a->step = true;
        keep_stack_pointer(t, a);
    }
    if (a->decoded == INSN_UNDEFINED) {
        /* Neither at the end of what can be fetched nor near 15 bytes: how long an undefined
         * instruction is, is a question of its own. */
        if (a->insn.length > 6) {
            return;
        }
        a->before.rip -= start_linear(t, a) >= CODE + PAGE_SIZE ? PAGE_SIZE : 0;
    }
    unsigned length = known ? a->insn.length : INSN_MAX_LENGTH;
    u64 start = start_linear(t, a);
    pair_put_code(&t->pair, start, a->bytes, length);
    struct outcome g = by_interpreter(t, a);
    if (is_elsewhere(&g)) {
        t->skipped++;
    } else {
        struct outcome n = by_host(a);
        const char *what = compare(t, a, &n, &g);
        if (!known && map && n.vector != VECTOR_UD) {
            t->hidden++; /* an extension that guests are not shown */
        } else if (what) {
            report(t, a, what, &n, &g);
        }
        t->compared++;
        t->faulted += !g.completed;
        t->undefined += !known;
        t->by_id[known ? a->insn.id : 0]++;
    }
    static const u8 trap[INSN_MAX_LENGTH] = {0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                                             0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
    pair_put_code(&t->pair, start, trap, length);
}

static struct trial *trial_new(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    struct trial *t = calloc(1, sizeof(*t));

    native_signals();
    t->pair.f = guest_new();
    if (!native_ldt_write()) {
        t->pair.f->cpu->seg[SEG_LDTR] = (struct segment){0};
    }
    t->pair.guest = t->pair.f->mem.base + AREA_GPA;
    t->pair.native = native_area_new();
    assert_non_null(t->pair.native);
    memset(t->pair.guest + (CODE - AREA), 0xcc, CODE_SIZE);
    for (unsigned i = 0; i < AREA_SIZE; i += 8) {
        u64 value = random_value();
        memcpy(t->contents + i, &value, 8);
    }
    pair_fill(&t->pair, t->contents);
    __get_cpuid(0, &a, &b, &c, &d);
    t->is_intel = b == 0x756e6547;
    return t;
}

static const char *id_name(unsigned id)
{
    for (unsigned row = 1;; row++) {
        if (insn_rows[row].id == id) {
            return insn_rows[row].mnemonic;
        }
    }
}

static void trial_free(struct trial *t)
{
    unsigned different = t->different;
    for (unsigned i = 0; i < INSN_COUNT; i++) {
        if (t->different_by_id[i]) {
            print_error("%s: %u of %u differ\n", id_name(i), t->different_by_id[i], t->by_id[i]);
        }
    }
    if (getenv("NATIVE_COVERAGE")) {
        for (unsigned i = 1; i < INSN_COUNT; i++) {
            if (!t->by_id[i]) {
                printf("%s ", id_name(i));
            }
        }
    }
    printf("%u compared with the host: %u alike in an exception, %u undefined; %u skipped (would "
           "reach this process), %u that guests are not shown\n",
           t->compared, t->faulted, t->undefined, t->skipped, t->hidden);
    munmap(t->pair.native, AREA_SIZE);
    interpret_fixture_free(t->pair.f);
    free(t);
    assert_int_equal(different, 0);
}

static void try_mode(struct trial *t, enum insn_mode mode, unsigned rounds)
{
    for (unsigned code = 0; code < 2 * 256 * 8; code++) {
        unsigned map = code >> 11, opcode = code >> 3 & 0xff, reg = code & 7;
        if (!is_opcode(map, opcode, mode)) {
            continue;
        }
        for (unsigned i = 0; i < rounds; i++) {
            struct attempt a = {.mode = mode};
            random_bytes(&a, map, opcode, reg);
            try_one(t, &a, map, opcode);
        }
    }
}

static void code_of_64_bits(void **state)
{
    (void)state;
    if (!native_possible()) {
        print_message("skipped: this kernel does not let programs use WRFSBASE\n");
        skip();
    }
    struct trial *t = trial_new();
    try_mode(t, INSN_MODE_64, 50);
    trial_free(t);
}

static void code_of_32_and_16_bits(void **state)
{
    (void)state;
    if (!native_possible() || !native_ldt_write()) {
        print_message("skipped: this kernel has no 16-bit segments or no WRFSBASE\n");
        skip();
    }
    struct trial *t = trial_new();
    try_mode(t, INSN_MODE_32, 30);
    try_mode(t, INSN_MODE_16, 30);
    trial_free(t);
}

/* Another seed may be given, to look further than `make check` does. */
int main(int argc, char **argv)
{
    random_state ^= argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_of_64_bits),
        cmocka_unit_test(code_of_32_and_16_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
