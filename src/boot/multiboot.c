/*
 * multiboot.c - kernels with a Multiboot 1 header, as an ELF file or a flat one ("a.out kludge").
 *
 * Source: Multiboot Specification version 0.6.96, "OS image format", "Machine state" and "Boot
 * information format".
 * LIMIT: no video mode is set for a kernel that asks for one (flag 2), and no ELF symbols are
 * passed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot/bios.h"
#include "boot/elf_image.h"
#include "boot/protocol.h"
#include "boot/start.h"

#define HEADER_MAGIC  0x1badb002u
#define HEADER_SEARCH 8192 /* the header lies wholly in so many bytes */
#define LOADER_MAGIC  0x2badb002u

/* The header's flags. */
#define FLAG_MANDATORY 0x0000ffffu
#define FLAG_ALIGN     (1u << 0)
#define FLAG_MEMORY    (1u << 1)
#define FLAG_VIDEO     (1u << 2)
#define FLAG_ADDRESSES (1u << 16)

struct header {
    u64 offset; /* in the file */
    u32 flags;
    bool has_addresses; /* the next are in the file */
    u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* The boot information: offsets, and bits of its flags. */
enum {
    INFO_FLAGS = 0,
    INFO_MEM_LOWER = 4,
    INFO_MEM_UPPER = 8,
    INFO_CMDLINE = 16,
    INFO_MODS_COUNT = 20,
    INFO_MODS_ADDR = 24,
    INFO_MMAP_LENGTH = 44,
    INFO_MMAP_ADDR = 48,
    INFO_LOADER_NAME = 64,
    INFO_SIZE = 116,
};

#define HAS_MEMORY      (1u << 0)
#define HAS_CMDLINE     (1u << 2)
#define HAS_MODULES     (1u << 3)
#define HAS_MMAP        (1u << 6)
#define HAS_LOADER_NAME (1u << 9)

#define MODULE_SIZE 16
#define MMAP_SIZE   24 /* the size field, which does not count itself, and an E820 entry */

static bool find_header(const struct boot_file *file, struct header *h)
{
    u64 end = file->size < HEADER_SEARCH ? file->size : HEADER_SEARCH;
    for (u64 at = 0; at + 12 <= end; at += 4) {
        const u8 *p = file->bytes + at;
        if (get_u32(p) != HEADER_MAGIC || get_u32(p) + get_u32(p + 4) + get_u32(p + 8) != 0) {
            continue;
        }
        *h = (struct header){.offset = at, .flags = get_u32(p + 4)};
        if (at + 32 <= file->size) {
            h->has_addresses = true;
            h->header_addr = get_u32(p + 12);
            h->load_addr = get_u32(p + 16);
            h->load_end_addr = get_u32(p + 20);
            h->bss_end_addr = get_u32(p + 24);
            h->entry_addr = get_u32(p + 28);
        }
        return true;
    }
    return false;
}

static bool probe(const struct boot_file *file)
{
    struct header h;
    return find_header(file, &h);
}

/* A flat image: the header says which part of the file goes where. */
static int load_flat(struct boot_job *job, const struct header *h, gpa_t *start, gpa_t *end)
{
    const struct boot_file *file = &job->config->kernel;
    if (!h->has_addresses) {
        return job_fail(job, "is cut short: its Multiboot header is not complete");
    }
    if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > h->offset) {
        return job_fail(job,
                        "its Multiboot header is damaged: load_addr 0x%x does not fit "
                        "header_addr 0x%x",
                        h->load_addr, h->header_addr);
    }
    u64 offset = h->offset - (h->header_addr - h->load_addr);
    u64 in_file = file->size - offset;
    u64 size = h->load_end_addr ? (u64)h->load_end_addr - h->load_addr : in_file;
    if (h->load_end_addr && (h->load_end_addr < h->load_addr || size > in_file)) {
        return job_fail(job, "is cut short: load_end_addr 0x%x is past its end", h->load_end_addr);
    }
    u64 mem_size = h->bss_end_addr ? (u64)h->bss_end_addr - h->load_addr : size;
    if (h->bss_end_addr && (h->bss_end_addr < h->load_addr || mem_size < size)) {
        return job_fail(job,
                        "its Multiboot header is damaged: bss_end_addr 0x%x is before the "
                        "end of its data",
                        h->bss_end_addr);
    }
    if (h->entry_addr < h->load_addr || h->entry_addr - h->load_addr >= mem_size) {
        return job_fail(job, "its entry point 0x%x is not inside of it", h->entry_addr);
    }
    u8 *p = job_claim(job, file->name, "the kernel", h->load_addr, mem_size);
    if (!p) {
        return -EINVAL;
    }
    memcpy(p, file->bytes + offset, size);
    memset(p + size, 0, mem_size - size);
    *start = h->entry_addr;
    *end = h->load_addr + mem_size;
    return 0;
}

