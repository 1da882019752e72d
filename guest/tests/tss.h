/* tss.h - 32-bit tasks, for the guests that switch between them.  Intel SDM vol. 3A, "32-Bit
 * Task-State Segment (TSS)". */
#ifndef TESTS_GUEST_TSS_H
#define TESTS_GUEST_TSS_H

#include "guest.h"

struct tss {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
    u32 es, cs, ss, ds, fs, gs, ldt;
    u16 trap, iomap;
};

static inline bool is_busy(unsigned selector)
{
    return gdt[selector / 8] >> 41 & 1;
}

static inline u16 task_register(void)
{
    u16 v;
    __asm__ volatile("str %0" : "=r"(v));
    return v;
}

#endif
