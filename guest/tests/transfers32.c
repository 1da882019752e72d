/*
 * transfers32.c - far transfers in protected mode: all of transfers.h, and then what they leave:
 * the frames of gates of 16 and 32 bits, flags in a handler, parameters, data segments that are
 * lost, and stacks of the TSS that will not do.
 *
 * Intel SDM vol. 3A, "Stack Switching", "Flag Usage By Exception- or Interrupt-Handler Procedure".
 */
#include "transfers.h"

enum { FLAG_IF = 0x200, FLAG_NT = 0x4000, FLAG_AC = 0x40000, FLAG_ID = 0x200000 };
enum { BAD_STACK = FREE_SELECTOR + 0x60 };

static word ring_code(unsigned cpl)
{
    return RING_CODE + 9 * cpl;
}
static word ring_data(unsigned cpl)
{
    return RING_DATA + 9 * cpl;
}

/* ------------------------------------------------------------------ gates of the IDT */

static word sp_before;
extern u8 after_int[];

static void do_int(word flags)
{
    __asm__ volatile("mov %%esp, %0; push %1; popf; int $0x40; after_int:"
                     : "=m"(sp_before)
                     : "r"(flags)
                     : "memory", "cc");
}

static u32 dword_at(unsigned n)
{
    return ((u32 *)reached.sp)[n];
}
static u16 word_at(unsigned n)
{
    return ((u16 *)reached.sp)[n];
}

static void check_frame_32(void)
{
    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xee, 0);
    reaches(3, do_int, FLAG_IF | FLAG_NT | FLAG_AC | FLAG_ID | 3, "an interrupt gate from CPL 3");
    check_is(reached.sp, stack_of_ring(0) - 20, "  takes 20 bytes of the new stack");
    check(dword_at(0) == (word)after_int && dword_at(1) == ring_code(3), "  EIP and CS");
    check_is(dword_at(2) & 0x3c4203, FLAG_IF | FLAG_NT | FLAG_AC | FLAG_ID | 3, "  EFLAGS");
    check(dword_at(3) == sp_before && dword_at(4) == ring_data(3), "  ESP and SS");
    check_is(reached.flags & 0x3c4303, FLAG_AC | FLAG_ID | 3, "  IF and NT are clear inside");
    check_is(dword_at(1) >> 16 | dword_at(4) >> 16, 0, "  selectors fill 32 bits with zeros");

    set_gate(GATE_VECTOR, (word)transfer_target, RING_CODE, 0xef, 0);
    reaches(3, do_int, 0x3000 | FLAG_IF | FLAG_NT, "a trap gate from CPL 3");
    check_is(reached.flags & 0x4300, FLAG_IF, "  leaves IF");
    reaches(0, do_int, FLAG_IF, "a trap gate at CPL 0");
    check_is(reached.sp, sp_before - 12, "  takes 12 bytes of the same stack");
    check_is(dword_at(2) & FLAG_IF, FLAG_IF, "  with EFLAGS");
    reaches(0, do_int, 0, "with IF clear");
    check_is(reached.flags & FLAG_IF, 0, "  a trap gate does not set it");
    for (unsigned cpl = 1; cpl < 3; cpl++) {
        set_gate(GATE_VECTOR, (word)transfer_target, (u16)ring_code(cpl), 0xee, 0);
        reaches(3, do_int, 2, "to a middle privilege level");
        check_is(reached.ss, ring_data(cpl), "  the TSS's SS");
        check_is(reached.sp, stack_of_ring(cpl) - 20, "  and ESP");
    }
}

/* Gates of 16 bits hold 16 bits of the address: the segment's base is near. */
static void check_frame_16(void)
{
    target_base = (word)transfer_target & ~(word)0xffff;
    set_descriptor(TARGET, target_base, 0xffff, 0x409b);
    set_gate(GATE_VECTOR, (word)transfer_target - target_base + 0x12340000, TARGET, 0xe6, 0);
    reaches(3, do_int, FLAG_IF | FLAG_AC | 1, "a 16-bit gate from CPL 3");
    check_is(reached.sp, stack_of_ring(0) - 10, "  takes 10 bytes");
    check(word_at(0) == (u16)(word)after_int && word_at(1) == ring_code(3), "  IP and CS");
    check(word_at(2) == (FLAG_IF | 3) && word_at(3) == (u16)sp_before, "  FLAGS and SP");
    check_is(word_at(4), ring_data(3), "  SS");
    check_is(reached.flags & (FLAG_IF | FLAG_AC), FLAG_AC, "  clears IF only");
    reaches(0, do_int, 2, "a 16-bit gate at CPL 0");
    check_is(reached.sp, sp_before - 6, "  takes 6 bytes");
    set_gate(GATE_VECTOR, (word)transfer_target - target_base, TARGET, 0xe7, 0);
    reaches(0, do_int, FLAG_IF, "a 16-bit trap gate");
    check_is(reached.flags & FLAG_IF, FLAG_IF, "  leaves IF");
    target_base = 0;
    set_descriptor(TARGET, 0, 0xffff, 0x409b);
    set_gate(GATE_VECTOR, (word)transfer_target, TARGET, 0xee, 0);
    attempt(do_int, 2);
    check(fault.vector == VECTOR_GP && fault.error == 0, "a handler past its segment's limit");
    check(fault.ip + 2 == (word)after_int, "  faults at INT");
}

