/*
 * sensitive.c - the instructions for which x86 was called unvirtualizable: sensitive, but not
 * privileged, so that at CPL 3 of the host they do not trap and do something else.
 *
 * Each is used as a kernel would, and must do what it does in a kernel.  On the engine `trap`,
 * which runs it deprivileged, as theorem 1's VMM does, each goes wrong.  Robin and Irvine,
 * "Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor" (USENIX
 * Security 2000).
 */
#include "guest.h"

enum { TICKS_TIME = 20000000 };

static volatile unsigned ticks;

static void on_tick(struct frame *frame)
{
    (void)frame;
    ticks++;
    pic_eoi(0);
}

/* ------------------------------------------------------------------ registers that tell a place */

static void system_registers(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        word base;
    } gdtr = {0, 0}, idtr = {0, 0};
    u16 value = 0;
    word smsw = 0;

    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    check(gdtr.base == (word)gdt, "SGDT stores our GDTR");
    __asm__ volatile("sidt %0" : "=m"(idtr));
    check(idtr.base == (word)idt, "SIDT stores our IDTR");
    __asm__ volatile("str %0" : "=r"(value));
    check(value == MAIN_TSS, "STR stores our task register");
    __asm__ volatile("lldt %w0" ::"r"(0));
    value = 0xffff;
    __asm__ volatile("sldt %0" : "=r"(value));
    check(value == 0, "SLDT stores our LDTR");
    __asm__ volatile("smsw %0" : "=r"(smsw));
    check((u16)smsw == (u16)read_cr0(), "SMSW stores our CR0");
}

/* ------------------------------------------------------------------ flags */

static void flags(void)
{
    interrupts_off();
    check(!(read_flags() & 0x200), "PUSHF after CLI tells that interrupts are off");
    handlers[PIC_VECTOR] = on_tick;
    pic_start(1);
    pit_start(2, 1000);
    interrupts_on();
    __asm__ volatile("push %0; popf" ::"r"((word)2) : "memory", "cc");
    unsigned before = ticks;
    for (volatile unsigned i = 0; i < TICKS_TIME; i++) {}
    check(ticks == before, "POPF turns interrupts off");
    interrupts_off();
    pic_start(0);
}

/* ------------------------------------------------------------------ segments */

static void selectors(void)
{
    u16 value = 0;

    __asm__ volatile("mov %%cs, %0" : "=r"(value));
    check(value == KERNEL_CS, "MOV from CS tells our selector");
    __asm__ volatile("mov %%ss, %0" : "=r"(value));
    check(value == KERNEL_DS, "MOV from SS tells our selector");
#ifndef __x86_64__
    word pushed;
    __asm__ volatile("push %%cs; pop %0" : "=r"(pushed));
    check((u16)pushed == KERNEL_CS, "PUSH CS pushes our selector");
#endif
}

static void descriptors(void)
{
    u32 result = 0;
    bool ok = false;

    __asm__ volatile("lar %2, %0; setz %1" : "=r"(result), "=q"(ok) : "r"((u32)KERNEL_CS));
    check(ok, "LAR reads the rights of our code segment");
    __asm__ volatile("lsl %2, %0; setz %1" : "=r"(result), "=q"(ok) : "r"((u32)KERNEL_DS));
    check(ok && result == 0xffffffff, "LSL reads the limit of our data segment");
    __asm__ volatile("verr %w1; setz %0" : "=q"(ok) : "r"((u32)KERNEL_DS));
    check(ok, "VERR may read it");
    __asm__ volatile("verw %w1; setz %0" : "=q"(ok) : "r"((u32)KERNEL_DS));
    check(ok, "VERW may write it");
}

void guest_main(void)
{
    system_registers();
    flags();
    selectors();
    descriptors();
}
