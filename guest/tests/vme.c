/*
 * vme.c - what virtual-8086 mode allows: every instruction that IOPL, CR4.VME, VIF and VIP have a
 * say in, with every combination of them, against a model; what is never allowed; ports by the
 * permission bitmap; and CR4.PVI in protected mode.
 *
 * Intel SDM vol. 3B, "Virtual-8086 Mode", "Virtual-8086 Mode Extensions", "Protected-Mode Virtual
 * Interrupts"; vol. 2, CLI, STI, PUSHF, POPF, INT n, IRET.
 */
#include "guest.h"

enum {
    BASE = 0x20000,
    SEGMENT = BASE >> 4,
    STACK = 0x1000,
    HANDLER = 0x800,
    RETURN = 0x900, /* where IRET goes */
    VECTOR = 0x60,
    CR4_VME = 1,
    CR4_PVI = 2,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_NT = 1 << 14,
    FLAG_VM = 1 << 17,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,
    IOPL = 3 << 12,
};

/* The TSS with its bitmaps: first that of interrupts, then that of ports. */
static u8 tss[0x68 + 32 + 8192 + 1] __attribute__((aligned(128)));
#define REDIRECTION (tss + 0x68)
#define PORTS       (tss + 0x68 + 32)

static void init_tss(void)
{
    for (unsigned i = 0; i < sizeof(main_tss); i++) {
        tss[i] = main_tss[i];
    }
    for (unsigned i = 0x68; i < sizeof(tss); i++) {
        tss[i] = 0xff;
    }
    *(u16 *)(tss + 102) = 0x68 + 32;
    *(u32 *)(tss + 4) = (word)kernel_stack_end - 8192;
    set_descriptor(MAIN_TSS, (word)tss, sizeof(tss) - 1, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
}

/* ------------------------------------------------------------------ one run */

/* What ended it: INT1 after the instruction or in the 8086 handler, or an exception. */
static struct {
    word vector, error, ip, flags, sp;
    u16 stack[4];
} end;

static void on_end(struct frame *f)
{
    u16 *stack = (u16 *)((f->ss << 4) + (f->sp & 0xffff));

    end.vector = f->vector;
    end.error = f->error;
    end.ip = f->ip;
    end.flags = f->flags;
    end.sp = f->sp;
    for (unsigned i = 0; i < 4; i++) {
        end.stack[i] = f->flags & FLAG_VM ? stack[i] : 0;
    }
    attempt_recover();
}

static void enter(word flags)
{
    __asm__ volatile(
        "pushl $0; pushl $0; pushl %1; pushl %1\n" /* GS FS DS ES */
        "pushl %1; pushl %2; pushl %0; pushl %1; pushl $0; iretl" ::"r"(flags | FLAG_VM | 2),
        "r"(SEGMENT), "i"(STACK)
        : "memory");
}

static u8 *code_at(word offset)
{
    word base = BASE;

    __asm__("" : "+r"(base));
    return (u8 *)(base + offset);
}

static void run(const u8 *code, unsigned size, word flags)
{
    u8 *to = code_at(0);

    for (unsigned i = 0; i < size; i++) {
        to[i] = code[i];
    }
    to[size] = 0xf1;
    code_at(HANDLER)[0] = 0xf1;
    code_at(RETURN)[0] = 0xf1;
    attempt(enter, flags);
}

/* ------------------------------------------------------------------ the model */

enum what { CLI, STI, PUSHF, PUSHFD, POPF, POPFD, IRET, IRETD, INT_N, WHATS };

static const struct {
    const char *name;
    u8 code[4], size;
} instructions[WHATS] = {
    [CLI] = {"CLI", {0xfa}, 1},
    [STI] = {"STI", {0xfb}, 1},
    [PUSHF] = {"PUSHF", {0x9c}, 1},
    [PUSHFD] = {"PUSHFD", {0x66, 0x9c}, 2},
    [POPF] = {"POPF", {0x9d}, 1},
    [POPFD] = {"POPFD", {0x66, 0x9d}, 2},
    [IRET] = {"IRET", {0xcf}, 1},
    [IRETD] = {"IRETD", {0x66, 0xcf}, 2},
    [INT_N] = {"INT n", {0xcd, VECTOR}, 2},
};

struct setting {
    bool vme;
    bool redirected; /* the interrupt's bit is clear */
    unsigned iopl;
    word flags; /* IF, VIF, VIP and others, IOPL and VM included */
    u32 image;  /* what POPF and IRET pop */
};

struct outcome {
    bool gp, in_handler;
    word flags; /* after it, in virtual-8086 mode */
    u32 pushed; /* the flags, if there are any */
};

#define ARITHMETIC 0x8d5u
#define POPPED     (ARITHMETIC | 0x400u | FLAG_NT)

static struct outcome gp(void)
{
    return (struct outcome){.gp = true};
}

static word with(word flags, word mask, bool set)
{
    return set ? flags | mask : flags & ~mask;
}

static struct outcome model_pop(const struct setting *s, bool wide)
{
    struct outcome o = {.flags = s->flags};
    word mask = POPPED | FLAG_TF | (wide ? FLAG_ID | 0x40000 : 0);

    if (s->iopl == 3) {
        mask |= FLAG_IF;
        o.flags = (s->flags & ~mask) | (s->image & mask);
        return o;
    }
    if (!s->vme || wide || (s->image & FLAG_TF) ||
        ((s->image & FLAG_IF) && (s->flags & FLAG_VIP))) {
        return gp();
    }
    o.flags = with((s->flags & ~mask) | (s->image & mask), FLAG_VIF, s->image & FLAG_IF);
    return o;
}

static struct outcome model_push(const struct setting *s, bool wide)
{
    struct outcome o = {.flags = s->flags, .pushed = (u32)s->flags & ~(u32)FLAG_VM};

    if (s->iopl == 3) {
        o.pushed &= wide ? 0xfcffff : 0xffff;
        return o;
    }
    if (!s->vme || wide) {
        return gp();
    }
    o.pushed = (u32)with(o.pushed, FLAG_IF, s->flags & FLAG_VIF) | IOPL;
    o.pushed &= 0xffff;
    return o;
}

static struct outcome model_int(const struct setting *s)
{
    struct outcome o = {.in_handler = true};

    if (s->vme && s->redirected) {
        if (s->iopl == 3) {
            o.pushed = s->flags & 0xffff;
            o.flags = s->flags & ~(word)(FLAG_IF | FLAG_TF | FLAG_NT);
        } else {
            o.pushed = (u32)(with(s->flags, FLAG_IF, s->flags & FLAG_VIF) | IOPL) & 0xffff;
            o.flags = s->flags & ~(word)(FLAG_VIF | FLAG_TF | FLAG_NT);
        }
        return o;
    }
    return gp(); /* with IOPL 3 because of the gate's DPL */
}

static struct outcome model(enum what what, const struct setting *s)
{
    struct outcome o = {.flags = s->flags};

    switch (what) {
    case CLI:
    case STI:
        if (s->iopl == 3) {
            o.flags = with(s->flags, FLAG_IF, what == STI);
        } else if (!s->vme || (what == STI && (s->flags & FLAG_VIP))) {
            return gp();
        } else {
            o.flags = with(s->flags, FLAG_VIF, what == STI);
        }
        return o;
    case PUSHF:
    case PUSHFD:
        return model_push(s, what == PUSHFD);
    case POPF:
    case POPFD:
    case IRET:
    case IRETD:
        return model_pop(s, what == POPFD || what == IRETD);
    default:
        return model_int(s);
    }
}

/* ------------------------------------------------------------------ all combinations */

/* On the stack before the instruction. */
static void put_stack(enum what what, u32 image)
{
    u32 *wide = (u32 *)code_at(STACK);
    u16 *narrow = (u16 *)wide;

    if (what == IRET) {
        narrow[0] = RETURN;
        narrow[1] = SEGMENT;
        narrow[2] = (u16)image;
    } else if (what == IRETD) {
        wide[0] = RETURN;
        wide[1] = SEGMENT;
        wide[2] = image;
    } else {
        wide[0] = image;
    }
}

static bool is_push(enum what what)
{
    return what == PUSHF || what == PUSHFD;
}

static void try_one(enum what what, const struct setting *s)
{
    struct outcome o = model(what, s);
    u32 error = what == INT_N && s->iopl == 3 ? VECTOR * 8 + 2 : 0;
    bool good;

    put_stack(what, s->image);
    run(instructions[what].code, instructions[what].size, s->flags);
    word ip = o.in_handler                    ? HANDLER + 1
              : what == IRET || what == IRETD ? RETURN + 1
                                              : instructions[what].size + 1u;
    if (o.gp) {
        good = end.vector == VECTOR_GP && end.error == error && end.ip == 0;
    } else {
        good = end.vector == VECTOR_DB && end.ip == ip &&
               (end.flags & 0x3efdff) == (o.flags & 0x3efdff) &&
               (end.flags & FLAG_IF) == (o.flags & FLAG_IF);
    }
    u32 pushed = end.stack[0] | (what == PUSHFD ? (u32)end.stack[1] << 16 : 0);
    if (good && !o.gp && is_push(what)) {
        good = pushed == o.pushed;
    }
    if (good && o.in_handler) {
        pushed = end.stack[2];
        good = end.stack[0] == 2 && end.stack[1] == SEGMENT && pushed == o.pushed;
    }
    check_case(good,
               "%s: vme %u redirected %u flags %x popped %x: vector %x error %x ip %x flags %x "
               "pushed %x; not gp %u flags %x pushed %x",
               instructions[what].name, s->vme, s->redirected, (u32)s->flags, s->image,
               (u32)end.vector, (u32)end.error, (u32)end.ip, (u32)end.flags, pushed, o.gp,
               (u32)o.flags, o.pushed);
}

static void try_images(enum what what, struct setting *s)
{
    static const u32 images[] = {0,
                                 FLAG_IF,
                                 0x8d5,
                                 FLAG_TF,
                                 FLAG_IF | IOPL,
                                 FLAG_NT | 0x400,
                                 FLAG_VIF,
                                 FLAG_VIP | FLAG_ID,
                                 0x40000};

    for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
        s->image = images[i] | 2;
        /* With TF where it may be set the #DB comes after the next instruction: INT1's own. */
        if (!(images[i] & FLAG_TF) || s->iopl != 3) {
            try_one(what, s);
        }
    }
}

