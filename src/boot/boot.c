/*
 * boot.c - the table of the boot protocols, and boot_load(), which finds the one for a file.
 */
#include <errno.h>
#include <string.h>

#include "boot/acpi.h"
#include "boot/bios.h"
#include "boot/elf_image.h"
#include "boot/mptable.h"
#include "boot/protocol.h"
#include "boot/unpack.h"

#define RAM_MIN (2ull << 20)

const struct boot_machine boot_machine_pc = {
    .cpu_count = 1,
    .lapic_base = 0xfee00000,
    .ioapic_base = 0xfec00000,
    .ioapic_id = 0,
    .ioapic_pins = 24,
    .sci_irq = 9,
    .s5_type = 5,
    .pm1_event_port = 0x600,
    .pm1_control_port = 0x604,
    .pm_timer_port = 0x608,
    .pm_timer_32bit = true,
    .gpe0_port = 0x620,
    .gpe0_size = 8,
    .reset_port = 0xcf9,
    .reset_value = 6,
    .serial_ports = {0x3f8, 0x2f8},
    .vga = true,
    .keyboard_controller = true,
};

/* In the order in which AUTO asks them: the special before the general. */
static const struct protocol *const protocols[] = {
    &protocol_linux, &protocol_multiboot, &protocol_pvh, &protocol_vmlinux, &protocol_elf,
};

static bool is_text(const struct boot_file *file)
{
    u64 n = file->size < 512 ? file->size : 512;
    for (u64 i = 0; i < n; i++) {
        u8 c = file->bytes[i];
        if (c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b) {
            return false;
        }
    }
    return true;
}

/* No protocol knows the file: say what it is, as far as that helps. */
static int fail_unknown(struct boot_job *job)
{
    const struct boot_file *file = &job->config->kernel;
    const u8 *bytes = file->bytes;
    const char *format = unpack_format(bytes, file->size);
    if (format) {
        return job_fail(job, "is compressed with %s; unpack it first", format);
    }
    if (file->size >= 6 && !memcmp(bytes, "07070", 5)) {
        return job_fail(job, "is a cpio archive, perhaps an initrd, not a kernel");
    }
    if (file->size >= 2 && !memcmp(bytes, "MZ", 2)) {
        return job_fail(job, "is a Windows or EFI program, not a kernel that can be loaded");
    }
    if (file->size >= 0x8006 && !memcmp(bytes + 0x8001, "CD001", 5)) {
        return job_fail(job, "is a CD image, not a kernel");
    }
    if (file->size >= 512 && get_u16(bytes + 0x1fe) == 0xaa55) {
        return job_fail(job, "is a boot sector or a disk image, not a kernel");
    }
    if (is_text(file)) {
        return job_fail(job, "is a text file, not a kernel");
    }
    return job_fail(job, "is not a kernel: no Linux bzImage, Multiboot header or ELF file");
}

/* The protocol that was asked for does not know the file. */
static int fail_other(struct boot_job *job, const struct protocol *wanted)
{
    const struct boot_file *file = &job->config->kernel;
    if (elf_probe(file->bytes, file->size)) {
        return job_fail(job, "is an ELF file, but not a %s", wanted->name);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocols[i]->probe(file)) {
            return job_fail(job, "is no %s but a %s", wanted->name, protocols[i]->name);
        }
    }
    return fail_unknown(job);
}

static int find_protocol(struct boot_job *job, const struct protocol **found)
{
    const struct boot_config *config = job->config;
    for (unsigned i = 0; i < ARRAY_SIZE(protocols); i++) {
        const struct protocol *p = protocols[i];
        if (config->protocol != BOOT_AUTO && config->protocol != p->id) {
            continue;
        }
        if (p->probe(&config->kernel)) {
            *found = p;
            return 0;
        }
        if (config->protocol == p->id) {
            return fail_other(job, p);
        }
    }
    return fail_unknown(job);
}

static int write_tables(const struct boot_config *config, const struct mem *mem, gpa_t *rsdp,
                        struct boot_error *error)
{
    int result = 0;
    *rsdp = 0;
    if (mem->low_size < RAM_MIN) {
        return boot_fail(error, "memory", "%s are too little; the least is %s",
                         size_text(mem->low_size).text, size_text(RAM_MIN).text);
    }
    memset(mem_ptr(mem, BIOS_TABLES), 0, BIOS_END - BIOS_TABLES);
    if (config->tables & BOOT_TABLE_BIOS) {
        result = bios_write(&config->machine, mem, error);
    }
    if (!result && config->tables & BOOT_TABLE_ACPI) {
        result = acpi_write(&config->machine, mem, rsdp, error);
    }
    if (!result && config->tables & BOOT_TABLE_MP) {
        result = mptable_write(&config->machine, mem, error);
    }
    return result;
}

int boot_tables_write(const struct boot_config *config, const struct mem *mem,
                      struct boot_error *error)
{
    gpa_t rsdp;
    return write_tables(config, mem, &rsdp, error);
}

int boot_load(const struct boot_config *config, const struct mem *mem, struct boot_entry *entry,
              struct boot_error *error)
{
    const struct protocol *protocol = NULL;
    struct boot_job job = {.config = config, .mem = mem, .entry = entry, .error = error};
    *error = (struct boot_error){.text = ""};
    int result = write_tables(config, mem, &job.rsdp, error);
    if (!result && !config->kernel.size) {
        result = job_fail(&job, "is empty");
    }
    if (!result) {
        job_start(&job);
        result = find_protocol(&job, &protocol);
    }
    if (!result) {
        result = protocol->load(&job);
        entry->protocol = protocol->name;
    }
    return result;
}
