/*
 * linux.c - Linux as a bzImage: by the 64-bit boot protocol, or by the 32-bit one where the kernel
 * has no 64-bit entry.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "boot/bios.h"
#include "boot/linux.h"
#include "boot/protocol.h"
#include "boot/start.h"

#define LOAD_ADDRESS    0x100000ull /* where a bzImage goes that does not say */
#define INITRD_MAX_OLD  0x37ffffffu /* before protocol 2.03 said it */
#define COMMAND_MAX_OLD 255u        /* before protocol 2.06 said it */
#define LOADER_UNKNOWN  0xff

static bool probe(const struct boot_file *file)
{
    return file->size > LINUX_VERSION + 2 && get_u16(file->bytes + LINUX_BOOT_FLAG) == 0xaa55 &&
           get_u32(file->bytes + LINUX_HEADER) == LINUX_MAGIC;
}

int linux_open(struct boot_job *job, struct linux_image *image)
{
    const struct boot_file *file = &job->config->kernel;
    if (file->size < LINUX_PARAMS_SIZE) {
        return job_fail(job, "is cut short: a Linux kernel does not end after %s",
                        size_text(file->size).text);
    }
    const u8 *setup = file->bytes;
    *image = (struct linux_image){.setup = setup, .version = get_u16(setup + LINUX_VERSION)};
    if (image->version < 0x202) {
        return job_fail(job,
                        "is a Linux kernel with boot protocol %u.%02u; 2.02 is the oldest "
                        "that can be loaded (Linux 2.4)",
                        image->version >> 8, image->version & 0xff);
    }
    if (!(setup[LINUX_LOADFLAGS] & LINUX_LOADED_HIGH)) {
        return job_fail(job, "is a zImage, which only a BIOS can boot; make a bzImage");
    }
    unsigned sectors = setup[LINUX_SETUP_SECTS] ? setup[LINUX_SETUP_SECTS] : 4;
    image->setup_size = (sectors + 1) * 512;
    if (file->size <= image->setup_size + 512) {
        return job_fail(job, "is cut short: it ends in its setup code");
    }
    image->code = file->bytes + image->setup_size;
    image->code_size = file->size - image->setup_size;
    if (image->version >= 0x204) {
        u64 size = (u64)get_u32(setup + LINUX_SYSSIZE) * 16;
        /* The size is in paragraphs, so the file may lack up to 15 bytes of it. */
        if (image->code_size + 15 < size) {
            return job_fail(job, "is cut short: %llu bytes, and its header says %llu",
                            (unsigned long long)file->size,
                            (unsigned long long)(image->setup_size + size));
        }
        image->code_size = size < 512 || size > image->code_size ? image->code_size : size;
    }
    return 0;
}

/* Claim the memory that the kernel needs while it unpacks itself, and set *load to where its
 * protected-mode code goes.  The hva of that, or NULL with the error set. */
static u8 *place_kernel(struct boot_job *job, const struct linux_image *image, gpa_t *load)
{
    const u8 *setup = image->setup;
    u64 align = image->version >= 0x205 ? get_u32(setup + LINUX_KERNEL_ALIGNMENT) : 0;
    bool relocatable = image->version >= 0x205 && setup[LINUX_RELOCATABLE];
    gpa_t start = LOAD_ADDRESS;
    u64 size = image->code_size;
    if (image->version >= 0x20a) {
        u64 preferred = get_u64(setup + LINUX_PREF_ADDRESS);
        u64 init_size = get_u32(setup + LINUX_INIT_SIZE);
        if (relocatable) {
            start = preferred;
        } else if (preferred > start && preferred < MEM_HIGH_START) {
            /* It is loaded at 1 MiB and moves itself to the address that it prefers. */
            init_size += preferred - start;
        }
        size = init_size > size ? init_size : size;
    }
    if (relocatable && !job_is_free(job, start, size)) {
        /* Higher up, since it never unpacks itself to below the address that it prefers. */
        if (!bits_is_power_of_two(align)) {
            job_fail(job, "asks for an alignment of 0x%llx, which is no power of two",
                     (unsigned long long)align);
            return NULL;
        }
        return job_place_low(job, job->config->kernel.name, size, align, start, MEM_HIGH_START,
                             load);
    }
    *load = start;
    return job_claim(job, job->config->kernel.name, "the kernel", start, size);
}

static int place_initrd(struct boot_job *job, u8 *params, u16 version)
{
    const struct boot_file *initrd = &job->config->initrd;
    if (!initrd->size) {
        return 0;
    }
    u64 max = (version >= 0x203 ? get_u32(params + LINUX_INITRD_ADDR_MAX) : INITRD_MAX_OLD) + 1ull;
    gpa_t start;
    u8 *p = job_place_high(job, initrd->name, initrd->size, PAGE_SIZE, LOAD_ADDRESS, max, &start);
    if (!p) {
        return -EINVAL;
    }
    memcpy(p, initrd->bytes, initrd->size);
    put_u32(params + LINUX_RAMDISK_IMAGE, (u32)start);
    put_u32(params + LINUX_RAMDISK_SIZE, (u32)initrd->size);
    return 0;
}

