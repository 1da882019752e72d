/* transfers.c - see transfers.h. */
#include "transfers.h"

#define IS_64 (sizeof(word) == 8)
/* L or D of the code that is tried. */
#define WIDTH (IS_64 ? 0xa000 : 0xc000)

struct reached reached;
word target_base;

__asm__(".globl transfer_target\n"
        "transfer_target: int $0xff; hlt\n");

static void on_end(struct frame *frame)
{
    reached = (struct reached){
        .yes = frame->ip == (word)transfer_target - target_base + 2,
        .cpl = frame->cs & 3,
        .flags = frame->flags,
    };
#ifdef __x86_64__
    reached.sp = frame->sp;
    reached.ss = frame->ss;
#else
    reached.sp = frame->cs & 3 ? frame->sp : (word)(&frame->flags + 1);
    reached.ss = frame->cs & 3 ? frame->ss : KERNEL_DS;
    reached.ds = frame->ds;
    reached.es = frame->es;
#endif
    attempt_recover();
}

/* ------------------------------------------------------------------ instructions */

struct __attribute__((packed)) far {
    u32 offset;
    u16 selector;
};

static void do_jmp(word selector)
{
    struct far to = {(u32)(word)transfer_target, (u16)selector};
    __asm__ volatile("ljmp *%0" ::"m"(to) : "memory");
}
static void do_call(word selector)
{
    struct far to = {(u32)(word)transfer_target, (u16)selector};
    __asm__ volatile("lcall *%0" ::"m"(to) : "memory");
}

/* The stack for the selector's RPL; it does no harm where the privilege stays. */
static word stack_of(word selector)
{
    word rpl = selector & 3;
    return RING_DATA + 8 * rpl + rpl;
}

#ifdef __x86_64__
static void do_ret(word selector)
{
    __asm__ volatile(
        "mov %%rsp, %%rcx; push %0; push %%rcx; push %1; push %2; lretq" ::"r"(stack_of(selector)),
        "r"(selector), "r"(transfer_target)
        : "rcx", "memory");
}
static void do_iret(word selector)
{
    __asm__ volatile("mov %%rsp, %%rcx; push %0; push %%rcx; pushf; push %1; push %2; iretq" ::"r"(
                         stack_of(selector)),
                     "r"(selector), "r"(transfer_target)
                     : "rcx", "memory");
}
#else
static void do_ret(word selector)
{
    __asm__ volatile(
        "mov %%esp, %%ecx; push %0; push %%ecx; push %1; push %2; lret" ::"r"(stack_of(selector)),
        "r"(selector), "r"(transfer_target)
        : "ecx", "memory");
}
static void do_iret(word selector)
{
    __asm__ volatile("mov %%esp, %%ecx; push %0; push %%ecx; pushf; push %1; push %2; iret" ::"r"(
                         stack_of(selector)),
                     "r"(selector), "r"(transfer_target)
                     : "ecx", "memory");
}
#endif

static void do_int(word unused)
{
    (void)unused;
    __asm__ volatile("int $0x40");
}

/* ------------------------------------------------------------------ the model */

/* A code segment's descriptor, or what pretends to be one, and who goes there. */
struct target {
    unsigned attributes, rpl, cpl;
};

struct outcome {
    u32 vector, error;
    unsigned cpl; /* if there is no exception */
};

static unsigned dpl_of(unsigned attributes)
{
    return attributes >> 5 & 3;
}
static bool is_code(unsigned attributes)
{
    return (attributes & ATTRIBUTE_S) && (attributes & TYPE_CODE);
}
static bool is_conforming(unsigned attributes)
{
    return attributes & TYPE_CONFORMING;
}

static struct outcome refuse(u32 vector, u32 error)
{
    return (struct outcome){vector, error, 0};
}

static struct outcome go(unsigned attributes, u32 error, unsigned cpl)
{
    if (!(attributes & ATTRIBUTE_P)) {
        return refuse(VECTOR_NP, error);
    }
    return (struct outcome){NO_FAULT, 0, cpl};
}

static struct outcome expect_direct(const struct target *t)
{
    unsigned dpl = dpl_of(t->attributes);
    bool ok = is_code(t->attributes) &&
              (is_conforming(t->attributes) ? dpl <= t->cpl : t->rpl <= t->cpl && dpl == t->cpl);

    return ok ? go(t->attributes, TARGET, t->cpl) : refuse(VECTOR_GP, TARGET);
}

