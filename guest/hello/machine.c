/*
 * machine.c - what the guest asks of its board: the ACPI tables, the time, and to be switched off.
 *
 * Sources: ACPI specification, "ACPI Software Programming Model"; Intel 8254 data sheet.
 */
#include "base/string.h"
#include "hello.h"

#define ACPI_HEADER_SIZE 36
#define TABLE_SIZE_MAX   0x100000u

/* Where in the FADT and in the MADT. */
enum {
    FADT_DSDT = 40,
    FADT_PM1A_CNT_BLK = 64,
    MADT_LAPIC = 36,
    MADT_ENTRIES = 44,
};

static u32 get_u32(const u8 *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
}

static const u8 *pointer(u64 address)
{
    return (const u8 *)(uintptr_t)address;
}

static u32 table_size(const u8 *table)
{
    u32 size = get_u32(table + 4);
    return size < TABLE_SIZE_MAX ? size : TABLE_SIZE_MAX;
}

/* The power-off's SLP_TYP, from the package that follows the name _S5_ in the DSDT's AML. */
static int find_s5(const u8 *dsdt)
{
    u32 size = table_size(dsdt);
    for (u32 i = ACPI_HEADER_SIZE; i + 16 < size; i++) {
        if (memcmp(dsdt + i, "_S5_\x12", 5) != 0) {
            continue;
        }
        u32 at = i + 5;
        at += 1 + (dsdt[at] >> 6); /* PkgLength */
        at += 1;                   /* number of elements */
        return dsdt[at] == 0x0a ? dsdt[at + 1] : dsdt[at] <= 1 ? dsdt[at] : -1;
    }
    return -1;
}

static void read_madt(struct acpi_facts *facts, const u8 *madt)
{
    u32 size = table_size(madt);
    facts->lapic_base = get_u32(madt + MADT_LAPIC);
    for (u32 at = MADT_ENTRIES; at + 8 <= size && madt[at + 1] >= 2; at += madt[at + 1]) {
        const u8 *entry = madt + at;
        bool xapic = entry[0] == 0, x2apic = entry[0] == 9;
        if ((xapic && entry[4] & 1) || (x2apic && entry[8] & 1)) {
            facts->cpu_count++;
        } else if (entry[0] == 1) {
            facts->ioapic_base = get_u32(entry + 4);
        }
    }
}

struct acpi_facts acpi_read(u64 rsdp)
{
    struct acpi_facts facts = {.s5_type = -1};
    if (!rsdp || memcmp(pointer(rsdp), "RSD PTR ", 8) != 0) {
        return facts;
    }
    const u8 *rsdt = pointer(get_u32(pointer(rsdp) + 16));
    u32 size = table_size(rsdt);
    facts.found = true;
    for (u32 at = ACPI_HEADER_SIZE; at + 4 <= size; at += 4) {
        const u8 *table = pointer(get_u32(rsdt + at));
        if (!memcmp(table, "APIC", 4)) {
            read_madt(&facts, table);
        } else if (!memcmp(table, "FACP", 4)) {
            facts.pm1_control_port = (u16)get_u32(table + FADT_PM1A_CNT_BLK);
            facts.s5_type = find_s5(pointer(get_u32(table + FADT_DSDT)));
        }
    }
    return facts;
}

#define PIT_HZ       1193182u
#define PIT_CHANNEL2 0x42
#define PIT_MODE     0x43
#define PORT_B       0x61   /* bit 0: channel 2's gate; 1: speaker; 5: channel 2's output */
#define TICKS        23864u /* 20 ms */
#define POLLS_MAX    10000000u

u64 tsc_hz(void)
{
    u8 saved = inb(PORT_B) & 0x0f;
    outb(PORT_B, (u8)((saved & ~2u) | 1)); /* gate open, speaker off */
    outb(PIT_MODE, 0xb0);                  /* channel 2, both bytes, mode 0, binary */
    outb(PIT_CHANNEL2, (u8)TICKS);
    outb(PIT_CHANNEL2, (u8)(TICKS >> 8));
    u64 start = rdtsc();
    u32 polls = 0;
    while (!(inb(PORT_B) & 0x20) && polls < POLLS_MAX) {
        polls++;
    }
    u64 cycles = rdtsc() - start;
    outb(PORT_B, saved);
    return polls && polls < POLLS_MAX ? cycles * PIT_HZ / TICKS : 0;
}

void power_off(const struct acpi_facts *acpi)
{
    if (acpi->s5_type >= 0 && acpi->pm1_control_port) {
        outw(acpi->pm1_control_port, (u16)(acpi->s5_type << 10 | 1 << 13)); /* SLP_TYP, SLP_EN */
    }
    outb(0xf4, 0); /* isa-debug-exit, if there is one */
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
