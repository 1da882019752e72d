/* test_boot_elf.c - plain ELF, PVH and vmlinux files, whole and malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>

#include "boot_fixture.h"
#include "isa/control.h"

#define TEXT      0x200000
#define TEXT_SIZE 0x300
#define BSS_SIZE  0x2000
#define IMAGE     0x1000
#define TEXT_AT   0x400
#define NOTE_AT   0x200

/* An ELF64 file: one PT_LOAD with bss, one PT_NOTE with Xen's note if pvh. */
static void make_elf64(u8 *image, bool pvh)
{
    static const u8 ident[EI_NIDENT] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1};
    Elf64_Ehdr e = {.e_type = ET_EXEC,
                    .e_machine = EM_X86_64,
                    .e_version = 1,
                    .e_entry = TEXT + 0x10,
                    .e_phoff = sizeof(e),
                    .e_ehsize = sizeof(e),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 2};
    Elf64_Phdr p[2] = {{.p_type = PT_LOAD,
                        .p_offset = TEXT_AT,
                        .p_vaddr = TEXT,
                        .p_paddr = TEXT,
                        .p_filesz = TEXT_SIZE,
                        .p_memsz = TEXT_SIZE + BSS_SIZE},
                       {.p_type = pvh ? PT_NOTE : PT_NULL, .p_offset = NOTE_AT, .p_filesz = 48}};
    memset(image, 0, IMAGE);
    memcpy(e.e_ident, ident, sizeof(ident));
    memcpy(image, &e, sizeof(e));
    memcpy(image + sizeof(e), p, sizeof(p));
    memset(image + TEXT_AT, 0x90, TEXT_SIZE);
    /* A note of somebody else, with an odd size, then Xen's. */
    put_u32(image + NOTE_AT, 4);
    put_u32(image + NOTE_AT + 4, 5);
    put_u32(image + NOTE_AT + 8, 18);
    memcpy(image + NOTE_AT + 12, "GNU", 4);
    put_u32(image + NOTE_AT + 24, 4);
    put_u32(image + NOTE_AT + 28, 4);
    put_u32(image + NOTE_AT + 32, 18);
    memcpy(image + NOTE_AT + 36, "Xen", 4);
    put_u32(image + NOTE_AT + 40, TEXT + 0x20);
}

static void make_elf32(u8 *image)
{
    static const u8 ident[EI_NIDENT] = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1};
    Elf32_Ehdr e = {.e_type = ET_EXEC,
                    .e_machine = EM_386,
                    .e_entry = 0xc0200010,
                    .e_phoff = sizeof(e),
                    .e_phentsize = sizeof(Elf32_Phdr),
                    .e_phnum = 1};
    /* Linked high, loaded low: its entry point is virtual. */
    Elf32_Phdr p = {.p_type = PT_LOAD,
                    .p_offset = TEXT_AT,
                    .p_vaddr = 0xc0200000,
                    .p_paddr = TEXT,
                    .p_filesz = TEXT_SIZE,
                    .p_memsz = TEXT_SIZE};
    memset(image, 0, IMAGE);
    memcpy(e.e_ident, ident, sizeof(ident));
    memcpy(image, &e, sizeof(e));
    memcpy(image + sizeof(e), &p, sizeof(p));
    memset(image + TEXT_AT, 0x90, TEXT_SIZE);
}

static void loads_elf64(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, false);
    f->config.command_line = "one two";
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "ELF file");
    assert_int_equal(f->entry.mode, BOOT_LONG);
    assert_int_equal(f->entry.rip, TEXT + 0x10);
    assert_int_equal(f->entry.efer, EFER_LME | EFER_LMA);
    assert_int_equal(f->entry.cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
    assert_int_equal(f->entry.cr4 & CR4_PAE, CR4_PAE);
    assert_int_equal(f->entry.cs.attributes, 0xa09b);
    assert_int_not_equal(f->entry.rsp, 0);
    assert_memory_equal(f->mem.base + TEXT, image + TEXT_AT, TEXT_SIZE);
    for (unsigned i = 0; i < BSS_SIZE; i++) {
        assert_int_equal(f->mem.base[TEXT + TEXT_SIZE + i], 0);
    }
    assert_int_equal(f->mem.base[TEXT + TEXT_SIZE + BSS_SIZE], 0xaa);

    const u8 *info = f->mem.base + f->entry.rdi;
    assert_int_equal(get_u32(info), 0x336ec578);
    assert_string_equal(f->mem.base + get_u64(info + 24), "one two");
}

