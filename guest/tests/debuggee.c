/*
 * debuggee.c - a guest to be debugged: compiled with debugging information and without
 * optimization.
 *
 * It calls functions within functions, stores into a variable now and then, and repeats it all on
 * each of the rounds that the command line names.  With `spin` it first waits for a debugger that
 * sets `released`.
 */
#include "guest.h"

struct pair {
    u32 first;
    u64 second;
};

static volatile u32 counter;
static volatile u32 released;
static struct pair pairs[4];
static u8 copied[4096 * 2];

/* Its frames are what a backtrace shows. */
static u32 depth(u32 n)
{
    if (n == 0) {
        counter++; /* the innermost */
        return 1;
    }
    return 1 + depth(n - 1);
}

static void fill(void)
{
    for (u32 i = 0; i < 4; i++) {
        pairs[i].first = i;
        pairs[i].second = 0x1122334400000000ull + i;
    }
}

/* One instruction that stores a lot: REP STOSB. */
static void copy(u8 value)
{
    void *to = copied;
    word count = sizeof(copied);

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

/* Registers that a debugger finds out by their names. */
static void registers(void)
{
    word cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= 0x200; /* OSFXSR */
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    __asm__ volatile("fninit; fld1; fldpi; pcmpeqd %%xmm1, %%xmm1; pxor %%xmm2, %%xmm2" ::
                         : "memory");
    __asm__ volatile(".globl registers_are_set\nregisters_are_set: nop" : : "a"(0x1234), "b"(cr4));
}

static void spin(void)
{
    print("spinning\n");
    while (!released) {
        __asm__ volatile("pause");
    }
}

void guest_main(void)
{
    u64 rounds = option_number("rounds", 1);

    if (option("spin")) {
        spin();
    }
    registers();
    for (u64 i = 0; i < rounds; i++) {
        fill();
        copy((u8)(i + 1));
        check_is(depth(5), 6, "depth");
    }
    check_is(counter, rounds, "counter");
    check_is(copied[sizeof(copied) - 1], (u8)rounds, "copied");
}
