/*
 * v86.c - virtual-8086 mode: segments are paragraphs, what traps by IOPL, a monitor that reflects
 * INT through the real-mode vectors, VME's own reflection, and the return.
 *
 * Intel SDM vol. 3B, "8086 Emulation".
 */
#include "guest.h"

enum { BASE = 0x10000, SEGMENT = BASE >> 4, STACK = 0x1000, FLAGS_VM = 1 << 17, FLAGS_IF = 0x200 };
enum { IOPL_3 = 3 << 12, END = 0xf1 /* INT1: not by the monitor */, CR4_VME = 1 };

static volatile unsigned gp_count, reflected, last_error;
static u32 result_ax, result_flags;
static bool in_v86;

/* The real-mode program. */
extern u8 v86_program[], v86_program_end[], v86_handler[];
__asm__(".code16\n"
        "v86_program:\n"
        "  mov %cs, %ax\n"
        "  mov %ax, %ds\n"
        "  mov $5, %ax\n"
        "  int $0x60\n" /* its handler adds 100 */
        "  cli\n"
        "  sti\n"
        "  pushf\n"
        "  pop %bx\n"
        "  .byte 0xf1\n"
        "v86_handler:\n"
        "  add $100, %ax\n"
        "  iret\n"
        "v86_program_end:\n"
        ".code32\n");

static u16 *stack_at(struct frame *f)
{
    return (u16 *)((f->ss << 4) + (f->sp & 0xffff));
}

static void push(struct frame *f, u16 value)
{
    f->sp = (f->sp - 2) & 0xffff;
    *stack_at(f) = value;
}

static u16 pop(struct frame *f)
{
    u16 value = *stack_at(f);
    f->sp = (f->sp + 2) & 0xffff;
    return value;
}

/* The monitor of IOPL 0: as a DOS extender's. */
static void on_gp(struct frame *f)
{
    u8 *code = (u8 *)((f->cs << 4) + f->ip);

    gp_count++;
    if (!(f->flags & FLAGS_VM)) {
        print("FAIL #GP outside of virtual-8086 mode at %x\n", (unsigned)f->ip);
        guest_exit(EXIT_BAD);
    }
    last_error = (unsigned)f->error;
    switch (code[0]) {
    case 0xcd: {
        u16 *vector = (u16 *)(word)(code[1] * 4);
        push(f, (u16)f->flags);
        push(f, (u16)f->cs);
        push(f, (u16)(f->ip + 2));
        f->ip = vector[0];
        f->cs = vector[1];
        reflected++;
        break;
    }
    case 0xcf:
        f->ip = pop(f);
        f->cs = pop(f);
        f->flags = (f->flags & 0xffff0000) | pop(f) | FLAGS_IF;
        break;
    case 0xfa:
    case 0xfb:
        f->ip++;
        break;
    case 0x9c:
        push(f, (u16)f->flags);
        f->ip++;
        break;
    default:
        print("FAIL #GP at %x:%x by %x\n", (unsigned)f->cs, (unsigned)f->ip, code[0]);
        guest_exit(EXIT_BAD);
    }
}

static void on_end(struct frame *f)
{
    in_v86 = f->flags & FLAGS_VM;
    result_ax = (u32)f->ax & 0xffff;
    result_flags = (u32)f->bx & 0xffff;
    attempt_recover();
}

static void enter(word flags)
{
    *(u32 *)(main_tss + 4) = (word)kernel_stack_end - 8192;
    __asm__ volatile(
        "pushl $0; pushl $0; pushl %1; pushl %1\n" /* GS FS DS ES */
        "pushl %1; pushl %2; pushl %0; pushl %1; pushl $0; iretl" ::"r"(flags | FLAGS_VM | 2),
        "r"(SEGMENT), "i"(STACK)
        : "memory");
}

static void run(u32 flags)
{
    gp_count = reflected = 0;
    in_v86 = false;
    attempt(enter, flags);
}

void guest_main(void)
{
    u8 *to = (u8 *)BASE;
    word vectors = 0;

    for (u8 *p = v86_program; p < v86_program_end; p++) {
        *to++ = *p;
    }
    __asm__("" : "+r"(vectors)); /* for the compiler there is nothing at address 0 */
    *(u16 *)(vectors + 0x60 * 4) = (u16)(v86_handler - v86_program);
    *(u16 *)(vectors + 0x60 * 4 + 2) = SEGMENT;
    handlers[VECTOR_GP] = on_gp;
    handlers[VECTOR_DB] = on_end;

    run(FLAGS_IF);
    check(in_v86, "in virtual-8086 mode and back");
    check_is(result_ax, 105, "  its INT was reflected");
    check(reflected == 1 && gp_count == 5, "IOPL 0: INT, IRET, CLI, STI and PUSHF trap");
    check_is(last_error, 0, "  with error 0");

    set_gate(0x60, (word)interrupt_stubs, KERNEL_CS, 0x8e, 0);
    run(FLAGS_IF | IOPL_3);
    check(gp_count == 1 && reflected == 1, "IOPL 3: INT n to a gate of DPL 0 traps, nothing else");
    check_is(last_error, 0x60 * 8 + 2, "  with the gate in the error");

    /* With VME and a clear bit in the redirection bitmap the CPU itself reflects. */
    static u8 tss[0x68 + 32 + 8192 + 1];
    for (unsigned i = 0; i < sizeof(main_tss); i++) {
        tss[i] = main_tss[i];
    }
    *(u16 *)(tss + 102) = 0x68 + 32;
    tss[sizeof(tss) - 1] = 0xff;
    *(u32 *)(tss + 4) = (word)kernel_stack_end - 8192;
    set_descriptor(MAIN_TSS, (word)tss, sizeof(tss) - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    write_cr4(read_cr4() | CR4_VME);
    run(FLAGS_IF);
    check_is(result_ax, 105, "VME: the INT went through the real-mode vectors");
    check_is(gp_count, 0, "  without a trap, and CLI and STI work on VIF");
    check(result_flags & FLAGS_IF, "  which PUSHF shows as IF");
}
