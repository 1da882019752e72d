/* acpi_pci.h - what the DSDT says of PCI. */
#ifndef BOOT_ACPI_PCI_H
#define BOOT_ACPI_PCI_H

#include "boot/aml.h"
#include "boot/boot.h"

/* In the scope of \_SB: the host bridge, and what is reserved for configuration space. */
void acpi_pci_write_devices(struct aml *a, const struct boot_machine *machine);

/* At the root: the method by which a kernel says that it uses the IOAPIC. */
void acpi_pci_write_mode(struct aml *a);

#endif
