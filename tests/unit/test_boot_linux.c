/* test_boot_linux.c - bzImages made here: by the boot protocol, and their vmlinux taken out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/linux.h"
#include "boot_fixture.h"

#define SETUP_SECTORS 7
#define CODE_AT       ((SETUP_SECTORS + 1) * 512)
#define CODE_SIZE     0x8000
#define IMAGE         (CODE_AT + CODE_SIZE)
#define PREFERRED     0x1000000
#define INIT_SIZE     0x800000
#define PAYLOAD_AT    0x1000 /* in the code */
#define PAYLOAD_ROOM  (CODE_SIZE - PAYLOAD_AT)

#define VMLINUX_SIZE 0x1800
#define TEXT_AT      0x400

static void make_bzimage(u8 *image)
{
    memset(image, 0, IMAGE);
    image[LINUX_SETUP_SECTS] = SETUP_SECTORS;
    put_u32(image + LINUX_SYSSIZE, CODE_SIZE / 16);
    put_u16(image + LINUX_BOOT_FLAG, 0xaa55);
    image[0x200] = 0xeb;
    image[0x201] = 0x6a;
    put_u32(image + LINUX_HEADER, LINUX_MAGIC);
    put_u16(image + LINUX_VERSION, 0x20f);
    image[LINUX_LOADFLAGS] = LINUX_LOADED_HIGH;
    put_u32(image + LINUX_CODE32_START, 0x100000);
    put_u32(image + LINUX_INITRD_ADDR_MAX, 0x7fffffff);
    put_u32(image + LINUX_KERNEL_ALIGNMENT, 0x200000);
    image[LINUX_RELOCATABLE] = 1;
    put_u16(image + LINUX_XLOADFLAGS, LINUX_XLF_KERNEL_64);
    put_u32(image + LINUX_CMDLINE_SIZE, 100);
    put_u32(image + LINUX_PAYLOAD_OFFSET, PAYLOAD_AT);
    put_u32(image + LINUX_PAYLOAD_LENGTH, 0x100);
    put_u64(image + LINUX_PREF_ADDRESS, PREFERRED);
    put_u32(image + LINUX_INIT_SIZE, INIT_SIZE);
    for (unsigned i = 0; i < CODE_SIZE; i++) {
        image[CODE_AT + i] = (u8)(i * 7 + 1);
    }
}

/* The vmlinux inside: text that compresses somewhat. */
static void make_vmlinux(u8 *file)
{
    Elf64_Ehdr e = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_entry = PREFERRED,
        .e_phoff = sizeof(e),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1,
    };
    Elf64_Phdr p = {
        .p_type = PT_LOAD,
        .p_offset = TEXT_AT,
        .p_vaddr = 0xffffffff81000000,
        .p_paddr = PREFERRED,
        .p_filesz = VMLINUX_SIZE - TEXT_AT,
        .p_memsz = 0x10000,
    };
    memset(file, 0, VMLINUX_SIZE);
    memcpy(file, &e, sizeof(e));
    memcpy(file + sizeof(e), &p, sizeof(p));
    for (unsigned i = TEXT_AT; i < VMLINUX_SIZE; i++) {
        file[i] = (u8)(i / 3);
    }
}