static void check_all(void)
{
    for (unsigned i = 0; i < 128; i++) {
        struct setting s = {.vme = i & 1, .redirected = i & 2, .iopl = i >> 2 & 3};
        s.flags = 2 | s.iopl << 12 | FLAG_VM | (i & 16 ? FLAG_IF : 0) | (i & 32 ? FLAG_VIF : 0) |
                  (i & 64 ? FLAG_VIP : 0);
        write_cr4((read_cr4() & ~(word)CR4_VME) | (s.vme ? CR4_VME : 0));
        REDIRECTION[VECTOR / 8] = s.redirected ? 0 : 0xff;
        for (enum what what = CLI; what < WHATS; what++) {
            try_images(what, &s);
        }
    }
    REDIRECTION[VECTOR / 8] = 0xff;
    write_cr4(read_cr4() & ~(word)CR4_VME);
    print("ok   every sensitive instruction\n");
}

/* ------------------------------------------------------------------ never allowed, always allowed
 */

static const struct {
    const char *name;
    u8 code[6], size;
    u32 vector;
} fixed[] = {
    {"HLT", {0xf4}, 1, VECTOR_GP},
    {"CLTS", {0x0f, 0x06}, 2, VECTOR_GP},
    {"MOV EAX, CR0", {0x0f, 0x20, 0xc0}, 3, VECTOR_GP},
    {"MOV CR3, EAX", {0x0f, 0x22, 0xd8}, 3, VECTOR_GP},
    {"MOV EAX, DR7", {0x0f, 0x21, 0xf8}, 3, VECTOR_GP},
    {"LGDT", {0x0f, 0x01, 0x16, 0, 0}, 5, VECTOR_GP},
    {"LIDT", {0x0f, 0x01, 0x1e, 0, 0}, 5, VECTOR_GP},
    {"LMSW", {0x0f, 0x01, 0xf0}, 3, VECTOR_GP},
    {"INVLPG", {0x0f, 0x01, 0x3e, 0, 0}, 5, VECTOR_GP},
    {"WBINVD", {0x0f, 0x09}, 2, VECTOR_GP},
    {"RDMSR", {0x0f, 0x32}, 2, VECTOR_GP},
    {"WRMSR", {0x0f, 0x30}, 2, VECTOR_GP},
    {"SLDT", {0x0f, 0x00, 0xc0}, 3, VECTOR_UD},
    {"STR", {0x0f, 0x00, 0xc8}, 3, VECTOR_UD},
    {"LLDT", {0x0f, 0x00, 0xd0}, 3, VECTOR_UD},
    {"LTR", {0x0f, 0x00, 0xd8}, 3, VECTOR_UD},
    {"VERR", {0x0f, 0x00, 0xe0}, 3, VECTOR_UD},
    {"VERW", {0x0f, 0x00, 0xe8}, 3, VECTOR_UD},
    {"LAR", {0x0f, 0x02, 0xc0}, 3, VECTOR_UD},
    {"LSL", {0x0f, 0x03, 0xc0}, 3, VECTOR_UD},
    {"ARPL", {0x63, 0xc0}, 2, VECTOR_UD},
    {"SYSCALL", {0x0f, 0x05}, 2, VECTOR_UD},
    {"SYSEXIT", {0x0f, 0x35}, 2, VECTOR_GP},
    {"SYSENTER without its MSR", {0x0f, 0x34}, 2, VECTOR_GP},
    {"SMSW", {0x0f, 0x01, 0xe0}, 3, VECTOR_DB},
    {"SGDT", {0x0f, 0x01, 0x06, 0, 8}, 5, VECTOR_DB},
    {"SIDT", {0x0f, 0x01, 0x0e, 0, 8}, 5, VECTOR_DB},
    {"CPUID", {0x0f, 0xa2}, 2, VECTOR_DB},
    {"RDTSC", {0x0f, 0x31}, 2, VECTOR_DB},
    {"INT3 by its gate", {0xcc}, 1, VECTOR_BP},
    {"LOCK CLI", {0xf0, 0xfa}, 2, VECTOR_UD},
    {"MOV CS", {0x8e, 0xc8}, 2, VECTOR_UD},
    {"a word across the segment's end", {0xa1, 0xff, 0xff}, 3, VECTOR_GP},
    {"the same in SS", {0x36, 0xa1, 0xff, 0xff}, 4, VECTOR_SS},
    {"an offset past 64 KiB", {0x67, 0xa0, 0, 0, 1, 0}, 6, VECTOR_GP},
    {"MOV CS:[0], AL", {0x2e, 0xa2, 0, 8}, 4, VECTOR_DB},
};

