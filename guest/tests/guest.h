/*
 * guest.h - what a test guest has: text on COM1, an end with a status, a table of interrupt
 * handlers, and a way to do something that faults.
 *
 * A guest is one C file with guest_main(), linked with guest.c and, by its width, start64.S (long
 * mode, the first 4 GiB mapped to themselves) or start32.S (protected mode, flat, no paging).  It
 * runs at CPL 0 with interrupts off.  The end of guest_main() ends the guest.  It is loaded by the
 * PVH protocol, so that not only Ringer can run it: see docs/test-guests.md.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include "base/types.h"

typedef uintptr_t word;

/* Written to the debug exit: Ringer's status is twice that plus 1. */
enum { EXIT_GOOD = 0x10, EXIT_BAD = 0x11, EXIT_UNEXPECTED = 0x12 };

/* Selectors, the same in both widths where they can be.  SYSCALL's and SYSEXIT's rules fix their
 * order. */
enum {
    KERNEL_CS = 0x08,
    KERNEL_DS = 0x10,
    USER_CS32 = 0x18 | 3,
    USER_DS = 0x20 | 3,
    USER_CS64 = 0x28 | 3,
    USER_DS64 = 0x30 | 3,
    MAIN_TSS = 0x38, /* two entries in long mode */
    CODE32_CS = 0x48,
    CODE16_CS = 0x50,
    DATA16_DS = 0x58,
    FREE_SELECTOR = 0x60, /* from here on the guest's own */
    GDT_ENTRIES = 32,
};

extern u64 gdt[GDT_ENTRIES];

/* What an interrupt pushed, and the registers. */
struct frame {
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
    word es, ds, di, si, bp, kernel_sp, bx, dx, cx, ax;
#endif
    word vector, error;
    word ip, cs, flags, sp, ss; /* in 32 bits sp and ss only if the privilege changed */
#ifndef __x86_64__
    word v86_es, v86_ds, v86_fs, v86_gs;
#endif
};

enum {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_XM = 19,
    NO_FAULT = 0x100,
};

void guest_main(void);

/* %s string, %u unsigned, %x unsigned in hexadecimal, %l a u64 likewise. */
void print(const char *fmt, ...);
_Noreturn void guest_exit(u32 code);

/* Tell of a thing that has to be so; one that is not makes guest_main()'s end a bad one. */
void check(bool good, const char *what);
void check_is(u64 value, u64 expected, const char *what);
/* One of thousands: is told only if it is bad, and then by print()'s format. */
void check_case(bool good, const char *fmt, ...);

/* The command line, "" if there is none, and whether it has that word; the number after "name=". */
extern const char *command_line;
bool option(const char *name);
u64 option_number(const char *name, u64 otherwise);
bool same(const char *a, const char *b);

/* The handler of a vector; NULL: it is unexpected, and ends the guest. */
typedef void handler(struct frame *frame);
extern handler *handlers[256];

/* Of the last attempt. */
struct fault {
    u32 vector; /* NO_FAULT: there was none */
    u32 error;
    word ip, cr2, flags;
};
extern struct fault fault;

/* Calls what(argument); an exception without a handler ends it.  Returns its vector or NO_FAULT. */
u32 attempt(void (*what)(word argument), word argument);
void check_fault(void (*what)(word), word argument, u32 vector, u32 error, const char *name);

/* Runs what(argument) at CPL 3 on a stack of its own, until user_end() or an exception.  With other
 * segments in user_cs and user_ss at other privilege; those of the 32-bit library are loaded into
 * DS and ES, too. */
u32 attempt_user(void (*what)(word argument), word argument);
extern word user_cs, user_ss;
void user_end(void);

/* A descriptor: attributes are type, S, DPL, P and in bits 12 to 15 AVL, L, D/B, G. */
void set_descriptor(unsigned selector, u32 base, u32 limit, u16 attributes);
void set_gate(unsigned vector, word target, u16 selector, u8 attributes, u8 ist);

/* Long mode: let CPL 3 use the first 4 GiB, too. */
void open_pages_to_user(void);

/* The TSS that the machine starts with. */
extern u8 main_tss[104];
/* ---- from start64.S and start32.S */
extern u8 interrupt_stubs[]; /* 16 bytes each */
extern u64 idt[512];
extern word attempt_stack;
extern bool attempt_without_flags; /* long mode: attempts execute no PUSHF and POPF */
extern u8 user_stack_end[], kernel_stack_end[];
bool attempt_call(void (*what)(word), word argument);
bool attempt_user_call(void (*what)(word), word argument);
_Noreturn void attempt_recover(void);

/* ---- instructions */
static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outw(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outl(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u16 inw(u16 port)
{
    u16 v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u64 rdmsr(u32 index)
{
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (u64)high << 32 | low;
}
static inline void wrmsr(u32 index, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 rdtsc(void)
{
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}
static inline void cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}
static inline word read_flags(void)
{
    word v;
    __asm__ volatile("pushf; pop %0" : "=r"(v));
    return v;
}
#define DEFINE_CONTROL_REGISTER(name)                                \
    static inline word read_##name(void)                             \
    {                                                                \
        word v;                                                      \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(v)::"memory"); \
        return v;                                                    \
    }                                                                \
    static inline void write_##name(word v)                          \
    {                                                                \
        __asm__ volatile("mov %0, %%" #name ::"r"(v) : "memory");    \
    }
DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
DEFINE_CONTROL_REGISTER(dr0)
DEFINE_CONTROL_REGISTER(dr1)
DEFINE_CONTROL_REGISTER(dr6)
DEFINE_CONTROL_REGISTER(dr7)

static inline void interrupts_on(void)
{
    __asm__ volatile("sti" ::: "memory");
}
static inline void interrupts_off(void)
{
    __asm__ volatile("cli" ::: "memory");
}
/* Nothing is missed between STI and HLT. */
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* ---- the chips: devices.c */
enum { PIC_VECTOR = 0x20, LAPIC_BASE = 0xfee00000u, IOAPIC_ADDRESS = 0xfec00000u };

void pic_start(u16 unmasked); /* vectors PIC_VECTOR to PIC_VECTOR + 15 */
void pic_eoi(unsigned irq);
void pit_start(unsigned mode, u16 count); /* channel 0 */
u32 lapic_read(u32 offset);
void lapic_write(u32 offset, u32 value);
void lapic_start(void);
void ioapic_write(u32 index, u32 value);
u32 ioapic_read(u32 index);
void ioapic_route(unsigned pin, u32 low, u32 destination);
u64 tsc_hz(void); /* by CPUID where that tells: a busy host would spoil a measurement */

#endif
