/* host.h - the PCI host bridge: from the CPU's bus to PCI. */
#ifndef DEV_PCI_HOST_H
#define DEV_PCI_HOST_H

#include "dev/pci/pci.h"

struct pci_host_config {
    const struct interrupt_fabric *fabric; /* outlives the device, as mem does */
    const struct mem *mem;
    struct irq lines[PCI_LINES]; /* INTA# to INTD# of slot 0 */
    /* Port 0xcf9 lies among the bridge's, but is not PCI's. */
    u8 (*read_cf9)(void *context);
    void (*write_cf9)(void *context, u8 value);
    void *context;
};

/* 0 or -errno.  All functions are detached before it is destroyed. */
int pci_host_create(const struct slot *slot, const struct pci_host_config *config,
                    struct device **device);

/* The bus to attach functions to. */
struct pci_bus *pci_host_bus(struct device *device);

#endif
