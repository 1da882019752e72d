/* test_boot_multiboot.c - Multiboot 1 kernels: flat and ELF, what they are told, and malformed
 * ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>

#include "boot_fixture.h"

#define IMAGE     0x1000
#define HEADER_AT 0x80
#define LOAD      0x200000
#define FLAT      0x10000u

/* The address fields follow flags and checksum. */
enum {
    HEADER_ADDR = HEADER_AT + 12,
    LOAD_ADDR = HEADER_AT + 16,
    LOAD_END_ADDR = HEADER_AT + 20,
    BSS_END_ADDR = HEADER_AT + 24,
    ENTRY_ADDR = HEADER_AT + 28,
};

static void put_header(u8 *image, u32 flags)
{
    put_u32(image + HEADER_AT, 0x1badb002);
    put_u32(image + HEADER_AT + 4, flags);
    put_u32(image + HEADER_AT + 8, -(0x1badb002 + flags));
}

/* A flat image whose part from 0x40 on goes to LOAD, with some bss. */
static void make_flat(u8 *image)
{
    for (unsigned i = 0; i < IMAGE; i++) {
        image[i] = (u8)(i * 11 + 3);
    }
    put_header(image, FLAT | 3);
    put_u32(image + HEADER_ADDR, LOAD + HEADER_AT - 0x40);
    put_u32(image + LOAD_ADDR, LOAD);
    put_u32(image + LOAD_END_ADDR, LOAD + IMAGE - 0x40);
    put_u32(image + BSS_END_ADDR, LOAD + 0x2000);
    put_u32(image + ENTRY_ADDR, LOAD + 0x100);
}

static void loads_flat(void **state)
{
    static const u8 initrd[5000] = {5, 6, 7};
    static const u8 second[10] = {8, 9};
    struct fixture *f = *state;
    struct boot_file module = {
        .name = "mod", .bytes = second, .size = sizeof(second), .command_line = "a b"};
    u8 image[IMAGE];
    make_flat(image);
    f->config.command_line = "x=1";
    f->config.initrd = (struct boot_file){.name = "ird", .bytes = initrd, .size = sizeof(initrd)};
    f->config.modules = &module;
    f->config.module_count = 1;
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "Multiboot kernel");
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, LOAD + 0x100);
    assert_int_equal(f->entry.rax, 0x2badb002);
    assert_memory_equal(f->mem.base + LOAD, image + 0x40, IMAGE - 0x40);
    for (unsigned i = IMAGE - 0x40; i < 0x2000; i++) {
        assert_int_equal(f->mem.base[LOAD + i], 0);
    }
    assert_int_equal(f->mem.base[LOAD + 0x2000], initrd[0]); /* the first module follows */

    const u8 *info = f->mem.base + f->entry.rbx;
    assert_int_equal(get_u32(info), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    assert_int_equal(get_u32(info + 4), 639);
    assert_int_equal(get_u32(info + 8), FIXTURE_RAM / 1024 - 1024);
    assert_string_equal(f->mem.base + get_u32(info + 16), "kernel x=1");
    assert_int_equal(get_u32(info + 20), 2);
    const u8 *list = f->mem.base + get_u32(info + 24);
    for (unsigned i = 0; i < 2; i++) {
        u32 start = get_u32(list + i * 16), end = get_u32(list + i * 16 + 4);
        assert_int_equal(start % PAGE_SIZE, 0);
        assert_int_equal(end - start, i ? sizeof(second) : sizeof(initrd));
        assert_memory_equal(f->mem.base + start, i ? second : initrd, end - start);
        assert_string_equal(f->mem.base + get_u32(list + i * 16 + 8), i ? "mod a b" : "ird");
    }
    const u8 *map = f->mem.base + get_u32(info + 48);
    assert_int_equal(get_u32(info + 44), 5 * 24);
    assert_int_equal(get_u32(map), 20);
    assert_int_equal(get_u64(map + 3 * 24 + 4), 0x100000);
    assert_int_equal(get_u64(map + 3 * 24 + 12), FIXTURE_RAM - 0x100000);
    assert_int_equal(get_u32(map + 3 * 24 + 20), 1);
    assert_string_equal(f->mem.base + get_u32(info + 64), "Ringer");
}

