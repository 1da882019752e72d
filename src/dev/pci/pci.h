/*
 * pci.h - the PCI bus, and what a function on it is made of.
 *
 * A device embeds a struct pci_function, describes it (identity, BARs, capabilities, MSI-X), and
 * attaches it to the bus.  From then on the bus answers configuration accesses from the function's
 * 256 bytes, keeps the BARs where the guest has moved them, and sends the function's interrupts.
 *
 *      offset  31                     16 15                      0
 *      00      device ID                 vendor ID
 *      04      status                    command
 *      08      class code (24)                      revision
 *      0c      -          header type    -          cache line
 *      10-27   BAR 0 to 5
 *      2c      subsystem ID              subsystem vendor ID
 *      34      -                                    capabilities
 *      3c      -          -              INT pin    INT line
 *      40-ff   capabilities
 *
 * PCI Local Bus Specification 3.0, "Configuration Space"; PCI Express Base Specification, "PCI
 * Express Capability Structure", for function level reset.
 *
 * LIMIT: one bus, 32 slots, one function each; no bridges, no hot plug, no expansion ROMs.
 */
#ifndef DEV_PCI_PCI_H
#define DEV_PCI_PCI_H

#include "bus/interrupt.h"
#include "dev/device.h"
#include "mem/mem.h"

#define PCI_CONFIG_BYTES 256
#define PCI_BARS         6
#define PCI_BAR_PARTS    4 /* regions that a BAR may consist of */
#define PCI_SLOTS        32
#define PCI_LINES        4 /* INTA# to INTD# */
#define PCI_MSIX_MAX     128

/* Where things are; the rest of the physical memory map is in mem/mem.h. */
#define PCI_IO_START    0xc000u /* ports for BARs */
#define PCI_IO_END      0x10000u
#define PCI_MEM32_START MEM_PCI_START
#define PCI_MEM32_END   MEM_PCI_END
#define PCI_MEM64_START MEM_PCI64_START
#define PCI_MEM64_END   MEM_PCI64_END

/* Offsets in configuration space, and bits. */
enum {
    PCI_COMMAND = 0x04,
    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_INTX_OFF = 1 << 10,
    PCI_STATUS = 0x06,
    PCI_STATUS_INTERRUPT = 1 << 3,
    PCI_STATUS_CAPABILITIES = 1 << 4,
    PCI_BAR0 = 0x10,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};

enum pci_bar_kind {
    PCI_BAR_NONE,
    PCI_BAR_IO,
    PCI_BAR_MEM32,
    PCI_BAR_MEM64, /* takes the next BAR's register too */
};

struct pci_bar {
    enum pci_bar_kind kind;
    u64 size; /* a power of two: at least 4 of ports, 16 of memory */
    /* What is in it, sorted, each with its base relative to the BAR's, and its device. */
    struct bus_region parts[PCI_BAR_PARTS];
    unsigned count;
};

struct pci_function;

struct pci_ops {
    /* The function is reset by its driver (a function level reset); the machine's own reset makes
     * a new machine.  Configuration space is at its power-on values by now. */
    void (*reset)(struct pci_function *function);

    /* Optional: registers in the function's own capabilities.  An access never crosses a multiple
     * of 4.  True if the access was theirs. */
    bool (*config_read)(struct pci_function *function, unsigned offset, unsigned size, u32 *value);
    bool (*config_write)(struct pci_function *function, unsigned offset, unsigned size, u32 value);
};

struct pci_msix_entry {
    u64 address;
    u32 data, control;
};

struct pci_msix {
    unsigned count; /* 0: the function has no MSI-X */
    unsigned cap;   /* its capability in configuration space */
    struct pci_msix_entry entries[PCI_MSIX_MAX];
    u64 pending[PCI_MSIX_MAX / 64];
};

struct pci_function {
    const char *name; /* for the bus map */
    const struct pci_ops *ops;
    struct pci_bus *bus; /* NULL: not attached */
    unsigned slot;
    u8 config[PCI_CONFIG_BYTES];
    u8 writable[PCI_CONFIG_BYTES]; /* bits that a write changes */
    u8 power_on[PCI_CONFIG_BYTES]; /* config after a reset */
    unsigned caps_end;             /* where the next capability goes */
    unsigned express;              /* the PCI Express capability, or 0 */
    struct pci_bar bars[PCI_BARS];
    u64 mapped_at[PCI_BARS]; /* where in the bus map a BAR is; 0: it is not */
    struct pci_msix msix;
    bool intx; /* the function asserts its INTx */
};

