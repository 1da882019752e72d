/*
 * acpi.c - the ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, MADT, DSDT; MCFG where there is PCI.
 *
 * Source: ACPI specification 5.0, "ACPI Software Programming Model".
 * LIMIT: processors have no objects in the DSDT: the guest idles by HLT and sees no C or P states.
 */
#include <errno.h>
#include <string.h>

#include "boot/acpi.h"
#include "boot/acpi_pci.h"
#include "boot/aml.h"
#include "boot/bios.h"
#include "boot/job.h"

#define HEADER_SIZE 36
#define RSDP_SIZE   36
#define FADT_SIZE   268
#define FACS_SIZE   64

#define MCFG_BUS_BYTES (1u << 20)

#define XAPIC_CPUS 255 /* larger APIC ids need the x2APIC entries */

/* Offsets in the FADT, table "FADT Format". */
enum {
    FADT_FIRMWARE_CTRL = 36,
    FADT_DSDT = 40,
    FADT_SCI_INT = 46,
    FADT_PM1A_EVT_BLK = 56,
    FADT_PM1A_CNT_BLK = 64,
    FADT_PM_TMR_BLK = 76,
    FADT_GPE0_BLK = 80,
    FADT_PM1_EVT_LEN = 88,
    FADT_PM1_CNT_LEN = 89,
    FADT_PM_TMR_LEN = 91,
    FADT_GPE0_BLK_LEN = 92,
    FADT_P_LVL2_LAT = 96,
    FADT_P_LVL3_LAT = 98,
    FADT_CENTURY = 108,
    FADT_IAPC_BOOT_ARCH = 109,
    FADT_FLAGS = 112,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVT_BLK = 148,
    FADT_X_PM1A_CNT_BLK = 172,
    FADT_X_PM_TMR_BLK = 208,
    FADT_X_GPE0_BLK = 220,
};

#define BOOT_ARCH_LEGACY 0x01u
#define BOOT_ARCH_8042   0x02u
#define BOOT_ARCH_NO_VGA 0x04u

#define FADT_WBINVD        (1u << 0)
#define FADT_PROC_C1       (1u << 2)
#define FADT_SLP_BUTTON    (1u << 5) /* set: no fixed sleep button */
#define FADT_FIX_RTC       (1u << 6) /* set: RTC wake status is not in the fixed registers */
#define FADT_TMR_VAL_EXT   (1u << 8) /* the PM timer has 32 bits */
#define FADT_RESET_REG_SUP (1u << 10)

#define GAS_IO       1 /* address space of a generic address */
#define GAS_BYTE     1
#define GAS_WORD     2
#define GAS_DWORD    3
#define CMOS_CENTURY 0x32

/* Trigger and polarity in an interrupt override: level, active high. */
#define MADT_LEVEL_HIGH 0x0d

/* The tables under construction, from BIOS_TABLES upwards. */
struct tables {
    const struct boot_machine *machine;
    u8 *bytes;                        /* hva of BIOS_TABLES */
    u32 size;                         /* used so far */
    u32 dsdt, facs, fadt, rsdt, xsdt; /* gpa */
    u32 roots[3];                     /* what RSDT and XSDT list: FADT, MADT, MCFG */
    unsigned root_count;
};

static const u32 room = BIOS_TABLES_END - BIOS_TABLES;

static void set_checksum(u8 *table, u32 size, u32 at)
{
    u8 sum = 0;
    table[at] = 0;
    for (u32 i = 0; i < size; i++) {
        sum = (u8)(sum + table[i]);
    }
    table[at] = (u8)-sum;
}

/* A new zeroed piece of size bytes, at a multiple of 64: sets *gpa.  NULL if there is no room. */
static u8 *add(struct tables *t, u32 size, u32 *gpa)
{
    u32 at = (t->size + 63) & ~63u;
    if (at > room || size > room - at) {
        return NULL;
    }
    t->size = at + size;
    *gpa = BIOS_TABLES + at;
    memset(t->bytes + at, 0, size);
    return t->bytes + at;
}