static void loads_64_bit(void **state)
{
    static u8 image[IMAGE];
    static const u8 initrd[12345] = {0x70, 0x71};
    struct fixture *f = *state;
    make_bzimage(image);
    f->config.command_line = "console=ttyS0 quiet";
    f->config.initrd = (struct boot_file){.name = "i", .bytes = initrd, .size = sizeof(initrd)};
    assert_loads(f, image, sizeof(image));
    assert_string_equal(f->entry.protocol, "Linux bzImage");
    assert_int_equal(f->entry.mode, BOOT_LONG);
    assert_int_equal(f->entry.rip, PREFERRED + 0x200);
    assert_int_equal(f->entry.cs.selector, 0x10);
    assert_int_equal(f->entry.ds.selector, 0x18);
    assert_int_equal(f->entry.rflags, 2);
    assert_memory_equal(f->mem.base + PREFERRED, image + CODE_AT, CODE_SIZE);

    const u8 *p = f->mem.base + f->entry.rsi;
    assert_memory_equal(p + LINUX_HEADER, image + LINUX_HEADER, 6);
    assert_int_equal(p[LINUX_TYPE_OF_LOADER], 0xff);
    assert_int_equal(get_u32(p + LINUX_CODE32_START), PREFERRED);
    assert_string_equal(f->mem.base + get_u32(p + LINUX_CMD_LINE_PTR), "console=ttyS0 quiet");
    assert_int_equal(get_u32(p + LINUX_RAMDISK_SIZE), sizeof(initrd));
    u32 at = get_u32(p + LINUX_RAMDISK_IMAGE);
    assert_memory_equal(f->mem.base + at, initrd, sizeof(initrd));
    assert_int_equal(at, FIXTURE_RAM - 4 * PAGE_SIZE);
    assert_int_equal(p[LINUX_E820_COUNT], 5);
    assert_int_equal(get_u64(p + LINUX_E820_TABLE + 8), 0x9fc00);
    assert_int_equal(get_u32(p + LINUX_ALT_MEM_K), FIXTURE_RAM / 1024 - 1024);
    assert_memory_equal(f->mem.base + get_u64(p + LINUX_RSDP_ADDRESS), "RSD PTR ", 8);
    /* A VGA in mode 3. */
    assert_int_equal(p[LINUX_VIDEO_MODE_NOW], 3);
    assert_int_equal(p[LINUX_VIDEO_COLUMNS], 80);
    assert_int_equal(p[LINUX_VIDEO_LINES], 25);
    assert_int_equal(p[LINUX_VIDEO_IS_VGA], 1);
    assert_int_equal(get_u16(p + LINUX_VIDEO_POINTS), 16);
    /* What is not the setup header is zero, not the file's. */
    assert_int_equal(p[0x1f0], 0);
    assert_int_equal(p[0x202 + 0x6a], 0);
}

static void loads_32_bit(void **state)
{
    static u8 image[IMAGE];
    struct fixture *f = *state;
    make_bzimage(image);
    put_u16(image + LINUX_XLOADFLAGS, 0);
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, PREFERRED);

    /* A kernel of the 2.4 series: no alignment, no preferred address, no command line's size. */
    make_bzimage(image);
    put_u16(image + LINUX_VERSION, 0x203);
    put_u32(image + LINUX_INITRD_ADDR_MAX, 0x1000000 - 1);
    static const u8 initrd[100] = {1};
    f->config.initrd = (struct boot_file){.name = "i", .bytes = initrd, .size = sizeof(initrd)};
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.mode, BOOT_PROTECTED);
    assert_int_equal(f->entry.rip, 0x100000);
    const u8 *p = f->mem.base + f->entry.rsi;
    assert_int_equal(get_u32(p + LINUX_RAMDISK_IMAGE), 0x1000000 - PAGE_SIZE);
}

static void loads_where_it_may(void **state)
{
    static u8 image[IMAGE];
    struct fixture *f = *state;
    /* A kernel that is not relocatable is loaded at 1 MiB, and needs room up to where it runs. */
    make_bzimage(image);
    image[LINUX_RELOCATABLE] = 0;
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.rip, 0x100000 + 0x200);
    put_u32(image + LINUX_INIT_SIZE, FIXTURE_RAM - PREFERRED + 1);
    assert_refused(f, image, sizeof(image), "not inside the machine's memory");
    /* One that is may go higher up, not lower. */
    make_bzimage(image);
    put_u64(image + LINUX_PREF_ADDRESS, 0x9f000);
    assert_loads(f, image, sizeof(image));
    assert_int_equal(f->entry.rip, 0x200000 + 0x200);
    put_u32(image + LINUX_KERNEL_ALIGNMENT, 0x300000);
    assert_refused(f, image, sizeof(image), "power of two");
    make_bzimage(image);
    put_u32(image + LINUX_INIT_SIZE, FIXTURE_RAM - PREFERRED + 1);
    assert_refused(f, image, sizeof(image), "no room for");
}

