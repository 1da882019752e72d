/* test_boot_tables.c - ACPI, MP, BIOS data area and E820, read back as a guest does; and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "boot_fixture.h"

static u8 sum(const u8 *p, u32 size)
{
    u8 total = 0;
    while (size--) {
        total = (u8)(total + *p++);
    }
    return total;
}

static void write_tables(struct fixture *f)
{
    if (boot_tables_write(&f->config, &f->mem, &f->error)) {
        fail_msg("refused: %s", f->error.text);
    }
}

/* As a kernel does: on 16-byte boundaries from 0xe0000 to 0xfffff. */
static const u8 *scan(const struct fixture *f, const char *signature, unsigned size)
{
    for (u32 at = 0xe0000; at < 0x100000; at += 16) {
        if (!memcmp(f->mem.base + at, signature, size)) {
            return f->mem.base + at;
        }
    }
    fail_msg("%s not found", signature);
    return NULL;
}

/* The table with that signature, by the RSDT and by the XSDT, with a checked sum. */
static const u8 *acpi_table(const struct fixture *f, const char *signature)
{
    const u8 *rsdp = scan(f, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    assert_int_equal(rsdp[15], 2);
    const u8 *rsdt = f->mem.base + get_u32(rsdp + 16), *xsdt = f->mem.base + get_u64(rsdp + 24);
    assert_memory_equal(rsdt, "RSDT", 4);
    assert_memory_equal(xsdt, "XSDT", 4);
    assert_int_equal(sum(rsdt, get_u32(rsdt + 4)), 0);
    assert_int_equal(sum(xsdt, get_u32(xsdt + 4)), 0);
    unsigned count = (get_u32(rsdt + 4) - 36) / 4;
    assert_int_equal(count, (get_u32(xsdt + 4) - 36) / 8);
    for (unsigned i = 0; i < count; i++) {
        u32 at = get_u32(rsdt + 36 + i * 4);
        assert_int_equal(at, get_u64(xsdt + 36 + i * 8));
        assert_in_range(at, 0xe0000, 0xfffff);
        const u8 *table = f->mem.base + at;
        if (!memcmp(table, signature, 4)) {
            assert_int_equal(sum(table, get_u32(table + 4)), 0);
            return table;
        }
    }
    fail_msg("no %s", signature);
    return NULL;
}

static void describes_power(void **state)
{
    struct fixture *f = *state;
    write_tables(f);
    const u8 *fadt = acpi_table(f, "FACP");
    assert_int_equal(get_u32(fadt + 4), 268);
    assert_int_equal(fadt[8], 5);
    assert_int_equal(get_u16(fadt + 46), 9);
    assert_int_equal(get_u32(fadt + 48), 0);
    assert_int_equal(get_u32(fadt + 56), 0x600);
    assert_int_equal(get_u32(fadt + 64), 0x604);
    assert_int_equal(get_u32(fadt + 76), 0x608);
    assert_int_equal(get_u32(fadt + 80), 0x620);
    assert_int_equal(fadt[92], 8);
    assert_int_equal(get_u16(fadt + 109), 3); /* legacy devices, an i8042, and a VGA may be there */
    assert_int_equal(get_u32(fadt + 112) >> 8 & 1, 1);
    assert_int_equal(fadt[116], 1);
    assert_int_equal(get_u64(fadt + 120), 0xcf9);
    assert_int_equal(fadt[128], 6);
    assert_int_equal(get_u64(fadt + 148 + 4), 0x600);
    assert_int_equal(get_u64(fadt + 172 + 4), 0x604);
    assert_int_equal(get_u64(fadt + 208 + 4), 0x608);
    const u8 *facs = f->mem.base + get_u32(fadt + 36);
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal((uintptr_t)(facs - f->mem.base) % 64, 0);

    const u8 *dsdt = f->mem.base + get_u32(fadt + 40);
    assert_int_equal(get_u64(fadt + 140), get_u32(fadt + 40));
    assert_memory_equal(dsdt, "DSDT", 4);
    assert_int_equal(sum(dsdt, get_u32(dsdt + 4)), 0);
    /* Name (\_S5, Package (4) {5, 5, 0, 0}) */
    static const u8 s5[] = {0x08, '\\', '_',  'S', '5',  '_', 0x12, 0x8a, 0x00,
                            0x00, 0x04, 0x0a, 5,   0x0a, 5,   0x00, 0x00};
    assert_memory_equal(dsdt + 36, s5, sizeof(s5));
}

/* Walk AML as far as the DSDT uses it, and count the devices.  Methods are passed over. */
static unsigned walk_aml(const u8 *p, const u8 *end)
{
    unsigned devices = 0;
    while (p < end) {
        bool device = p[0] == 0x5b && p[1] == 0x82;
        if (p[0] == 0x14) {
            assert_int_equal(p[1] >> 6, 2);
            p += 1 + ((p[1] & 0xf) | p[2] << 4 | p[3] << 12);
            continue;
        }
        if (device || p[0] == 0x10) { /* Device or Scope: PkgLength, name, content */
            p += device ? 2 : 1;
            assert_int_equal(p[0] >> 6, 2);
            const u8 *next = p + ((p[0] & 0xf) | p[1] << 4 | p[2] << 12);
            assert_true(next <= end);
            devices += device + walk_aml(p + 3 + (p[3] == '\\' ? 5 : 4), next);
            p = next;
            continue;
        }
        assert_int_equal(p[0], 0x08); /* Name */
        p += 1 + (p[1] == '\\' ? 5 : 4);
        if (p[0] == 0x11 || p[0] == 0x12) { /* a buffer or a package */
            const u8 *body = p + 1;
            const u8 *next = body + ((body[0] & 0xf) | body[1] << 4 | body[2] << 12);
            if (p[0] == 0x11) { /* its size; the resources end with an end tag */
                assert_int_equal(body[3], 0x0a);
                assert_int_equal(body[4], next - (body + 5));
                assert_int_equal(next[-2], 0x79);
            }
            p = next;
        } else {
            p += p[0] == 0x0c ? 5 : p[0] == 0x0b ? 3 : p[0] == 0x0a ? 2 : 1;
        }
    }
    assert_ptr_equal(p, end);
    return devices;
}

static void describes_devices(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++) {
        f->config.machine.serial_ports[1] = i ? 0x2f8 : 0;
        f->config.machine.mouse = i == 2;
        write_tables(f);
        const u8 *dsdt = f->mem.base + get_u32(acpi_table(f, "FACP") + 40);
        assert_int_equal(walk_aml(dsdt + 36, dsdt + get_u32(dsdt + 4)), 6 + i);
    }
}

