/*
 * test_classify.c - Popek and Goldberg's classes: what experiments find of instructions whose
 * classes the manual tells, and that x86.def, the published lists and the host agree with them.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <ringer/classify.h>

#include "classify/process.h"
#include "classify/result.h"
#include "classify/theorems.h"
#include "host/native.h"
#include "isa/vector.h"

#define PRIV CLASS_PRIVILEGED
#define IO   CLASS_IO_PRIVILEGED
#define CTL  CLASS_CONTROL_SENSITIVE
#define LOC  CLASS_LOCATION_SENSITIVE
#define MODE CLASS_MODE_SENSITIVE

/* ------------------------------------------------------------------ theorems */

/* Sets that fulfil all three; Popek and Goldberg's example of the PDP-10, whose JRST 1 is sensitive
 * in supervisor mode only and not privileged, so that there is a hybrid VMM; and one without. */
static void test_theorems(void **state)
{
    static const struct theorem_item good[] = {
        {.sensitive = true, .user_sensitive = true, .privileged = true},
        {.sensitive = true, .privileged = true},
        {.privileged = true},
        {.privileged = false},
    };
    static const struct theorem_item pdp10[] = {
        {.sensitive = true, .user_sensitive = true, .privileged = true},
        {.sensitive = true, .user_sensitive = false, .privileged = false},
    };
    static const struct theorem_item bad[] = {{.sensitive = true, .user_sensitive = true}};

    (void)state;
    assert_true(theorem_holds(THEOREM_VMM, good, ARRAY_SIZE(good)));
    assert_true(theorem_holds(THEOREM_RECURSIVE, good, ARRAY_SIZE(good)));
    assert_true(theorem_holds(THEOREM_HYBRID, good, ARRAY_SIZE(good)));
    assert_false(theorem_holds(THEOREM_VMM, pdp10, ARRAY_SIZE(pdp10)));
    assert_false(theorem_holds(THEOREM_RECURSIVE, pdp10, ARRAY_SIZE(pdp10)));
    assert_true(theorem_holds(THEOREM_HYBRID, pdp10, ARRAY_SIZE(pdp10)));
    assert_false(theorem_holds(THEOREM_HYBRID, bad, ARRAY_SIZE(bad)));
}

/* ------------------------------------------------------------------ single instructions */

static const struct {
    const char *name;
    u8 bytes[4]; /* one that has the row */
    enum code_kind kind;
    unsigned classes, user_classes;
    bool traps, traps_umip;
} known[] = {
    {"add", {0x01, 0xd8}, CODE_32, 0, 0, false, false},
    {"lea", {0x8d, 0x03}, CODE_64, 0, 0, false, false},
    {"sgdt", {0x0f, 0x01, 0x03}, CODE_32, LOC, LOC, false, true},
    {"str", {0x0f, 0x00, 0xc8}, CODE_64, LOC, LOC, false, true},
    {"smsw", {0x0f, 0x01, 0xe0}, CODE_32, LOC, LOC, false, true},
    {"lgdt", {0x0f, 0x01, 0x13}, CODE_32, PRIV | CTL, 0, true, true},
    {"hlt", {0xf4}, CODE_64, PRIV | CTL, 0, true, true},
    {"wbinvd", {0x0f, 0x09}, CODE_64, PRIV, 0, true, true},
    {"mov cr0", {0x0f, 0x22, 0xc0}, CODE_32, PRIV | CTL, 0, true, true},
    {"mov from cr0", {0x0f, 0x20, 0xc0}, CODE_32, PRIV | LOC, 0, true, true},
    {"cli", {0xfa}, CODE_32, IO | CTL, CTL, true, true},
    {"in", {0xec}, CODE_32, IO | LOC, 0, true, true},
    {"pushf", {0x9c}, CODE_32, MODE, MODE, false, false},
    {"popf", {0x9d}, CODE_64, CTL, CTL, false, false},
    {"push cs", {0x0e}, CODE_32, MODE, 0, false, false},
    {"push ds", {0x1e}, CODE_32, 0, 0, false, false},
    {"pop ds", {0x1f}, CODE_32, CTL, CTL, false, false},
    {"mov ds", {0x8e, 0xd8}, CODE_32, CTL, CTL, false, false},
    {"mov from segment", {0x8c, 0xc8}, CODE_64, MODE, 0, false, false},
    {"lar", {0x0f, 0x02, 0xc3}, CODE_32, LOC | MODE, LOC, false, false},
    {"lsl", {0x0f, 0x03, 0xc3}, CODE_64, LOC | MODE, LOC, false, false},
    {"call far", {0xff, 0x1b}, CODE_32, CTL | LOC | MODE, CTL | LOC, false, false},
    {"jmp far", {0xff, 0x2b}, CODE_32, CTL | LOC, CTL, false, false},
    {"iret", {0xcf}, CODE_32, CTL | MODE, CTL, false, false},
    {"int n", {0xcd, 0x80}, CODE_32, CTL | LOC | MODE, CTL | LOC, false, false},
    {"syscall", {0x0f, 0x05}, CODE_64, CTL | LOC | MODE, CTL | LOC | MODE, false, false},
    {"rdtsc", {0x0f, 0x31}, CODE_32, LOC, LOC, true, true}, /* by CR4.TSD, a guard */
    {"cpuid", {0x0f, 0xa2}, CODE_64, LOC, LOC, false, false},
    {"rdrand", {0x0f, 0xc7, 0xf0}, CODE_64, 0, 0, false, false},
    {"wrfsbase", {0xf3, 0x0f, 0xae, 0xd0}, CODE_64, CTL, CTL, false, false},
};

