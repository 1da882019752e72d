/*
 * interrupts.c - between which two instructions a pending interrupt comes: after STI, POPF, IRET,
 * loads of SS, HLT, a change of TPR, in the midst of string instructions, before faults and after
 * traps; and what its frame says.
 *
 * Intel SDM vol. 3A, "Masking Maskable Hardware Interrupts", "Masking Exceptions and Interrupts
 * When Switching Stacks", "Priority Among Concurrent Events"; vol. 2, STI, HLT.
 */
#include "guest.h"

enum { VECTOR = 0x51, ICR = 0x300, SELF = 1 << 18, EOI = 0xb0, ISR = 0x100, NMI = 4 << 8 };
enum { LVT_TIMER = 0x320, LINT0 = 0x350, INITIAL_COUNT = 0x380, DIVIDE = 0x3e0, TPR = 0x80 };
enum { MASKED = 1 << 16 };
enum { FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_RF = 1 << 16, EVENTS_MAX = 8 };

/* What came, in this order. */
static struct {
    unsigned vector;
    word ip, flags;
} events[EVENTS_MAX];
static volatile unsigned count;

static void note(struct frame *frame)
{
    if (count < EVENTS_MAX) {
        events[count].vector = (unsigned)frame->vector;
        events[count].ip = frame->ip;
        events[count].flags = frame->flags;
    }
    count++;
}

static void on_interrupt(struct frame *frame)
{
    note(frame);
    lapic_write(EOI, 0);
}
static void on_debug(struct frame *frame)
{
    note(frame);
    frame->flags &= ~(word)FLAG_TF;
    write_dr6(0xffff0ff0);
}
static void on_nmi(struct frame *frame)
{
    note(frame);
}
/* Past the two bytes of UD2. */
static void on_undefined(struct frame *frame)
{
    note(frame);
    frame->ip += 2;
}

static void pend(void)
{
    interrupts_off();
    count = 0;
    lapic_write(ICR, SELF | VECTOR);
}

/* Each is called with an interrupt pending and IF clear; it has come when it returns, at the label
 * here_NAME. */
#define PLACE(name, body)    \
    extern u8 here_##name[]; \
    void run_##name(void);   \
    __asm__("run_" #name ": push %rbx; " body " here_" #name ": nop; cli; pop %rbx; ret\n");

PLACE(sti, "sti; nop; ")
PLACE(sti_long, "sti; mov $1, %eax; ")
PLACE(sti_jump, "sti; jmp 1f; ud2; 1: ")
PLACE(sti_sti, "sti; sti; ")
PLACE(popf, "pushf; orl $0x200, (%rsp); popf; ")
PLACE(iret, "mov %rsp, %rcx; mov %ss, %eax; push %rax; push %rcx; pushf; orl $0x200, (%rsp); mov "
            "%cs, %eax; push %rax; lea here_iret(%rip), %rax; push %rax; iretq; ")
PLACE(hlt, "sti; hlt; ")
PLACE(cr8, "mov $15, %eax; mov %rax, %cr8; sti; nop; nop; xor %eax, %eax; mov %rax, %cr8; ")
PLACE(int, "sti; int $0x40; ")

static const struct place {
    const char *name;
    void (*run)(void);
    const u8 *here;
} places[] = {
#define ROW(name, text)               \
    {                                 \
        text, run_##name, here_##name \
    }
    ROW(sti, "after the instruction after STI"),
    ROW(sti_long, "  whatever that is"),
    ROW(sti_jump, "  a jump, too"),
    ROW(sti_sti, "  but a second STI holds nothing back"),
    ROW(popf, "right after POPF"),
    ROW(iret, "right after IRET"),
    ROW(hlt, "after HLT, if STI is before it"),
    ROW(cr8, "right after CR8 lets it"),
};

static void check_places(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        pend();
        places[i].run();
        check(count == 1 && events[0].vector == VECTOR && events[0].ip == (word)places[i].here,
              places[i].name);
        if (count != 1 || events[0].ip != (word)places[i].here) {
            print("     %u events, at %l, not %l\n", count, (u64)events[0].ip,
                  (u64)(word)places[i].here);
        }
        check_is(events[0].flags & (FLAG_IF | FLAG_RF), FLAG_IF, "  with IF, without RF");
    }
    pend();
    __asm__ volatile("sti; cli; nop; nop");
    check_is(count, 0, "CLI after STI: it does not come");
    /* INT n after STI: it comes in the handler, if that has IF set, before its first instruction.
     */
    handlers[0x40] = on_nmi;
    pend();
    run_int();
    check(count == 2 && events[0].vector == 0x40 && events[1].vector == VECTOR,
          "INT n after STI goes first");
}

/* In the midst of a string instruction. */
static u8 from_here[65536] __attribute__((aligned(4096))),
    to_here[65536] __attribute__((aligned(4096)));
extern u8 string_here[];

