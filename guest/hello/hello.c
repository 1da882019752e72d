/*
 * hello.c - the guest that runs when Ringer was given no kernel: it says hello, and what it found
 * of its machine, on the serial port; then it powers off.
 *
 * It has no operating system below it: all that it knows comes from CPUID, from the start info that
 * its loader left in memory, and from the ACPI tables.
 */
#include "hello.h"
#include "base/string.h"

#define MSR_APIC_BASE 0x1b
#define APIC_VERSION  0x30
#define MEMORY_RAM    1
#define MAP_MAX       32

static void put_word(char *text, u32 word)
{
    memcpy(text, &word, 4);
}

/* The processor's features as the level of the x86-64 psABI that they make up. */
static unsigned feature_level(void)
{
    u32 max = cpuid(0, 0).eax;
    struct cpuid one = cpuid(1, 0), ext = cpuid(0x80000001, 0), seven = {0};
    if (max >= 7) {
        seven = cpuid(7, 0);
    }
    /* SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF */
    const u32 v2 = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
    /* FMA, MOVBE, XSAVE, AVX, F16C; LZCNT; BMI1, AVX2, BMI2 */
    const u32 v3 = 1u << 12 | 1u << 22 | 1u << 26 | 1u << 28 | 1u << 29;
    const u32 v3_seven = 1u << 3 | 1u << 5 | 1u << 8;
    /* AVX512F, DQ, CD, BW, VL */
    const u32 v4_seven = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    if ((one.ecx & v2) != v2 || !(ext.ecx & 1)) {
        return 1;
    }
    if ((one.ecx & v3) != v3 || !(ext.ecx & 1u << 5) || (seven.ebx & v3_seven) != v3_seven) {
        return 2;
    }
    return (seven.ebx & v4_seven) == v4_seven ? 4 : 3;
}

static void show_processor(void)
{
    char vendor[13] = "", brand[49] = "";
    struct cpuid zero = cpuid(0, 0), one = cpuid(1, 0);
    put_word(vendor, zero.ebx);
    put_word(vendor + 4, zero.edx);
    put_word(vendor + 8, zero.ecx);
    for (u32 i = 0; i < 3 && cpuid(0x80000000, 0).eax >= 0x80000004; i++) {
        struct cpuid c = cpuid(0x80000002 + i, 0);
        put_word(brand + i * 16, c.eax);
        put_word(brand + i * 16 + 4, c.ebx);
        put_word(brand + i * 16 + 8, c.ecx);
        put_word(brand + i * 16 + 12, c.edx);
    }
    const char *name = brand;
    while (*name == ' ') {
        name++;
    }
    u32 family = one.eax >> 8 & 0xf, model = one.eax >> 4 & 0xf;
    if (family == 6 || family == 15) {
        model |= one.eax >> 12 & 0xf0;
    }
    family += family == 15 ? one.eax >> 20 & 0xff : 0;
    print("  processor    %s\n", *name ? name : "(without a name)");
    print("               by %s, family %u, model %u, stepping %u\n", vendor, family, model,
          one.eax & 0xf);
    print("               instruction set: x86-64-v%u\n", feature_level());
}

static void show_hypervisor(void)
{
    char signature[13] = "";
    unsigned shown = 0;
    if (!(cpuid(1, 0).ecx & 1u << 31)) {
        print("  hypervisor   none that shows itself\n");
        return;
    }
    /* Interfaces come one after the other, 0x100 leaves apart. */
    for (u32 leaf = 0x40000000; leaf < 0x40000400; leaf += 0x100) {
        struct cpuid c = cpuid(leaf, 0);
        put_word(signature, c.ebx);
        put_word(signature + 4, c.ecx);
        put_word(signature + 8, c.edx);
        if (c.eax < leaf || c.eax > leaf + 0xff || !*signature) {
            break;
        }
        print("%s%s", shown++ ? ", " : "  hypervisor   ", signature);
    }
    print("%s", shown ? "\n" : "  hypervisor   there is one, without a signature\n");
}

static void show_memory(const struct start_info *info)
{
    const struct start_memory *map = (const void *)(uintptr_t)info->memory_map;
    unsigned count = info->memory_map_count < MAP_MAX ? info->memory_map_count : MAP_MAX;
    u64 total = 0;
    for (unsigned i = 0; i < count; i++) {
        total += map[i].type == MEMORY_RAM ? map[i].size : 0;
    }
    /* The holes below 1 MiB are less than one. */
    print("  memory       %llu MiB\n", (unsigned long long)((total + 0xfffff) >> 20));
    for (unsigned i = 0; i < count; i++) {
        print("               %012llx to %012llx  %9llu KiB  %s\n",
              (unsigned long long)map[i].start,
              (unsigned long long)(map[i].start + map[i].size - 1),
              (unsigned long long)(map[i].size >> 10),
              map[i].type == MEMORY_RAM ? "RAM" : "reserved");
    }
}

static void show_interrupts(const struct acpi_facts *acpi)
{
    u64 base = rdmsr(MSR_APIC_BASE);
    u32 address = (u32)base & 0xfffff000;
    u32 version = *(volatile u32 *)(uintptr_t)(address + APIC_VERSION);
    print("  CPUs         %u\n", acpi->cpu_count);
    print("  interrupts   local APIC at %08x, version %02x, %s%s\n", address, version & 0xff,
          base & 1u << 11 ? "on" : "off", cpuid(1, 0).ecx & 1u << 21 ? "; x2APIC, too" : "");
    if (acpi->ioapic_base) {
        volatile u32 *ioapic = (volatile u32 *)(uintptr_t)acpi->ioapic_base;
        ioapic[0] = 1; /* the version register, with the number of the last pin */
        print("               I/O APIC at %08x, %u pins\n", acpi->ioapic_base,
              (ioapic[4] >> 16 & 0xff) + 1);
    }
}

static void show_time(void)
{
    u64 khz = tsc_hz() / 1000;
    if (khz) {
        print("  time         the cycle counter runs at %llu.%03llu MHz by the interval timer\n",
              (unsigned long long)(khz / 1000), (unsigned long long)(khz % 1000));
    } else {
        print("  time         the interval timer does not run\n");
    }
}

/* From start.S: the start info, and whether the loader had entered long mode already. */
void hello_main(const struct start_info *info, bool in_long_mode);

void hello_main(const struct start_info *info, bool in_long_mode)
{
    struct acpi_facts acpi = acpi_read(info->rsdp);
    const char *line = (const char *)(uintptr_t)info->command_line;
    console_start();
    print("\n  Hello from inside a virtual machine!\n\n"
          "  It was given no kernel, so this small program runs on it instead, on the bare\n"
          "  machine, and tells what it found there.\n\n");
    show_processor();
    show_hypervisor();
    show_memory(info);
    if (acpi.found) {
        show_interrupts(&acpi);
    } else {
        print("  CPUs         there are no ACPI tables that would say\n");
    }
    show_time();
    print("  started      %s\n",
          in_long_mode ? "as an ELF file, in 64-bit mode" : "by the PVH protocol, in 32-bit mode");
    if (line && *line) {
        print("  told         %.160s\n", line);
    }
    print("\n  To run a kernel of yours: ringer run --kernel FILE.  Now it powers off.\n\n");
    power_off(&acpi);
}