static void check_fixed(void)
{
    for (unsigned iopl = 0; iopl < 4; iopl += 3) {
        for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
            run(fixed[i].code, fixed[i].size, iopl << 12);
            bool good = end.vector == fixed[i].vector && end.error == 0;
            check_case(good, "%s, IOPL %u: vector %x error %x, not %x", fixed[i].name, iopl,
                       (u32)end.vector, (u32)end.error, fixed[i].vector);
        }
    }
    print("ok   what is always and what is never allowed\n");
}

/* Ports go by the bitmap alone, whatever IOPL is. */
static void check_ports(void)
{
    static const u8 in_byte[] = {0xe4, 0x80}, in_word[] = {0xe5, 0x80},
                    in_dword[] = {0x66, 0xe5, 0x80};

    for (unsigned iopl = 0; iopl < 4; iopl++) {
        PORTS[0x10] = 0xff;
        run(in_byte, 2, iopl << 12);
        check_case(end.vector == VECTOR_GP && end.error == 0, "IN of a denied port, IOPL %u", iopl);
        PORTS[0x10] = 0xfe;
        run(in_byte, 2, iopl << 12);
        check_case(end.vector == VECTOR_DB, "IN of an allowed port, IOPL %u", iopl);
        run(in_word, 2, iopl << 12);
        check_case(end.vector == VECTOR_GP, "a word of which half is denied, IOPL %u", iopl);
        PORTS[0x10] = 0xfc;
        run(in_word, 2, iopl << 12);
        check_case(end.vector == VECTOR_DB, "a word that is allowed, IOPL %u", iopl);
        run(in_dword, 3, iopl << 12);
        check_case(end.vector == VECTOR_GP, "a dword of which half is denied, IOPL %u", iopl);
        PORTS[0x10] = 0xf0;
        run(in_dword, 3, iopl << 12);
        check_case(end.vector == VECTOR_DB, "a dword that is allowed, IOPL %u", iopl);
    }
    PORTS[0x10] = 0xff;
    print("ok   ports by the bitmap\n");
}