/* The page tables map an address to itself, as the processor would walk them. */
static void maps_4_gib(void **state)
{
    static const u64 addresses[] = {0, 0x1fffff, 0x200000, 0x12345678, 0xfee00000, 0xffffffff};
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, false);
    assert_loads(f, image, sizeof(image));
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        u64 a = addresses[i];
        u64 pml4e = get_u64(f->mem.base + f->entry.cr3 + (a >> 39 & 511) * 8);
        assert_int_equal(pml4e & 3, 3);
        u64 pdpte = get_u64(f->mem.base + (pml4e & PAGE_MASK) + (a >> 30 & 511) * 8);
        assert_int_equal(pdpte & 0x83, 3);
        u64 pde = get_u64(f->mem.base + (pdpte & PAGE_MASK) + (a >> 21 & 511) * 8);
        assert_int_equal(pde, (a & ~0x1fffffull) | 0x83);
    }
    u64 above = get_u64(f->mem.base + f->entry.cr3 + 8);
    assert_int_equal(above, 0);
}

/* The hidden parts in the entry agree with the descriptors in the GDT. */
static void writes_gdt(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, false);
    assert_loads(f, image, sizeof(image));
    const u8 *gdt = f->mem.base + f->entry.gdt_base;
    assert_int_equal(get_u64(gdt), 0);
    assert_int_equal(get_u64(gdt + f->entry.cs.selector), 0x00af9b000000ffff);
    assert_int_equal(get_u64(gdt + f->entry.ds.selector), 0x00cf93000000ffff);
    assert_int_equal(get_u64(gdt + f->entry.tr.selector), 0x00008b0000000067);
    assert_true(f->entry.tr.selector + 15 <= f->entry.gdt_limit);
}

static void loads_elf32(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf32(image);
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, TEXT + 0x10);
    assert_int_equal(f->entry.cr0 & (CR0_PE | CR0_PG), CR0_PE);
    assert_int_equal(f->entry.cs.attributes, 0xc09b);
    assert_int_equal(f->entry.cs.limit, 0xffffffff);
    assert_int_equal(get_u32(f->mem.base + f->entry.rbx), 0x336ec578);
}

static void loads_pvh(void **state)
{
    static const u8 initrd[5000] = {1, 2, 3};
    static const u8 second[3] = {9, 8, 7};
    struct fixture *f = *state;
    struct boot_file module = {
        .name = "m", .bytes = second, .size = sizeof(second), .command_line = "arg"};
    u8 image[IMAGE];
    make_elf64(image, true);
    f->config.initrd = (struct boot_file){.name = "i", .bytes = initrd, .size = sizeof(initrd)};
    f->config.modules = &module;
    f->config.module_count = 1;
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "PVH kernel");
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, TEXT + 0x20);
    assert_int_equal(f->entry.tr.limit, 0x67);
    const u8 *info = f->mem.base + f->entry.rbx;
    assert_int_equal(get_u32(info + 4), 1);
    assert_int_equal(get_u32(info + 12), 2);
    const u8 *list = f->mem.base + get_u64(info + 16);
    assert_int_equal(get_u64(list + 8), sizeof(initrd));
    assert_int_equal(get_u64(list + 16), 0);
    assert_memory_equal(f->mem.base + get_u64(list), initrd, sizeof(initrd));
    assert_memory_equal(f->mem.base + get_u64(list + 32), second, sizeof(second));
    assert_string_equal(f->mem.base + get_u64(list + 48), "arg");
    assert_memory_equal(f->mem.base + get_u64(info + 32), "RSD PTR ", 8);
    const u8 *map = f->mem.base + get_u64(info + 40);
    assert_int_equal(get_u32(info + 48), 5);
    assert_int_equal(get_u64(map + 8), 0x9fc00);
    assert_int_equal(get_u64(map + 3 * 24), 0x100000);
    assert_int_equal(get_u64(map + 3 * 24 + 8), FIXTURE_RAM - 0x100000);
}

