/*
 * ferr.c - x87 exceptions with CR0.NE clear: not #MF but FERR#, which is IRQ 13 on a PC, and
 * IGNNE#, by which the handler goes on.
 *
 * Intel SDM vol. 1, "MS-DOS Compatibility Sub-mode".  An exception is told by the next instruction
 * that waits, and that one is executed only after the interrupt.
 */
#include "guest.h"

enum { CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_NE = 32 };
enum { ZE = 4, ES = 128 };
enum { IRQ = 13, PORT_CLEAR = 0xf0, PORT_RESET = 0xf1, CASCADE = 4, TIMER = 1 };
enum { PIC2_MASK = 0xa1, LINE = 1 << (IRQ - 8) };

static unsigned interrupts, ticks, wanted_ticks, taken_after;
static word taken_at;
static bool clears_exception;
static u16 clear_port;

static u16 status_word(void)
{
    u16 sw;

    __asm__ volatile("fnstsw %0" : "=a"(sw));
    return sw;
}

static void on_irq13(struct frame *frame)
{
    interrupts++;
    taken_at = frame->ip;
    taken_after = ticks;
    outb(clear_port, 0);
    if (clears_exception) {
        __asm__ volatile("fnclex");
    }
    pic_eoi(IRQ);
}

/* Lets IRQ 13 in after some ticks. */
static void on_tick(struct frame *frame)
{
    (void)frame;
    if (++ticks == wanted_ticks) {
        outb(PIC2_MASK, (u8)~LINE);
    }
    pic_eoi(0);
}

static void make_pending(void)
{
    u16 cw = 0x37f & ~ZE;

    __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp" ::"m"(cw));
}

static void start(bool clears)
{
    interrupts = 0;
    taken_at = 0;
    clears_exception = clears;
    clear_port = PORT_CLEAR;
    make_pending();
}

static void no_waiting(void)
{
    start(true);
    interrupts_on();
    for (volatile unsigned i = 0; i < 1000; i++) {}
    check_is(interrupts, 0, "an exception that nobody waits for is not told");
    (void)status_word();
    __asm__ volatile("fnstcw %0" : "=m"(*(u16[1]){0}));
    check_is(interrupts, 0, "nor by FNSTSW and FNSTCW");
    __asm__ volatile("fnclex; fwait");
    check_is(interrupts, 0, "nor once FNCLEX has cleared it");
    interrupts_off();
}

extern u8 waits_here[], loads_here[], adds_here[];

static void handled(void)
{
    start(true);
    interrupts_on();
    __asm__ volatile("waits_here: fwait");
    check_is(interrupts, 1, "FWAIT makes it IRQ 13");
    check_is(taken_at, (word)waits_here, "before FWAIT, which is executed again");
    start(true);
    __asm__ volatile("loads_here: fld1");
    check_is(interrupts, 1, "so does an instruction of x87");
    check_is(taken_at, (word)loads_here, "before it");
    start(true);
    __asm__ volatile("adds_here: paddb %%mm0, %%mm1; emms" ::: "memory");
    check_is(interrupts, 1, "and one of MMX");
    check_is(taken_at, (word)adds_here, "before it");
    start(true);
    clear_port = PORT_RESET;
    __asm__ volatile("fwait");
    check_is(interrupts, 1, "port F1 takes it away, too");
    interrupts_off();
}

static void ignored(void)
{
    u32 three = 3, one = 1, sum = 0;

    start(false);
    interrupts_on();
    __asm__ volatile("fwait; fildl %1; fiaddl %2; fistpl %0" : "=m"(sum) : "m"(three), "m"(one));
    check_is(interrupts, 1,
             "with the exception still there, IGNNE lets waiting instructions go on");
    check_is(sum, 4, "which do what they do");
    check_is(status_word() & (ES | ZE), ES | ZE, "and leave it pending");
    __asm__ volatile("fnclex");
    check_is(status_word() & (ES | ZE), 0, "until it is cleared");
    make_pending();
    __asm__ volatile("fwait");
    check_is(interrupts, 2, "then there may be the next");
    __asm__ volatile("fninit");
    make_pending();
    __asm__ volatile("fwait");
    check_is(interrupts, 3, "FNINIT ends it, too");
    u16 cw = 0x37f;
    __asm__ volatile("fldcw %0" ::"m"(cw));
    check_is(status_word() & (ES | ZE), ZE, "and FLDCW that masks it");
    __asm__ volatile("fnclex");
    make_pending();
    __asm__ volatile("fwait");
    check_is(interrupts, 4, "and after that");
    u8 environment[28];
    __asm__ volatile("fnstenv %0" : "=m"(environment));
    make_pending();
    __asm__ volatile("fwait; fnclex");
    check_is(interrupts, 5, "FNSTENV masks all");
    interrupts_off();
    outb(PORT_CLEAR, 0);
    make_pending();
    interrupts_on();
    __asm__ volatile("fwait; fnclex");
    check_is(interrupts, 6, "OUT without an exception asserts no IGNNE");
    interrupts_off();
}

static void stopped(void)
{
    start(true);
    ticks = 0;
    wanted_ticks = 3;
    pic_start(CASCADE | TIMER);
    handlers[PIC_VECTOR] = on_tick;
    pit_start(2, 1000);
    interrupts_on();
    __asm__ volatile("fwait");
    check(interrupts == 1 && taken_after >= 3,
          "until then it stands before FWAIT, whatever other interrupts there are");
    interrupts_off();
    pic_start(CASCADE | 1 << IRQ);
}

static void wait(word unused)
{
    (void)unused;
    __asm__ volatile("fwait");
}

static void native(void)
{
    start(true);
    write_cr0(read_cr0() | CR0_NE);
    interrupts_on();
    check_fault(wait, 0, VECTOR_MF, 0, "with CR0.NE it is #MF");
    interrupts_off();
    __asm__ volatile("fnclex");
    check_is(interrupts, 0, "and no interrupt");
}

void guest_main(void)
{
    write_cr0((read_cr0() & ~(word)(CR0_EM | CR0_TS | CR0_NE)) | CR0_MP);
    handlers[PIC_VECTOR + IRQ] = on_irq13;
    pic_start(CASCADE | 1 << IRQ);
    no_waiting();
    handled();
    ignored();
    stopped();
    native();
}