static void test_known(void **state)
{
    struct lab *lab = lab_new();
    static struct finding f;

    (void)state;
    assert_non_null(lab);
    assert_true(lab_signals(lab));
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        u8 bytes[INSN_MAX_LENGTH] = {0};
        struct insn insn;
        memcpy(bytes, known[i].bytes, sizeof(known[i].bytes));
        assert_int_equal(insn_decode(&insn, sample_mode(known[i].kind), bytes, sizeof(bytes)),
                         INSN_OK);
        experiment_run(lab, insn.row, known[i].kind, 128, 7, &f);
        if (finding_classes(&f) != known[i].classes ||
            finding_user_classes(&f) != known[i].user_classes ||
            finding_traps(&f, VARY_GUARDED) != known[i].traps ||
            finding_traps(&f, VARY_GUARDED_UMIP) != known[i].traps_umip) {
            fail_msg("%s: classes %#x, at CPL 3 %#x, traps %d, with UMIP %d", known[i].name,
                     finding_classes(&f), finding_user_classes(&f), finding_traps(&f, VARY_GUARDED),
                     finding_traps(&f, VARY_GUARDED_UMIP));
        }
    }
    lab_destroy(lab);
}

/* What does nothing in any state is not called innocuous. */
static void test_unmeasured(void **state)
{
    u8 bytes[INSN_MAX_LENGTH] = {0x0f, 0x0b}; /* UD2 */
    struct lab *lab = lab_new();
    static struct finding f;
    struct insn insn;

    (void)state;
    assert_non_null(lab);
    assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), INSN_OK);
    experiment_run(lab, insn.row, CODE_64, 4, 7, &f);
    assert_false(finding_is_measured(&f));
    assert_true(f.tries > 0 && f.trapped[1][VARY_CPL] == f.tries);
    lab_destroy(lab);
}

/* ------------------------------------------------------------------ the host's CPU */

static void native_once(struct native *native, const char *code, unsigned size, u64 cs,
                        struct native_result *result)
{
    struct native_registers r = {.rip = CODE,
                                 .cs = cs,
                                 .flags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF,
                                 .ss = NATIVE_DATA,
                                 .ds = NATIVE_DATA,
                                 .es = NATIVE_DATA,
                                 .frame = AREA + 0x10000u + PAGE_SIZE};

    r.gpr[RAX] = 0x1234; /* no system call of either kind */
    r.gpr[RSP] = STACK;
    memcpy((void *)(uintptr_t)CODE, code, size);
    memset(result, 0, sizeof(*result));
    native_run(native, &r, result);
}

#define NATIVE(code, cs) native_once(native, code, sizeof(code) - 1, cs, &result)

/* In a child: 0 if all is as it should be, else the number of what was not; 77: cannot be done. */
static int native_child(void)
{
    struct native *native = experiment_native_area() ? native_new() : NULL;
    struct native_result result;

    if (!native) {
        return 77;
    }
    NATIVE("\x90\xf4", NATIVE_CODE64);
    if (result.vector != VECTOR_DB || result.r.rip != CODE + 1) {
        return 1;
    }
    NATIVE("\x40", NATIVE_CODE32); /* inc eax */
    if (result.vector != VECTOR_DB || result.r.gpr[RAX] != 0x1235) {
        return 2;
    }
    NATIVE("\xf4", NATIVE_CODE64); /* hlt */
    if (result.vector != VECTOR_GP || result.r.rip != CODE) {
        return 3;
    }
    NATIVE("\x0f\x0b", NATIVE_CODE32);
    if (result.vector != VECTOR_UD) {
        return 4;
    }
    NATIVE("\x0f\x05", NATIVE_CODE64); /* syscall: has not happened */
    if (!result.system_call || result.r.gpr[RAX] != 0x1234) {
        return 5;
    }
    NATIVE("\x8b\x04\x25\x00\x00\x00\x30", NATIVE_CODE64); /* mov eax, [0x30000000] */
    if (result.vector != VECTOR_PF || result.cr2 != 0x30000000) {
        return 6;
    }
    NATIVE("\x0f\xa2", NATIVE_CODE64);
    return result.vector == VECTOR_DB ? 0 : 7;
}