/* ------------------------------------------------------------------ call gates */

static void call_gate(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } to = {0xdeadbeef, (u16)selector};

    __asm__ volatile("push $0x11; push $0x22; push $0x33; mov %%esp, %0; lcall *(%1)"
                     : "=m"(sp_before)
                     : "r"(&to), "m"(to) /* not by ESP, which has moved */
                     : "memory");
}

static void set_parameters(unsigned count)
{
    gdt[GATE / 8] |= (u64)count << 32;
}

static void check_call_gates(void)
{
    set_descriptor(TARGET, 0, 0xfffff, 0xc09b);
    set_call_gate(TARGET, 0xec);
    set_parameters(3);
    reaches(3, call_gate, GATE | 3, "a call gate with 3 parameters");
    check_is(reached.sp, stack_of_ring(0) - 28, "  takes 28 bytes");
    check(dword_at(2) == 0x33 && dword_at(3) == 0x22 && dword_at(4) == 0x11, "  parameters");
    check(dword_at(1) == ring_code(3) && dword_at(5) == sp_before && dword_at(6) == ring_data(3),
          "  CS, ESP and SS");
    reaches(0, call_gate, GATE, "the same at CPL 0");
    check_is(reached.sp, sp_before - 8, "  copies nothing");
    set_call_gate(TARGET, 0xec);
    set_parameters(31);
    reaches(3, call_gate, GATE | 3, "31 parameters");
    check_is(reached.sp, stack_of_ring(0) - 16 - 31 * 4, "  take 124 bytes more");

    target_base = (word)transfer_target & ~(word)0xffff;
    set_descriptor(TARGET, target_base, 0xffff, 0x409b);
    set_call_gate(TARGET, 0xe4);
    set_parameters(3);
    reaches(3, call_gate, GATE | 3, "a 16-bit call gate");
    check_is(reached.sp, stack_of_ring(0) - 14, "  takes 14 bytes");
    check(word_at(2) == 0x33 && word_at(3) == 0 && word_at(4) == 0x22, "  parameters of 16 bits");
    check(word_at(5) == (u16)sp_before && word_at(6) == ring_data(3), "  SP and SS");
    target_base = 0;
}

/* ------------------------------------------------------------------ stacks that will not do */

static void set_inner_ss(u16 selector)
{
    *(u16 *)(main_tss + 8) = selector;
}

static void try_stack(u16 selector, u16 attributes, u32 vector, u32 error, const char *name)
{
    u16 before = *(u16 *)(main_tss + 8 + 8);

    /* Of privilege level 1: faults are delivered with that of 0. */
    set_descriptor(BAD_STACK, 0, 0xfffff, attributes);
    *(u16 *)(main_tss + 8 + 8) = selector;
    attempt_at(3, do_int, 2);
    check(fault.vector == vector && fault.error == error, name);
    attempt_at(3, call_gate, GATE | 3);
    check(fault.vector == vector && fault.error == error, "  the same by a call gate");
    if (fault.vector != vector || fault.error != error) {
        print("     vector %x error %x\n", fault.vector, fault.error);
    }
    *(u16 *)(main_tss + 8 + 8) = before;
}

