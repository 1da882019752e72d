/* fw_cfg.h - QEMU's firmware configuration device: the board tells firmware about itself. */
#ifndef DEV_FW_CFG_H
#define DEV_FW_CFG_H

#include "dev/device.h"
#include "mem/mem.h"

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00, /* "QEMU" */
    FW_CFG_ID = 0x01,        /* u32: bit 0 the port interface, bit 1 DMA */
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03, /* u64 */
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05, /* u16 */
    FW_CFG_MACHINE_ID = 0x06,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_KERNEL_CMDLINE = 0x09,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f, /* u16 */
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20, /* the files that FILE_DIR lists */
    FW_CFG_ARCH_LOCAL = 0x8000,
};

#define FW_CFG_NAME_SIZE 56 /* of a file, with its NUL */

struct fw_cfg_config {
    const struct mem *mem; /* for DMA; outlives the device */
};

/* 0 or -errno. */
int fw_cfg_create(const struct slot *slot, const struct fw_cfg_config *config,
                  struct device **device);

/* Add an item, or replace what the key has.  Numbers are little-endian to the guest; data is
 * copied. 0, -ENOMEM, or -EINVAL where size is over 4 GiB - 1. */
int fw_cfg_add_bytes(struct device *device, u16 key, const void *data, size_t size);
int fw_cfg_add_u16(struct device *device, u16 key, u16 value);
int fw_cfg_add_u32(struct device *device, u16 key, u32 value);
int fw_cfg_add_u64(struct device *device, u16 key, u64 value);

/* The same with data that is borrowed and must not change until the device is destroyed. */
int fw_cfg_add_borrowed(struct device *device, u16 key, const void *data, size_t size);

/* Add a named file ("etc/e820", "opt/..."), or replace the one of that name; data is copied.  0,
 * -ENOMEM, -EINVAL, -ENAMETOOLONG, or -ENOSPC where all keys for files are in use. */
int fw_cfg_add_file(struct device *device, const char *name, const void *data, size_t size);

#endif