static void finish(u8 *table, const char *signature, u8 revision, u32 size)
{
    memcpy(table, signature, 4);
    put_u32(table + 4, size);
    table[8] = revision;
    memcpy(table + 10, "RINGERRINGER  ", 14); /* OEMID, OEM Table ID */
    put_u32(table + 24, 1);
    memcpy(table + 28, "RNGR", 4);
    put_u32(table + 32, 1);
    set_checksum(table, size, 9);
}

/* Generic Address Structure for a block of ports; 12 bytes. */
static void put_gas(u8 *p, u16 port, u8 bits, u8 access)
{
    p[0] = GAS_IO;
    p[1] = bits;
    p[3] = access;
    put_u64(p + 4, port);
}

static void device(struct aml *a, const char *name, const char *id)
{
    aml_device(a, name);
    aml_name_eisa(a, "_HID", id);
}

static void write_serial_port(struct aml *a, unsigned index, u16 port)
{
    char name[] = {'C', 'O', 'M', (char)('1' + index), 0};
    device(a, name, "PNP0501");
    aml_name_integer(a, "_UID", index + 1);
    aml_name_integer(a, "_STA", 0xf);
    aml_resources(a);
    aml_io(a, port, 8);
    aml_irq(a, index ? 3 : 4);
    aml_resources_end(a);
    aml_close(a);
}

static void write_keyboard(struct aml *a, bool mouse)
{
    device(a, "KBD", "PNP0303");
    aml_resources(a);
    aml_io(a, 0x60, 1);
    aml_io(a, 0x64, 1);
    aml_irq(a, 1);
    aml_resources_end(a);
    aml_close(a);
    if (mouse) {
        device(a, "MOU", "PNP0F13");
        aml_resources(a);
        aml_irq(a, 12);
        aml_resources_end(a);
        aml_close(a);
    }
}

static void write_board(struct aml *a)
{
    device(a, "PIC", "PNP0000");
    aml_resources(a);
    aml_io(a, 0x20, 2);
    aml_io(a, 0xa0, 2);
    aml_io(a, 0x4d0, 2);
    aml_irq(a, 2);
    aml_resources_end(a);
    aml_close(a);

    device(a, "PIT", "PNP0100");
    aml_resources(a);
    aml_io(a, 0x40, 4);
    aml_irq(a, 0);
    aml_resources_end(a);
    aml_close(a);

    device(a, "SPKR", "PNP0800");
    aml_resources(a);
    aml_io(a, 0x61, 1);
    aml_resources_end(a);
    aml_close(a);

    device(a, "RTC", "PNP0B00");
    aml_resources(a);
    aml_io(a, 0x70, 2);
    aml_irq(a, 8);
    aml_resources_end(a);
    aml_close(a);
}

static bool write_dsdt(struct tables *t)
{
    u8 *table = add(t, HEADER_SIZE, &t->dsdt);
    if (!table) {
        return false;
    }
    struct aml a = {.bytes = table, .size = HEADER_SIZE};
    a.capacity = room - (t->dsdt - BIOS_TABLES);
    aml_name(&a, "\\_S5");
    aml_package(&a, 4);
    aml_integer(&a, t->machine->s5_type);
    aml_integer(&a, t->machine->s5_type);
    aml_integer(&a, 0);
    aml_integer(&a, 0);
    aml_close(&a);
    aml_scope(&a, "\\_SB");
    write_board(&a);
    for (unsigned i = 0; i < ARRAY_SIZE(t->machine->serial_ports); i++) {
        if (t->machine->serial_ports[i]) {
            write_serial_port(&a, i, t->machine->serial_ports[i]);
        }
    }
    if (t->machine->keyboard_controller) {
        write_keyboard(&a, t->machine->mouse);
    }
    if (t->machine->pci) {
        acpi_pci_write_devices(&a, t->machine);
    }
    aml_close(&a);
    if (t->machine->pci) {
        acpi_pci_write_mode(&a);
    }
    t->size = t->dsdt - BIOS_TABLES + a.size;
    finish(table, "DSDT", 2, a.size);
    return !a.overflow;
}

static bool write_facs(struct tables *t)
{
    u8 *facs = add(t, FACS_SIZE, &t->facs);
    if (!facs) {
        return false;
    }
    memcpy(facs, "FACS", 4);
    put_u32(facs + 4, FACS_SIZE);
    facs[32] = 2; /* version */
    return true;
}