static struct outcome expect_return(const struct target *t)
{
    unsigned dpl = dpl_of(t->attributes);
    bool ok = is_code(t->attributes) && t->rpl >= t->cpl &&
              (is_conforming(t->attributes) ? dpl <= t->rpl : dpl == t->rpl);

    return ok ? go(t->attributes, TARGET, t->rpl) : refuse(VECTOR_GP, TARGET);
}

/* Through a gate: to more privilege, or the same. */
static struct outcome expect_inward(const struct target *t, bool is_jump)
{
    unsigned dpl = dpl_of(t->attributes);
    bool conforming = is_conforming(t->attributes);

    if (!is_code(t->attributes) || dpl > t->cpl || (is_jump && !conforming && dpl != t->cpl)) {
        return refuse(VECTOR_GP, TARGET);
    }
    return go(t->attributes, TARGET, conforming ? t->cpl : dpl);
}

/* The gate's own checks come first; attributes are the gate's. */
static struct outcome expect_gate(const struct target *gate, u32 types, u32 error, bool has_rpl)
{
    unsigned type = gate->attributes & 0x1f, dpl = dpl_of(gate->attributes);

    if (!(types >> type & 1) || dpl < gate->cpl || (has_rpl && dpl < gate->rpl)) {
        return refuse(VECTOR_GP, error);
    }
    return go(gate->attributes, error, gate->cpl);
}

/* ------------------------------------------------------------------ all of them */

static void try_one(void (*what)(word), const char *name, const struct target *t, word selector,
                    struct outcome expected)
{
    reached = (struct reached){0};
    attempt_at(t->cpl, what, selector);
    bool good = expected.vector == NO_FAULT
                    ? reached.yes && reached.cpl == expected.cpl
                    : fault.vector == expected.vector && fault.error == expected.error;
    check_case(good,
               "%s: attributes %x, rpl %u, cpl %u: vector %x error %x, reached %u cpl %u; not "
               "vector %x error %x cpl %u",
               name, t->attributes, t->rpl, t->cpl, fault.vector, fault.error, reached.yes,
               reached.cpl, expected.vector, expected.error, expected.cpl);
}

/* In a call gate's place. */
void set_call_gate(u16 selector, unsigned attributes)
{
    u64 target = (word)transfer_target - target_base;

    gdt[GATE / 8] = (target & 0xffff) | (u64)selector << 16 | (u64)attributes << 40 |
                    (target >> 16 & 0xffff) << 48;
    gdt[GATE / 8 + 1] = 0;
}

/* Gates and TSSs are in the way of JMP and CALL: they are tried elsewhere. */
static bool is_other_transfer(unsigned attributes)
{
    return !(attributes & ATTRIBUTE_S) && (0x1a3a >> (attributes & 15) & 1);
}

static void try_target(const struct target *t)
{
    set_descriptor(TARGET, 0, 0xfffff, (u16)(WIDTH | t->attributes));
    if (!is_other_transfer(t->attributes)) {
        try_one(do_jmp, "JMP", t, TARGET | t->rpl, expect_direct(t));
        try_one(do_call, "CALL", t, TARGET | t->rpl, expect_direct(t));
    }
    try_one(do_ret, "RET", t, TARGET | t->rpl, expect_return(t));
    try_one(do_iret, "IRET", t, TARGET | t->rpl, expect_return(t));
    /* The RPL of a gate's selector does not matter. */
    set_call_gate((u16)(TARGET | t->rpl), 0xec);
    try_one(do_jmp, "JMP by a gate", t, GATE, expect_inward(t, true));
    try_one(do_call, "CALL by a gate", t, GATE, expect_inward(t, false));
    set_gate(GATE_VECTOR, (word)transfer_target, (u16)(TARGET | t->rpl), 0xee, 0);
    try_one(do_int, "INT", t, 0, expect_inward(t, false));
}