/* Two devices more, a table of where configuration space is, and the interrupts of the slots. */
static void describes_pci(void **state)
{
    struct fixture *f = *state;
    unsigned pci_interrupts = 0;
    f->config.machine.pci = true;
    f->config.machine.pci_gsi = 16;
    memcpy(f->config.machine.pci_irqs, (u8[]){10, 11, 10, 11}, 4);
    write_tables(f);
    const u8 *dsdt = f->mem.base + get_u32(acpi_table(f, "FACP") + 40);
    assert_int_equal(walk_aml(dsdt + 36, dsdt + get_u32(dsdt + 4)), 7 + 2);
    const u8 *mcfg = acpi_table(f, "MCFG");
    assert_int_equal(get_u32(mcfg + 4), 60);
    assert_int_equal(get_u64(mcfg + 44), MEM_ECAM_START);
    assert_int_equal(get_u16(mcfg + 52), 0);
    assert_int_equal(mcfg[54] | mcfg[55], 0); /* from bus 0 to bus 0 */

    const u8 *mp = f->mem.base + get_u32(scan(f, "_MP_", 4) + 4);
    for (u32 i = 0, at = 44; i < get_u16(mp + 34); i++, at += mp[at] ? 8 : 20) {
        if (mp[at] == 1 && !memcmp(mp + at + 2, "PCI   ", 6)) {
            assert_int_equal(mp[at + 1], 0);
        }
        if (mp[at] == 3 && mp[at + 4] == 0) {
            unsigned slot = mp[at + 5] >> 2, pin = mp[at + 5] & 3;
            assert_int_equal(mp[at + 7], 16 + (slot + pin) % 4);
            pci_interrupts++;
        }
    }
    assert_int_equal(pci_interrupts, 32 * 4);
}

