/*
 * taskfaults.c - task switches that fail, before and after the point where the new task is the one
 * that fails; and what a switch loads and saves: 16-bit tasks, an LDT, CR3, the debug trap, NT.
 *
 * Intel SDM vol. 3A, "Task Management", in it the table of exceptions and of the order of checks;
 * "Task Linking".
 */
#include "tss.h"

enum {
    OTHER = FREE_SELECTOR,
    GATE = FREE_SELECTOR + 0x08,
    LDT = FREE_SELECTOR + 0x10,
    TESTED = FREE_SELECTOR + 0x18,
    FAR = 0xff8, /* beyond the GDT */
    TSS_32 = 0x89,
    TSS_16 = 0x81,
    BUSY = 2,
    FLAG_NT = 1 << 14,
    FLAG_VM = 1 << 17,
    DR6_BT = 1 << 15,
};

struct tss_16 {
    u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
    u16 ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

static struct tss other;
static struct tss_16 narrow;
static u8 other_stack[4096] __attribute__((aligned(16)));
static u64 ldt[4];

/* ------------------------------------------------------------------ a switch and its end */

/* What was when the new task ran its first instruction, which is INT 0xff, or when it failed. */
static struct {
    u32 vector, error, ip, cs, flags, tr, ds, es, fs, gs, ax, sp;
    bool own_busy, other_busy;
} seen;

/* Makes the main task the current one again, whatever is current. */
static void become_main(void)
{
    gdt[MAIN_TSS / 8] &= ~((u64)BUSY << 40);
    __asm__ volatile("ltr %w0; lldt %w1; clts" ::"r"(MAIN_TSS), "r"(0));
}

static void on_any(struct frame *f)
{
    seen.vector = (u32)f->vector;
    seen.error = (u32)f->error;
    seen.ip = (u32)f->ip;
    seen.cs = (u32)f->cs & 0xffff;
    seen.flags = (u32)f->flags;
    seen.tr = task_register() & ~7u;
    seen.ds = (u32)f->ds & 0xffff;
    seen.es = (u32)f->es & 0xffff;
    __asm__ volatile("mov %%fs, %0" : "=r"(seen.fs));
    __asm__ volatile("mov %%gs, %0" : "=r"(seen.gs));
    seen.ax = (u32)f->ax;
    seen.sp = f->cs & 3 || f->flags & FLAG_VM ? (u32)f->sp : (u32)(word)(&f->flags + 1);
    seen.own_busy = is_busy(MAIN_TSS);
    seen.other_busy = is_busy(OTHER);
    become_main();
    __asm__ volatile(
        "pushf; andl $~0x4000, (%%esp); popf; mov %0, %%fs; mov %0, %%gs" ::"r"(KERNEL_DS)
        : "cc", "memory");
    attempt_recover();
}

void arrived(void);
extern u8 arrived_next[];
__asm__("arrived: int $0xff; arrived_next: hlt\n");

static void init_other(void)
{
    other = (struct tss){.eip = (word)arrived,
                         .eflags = 2,
                         .esp = (word)other_stack + sizeof(other_stack),
                         .esp0 = (word)other_stack + 2048,
                         .ss0 = KERNEL_DS,
                         .cs = KERNEL_CS,
                         .ds = KERNEL_DS,
                         .es = KERNEL_DS,
                         .ss = KERNEL_DS,
                         .fs = KERNEL_DS,
                         .gs = KERNEL_DS,
                         .eax = 0x1234,
                         .iomap = sizeof(other)};
    set_descriptor(OTHER, (word)&other, sizeof(other) - 1, TSS_32);
    seen.vector = NO_FAULT;
}

static void jump_to(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } pointer = {0xdeadbeef, (u16)selector};

    __asm__ volatile("ljmp *%0" ::"m"(pointer) : "memory");
}
static void call_to(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } pointer = {0xdeadbeef, (u16)selector};

    __asm__ volatile("lcall *%0" ::"m"(pointer) : "memory");
}
static void interrupt(word unused)
{
    (void)unused;
    __asm__ volatile("int $0x40");
}

/* An IRET with NT: to the task in the link field of the main TSS. */
static void iret_to(word selector)
{
    *(u16 *)main_tss = (u16)selector;
    __asm__ volatile("pushf; orl $0x4000, (%%esp); popf; iret" ::: "memory", "cc");
}

/* ------------------------------------------------------------------ the old task fails */

static void refused(void (*what)(word), word argument, u32 vector, u32 error, const char *name)
{
    attempt(what, argument);
    bool good = seen.vector == vector && seen.error == error && seen.tr == MAIN_TSS;
    check(good, name);
    if (!good) {
        print("     vector %x error %x in task %x, not %x %x\n", seen.vector, seen.error, seen.tr,
              vector, error);
    }
    init_other();
}