static void refuses_malformed(void **state)
{
    static const struct {
        u16 at;
        u8 size;
        u64 value;
        const char *words;
    } cases[] = {
        {LINUX_VERSION, 2, 0x201, "2.02 is the oldest"},
        {LINUX_LOADFLAGS, 1, 0, "zImage"},
        {LINUX_SYSSIZE, 4, CODE_SIZE / 16 + 1, "cut short"},
        {LINUX_SYSSIZE, 4, 0xffffffff, "cut short"},
        {LINUX_SETUP_SECTS, 1, 255, "cut short"},
        {LINUX_INIT_SIZE, 4, 0xffffffff, "do not fit"},
        {LINUX_PREF_ADDRESS, 8, UINT64_MAX, "no room"},
        {LINUX_PREF_ADDRESS, 8, FIXTURE_RAM, "no room"},
        {LINUX_HEADER, 4, 0, "boot sector"},
    };
    static u8 image[IMAGE];
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        make_bzimage(image);
        memcpy(image + cases[i].at, &cases[i].value, cases[i].size);
        assert_refused(f, image, sizeof(image), cases[i].words);
    }
    make_bzimage(image);
    for (u64 size = 0; size < IMAGE - 16; size += size < 0x300 ? 13 : 997) {
        assert_refused(f, image, size, "");
    }
    /* The size is in paragraphs: the last may be incomplete. */
    assert_loads(f, image, IMAGE - 15);
}

static void limits_command_line_and_initrd(void **state)
{
    static u8 image[IMAGE];
    static u8 initrd[0x200000];
    char line[102];
    struct fixture *f = *state;
    make_bzimage(image);
    memset(line, 'x', sizeof(line));
    line[100] = 0;
    f->config.command_line = line;
    assert_loads(f, image, sizeof(image));
    line[100] = 'x';
    line[101] = 0;
    assert_refused(f, image, sizeof(image), "command line: has 101 characters");
    f->config.command_line = NULL;

    f->config.initrd =
        (struct boot_file){.name = "initrd.img", .bytes = initrd, .size = sizeof(initrd)};
    put_u32(image + LINUX_INITRD_ADDR_MAX, 0x2fffff);
    assert_loads(f, image, sizeof(image));
    put_u32(image + LINUX_INITRD_ADDR_MAX, 0x2ffffe);
    assert_refused(f, image, sizeof(image), "initrd.img: no room for 2 MiB");
    put_u32(image + LINUX_INITRD_ADDR_MAX, 0);
    assert_refused(f, image, sizeof(image), "initrd.img: no room for 2 MiB");
}

/* ---- the vmlinux inside */

static u64 pack_gzip(const u8 *in, u8 *out)
{
    z_stream z = {
        .next_in = (u8 *)in, .avail_in = VMLINUX_SIZE, .next_out = out, .avail_out = PAYLOAD_ROOM};
    deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return z.total_out; /* ends with the size by itself */
}

static u64 append_size(u8 *out, u64 size)
{
    put_u32(out + size, VMLINUX_SIZE);
    return size + 4;
}

static u64 pack_xz(const u8 *in, u8 *out)
{
    size_t n = 0;
    lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, in, VMLINUX_SIZE, out, &n, PAYLOAD_ROOM);
    return append_size(out, n);
}

