/* acpi.h - the ACPI tables of the machine. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "boot/boot.h"

/* Write RSDP, RSDT, XSDT, FADT, FACS, MADT and DSDT; sets *rsdp. */
int acpi_write(const struct boot_machine *machine, const struct mem *mem, gpa_t *rsdp,
               struct boot_error *error);

#endif
