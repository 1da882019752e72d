/*
 * garbage.c - random bytes as code, at CPL 0 and at CPL 3, of 64, 32 and 16 bits.
 *
 * At CPL 3 only the area with the garbage is the user's, and a timer ends each attempt: the guest's
 * kernel has to get through all its rounds, whatever the user's code does.
 */
#include "hostile.h"

enum { AREA = 0x1000000, AREA_BYTES = 0x200000, CODE_BYTES = 4096, USER_CS16 = FREE_SELECTOR | 3 };

static u64 state = 1;

void random_seed(u64 seed)
{
    state = seed * 0x9e3779b97f4a7c15 + 1;
}

u64 random_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Half of it is made of opcodes that are there and small operands; the rest is anything. */
static void fill(u8 *to, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        u64 r = random_number();
        switch (r >> 8 & 7) {
        case 0:
            to[i] = 0x0f;
            break;
        case 1:
            to[i] = (u8)(r & 0x3f);
            break;
        case 2:
            to[i] = (u8) "\x66\x67\xf0\xf2\xf3\x48\x2e\x65\xc4\xc5\x8f\x62\xcf\xff\xe8\x9a"[r & 15];
            break;
        default:
            to[i] = (u8)r;
        }
    }
}

/* ------------------------------------------------------------------ CPL 0 */

void garbage_kernel(void)
{
    fill((u8 *)AREA, CODE_BYTES);
    switch (option_number("bits", 64)) {
    case 64:
        __asm__ volatile("mov %0, %%rsp; jmp *%1" ::"r"((word)AREA + AREA_BYTES / 2),
                         "r"((word)AREA)
                         : "memory");
        break;
    case 32:
        __asm__ volatile(
            "mov %0, %%rsp; push %1; push %2; lretq" ::"r"((word)AREA + AREA_BYTES / 2),
            "i"(CODE32_CS), "r"((word)AREA)
            : "memory");
        break;
    case 16: {
        u8 *low = (u8 *)0x8000;
        __asm__("" : "+r"(low));
        fill(low, CODE_BYTES);
        __asm__ volatile("mov $0x7000, %%esp; push %0; push %1; lretq" ::"i"(CODE16_CS),
                         "r"((word)low)
                         : "memory");
        break;
    }
    }
}

/* ------------------------------------------------------------------ CPL 3 */

static void on_tick(struct frame *frame)
{
    pic_eoi(0);
    if (frame->cs & 3) {
        fault = (struct fault){.vector = PIC_VECTOR};
        attempt_recover();
    }
}

static void only_area_to_user(void)
{
    const u64 user = 1u << 2, address = 0xffffffffff000;
    u64 *pml4 = (u64 *)(read_cr3() & address), *pdpt = (u64 *)(pml4[0] & address);

    pml4[0] |= user;
    pdpt[0] |= user;
    ((u64 *)(pdpt[0] & address))[AREA >> 21] |= user;
    write_cr3(read_cr3());
}

/* CS and SS of the user's code, by its width. */
static struct {
    u64 cs, ss;
} selectors;

static void enter_user(word start)
{
    u64 registers[15];

    for (unsigned i = 0; i < 15; i++) {
        u64 r = random_number();
        registers[i] = r % 4 == 0 ? r : r % 4 == 1 ? r & 0xff : AREA + r % AREA_BYTES;
    }
    *(u64 *)(main_tss + 4) = attempt_stack - 256;
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4\n"
                     "mov %5, %%rbp\n"
                     "mov (%%rbp), %%rax; mov 8(%%rbp), %%rbx; mov 16(%%rbp), %%rcx\n"
                     "mov 24(%%rbp), %%rdx; mov 32(%%rbp), %%rsi; mov 40(%%rbp), %%rdi\n"
                     "mov 48(%%rbp), %%r8; mov 56(%%rbp), %%r9; mov 64(%%rbp), %%r10\n"
                     "mov 72(%%rbp), %%r11; mov 80(%%rbp), %%r12; mov 88(%%rbp), %%r13\n"
                     "mov 96(%%rbp), %%r14; mov 104(%%rbp), %%r15; mov 112(%%rbp), %%rbp\n"
                     "iretq" ::"r"(selectors.ss),
                     "r"(selectors.cs == USER_CS16 ? 0xf000ull : AREA + 0x10000ull), "r"(0x202ull),
                     "r"(selectors.cs), "r"(start), "r"(registers)
                     : "memory");
}

void garbage_user(void)
{
    u64 rounds = option_number("rounds", 2000), bits = option_number("bits", 64);
    u32 vectors[33] = {0};

    only_area_to_user();
    set_descriptor(USER_CS16, AREA, 0xffff, 0x00fb);
    selectors.cs = bits == 64 ? USER_CS64 : bits == 32 ? USER_CS32 : USER_CS16;
    selectors.ss = USER_DS;
    if (bits == 16) {
        set_descriptor(USER_CS16 + 8, AREA, 0xffff, 0x00f3);
        selectors.ss = USER_CS16 + 8;
    }
    handlers[PIC_VECTOR] = on_tick;
    for (unsigned i = 1; i < 16; i++) { /* none is unmasked */
        handlers[PIC_VECTOR + i] = NULL;
    }
    pic_start(1 << 0);
    pit_start(2, 1193); /* 1 kHz */
    for (u64 i = 0; i < rounds; i++) {
        u32 start = (u32)random_number() % (AREA_BYTES - CODE_BYTES);
        start = bits == 16 ? start & 0xefff : start;
        fill((u8 *)(word)(AREA + start), 64);
        attempt(enter_user, bits == 16 ? start : AREA + start);
        vectors[fault.vector < 33 ? fault.vector : 32]++;
        __asm__ volatile("fninit" ::: "memory");
    }
    for (unsigned i = 0; i <= 32; i++) {
        if (vectors[i]) {
            print("     vector %u: %u\n", i, vectors[i]);
        }
    }
}
