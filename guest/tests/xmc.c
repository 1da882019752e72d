/*
 * xmc.c - code that changes under other names and by other CPUs: through another linear address, by
 * a page table that shows another page, by stores of all kinds; and on a second CPU, with the
 * manual's protocol and without.
 *
 * Intel SDM vol. 3A, "Handling Self- and Cross-Modifying Code".  It needs two CPUs.
 */
#include "second.h"

enum { P = 1, W = 2, ROUNDS = 5000 };
#define WINDOW (1ull << 39) /* of PML4 entry 1 */

typedef u32 function(void);

static u8 code[2][4096] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 directory[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));

static u32 call(word at)
{
    return ((function *)at)();
}

/* mov $value, %eax; ret.  The value is aligned. */
static void write_code(u8 *at, u32 value)
{
    at[3] = 0xb8;
    *(volatile u32 *)(at + 4) = value;
    at[8] = 0xc3;
}
#define ENTRY 3

/* ------------------------------------------------------------------ on one CPU */

static void map_window(void)
{
    u64 *pml4 = (u64 *)(read_cr3() & ~0xfffull);

    pml4[1] = (word)pdpt | P | W;
    pdpt[0] = (word)directory | P | W;
    directory[0] = (word)table | P | W;
    table[0] = table[1] = (word)code[0] | P | W;
    write_cr3(read_cr3());
}

static void check_aliases(void)
{
    bool good = true;

    for (u32 i = 0; i < 1000; i++) {
        write_code((u8 *)(i & 1 ? WINDOW : WINDOW + 4096), i);
        good &= call(WINDOW + (i & 2 ? 4096 : 0) + ENTRY) == i;
        good &= call((word)code[0] + ENTRY) == i;
    }
    check(good, "code written through another address");
    for (u32 i = 0; i < 1000; i++) {
        write_code(code[0], 1);
        write_code(code[1], 2);
        table[0] = (word)code[i & 1] | P | W;
        __asm__ volatile("invlpg (%0)" ::"r"(WINDOW) : "memory");
        good &= call(WINDOW + ENTRY) == (i & 1) + 1;
    }
    check(good, "another page at the same address");
    table[0] = (word)code[0] | P | W;
    __asm__ volatile("invlpg (%0)" ::"r"(WINDOW) : "memory");
}

/* Stores of all kinds into the operand of the code that runs next. */
#define STORE(name, ...)                                                \
    static void name(word at, word value)                               \
    {                                                                   \
        __asm__ volatile(__VA_ARGS__ ::"D"(at), "a"(value)              \
                         : "rcx", "rdx", "rbx", "rsi", "memory", "cc"); \
    }
STORE(by_mov, "mov %%eax, (%%rdi)")
STORE(by_bytes, "mov %%al, (%%rdi); mov %%ah, 1(%%rdi)")
STORE(by_stos, "cld; stosl")
STORE(by_xchg, "xchg %%eax, (%%rdi)")
STORE(by_cmpxchg, "mov %%eax, %%ecx; mov (%%rdi), %%eax; lock cmpxchg %%ecx, (%%rdi)")
STORE(by_xadd, "sub (%%rdi), %%eax; lock xadd %%eax, (%%rdi)")
STORE(by_add, "sub (%%rdi), %%eax; add %%eax, (%%rdi)")
STORE(by_or, "movl $0, (%%rdi); or %%eax, (%%rdi)")
STORE(by_bswap, "bswap %%eax; movl $0, (%%rdi); bswap %%eax; lock or %%eax, (%%rdi)")
STORE(by_movnti, "movnti %%eax, (%%rdi); sfence")
STORE(by_sse, "movd %%eax, %%xmm0; movss %%xmm0, (%%rdi)")
STORE(by_x87, "push %%rax; fildl (%%rsp); fistpl (%%rdi); pop %%rax")
STORE(by_shift, "mov %%eax, (%%rdi); shll $1, (%%rdi); shrl $1, (%%rdi)")
STORE(by_inc, "dec %%eax; mov %%eax, (%%rdi); incl (%%rdi)")
STORE(by_not, "not %%eax; mov %%eax, (%%rdi); notl (%%rdi)")

static void check_stores(void)
{
    static void (*const stores[])(word, word) = {
        by_mov,   by_bytes,  by_stos, by_xchg, by_cmpxchg, by_xadd, by_add, by_or,
        by_bswap, by_movnti, by_sse,  by_x87,  by_shift,   by_inc,  by_not,
    };

    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9);
    __asm__ volatile("fninit");
    write_code(code[0], 0);
    for (u32 i = 0; i < 600; i++) {
        unsigned n = i % ARRAY_SIZE(stores);
        u32 value = i * 7 + 1;
        stores[n]((word)code[0] + 4, value);
        u32 got = call((word)code[0] + ENTRY);
        check_case(got == value, "store %u: %x, not %x", n, got, value);
    }
    print("ok   stores of all kinds\n");
}

/* ------------------------------------------------------------------ on two CPUs */

static volatile u32 go, done, last_seen, stop, bad;

/* The manual's protocol: wait for the flag, serialize, execute. */
static void second_main(void)
{
    u32 r[4];

    for (u32 i = 1; i <= ROUNDS; i++) {
        while (go != i) {
            __asm__ volatile("pause");
        }
        cpuid(0, 0, r);
        if (call((word)code[1] + ENTRY) != i) {
            bad++;
        }
        done = i;
    }
    /* Without it: what is executed is something that has been written, and the newest in the end.
     */
    while (!stop) {
        u32 got = call((word)code[0] + ENTRY);
        if (got > *(volatile u32 *)(code[0] + 4)) {
            bad++;
        }
        last_seen = got;
    }
    done = 0;
}

static void check_two(void)
{
    bool good = true;

    write_code(code[1], 0);
    write_code(code[0], 1);
    second_start(second_main);
    for (u32 i = 1; good && i <= ROUNDS; i++) {
        *(volatile u32 *)(code[1] + 4) = i;
        go = i;
        good = second_wait(&done, i, 20);
    }
    check(good, "the second CPU runs");
    check_is(bad, 0, "it executes what was written before the flag");
    for (u32 i = 1; i <= 200000; i++) {
        *(volatile u32 *)(code[0] + 4) = i;
    }
    check(second_wait(&last_seen, 200000, 20), "without a protocol it sees the last in the end");
    check_is(bad, 0, "  and never one that was not written");
    stop = 1;
    check(second_wait(&done, 0, 20), "and it has ended");
}

void guest_main(void)
{
    map_window();
    check_aliases();
    check_stores();
    check_two();
}
