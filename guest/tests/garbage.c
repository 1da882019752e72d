/*
 * garbage.c - random bytes as code, at CPL 0 and at CPL 3, of 64, 32 and 16 bits.
 *
 * At CPL 3 only the area with the garbage is the user's, and a timer ends each attempt: the guest's
 * kernel has to get through all its rounds, whatever the user's code does.
 */
#include "hostile.h"

enum { AREA = 0x1000000, AREA_BYTES = 0x200000, CODE_BYTES = 4096 };
enum { CS16 = FREE_SELECTOR, DS16 = FREE_SELECTOR + 8 };

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

/* ------------------------------------------------------------------ one attempt */

static volatile bool in_garbage;

static void on_tick(struct frame *frame)
{
    (void)frame;
    pic_eoi(0);
    if (in_garbage) {
        fault = (struct fault){.vector = PIC_VECTOR};
        attempt_recover();
    }
}

/* INT n, with any n. */
static void on_other(struct frame *frame)
{
    fault = (struct fault){.vector = (u32)frame->vector};
    attempt_recover();
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

/* CS and SS of the garbage. */
static struct {
    u64 cs, ss;
} selectors;
static bool is_16_bit;

static void enter(word start)
{
    u64 registers[15];

    for (unsigned i = 0; i < 15; i++) {
        u64 r = random_number();
        registers[i] = r % 4 == 0 ? r : r % 4 == 1 ? r & 0xff : AREA + r % AREA_BYTES;
    }
    *(u64 *)(main_tss + 4) = attempt_stack - 256; /* where nothing is that the guest still needs */
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4\n"
                     "mov %5, %%rbp\n"
                     "mov (%%rbp), %%rax; mov 8(%%rbp), %%rbx; mov 16(%%rbp), %%rcx\n"
                     "mov 24(%%rbp), %%rdx; mov 32(%%rbp), %%rsi; mov 40(%%rbp), %%rdi\n"
                     "mov 48(%%rbp), %%r8; mov 56(%%rbp), %%r9; mov 64(%%rbp), %%r10\n"
                     "mov 72(%%rbp), %%r11; mov 80(%%rbp), %%r12; mov 88(%%rbp), %%r13\n"
                     "mov 96(%%rbp), %%r14; mov 104(%%rbp), %%r15; mov 112(%%rbp), %%rbp\n"
                     "iretq" ::"r"(selectors.ss),
                     "r"(is_16_bit ? 0xf000ull : AREA + 0x10000ull), "r"(0x202ull),
                     "r"(selectors.cs), "r"(start), "r"(registers)
                     : "memory");
}

static void start_timer(void)
{
    pic_start(1 << 0);
    pit_start(2, 1193); /* 1 kHz */
}

static void run_rounds(u64 rounds, void (*restore)(void))
{
    u32 vectors[33] = {0};

    for (unsigned i = PIC_VECTOR; i < 0xff; i++) {
        handlers[i] = i == PIC_VECTOR ? on_tick : on_other;
    }
    fill((u8 *)AREA, AREA_BYTES);
    start_timer();
    for (u64 i = 0; i < rounds; i++) {
        u32 start = (u32)random_number() % (AREA_BYTES - CODE_BYTES);
        start = is_16_bit ? start & 0xefff : start;
        fill((u8 *)(word)(AREA + start), 64);
        in_garbage = true;
        attempt(enter, is_16_bit ? start : AREA + start);
        in_garbage = false;
        restore();
        vectors[fault.vector < 32 ? fault.vector : 32]++;
    }
    for (unsigned i = 0; i <= 32; i++) {
        if (vectors[i]) {
            print("     vector %u: %u\n", i, vectors[i]);
        }
    }
}

static void choose_selectors(u64 bits, unsigned dpl)
{
    static const u64 cs[2][2] = {{KERNEL_CS, CODE32_CS}, {USER_CS64, USER_CS32}};

    is_16_bit = bits == 16;
    set_descriptor(CS16, AREA, 0xffff, (u16)(0x009b | dpl << 5));
    set_descriptor(DS16, AREA, 0xffff, (u16)(0x0093 | dpl << 5));
    selectors.cs = is_16_bit ? CS16 | dpl : cs[dpl != 0][bits == 32];
    selectors.ss = is_16_bit ? DS16 | dpl : dpl ? USER_DS : KERNEL_DS;
}

/* ------------------------------------------------------------------ CPL 3 */

static void restore_fpu(void)
{
    __asm__ volatile("fninit" ::: "memory");
}

void garbage_user(void)
{
    only_area_to_user();
    choose_selectors(option_number("bits", 64), 3);
    run_rounds(option_number("rounds", 2000), restore_fpu);
}

/* ------------------------------------------------------------------ CPL 0 */

static struct __attribute__((packed)) table {
    u16 limit;
    u64 base;
} saved_gdt, saved_idt;
static word saved_cr0, saved_cr4;

/* What garbage most likely has changed.  The rest it may well have spoilt. */
static void restore_kernel(void)
{
    __asm__ volatile("lgdt %0; lidt %1" ::"m"(saved_gdt), "m"(saved_idt));
    write_cr0(saved_cr0);
    write_cr4(saved_cr4);
    write_dr7(0x400);
    set_descriptor(MAIN_TSS, (u32)(word)main_tss, sizeof(main_tss) - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    start_timer();
    restore_fpu();
}

static void once_without_idt(void)
{
    fill((u8 *)AREA, CODE_BYTES);
    enter(is_16_bit ? 0 : AREA);
}

void garbage_kernel(void)
{
    choose_selectors(option_number("bits", 64), 0);
    __asm__ volatile("sgdt %0; sidt %1" : "=m"(saved_gdt), "=m"(saved_idt));
    saved_cr0 = read_cr0();
    saved_cr4 = read_cr4();
    if (option("noidt")) {
        once_without_idt();
    }
    *(u64 *)(main_tss + 36) = (word)user_stack_end;
    for (unsigned i = 0; i <= PIC_VECTOR; i++) {
        set_gate(i, (word)(interrupt_stubs + 16 * i), KERNEL_CS, 0x8e, 1);
    }
    run_rounds(option_number("rounds", 200), restore_kernel);
}