static void set_other(u32 limit, u16 attributes)
{
    set_descriptor(OTHER, (word)&other, limit, attributes);
}

static void set_task_gate(u16 selector, unsigned dpl, bool present)
{
    gdt[GATE / 8] = (u64)selector << 16 | (u64)(0x05 | dpl << 5 | (present ? 0x80 : 0)) << 40;
}

static void check_refused(void)
{
    init_other();
    set_other(0x66, TSS_32);
    refused(jump_to, OTHER, VECTOR_TS, OTHER, "JMP to a TSS that is too short");
    set_other(0x66, TSS_32);
    refused(call_to, OTHER, VECTOR_TS, OTHER, "CALL of one");
    set_other(0x2a, TSS_16);
    refused(jump_to, OTHER, VECTOR_TS, OTHER, "a short one of 16 bits");
    set_other(0x67, TSS_32 & ~0x80);
    refused(jump_to, OTHER, VECTOR_NP, OTHER, "one not present");
    set_other(0x67, TSS_32 | BUSY);
    refused(jump_to, OTHER, VECTOR_GP, OTHER, "JMP to a busy one");
    set_other(0x67, TSS_32 | BUSY);
    refused(call_to, OTHER, VECTOR_GP, OTHER, "CALL of a busy one");
    set_other(0x67, TSS_32 | BUSY);
    set_task_gate(OTHER, 0, true);
    refused(jump_to, GATE, VECTOR_GP, OTHER, "by a task gate");
    set_gate(0x40, 0, OTHER, 0x85, 0);
    set_other(0x67, TSS_32 | BUSY);
    refused(interrupt, 0, VECTOR_GP, OTHER, "by an interrupt");
    set_task_gate(OTHER, 0, false);
    refused(jump_to, GATE, VECTOR_NP, GATE, "a task gate not present");
    set_task_gate(FAR, 0, true);
    refused(jump_to, GATE, VECTOR_GP, FAR, "a task gate to nowhere");
    set_task_gate(OTHER | 4, 0, true);
    refused(jump_to, GATE, VECTOR_GP, OTHER | 4, "a task gate to an LDT");
    set_task_gate(0, 0, true);
    refused(jump_to, GATE, VECTOR_GP, 0, "a task gate to null");
    set_task_gate(KERNEL_DS, 0, true);
    refused(jump_to, GATE, VECTOR_GP, KERNEL_DS, "a task gate to data");
    set_gate(0x40, 0, FAR, 0x85, 0);
    refused(interrupt, 0, VECTOR_GP, FAR, "an interrupt to nowhere");
    set_gate(0x40, 0, OTHER, 0x05, 0);
    refused(interrupt, 0, VECTOR_NP, 0x40 * 8 + 2, "an interrupt's task gate not present");
    refused(iret_to, OTHER, VECTOR_TS, OTHER, "IRET to a task that is not busy");
    refused(iret_to, FAR, VECTOR_TS, FAR, "IRET to nowhere");
    refused(iret_to, KERNEL_DS, VECTOR_TS, KERNEL_DS, "IRET to data");
    refused(iret_to, OTHER | 4, VECTOR_TS, OTHER | 4, "IRET to an LDT");
    set_other(0x66, TSS_32 | BUSY);
    refused(iret_to, OTHER, VECTOR_TS, OTHER, "IRET to one too short");
    set_other(0x67, (TSS_32 & ~0x80) | BUSY);
    refused(iret_to, OTHER, VECTOR_NP, OTHER, "IRET to one not present");
}

