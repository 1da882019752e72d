/*
 * pvh.c - ELF kernels with a note that names their 32-bit entry: Linux, FreeBSD, Xen and others.
 *
 * Source: Xen, docs/misc/pvh.pandoc, and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include <errno.h>
#include <string.h>

#include "boot/bios.h"
#include "boot/elf_image.h"
#include "boot/protocol.h"
#include "boot/pvh.h"
#include "boot/start.h"

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

#define START_MAGIC 0x336ec578u /* "xEn3" with bit 7 of the first letter set */

/* struct hvm_start_info, version 1. */
struct start_info {
    u32 magic, version, flags, module_count;
    u64 modules, command_line, rsdp, memory_map;
    u32 memory_map_count, reserved;
};

struct start_module {
    u64 start, size, command_line, reserved;
};

struct start_memory {
    u64 start, size;
    u32 type, reserved;
};

_Static_assert(sizeof(struct start_info) == 56, "as the interface says");
_Static_assert(sizeof(struct start_module) == 32, "as the interface says");
_Static_assert(sizeof(struct start_memory) == 24, "as the interface says");

static const u8 *find_note(const struct elf_image *image, u32 *size)
{
    return elf_note(image, "Xen", NOTE_PHYS32_ENTRY, size);
}

static bool probe(const struct boot_file *file)
{
    struct elf_image image;
    u32 size;
    return elf_open_quietly(file->bytes, file->size, &image) && find_note(&image, &size);
}

static int place_modules(struct boot_job *job, gpa_t min, struct start_info *info)
{
    unsigned count = job_module_count(job);
    struct start_module list = {0};
    gpa_t table = 0;
    u8 *out = NULL;
    if (count) {
        out = job_place_low(job, job->config->kernel.name, count * sizeof(list), 8,
                            BIOS_LOADER_START, MEM_HIGH_START, &table);
        if (!out) {
            return -EINVAL;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        const struct boot_file *file = job_module(job, i);
        u8 *p =
            job_place_low(job, file->name, file->size, PAGE_SIZE, min, MEM_HIGH_START, &list.start);
        if (!p) {
            return -EINVAL;
        }
        memcpy(p, file->bytes, file->size);
        list.size = file->size;
        list.command_line = 0;
        if (file->command_line) {
            u64 size = strlen(file->command_line) + 1;
            p = job_place_low(job, file->name, size, 8, BIOS_LOADER_START, MEM_HIGH_START,
                              &list.command_line);
            if (!p) {
                return -EINVAL;
            }
            memcpy(p, file->command_line, size);
        }
        memcpy(out + i * sizeof(list), &list, sizeof(list));
    }
    info->modules = table;
    info->module_count = count;
    return 0;
}

static int place_memory_map(struct boot_job *job, struct start_info *info)
{
    u64 size = job->map_count * sizeof(struct start_memory);
    u8 *p = job_place_low(job, job->config->kernel.name, size, 8, BIOS_LOADER_START, MEM_HIGH_START,
                          &info->memory_map);
    if (!p) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < job->map_count; i++) {
        const struct e820_entry *e = &job->map[i];
        struct start_memory m = {.start = e->base, .size = e->size, .type = e->type};
        memcpy(p + i * sizeof(m), &m, sizeof(m));
    }
    info->memory_map_count = job->map_count;
    return 0;
}

int pvh_place_start_info(struct boot_job *job, gpa_t min, gpa_t *address)
{
    struct start_info info = {.magic = START_MAGIC, .version = 1, .rsdp = job->rsdp};
    int result = job_place_command_line(job, &info.command_line);
    if (!result) {
        result = place_memory_map(job, &info);
    }
    if (!result) {
        result = place_modules(job, min > BIOS_END ? min : BIOS_END, &info);
    }
    if (result) {
        return result;
    }
    u8 *p = job_place_low(job, job->config->kernel.name, sizeof(info), 8, BIOS_LOADER_START,
                          MEM_HIGH_START, address);
    if (!p) {
        return -EINVAL;
    }
    memcpy(p, &info, sizeof(info));
    return 0;
}

static int load(struct boot_job *job)
{
    const struct boot_file *file = &job->config->kernel;
    struct elf_image image;
    u32 size;
    int result = elf_open(job, file->bytes, file->size, &image);
    if (result) {
        return result;
    }
    const u8 *note = find_note(&image, &size);
    if (!note || size < 4) {
        return job_fail(job, "its PVH note is damaged: the entry point is not complete");
    }
    u64 entry = size >= 8 ? get_u64(note) : get_u32(note);
    gpa_t start, info;
    result = elf_load(job, &image);
    if (!result) {
        result = elf_entry(job, &image, entry, true, &start);
    }
    if (!result) {
        result = pvh_place_start_info(job, image.end, &info);
    }
    if (!result) {
        result = start_protected(job, start);
        job->entry->rbx = info;
    }
    return result;
}

const struct protocol protocol_pvh = {
    .id = BOOT_PVH,
    .name = "PVH kernel",
    .probe = probe,
    .load = load,
};
