/* guest.c - see guest.h.  Tables of descriptors, interrupts, attempts, text. */
#include "guest.h"

#include <stdarg.h>

enum { COM1 = 0x3f8, COM1_LCR = COM1 + 3, COM1_LSR = COM1 + 5, LSR_THRE = 0x20 };
enum { PIC1_MASK = 0x21, PIC2_MASK = 0xa1 };
enum { DEBUG_EXIT = 0xf4, USER_END_VECTOR = 0xff };

#define GATE_INTERRUPT 0x8e
#define GATE_USER      0xee
#define IS_64          (sizeof(word) == 8)

u64 gdt[GDT_ENTRIES] __attribute__((aligned(64)));
u64 idt[512] __attribute__((aligned(64)));
u8 main_tss[104] __attribute__((aligned(128)));
handler *handlers[256];
struct fault fault;
const char *command_line = "";
static unsigned failures, checks;
static unsigned unexpected;

/* So many bad cases are told; the others are only counted, but with the word "all". */
enum { FAILURES_TOLD = 40 };

/* ------------------------------------------------------------------ text */

static void put(char c)
{
    while (!(inb(COM1_LSR) & LSR_THRE)) {}
    outb(COM1, (u8)c);
}

static void put_hex(u64 value)
{
    int shift = 60;

    while (shift > 0 && !(value >> shift)) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        put("0123456789abcdef"[value >> shift & 15]);
    }
}

static void put_decimal(unsigned value)
{
    if (value >= 10) {
        put_decimal(value / 10);
    }
    put((char)('0' + value % 10));
}

static void print_args(const char *fmt, va_list args)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        switch (*++fmt) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++) {
                put(*s);
            }
            break;
        case 'u':
            put_decimal(va_arg(args, unsigned));
            break;
        case 'x':
            put_hex(va_arg(args, unsigned));
            break;
        case 'l':
            put_hex(va_arg(args, u64));
            break;
        }
    }
}

void print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_args(fmt, args);
    va_end(args);
}

void check(bool good, const char *what)
{
    print("%s %s\n", good ? "ok  " : "FAIL", what);
    failures += !good;
    checks++;
}

void check_case(bool good, const char *fmt, ...)
{
    va_list args;

    checks++;
    if (good) {
        return;
    }
    if (failures++ < FAILURES_TOLD || option("all")) {
        print("FAIL ");
        va_start(args, fmt);
        print_args(fmt, args);
        va_end(args);
        print("\n");
    }
}

void check_is(u64 value, u64 expected, const char *what)
{
    check(value == expected, what);
    if (value != expected) {
        print("     it is %l, not %l\n", value, expected);
    }
}

_Noreturn void guest_exit(u32 code)
{
    outl(DEBUG_EXIT, code);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* ------------------------------------------------------------------ the command line */

bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* What follows name in the command line, at the beginning of a word. */
static const char *find(const char *name)
{
    for (const char *p = command_line; *p; p++) {
        const char *a = p, *b = name;
        while (*b && *a == *b) {
            a++;
            b++;
        }
        if (!*b && (p == command_line || p[-1] == ' ')) {
            return a;
        }
    }
    return NULL;
}

bool option(const char *name)
{
    const char *end = find(name);

    return end && (*end == ' ' || *end == 0);
}

u64 option_number(const char *name, u64 otherwise)
{
    const char *p = find(name);
    u64 value = 0;

    if (!p || *p++ != '=') {
        return otherwise;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (u64)(*p - '0');
    }
    return value;
}

/* ------------------------------------------------------------------ attempts */

u32 attempt(void (*what)(word), word argument)
{
    fault = (struct fault){.vector = NO_FAULT};
    attempt_call(what, argument);
    return fault.vector;
}

u32 attempt_user(void (*what)(word), word argument)
{
    fault = (struct fault){.vector = NO_FAULT};
    attempt_user_call(what, argument);
    return fault.vector;
}

void check_fault(void (*what)(word), word argument, u32 vector, u32 error, const char *name)
{
    attempt(what, argument);
    check(fault.vector == vector && fault.error == error, name);
    if (fault.vector != vector || fault.error != error) {
        print("     vector %x error %x, not %x %x\n", fault.vector, fault.error, vector, error);
    }
}

/* From the stubs. */
void guest_interrupt(struct frame *frame);

void guest_interrupt(struct frame *frame)
{
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    if (attempt_stack && (frame->vector < 32 || frame->vector == USER_END_VECTOR)) {
        if (frame->vector != USER_END_VECTOR) {
            fault = (struct fault){(u32)frame->vector, (u32)frame->error, frame->ip, read_cr2(),
                                   frame->flags};
        }
        attempt_recover();
    }
    if (unexpected++) { /* while this was being told */
        guest_exit(EXIT_UNEXPECTED);
    }
    print("FAIL unexpected vector %x error %x at %l cr2 %l\n", (unsigned)frame->vector,
          (unsigned)frame->error, (u64)frame->ip, (u64)read_cr2());
    guest_exit(EXIT_UNEXPECTED);
}

/* ------------------------------------------------------------------ descriptors */

void set_descriptor(unsigned selector, u32 base, u32 limit, u16 attributes)
{
    gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)attributes << 40 |
                        (u64)(limit & 0xf0000) << 32 | (u64)(base >> 24) << 56;
}