static void loads_vmlinux(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, false);
    put_u64(image + 64 + offsetof(Elf64_Phdr, p_vaddr), 0xffffffff80000000 + TEXT);
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "ELF file"); /* nothing says that it is Linux */
    memcpy(image + TEXT_AT + 0x80, "Linux version 9.9", 17);
    f->config.command_line = "console=ttyS0";
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "Linux vmlinux");
    assert_int_equal(f->entry.mode, BOOT_LONG);
    assert_int_equal(f->entry.rip, TEXT + 0x10);
    const u8 *params = f->mem.base + f->entry.rsi;
    assert_string_equal(f->mem.base + get_u32(params + 0x228), "console=ttyS0");
}

/* Linux for i386: by the 32-bit boot protocol, with boot_params in its low memory. */
static void loads_vmlinux_32(void **state)
{
    static const u8 initrd[5000] = {1, 2, 3};
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf32(image);
    memcpy(image + TEXT_AT + 0x80, "Linux version 9.9", 17);
    put_u32(image + offsetof(Elf32_Ehdr, e_entry), TEXT + 0x10);
    f->config.initrd = (struct boot_file){.name = "i", .bytes = initrd, .size = sizeof(initrd)};
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "Linux vmlinux");
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, TEXT + 0x10);
    assert_int_equal(f->entry.cr0 & (CR0_PE | CR0_PG), CR0_PE);
    assert_int_equal(f->entry.cs.selector, 0x10);
    const u8 *params = f->mem.base + f->entry.rsi;
    assert_int_equal(get_u32(params + 0x202 + 0x2a), 0x37ffffff); /* initrd_addr_max */
    assert_int_equal(get_u32(params + 0x21c), sizeof(initrd));
    assert_memory_equal(f->mem.base + get_u32(params + 0x218), initrd, sizeof(initrd));
}

/* An ELF32 file that says it is for x86-64, as x32 programs are. */
static void refuses_x32(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf32(image);
    memcpy(image + TEXT_AT + 0x80, "Linux version 9.9", 17);
    put_u16(image + offsetof(Elf32_Ehdr, e_machine), EM_X86_64);
    f->config.protocol = BOOT_VMLINUX;
    assert_refused(f, image, sizeof(image), "not a Linux vmlinux");
}

/* A number in the file is replaced, and the file refused. */
static const struct {
    u16 at;
    u8 size;
    u64 value;
    const char *words;
} malformed[] = {
    {EI_CLASS, 1, 3, "neither"},
    {EI_DATA, 1, ELFDATA2MSB, "big-endian"},
    {offsetof(Elf64_Ehdr, e_machine), 2, EM_AARCH64, "another processor"},
    {offsetof(Elf64_Ehdr, e_type), 2, ET_REL, "object file"},
    {offsetof(Elf64_Ehdr, e_type), 2, ET_CORE, "not an executable"},
    {offsetof(Elf64_Ehdr, e_entry), 8, 0, "entry point"},
    {offsetof(Elf64_Ehdr, e_entry), 8, TEXT + TEXT_SIZE + BSS_SIZE, "entry point"},
    {offsetof(Elf64_Ehdr, e_phoff), 8, IMAGE, "cut short"},
    {offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX, "cut short"},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, "cut short"},
    {offsetof(Elf64_Ehdr, e_phnum), 2, 0, "without program headers"},
    {offsetof(Elf64_Ehdr, e_phentsize), 2, 55, "too small"},
    {offsetof(Elf64_Ehdr, e_phentsize), 2, 0, "too small"},
    {64 + offsetof(Elf64_Phdr, p_type), 4, PT_INTERP, "Linux program"},
    {64 + offsetof(Elf64_Phdr, p_type), 4, PT_NULL, "without a segment"},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, 0, "without a segment"},
    {64 + offsetof(Elf64_Phdr, p_offset), 8, IMAGE, "cut short"},
    {64 + offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX - 10, "cut short"},
    {64 + offsetof(Elf64_Phdr, p_filesz), 8, TEXT_SIZE + BSS_SIZE + 1, "larger in the file"},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, FIXTURE_RAM, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, UINT64_MAX, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_memsz), 8, -(u64)TEXT, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, FIXTURE_RAM - 16, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, UINT64_MAX - 15, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, 0xa0000, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, 0x9f000, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, 0xe0000, "not inside the machine's memory"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, 0x4ff, "lies over"},
    {64 + offsetof(Elf64_Phdr, p_paddr), 8, 0, "lies over"},
    {120 + offsetof(Elf64_Phdr, p_type), 4, PT_INTERP, "Linux program"},
};

