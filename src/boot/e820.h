/*
 * e820.h - the one memory map of the machine, that every protocol and fw_cfg pass on.
 *
 *      0x00000000  RAM       conventional memory; vectors and BIOS data in its first 0x500 bytes
 *      0x0009fc00  reserved  EBDA, 1 KiB
 *      0x000a0000  -         VGA window, option ROMs: not in the map
 *      0x000e0000  reserved  firmware's tables
 *      0x00100000  RAM       to the end of low RAM
 *      0xc0000000  reserved  PCI configuration space, as a kernel wants to see it here
 *      0x100000000 RAM       the rest
 *
 * ACPI specification, "System Address Map Interfaces" (INT 15H, E820H).
 */
#ifndef BOOT_E820_H
#define BOOT_E820_H

#include "base/types.h"
#include "mem/mem.h"

enum {
    E820_RAM = 1,
    E820_RESERVED = 2,
};

#define E820_MAX 8

/* As INT 15H gives it, and as fw_cfg's etc/e820 and Linux's boot_params hold it. */
struct e820_entry {
    u64 base, size;
    u32 type;
} __attribute__((packed));

_Static_assert(sizeof(struct e820_entry) == 20, "the E820 entry is 20 bytes");

/* Fill in the map, sorted by base, and return how many entries it has. */
unsigned boot_e820_map(const struct mem *mem, struct e820_entry map[E820_MAX]);

#endif
