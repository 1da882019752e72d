/*
 * realfaults.c - real mode: which exception each of many short programs ends with, where, and with
 * what on the stack; IRET and POPF of 16 and 32 bits; the ends of segments.
 *
 * Intel SDM vol. 3B, "Real-Address Mode", "Interrupt and Exception Handling in Real-Address Mode".
 */
#include "guest.h"

/* All in segment 0: the way back, the program at its own page, the stack. */
enum { BASE = 0x8000, PROGRAM = 0x9000, STACK = 0x7000, STUBS = 0xa000, DATA = 0x6000 };
enum { END = 0x60 };
enum { FLAG_TF = 0x100, FLAG_IF = 0x200, FLAG_AC = 0x40000, FLAG_ID = 0x200000 };

/* What the stub that was reached leaves at DATA: its vector, and where SP was. */
struct ended {
    u16 vector, sp;
    u32 flags; /* inside of the handler */
    u32 eax, ebx;
};

extern u8 real_start[], real_end[], real_stub[];
void go_real(void);
__asm__(".code16\n"
        "real_start:\n"
        "  mov $0x58, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov %ax, %fs; mov %ax, %gs\n"
        "  mov %cr0, %eax; and $~1, %al; mov %eax, %cr0\n"
        "  ljmp $0, $(1f - real_start + 0x8000)\n"
        "1: xor %eax, %eax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov %ax, %fs; mov %ax, %gs\n"
        "  mov $0x7000, %esp; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx\n"
        "  xor %esi, %esi; xor %edi, %edi; xor %ebp, %ebp\n"
        "  lidtl real_idt - real_start + 0x8000\n"
        "  pushl $2; popfl\n"
        "  ljmp $0, $0x9000\n"
        /* From every stub, with the vector pushed: no register may be lost before it is kept. */
        "real_stub:\n"
        "  cli; popw %cs:0x6000; mov %sp, %cs:0x6002; mov %eax, %cs:0x6008; mov %ebx, %cs:0x600c\n"
        "  xor %ax, %ax; mov %ax, %ds; mov %ax, %ss; mov $0x6f00, %esp; pushfl; popl 0x6004\n"
        "  lidtl real_idt - real_start + 0x8000\n"
        "  mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
        "  ljmpl $0x08, $real_back\n"
        "real_idt: .word 0x3ff; .long 0\n"
        "real_end:\n"
        ".code32\n"
        "real_back:\n"
        "  mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
        "  mov %eax, %fs; mov %eax, %gs\n"
        "  mov real_esp, %esp; popa; pushl $2; popfl; ret\n"
        "go_real:\n"
        "  pusha; mov %esp, real_esp; ljmp $0x50, $0x8000\n" /* CODE16_CS */
        ".data\nreal_esp: .long 0\n.text\n");

static u8 *at(word address)
{
    __asm__("" : "+r"(address));
    return (u8 *)address;
}

static u16 word_at(word address)
{
    return *(volatile u16 *)at(address);
}

static void init(void)
{
    for (u8 *p = real_start; p < real_end; p++) {
        at(BASE)[p - real_start] = *p;
    }
    /* PUSH imm8; JMP to real_stub. */
    for (unsigned vector = 0; vector < 256; vector++) {
        u8 *stub = at(STUBS + 8 * vector);
        stub[0] = 0x6a;
        stub[1] = (u8)vector;
        stub[2] = 0xe9;
        *(u16 *)(stub + 3) = (u16)(BASE + (real_stub - real_start) - (STUBS + 8 * vector + 5));
        *(u16 *)at(4 * vector) = (u16)(STUBS + 8 * vector);
        *(u16 *)at(4 * vector + 2) = 0;
    }
}

static struct ended ended;

static void run(const u8 *code, unsigned size)
{
    struct __attribute__((packed)) {
        u16 limit;
        u32 base;
    } table = {256 * 8 - 1, (word)idt};

    for (unsigned i = 0; i < size; i++) {
        at(PROGRAM)[i] = code[i];
    }
    at(PROGRAM)[size] = 0xcd;
    at(PROGRAM)[size + 1] = END;
    go_real();
    __asm__ volatile("lidt %0" ::"m"(table));
    ended = *(volatile struct ended *)at(DATA);
}

/* ------------------------------------------------------------------ programs */

#define HERE(n) (PROGRAM + (n)) /* where the exception says that it was */