/* ------------------------------------------------------------------ protected-mode virtual
 * interrupts */

static word pvi_flags;

static void pvi_cli(word unused)
{
    (void)unused;
    __asm__ volatile("cli; .byte 0xf1");
}
static void pvi_sti(word unused)
{
    (void)unused;
    __asm__ volatile("sti; .byte 0xf1");
}
static word pushed_flags;
static void pvi_pushf(word unused)
{
    word v;
    (void)unused;
    __asm__ volatile("pushf; pop %0" : "=r"(v));
    pushed_flags = v;
    __asm__ volatile(".byte 0xf1");
}

/* To CPL 3 with these flags. */
static void enter_user(word what)
{
    __asm__ volatile(
        "mov %0, %%ds; mov %0, %%es; pushl %0; pushl %1; pushl %2; pushl %3; pushl %4; "
        "iretl" ::"r"(USER_DS),
        "r"((word)user_stack_end - 64), "r"(pvi_flags), "i"(USER_CS32), "r"(what)
        : "memory");
}

static void try_pvi(bool pvi, unsigned iopl, bool sti, word others)
{
    word flags = 2 | iopl << 12 | others;
    struct setting s = {.vme = pvi, .iopl = iopl, .flags = flags};
    struct outcome o = model(sti ? STI : CLI, &s);

    write_cr4((read_cr4() & ~(word)CR4_PVI) | (pvi ? CR4_PVI : 0));
    pvi_flags = flags;
    attempt(enter_user, (word)(sti ? pvi_sti : pvi_cli));
    bool good = o.gp ? end.vector == VECTOR_GP && end.error == 0
                     : end.vector == VECTOR_DB && (end.flags & 0x3effff) == o.flags;
    check_case(good, "%s at CPL 3: pvi %u flags %x: vector %x flags %x; not gp %u flags %x",
               sti ? "STI" : "CLI", pvi, (u32)flags, (u32)end.vector, (u32)end.flags, o.gp,
               (u32)o.flags);
}

