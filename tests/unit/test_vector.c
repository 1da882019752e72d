/*
 * test_vector.c - every vector, x87 and BMI encoding that the table has, executed by the
 * interpreter's handlers and natively, from the same random state: the same registers, memory and
 * exceptions.  What the host does not have is counted and skipped.
 */
#include "vector_fixture.h"

/* Of the memory operand, natively and in the guest: two pages. */
#define PLACE 0x20000

static u64 random_state = 0x853c49e6748fea9bull;

static u64 random_u64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1dull;
}

static void random_fill(void *p, size_t size)
{
    u8 *bytes = p;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (u8)(random_u64() >> 32);
    }
}

struct totals {
    unsigned compared, faulted, absent, different;
};

struct trial {
    struct machine *m;
    struct native *native;
    u8 *memory; /* of the native side: at PLACE */
    struct totals totals;
};

/* Those that have no memory operand of fixed size, whose result is random, or that could unmask
 * exceptions: they have their own tests. */
static bool is_special(const struct insn *insn)
{
    switch (insn->id) {
    case INSN_LDMXCSR:
    case INSN_VLDMXCSR:
    case INSN_FLDCW:
    case INSN_RDRAND:
    case INSN_RDSEED:
        return true;
    default:
        break;
    }
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct operand *operand = &insn->op[i];
        if (operand->kind == OPERAND_MEM && !operand->size) {
            return true;
        }
        if (operand->kind == OPERAND_REG && operand->class == REG_GPR && operand->reg == RSP) {
            return true; /* the native side needs it; with REX.R or REX.B it is R12 */
        }
    }
    return insn->mem.vsib;
}

static bool is_ours(const struct insn *insn)
{
    u32 attributes = insn_row(insn)->attributes;
    switch (insn->id) {
    case INSN_POPCNT:
    case INSN_LZCNT:
    case INSN_TZCNT:
    case INSN_CRC32:
    case INSN_MOVBE:
    case INSN_ADCX:
    case INSN_ADOX:
        return true;
    default:
        return attributes & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX) ||
               (insn->vex && insn->map >= 2);
    }
}

/* The same random registers on both sides; rBX, rDI and r11 point to the operand, offset bytes into
 * its page. */
static void randomize(struct trial *t, unsigned offset)
{
    struct native *n = t->native;
    struct cpu *cpu = t->m->cpu;
    struct fpu_area *area = machine_fpu(t->m);

    random_fill(area->st, sizeof(area->st) + sizeof(area->xmm));
    random_fill(area->ymm_high, sizeof(area->ymm_high));
    for (unsigned i = 0; i < 8; i++) {
        memset(&area->st[i][10], 0, 6);
        area->st[i][9] = (u8)(i & 1 ? 0x40 : 0xbf);
        area->st[i][7] |= 0x80;
    }
    area->fcw = 0x37f;
    area->fsw = (u16)(random_u64() & 0x4700);
    area->ftw = (u8)random_u64();
    area->mxcsr = MXCSR_RESET;
    area->xstate_bv = FPU_COMPONENTS;
    n->fpu = *area;
    random_fill(n->gpr, sizeof(n->gpr));
    n->flags = (random_u64() & RFLAGS_ARITHMETIC) | RFLAGS_FIXED | RFLAGS_IF;
    memcpy(cpu->gpr, n->gpr, sizeof(n->gpr));
    cpu_set_arithmetic_flags(cpu, (u32)n->flags & RFLAGS_ARITHMETIC);
    cpu->gpr[RBX] = cpu->gpr[RDI] = cpu->gpr[11] = PLACE + offset;
    n->gpr[RBX] = n->gpr[RDI] = n->gpr[11] = PLACE + offset;
    random_fill(t->memory, 2 * PAGE_SIZE);
    memcpy(t->m->mem.base + PLACE, t->memory, 2 * PAGE_SIZE);
}

static bool gprs_equal(const struct trial *t)
{
    for (unsigned i = 0; i < 16; i++) {
        if (i != RSP && t->native->gpr[i] != t->m->cpu->gpr[i]) {
            return false;
        }
    }
    return ((t->native->flags ^ cpu_arithmetic_flags(t->m->cpu)) & RFLAGS_ARITHMETIC) == 0;
}

static bool fpus_equal(const struct trial *t)
{
    const struct fpu_area *a = &t->native->fpu, *b = machine_fpu(t->m);
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->mxcsr == b->mxcsr &&
           !memcmp(a->st, b->st, sizeof(a->st)) && !memcmp(a->xmm, b->xmm, sizeof(a->xmm)) &&
           !memcmp(a->ymm_high, b->ymm_high, sizeof(a->ymm_high));
}

static void differ(struct trial *t, const struct insn *insn, const char *what, unsigned offset)
{
    char text[128];
    insn_format(insn, INSN_MODE_64, 0, text, sizeof(text));
    if (t->totals.different++ < 50) {
        print_error("%s: %s differs from native execution (operand at offset %u)\n", text, what,
                    offset);
    }
}

/* Intel's SHA instructions want aligned operands (Exceptions Type 4), AMD's do not. */
static bool aligned_on_intel(const struct insn *insn)
{
    return (insn->map == 2 && insn->opcode >= 0xc8 && insn->opcode <= 0xcd) ||
           (insn->map == 3 && insn->opcode == 0xcc);
}

