/*
 * tasks.c - 32-bit tasks: a switch by far jump, by call and IRET, by a task gate of an exception
 * (#DF on a lost stack), and a call gate with parameters into more privilege.
 *
 * Intel SDM vol. 3A, "Task Management" and "Calling a Procedure Through a Call Gate".
 */
#include "tss.h"

enum {
    OTHER_TSS = FREE_SELECTOR,
    FAULT_TSS = FREE_SELECTOR + 8,
    TASK_GATE = FREE_SELECTOR + 16,
    CALL_GATE = FREE_SELECTOR + 24,
    TSS_AVAILABLE = 0x0089,
    BUSY = 0x2,
};

static struct tss other, on_fault;
static u8 other_stack[4096] __attribute__((aligned(16))), fault_stack[4096];
static volatile u32 seen_eax, seen_link, seen_flags, runs, fault_error;

static void init_tss(struct tss *t, unsigned selector, void (*entry)(void), u8 *stack_end)
{
    *t = (struct tss){.eip = (word)entry,
                      .eflags = 2,
                      .esp = (word)stack_end,
                      .cs = KERNEL_CS,
                      .ds = KERNEL_DS,
                      .es = KERNEL_DS,
                      .ss = KERNEL_DS,
                      .fs = KERNEL_DS,
                      .gs = KERNEL_DS,
                      .eax = 0x1234,
                      .iomap = sizeof(*t)};
    set_descriptor(selector, (word)t, sizeof(*t) - 1, TSS_AVAILABLE);
}

/* The other task: jumps back, or returns if it was called. */
static void other_main(void)
{
    for (;;) {
        __asm__ volatile("mov %%eax, %0" : "=m"(seen_eax));
        seen_flags = read_flags();
        seen_link = other.link;
        runs++;
        if (seen_flags & 1u << 14) { /* NT */
            __asm__ volatile("iret; mov $0x5678, %%eax" ::: "eax", "memory");
        } else {
            __asm__ volatile("ljmp %0, $0; mov $0x5678, %%eax" ::"i"(MAIN_TSS) : "eax", "memory");
        }
    }
}

static void check_jump(void)
{
    u32 kept = 0;

    init_tss(&other, OTHER_TSS, other_main, other_stack + sizeof(other_stack));
    __asm__ volatile("mov $0xabcd, %%ebx; ljmp %1, $0; mov %%ebx, %0"
                     : "=r"(kept)
                     : "i"(OTHER_TSS)
                     : "ebx", "eax", "ecx", "edx", "memory");
    check_is(runs, 1, "a far jump to a TSS and back");
    check_is(seen_eax, 0x1234, "  registers come from its TSS");
    check_is(kept, 0xabcd, "  and come back");
    check_is(task_register(), MAIN_TSS, "  TR");
    check(is_busy(MAIN_TSS) && !is_busy(OTHER_TSS), "  busy bits");
    check(read_cr0() & 8, "  CR0.TS is set");
    __asm__ volatile("clts");
}

static void check_call(void)
{
    init_tss(&other, OTHER_TSS, other_main, other_stack + sizeof(other_stack));
    __asm__ volatile("lcall %0, $0" ::"i"(OTHER_TSS) : "eax", "ecx", "edx", "memory");
    check_is(runs, 2, "a far call of a TSS, and IRET");
    check_is(seen_link & 0xffff, MAIN_TSS, "  the link");
    check(seen_flags & 1u << 14 && !(read_flags() & 1u << 14), "  NT");
    check(is_busy(MAIN_TSS) && !is_busy(OTHER_TSS), "  busy bits");
    init_tss(&other, OTHER_TSS, other_main, other_stack + sizeof(other_stack));
    gdt[TASK_GATE / 8] = (u64)OTHER_TSS << 16 | 0x8500ull << 32;
    __asm__ volatile("lcall %0, $0" ::"i"(TASK_GATE) : "eax", "ecx", "edx", "memory");
    check_is(runs, 3, "by a task gate in the GDT");
    set_gate(0x40, 0, OTHER_TSS, 0x85, 0);
    init_tss(&other, OTHER_TSS, other_main, other_stack + sizeof(other_stack));
    __asm__ volatile("int $0x40" ::: "eax", "ecx", "edx", "memory");
    check_is(runs, 4, "by a task gate in the IDT");
}

