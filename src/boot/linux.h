/* linux.h - what the two ways into a Linux kernel share: boot_params, and where it all goes. */
#ifndef BOOT_LINUX_H
#define BOOT_LINUX_H

#include "boot/job.h"

/* Offsets in boot_params; 0x1f1 and up is the setup header, which a bzImage holds at the same
 * offsets.  Linux, Documentation/arch/x86/boot.rst, and zero-page.rst. */
enum {
    LINUX_EXT_MEM_K = 0x002,
    LINUX_VIDEO_MODE_NOW = 0x006,
    LINUX_VIDEO_COLUMNS = 0x007,
    LINUX_VIDEO_EGA_BX = 0x00a,
    LINUX_VIDEO_LINES = 0x00e,
    LINUX_VIDEO_IS_VGA = 0x00f,
    LINUX_VIDEO_POINTS = 0x010,
    LINUX_RSDP_ADDRESS = 0x070,
    LINUX_ALT_MEM_K = 0x1e0,
    LINUX_E820_COUNT = 0x1e8,
    LINUX_SETUP_SECTS = 0x1f1,
    LINUX_SYSSIZE = 0x1f4,
    LINUX_VIDEO_MODE = 0x1fa,
    LINUX_BOOT_FLAG = 0x1fe,
    LINUX_HEADER = 0x202,
    LINUX_VERSION = 0x206,
    LINUX_TYPE_OF_LOADER = 0x210,
    LINUX_LOADFLAGS = 0x211,
    LINUX_CODE32_START = 0x214,
    LINUX_RAMDISK_IMAGE = 0x218,
    LINUX_RAMDISK_SIZE = 0x21c,
    LINUX_CMD_LINE_PTR = 0x228,
    LINUX_INITRD_ADDR_MAX = 0x22c,
    LINUX_KERNEL_ALIGNMENT = 0x230,
    LINUX_RELOCATABLE = 0x234,
    LINUX_XLOADFLAGS = 0x236,
    LINUX_CMDLINE_SIZE = 0x238,
    LINUX_PAYLOAD_OFFSET = 0x248,
    LINUX_PAYLOAD_LENGTH = 0x24c,
    LINUX_PREF_ADDRESS = 0x258,
    LINUX_INIT_SIZE = 0x260,
    LINUX_HEADER_END = 0x290, /* of the largest setup header */
    LINUX_E820_TABLE = 0x2d0,
    LINUX_PARAMS_SIZE = 0x1000,
};

#define LINUX_MAGIC         0x53726448u /* "HdrS" */
#define LINUX_LOADED_HIGH   0x01        /* loadflags */
#define LINUX_XLF_KERNEL_64 0x01        /* xloadflags */

/* A bzImage's setup header, checked. */
struct linux_image {
    const u8 *setup; /* the file's first sector; offsets above */
    u64 setup_size;  /* bytes of real-mode code before the protected-mode code */
    const u8 *code;  /* the protected-mode code, and its size */
    u64 code_size;
    u16 version; /* of the protocol, 0x20f for 2.15 */
};

int linux_open(struct boot_job *job, struct linux_image *image);

/* Place boot_params with the command line, the initrd and the memory map, once the kernel's own
 * memory is claimed.  setup is a boot_params-sized block whose setup header is filled in as the
 * kernel gave it; it is copied.  Sets *params. */
int linux_place_params(struct boot_job *job, const u8 *setup, gpa_t *params);

/* Take the vmlinux out of the bzImage and load that. */
int vmlinux_load_payload(struct boot_job *job, const struct linux_image *image);

#endif
