/*
 * vmlinux.c - Linux's vmlinux, entered directly: a file of its own, or taken out of a bzImage.
 *
 * It starts faster, since the guest need not unpack it.  Its ELF entry point on x86-64 is
 * phys_startup_64, a physical address: the same code that the bzImage's own unpacker jumps to, in
 * the same state as the 64-bit boot protocol's (boot_params in RSI, memory mapped to itself).  It
 * is loaded where it was linked, so the relocations that follow the ELF file in the payload are not
 * needed; but the unpacker would also have chosen a random address.  On i386 it is the same with
 * phys_startup_32, and the 32-bit boot protocol's state.
 * LIMIT: a kernel that starts this way has no KASLR.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, payload_offset and "64-bit Boot Protocol".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot/elf_image.h"
#include "boot/linux.h"
#include "boot/protocol.h"
#include "boot/start.h"
#include "boot/unpack.h"

#define KERNEL_MAP    0xffffffff80000000ull /* __START_KERNEL_map */
#define KERNEL_MAP_32 0x40000000ull         /* the lowest CONFIG_PAGE_OFFSET of i386 */

static bool probe(const struct boot_file *file)
{
    static const char banner[] = "Linux version ";
    struct elf_image image;
    if (!elf_open_quietly(file->bytes, file->size, &image)) {
        return false;
    }
    u64 map = image.machine == EM_X86_64 ? KERNEL_MAP : KERNEL_MAP_32;
    for (unsigned i = 0; i < image.count; i++) {
        struct elf_segment s = elf_segment(&image, i);
        if (s.type == PT_LOAD && s.vaddr >= map) {
            return memmem(file->bytes, file->size, banner, sizeof(banner) - 1) != NULL;
        }
    }
    return false;
}

/* Load the vmlinux, and enter it with boot_params whose setup header is setup's. */
static int load_vmlinux(struct boot_job *job, const u8 *bytes, u64 size, const u8 *setup)
{
    struct elf_image image;
    gpa_t start, params;
    int result = elf_open(job, bytes, size, &image);
    if (!result && image.is_64 != (image.machine == EM_X86_64)) {
        result = job_fail(job, "its vmlinux is for x32, which no kernel is");
    }
    if (!result) {
        result = elf_load(job, &image);
    }
    if (!result) {
        result = elf_entry(job, &image, image.entry, true, &start);
    }
    if (!result) {
        result = linux_place_params(job, setup, &params);
    }
    if (!result) {
        result = image.is_64 ? start_long(job, start) : start_protected(job, start);
        job->entry->rsi = params;
    }
    return result;
}

int vmlinux_load_payload(struct boot_job *job, const struct linux_image *image)
{
    u64 offset = get_u32(image->setup + LINUX_PAYLOAD_OFFSET);
    u64 length = get_u32(image->setup + LINUX_PAYLOAD_LENGTH);
    if (image->version < 0x208 || !length) {
        return job_fail(job, "is too old to say where its vmlinux is: it cannot be entered "
                             "directly");
    }
    if (offset > image->code_size || length > image->code_size - offset || length < 8) {
        return job_fail(job,
                        "its header is damaged: its vmlinux (%s at 0x%llx) is not inside the "
                        "file",
                        size_text(length).text, (unsigned long long)offset);
    }
    u8 *bytes = NULL;
    u64 size = 0;
    const u8 *payload = image->code + offset;
    if (elf_probe(payload, length)) {
        return load_vmlinux(job, payload, length, image->setup); /* CONFIG_KERNEL_UNCOMPRESSED */
    }
    int result = unpack_payload(job, payload, length, &bytes, &size);
    if (!result) {
        result = load_vmlinux(job, bytes, size, image->setup);
    }
    free(bytes);
    return result;
}

static int load(struct boot_job *job)
{
    const struct boot_file *file = &job->config->kernel;
    /* The setup header of the bzImage that this vmlinux was never put into. */
    u8 setup[LINUX_HEADER_END] = {0};
    setup[0x200] = 0xeb;
    setup[0x201] = LINUX_HEADER_END - LINUX_HEADER - 1;
    put_u16(setup + LINUX_BOOT_FLAG, 0xaa55);
    put_u32(setup + LINUX_HEADER, LINUX_MAGIC);
    put_u16(setup + LINUX_VERSION, 0x20f);
    setup[LINUX_LOADFLAGS] = LINUX_LOADED_HIGH;
    bool is_64 = file->bytes[EI_CLASS] == ELFCLASS64;
    put_u32(setup + LINUX_INITRD_ADDR_MAX, is_64 ? 0x7fffffff : 0x37ffffff); /* its low memory */
    put_u32(setup + LINUX_CMDLINE_SIZE, 2047);
    put_u16(setup + LINUX_XLOADFLAGS, is_64 ? LINUX_XLF_KERNEL_64 : 0);
    return load_vmlinux(job, file->bytes, file->size, setup);
}

const struct protocol protocol_vmlinux = {
    .id = BOOT_VMLINUX,
    .name = "Linux vmlinux",
    .probe = probe,
    .load = load,
};
