/* test_thunk.c - the cache of thunks: what shares one, what it does when full, and its fix-up. */
#include "vector_fixture.h"

static const struct thunk *find(struct machine *m, const u8 *bytes, size_t size)
{
    struct insn insn;
    assert_int_equal(insn_decode(&insn, m->cpu->code_mode, bytes, size), INSN_OK);
    assert_true(machine_prepare(m, &insn));
    return (const struct thunk *)(uintptr_t)m->op[0].imm;
}

#define FIND(m, ...) find((m), (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static int set_up(void **state)
{
    *state = machine_new();
    return 0;
}

static int tear_down(void **state)
{
    machine_free(*state);
    return 0;
}

static void operands_are_normalized(void **state)
{
    struct machine *m = *state;
    const struct thunk *t = FIND(m, 0x0f, 0x58, 0x03); /* addps xmm0, [rbx] */
    assert_int_equal(t->memory_size, 16);
    assert_true(t->memory_read);
    assert_false(t->memory_written);
    /* addps xmm0, fs:[r13 + r9 * 8 + 0x7fffffff], and [rip + 1] */
    assert_ptr_equal(FIND(m, 0x64, 0x43, 0x0f, 0x58, 0x84, 0xcd, 0xff, 0xff, 0xff, 0x7f), t);
    assert_ptr_equal(FIND(m, 0x0f, 0x58, 0x05, 1, 0, 0, 0), t);
    assert_ptr_not_equal(FIND(m, 0x44, 0x0f, 0x58, 0x03), t); /* xmm8 */
    assert_ptr_not_equal(FIND(m, 0x66, 0x0f, 0x58, 0x03), t); /* addpd */
    assert_ptr_not_equal(FIND(m, 0x0f, 0x58, 0xc3), t);       /* a register */
    assert_ptr_not_equal(FIND(m, 0xc5, 0xf8, 0x58, 0x03), t); /* vaddps */
    assert_ptr_equal(FIND(m, 0xc5, 0xf8, 0x58, 0x03), FIND(m, 0xc4, 0xe1, 0x78, 0x58, 0x03));
}

static void general_registers_are_normalized(void **state)
{
    struct machine *m = *state;
    const struct thunk *t = FIND(m, 0x66, 0x0f, 0x6e, 0xc3);    /* movd xmm0, ebx */
    assert_ptr_equal(FIND(m, 0x66, 0x41, 0x0f, 0x6e, 0xc4), t); /* movd xmm0, r12d */
    assert_ptr_not_equal(FIND(m, 0x66, 0x48, 0x0f, 0x6e, 0xc3), t);
    t = FIND(m, 0xc4, 0xe2, 0x60, 0xf2, 0xc1);                      /* andn eax, ebx, ecx */
    assert_ptr_equal(FIND(m, 0xc4, 0x42, 0x08, 0xf2, 0xcf), t);     /* andn r9d, r14d, r15d */
    assert_ptr_not_equal(FIND(m, 0xc4, 0xe2, 0xe0, 0xf2, 0xc1), t); /* andn rax, rbx, rcx */
}