struct pci_identity {
    u16 vendor, device, subsystem_vendor, subsystem;
    u8 revision;
    u32 class_code; /* 24 bits: class, subclass, programming interface */
};

/* One for each bus; the host bridge (host.h) makes it. */
struct pci_bus {
    const struct slot *slot; /* outlives the bus */
    const struct interrupt_fabric *fabric;
    const struct mem *mem;
    struct irq lines[PCI_LINES];
    u32 line_users[PCI_LINES]; /* by slot: who asserts the line */
    struct pci_function *functions[PCI_SLOTS];
};

/* ------------------------------------------------------------------ describing a function */

/* Everything else in *function is zero beforehand. */
void pci_function_init(struct pci_function *function, const char *name, const struct pci_ops *ops,
                       const struct pci_identity *identity);

/* BAR number index is as *bar says, which is copied. */
void pci_set_bar(struct pci_function *function, unsigned index, const struct pci_bar *bar);

/* A capability of size bytes, with its ID; the link is set.  Returns its offset in config, whose
 * bytes after the first two are the caller's. */
unsigned pci_add_capability(struct pci_function *function, u8 id, unsigned size);

/* MSI-X with count vectors: BAR number index, of 4 KiB, holds the table and the pending bits. */
void pci_add_msix(struct pci_function *function, unsigned index, unsigned count);

/* A PCI Express capability: a root complex integrated endpoint with function level reset. */
void pci_add_express(struct pci_function *function);

/* The function uses INTA#. */
void pci_use_intx(struct pci_function *function);

/* ------------------------------------------------------------------ on the bus */

/* Into the first free slot.  0, or -ENOSPC where there is none.  What config holds now is what it
 * holds after a reset. */
int pci_attach(struct pci_bus *bus, struct pci_function *function);

/* Harmless on a function that is not attached. */
void pci_detach(struct pci_function *function);

/* What firmware does: give each BAR an address, tell each function its interrupt line, and let
 * functions decode. */
void pci_assign(struct pci_bus *bus);

/* The legacy interrupt that firmware writes into INT line: line n of the bus is ISA IRQ n of this.
 */
extern const u8 pci_isa_irqs[PCI_LINES];

/* Drive the function's INTx; the line is asserted while that is not disabled, nor MSI-X enabled. */
void pci_set_intx(struct pci_function *function, bool level);

/* Send an MSI-X message, or note it as pending while it is masked.  Harmless beyond the table. */
void pci_msix_send(struct pci_function *function, unsigned vector);
bool pci_msix_is_enabled(const struct pci_function *function);

/* May the function use memory?  That is its bus master bit. */
bool pci_is_master(const struct pci_function *function);

/* What of a function changes; and what is done once that has been read into one that is attached.
 */
extern const struct field pci_function_fields[];
void pci_function_loaded(struct pci_function *function);

/* ------------------------------------------------------------------ for the host bridge */

/* An access to configuration space: size is 1, 2 or 4, and offset a multiple of it.  Where no
 * function is, reads give all ones. */
u32 pci_config_read(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *bus, unsigned slot, unsigned offset, unsigned size,
                      u32 value);

/* ------------------------------------------------------------------ between the files here */

/* Bring the bus map up to date with a function's BARs and command register. */
void pci_update_bars(struct pci_function *function);

/* The address that a BAR holds; 0 where it has none. */
u64 pci_bar_address(const struct pci_function *function, unsigned index);
void pci_write_bar(struct pci_function *function, unsigned index, u64 address);

/* Drive the line as registers now are. */
void pci_update_intx(struct pci_function *function);

/* MSI-X or bus mastering may have been enabled: send what is pending and may go. */
void pci_msix_update(struct pci_function *function);
void pci_msix_reset(struct pci_function *function);
void pci_msix_loaded(struct pci_function *function);

/* Little-endian numbers in configuration space. */
static inline u16 pci_get16(const u8 *at)
{
    return (u16)(at[0] | at[1] << 8);
}

static inline u32 pci_get32(const u8 *at)
{
    return (u32)pci_get16(at) | (u32)pci_get16(at + 2) << 16;
}

static inline void pci_put16(u8 *at, u16 value)
{
    at[0] = (u8)value;
    at[1] = (u8)(value >> 8);
}

static inline void pci_put32(u8 *at, u32 value)
{
    pci_put16(at, (u16)value);
    pci_put16(at + 2, (u16)(value >> 16));
}

#endif
