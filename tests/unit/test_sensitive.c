/* test_sensitive.c - which pages the host's CPU must not run itself. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exec/direct/direct.h"

/* A page of code that nobody minds: add $1, %eax; mov %rax, (%rbx); jmp back. */
static void fill_page(u8 *page, size_t size)
{
    static const u8 code[] = {0x83, 0xc0, 0x01, 0x48, 0x89, 0x03, 0xeb, 0xf8};

    for (size_t i = 0; i < size; i++) {
        page[i] = code[i % sizeof(code)];
    }
}

static bool holds_pkru_at(unsigned offset, const u8 bytes[3])
{
    u8 page[PAGE_SIZE];

    fill_page(page, sizeof(page));
    memcpy(page + offset, bytes, 3);
    return sensitive_holds_pkru(page);
}

static void wrpkru_and_xrstor_count_at_every_offset(void **state)
{
    static const u8 wrpkru[3] = {0x0f, 0x01, 0xef}, xrstor[3] = {0x0f, 0xae, 0x28},
                    xrstor_disp8[3] = {0x0f, 0xae, 0x6c}, lfence[3] = {0x0f, 0xae, 0xe8},
                    xsave[3] = {0x0f, 0xae, 0x20}, rdpkru[3] = {0x0f, 0x01, 0xee};

    (void)state;
    for (unsigned offset = 0; offset <= PAGE_SIZE - 3; offset++) {
        assert_true(holds_pkru_at(offset, wrpkru));
        assert_true(holds_pkru_at(offset, xrstor));
        assert_true(holds_pkru_at(offset, xrstor_disp8));
        assert_false(holds_pkru_at(offset, lfence));
        assert_false(holds_pkru_at(offset, xsave));
        assert_false(holds_pkru_at(offset, rdpkru));
    }
}

/* Do a page that ends with two bytes and one that begins with two make one of them? */
static bool join(u8 end0, u8 end1, u8 start0, u8 start1)
{
    u8 page[PAGE_SIZE], next[PAGE_SIZE];

    fill_page(page, sizeof(page));
    fill_page(next, sizeof(next));
    page[PAGE_SIZE - 2] = end0;
    page[PAGE_SIZE - 1] = end1;
    next[0] = start0;
    next[1] = start1;
    return sensitive_joins_pkru(page, next);
}

static void they_count_across_pages(void **state)
{
    (void)state;
    assert_true(join(0x0f, 0x01, 0xef, 0x90));
    assert_false(join(0x0f, 0x00, 0xef, 0x90));
    assert_true(join(0x90, 0x0f, 0xae, 0x2f));
    assert_true(join(0x90, 0x0f, 0x01, 0xef));
    assert_false(join(0x90, 0x0f, 0x01, 0xf9));
    assert_true(join(0x0f, 0xae, 0x29, 0x00));
    assert_false(join(0x0f, 0xae, 0xe8, 0x00));
}

/* `size` bytes at an instruction boundary of otherwise innocuous code. */
static bool holds_instruction(const u8 *bytes, size_t size, bool cpuid_faults)
{
    struct sensitive_window w = {.mode = INSN_MODE_64, .cpuid_faults = cpuid_faults};

    fill_page(w.bytes, sizeof(w.bytes));
    memset(w.bytes + 1024, 0x90, 32);
    memcpy(w.bytes + 1024, bytes, size);
    return sensitive_holds_instruction(&w);
}

#define HOLDS(...) \
    holds_instruction((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), true)

static void instructions_that_tell_of_the_host_are_found(void **state)
{
    static const u8 cpuid[] = {0x0f, 0xa2};

    (void)state;
    assert_true(holds_instruction(cpuid, sizeof(cpuid), false));
    assert_false(holds_instruction(cpuid, sizeof(cpuid), true));
    assert_true(HOLDS(0x0f, 0x01, 0xd0));             /* XGETBV */
    assert_true(HOLDS(0x0f, 0x01, 0xf9));             /* RDTSCP */
    assert_true(HOLDS(0xf3, 0x0f, 0xc7, 0xf8));       /* RDPID */
    assert_true(HOLDS(0x0f, 0x01, 0xee));             /* RDPKRU */
    assert_true(HOLDS(0x0f, 0xae, 0x64, 0x24, 0x40)); /* XSAVE */
    assert_true(HOLDS(0x0f, 0xc7, 0x64, 0x24, 0x40)); /* XSAVEC */
    assert_true(HOLDS(0x0f, 0x01, 0x03));             /* SGDT */
    assert_true(HOLDS(0x0f, 0x00, 0xc0));             /* SLDT */
    assert_true(HOLDS(0x48, 0x0f, 0x03, 0xc1));       /* LSL */
    assert_true(HOLDS(0x0f, 0x34));                   /* SYSENTER */
    assert_true(HOLDS(0x0f, 0x01, 0xd9));             /* VMMCALL */
    assert_false(HOLDS(0x0f, 0x31));                  /* RDTSC: the guest's is the host's */
    assert_false(HOLDS(0x0f, 0xae, 0xe8));            /* LFENCE */
    assert_false(HOLDS(0x0f, 0xc7, 0x0f));            /* CMPXCHG8B */
    assert_false(HOLDS(0xf0, 0x0f, 0xc7, 0x0f));      /* and locked */
}

static void bytes_inside_of_others_are_not(void **state)
{
    (void)state;
    assert_false(HOLDS(0x48, 0x8b, 0x05, 0x11, 0x0f, 0xa2, 0x00)); /* mov disp32(%rip), %rax */
    assert_false(HOLDS(0x48, 0x89, 0x05, 0x52, 0xe0, 0x0f, 0x00)); /* ... 0f 00 at its end */
    assert_false(HOLDS(0xb8, 0x0f, 0x01, 0xd0, 0x00));             /* mov $..., %eax */
    assert_false(HOLDS(0x62, 0xf3, 0x7d, 0x20, 0x3f, 0x0f, 0x00)); /* AVX-512, not decoded here */
}

static void selectors_of_32_bit_threads_are_the_hosts(void **state)
{
    struct sensitive_window w = {.mode = INSN_MODE_32, .cpuid_faults = true};
    static const struct {
        u8 bytes[2];
        bool found;
    } cases[] = {
        {{0x8c, 0xe8}, true},  /* mov %gs, %eax */
        {{0x8c, 0xe0}, true},  /* mov %fs, %eax */
        {{0x8c, 0xc8}, false}, /* mov %cs, %eax: the same on both */
        {{0x0f, 0xa8}, true},  /* push %gs */
        {{0x0f, 0xa2}, false}, /* cpuid, which faults */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int is_64 = 0; is_64 < 2; is_64++) {
            w.mode = is_64 ? INSN_MODE_64 : INSN_MODE_32;
            memset(w.bytes, 0x90, sizeof(w.bytes));
            memcpy(w.bytes + 1024, cases[i].bytes, 2);
            assert_int_equal(sensitive_holds_instruction(&w), cases[i].found && !is_64);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrpkru_and_xrstor_count_at_every_offset),
        cmocka_unit_test(they_count_across_pages),
        cmocka_unit_test(instructions_that_tell_of_the_host_are_found),
        cmocka_unit_test(bytes_inside_of_others_are_not),
        cmocka_unit_test(selectors_of_32_bit_threads_are_the_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
