/*
 * elf.c - plain ELF kernels that follow no protocol.
 *
 * ELF64 for x86-64 is entered in long mode with the first 4 GiB mapped to themselves, ELF32 in flat
 * protected mode without paging; both with interrupts off, a small stack below 1 MiB and the PVH
 * protocol's start info: in RDI (64-bit) or EBX (32-bit).  So a kernel of 20 lines has a command
 * line, a memory map and modules.
 */
#include <elf.h>
#include <errno.h>

#include "boot/bios.h"
#include "boot/elf_image.h"
#include "boot/protocol.h"
#include "boot/pvh.h"
#include "boot/start.h"

#define STACK_SIZE 0x4000

static bool probe(const struct boot_file *file)
{
    return elf_probe(file->bytes, file->size);
}

static int load(struct boot_job *job)
{
    const struct boot_file *file = &job->config->kernel;
    struct elf_image image;
    gpa_t start, info, stack;
    int result = elf_open(job, file->bytes, file->size, &image);
    if (!result) {
        result = elf_load(job, &image);
    }
    if (!result) {
        result = elf_entry(job, &image, image.entry, false, &start);
    }
    if (!result) {
        result = pvh_place_start_info(job, image.end, &info);
    }
    if (!result && !job_place_low(job, file->name, STACK_SIZE, PAGE_SIZE, BIOS_LOADER_START,
                                  MEM_HIGH_START, &stack)) {
        result = -EINVAL;
    }
    if (result) {
        return result;
    }
    bool is_long = image.is_64 && image.machine == EM_X86_64;
    result = is_long ? start_long(job, start) : start_protected(job, start);
    job->entry->rsp = stack + STACK_SIZE;
    job->entry->rdi = is_long ? info : 0;
    job->entry->rbx = is_long ? 0 : info;
    return result;
}

const struct protocol protocol_elf = {
    .id = BOOT_ELF,
    .name = "ELF file",
    .probe = probe,
    .load = load,
};