static u64 pack_lzma(const u8 *in, u8 *out)
{
    lzma_options_lzma options;
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_lzma_preset(&options, 6);
    assert_int_equal(lzma_alone_encoder(&s, &options), LZMA_OK);
    s.next_in = in;
    s.avail_in = VMLINUX_SIZE;
    s.next_out = out;
    s.avail_out = PAYLOAD_ROOM;
    assert_int_equal(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
    u64 size = s.total_out;
    lzma_end(&s);
    return append_size(out, size);
}

static u64 pack_zstd(const u8 *in, u8 *out)
{
    return append_size(out, ZSTD_compress(out, PAYLOAD_ROOM, in, VMLINUX_SIZE, 19));
}

static u64 pack_lz4(const u8 *in, u8 *out)
{
    put_u32(out, 0x184c2102);
    int n = LZ4_compress_default((const char *)in, (char *)out + 8, VMLINUX_SIZE, PAYLOAD_ROOM - 8);
    put_u32(out + 4, (u32)n);
    return append_size(out, 8 + (u64)n);
}

static u64 pack_not(const u8 *in, u8 *out)
{
    memcpy(out, in, VMLINUX_SIZE);
    return VMLINUX_SIZE;
}

static u64 (*const packers[])(const u8 *in, u8 *out) = {
    pack_gzip, pack_xz, pack_lzma, pack_zstd, pack_lz4, pack_not,
};

/* A bzImage with a packed vmlinux; the payload's size. */
static u64 make_direct(u8 *image, unsigned packer)
{
    u8 file[VMLINUX_SIZE];
    make_bzimage(image);
    make_vmlinux(file);
    memset(image + CODE_AT + PAYLOAD_AT, 0, PAYLOAD_ROOM);
    u64 size = packers[packer](file, image + CODE_AT + PAYLOAD_AT);
    put_u32(image + LINUX_PAYLOAD_LENGTH, (u32)size);
    return size;
}

static void takes_vmlinux_out(void **state)
{
    static u8 image[IMAGE];
    u8 file[VMLINUX_SIZE];
    struct fixture *f = *state;
    make_vmlinux(file);
    f->config.direct = true;
    f->config.command_line = "direct";
    for (unsigned i = 0; i < ARRAY_SIZE(packers); i++) {
        make_direct(image, i);
        memset(f->mem.base + PREFERRED, 0xaa, 0x10000);
        assert_loads(f, image, sizeof(image));
        assert_int_equal(f->entry.mode, BOOT_LONG);
        assert_int_equal(f->entry.rip, PREFERRED);
        assert_memory_equal(f->mem.base + PREFERRED, file + TEXT_AT, VMLINUX_SIZE - TEXT_AT);
        assert_int_equal(f->mem.base[PREFERRED + 0xffff], 0);
        const u8 *p = f->mem.base + f->entry.rsi;
        assert_string_equal(f->mem.base + get_u32(p + LINUX_CMD_LINE_PTR), "direct");
        assert_int_equal(get_u16(p + LINUX_VERSION), 0x20f);
    }
}

static void refuses_damaged_payloads(void **state)
{
    static u8 image[IMAGE];
    struct fixture *f = *state;
    f->config.direct = true;
    for (unsigned i = 0; i < ARRAY_SIZE(packers) - 1; i++) {
        u64 size = make_direct(image, i);
        u8 *payload = image + CODE_AT + PAYLOAD_AT;
        /* It says that it unpacks to less than it does, to more than there is RAM, to nothing. */
        put_u32(payload + size - 4, VMLINUX_SIZE / 2);
        assert_int_not_equal(fixture_load(f, image, sizeof(image)), 0);
        put_u32(payload + size - 4, FIXTURE_RAM);
        assert_refused(f, image, sizeof(image), "unpacks to 32 MiB");
        put_u32(payload + size - 4, 0xffffffff);
        assert_refused(f, image, sizeof(image), "unpacks to");
        put_u32(payload + size - 4, 0);
        assert_refused(f, image, sizeof(image), "unpacks to 0 bytes");
        /* It is cut short anywhere, with a size at its new end. */
        for (u64 part = 8; part < size - 4; part += 7) {
            make_direct(image, i);
            put_u32(payload + part - 4, VMLINUX_SIZE);
            put_u32(image + LINUX_PAYLOAD_LENGTH, (u32)part);
            assert_refused(f, image, sizeof(image), "kernel: ");
        }
    }
}

static void refuses_malformed_payloads(void **state)
{
    static const struct {
        u16 at;
        u8 size;
        u64 value;
        const char *words;
    } cases[] = {
        {LINUX_VERSION, 2, 0x207, "too old"},
        {LINUX_PAYLOAD_LENGTH, 4, 0, "too old"},
        {LINUX_PAYLOAD_LENGTH, 4, 7, "not inside"},
        {LINUX_PAYLOAD_LENGTH, 4, CODE_SIZE - PAYLOAD_AT + 1, "not inside"},
        {LINUX_PAYLOAD_OFFSET, 4, CODE_SIZE + 1, "not inside"},
        {LINUX_PAYLOAD_OFFSET, 4, 0xffffffff, "not inside"},
        {LINUX_PAYLOAD_OFFSET, 4, PAYLOAD_AT + 1, "not known here"},
    };
    static u8 image[IMAGE];
    struct fixture *f = *state;
    f->config.direct = true;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        make_direct(image, 0);
        memcpy(image + cases[i].at, &cases[i].value, cases[i].size);
        assert_refused(f, image, sizeof(image), cases[i].words);
    }
    make_direct(image, 5);
    image[CODE_AT + PAYLOAD_AT + EI_CLASS] = ELFCLASS32;
    assert_refused(f, image, sizeof(image), "kernel: ");
}