static void try_gate(const struct target *gate)
{
    u32 call_types = IS_64 ? 1 << 12 : 1 << 12 | 1 << 4;
    u32 int_types = IS_64 ? 3 << 14 : 3 << 14 | 3 << 6;
    bool narrow = !(gate->attributes & 8); /* takes but 16 bits of the target's address */
    struct outcome expected;

    if (!is_other_transfer(gate->attributes) || (call_types >> (gate->attributes & 0x1f) & 1)) {
        set_call_gate(TARGET, gate->attributes);
        expected = expect_gate(gate, call_types, GATE, true);
        if (expected.vector != NO_FAULT || !narrow) {
            if (!(gate->attributes & ATTRIBUTE_S)) {
                try_one(do_jmp, "JMP by the gate", gate, GATE | gate->rpl, expected);
                try_one(do_call, "CALL by the gate", gate, GATE | gate->rpl, expected);
            }
        }
    }
    set_gate(GATE_VECTOR, (word)transfer_target, TARGET, (u8)gate->attributes, 0);
    expected = expect_gate(gate, int_types, GATE_VECTOR * 8 + 2, false);
    if ((gate->attributes & 0x1f) != 5 && (expected.vector != NO_FAULT || !narrow)) {
        try_one(do_int, "INT by the gate", gate, 0, expected);
    }
}

static void check_null(void)
{
    struct target t = {0, 0, 0};

    for (t.cpl = 0; t.cpl < 4; t.cpl++) {
        for (t.rpl = 0; t.rpl < 4; t.rpl++) {
            struct outcome gp0 = refuse(VECTOR_GP, 0);
            try_one(do_jmp, "JMP to null", &t, t.rpl, gp0);
            try_one(do_call, "CALL to null", &t, t.rpl, gp0);
            try_one(do_ret, "RET to null", &t, t.rpl, gp0);
            try_one(do_iret, "IRET to null", &t, t.rpl, gp0);
            set_call_gate((u16)t.rpl, 0xec);
            try_one(do_call, "CALL by a gate to null", &t, GATE, gp0);
            set_gate(GATE_VECTOR, (word)transfer_target, (u16)t.rpl, 0xee, 0);
            try_one(do_int, "INT to null", &t, 0, gp0);
        }
    }
}

void check_transfers(void)
{
    for (unsigned cpl = 0; cpl < 4; cpl++) {
        for (unsigned attributes = 0; attributes < 0x100; attributes++) {
            for (unsigned rpl = 0; rpl < 4; rpl++) {
                struct target t = {attributes, rpl, cpl};
                try_target(&t);
                /* Any gate, to code that can be gone to from everywhere. */
                set_descriptor(TARGET, 0, 0xfffff, WIDTH | 0x9f);
                try_gate(&t);
            }
        }
    }
    check_null();
    print("ok   every far transfer\n");
}

/* A stack for each privilege level; main_tss has SS fields only in 32 bits. */
static u8 stacks[3][4096] __attribute__((aligned(16)));

void transfers_init(void)
{
    handlers[0xff] = on_end;
    for (unsigned cpl = 1; cpl < 4; cpl++) {
        attempt_at(cpl, (void (*)(word))transfer_target, 0); /* makes the descriptors */
    }
    set_descriptor(RING_CODE, 0, 0xfffff, (u16)(WIDTH | 0x9b));
    set_descriptor(RING_DATA, 0, 0xfffff, 0xc093);
    for (unsigned cpl = 1; cpl < 3; cpl++) {
        word top = (word)stacks[cpl] + sizeof(stacks[cpl]);
        *(word *)(main_tss + 4 + 8 * cpl) = top;
        if (!IS_64) {
            *(u16 *)(main_tss + 8 + 8 * cpl) = (u16)(RING_DATA + 8 * cpl + cpl);
        }
    }
}

word stack_of_ring(unsigned cpl)
{
    return *(word *)(main_tss + 4 + 8 * cpl);
}

bool reaches(unsigned cpl, void (*what)(word), word argument, const char *name)
{
    reached = (struct reached){0};
    attempt_at(cpl, what, argument);
    check(reached.yes && fault.vector == NO_FAULT, name);
    if (!reached.yes) {
        print("     vector %x error %x at %l\n", fault.vector, fault.error, (u64)fault.ip);
    }
    return reached.yes;
}

/* ------------------------------------------------------------------ flags */

enum {
    FLAG_CF = 1 << 0,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,
    ARITHMETIC = 0x8d5,
    FLAG_DF = 1 << 10,
};

/* What is popped, and by which instruction, with the flags before it. */
static word flags_image, flags_before;
static volatile word flags_after;
static bool by_popf, of_16_bits;

/* TF would trap, and a set NT would leave the task: both are elsewhere. */
static word start_flags(unsigned iopl)
{
    return 2 | iopl << 12;
}

