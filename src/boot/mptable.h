/* mptable.h - the MP configuration table, for kernels without ACPI. */
#ifndef BOOT_MPTABLE_H
#define BOOT_MPTABLE_H

#include "boot/boot.h"

/* Write the MP floating pointer structure and the configuration table. */
int mptable_write(const struct boot_machine *machine, const struct mem *mem,
                  struct boot_error *error);

#endif