static void try_insn(struct trial *t, const struct insn *insn, unsigned offset)
{
    assert_true(insn->length > 0);
    if (!machine_prepare(t->m, insn)) {
        differ(t, insn, "preparation", offset);
        return;
    }
    randomize(t, offset);
    int number = native_run(t->native, insn->bytes, insn->length);
    bool completed = machine_execute(t->m);
    const struct fault *fault = &t->m->cpu->fault;
    if (number) {
        u8 vector = number == SIGILL ? VECTOR_UD : VECTOR_GP;
        if (completed || fault->vector != vector) {
            differ(t, insn, number == SIGILL ? "#UD" : "#GP", offset);
        }
        t->totals.absent += number == SIGILL;
        t->totals.faulted += number != SIGILL;
        return;
    }
    t->totals.compared++;
    if (!completed) {
        if (!aligned_on_intel(insn)) {
            differ(t, insn, "an exception", offset);
        }
        return;
    }
    if (!gprs_equal(t)) {
        differ(t, insn, "a general register or a flag", offset);
    }
    if (!fpus_equal(t)) {
        differ(t, insn, "a vector or x87 register", offset);
    }
    if (memcmp(t->memory, t->m->mem.base + PLACE, 2 * PAGE_SIZE) != 0) {
        differ(t, insn, "memory", offset);
    }
}

static void try_bytes(struct trial *t, const u8 *bytes)
{
    /* Aligned to everything; to nothing; across the end of the page, aligned to 4; at its end. */
    static const unsigned offsets[] = {64, 129, PAGE_SIZE - 4, PAGE_SIZE - 64};
    struct insn insn;
    if (insn_decode(&insn, INSN_MODE_64, bytes, INSN_MAX_LENGTH) != INSN_OK || !is_ours(&insn) ||
        is_special(&insn)) {
        return;
    }
    bool memory = insn.has_modrm && insn.modrm < 0xc0;
    bool masked =
        insn.id == INSN_MASKMOVQ || insn.id == INSN_MASKMOVDQU || insn.id == INSN_VMASKMOVDQU;
    for (unsigned i = 0; i < (memory || masked ? ARRAY_SIZE(offsets) : 2); i++) {
        try_insn(t, &insn, offsets[i]);
    }
}

static struct trial trial_new(void)
{
    struct trial t = {.m = machine_new(), .native = aligned_alloc(64, sizeof(struct native))};
    memset(t.native, 0, sizeof(*t.native));
    t.memory = mmap((void *)PLACE, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(t.memory, (void *)PLACE);
    return t;
}

static void trial_free(struct trial *t)
{
    printf("%u compared with native execution, %u alike in #GP, %u skipped (not on this host)\n",
           t->totals.compared, t->totals.faulted, t->totals.absent);
    assert_true(t->totals.compared > 500);
    assert_int_equal(t->totals.different, 0);
    munmap(t->memory, 2 * PAGE_SIZE);
    free(t->native);
    machine_free(t->m);
}

/* ModRM bytes: [rbx], registers 1 and 6, and all reg fields for groups. */
static void try_modrms(struct trial *t, u8 *bytes, unsigned at)
{
    static const u8 immediates[] = {0x00, 0x1b, 0x73, 0xc6};
    for (unsigned reg = 0; reg < 8; reg++) {
        for (unsigned i = 0; i < 2; i++) {
            bytes[at] = (u8)((i ? 0xc6 : 0x03) | reg << 3);
            bytes[at + 1] = immediates[reg & 3];
            try_bytes(t, bytes);
        }
    }
}

static void legacy_encodings(void **state)
{
    static const u8 prefixes[] = {0x00, 0x66, 0xf3, 0xf2}, rexes[] = {0x00, 0x48, 0x45, 0x4d};
    struct trial t = trial_new();
    (void)state;
    for (unsigned code = 0; code < 4 * 4 * 3 * 256; code++) {
        u8 bytes[INSN_MAX_LENGTH + 4] = {0};
        unsigned at = 0, map = 1 + code / 256 % 3, prefix = prefixes[code / 768 % 4];
        unsigned rex = rexes[code / 3072];
        if (prefix) {
            bytes[at++] = (u8)prefix;
        }
        if (rex) {
            bytes[at++] = (u8)rex;
        }
        bytes[at++] = 0x0f;
        if (map > 1) {
            bytes[at++] = map == 2 ? 0x38 : 0x3a;
        }
        bytes[at++] = (u8)code;
        try_modrms(&t, bytes, at);
    }
    trial_free(&t);
}

static void vex_encodings(void **state)
{
    struct trial t = trial_new();
    (void)state;
    for (unsigned code = 0; code < 3 * 256 * 16 * 2; code++) {
        unsigned wlpp = code / 768 % 16, high = code / 12288, map = 1 + code / 256 % 3;
        unsigned vvvv = high ? 10 : 2;
        u8 bytes[INSN_MAX_LENGTH + 4] = {0xc4, (u8)((high ? 0x40 : 0xe0) | map),
                                         (u8)((wlpp & 8) << 4 | (~vvvv & 15) << 3 | (wlpp & 7)),
                                         (u8)code};
        try_modrms(&t, bytes, 4);
        bytes[2] |= 0x78; /* vvvv = 1111B, where it is unused */
        try_modrms(&t, bytes, 4);
    }
    trial_free(&t);
}

static void x87_encodings(void **state)
{
    struct trial t = trial_new();
    (void)state;
    for (unsigned opcode = 0xd8; opcode <= 0xdf; opcode++) {
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            u8 bytes[INSN_MAX_LENGTH + 4] = {(u8)opcode, (u8)modrm};
            if (modrm >= 0xc0 || (modrm & 0xc7) == 0x03) {
                try_bytes(&t, bytes);
                try_bytes(&t, bytes);
            }
        }
    }
    trial_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy_encodings),
        cmocka_unit_test(vex_encodings),
        cmocka_unit_test(x87_encodings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