/* CPL and IOPL are set already; this runs at that CPL. */
static void pop_flags(word unused)
{
    word after;

    (void)unused;
    if (by_popf && of_16_bits) {
        __asm__ volatile("pushw %w1; popfw; pushf; pop %0" : "=r"(after) : "r"(flags_image) : "cc");
    } else if (by_popf) {
        __asm__ volatile("push %1; popf; pushf; pop %0" : "=r"(after) : "r"(flags_image) : "cc");
    }
#ifdef __x86_64__
    else {
        __asm__ volatile("mov %%rsp, %%rcx; mov %%ss, %%eax; push %%rax; push %%rcx; push %1; "
                         "mov %%cs, %%eax; push %%rax; lea 1f(%%rip), %%rax; push %%rax; iretq; 1: "
                         "pushf; pop %0"
                         : "=&r"(after)
                         : "r"(flags_image)
                         : "rax", "rcx", "memory", "cc");
    }
#else
    else {
        __asm__ volatile("push %1; push %%cs; push $1f; iret; 1: pushf; pop %0"
                         : "=&r"(after)
                         : "r"(flags_image)
                         : "memory", "cc");
    }
#endif
    flags_after = after;
    __asm__ volatile("cli; cld; int $0xff" ::: "memory"); /* CLI may fault: the result is there */
}

/* Enters the CPL with the flags that are there before. */
static void enter_with_flags(word cpl)
{
    word selector = RING_CODE + 9 * cpl, stack = RING_DATA + 9 * cpl;

    if (cpl == 0) {
        word flags = flags_before;
        __asm__ volatile("push %0; popf" ::"r"(flags) : "cc", "memory");
        pop_flags(0);
        return;
    }
#ifdef __x86_64__
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"r"(stack),
                     "r"((word)user_stack_end - 72), "r"(flags_before), "r"(selector),
                     "r"(pop_flags)
                     : "memory");
#else
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; push %0; push %1; push %2; push %3; push %4; "
                     "iret" ::"r"(stack),
                     "r"((word)user_stack_end - 72), "r"(flags_before), "r"(selector),
                     "r"(pop_flags)
                     : "memory");
#endif
}

static word changeable(unsigned cpl, unsigned iopl)
{
    word mask = ARITHMETIC | FLAG_DF | FLAG_TF | FLAG_NT | FLAG_AC | FLAG_ID;

    if (cpl <= iopl) {
        mask |= FLAG_IF;
    }
    if (cpl == 0) {
        mask |= FLAG_IOPL;
        if (!by_popf) {
            mask |= FLAG_VIF | FLAG_VIP;
        }
    }
    return of_16_bits ? mask & 0xffff : mask;
}

static void try_flags(unsigned cpl, unsigned iopl, word image)
{
    word mask = changeable(cpl, iopl);

    flags_before = start_flags(iopl);
    flags_image = image;
    flags_after = ~(word)0;
    /* Interrupts may come, but there are none: all are masked. */
    attempt(enter_with_flags, cpl);
    word expected = (flags_before & ~mask) | (image & mask) | 2;
    check_case(flags_after == expected,
               "%s of %u bits at CPL %u, IOPL %u: flags %l popped give %l, not %l",
               by_popf ? "POPF" : "IRET", of_16_bits ? 16 : sizeof(word) * 8, cpl, iopl, (u64)image,
               (u64)flags_after, (u64)expected);
}

static void try_all_flags(unsigned cpl, unsigned iopl)
{
    for (unsigned bit = 0; bit < 22; bit++) {
        word image = 2 | (word)1 << bit;
        /* With VM IRET goes elsewhere; NT here would do so the next time. */
        if (bit != 8 && bit != 14 && !(bit == 17 && cpl == 0)) {
            try_flags(cpl, iopl, image);
            try_flags(cpl, iopl, image | iopl << 12);
        }
    }
    try_flags(cpl, iopl, 0x3c3ed7 | FLAG_RF);
    try_flags(cpl, iopl, (word)0xffffffffffc03edfull);
}

void check_flags(void)
{
    for (unsigned i = 0; i < 32; i++) {
        by_popf = i >> 4;
        of_16_bits = false;
        try_all_flags(i & 3, i >> 2 & 3);
        if (by_popf) {
            of_16_bits = true;
            try_all_flags(i & 3, i >> 2 & 3);
        }
    }
    print("ok   every flag by IRET and POPF\n");
}
