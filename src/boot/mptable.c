/*
 * mptable.c - the MP floating pointer structure and configuration table.
 *
 * Source: Intel MultiProcessor Specification 1.4, "MP Configuration Table".
 */
#include <errno.h>
#include <string.h>

#include "boot/bios.h"
#include "boot/job.h"
#include "boot/mptable.h"

#define TABLE         0xf1000
#define TABLE_END     0xff000
#define HEADER_SIZE   44
#define FLOATING_SIZE 16
#define CPUS_MAX      255 /* APIC ids have 8 bits, and 255 is broadcast */

enum {
    ENTRY_PROCESSOR = 0, /* 20 bytes; the others 8 */
    ENTRY_BUS = 1,
    ENTRY_IOAPIC = 2,
    ENTRY_IO_INTERRUPT = 3,
    ENTRY_LOCAL_INTERRUPT = 4,
};

enum {
    INTERRUPT_INT = 0,
    INTERRUPT_NMI = 1,
    INTERRUPT_EXTINT = 3,
};

#define PCI_BUS        0 /* kernels take this ID for the bus's number */
#define ISA_BUS        1
#define PCI_SLOTS      32
#define PCI_PINS       4
#define LEVEL_HIGH     0x0d
#define CPU_ENABLED    1
#define CPU_BOOT       2
#define LAPIC_VERSION  0x14
#define IOAPIC_VERSION 0x20
#define CPU_SIGNATURE  0x000006f0 /* a P6; kernels read CPUID instead */
#define CPU_FEATURES   0x00000201 /* FPU, APIC */

/* The entries under construction. */
struct table {
    u8 *next;
    u16 count;
};

static u8 *add(struct table *t, u8 type, u32 size)
{
    u8 *entry = t->next;
    memset(entry, 0, size);
    entry[0] = type;
    t->next += size;
    t->count++;
    return entry;
}

static void add_bus(struct table *t, u8 id, const char *type)
{
    u8 *e = add(t, ENTRY_BUS, 8);
    e[1] = id;
    memcpy(e + 2, type, 6);
}

/* source is an IRQ of the ISA bus; of PCI, slot << 2 | pin. */
static void add_interrupt(struct table *t, u8 entry_type, u8 type, u16 flags, u8 bus, u8 source,
                          u8 apic, u8 pin)
{
    u8 *e = add(t, entry_type, 8);
    e[1] = type;
    put_u16(e + 2, flags);
    e[4] = bus;
    e[5] = source;
    e[6] = apic;
    e[7] = pin;
}

static void add_processors(struct table *t, unsigned count)
{
    for (unsigned id = 0; id < count && id < CPUS_MAX; id++) {
        u8 *e = add(t, ENTRY_PROCESSOR, 20);
        e[1] = (u8)id;
        e[2] = LAPIC_VERSION;
        e[3] = CPU_ENABLED | (id ? 0 : CPU_BOOT);
        put_u32(e + 4, CPU_SIGNATURE);
        put_u32(e + 8, CPU_FEATURES);
    }
}

static void add_interrupts(struct table *t, const struct boot_machine *m)
{
    /* The PIT is at pin 2, and the 8259s' output at LINT0, not at the IOAPIC. */
    for (u8 irq = 0; irq < 16; irq++) {
        if (irq != 2) {
            add_interrupt(t, ENTRY_IO_INTERRUPT, INTERRUPT_INT, irq == m->sci_irq ? LEVEL_HIGH : 0,
                          ISA_BUS, irq, m->ioapic_id, irq ? irq : 2);
        }
    }
    for (unsigned source = 0; m->pci && source < PCI_SLOTS * PCI_PINS; source++) {
        unsigned line = (source / PCI_PINS + source) % PCI_PINS; /* as in acpi_pci.c */
        add_interrupt(t, ENTRY_IO_INTERRUPT, INTERRUPT_INT, 0, PCI_BUS, (u8)source, m->ioapic_id,
                      (u8)(m->pci_gsi + line));
    }
    add_interrupt(t, ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTINT, 0, ISA_BUS, 0, 0xff, 0);
    add_interrupt(t, ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, 0, ISA_BUS, 0, 0xff, 1);
}

static u8 checksum(const u8 *bytes, u32 size)
{
    u8 sum = 0;
    for (u32 i = 0; i < size; i++) {
        sum = (u8)(sum + bytes[i]);
    }
    return (u8)-sum;
}

static void write_header(u8 *table, const struct table *t, const struct boot_machine *m)
{
    u16 size = (u16)(t->next - table);
    memcpy(table, "PCMP", 4);
    put_u16(table + 4, size);
    table[6] = 4; /* version 1.4 */
    memcpy(table + 8, "RINGER  PC          ", 20);
    put_u16(table + 34, t->count);
    put_u32(table + 36, m->lapic_base);
    table[7] = checksum(table, size);
}

int mptable_write(const struct boot_machine *machine, const struct mem *mem,
                  struct boot_error *error)
{
    u8 *table = mem_range(mem, TABLE, TABLE_END - TABLE);
    u8 *floating = mem_range(mem, BIOS_MP_FLOATING, FLOATING_SIZE);
    if (!table || !floating) {
        return boot_fail(error, "memory", "needs at least 1 MiB");
    }
    struct table t = {.next = table + HEADER_SIZE};
    memset(table, 0, HEADER_SIZE);
    add_processors(&t, machine->cpu_count);
    if (machine->pci) {
        add_bus(&t, PCI_BUS, "PCI   ");
    }
    add_bus(&t, ISA_BUS, "ISA   ");
    u8 *e = add(&t, ENTRY_IOAPIC, 8);
    e[1] = machine->ioapic_id;
    e[2] = IOAPIC_VERSION;
    e[3] = 1; /* usable */
    put_u32(e + 4, machine->ioapic_base);
    add_interrupts(&t, machine);
    write_header(table, &t, machine);

    memset(floating, 0, FLOATING_SIZE);
    memcpy(floating, "_MP_", 4);
    put_u32(floating + 4, TABLE);
    floating[8] = 1; /* its size in paragraphs */
    floating[9] = 4; /* version 1.4 */
    floating[10] = checksum(floating, FLOATING_SIZE);
    return 0;
}
