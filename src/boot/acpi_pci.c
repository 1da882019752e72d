/*
 * acpi_pci.c - what the DSDT says of PCI: the host bridge, the addresses that it passes on, and
 * where the interrupts of its slots go.
 *
 *      Name (\PICF, 0)   Method (\_PIC, 1) { Store (Arg0, PICF) }
 *      Device (PCI0) { _HID, _CID, _BBN, _CRS,
 *          Name (PRTP, Package ...)  Name (PRTA, Package ...)
 *          Method (_PRT) { If (PICF) { Return (PRTA) } Return (PRTP) } }
 *
 * Slot n's INTA# is line n modulo 4, its INTB# the next, and so on.  With the IOAPIC (PRTA) each
 * line has a pin of its own; without (PRTP) they share two inputs of the 8259s.
 *
 * ACPI specification, "_PRT (PCI Routing Table)"; PCI Firmware Specification, "PCI-based systems".
 */
#include "boot/acpi_pci.h"

#define SLOTS 32
#define PINS  4

static void write_routes(struct aml *a, const char *name, const struct boot_machine *m, bool ioapic)
{
    aml_name(a, name);
    aml_package(a, SLOTS * PINS);
    for (u32 slot = 0; slot < SLOTS; slot++) {
        for (u32 pin = 0; pin < PINS; pin++) {
            u32 line = (slot + pin) % PINS;
            aml_package(a, 4);
            aml_integer(a, slot << 16 | 0xffff); /* every function */
            aml_integer(a, pin);
            aml_integer(a, 0); /* the next is a number of an interrupt, not an index in a link */
            aml_integer(a, ioapic ? m->pci_gsi + line : m->pci_irqs[line]);
            aml_close(a);
        }
    }
    aml_close(a);
}

static void write_windows(struct aml *a)
{
    aml_resources(a);
    aml_bus_range(a, 0, (MEM_ECAM_END - MEM_ECAM_START) / (1u << 20) - 1);
    aml_io(a, 0xcf8, 8);
    aml_io_range(a, 0, 0xcf7);
    aml_io_range(a, 0xd00, 0xffff);
    aml_memory_range(a, MEM_VGA_START, MEM_VGA_END - 1);
    aml_memory_range(a, (u32)MEM_PCI_START, (u32)MEM_PCI_END - 1);
    aml_memory64_range(a, MEM_PCI64_START, MEM_PCI64_END - 1);
    aml_resources_end(a);
}

void acpi_pci_write_devices(struct aml *a, const struct boot_machine *m)
{
    aml_device(a, "PCI0");
    aml_name_eisa(a, "_HID", "PNP0A08"); /* PCI Express, */
    aml_name_eisa(a, "_CID", "PNP0A03"); /* and good for who knows only PCI */
    aml_name_integer(a, "_UID", 0);
    aml_name_integer(a, "_SEG", 0);
    aml_name_integer(a, "_BBN", 0);
    write_windows(a);
    write_routes(a, "PRTP", m, false);
    write_routes(a, "PRTA", m, true);
    aml_method(a, "_PRT", 0);
    aml_if(a, "PICF");
    aml_return(a, "PRTA");
    aml_close(a);
    aml_return(a, "PRTP");
    aml_close(a);
    aml_close(a);

    aml_device(a, "MRES"); /* "system board": reserves configuration space */
    aml_name_eisa(a, "_HID", "PNP0C02");
    aml_resources(a);
    aml_memory(a, (u32)MEM_ECAM_START, (u32)(MEM_ECAM_END - MEM_ECAM_START));
    aml_resources_end(a);
    aml_close(a);
}

void acpi_pci_write_mode(struct aml *a)
{
    aml_name_integer(a, "\\PICF", 0);
    aml_method(a, "\\_PIC", 1);
    aml_store_argument(a, "PICF");
    aml_close(a);
}