static int place_command_line(struct boot_job *job, u8 *params, u16 version)
{
    u64 length = strlen(job_command_line(job));
    u64 max = version >= 0x206 ? get_u32(params + LINUX_CMDLINE_SIZE) : COMMAND_MAX_OLD;
    if (length > max) {
        return boot_fail(job->error, "command line",
                         "has %llu characters, and this kernel takes %llu",
                         (unsigned long long)length, (unsigned long long)max);
    }
    gpa_t start;
    if (job_place_command_line(job, &start)) {
        return -EINVAL;
    }
    put_u32(params + LINUX_CMD_LINE_PTR, (u32)start);
    return 0;
}

static void write_memory_map(const struct boot_job *job, u8 *params)
{
    u64 above_1m = (job->mem->low_size - BIOS_END) / 1024;
    put_u16(params + LINUX_EXT_MEM_K, (u16)(above_1m < 0xfc00 ? above_1m : 0xfc00));
    put_u32(params + LINUX_ALT_MEM_K, (u32)above_1m);
    params[LINUX_E820_COUNT] = (u8)job->map_count;
    memcpy(params + LINUX_E820_TABLE, job->map, job->map_count * sizeof(job->map[0]));
}

/* What the BIOS's INT 10 would have answered. */
static void write_screen_info(u8 *params)
{
    params[LINUX_VIDEO_MODE_NOW] = 3;
    params[LINUX_VIDEO_COLUMNS] = 80;
    params[LINUX_VIDEO_LINES] = 25;
    params[LINUX_VIDEO_IS_VGA] = 1;
    put_u16(params + LINUX_VIDEO_EGA_BX, 3); /* colour, 256 KiB */
    put_u16(params + LINUX_VIDEO_POINTS, 16);
}

int linux_place_params(struct boot_job *job, const u8 *setup, gpa_t *params)
{
    u16 version = get_u16(setup + LINUX_VERSION);
    /* A kernel may have a module besides its initrd only by a protocol that knows modules. */
    if (job->config->module_count) {
        return job_fail(job, "is a Linux kernel, which takes an initrd but no modules");
    }
    u8 *p = job_place_low(job, job->config->kernel.name, LINUX_PARAMS_SIZE, PAGE_SIZE,
                          BIOS_LOADER_START, BIOS_EBDA, params);
    if (!p) {
        return -EINVAL;
    }
    /* Only the setup header is the file's; the header's end follows its jump (offset 0x200). */
    u64 header_end = LINUX_HEADER + (u64)setup[0x201];
    memset(p, 0, LINUX_PARAMS_SIZE);
    memcpy(p + LINUX_SETUP_SECTS, setup + LINUX_SETUP_SECTS,
           (header_end < LINUX_HEADER_END ? header_end : LINUX_HEADER_END) - LINUX_SETUP_SECTS);
    p[LINUX_TYPE_OF_LOADER] = LOADER_UNKNOWN;
    put_u16(p + LINUX_VIDEO_MODE, 0xffff);
    put_u32(p + LINUX_RAMDISK_IMAGE, 0);
    put_u32(p + LINUX_RAMDISK_SIZE, 0);
    put_u64(p + LINUX_RSDP_ADDRESS, job->rsdp);
    write_memory_map(job, p);
    if (job->config->machine.vga) {
        write_screen_info(p);
    }
    int result = place_command_line(job, p, version);
    return result ? result : place_initrd(job, p, version);
}

static int load(struct boot_job *job)
{
    struct linux_image image;
    int result = linux_open(job, &image);
    if (result) {
        return result;
    }
    if (job->config->direct) {
        return vmlinux_load_payload(job, &image);
    }
    gpa_t start, params;
    u8 *code = place_kernel(job, &image, &start);
    if (!code) {
        return -EINVAL;
    }
    memcpy(code, image.code, image.code_size);
    result = linux_place_params(job, image.setup, &params);
    if (result) {
        return result;
    }
    put_u32(mem_ptr(job->mem, params) + LINUX_CODE32_START, (u32)start);
    bool has_64 =
        image.version >= 0x20c && get_u16(image.setup + LINUX_XLOADFLAGS) & LINUX_XLF_KERNEL_64;
    result = has_64 ? start_long(job, start + 0x200) : start_protected(job, start);
    job->entry->rsi = params;
    return result;
}

const struct protocol protocol_linux = {
    .id = BOOT_LINUX,
    .name = "Linux bzImage",
    .probe = probe,
    .load = load,
};