static void describes_cpus(void **state)
{
    static const unsigned counts[] = {1, 2, 254, 255, 256, 300, 1000};
    struct fixture *f = *state;
    for (unsigned c = 0; c < ARRAY_SIZE(counts); c++) {
        f->config.machine.cpu_count = counts[c];
        write_tables(f);
        const u8 *madt = acpi_table(f, "APIC"), *end = madt + get_u32(madt + 4);
        unsigned cpus = 0, ioapics = 0, overrides = 0, nmis = 0;
        assert_int_equal(get_u32(madt + 36), 0xfee00000);
        assert_int_equal(get_u32(madt + 40), 1);
        for (const u8 *e = madt + 44; e < end; e += e[1]) {
            assert_true(e[1] >= 6);
            switch (e[0]) {
            case 0:
                assert_int_equal(e[3], cpus++);
                assert_int_equal(get_u32(e + 4), 1);
                break;
            case 9:
                assert_int_equal(get_u32(e + 4), cpus++);
                break;
            case 1:
                assert_int_equal(get_u32(e + 4), 0xfec00000);
                ioapics++;
                break;
            case 2:
                assert_int_equal(get_u32(e + 4), overrides ? 9 : 2);
                assert_int_equal(get_u16(e + 8), overrides ? 0xd : 0);
                overrides++;
                break;
            case 4:
            case 10:
                nmis++;
                break;
            default:
                fail_msg("entry of type %u", e[0]);
            }
        }
        assert_int_equal(cpus, counts[c]);
        assert_int_equal(ioapics, 1);
        assert_int_equal(overrides, 2);
        assert_int_equal(nmis, counts[c] > 255 ? 2 : 1);
    }
    static const unsigned too_many[] = {5000, 0x10000000, 0xffffffff};
    for (unsigned c = 0; c < ARRAY_SIZE(too_many); c++) {
        f->config.machine.cpu_count = too_many[c];
        assert_int_not_equal(boot_tables_write(&f->config, &f->mem, &f->error), 0);
        assert_non_null(strstr(f->error.text, "no room for"));
    }
}

static void writes_mp_table(void **state)
{
    static const unsigned counts[] = {1, 4, 255, 300};
    struct fixture *f = *state;
    for (unsigned c = 0; c < ARRAY_SIZE(counts); c++) {
        f->config.machine.cpu_count = counts[c];
        write_tables(f);
        const u8 *floating = scan(f, "_MP_", 4);
        assert_int_equal(sum(floating, 16), 0);
        const u8 *table = f->mem.base + get_u32(floating + 4);
        assert_memory_equal(table, "PCMP", 4);
        u32 size = get_u16(table + 4), at = 44, by_type[5] = {0};
        assert_int_equal(sum(table, size), 0);
        for (unsigned i = 0; i < get_u16(table + 34); i++) {
            assert_true(table[at] < 5);
            by_type[table[at]]++;
            at += table[at] ? 8 : 20;
        }
        assert_int_equal(at, size);
        assert_int_equal(by_type[0], counts[c] < 255 ? counts[c] : 255);
        assert_int_equal(by_type[1], 1);
        assert_int_equal(by_type[2], 1);
        assert_int_equal(by_type[3], 15); /* the ISA lines but 2; no ExtINT, that is at LINT0 */
        assert_int_equal(by_type[4], 2);
    }
}

static void writes_bios_data(void **state)
{
    struct fixture *f = *state;
    write_tables(f);
    const u8 *m = f->mem.base;
    for (unsigned vector = 0; vector < 256; vector++) {
        u32 handler = get_u16(m + vector * 4 + 2) * 16u + get_u16(m + vector * 4);
        assert_int_equal(m[handler], 0xcf);
    }
    assert_int_equal(get_u16(m + 0x400), 0x3f8);
    assert_int_equal(m[0x449], 3); /* the screen: mode 3, 80 by 25, its ports */
    assert_int_equal(get_u16(m + 0x44a), 80);
    assert_int_equal(m[0x484], 24);
    assert_int_equal(get_u16(m + 0x463), 0x3d4);
    assert_int_equal(get_u16(m + 0x402), 0x2f8);
    assert_int_equal(get_u16(m + 0x40e), 0x9fc0);
    assert_int_equal(get_u16(m + 0x413), 639);
    assert_int_equal(m[0x9fc00], 1);
}