/* DPL of a TSS and of task gates, at CPL 3. */
static void check_privilege(void)
{
    init_other();
    attempt_user(jump_to, OTHER | 3);
    check(seen.vector == VECTOR_GP && seen.error == OTHER, "a TSS of DPL 0 from CPL 3");
    init_other();
    set_other(0x67, TSS_32 | 0x60);
    attempt_user(jump_to, OTHER | 3);
    check(seen.vector == 0xff && seen.tr == OTHER, "one of DPL 3 from CPL 3");
    init_other();
    set_other(0x67, TSS_32 | 0x60);
    attempt(jump_to, OTHER | 3);
    check(seen.vector == 0xff && seen.tr == OTHER, "one of DPL 3 by RPL 3 from CPL 0");
    init_other();
    attempt(jump_to, OTHER | 3);
    check(seen.vector == VECTOR_GP && seen.error == OTHER, "one of DPL 0 by RPL 3");
    init_other();
    set_task_gate(OTHER, 3, true);
    attempt_user(jump_to, GATE | 3);
    check(seen.vector == 0xff && seen.tr == OTHER, "a gate of DPL 3 to a TSS of DPL 0");
    check_is(seen.cs, KERNEL_CS, "  into its CPL");
    init_other();
    set_task_gate(OTHER, 0, true);
    attempt_user(jump_to, GATE | 3);
    check(seen.vector == VECTOR_GP && seen.error == GATE, "a gate of DPL 0");
    init_other();
    set_gate(0x40, 0, OTHER, 0x85, 0);
    attempt_user(interrupt, 0);
    check(seen.vector == VECTOR_GP && seen.error == 0x40 * 8 + 2, "INT to a task gate of DPL 0");
    init_other();
    set_gate(0x40, 0, OTHER, 0xe5, 0);
    attempt_user(interrupt, 0);
    check(seen.vector == 0xff && seen.tr == OTHER, "INT to one of DPL 3");
}

/* ------------------------------------------------------------------ the new task fails */

/* Its stack is good by then where the handler needs one: SS comes second. */
static void fails(u32 vector, u32 error, const char *name)
{
    attempt(jump_to, OTHER);
    bool good = seen.vector == vector && seen.error == error && seen.tr == OTHER &&
                seen.ip == (word)arrived && !seen.own_busy && seen.other_busy;
    check(good, name);
    if (!good) {
        print("     vector %x error %x in task %x at %x, not %x %x\n", seen.vector, seen.error,
              seen.tr, seen.ip, vector, error);
    }
    init_other();
}

static void set_tested(u16 attributes)
{
    set_descriptor(TESTED, 0, 0xfffff, 0xc000 | attributes);
}

static void user_segments(void)
{
    other.cs = USER_CS32;
    other.ss = other.ds = other.es = other.fs = other.gs = USER_DS;
}