static void check_strings(void)
{
    void *from = from_here, *to = to_here;
    word n = sizeof(from_here);

    for (unsigned i = 0; i < sizeof(from_here); i++) {
        from_here[i] = (u8)(i * 7);
    }
    pend();
    __asm__ volatile("cld; sti; nop; string_here: rep movsb; cli"
                     : "+D"(to), "+S"(from), "+c"(n)::"memory");
    check(count == 1 && events[0].ip == (word)string_here, "before a string instruction");
    check(n == 0 && to == to_here + sizeof(to_here), "  which is done in full");
    bool good = true;
    for (unsigned i = 0; i < sizeof(from_here); i++) {
        good &= to_here[i] == from_here[i];
    }
    check(good, "  and rightly");
    /* Many of them, by the timer: each time it goes on where it was. */
    bool right_flags = true;
    unsigned inside = 0;
    for (unsigned round = 0; round < 50; round++) {
        from = from_here + 1;
        to = to_here;
        n = sizeof(from_here) - 1;
        count = 0;
        lapic_write(LVT_TIMER, VECTOR);
        lapic_write(DIVIDE, 0xb);
        lapic_write(INITIAL_COUNT, 1000 + round * 977);
        __asm__ volatile("sti; nop; 1: rep movsb; nop; nop; cli"
                         : "+D"(to), "+S"(from), "+c"(n)::"memory");
        lapic_write(INITIAL_COUNT, 0);
        if (count && n == 0 && events[0].flags & FLAG_RF) {
            inside++;
        }
        right_flags &= n == 0;
        for (unsigned i = 0; i + 1 < sizeof(from_here); i++) {
            good &= to_here[i] == from_here[i + 1];
        }
        pend();
        __asm__ volatile("sti; nop; cli");
        count = 0;
    }
    lapic_write(LVT_TIMER, MASKED);
    check(good && right_flags, "interrupted string instructions are done in full");
    print("     %u were interrupted inside, with RF\n", inside);
}

/* ------------------------------------------------------------------ who goes first */

static void check_order(void)
{
    /* A fault is not met while an interrupt is taken before it. */
    pend();
    __asm__ volatile("sti; nop; ud2; cli");
    check(count == 2 && events[0].vector == VECTOR && events[1].vector == VECTOR_UD,
          "an interrupt goes before the next instruction's fault");
    pend();
    __asm__ volatile("sti; ud2; nop; cli");
    check(count == 2 && events[0].vector == VECTOR_UD && events[1].vector == VECTOR,
          "  but not before that of the instruction after STI");
    /* A single-step trap belongs to the instruction before. */
    pend();
    __asm__ volatile("pushf; orl $0x300, (%%rsp); popf; nop; cli" ::: "memory", "cc");
    check(count == 2 && events[0].vector == VECTOR && events[1].vector == VECTOR_DB,
          "POPF of IF and TF: the interrupt, and later the trap");
    check(events[0].flags & FLAG_TF, "  TF is in the interrupt's frame");
    count = 0;
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory", "cc");
    check_is(count, 1, "a trap by itself");
    lapic_write(ICR, NMI);
    __asm__ volatile("nop; nop");
    check(count == 2 && events[1].vector == VECTOR_NMI, "an NMI with IF clear");
    pend();
    lapic_write(TPR, 0xff);
    __asm__ volatile("sti; nop; nop; cli");
    check_is(count, 0, "TPR holds interrupts back");
    lapic_write(TPR, 0);
    __asm__ volatile("sti; nop; cli");
    check_is(count, 1, "  until it is low");
    /* Both pending: NMI first. */
    pend();
    __asm__ volatile("mov %%ss, %%eax; mov %%eax, %%ss; nop" ::: "rax");
    lapic_write(ICR, NMI);
    __asm__ volatile("sti; nop; nop; cli");
    check(count == 2 && events[0].vector == VECTOR_NMI, "an NMI goes before an interrupt");
    /* The 8259's output is LINT0, which makes NMIs here. */
    lapic_write(LINT0, NMI);
    count = 0;
    pic_start(1);
    pit_start(0, 1000);
    __asm__ volatile("hlt");
    check(count == 1 && events[0].vector == VECTOR_NMI, "HLT with IF clear is left by an NMI");
    pic_start(0);
    lapic_write(LINT0, MASKED);
}

static void check_flags_of_handler(void)
{
    pend();
    __asm__ volatile(
        "pushf; orl $0x44200, (%%rsp); popf; nop; pushf; andl $~0x44200, (%%rsp); popf" ::
            : "memory", "cc");
    check(count == 1 && (events[0].flags & 0x44200) == 0x44200, "NT and AC are in the frame");
}

void guest_main(void)
{
    write_cr4(read_cr4() | 3u << 9);
    handlers[VECTOR] = on_interrupt;
    handlers[VECTOR_DB] = on_debug;
    handlers[VECTOR_NMI] = on_nmi;
    handlers[VECTOR_UD] = on_undefined;
    pic_start(0);
    lapic_start();
    lapic_write(LINT0, MASKED);
    check_places();
    check_strings();
    check_order();
    check_flags_of_handler();
}