static int load_elf(struct boot_job *job, gpa_t *start, gpa_t *end)
{
    const struct boot_file *file = &job->config->kernel;
    struct elf_image image;
    int result = elf_open(job, file->bytes, file->size, &image);
    if (!result) {
        result = elf_load(job, &image);
    }
    if (!result) {
        result = elf_entry(job, &image, image.entry, false, start);
    }
    *end = image.end;
    return result;
}

/* Place "name arguments", as other loaders pass it: a kernel finds its own name first. */
static int place_string(struct boot_job *job, const char *name, const char *arguments, u32 *at)
{
    gpa_t start;
    bool both = arguments && *arguments;
    u64 size = strlen(name) + 1 + (both ? strlen(arguments) + 1 : 0);
    u8 *p = job_place_low(job, name, size, 4, BIOS_LOADER_START, MEM_HIGH_START, &start);
    if (!p) {
        return -EINVAL;
    }
    snprintf((char *)p, size, "%s%s%s", name, both ? " " : "", both ? arguments : "");
    *at = (u32)start;
    return 0;
}

static int place_modules(struct boot_job *job, u8 *info, gpa_t min)
{
    unsigned count = job_module_count(job);
    gpa_t table, start;
    if (!count) {
        return 0;
    }
    u8 *out = job_place_low(job, job->config->kernel.name, count * MODULE_SIZE, 8,
                            BIOS_LOADER_START, MEM_HIGH_START, &table);
    if (!out) {
        return -EINVAL;
    }
    memset(out, 0, count * MODULE_SIZE);
    for (unsigned i = 0; i < count; i++, out += MODULE_SIZE) {
        const struct boot_file *file = job_module(job, i);
        u32 string;
        u8 *p = job_place_low(job, file->name, file->size, PAGE_SIZE, min, MEM_HIGH_START, &start);
        if (!p || place_string(job, file->name, file->command_line, &string)) {
            return -EINVAL;
        }
        memcpy(p, file->bytes, file->size);
        put_u32(out, (u32)start);
        put_u32(out + 4, (u32)(start + file->size));
        put_u32(out + 8, string);
    }
    put_u32(info + INFO_MODS_COUNT, count);
    put_u32(info + INFO_MODS_ADDR, (u32)table);
    return 0;
}

static int place_mmap(struct boot_job *job, u8 *info)
{
    gpa_t start;
    u32 length = job->map_count * MMAP_SIZE;
    u8 *p = job_place_low(job, job->config->kernel.name, length, 8, BIOS_LOADER_START,
                          MEM_HIGH_START, &start);
    if (!p) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < job->map_count; i++) {
        put_u32(p + i * MMAP_SIZE, MMAP_SIZE - 4);
        memcpy(p + i * MMAP_SIZE + 4, &job->map[i], sizeof(job->map[i]));
    }
    put_u32(info + INFO_MMAP_LENGTH, length);
    put_u32(info + INFO_MMAP_ADDR, (u32)start);
    return 0;
}

static int place_info(struct boot_job *job, gpa_t min, gpa_t *at)
{
    u32 line, name;
    const char *kernel = job->config->kernel.name;
    u8 *info = job_place_low(job, kernel, INFO_SIZE, 8, BIOS_LOADER_START, MEM_HIGH_START, at);
    if (!info) {
        return -EINVAL;
    }
    memset(info, 0, INFO_SIZE);
    if (place_string(job, kernel, job_command_line(job), &line) ||
        place_string(job, "Ringer", NULL, &name) || place_mmap(job, info) ||
        place_modules(job, info, min > BIOS_END ? min : BIOS_END)) {
        return -EINVAL;
    }
    put_u32(info + INFO_FLAGS, HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MMAP | HAS_LOADER_NAME);
    put_u32(info + INFO_MEM_LOWER, BIOS_EBDA / 1024);
    put_u32(info + INFO_MEM_UPPER, (u32)((job->mem->low_size - BIOS_END) / 1024));
    put_u32(info + INFO_CMDLINE, line);
    put_u32(info + INFO_LOADER_NAME, name);
    return 0;
}

static int load(struct boot_job *job)
{
    struct header h;
    if (!find_header(&job->config->kernel, &h)) {
        return job_fail(job, "has no Multiboot header");
    }
    if (h.flags & FLAG_MANDATORY & ~(FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO)) {
        return job_fail(job, "asks for Multiboot features that are not known here (flags 0x%x)",
                        h.flags);
    }
    gpa_t start = 0, end = 0, info = 0;
    int result =
        h.flags & FLAG_ADDRESSES ? load_flat(job, &h, &start, &end) : load_elf(job, &start, &end);
    if (!result) {
        result = place_info(job, end, &info);
    }
    if (!result) {
        result = start_protected(job, start);
        job->entry->rax = LOADER_MAGIC;
        job->entry->rbx = info;
    }
    return result;
}

const struct protocol protocol_multiboot = {
    .id = BOOT_MULTIBOOT,
    .name = "Multiboot kernel",
    .probe = probe,
    .load = load,
};