static void integers(void **state)
{
    struct machine *m = *state;
    u64 *gpr = m->cpu->gpr;
    gpr[RDX] = 0x8000000000000001;
    gpr[RCX] = 6;
    assert_true(RUN(m, 0xc4, 0xe2, 0xf3, 0xf6, 0xc1)); /* mulx rax, rcx, rcx */
    assert_int_equal(gpr[RAX], 3);
    assert_int_equal(gpr[RCX], 6);
    gpr[RCX] = 6;
    assert_true(RUN(m, 0xc4, 0xe2, 0xfb, 0xf6, 0xc1)); /* mulx rax, rax, rcx: the high half */
    assert_int_equal(gpr[RAX], 3);
    cpu_set_arithmetic_flags(m->cpu, RFLAGS_CF | RFLAGS_OF | RFLAGS_ZF);
    gpr[RAX] = 10;
    assert_true(RUN(m, 0x66, 0x0f, 0x38, 0xf6, 0xc1)); /* adcx eax, ecx */
    assert_int_equal(gpr[RAX], 17);
    assert_int_equal(cpu_arithmetic_flags(m->cpu), RFLAGS_OF | RFLAGS_ZF);
    assert_true(RUN(m, 0xf3, 0x0f, 0x38, 0xf6, 0xc1)); /* adox eax, ecx */
    assert_int_equal(gpr[RAX], 24);
    assert_int_equal(cpu_arithmetic_flags(m->cpu), RFLAGS_ZF);
    assert_true(RUN(m, 0x0f, 0xc7, 0xf0)); /* rdrand eax */
    assert_int_equal(gpr[RAX] >> 32, 0);
    assert_int_equal(cpu_arithmetic_flags(m->cpu) & ~RFLAGS_CF, 0);
}

/* All 2^16 operands of PSHUFD, PSHUFLW, ... that it takes to be full. */
static void full_cache(void **state)
{
    static const u8 prefixes[] = {0x66, 0xf2, 0xf3};
    struct machine *m = *state;
    struct thunk_cache *cache = &m->cpu->exec->thunks;
    unsigned made = 0;
    while (!thunk_cache_is_low(cache)) {
        assert_false(m->cpu->exec->flush_wanted);
        assert_true(made < THUNK_POOL);
        FIND(m, prefixes[made >> 14 & 1], 0x0f, 0x70, (u8)(0xc0 | (made >> 8 & 63)), (u8)made);
        made++;
    }
    assert_true(made > THUNK_POOL / 2);
    assert_int_equal(made, cache->used);
    struct insn insn;
    static const u8 another[] = {0x0f, 0x58, 0xc1};
    struct op op = {0};
    assert_int_equal(insn_decode(&insn, INSN_MODE_64, another, sizeof(another)), INSN_OK);
    assert_true(vector_prepare(m->cpu, &insn, &op)); /* there is a reserve, ... */
    assert_true(m->cpu->exec->flush_wanted);         /* ... and the run loop is told */
    thunk_cache_empty(cache);
    assert_false(thunk_cache_is_low(cache));
    assert_true(RUN(m, 0x0f, 0x58, 0xc1));
    assert_int_equal(cache->used, 1);
}

static void fixup_range(void **state)
{
    struct machine *m = *state;
    const struct thunk_cache *cache = &m->cpu->exec->thunks;
    u64 start = (u64)(uintptr_t)cache->code;
    u64 fixup = thunk_fixup(cache, (u64)(uintptr_t)FIND(m, 0x0f, 0x58, 0xc1)->code);
    assert_int_not_equal(fixup, 0);
    assert_int_equal(((thunk_code *)(uintptr_t)fixup)(NULL, NULL), THUNK_FAILED);
    assert_int_equal(thunk_fixup(cache, start - 1), 0);
    assert_int_equal(thunk_fixup(cache, start + THUNK_CODE_BYTES), 0);
    assert_int_equal(thunk_fixup(cache, (u64)(uintptr_t)fixup_range), 0);
}

/* An instruction that the host does not have is #UD in the guest.  Every host has what guests are
 * shown, so one is made: the thunk's first byte becomes an undefined opcode. */
static void absent_on_host(void **state)
{
    struct machine *m = *state;
    u8 *code = (u8 *)(uintptr_t)FIND(m, 0x0f, 0x58, 0xc1)->code;
    code[0] = 0x06;
    machine_signals();
    assert_false(machine_execute(m));
    assert_int_equal(m->cpu->fault.vector, VECTOR_UD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(operands_are_normalized),
        TEST(general_registers_are_normalized),
        TEST(integers),
        TEST(full_cache),
        TEST(fixup_range),
        TEST(absent_on_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
