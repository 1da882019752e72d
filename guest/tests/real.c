/*
 * real.c - real mode: from protected mode and back, INT through the vector table, unreal segments,
 * wrap-around of addresses, 16-bit arithmetic, and #UD in real mode.
 */
#include "guest.h"

enum { BASE = 0x8000 };

extern u8 real_start[], real_end[];
struct real_results {
    u16 ax, sum, ud, div, segment_top;
    u32 big, flags;
} real_results; /* below 1 MiB: copied there */

/*
 * real_start is copied to BASE, and so to segment 0.  Everything inside is addressed from there.
 */
__asm__(".code16\n"
        "real_start:\n"
        "  mov $0x58, %ax\n" /* DATA16_DS: limits of 64 KiB */
        "  mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov %ax, %fs; mov %ax, %gs\n"
        "  mov %cr0, %eax; and $~1, %al; mov %eax, %cr0\n"
        "  ljmp $0, $(1f - real_start + 0x8000)\n"
        "1: xor %ax, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov $0x7000, %sp\n"
        "  lidtl real_idt - real_start + 0x8000\n"
        /* INT through the table */
        "  movw $(2f - real_start + 0x8000), 0x60*4; movw $0, 0x60*4+2\n"
        "  movw $(3f - real_start + 0x8000), 6*4;    movw $0, 6*4+2\n"
        "  movw $(4f - real_start + 0x8000), 0*4;    movw $0, 0*4+2\n"
        "  mov $0x1200, %ax; int $0x60; mov %ax, 0x6000\n"
        /* 16-bit arithmetic, with addresses of 16 bits */
        "  mov $0x10, %bx; mov $0x6100, %si; movw $0x1111, (%bx,%si); addw $0x2222, 0x6110\n"
        "  mov 0x6110, %ax; mov %ax, 0x6002\n"
        "  ud2; mov %dx, 0x6004\n"
        "  xor %cx, %cx; div %cl; mov %dx, 0x6006\n"
        /* ffff:0010 is 1 MiB: A20 is on */
        "  mov $0xffff, %ax; mov %ax, %fs; movl $0x11223344, %fs:0x10; mov %fs:0x10, %eax\n"
        "  mov %eax, 0x600c\n"
        "  pushfl; popl 0x6010\n"
        /* and back */
        "  mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
        "  ljmpl $0x08, $real_back\n"
        "2: add $0x34, %ax; iret\n"
        "3: mov $0xd0d0, %dx; mov %sp, %bp; addw $2, (%bp); iret\n" /* past UD2 */
        "4: mov $0xd1d1, %dx; mov %sp, %bp; addw $2, (%bp); iret\n" /* past DIV: a fault */
        "real_idt: .word 0x3ff; .long 0\n"
        "real_end:\n"
        ".code32\n"
        "real_back:\n"
        "  mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
        "  mov %eax, %fs; mov %eax, %gs\n"
        "  mov real_esp, %esp; popa; ret\n"
        "go_real:\n"
        "  pusha; mov %esp, real_esp; ljmp $0x50, $0x8000\n" /* CODE16_CS */
        ".data\nreal_esp: .long 0\n.text\n");

void go_real(void);

static u16 word_at(word address)
{
    return *(volatile u16 *)address;
}

/* Keeps the compiler from knowing that an address is a constant near 0. */
static word hide(word value)
{
    __asm__("" : "+r"(value));
    return value;
}

void guest_main(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        u32 base;
    } table = {256 * 8 - 1, (word)idt};
    u8 *to = (u8 *)hide(BASE);

    for (u8 *p = real_start; p < real_end; p++) {
        *to++ = *p;
    }
    go_real();
    __asm__ volatile("lidt %0" ::"m"(table));
    check_is(word_at(hide(0x6000)), 0x1234, "INT through the vector table");
    check_is(word_at(hide(0x6002)), 0x3333, "16-bit addresses");
    check_is(word_at(hide(0x6004)), 0xd0d0, "#UD in real mode");
    check_is(word_at(hide(0x6006)), 0xd1d1, "#DE in real mode");
    check_is(*(volatile u32 *)hide(0x600c), 0x11223344, "above 1 MiB by a segment of ffff");
    check_is(*(volatile u32 *)hide(0x100000), 0x11223344, "  which is where it is");
    check_is(*(volatile u32 *)hide(0x6010) & 1u << 17, 0, "flags");
}
