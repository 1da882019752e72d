/*
 * transfers64.c - far transfers in long mode: all of transfers.h, and then what they leave: frames,
 * aligned stacks, the interrupt stack table, null SS, IRET of every size, and what has to be
 * canonical.
 *
 * Intel SDM vol. 3A, "Exception and Interrupt Handling in 64-bit Mode"; vol. 2, IRET, CALL, RET.
 */
#include "transfers.h"

enum { FLAG_TF = 0x100, FLAG_IF = 0x200, FLAG_NT = 0x4000, FLAG_AC = 0x40000 };
#define LOW_END 0x0000800000000000ull

static word ring_code(unsigned cpl)
{
    return RING_CODE + 9 * cpl;
}
static word ring_data(unsigned cpl)
{
    return RING_DATA + 9 * cpl;
}

static u64 at(unsigned n)
{
    return ((u64 *)reached.sp)[n];
}

/* ------------------------------------------------------------------ interrupts */

static word sp_before, misalign;
extern u8 after_int[];

static void do_int(word flags)
{
    __asm__ volatile("mov %%rsp, %%rcx; sub %2, %%rsp; mov %%rsp, %0; push %1; popf; int $0x40; "
                     "after_int: mov %%rcx, %%rsp"
                     : "=m"(sp_before)
                     : "r"(flags), "m"(misalign)
                     : "rcx", "memory", "cc");
}

static u8 ist_stack[4096] __attribute__((aligned(16)));

static void check_interrupts(void)
{
    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xee, 0);
    reaches(3, do_int, FLAG_IF | FLAG_NT | FLAG_AC | 3, "an interrupt gate from CPL 3");
    check_is(reached.sp, (stack_of_ring(0) & ~15ull) - 40, "  takes 40 bytes of an aligned stack");
    check(at(0) == (word)after_int && at(1) == ring_code(3), "  RIP and CS");
    check_is(at(2) & 0x3c4203, FLAG_IF | FLAG_NT | FLAG_AC | 3, "  RFLAGS");
    check(at(3) == sp_before && at(4) == ring_data(3), "  RSP and SS");
    check_is(reached.flags & 0x3c4303, FLAG_AC | 3, "  IF and NT are clear inside");
    check_is(reached.ss, 0, "  SS is null");
    set_gate(GATE_VECTOR, (word)transfer_target, (u16)ring_code(2), 0xee, 0);
    reaches(3, do_int, 2, "to CPL 2");
    check_is(reached.ss, 2, "  SS is null with its RPL");
    check_is(reached.sp, stack_of_ring(2) - 40, "  on the stack of RSP2");
    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xef, 0);
    for (misalign = 0; misalign < 16; misalign++) {
        reached = (struct reached){0};
        attempt(do_int, FLAG_IF | FLAG_NT);
        check_case(reached.sp == (sp_before & ~15ull) - 40 && at(3) == sp_before,
                   "at CPL 0 the stack is aligned, too: %l from %l", (u64)reached.sp,
                   (u64)sp_before);
    }
    misalign = 0;
    check_is(reached.flags & (FLAG_IF | FLAG_NT), FLAG_IF, "a trap gate leaves IF");
    check_is(reached.ss, KERNEL_DS, "SS stays at the same CPL");
    for (unsigned ist = 1; ist < 8; ist++) {
        word top = (word)ist_stack + 512 * ist + 8;
        *(u64 *)(main_tss + 0x1c + 8 * ist) = top;
        set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xee, (u8)ist);
        reaches(0, do_int, 2, "a stack of the IST at CPL 0");
        check_is(reached.sp, (top & ~15ull) - 40, "  is used, aligned");
        check_is(reached.ss, KERNEL_DS, "  with the same SS");
        reaches(3, do_int, 2, "and at CPL 3");
        check_is(reached.sp, (top & ~15ull) - 40, "  is used");
    }
    *(u64 *)(main_tss + 0x1c + 8) = LOW_END + 64;
    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xee, 1);
    check_fault(do_int, 2, VECTOR_SS, 0, "an IST entry that is not canonical: #SS(0)");
    set_gate(GATE_VECTOR, LOW_END, RING_CODE, 0xee, 0);
    check_fault(do_int, 2, VECTOR_GP, 0, "a handler that is not canonical: #GP(0)");
    check(fault.ip + 2 == (word)after_int, "  at INT");
    set_gate(GATE_VECTOR, (word)transfer_target, CODE32_CS, 0xee, 0);
    check_fault(do_int, 2, VECTOR_GP, CODE32_CS, "a handler in 32-bit code");
    set_descriptor(MAIN_TSS, (u32)(word)main_tss, 0x23, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xee, 1);
    check_fault(do_int, 2, VECTOR_TS, MAIN_TSS, "the TSS is too short for the IST");
    set_descriptor(MAIN_TSS, (u32)(word)main_tss, sizeof(main_tss) - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
}

/* ------------------------------------------------------------------ call gates */

static void call_gate(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } to = {0xdeadbeef, (u16)selector};

    __asm__ volatile("mov %%rsp, %0; lcall *%1" : "=m"(sp_before) : "m"(to) : "memory");
}