static void refuses_malformed(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(malformed); i++) {
        u8 image[IMAGE];
        make_elf64(image, false);
        memcpy(image + malformed[i].at, &malformed[i].value, malformed[i].size);
        assert_refused(f, image, sizeof(image), malformed[i].words);
    }
}

static void refuses_overlapping_segments(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, false);
    memcpy(image + 120, image + 64, 56);
    put_u64(image + 120 + offsetof(Elf64_Phdr, p_paddr), TEXT + TEXT_SIZE + BSS_SIZE - 1);
    assert_refused(f, image, sizeof(image), "lies over");
    put_u64(image + 120 + offsetof(Elf64_Phdr, p_paddr), TEXT + TEXT_SIZE + BSS_SIZE);
    assert_loads(f, image, sizeof(image));
}

static void refuses_truncated(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    for (unsigned pvh = 0; pvh < 2; pvh++) {
        make_elf64(image, pvh);
        for (u64 size = 0; size < TEXT_AT + TEXT_SIZE; size += size < 256 ? 1 : 31) {
            assert_refused(f, image, size, "");
        }
    }
    make_elf64(image, false);
    assert_loads(f, image, TEXT_AT + TEXT_SIZE);
}

/* A note that lies about its sizes is no note: the file is an ELF file like any other. */
static void ignores_malformed_notes(void **state)
{
    static const struct {
        u16 at;
        u32 value;
    } cases[] = {
        {NOTE_AT, 0xffffffff},      {NOTE_AT + 4, 0xffffffff},
        {NOTE_AT + 24, 0xfffffffc}, {NOTE_AT + 28, 0xffffffff},
        {NOTE_AT + 28, 9},          {120 + offsetof(Elf64_Phdr, p_offset), IMAGE - 8},
        {NOTE_AT + 24, 5},          {120 + offsetof(Elf64_Phdr, p_filesz), 43},
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        u8 image[IMAGE];
        make_elf64(image, true);
        put_u32(image + cases[i].at, cases[i].value);
        assert_loads(f, image, sizeof(image));
        assert_string_equal(f->entry.protocol, "ELF file");
    }
    u8 image[IMAGE];
    make_elf64(image, true);
    put_u32(image + NOTE_AT + 28, 2); /* known by its owner and type, but not complete */
    assert_refused(f, image, sizeof(image), "note is damaged");
    make_elf64(image, true);
    put_u32(image + NOTE_AT + 40, 0xfffffff0);
    assert_refused(f, image, sizeof(image), "entry point");
}

static void forces_a_protocol(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    make_elf64(image, true);
    f->config.protocol = BOOT_ELF;
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.rip, TEXT + 0x10);
    f->config.protocol = BOOT_MULTIBOOT;
    assert_refused(f, image, sizeof(image), "not a Multiboot kernel");
    f->config.protocol = BOOT_LINUX;
    assert_refused(f, image, sizeof(image), "not a Linux bzImage");
}

static void names_what_is_too_large(void **state)
{
    struct fixture *f = *state;
    u8 image[IMAGE];
    u8 *initrd = calloc(1, FIXTURE_RAM + 1);
    make_elf64(image, true);
    f->config.initrd =
        (struct boot_file){.name = "big.img", .bytes = initrd, .size = FIXTURE_RAM + 1};
    assert_refused(f, image, sizeof(image), "big.img: ");
    f->config.initrd.size = FIXTURE_RAM - 0x100000;
    assert_refused(f, image, sizeof(image), "big.img: no room");
    f->config.initrd.size = FIXTURE_RAM / 2;
    assert_loads(f, image, sizeof(image));
    free(initrd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(loads_elf64),       TEST(maps_4_gib),
        TEST(writes_gdt),        TEST(loads_elf32),
        TEST(loads_pvh),         TEST(loads_vmlinux),
        TEST(loads_vmlinux_32),  TEST(refuses_x32),
        TEST(refuses_malformed), TEST(refuses_overlapping_segments),
        TEST(refuses_truncated), TEST(ignores_malformed_notes),
        TEST(forces_a_protocol), TEST(names_what_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