static void fills_in_open_ends(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_flat(image);
    put_u32(image + LOAD_END_ADDR, 0);
    put_u32(image + BSS_END_ADDR, 0);
    assert_loads(f, image, sizeof(image));
    assert_memory_equal(f->mem.base + LOAD, image + 0x40, IMAGE - 0x40);
    assert_int_equal(f->mem.base[LOAD + IMAGE - 0x40], 0xaa);
}

static void loads_elf(void **state)
{
    Elf32_Ehdr e = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1},
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_entry = 0xc0200020,
        .e_phoff = sizeof(e),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 1,
    };
    Elf32_Phdr p = {
        .p_type = PT_LOAD,
        .p_vaddr = 0xc0200000,
        .p_paddr = LOAD,
        .p_filesz = IMAGE,
        .p_memsz = IMAGE,
    };
    struct fixture *f = *state;
    u8 image[IMAGE] = {0};
    put_header(image, 3);
    memcpy(image, &e, sizeof(e));
    memcpy(image + sizeof(e), &p, sizeof(p));
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "Multiboot kernel");
    assert_int_equal(f->entry.rip, LOAD + 0x20);
    assert_int_equal(f->entry.rax, 0x2badb002);
    put_u32(image + 4, 0); /* no longer an ELF file */
    assert_refused(f, image, sizeof(image), "neither");
}

static void finds_its_header(void **state)
{
    static u8 image[0x3000];
    struct fixture *f = *state;
    make_flat(image);
    put_u32(image + HEADER_AT + 8, 0); /* a magic with a wrong checksum */
    assert_refused(f, image, sizeof(image), "not a kernel");
    make_flat(image);
    memmove(image + 1, image, IMAGE); /* not at a multiple of 4 */
    assert_refused(f, image, sizeof(image), "not a kernel");

    memset(image, 0, sizeof(image));
    make_flat(image + 8192 - HEADER_AT - 12);
    assert_loads(f, image, sizeof(image)); /* the last place that it may be in */
    memset(image, 0, sizeof(image));
    make_flat(image + 8192 - HEADER_AT - 8);
    assert_refused(f, image, sizeof(image), "not a kernel");
}

static void refuses_malformed(void **state)
{
    static const struct {
        u16 at;
        u32 value;
        const char *words;
    } cases[] = {
        {HEADER_ADDR, LOAD - 1, "does not fit"},
        {HEADER_ADDR, LOAD + HEADER_AT + 1, "does not fit"},
        {HEADER_ADDR, 0xffffffff, "does not fit"},
        {LOAD_ADDR, LOAD + HEADER_AT, "does not fit"},
        {LOAD_END_ADDR, LOAD - 1, "past its end"},
        {LOAD_END_ADDR, LOAD + IMAGE - 0x40 + 1, "past its end"},
        {LOAD_END_ADDR, 0xffffffff, "past its end"},
        {BSS_END_ADDR, LOAD + IMAGE - 0x41, "before the end"},
        {BSS_END_ADDR, 1, "before the end"},
        {BSS_END_ADDR, FIXTURE_RAM + 1, "not inside the machine's memory"},
        {BSS_END_ADDR, 0xffffffff, "not inside the machine's memory"},
        {ENTRY_ADDR, LOAD - 1, "entry point"},
        {ENTRY_ADDR, LOAD + 0x2000, "entry point"},
    };
    struct fixture *f = *state;
    u8 image[IMAGE];
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        make_flat(image);
        put_u32(image + cases[i].at, cases[i].value);
        assert_refused(f, image, sizeof(image), cases[i].words);
    }
    make_flat(image);
    put_header(image, FLAT | 1 << 3);
    assert_refused(f, image, sizeof(image), "features");
    make_flat(image);
    put_header(image, FLAT | 1 << 20 | 1 << 2); /* the upper half may be ignored */
    assert_loads(f, image, sizeof(image));
}

static void refuses_truncated(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_flat(image);
    for (u64 size = 0; size < IMAGE; size += size < HEADER_AT + 40 ? 1 : 61) {
        assert_refused(f, image, size, "");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(loads_flat),       TEST(fills_in_open_ends), TEST(loads_elf),
        TEST(finds_its_header), TEST(refuses_malformed),  TEST(refuses_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