/* Many times more than its size says: it must be stopped there, whatever it unpacks to. */
static void stops_bombs(void **state)
{
    static u8 image[IMAGE];
    struct fixture *f = *state;
    u64 bomb_size = 24u << 20;
    u8 *bomb = calloc(1, bomb_size), *out = image + CODE_AT + PAYLOAD_AT;
    make_direct(image, 0);
    f->config.direct = true;
    size_t n = 0;
    assert_int_equal(
        lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, bomb, bomb_size, out, &n, PAYLOAD_ROOM),
        LZMA_OK);
    put_u32(out + n, 0x1000);
    put_u32(image + LINUX_PAYLOAD_LENGTH, (u32)n + 4);
    assert_int_not_equal(fixture_load(f, image, sizeof(image)), 0);
    n = ZSTD_compress(out, PAYLOAD_ROOM, bomb, bomb_size, 19);
    assert_false(ZSTD_isError(n));
    put_u32(out + n, 0x1000);
    put_u32(image + LINUX_PAYLOAD_LENGTH, (u32)n + 4);
    assert_refused(f, image, sizeof(image), "damaged");
    free(bomb);
}

static void says_what_else_it_is(void **state)
{
    static const struct {
        const char *bytes;
        unsigned size;
        const char *words;
    } cases[] = {
        {"\x1f\x8b\x08 12345678", 12, "compressed with gzip"},
        {"\xfd"
         "7zXZ\0abcdef",
         12, "compressed with xz"},
        {"\x28\xb5\x2f\xfd abcdefg", 12, "compressed with zstd"},
        {"BZh91AY&SY..", 12, "compressed with bzip2"},
        {"MZ\x90\0\3\0\0\0", 8, "Windows"},
        {"070701000000", 12, "cpio"},
        {"#!/bin/sh\necho hello\n", 21, "text file"},
        {"\1\2\3\4\5", 5, "not a kernel"},
        {"", 0, "empty"},
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_refused(f, (const u8 *)cases[i].bytes, cases[i].size, cases[i].words);
    }
}

static void needs_memory(void **state)
{
    static u8 image[IMAGE];
    struct fixture *f = *state;
    make_bzimage(image);
    f->mem.low_size = 0x1ff000;
    assert_refused(f, image, sizeof(image), "memory: ");
    f->mem.low_size = 0;
    assert_refused(f, image, sizeof(image), "memory: ");
    f->mem.low_size = 0x200000;
    assert_refused(f, image, sizeof(image), "kernel: ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(loads_64_bit),
        TEST(loads_32_bit),
        TEST(loads_where_it_may),
        TEST(refuses_malformed),
        TEST(limits_command_line_and_initrd),
        TEST(takes_vmlinux_out),
        TEST(refuses_damaged_payloads),
        TEST(refuses_malformed_payloads),
        TEST(stops_bombs),
        TEST(says_what_else_it_is),
        TEST(needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