static const struct {
    const char *name;
    u8 code[20], size;
    u8 vector;
    u8 where; /* of the instruction, in the program */
} programs[] = {
    {"nothing", {0x90}, 1, END, 3},
    {"DIV by 0", {0xb1, 0, 0xf6, 0xf1}, 4, VECTOR_DE, 2},
    {"DIV that overflows", {0xb8, 0, 2, 0xb1, 1, 0xf6, 0xf1}, 7, VECTOR_DE, 5},
    {"INT1", {0xf1}, 1, VECTOR_DB, 1},
    {"INT3", {0xcc}, 1, VECTOR_BP, 1},
    {"INTO without OF", {0x30, 0xc0, 0xce}, 3, END, 5},
    {"INTO with OF", {0xb0, 0x7f, 0xfe, 0xc0, 0xce}, 5, VECTOR_OF, 5},
    {"BOUND, outside", {0xb8, 9, 0, 0x62, 0x06, 0, 0x7f}, 7, VECTOR_BR, 3},
    {"UD2", {0x0f, 0x0b}, 2, VECTOR_UD, 0},
    {"LOCK of a register", {0xf0, 0x01, 0xc0}, 3, VECTOR_UD, 0},
    {"LOCK of a read", {0xf0, 0x8b, 0x06, 0, 0x7f}, 5, VECTOR_UD, 0},
    {"SLDT", {0x0f, 0x00, 0xc0}, 3, VECTOR_UD, 0},
    {"STR", {0x0f, 0x00, 0xc8}, 3, VECTOR_UD, 0},
    {"LLDT", {0x0f, 0x00, 0xd0}, 3, VECTOR_UD, 0},
    {"LTR", {0x0f, 0x00, 0xd8}, 3, VECTOR_UD, 0},
    {"VERR", {0x0f, 0x00, 0xe0}, 3, VECTOR_UD, 0},
    {"LAR", {0x0f, 0x02, 0xc0}, 3, VECTOR_UD, 0},
    {"LSL", {0x0f, 0x03, 0xc0}, 3, VECTOR_UD, 0},
    {"ARPL", {0x63, 0xc0}, 2, VECTOR_UD, 0},
    {"SYSCALL", {0x0f, 0x05}, 2, VECTOR_UD, 0},
    {"SYSENTER", {0x0f, 0x34}, 2, VECTOR_GP, 0},
    {"SYSEXIT", {0x0f, 0x35}, 2, VECTOR_GP, 0},
    {"RSM", {0x0f, 0xaa}, 2, VECTOR_UD, 0},
    {"MOV CS, AX", {0x8e, 0xc8}, 2, VECTOR_UD, 0},
    {"MOV EAX, CR1", {0x0f, 0x20, 0xc8}, 3, VECTOR_UD, 0},
    {"PG without PE",
     {0x0f, 0x20, 0xc0, 0x66, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0},
     12,
     VECTOR_GP,
     9},
    {"CR4, reserved", {0x66, 0xb8, 0, 0, 0, 0x80, 0x0f, 0x22, 0xe0}, 9, VECTOR_GP, 6},
    {"WRMSR that there is not", {0x66, 0xb9, 0x45, 0x23, 1, 0, 0x0f, 0x30}, 8, VECTOR_GP, 6},
    {"HLT is allowed, so is CLI", {0xfa, 0x90}, 2, END, 4},
    {"SMSW", {0x0f, 0x01, 0xe0}, 3, END, 5},
    {"LMSW", {0x0f, 0x01, 0xe0, 0x24, 0xfe, 0x0f, 0x01, 0xf0}, 8, END, 10},
    {"CLTS", {0x0f, 0x06}, 2, END, 4},
    {"SGDT", {0x0f, 0x01, 0x06, 0, 0x7f}, 5, END, 7},
    {"a read of ffff in DS", {0xa1, 0xff, 0xff}, 3, VECTOR_GP, 0},
    {"a byte of ffff", {0xa0, 0xff, 0xff}, 3, END, 5},
    {"a write of ffff", {0xa3, 0xff, 0xff}, 3, VECTOR_GP, 0},
    {"a dword at fffd", {0x66, 0xa1, 0xfd, 0xff}, 4, VECTOR_GP, 0},
    {"a word at ffff in SS", {0xbd, 0xff, 0xff, 0x8b, 0x46, 0}, 6, VECTOR_SS, 3},
    {"the same by a prefix", {0x36, 0xa1, 0xff, 0xff}, 4, VECTOR_SS, 0},
    {"BP + 1 wraps", {0xbd, 0xff, 0xff, 0x8b, 0x46, 1}, 6, END, 8},
    {"an offset of 32 bits", {0x67, 0xa1, 0, 0, 1, 0}, 6, VECTOR_GP, 0},
    {"32 bits that fit", {0x67, 0xa1, 0, 0x7f, 0, 0}, 6, END, 8},
    {"JMP of 32 bits past the end", {0x66, 0xe9, 0, 0, 1, 0}, 6, VECTOR_GP, 0},
    {"16 bytes of prefixes",
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
      0x90},
     16,
     VECTOR_GP,
     0},
    {"15 bytes",
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90},
     15,
     END,
     17},
    {"a write through CS", {0x2e, 0xa3, 0, 0x7f}, 4, END, 6},
    {"ESC with EM", {0x0f, 0x20, 0xc0, 0x0c, 4, 0x0f, 0x22, 0xc0, 0xd9, 0xe8}, 10, VECTOR_NM, 8},
};

static void check_programs(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(programs); i++) {
        *(volatile u32 *)at(0x7f00) = 0x00080000; /* bounds: 0 to 8 */
        run(programs[i].code, programs[i].size);
        write_cr0(read_cr0() & ~(word)4);
        bool good = ended.vector == programs[i].vector && ended.sp == STACK - 6 &&
                    word_at(ended.sp) == HERE(programs[i].where) && word_at(ended.sp + 2u) == 0;
        check_case(good, "%s: vector %x at %x, SP %x; not %x at %x", programs[i].name, ended.vector,
                   word_at(ended.sp), ended.sp, programs[i].vector, HERE(programs[i].where));
    }
    print("ok   programs and their ends\n");
}

