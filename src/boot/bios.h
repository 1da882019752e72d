/*
 * bios.h - what a PC's BIOS leaves in the first MiB, and where Ringer keeps its own tables there.
 *
 *      0x00000  interrupt vectors: all point at one IRET
 *      0x00400  BIOS data area
 *      0x00500  free: page tables, GDT, boot parameters are placed from 0x1000 upwards
 *      0x9fc00  EBDA
 *      0xe0000  ACPI and MP tables
 *      0xf0000  the IRET; MP floating pointer; RSDP
 */
#ifndef BOOT_BIOS_H
#define BOOT_BIOS_H

#include "boot/boot.h"

#define BIOS_DATA         0x400
#define BIOS_DATA_END     0x500
#define BIOS_LOADER_START 0x1000 /* nothing of ours at address 0: a kernel may take it for NULL */
#define BIOS_EBDA         0x9fc00
#define BIOS_EBDA_SIZE    0x400
#define BIOS_TABLES       0xe0000
#define BIOS_TABLES_END   0xf0000
#define BIOS_RSDP         0xf0000
#define BIOS_MP_FLOATING  0xf0100
#define BIOS_IRET         0xff053 /* where the IBM PC's BIOS had it */
#define BIOS_END          0x100000

/* Write the vectors, the BIOS data area and the EBDA. */
int bios_write(const struct boot_machine *machine, const struct mem *mem, struct boot_error *error);

#endif