static void check_call_gates(void)
{
    set_descriptor(TARGET, 0, 0xfffff, 0xa09b);
    set_call_gate(TARGET, 0xec);
    gdt[GATE / 8] |= 5ull << 32;
    reaches(3, call_gate, GATE | 3, "a call gate from CPL 3");
    check_is(reached.sp, stack_of_ring(0) - 32, "  takes 32 bytes, whatever its count");
    check(at(1) == ring_code(3) && at(2) == sp_before && at(3) == ring_data(3), "  CS, RSP and SS");
    check_is(reached.ss, 0, "  SS is null");
    reaches(0, call_gate, GATE, "at CPL 0");
    check_is(reached.sp, sp_before - 16, "  it takes 16 bytes");
    gdt[GATE / 8 + 1] = 0x0000800000000000ull >> 32;
    check_fault(call_gate, GATE, VECTOR_GP, 0, "to what is not canonical");
    gdt[GATE / 8 + 1] = 1ull << 40;
    check_fault(call_gate, GATE, VECTOR_GP, GATE, "a type in its upper half");
    set_descriptor(TARGET, 0, 0xfffff, 0xc09b);
    set_call_gate(TARGET, 0xec);
    check_fault(call_gate, GATE, VECTOR_GP, TARGET, "to 32-bit code");
    set_descriptor(TARGET, 0, 0xfffff, 0xe09b);
    check_fault(call_gate, GATE, VECTOR_GP, TARGET, "to code with L and D");
}

/* ------------------------------------------------------------------ IRET */

static struct {
    u64 ip, cs, flags, sp, ss;
} image;

static void iret_8(word unused)
{
    (void)unused;
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"m"(image.ss),
                     "m"(image.sp), "m"(image.flags), "m"(image.cs), "m"(image.ip)
                     : "memory");
}
/* A frame of 32 bits: RSP has to fit, which it does. */
static void iret_4(word unused)
{
    u32 frame[5] = {(u32)image.ip, (u32)image.cs, (u32)image.flags, (u32)image.sp, (u32)image.ss};

    (void)unused;
    __asm__ volatile("mov %0, %%rsp; iretl" ::"r"(frame), "m"(frame) : "memory");
}
static void ret_8(word unused)
{
    (void)unused;
    __asm__ volatile("push %0; push %1; push %2; push %3; lretq" ::"m"(image.ss), "m"(image.sp),
                     "m"(image.cs), "m"(image.ip)
                     : "memory");
}
static void iret_nested(word unused)
{
    __asm__ volatile("pushf; orl $0x4000, (%%rsp); popf" ::: "memory", "cc");
    iret_8(unused);
}

static void set_image(unsigned cpl)
{
    image.ip = (word)transfer_target;
    image.cs = ring_code(cpl);
    image.flags = 2;
    image.sp = (word)user_stack_end - 1024;
    image.ss = ring_data(cpl);
}

static void check_iret(void)
{
    set_image(3);
    reaches(0, iret_8, 0, "IRET to CPL 3");
    check(reached.sp == image.sp && reached.ss == image.ss, "  RSP and SS");
    reaches(0, iret_4, 0, "IRET of 32 bits to CPL 3");
    check(reached.sp == image.sp && reached.ss == image.ss, "  RSP and SS");
    reaches(0, ret_8, 0, "RET to CPL 3");
    set_image(0);
    image.sp = (word)kernel_stack_end - 20000;
    reaches(0, iret_8, 0, "IRET to the same CPL");
    check_is(reached.sp, image.sp, "  pops RSP, too");
    image.ss = 0;
    reaches(0, iret_8, 0, "IRET with a null SS to CPL 0");
    check_is(reached.ss, 0, "  which it is then");
    image.ss = 3;
    set_image(3);
    image.ss = 0;
    check_fault(iret_8, 0, VECTOR_GP, 0, "null SS to CPL 3");
    check_fault(ret_8, 0, VECTOR_GP, 0, "  by RET");
    set_image(2);
    image.ss = 2;
    reaches(0, iret_8, 0, "null SS to CPL 2");
    set_image(3);
    image.ip = LOW_END;
    check_fault(iret_8, 0, VECTOR_GP, 0, "IRET to what is not canonical");
    check_fault(ret_8, 0, VECTOR_GP, 0, "RET to what is not canonical");
    set_image(3);
    image.ss = KERNEL_DS | 3;
    check_fault(iret_8, 0, VECTOR_GP, KERNEL_DS, "SS of DPL 0 to CPL 3");
    set_image(3);
    check_fault(iret_nested, 0, VECTOR_GP, 0, "IRET with NT");
    __asm__ volatile("pushf; andl $~0x4000, (%%rsp); popf" ::: "memory", "cc");
    set_image(3);
    image.sp = LOW_END;
    reaches(0, iret_8, 0, "RSP need not be canonical until it is used");
    check_is(reached.sp, LOW_END, "  and is what was popped");
    image.cs = USER_CS32;
    image.ss = USER_DS;
    image.sp = 0x123456780ull;
    reaches(0, iret_8, 0, "IRET to compatibility mode");
    check_is((u32)reached.sp, 0x23456780, "  takes ESP; what is above it is undefined");
    image.ip = 0x100000000ull | (word)transfer_target;
    check_fault(iret_8, 0, VECTOR_GP, 0, "  and RIP within the limit");
}

static void jump_direct(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0xea; .long 0; .word 0");
}
static void call_direct(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0x9a; .long 0; .word 0");
}
static void into(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0xce");
}

void guest_main(void)
{
    open_pages_to_user();
    transfers_init();
    check_transfers();
    check_flags();
    check_interrupts();
    check_call_gates();
    check_iret();
    check_fault(jump_direct, 0, VECTOR_UD, 0, "no direct far jump in 64-bit mode");
    check_fault(call_direct, 0, VECTOR_UD, 0, "no direct far call");
    check_fault(into, 0, VECTOR_UD, 0, "no INTO");
}