static void leaves_tables_out(void **state)
{
    struct fixture *f = *state;
    f->config.tables = 0;
    write_tables(f);
    assert_int_equal(f->mem.base[0x400], 0xaa);
    for (u32 at = 0xe0000; at < 0x100000; at++) {
        assert_int_equal(f->mem.base[at], 0);
    }
}

static void maps_memory(void **state)
{
    static const struct {
        u64 low, high;
        unsigned count;
    } cases[] = {
        {0x80000, 0, 2},
        {0x9fc00, 0, 2},
        {0x100000, 0, 4},
        {0x8000000, 0, 5},
        {MEM_LOW_MAX, 0x140000000, 6},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct mem mem = {.low_size = cases[i].low, .high_size = cases[i].high};
        struct e820_entry map[E820_MAX];
        unsigned count = boot_e820_map(&mem, map);
        assert_int_equal(count, cases[i].count);
        u64 end = 0;
        for (unsigned j = 0; j < count; j++) {
            assert_true(map[j].base >= end);
            assert_true(map[j].size > 0);
            end = map[j].base + map[j].size;
            /* What the map calls RAM is RAM. */
            if (map[j].type == E820_RAM) {
                assert_true(mem_offset(&mem, map[j].base) >= 0);
                assert_true(mem_offset(&mem, end - 1) >= 0);
            }
        }
    }
}

static void reads_files(void **state)
{
    struct fixture *f = *state;
    struct boot_file file;
    char path[] = "/tmp/test_boot_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(boot_file_open(path, &file, &f->error), -ENODATA);
    assert_non_null(strstr(f->error.text, "is empty"));
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_int_equal(boot_file_open(path, &file, &f->error), 0);
    assert_int_equal(file.size, 5);
    assert_memory_equal(file.bytes, "hello", 5);
    assert_string_equal(file.name, path);
    boot_file_close(&file);
    boot_file_close(&file);
    assert_int_equal(ftruncate(fd, (off_t)BOOT_FILE_MAX + 1), 0);
    assert_int_equal(boot_file_open(path, &file, &f->error), -EFBIG);
    assert_non_null(strstr(f->error.text, "is larger than 4 GiB"));
    close(fd);
    unlink(path);
    assert_int_equal(boot_file_open(path, &file, &f->error), -ENOENT);
    assert_int_equal(boot_file_open("/tmp", &file, &f->error), -EISDIR);
    assert_non_null(strstr(f->error.text, "/tmp: Is a directory"));
    assert_int_equal(file.size, 0);
}

/* A pipe has no size beforehand. */
static void reads_pipes(void **state)
{
    struct fixture *f = *state;
    struct boot_file file;
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    u8 data[40000];
    memset(data, 7, sizeof(data));
    assert_int_equal(write(ends[1], data, sizeof(data)), sizeof(data));
    close(ends[1]);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    assert_int_equal(boot_file_open(path, &file, &f->error), 0);
    assert_int_equal(file.size, sizeof(data));
    assert_memory_equal(file.bytes, data, sizeof(data));
    boot_file_close(&file);
    close(ends[0]);
}

/* Whatever a file is called, the message is one line of text. */
static void keeps_messages_in_one_line(void **state)
{
    struct fixture *f = *state;
    char name[2000];
    memset(name, 'n', sizeof(name));
    name[1] = '\n';
    name[2] = '\x1b';
    name[sizeof(name) - 1] = 0;
    assert_int_equal(boot_fail(&f->error, name, "is wrong"), -EINVAL);
    assert_null(strchr(f->error.text, '\n'));
    assert_null(strchr(f->error.text, '\x1b'));
    assert_non_null(strstr(f->error.text, ": is wrong"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(describes_power),
        TEST(describes_devices),
        TEST(describes_cpus),
        TEST(describes_pci),
        TEST(writes_mp_table),
        TEST(writes_bios_data),
        TEST(leaves_tables_out),
        TEST(maps_memory),
        TEST(reads_files),
        TEST(reads_pipes),
        TEST(keeps_messages_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