static void check_pvi(void)
{
    for (unsigned i = 0; i < 128; i++) {
        word others = (i & 16 ? FLAG_IF : 0) | (i & 32 ? FLAG_VIF : 0) | (i & 64 ? FLAG_VIP : 0);
        try_pvi(i & 1, i >> 2 & 3, i & 2, others);
    }
    /* Other than with VME, PUSHF shows IF. */
    write_cr4(read_cr4() | CR4_PVI);
    pvi_flags = 2 | FLAG_VIF;
    attempt(enter_user, (word)pvi_pushf);
    check(!(pushed_flags & FLAG_IF) && (pushed_flags & FLAG_VIF),
          "PVI: PUSHF shows IF and VIF as they are");
    write_cr4(read_cr4() & ~(word)CR4_PVI);
}

void guest_main(void)
{
    init_tss();
    *(u16 *)(code_at(VECTOR * 4) - BASE) = HANDLER;
    *(u16 *)(code_at(VECTOR * 4 + 2) - BASE) = SEGMENT;
    set_gate(VECTOR, (word)interrupt_stubs, KERNEL_CS, 0x8e, 0);
    handlers[VECTOR_GP] = handlers[VECTOR_DB] = handlers[VECTOR_UD] = on_end;
    handlers[VECTOR_BP] = handlers[VECTOR_SS] = on_end;
    check_all();
    check_fixed();
    check_ports();
    check_pvi();
}
