/* smc.c - code that changes: its own next bytes, another page's, through an alias, by REP MOVS. */
#include "guest.h"

static u8 code[8192] __attribute__((aligned(4096)));

typedef u32 function(void);

static u32 call(void *at)
{
    return ((function *)(word)at)();
}

/* mov $value, %eax; ret */
static void write_code(u8 *at, u32 value)
{
    at[0] = 0xb8;
    *(u32 *)(at + 1) = value;
    at[5] = 0xc3;
}

extern u8 patch[];

void guest_main(void)
{
    bool good = true;
    u32 result;

    for (u32 i = 0; i < 1000; i++) {
        write_code(code, i);
        good &= call(code) == i;
    }
    check(good, "a function written anew 1000 times");
    for (u32 i = 0; i < 100; i++) { /* across the border of pages */
        write_code(code + 4093, i);
        good &= call(code + 4093) == i;
    }
    check(good, "across two pages");
    write_code(code + 4093, 1);
    call(code + 4093);
    code[4096] = 0x55;
    check_is(call(code + 4093), 0x550001, "only its second page is written");

    for (u32 i = 0; i < 50; i++) {
        u8 image[16];
        void *to = code, *from = image;
        word size = sizeof(image);
        write_code(image, i * 3);
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
        good &= call(code) == i * 3;
    }
    check(good, "by REP MOVSB");

    /* The very next instruction. */
    __asm__ volatile("movl $0x12345678, patch + 1\n"
                     "patch: mov $0, %%eax\n"
                     : "=a"(result)::"memory");
    check_is(result, 0x12345678, "the next instruction");

    /* A loop that patches itself while it runs. */
    __asm__ volatile("xor %%eax, %%eax; mov $10, %%ecx\n"
                     "1: .byte 0x05; 2: .long 1\n" /* add $1, %eax */
                     "incl 2b(%%rip)\n"
                     "dec %%ecx; jnz 1b"
                     : "=a"(result)::"ecx", "memory", "cc");
    check_is(result, 55, "a loop that changes its own operand");

    /* By a locked instruction and by a bit instruction. */
    write_code(code, 7);
    call(code);
    __asm__ volatile("lock addl $1, %0" : "+m"(*(u32 *)(code + 1)));
    check_is(call(code), 8, "by a locked ADD");
    __asm__ volatile("btsl $4, %0" : "+m"(*(u32 *)(code + 1)));
    check_is(call(code), 24, "by BTS");
    __asm__ volatile("push %1; pop %0" : "=m"(*(u64 *)(code + 1)) : "r"(0xc300000009ull));
    check_is(call(code), 9, "by POP");
    __asm__ volatile("fninit; fildl %1; fistpl %0" : "=m"(*(u32 *)(code + 1)) : "m"((u32){11}));
    check_is(call(code), 11, "by FISTP");
}