/* ------------------------------------------------------------------ flags, frames, limits */

static void check_frames(void)
{
    static const u8 interrupt[] = {0x66, 0x68, 0x03, 0x02, 0x24, 0, 0x66, 0x9d, 0xcd, 0x40};
    static const u8 popf_16[] = {0x68, 0xd7, 0x3c, 0x9d, 0x66, 0x9c, 0x66, 0x58};
    static const u8 popf_32[] = {0x66, 0x68, 0xd7, 0x3c, 0x3c, 0,
                                 0x66, 0x9d, 0x66, 0x9c, 0x66, 0x58};
    static const u8 iret_16[] = {0x68, 0xd7, 0x3c, 0x0e, 0x68, 0x08,
                                 0x90, 0xcf, 0x66, 0x9c, 0x66, 0x58};
    static const u8 iret_32[] = {0x66, 0x68, 0xd7, 0x3c, 0x24, 0,    0x66, 0x0e, 0x66, 0x68, 0x12,
                                 0x90, 0,    0,    0x66, 0xcf, 0x90, 0x90, 0x66, 0x9c, 0x66, 0x58};
    static const u8 iret_far[] = {0x66, 0x6a, 0x02, 0x66, 0x0e, 0x66, 0x68, 0, 0, 1, 0, 0x66, 0xcf};
    static const u8 short_table[] = {0xc7, 0x06, 0x10, 0x7f, 0x7f, 0x01, 0x0f,
                                     0x01, 0x1e, 0x10, 0x7f, 0xcd, 0x61};
    static const u8 step[] = {0x9c, 0x58, 0x80, 0xcc, 0x01, 0x50, 0x9d, 0x90, 0x90};

    run(interrupt, sizeof(interrupt));
    check(ended.vector == 0x40 && ended.sp == STACK - 6, "INT pushes 6 bytes");
    check(word_at(ended.sp) == HERE(10) && word_at(ended.sp + 2u) == 0, "  IP and CS");
    check_is(word_at(ended.sp + 4u), 0x203, "  FLAGS");
    check_is(ended.flags & (FLAG_IF | FLAG_AC | FLAG_ID), FLAG_ID, "  IF and AC are clear inside");
    run(popf_16, sizeof(popf_16));
    check_is(ended.eax, 0x3cd7, "POPF of 16 bits: IOPL and IF, too");
    run(popf_32, sizeof(popf_32));
    check_is(ended.eax & ~0x180000u, 0x243cd7, "POPF of 32 bits: AC and ID, too");
    run(iret_16, sizeof(iret_16));
    check_is(ended.eax, 0x3cd7, "IRET of 16 bits");
    run(iret_32, sizeof(iret_32));
    check_is(ended.eax, 0x243cd7, "IRET of 32 bits");
    run(iret_far, sizeof(iret_far));
    check(ended.vector == VECTOR_GP && word_at(ended.sp) == HERE(11),
          "IRET past the segment's end");
    *(volatile u32 *)at(0x7f12) = 0;
    run(short_table, sizeof(short_table));
    check(ended.vector == VECTOR_GP && word_at(ended.sp) == HERE(11),
          "a vector past the table's limit");
    run(step, sizeof(step));
    check(ended.vector == VECTOR_DB && word_at(ended.sp) == HERE(8), "a single-step");
    check(word_at(ended.sp + 4u) & FLAG_TF, "  with TF in its frame");
    check(!(ended.flags & FLAG_TF), "  and without inside");
}

/* The last bytes of the segment, and what comes after them. */
static void check_ends(void)
{
    static const u8 jump[] = {0xe9, 0xfb, 0x6f}; /* to ffff - 1 */
    static const u8 string[] = {0xbe, 0xfe, 0xff, 0xbf, 0, 0x7e, 0xb9, 4, 0, 0xfc, 0xf3, 0xa4};

    at(0xfffe)[0] = at(0xfffe)[1] = 0x90;
    run(jump, sizeof(jump));
    check(ended.vector == VECTOR_GP && word_at(ended.sp) == 0, "IP goes past ffff: #GP");
    at(0xfffe)[0] = 0x90;
    at(0xfffe)[1] = 0xb8;
    run(jump, sizeof(jump));
    check(ended.vector == VECTOR_GP && word_at(ended.sp) == 0xffff,
          "an instruction across the end");
    at(0xfffe)[0] = 0x11;
    at(0xfffe)[1] = 0x22;
    run(string, sizeof(string));
    check(ended.vector == END && at(0x7e00)[0] == 0x11 && at(0x7e00)[1] == 0x22 &&
              at(0x7e00)[2] == at(0)[0] && at(0x7e00)[3] == at(0)[1],
          "SI wraps in a string instruction");
}

void guest_main(void)
{
    init();
    check_programs();
    check_frames();
    check_ends();
}