static void test_native(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (!pid) {
        _exit(native_child());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("the kernel lets no process try\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------------ x86.def */

/* That a wrong class and a wrong trap would be seen. */
static void test_differences_are_seen(void **state)
{
    struct experiments *x = calloc(1, sizeof(*x));
    struct ringer_classification c = {0};

    (void)state;
    assert_non_null(x);
    x->row[0][CODE_32].finding.samples = 1; /* ADD */
    x->row[0][CODE_32].finding.changes[0] = 1;
    x->row[0][CODE_32].finding.completed[1][VARY_CPL] = 1;
    x->row[0][CODE_32].native[NATIVE_AS_IS].trapped = 1;
    x->row[0][CODE_32].native[NATIVE_AS_IS].vectors = 1u << VECTOR_GP;
    assert_true(result_differences(&c, x));
    assert_int_equal(c.difference_count, 2);
    assert_non_null(strstr(c.differences[0], "x86.def says none, experiments find ctl"));
    assert_non_null(strstr(c.differences[1], "always traps on the host, completes in Ringer"));
    free(c.differences[0]);
    free(c.differences[1]);
    free(c.differences);
    free(x);
}

static bool is_unmeasured(const struct ringer_pg_instruction *insn)
{
    return !insn->kind[RINGER_PG_32].measured && !insn->kind[RINGER_PG_64].measured;
}

/* All that this machine has not (but a host may), and what traps always. */
static bool may_be_unmeasured(const char *name, const char *feature)
{
    static const char *const names[] = {"MONITOR", "MWAIT",  "RDPKRU", "WRPKRU", "XSAVES",
                                        "XRSTORS", "RDPMC",  "RSM",    "UD0",    "UD1",
                                        "UD2",     "RDRAND", "RDSEED"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    return feature && strcmp(feature, "X87") != 0; /* the host executes those: it may lack it */
}

static void check_lists(const struct ringer_classification *c)
{
    assert_int_equal(c->list[0].entry_count, 18);
    assert_int_equal(c->list[1].entry_count, 19);
    for (unsigned i = 0; i < ARRAY_SIZE(c->list); i++) {
        for (unsigned k = 0; k < c->list[i].entry_count; k++) {
            if (!c->list[i].entry[k].found) {
                fail_msg("%s lists %s", c->list[i].title, c->list[i].entry[k].name);
            }
        }
    }
}

static bool spoils(const struct ringer_classification *c, unsigned variant, const char *name)
{
    const struct ringer_pg_variant *v = &c->variant[variant];

    for (unsigned i = 0; i < v->violator_count; i++) {
        if (!strcmp(c->instructions[v->violators[i]].name, name)) {
            return true;
        }
    }
    return false;
}

static void check_variants(const struct ringer_classification *c)
{
    static const char *const umip[] = {"SGDT", "SIDT", "SLDT", "STR", "SMSW"};

    for (unsigned i = 0; i < 4; i++) {
        assert_false(c->variant[i].theorem[0] || c->variant[i].theorem[1]);
        assert_false(c->variant[i].theorem[2]);
        for (unsigned k = 0; k < ARRAY_SIZE(umip); k++) {
            assert_int_equal(spoils(c, i, umip[k]), i % 2 == 0);
        }
        assert_true(spoils(c, i, "POPF"));
        assert_false(spoils(c, i, "CLI") || spoils(c, i, "HLT") || spoils(c, i, "RDTSC"));
        assert_int_equal(spoils(c, i, "PUSH segment"), i < 2); /* 64-bit code has no PUSH CS */
        assert_int_equal(spoils(c, i, "SYSCALL"), i >= 2);
    }
}

static void test_classify(void **state)
{
    struct ringer_classification *c;
    char error[200] = "";

    (void)state;
    if (ringer_classify(&c, error, sizeof(error))) {
        fail_msg("%s", error);
    }
    for (unsigned i = 0; i < c->difference_count; i++) {
        print_message("%s\n", c->differences[i]);
    }
    assert_int_equal(c->difference_count, 0);
    for (unsigned i = 0; i < c->instruction_count; i++) {
        const struct ringer_pg_instruction *insn = &c->instructions[i];
        if (is_unmeasured(insn) && !may_be_unmeasured(insn->name, insn->feature)) {
            fail_msg("%s was never completed", insn->name);
        }
    }
    check_lists(c);
    check_variants(c);
    ringer_classification_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_theorems),   cmocka_unit_test(test_known),
        cmocka_unit_test(test_unmeasured), cmocka_unit_test(test_native),
        cmocka_unit_test(test_classify),   cmocka_unit_test(test_differences_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