static void check_new(void)
{
    /* All at CPL 3, so that the handler's stack is that of the new TSS, and good: with no SS yet, a
     * handler at the same CPL cannot run.  The manual says to use a task gate. */
    init_other();
    user_segments();
    other.ldt = FAR;
    fails(VECTOR_TS, FAR, "an LDT that is nowhere");
    user_segments();
    other.ldt = KERNEL_DS;
    fails(VECTOR_TS, KERNEL_DS, "an LDT that is data");
    user_segments();
    set_descriptor(LDT, (word)ldt, sizeof(ldt) - 1, 0x02);
    other.ldt = LDT;
    fails(VECTOR_TS, LDT, "an LDT not present");
    user_segments();
    other.ldt = LDT | 4;
    fails(VECTOR_TS, LDT | 4, "an LDT in an LDT");

    static const struct {
        u16 selector, attributes;
        u32 vector, error;
        const char *name;
    } code[] =
        {
            {3, 0xfb, VECTOR_TS, 0, "null in CS with RPL 3"},
            {FAR | 3, 0xfb, VECTOR_TS, FAR, "CS outside of the GDT"},
            {TESTED | 3, 0xf3, VECTOR_TS, TESTED, "CS of data"},
            {TESTED | 3, 0x9b, VECTOR_TS, TESTED, "CS of another DPL"},
            {TESTED | 3, 0x7b, VECTOR_NP, TESTED, "CS not present"},
            {TESTED | 3, 0x99 ^ 0x80, VECTOR_TS, TESTED, "CS of another DPL, not present"},
        },
      data[] = {
          {FAR | 3, 0xf3, VECTOR_TS, FAR, "DS outside of the GDT"},
          {TESTED | 3, 0x93, VECTOR_TS, TESTED, "DS of DPL 0 at CPL 3"},
          {TESTED | 3, 0xf9, VECTOR_TS, TESTED, "DS of code that cannot be read"},
          {TESTED | 3, 0xe2, VECTOR_TS, TESTED, "DS of a system segment"},
          {TESTED | 3, 0x73, VECTOR_NP, TESTED, "DS not present"},
      };
    for (unsigned i = 0; i < ARRAY_SIZE(code); i++) {
        set_tested(code[i].attributes);
        user_segments();
        other.cs = code[i].selector;
        fails(code[i].vector, code[i].error, code[i].name);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        u32 *where[] = {&other.ds, &other.es, &other.fs, &other.gs};
        for (unsigned j = 0; j < 4; j++) {
            set_tested(data[i].attributes);
            user_segments();
            *where[j] = data[i].selector;
            fails(data[i].vector, data[i].error, data[i].name);
        }
    }
    static const struct {
        u16 selector, attributes;
        u32 vector, error;
        const char *name;
    } stack[] = {
        {0, 0xf3, VECTOR_TS, 0, "null in SS"},
        {FAR | 3, 0xf3, VECTOR_TS, FAR, "SS outside of the GDT"},
        {TESTED, 0xf3, VECTOR_TS, TESTED, "SS with another RPL"},
        {TESTED | 3, 0x93, VECTOR_TS, TESTED, "SS of another DPL"},
        {TESTED | 3, 0xf1, VECTOR_TS, TESTED, "SS that cannot be written"},
        {TESTED | 3, 0xfb, VECTOR_TS, TESTED, "SS of code"},
        {TESTED | 3, 0x73, VECTOR_SS, TESTED, "SS not present"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(stack); i++) {
        set_tested(stack[i].attributes);
        user_segments();
        other.ss = stack[i].selector;
        fails(stack[i].vector, stack[i].error, stack[i].name);
    }
    set_descriptor(TESTED, 0, 0xff, 0x40fb);
    user_segments();
    other.cs = TESTED | 3;
    fails(VECTOR_GP, 0, "EIP past the limit of CS");
}

/* ------------------------------------------------------------------ what is loaded and saved */

static void check_loaded(void)
{
    init_other();
    set_descriptor(LDT, (word)ldt, sizeof(ldt) - 1, 0x82);
    ldt[1] = 0x00cff3000000ffff;
    other.ldt = LDT;
    other.ds = 8 | 4 | 3;
    other.es = USER_DS;
    other.cs = USER_CS32;
    other.ss = USER_DS;
    other.fs = other.gs = 0;
    other.eflags = 0x200ad7;
    attempt(jump_to, OTHER);
    check(seen.vector == 0xff && seen.ds == (8 | 4 | 3), "DS from the task's own LDT");
    check_is(seen.cs, USER_CS32, "  at CPL 3");
    check(seen.es == USER_DS && seen.fs == 0 && seen.gs == 0, "  null in FS and GS");
    check_is(seen.flags, 0x200ad7, "  EFLAGS");
    check(seen.ax == 0x1234 && seen.sp == other.esp, "  EAX and ESP");

    init_other();
    attempt(call_to, OTHER);
    check(seen.flags & FLAG_NT && other.link == MAIN_TSS, "CALL nests: NT and the link");
    check(seen.own_busy && seen.other_busy, "  both are busy");
    init_other();
    other.link = 0x7777;
    attempt(jump_to, OTHER);
    check(!(seen.flags & FLAG_NT) && other.link == 0x7777, "JMP does not");
    init_other();
    other.eflags |= FLAG_NT;
    attempt(jump_to, OTHER);
    check(seen.flags & FLAG_NT, "  but takes NT from the TSS");

    init_other();
    set_other(0x67, TSS_32 | BUSY);
    attempt(iret_to, OTHER);
    check(seen.vector == 0xff && seen.tr == OTHER, "IRET to a busy task");
    check(!seen.own_busy && seen.other_busy, "  leaves the old one available");
    check(!(*(u32 *)(main_tss + 0x24) & FLAG_NT), "  whose saved NT is clear");

    init_other();
    other.eflags |= FLAG_VM;
    other.cs = other.ss = other.ds = other.es = other.fs = other.gs = 0x9000;
    other.eip = 0;
    other.esp = 0x1000;
    word base = 0x90000;
    __asm__("" : "+r"(base));
    *(u16 *)base = 0xffcd; /* INT FFh, of which IOPL 0 makes #GP */
    attempt(jump_to, OTHER);
    check(seen.vector == VECTOR_GP && seen.cs == 0x9000 && seen.flags & FLAG_VM,
          "a task in virtual-8086 mode");

    write_dr7(0x4ff);
    init_other();
    attempt(jump_to, OTHER);
    check_is(read_dr7() & 0xff, 0xaa, "a switch clears the local breakpoints");
    write_dr7(0x400);
    init_other();
    other.trap = 1;
    write_dr6(0xffff0ff0);
    attempt(jump_to, OTHER);
    check(seen.vector == VECTOR_DB && seen.ip == (word)arrived && read_dr6() & DR6_BT,
          "the T bit: #DB before the first instruction, with DR6.BT");
    write_dr6(0xffff0ff0);
}

extern u8 jump_from[], jump_after[];
static void jump_saved(word unused)
{
    (void)unused;
    __asm__ volatile("mov $0x11, %%ecx; mov $0x22, %%edx; mov $0x55, %%esi; stc; "
                     "ljmp %0, $0; jump_after:" ::"i"(OTHER)
                     : "ecx", "edx", "esi", "cc");
}

static void check_saved(void)
{
    struct tss *main = (struct tss *)main_tss;

    init_other();
    main->cr3 = 0x12345678;
    attempt(jump_saved, 0);
    check(main->ecx == 0x11 && main->edx == 0x22 && main->esi == 0x55, "registers are saved");
    check(main->eip == (word)jump_after && main->cs == KERNEL_CS, "  CS and EIP, the next one");
    check(main->eflags & 1, "  EFLAGS");
    check(main->cr3 == 0x12345678, "  not CR3");
    check(main->ss0 == KERNEL_DS, "  nor what is static");
}

/* Of 16 bits: its code has to be in 64 KiB, and its stack in the first. */
static void check_narrow(void)
{
    word base = (word)arrived & ~(word)0xffff;

    set_descriptor(TESTED, base, 0xffff, 0x9b);
    narrow = (struct tss_16){.ip = (u16)(word)arrived,
                             .flags = 2,
                             .sp = 0x7000,
                             .ax = 0x4321,
                             .cs = TESTED,
                             .ss = KERNEL_DS,
                             .ds = KERNEL_DS,
                             .es = KERNEL_DS};
    set_descriptor(OTHER, (word)&narrow, sizeof(narrow) - 1, TSS_16);
    seen.vector = NO_FAULT;
    attempt(call_to, OTHER);
    check(seen.vector == 0xff && seen.tr == OTHER, "a 16-bit task");
    check(seen.cs == TESTED && seen.ip == (u16)(word)arrived_next, "  CS and IP");
    check(seen.fs == 0 && seen.gs == 0, "  FS and GS are null");
    check_is(seen.ax & 0xffff, 0x4321, "  AX");
    check(narrow.link == MAIN_TSS && seen.flags & FLAG_NT, "  its link");
}

/* ------------------------------------------------------------------ error codes */

void with_error(void);
__asm__("with_error: mov %esp, error_sp; mov (%esp), %eax; int $0xff\n.data\nerror_sp: .long "
        "0\n.text\n");
extern u32 error_sp;

static void load_bad(word selector)
{
    __asm__ volatile("mov %0, %%fs" ::"r"(selector));
}

static void check_errors(void)
{
    init_other();
    other.eip = (word)with_error;
    set_gate(VECTOR_GP, 0, OTHER, 0x85, 0);
    attempt(load_bad, FAR);
    set_gate(VECTOR_GP, (word)(interrupt_stubs + 16 * VECTOR_GP), KERNEL_CS, 0x8e, 0);
    check(seen.vector == 0xff && seen.ax == FAR, "an error code on the new task's stack");
    check_is(error_sp, other.esp - 4, "  of 4 bytes");
}

/* ------------------------------------------------------------------ CR3 */

static u32 directories[2][1024] __attribute__((aligned(4096)));

/* Has to be last: paging stays on. */
static void check_cr3(void)
{
    for (u32 d = 0; d < 2; d++) {
        for (u32 i = 0; i < 1024; i++) {
            directories[d][i] = i << 22 | 0x83;
        }
    }
    write_cr4(read_cr4() | 0x10);
    write_cr3((word)directories[0]);
    write_cr0(read_cr0() | 1u << 31);
    init_other();
    other.cr3 = (word)directories[1];
    attempt(jump_to, OTHER);
    check(seen.vector == 0xff && read_cr3() == (word)directories[1], "CR3 is loaded from the TSS");
    init_other();
    other.cr3 = (word)directories[0];
    set_task_gate(OTHER, 0, true);
    attempt(call_to, GATE);
    check(seen.vector == 0xff && read_cr3() == (word)directories[0], "  by a gate, too");
    /* A page of the new TSS that is not there: the old task fails. */
    set_descriptor(OTHER, 0x40000000, 0x67, TSS_32);
    directories[0][0x100] = 0;
    write_cr3(read_cr3());
    attempt(jump_to, OTHER);
    check(seen.vector == VECTOR_PF && seen.tr == MAIN_TSS && seen.error == 0,
          "a TSS that is not mapped: #PF in the old task");
    check_is(read_cr2() & ~0xfffu, 0x40000000, "  CR2");
}

void guest_main(void)
{
    static const u8 vectors[] = {VECTOR_DB, VECTOR_TS, VECTOR_NP, VECTOR_SS,
                                 VECTOR_GP, VECTOR_PF, 0xff};

    for (unsigned i = 0; i < sizeof(vectors); i++) {
        handlers[vectors[i]] = on_any;
    }
    check_refused();
    check_privilege();
    check_new();
    check_loaded();
    check_saved();
    check_narrow();
    check_errors();
    check_cr3();
}
