/* second.c - starting a second CPU: second.h. */
#include "second.h"

enum { ICR = 0x300, ICR_HIGH = 0x310, INIT = 0x4500, TRAMPOLINE = 0x90000 };
enum { START_UP = 0x4600 | TRAMPOLINE >> 12 };

extern u8 second_code[], second_end[], second_table[], second_stack_end[];
void (*second_main)(void);
__asm__(".code16\n"
        "second_code:\n"
        "  cli; mov %cs, %ax; mov %ax, %ds\n"
        "  lgdtl second_gdtr - second_code\n"
        "  mov $0x20, %eax; mov %eax, %cr4\n"
        "  mov second_table - second_code, %eax; mov %eax, %cr3\n"
        "  mov $0xc0000080, %ecx; rdmsr; or $0x900, %eax; wrmsr\n"
        "  mov $0x80000011, %eax; mov %eax, %cr0\n"
        "  ljmpl $8, $second_long\n"
        "second_table: .long 0\n"
        "second_gdtr: .word 23; .long second_gdt - second_code + 0x90000\n"
        "second_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff\n"
        "second_end:\n"
        ".code64\n"
        "second_long:\n"
        "  mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
        "  mov $second_stack_end, %rsp; call *second_main(%rip); 1: cli; hlt; jmp 1b\n"
        ".bss; .balign 16; .skip 8192; second_stack_end: .text\n");

void second_start(void (*what)(void))
{
    word at = TRAMPOLINE;

    __asm__("" : "+r"(at));
    for (u8 *p = second_code; p < second_end; p++) {
        ((u8 *)at)[p - second_code] = *p;
    }
    *(u32 *)(at + (word)(second_table - second_code)) = (u32)read_cr3();
    second_main = what;
    lapic_start();
    lapic_write(ICR_HIGH, 1u << 24);
    lapic_write(ICR, INIT);
    lapic_write(ICR_HIGH, 1u << 24);
    lapic_write(ICR, START_UP);
}

bool second_wait(const volatile u32 *what, u32 value, u64 seconds)
{
    u64 until = rdtsc() + seconds * tsc_hz();

    while (*what != value && rdtsc() < until) {
        __asm__ volatile("pause");
    }
    return *what == value;
}