static void jump_to(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } pointer = {0, (u16)selector};

    __asm__ volatile("ljmp *%0" ::"m"(pointer) : "memory");
}

static void check_refused(void)
{
    check_fault(jump_to, MAIN_TSS, VECTOR_GP, MAIN_TSS, "a busy TSS cannot be jumped to");
    set_descriptor(OTHER_TSS, (word)&other, 0x66, TSS_AVAILABLE);
    check_fault(jump_to, OTHER_TSS, VECTOR_TS, OTHER_TSS, "one that is too small: #TS");
    set_descriptor(OTHER_TSS, (word)&other, sizeof(other) - 1, TSS_AVAILABLE & ~0x80);
    check_fault(jump_to, OTHER_TSS, VECTOR_NP, OTHER_TSS, "one not present: #NP");
}

/* ------------------------------------------------------------------ #DF in a task of its own */

static void fault_main(void)
{
    u32 error;

    __asm__ volatile("mov (%%esp), %0" : "=r"(error)); /* no frame: compiled without one */
    (void)error;
    fault_error = on_fault.link;
    fault.vector = VECTOR_DF;
    /* The task that lost its stack is not resumed, only its place in TR is. */
    on_fault.link = 0;
    gdt[MAIN_TSS / 8] &= ~((u64)BUSY << 40);
    *(u32 *)(main_tss + 0x20) = (word)attempt_recover;
    *(u32 *)(main_tss + 0x24) = 2;
    *(u32 *)(main_tss + 0x38) = (word)kernel_stack_end - 16384;
    __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf; ljmp %0, $0" ::"i"(MAIN_TSS) : "memory");
}

static void lose_stack(word unused)
{
    (void)unused;
    /* A stack segment of which there is nothing at this offset: #SS cannot be pushed either. */
    set_descriptor(FREE_SELECTOR + 32, 0, 0xfff, 0x4093);
    __asm__ volatile("mov %0, %%ss; mov $0x8000, %%esp; push %%eax" ::"r"(FREE_SELECTOR + 32)
                     : "memory");
}

static void check_double(void)
{
    init_tss(&on_fault, FAULT_TSS, fault_main, fault_stack + sizeof(fault_stack));
    set_gate(VECTOR_DF, 0, FAULT_TSS, 0x85, 0);
    attempt(lose_stack, 0);
    check_is(fault.vector, VECTOR_DF, "#DF by a task gate, the stack being lost");
    check_is(fault_error & 0xffff, MAIN_TSS, "  its link");
    check_is(task_register(), MAIN_TSS, "  and back");
}

/* ------------------------------------------------------------------ call gate */

u32 gate_sum, gate_cs;
extern u8 gate_target[];

__asm__("gate_target:\n"
        "  mov %cs, gate_cs\n"
        "  mov 8(%esp), %eax\n" /* the parameters are above the return address */
        "  add 12(%esp), %eax\n"
        "  mov %eax, gate_sum\n"
        "  lret $8\n");

static void user_call(word unused)
{
    (void)unused;
    __asm__ volatile("push $30; push $12; lcall %0, $0" ::"i"(CALL_GATE | 3) : "eax", "memory");
}

static void check_gate(void)
{
    u64 target = (word)gate_target;

    gdt[CALL_GATE / 8] =
        (target & 0xffff) | (u64)KERNEL_CS << 16 | 0xec02ull << 32 | (target >> 16 & 0xffff) << 48;
    attempt_user(user_call, 0);
    check_is(fault.vector, NO_FAULT, "a call gate from CPL 3, and back");
    check_is(gate_sum, 42, "  its parameters are copied");
    check_is(gate_cs & 0xffff, KERNEL_CS, "  CPL 0 inside");
    gdt[CALL_GATE / 8] &= ~(3ull << 45);
    attempt_user(user_call, 0);
    check(fault.vector == VECTOR_GP && fault.error == CALL_GATE, "a gate of DPL 0 is refused");
}

void guest_main(void)
{
    check_jump();
    check_call();
    check_refused();
    check_double();
    check_gate();
}