static void write_fadt_ports(u8 *fadt, const struct boot_machine *m)
{
    put_u32(fadt + FADT_PM1A_EVT_BLK, m->pm1_event_port);
    put_u32(fadt + FADT_PM1A_CNT_BLK, m->pm1_control_port);
    put_u32(fadt + FADT_PM_TMR_BLK, m->pm_timer_port);
    fadt[FADT_PM1_EVT_LEN] = 4;
    fadt[FADT_PM1_CNT_LEN] = 2;
    fadt[FADT_PM_TMR_LEN] = 4;
    put_gas(fadt + FADT_X_PM1A_EVT_BLK, m->pm1_event_port, 32, GAS_WORD);
    put_gas(fadt + FADT_X_PM1A_CNT_BLK, m->pm1_control_port, 16, GAS_WORD);
    put_gas(fadt + FADT_X_PM_TMR_BLK, m->pm_timer_port, 32, GAS_DWORD);
    if (m->gpe0_port) {
        put_u32(fadt + FADT_GPE0_BLK, m->gpe0_port);
        fadt[FADT_GPE0_BLK_LEN] = m->gpe0_size;
        put_gas(fadt + FADT_X_GPE0_BLK, m->gpe0_port, (u8)(m->gpe0_size * 8), GAS_BYTE);
    }
    put_gas(fadt + FADT_RESET_REG, m->reset_port, 8, GAS_BYTE);
    fadt[FADT_RESET_VALUE] = m->reset_value;
}

static bool write_fadt(struct tables *t)
{
    const struct boot_machine *m = t->machine;
    u8 *fadt = add(t, FADT_SIZE, &t->fadt);
    if (!fadt) {
        return false;
    }
    put_u32(fadt + FADT_FIRMWARE_CTRL, t->facs);
    put_u32(fadt + FADT_DSDT, t->dsdt);
    put_u64(fadt + FADT_X_DSDT, t->dsdt);
    /* SMI_CMD stays 0: the machine is always in ACPI mode. */
    put_u16(fadt + FADT_SCI_INT, m->sci_irq);
    put_u16(fadt + FADT_P_LVL2_LAT, 0xfff); /* no C2 and no C3 */
    put_u16(fadt + FADT_P_LVL3_LAT, 0xfff);
    fadt[FADT_CENTURY] = CMOS_CENTURY;
    put_u16(fadt + FADT_IAPC_BOOT_ARCH, (u16)(BOOT_ARCH_LEGACY | (m->vga ? 0 : BOOT_ARCH_NO_VGA) |
                                              (m->keyboard_controller ? BOOT_ARCH_8042 : 0)));
    put_u32(fadt + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC |
                                   FADT_RESET_REG_SUP | (m->pm_timer_32bit ? FADT_TMR_VAL_EXT : 0));
    write_fadt_ports(fadt, m);
    finish(fadt, "FACP", 5, FADT_SIZE);
    t->roots[t->root_count++] = t->fadt;
    return true;
}

/* One entry of the MADT, with its type and length; the rest is zero. */
static u8 *madt_entry(u8 **p, u8 type, u8 length)
{
    u8 *entry = *p;
    entry[0] = type;
    entry[1] = length;
    *p += length;
    return entry;
}

static void madt_override(u8 **p, u8 irq, u32 gsi, u16 flags)
{
    u8 *e = madt_entry(p, 2, 10);
    e[3] = irq;
    put_u32(e + 4, gsi);
    put_u16(e + 8, flags);
}

static void madt_cpus(u8 **p, unsigned cpu_count)
{
    for (unsigned id = 0; id < cpu_count; id++) {
        if (id < XAPIC_CPUS) {
            u8 *e = madt_entry(p, 0, 8);
            e[2] = (u8)id; /* ACPI processor UID */
            e[3] = (u8)id;
            put_u32(e + 4, 1); /* enabled */
        } else {
            u8 *e = madt_entry(p, 9, 16);
            put_u32(e + 4, id);
            put_u32(e + 8, 1);
            put_u32(e + 12, id);
        }
    }
}

