/* debug.c - single-step, INT1, breakpoints on instructions, data and ports, DR6's bits. */
#include "guest.h"

static volatile unsigned count;
static word addresses[16];
static word dr6;

static void on_debug(struct frame *frame)
{
    if (count < 16) {
        addresses[count] = frame->ip;
    }
    count++;
    dr6 = read_dr6();
    write_dr6(0xffff0ff0);
    frame->flags |= 1u << 16; /* RF: go on past an instruction breakpoint */
}

extern u8 step_1[], step_2[], step_3[], step_end[];

static void check_steps(void)
{
    count = 0;
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf\n"
                     "step_1: nop\n"
                     "step_2: mov $1, %%eax\n"
                     "step_3: pushf; andl $~0x100, (%%rsp); popf\n"
                     "step_end: nop" ::
                         : "eax", "memory", "cc");
    check_is(count, 5, "single-step: one #DB an instruction");
    check(addresses[0] == (word)step_2 && addresses[1] == (word)step_3, "  after the instruction");
    check_is(dr6 & 0xe00f, 0x4000, "  DR6.BS");
    count = 0;
    __asm__ volatile("mov %%ss, %%eax; pushf; orl $0x100, (%%rsp); popf; mov %%eax, %%ss; nop; "
                     "pushf; andl $~0x100, (%%rsp); popf" ::
                         : "eax", "memory", "cc");
    check_is(count, 4, "none after MOV SS");
    count = 0;
    __asm__ volatile(".byte 0xf1");
    check_is(count, 1, "INT1");
}

static volatile u32 watched;

static void enable(unsigned type, unsigned length)
{
    write_dr7(0x400 | 2 | type << 16 | length << 18);
}

static void check_data(void)
{
    write_dr0((word)&watched);
    enable(1, 3);
    count = 0;
    watched = 5;
    check_is(count, 1, "a write of a watched dword");
    check_is(dr6 & 0xf, 1, "  DR6.B0");
    (void)watched;
    check_is(count, 1, "a read of it does not matter");
    ((volatile u8 *)&watched)[3] = 1;
    check_is(count, 2, "a byte of it does");
    enable(3, 3);
    (void)watched;
    check_is(count, 3, "watched for reads, too");
    enable(1, 0);
    ((volatile u8 *)&watched)[1] = 1;
    check_is(count, 3, "only the watched byte");
    *(volatile u64 *)((word)&watched - 4) = 1;
    check_is(count, 4, "a wider write that covers it");
    write_cr4(read_cr4() | 8); /* DE */
    write_dr0(0x80);
    enable(2, 0);
    count = 0;
    outb(0x80, 0);
    check_is(count, 1, "a port");
    outb(0x84, 0);
    check_is(count, 1, "  not another one");
}

extern u8 break_here[];

static __attribute__((noinline)) void run_break(void)
{
    __asm__ volatile("nop\nbreak_here: nop\nnop");
}

static void check_code(void)
{
    write_dr0((word)break_here);
    enable(0, 0);
    count = 0;
    run_break();
    check_is(count, 1, "an instruction, once thanks to RF");
    check(addresses[0] == (word)break_here, "  before it");
    run_break();
    check_is(count, 2, "  and every time");
    write_dr7(0x400);
    run_break();
    check_is(count, 2, "switched off");
}

static void touch_dr7(word unused)
{
    (void)unused;
    __asm__ volatile("mov %%dr7, %%rax" ::: "rax");
}
static void touch_dr4(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0x0f, 0x21, 0xe0"); /* mov rax, dr4 */
}

static void on_detect(struct frame *frame)
{
    dr6 = read_dr6(); /* GD is clear in the handler */
    frame->ip += 3;
    frame->flags &= ~(word)0x10000;
    count++;
}

static void check_detect(void)
{
    handlers[VECTOR_DB] = on_detect;
    count = 0;
    write_dr7(0x400 | 1 << 13);
    touch_dr7(0);
    check(count == 1 && dr6 & 1 << 13, "general detect");
    write_dr7(0x400);
    check_fault(touch_dr4, 0, VECTOR_UD, 0, "DR4 with CR4.DE");
}

void guest_main(void)
{
    handlers[VECTOR_DB] = on_debug;
    check_steps();
    check_data();
    check_code();
    check_detect();
}