static void check_stacks(void)
{
    u32 tss_base = (u32)(word)main_tss;

    set_gate(GATE_VECTOR, (word)transfer_target, (u16)ring_code(1), 0xee, 0);
    set_call_gate((u16)ring_code(1), 0xec);
    try_stack(0, 0xc0b3, VECTOR_TS, 0, "null in the TSS's SS");
    try_stack(1, 0xc0b3, VECTOR_TS, 0, "null with an RPL");
    try_stack(BAD_STACK, 0xc0b3, VECTOR_TS, BAD_STACK, "its RPL is not the new CPL");
    try_stack(BAD_STACK | 1, 0xc093, VECTOR_TS, BAD_STACK, "its DPL is not the new CPL");
    try_stack(BAD_STACK | 1, 0xc0b1, VECTOR_TS, BAD_STACK, "it is read-only");
    try_stack(BAD_STACK | 1, 0xc0bb, VECTOR_TS, BAD_STACK, "it is code");
    try_stack(BAD_STACK | 1, 0xc0a3, VECTOR_TS, BAD_STACK, "it is a system segment");
    try_stack(BAD_STACK | 1, 0xc033, VECTOR_SS, BAD_STACK, "it is not present");
    try_stack(0xff8 | 1, 0xc0b3, VECTOR_TS, 0xff8, "it is not in the GDT");
    try_stack(BAD_STACK | 1, 0x40b3, VECTOR_SS, BAD_STACK, "there is no room");
    try_stack(BAD_STACK | 5, 0xc0b3, VECTOR_TS, BAD_STACK | 4,
              "it is in an LDT, and there is none");
    /* The TSS holds SS0 and ESP0 only. */
    set_descriptor(MAIN_TSS, tss_base, 11, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    attempt_at(3, do_int, 2);
    check(fault.vector == VECTOR_TS && fault.error == MAIN_TSS, "the TSS is too short");
    set_descriptor(MAIN_TSS, tss_base, sizeof(main_tss) - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    set_inner_ss(KERNEL_DS);
}

/* ------------------------------------------------------------------ returns */

static word ret_selector, ret_ds, ret_es;

static void ret_outer(word unused)
{
    (void)unused;
    __asm__ volatile("mov %0, %%ds; mov %1, %%es; push %2; push %3; push $0; push $0; push $0;"
                     "push %4; push %5; lret $12" ::"r"(ret_ds),
                     "r"(ret_es), "r"(ret_selector - RING_CODE + RING_DATA),
                     "r"((word)user_stack_end - 256), "r"(ret_selector), "r"(transfer_target)
                     : "memory");
}

static void iret_outer(word unused)
{
    (void)unused;
    __asm__ volatile("mov %0, %%ds; mov %1, %%es; push %2; push %3; push $2; push %4; push %5; "
                     "iret" ::"r"(ret_ds),
                     "r"(ret_es), "r"(ret_selector - RING_CODE + RING_DATA),
                     "r"((word)user_stack_end - 256), "r"(ret_selector), "r"(transfer_target)
                     : "memory");
}

/* What becomes of a data segment on the way from CPL 0 to cpl. */
static void try_outer(unsigned cpl, word selector, bool kept, const char *name)
{
    ret_selector = ring_code(cpl);
    ret_ds = ret_es = selector;
    reaches(0, ret_outer, 0, name);
    check_is(reached.ds, kept ? selector : 0, "  DS by RET");
    check_is(reached.sp, (word)user_stack_end - 256 + 12, "  RET n releases bytes of both stacks");
    reaches(0, iret_outer, 0, name);
    check_is(reached.es, kept ? selector : 0, "  ES by IRET");
    check_is(reached.sp, (word)user_stack_end - 256, "  ESP");
}

static void check_returns(void)
{
    try_outer(3, KERNEL_DS, false, "data of DPL 0 to CPL 3");
    try_outer(1, KERNEL_DS, false, "data of DPL 0 to CPL 1");
    try_outer(3, USER_DS, true, "data of DPL 3 to CPL 3");
    try_outer(2, ring_data(2), true, "data of DPL 2 to CPL 2");
    try_outer(3, ring_data(2) & ~3u, false, "data of DPL 2 to CPL 3");
    set_descriptor(TARGET, 0, 0xfffff, 0xc09b);
    try_outer(3, TARGET, false, "readable code of DPL 0");
    set_descriptor(TARGET, 0, 0xfffff, 0xc09f);
    try_outer(3, TARGET, true, "conforming code of DPL 0");
    try_outer(3, 0, true, "null");
}

static word bad_ss;

static void ret_to_stack(word unused)
{
    (void)unused;
    __asm__ volatile("push %0; push %1; push %2; push %3; lret" ::"r"(bad_ss),
                     "r"((word)user_stack_end - 256), "r"(ring_code(3)), "r"(transfer_target)
                     : "memory");
}
static void iret_to_stack(word unused)
{
    (void)unused;
    __asm__ volatile("push %0; push %1; push $2; push %2; push %3; iret" ::"r"(bad_ss),
                     "r"((word)user_stack_end - 256), "r"(ring_code(3)), "r"(transfer_target)
                     : "memory");
}

static void check_outer_stacks(void)
{
    static const struct {
        u16 selector, attributes;
        u32 vector, error;
        const char *name;
    } rows[] = {
        {0, 0xc0f3, VECTOR_GP, 0, "null as the outer SS"},
        {3, 0xc0f3, VECTOR_GP, 0, "null with RPL 3"},
        {BAD_STACK, 0xc0f3, VECTOR_GP, BAD_STACK, "RPL 0"},
        {BAD_STACK | 3, 0xc0b3, VECTOR_GP, BAD_STACK, "DPL 1"},
        {BAD_STACK | 3, 0xc0f1, VECTOR_GP, BAD_STACK, "read-only"},
        {BAD_STACK | 3, 0xc0fb, VECTOR_GP, BAD_STACK, "code"},
        {BAD_STACK | 3, 0xc073, VECTOR_SS, BAD_STACK, "not present"},
        {0xffb, 0xc0f3, VECTOR_GP, 0xff8, "outside of the GDT"},
        {BAD_STACK | 3, 0xc0f3, NO_FAULT, 0, "one that will do"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        set_descriptor(BAD_STACK, 0, 0xfffff, rows[i].attributes);
        bad_ss = rows[i].selector;
        check_fault(ret_to_stack, 0, rows[i].vector, rows[i].error, rows[i].name);
        check_fault(iret_to_stack, 0, rows[i].vector, rows[i].error, "  the same by IRET");
    }
}

void guest_main(void)
{
    transfers_init();
    check_transfers();
    check_flags();
    check_frame_32();
    check_frame_16();
    check_call_gates();
    check_stacks();
    check_returns();
    check_outer_stacks();
}
