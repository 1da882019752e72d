/* pc.h - the devices of a PC, and how its interrupt lines run. */
#ifndef VM_PC_H
#define VM_PC_H

#include "dev/device.h"

enum pc_slot { /* in the order of their creation: see the table in pc.c */
               PC_I8259,
               PC_IOAPIC,
               PC_I8254,
               PC_MC146818,
               PC_DMA8237,
               PC_FPU_ERROR,
               PC_I8042,
               PC_RESET,
               PC_VGA,
               PC_ACPI_PM,
               PC_PCI,
               PC_FW_CFG,
               PC_COM1,
               PC_COM2,
               PC_DEBUG_EXIT,
               PC_DEBUG_CONSOLE,
               PC_TESTDEV,
               PC_SLOTS,
};

struct pc {
    struct device *devices[PC_SLOTS]; /* NULL: not in this machine */
    bool pci_lines[4];                /* levels of INTA# to INTD# */
    struct device **cards;            /* on the PCI bus, card_count of them */
    unsigned card_count;
};

struct ringer;

/* Make all devices that the configuration asks for.  0 or -errno, with nothing left behind. */
int pc_create(struct ringer *machine);
void pc_destroy(struct ringer *machine);

/* What is told of the machine in ACPI's tables. */
struct boot_machine;
void pc_describe(const struct ringer *machine, struct boot_machine *description);

#endif
