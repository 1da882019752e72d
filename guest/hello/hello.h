/* hello.h - what the parts of the built-in guest give each other. */
#ifndef HELLO_HELLO_H
#define HELLO_HELLO_H

#include "base/types.h"

/* The PVH protocol's start info, and its memory map. */
struct start_info {
    u32 magic, version, flags, module_count;
    u64 modules, command_line, rsdp, memory_map;
    u32 memory_map_count, reserved;
};

struct start_memory {
    u64 start, size;
    u32 type, reserved;
};

/* What the ACPI tables say. */
struct acpi_facts {
    bool found;
    unsigned cpu_count;
    u32 lapic_base, ioapic_base;
    u16 pm1_control_port;
    int s5_type; /* -1: not found */
};

/* console.c */
void console_start(void);
void print(const char *fmt, ...) __attribute__((__format__(__printf__, 1, 2)));

/* machine.c */
struct acpi_facts acpi_read(u64 rsdp);
u64 tsc_hz(void); /* measured by the PIT; 0 if the PIT does not run */
void power_off(const struct acpi_facts *acpi) __attribute__((__noreturn__));

/* Instructions. */
struct cpuid {
    u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid c;
    __asm__ volatile("cpuid"
                     : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
                     : "a"(leaf), "c"(subleaf));
    return c;
}

static inline u64 rdmsr(u32 msr)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (u64)high << 32 | low;
}

static inline u64 rdtsc(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

#endif