static bool write_madt(struct tables *t)
{
    const struct boot_machine *m = t->machine;
    u32 small = m->cpu_count < XAPIC_CPUS ? m->cpu_count : XAPIC_CPUS;
    u32 large = m->cpu_count - small;
    if (large > room / 16) {
        return false;
    }
    u32 size = HEADER_SIZE + 8 + small * 8 + large * 16 + 12 + 2 * 10 + 6 + (large ? 12 : 0);
    u32 gpa;
    u8 *madt = add(t, size, &gpa), *p = madt + HEADER_SIZE + 8;
    if (!madt) {
        return false;
    }
    put_u32(madt + HEADER_SIZE, m->lapic_base);
    put_u32(madt + HEADER_SIZE + 4, 1); /* PCAT_COMPAT: there are 8259s too */
    madt_cpus(&p, m->cpu_count);
    u8 *e = madt_entry(&p, 1, 12);
    e[2] = m->ioapic_id;
    put_u32(e + 4, m->ioapic_base);
    madt_override(&p, 0, 2, 0);
    madt_override(&p, m->sci_irq, m->sci_irq, MADT_LEVEL_HIGH);
    e = madt_entry(&p, 4, 6); /* NMI at LINT1 of every CPU */
    e[2] = 0xff;
    e[5] = 1;
    if (large) {
        e = madt_entry(&p, 10, 12);
        put_u32(e + 4, 0xffffffff);
        e[8] = 1;
    }
    finish(madt, "APIC", 3, size);
    t->roots[t->root_count++] = gpa;
    return true;
}

/* Where PCI configuration space is in memory; true, and no table, where there is no PCI. */
static bool write_mcfg(struct tables *t)
{
    u32 gpa, size = HEADER_SIZE + 8 + 16;
    u8 *mcfg = t->machine->pci ? add(t, size, &gpa) : NULL;
    if (!mcfg) {
        return !t->machine->pci;
    }
    put_u64(mcfg + HEADER_SIZE + 8, MEM_ECAM_START);
    mcfg[HEADER_SIZE + 8 + 11] = (MEM_ECAM_END - MEM_ECAM_START) / MCFG_BUS_BYTES - 1; /* last */
    finish(mcfg, "MCFG", 1, size);
    t->roots[t->root_count++] = gpa;
    return true;
}

static bool write_roots(struct tables *t)
{
    u32 rsdt_size = HEADER_SIZE + t->root_count * 4, xsdt_size = HEADER_SIZE + t->root_count * 8;
    u8 *rsdt = add(t, rsdt_size, &t->rsdt);
    u8 *xsdt = add(t, xsdt_size, &t->xsdt);
    if (!rsdt || !xsdt) {
        return false;
    }
    for (unsigned i = 0; i < t->root_count; i++) {
        put_u32(rsdt + HEADER_SIZE + 4 * i, t->roots[i]);
        put_u64(xsdt + HEADER_SIZE + 8 * i, t->roots[i]);
    }
    finish(rsdt, "RSDT", 1, rsdt_size);
    finish(xsdt, "XSDT", 1, xsdt_size);
    return true;
}

static void write_rsdp(u8 *rsdp, const struct tables *t)
{
    memset(rsdp, 0, RSDP_SIZE);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "RINGER", 6);
    rsdp[15] = 2; /* revision */
    put_u32(rsdp + 16, t->rsdt);
    put_u32(rsdp + 20, RSDP_SIZE);
    put_u64(rsdp + 24, t->xsdt);
    set_checksum(rsdp, 20, 8);
    set_checksum(rsdp, RSDP_SIZE, 32);
}

int acpi_write(const struct boot_machine *machine, const struct mem *mem, gpa_t *rsdp,
               struct boot_error *error)
{
    struct tables t = {.machine = machine, .bytes = mem_range(mem, BIOS_TABLES, room)};
    u8 *root = mem_range(mem, BIOS_RSDP, RSDP_SIZE);
    if (!t.bytes || !root) {
        return boot_fail(error, "memory", "needs at least 1 MiB");
    }
    if (!write_dsdt(&t) || !write_facs(&t) || !write_fadt(&t) || !write_madt(&t) ||
        !write_mcfg(&t) || !write_roots(&t)) {
        return boot_fail(error, "ACPI tables", "no room for %u CPUs", machine->cpu_count);
    }
    write_rsdp(root, &t);
    *rsdp = BIOS_RSDP;
    return 0;
}