void set_gate(unsigned vector, word target, u16 selector, u8 attributes, u8 ist)
{
    u64 address = target;
    u64 low = (address & 0xffff) | (u64)selector << 16 | (u64)ist << 32 | (u64)attributes << 40 |
              (address >> 16 & 0xffff) << 48;

    if (IS_64) {
        idt[2 * vector] = low;
        idt[2 * vector + 1] = address >> 32;
    } else {
        idt[vector] = low;
    }
}

struct __attribute__((packed)) table {
    u16 limit;
    word base;
};

static void load_tables(void)
{
    struct table gdtr = {sizeof(gdt) - 1, (word)gdt};
    struct table idtr = {(u16)(256 * 2 * sizeof(word) - 1), (word)idt};

    __asm__ volatile("lgdt %0; lidt %1; ltr %w2" ::"m"(gdtr), "m"(idtr), "r"(MAIN_TSS) : "memory");
    /* CS, SS and the others are from the loader's GDT; this one has the same at the same places
     * but for CS. */
#ifdef __x86_64__
    __asm__ volatile("pushq %0; lea 1f(%%rip), %%rax; pushq %%rax; lretq; 1:" ::"i"(KERNEL_CS)
                     : "rax", "memory");
#else
    __asm__ volatile("ljmp %0, $1f; 1:" ::"i"(KERNEL_CS) : "memory");
#endif
    __asm__ volatile(
        "mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs" ::"r"(KERNEL_DS)
        : "memory");
}

static void make_tables(void)
{
    u32 tss = (u32)(word)main_tss;

    set_descriptor(KERNEL_CS, 0, 0xfffff, IS_64 ? 0xa09b : 0xc09b);
    set_descriptor(KERNEL_DS, 0, 0xfffff, 0xc093);
    set_descriptor(USER_CS32 & ~3, 0, 0xfffff, 0xc0fb);
    set_descriptor(USER_DS & ~3, 0, 0xfffff, 0xc0f3);
    set_descriptor(USER_CS64 & ~3, 0, 0xfffff, 0xa0fb);
    set_descriptor(USER_DS64 & ~3, 0, 0xfffff, 0xc0f3);
    set_descriptor(MAIN_TSS, tss, sizeof(main_tss) - 1, 0x0089);
    set_descriptor(CODE32_CS, 0, 0xfffff, 0xc09b);
    set_descriptor(CODE16_CS, 0, 0xffff, 0x009b);
    set_descriptor(DATA16_DS, 0, 0xffff, 0x0093);
    *(word *)(main_tss + 4) = (word)kernel_stack_end;
    if (!IS_64) {
        *(u16 *)(main_tss + 8) = KERNEL_DS;
    }
    *(u16 *)(main_tss + 102) = sizeof(main_tss); /* no permission bitmap */
    for (unsigned i = 0; i < 256; i++) {
        set_gate(i, (word)(interrupt_stubs + 16 * i), KERNEL_CS,
                 i == USER_END_VECTOR || i == VECTOR_BP || i == VECTOR_OF ? GATE_USER
                                                                          : GATE_INTERRUPT,
                 0);
    }
}

#ifdef __x86_64__
void open_pages_to_user(void)
{
    const u64 user = 1u << 2, address = 0xffffffffff000;
    u64 *pml4 = (u64 *)(read_cr3() & address), *pdpt = (u64 *)(pml4[0] & address);

    pml4[0] |= user;
    for (unsigned i = 0; i < 4; i++) {
        pdpt[i] |= user;
        for (unsigned j = 0; j < 512; j++) {
            ((u64 *)(pdpt[i] & address))[j] |= user;
        }
    }
    write_cr3(read_cr3());
}
#endif

/* From start64.S and start32.S. */
void guest_start(void);

void guest_start(void)
{
    make_tables();
    load_tables();
    outb(PIC1_MASK, 0xff); /* firmware may have left the timer on */
    outb(PIC2_MASK, 0xff);
    outb(COM1_LCR, 3);
    guest_main();
    if (failures) {
        print("%u of ", failures);
    }
    print("%u checks: %s\n", checks, failures ? "BAD" : "GOOD");
    guest_exit(failures ? EXIT_BAD : EXIT_GOOD);
}
