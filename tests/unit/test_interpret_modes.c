/*
 * test_interpret_modes.c - what the host CPU cannot show a program: instructions in real mode and
 * at CPL 0, and at the ends of segments and pages.
 *
 * It is a table: a few bytes of code, the state before, the state after.
 */
#include <stdio.h>

#include <cmocka.h>

#include "interpret_fixture.h"

enum mode { REAL, PROTECTED_16, PROTECTED_32, LONG };

#define NO_FAULT     0
#define FAULT(v)     ((v) + 1)
#define BYTES(...)   .code = {__VA_ARGS__}, .length = sizeof((u8[]){__VA_ARGS__})
#define MAX_EXPECTED 4

struct place { /* a register if size is 0, else memory */
    u32 at;
    unsigned size;
    u64 value;
};

#define REG(r, v)               \
    {                           \
        .at = (r), .value = (v) \
    }
#define MEM(a, n, v)                         \
    {                                        \
        .at = (a), .size = (n), .value = (v) \
    }

struct row {
    const char *name;
    u8 mode;
    u8 code[20];
    u8 length;
    u64 rip;      /* where the code is; 0: where the mode's fixture puts it */
    u32 cs_limit; /* 0: as it is */
    unsigned steps;
    u32 flags;
    struct place before[4], after[MAX_EXPECTED];
    u8 fault; /* FAULT(vector), with error code `error` if the vector has one */
    u32 error;
    u64 end; /* rIP afterwards; 0: at the fault, or after the code */
};

static const struct row rows[] = {
    /* ---- stack */
    {"pusha", REAL, BYTES(0x60), .before = {REG(RAX, 0x1111), REG(RDI, 0x7777)},
     .after = {REG(RSP, 0x7ff0), MEM(0x7ffe, 2, 0x1111), MEM(0x7ff6, 2, 0x8000),
               MEM(0x7ff0, 2, 0x7777)}},
    {"popa skips SP", REAL, BYTES(0x61),
     .before = {MEM(0x8006, 2, 0xdead), MEM(0x800e, 2, 0x1234), MEM(0x8000, 2, 0x4321)},
     .after = {REG(RSP, 0x8010), REG(RAX, 0x1234), REG(RDI, 0x4321)}},
    {"pushad in real mode", REAL, BYTES(0x66, 0x60), .before = {REG(RCX, 0xaabbccdd)},
     .after = {REG(RSP, 0x7fe0), MEM(0x7ff8, 4, 0xaabbccdd)}},
    {"push wraps at 0", REAL, BYTES(0x50), .before = {REG(RSP, 0xab0000), REG(RAX, 0x1234)},
     .after = {REG(RSP, 0xabfffe), MEM(0xfffe, 2, 0x1234)}},
    {"push across the end of the segment", REAL, BYTES(0x50), .before = {REG(RSP, 1)},
     .after = {REG(RSP, 1)}, .fault = FAULT(VECTOR_SS)},
    {"pop wraps", REAL, BYTES(0x58), .before = {REG(RSP, 0xfffe), MEM(0xfffe, 2, 0x5678)},
     .after = {REG(RSP, 0), REG(RAX, 0x5678)}},
    {"enter 4, 2", REAL, BYTES(0xc8, 4, 0, 2), .before = {REG(RBP, 0x7000), MEM(0x6ffe, 2, 0x1234)},
     .after = {REG(RBP, 0x7ffe), REG(RSP, 0x7ff6), MEM(0x7ffc, 2, 0x1234), MEM(0x7ffa, 2, 0x7ffe)}},
    {"enter 0x10, 0", PROTECTED_32, BYTES(0xc8, 0x10, 0, 0), .before = {REG(RBP, 0x7000)},
     .after = {REG(RBP, 0x8fffc), REG(RSP, 0x8ffec), MEM(0x8fffc, 4, 0x7000)}},
    {"enter 8, 3", PROTECTED_32, BYTES(0xc8, 8, 0, 3),
     .before = {REG(RBP, 0x7000), MEM(0x6ffc, 4, 0x11), MEM(0x6ff8, 4, 0x22)},
     .after = {REG(RBP, 0x8fffc), REG(RSP, 0x8ffe8), MEM(0x8fff8, 4, 0x11), MEM(0x8fff4, 4, 0x22)}},
    {"leave", REAL, BYTES(0xc9), .before = {REG(RBP, 0x7000), MEM(0x7000, 2, 0x4444)},
     .after = {REG(RBP, 0x4444), REG(RSP, 0x7002)}},
    {"leave, with 16 bits of a 32-bit stack", PROTECTED_32, BYTES(0x66, 0xc9),
     .before = {REG(RBP, 0x67000), MEM(0x67000, 2, 0x4444)},
     .after = {REG(RBP, 0x64444), REG(RSP, 0x67002)}},
    {"push cs", REAL, BYTES(0x0e), .after = {MEM(0x7ffe, 2, 0), REG(RSP, 0x7ffe)}},
    {"push imm8 of 32 bits", REAL, BYTES(0x66, 0x6a, 0xff),
     .after = {REG(RSP, 0x7ffc), MEM(0x7ffc, 4, 0xffffffff)}},
    /* ---- near transfers */
    {"call rel16", REAL, BYTES(0xe8, 0xfd, 0x0f), .after = {MEM(0x7ffe, 2, 0x1003)}, .end = 0x2000},
    {"ret imm16", REAL, BYTES(0xc2, 4, 0), .before = {MEM(0x8000, 2, 0x3456)},
     .after = {REG(RSP, 0x8006)}, .end = 0x3456},
    {"ret of 32 bits beyond 64 KiB", REAL, BYTES(0x66, 0xc3), .before = {MEM(0x8000, 4, 0x13456)},
     .after = {REG(RSP, 0x8000)}, .fault = FAULT(VECTOR_GP)},
    {"jmp short wraps", REAL, BYTES(0xeb, 0x7f), .rip = 0xfff0, .end = 0x71},
    {"jmp back wraps", REAL, BYTES(0xeb, 0xf0), .rip = 0x8, .end = 0xfffa},
    {"jmp rel32 beyond 64 KiB", REAL, BYTES(0x66, 0xe9, 0, 0, 1, 0), .fault = FAULT(VECTOR_GP)},
    {"jmp beyond the limit", PROTECTED_32, BYTES(0xe9, 0, 0x20, 0, 0), .cs_limit = 0x101fff,
     .fault = FAULT(VECTOR_GP)},
    {"jmp within the limit", PROTECTED_32, BYTES(0xe9, 0, 0x0f, 0, 0), .cs_limit = 0x101fff,
     .end = 0x100f05},
    {"jcc beyond the limit", PROTECTED_32, BYTES(0x0f, 0x84, 0, 0x20, 0, 0), .flags = RFLAGS_ZF,
     .cs_limit = 0x101fff, .fault = FAULT(VECTOR_GP)},
    {"jcc not taken beyond the limit", PROTECTED_32, BYTES(0x0f, 0x84, 0, 0x20, 0, 0),
     .cs_limit = 0x101fff},
    {"call beyond the limit pushes nothing", PROTECTED_32, BYTES(0xe8, 0, 0x20, 0, 0),
     .cs_limit = 0x101fff, .after = {REG(RSP, FIXTURE_STACK), MEM(FIXTURE_STACK - 4, 4, 0)},
     .fault = FAULT(VECTOR_GP)},
    {"ret beyond the limit pops nothing", PROTECTED_32, BYTES(0xc3), .cs_limit = 0x101fff,
     .before = {MEM(FIXTURE_STACK, 4, 0x102000)}, .after = {REG(RSP, FIXTURE_STACK)},
     .fault = FAULT(VECTOR_GP)},
    {"jmp of 16 bits cuts EIP", PROTECTED_32, BYTES(0x66, 0xe9, 0, 0x20), .end = 0x2004},
    {"jmp of 16 bits ignores 66 in 64-bit mode", LONG, BYTES(0x66, 0xe9, 0x10, 0, 0, 0),
     .end = 0x100016},
    {"jmp to a non-canonical address", LONG, BYTES(0xff, 0xe0),
     .before = {REG(RAX, 0x800000000000)}, .fault = FAULT(VECTOR_GP)},
    {"loop counts CX", REAL, BYTES(0xe2, 0x10), .before = {REG(RCX, 0x50001)},
     .after = {REG(RCX, 0x50000)}},
    {"loop counts CX below 0", REAL, BYTES(0xe2, 0x10), .before = {REG(RCX, 0x50000)},
     .after = {REG(RCX, 0x5ffff)}, .end = 0x1012},
    {"loop counts ECX", REAL, BYTES(0x67, 0xe2, 0x10), .before = {REG(RCX, 0x50001)},
     .after = {REG(RCX, 0x50000)}, .end = 0x1013},
    {"loop beyond the limit counts nothing", PROTECTED_32, BYTES(0xe2, 0x10), .cs_limit = 0x100005,
     .before = {REG(RCX, 2)}, .after = {REG(RCX, 2)}, .fault = FAULT(VECTOR_GP)},
    {"jcxz", REAL, BYTES(0xe3, 0x10), .before = {REG(RCX, 0x10000)}, .end = 0x1012},
    {"jecxz", REAL, BYTES(0x67, 0xe3, 0x10), .before = {REG(RCX, 0x10000)}},
    {"jecxz in 64-bit mode", LONG, BYTES(0x67, 0xe3, 0x10), .before = {REG(RCX, 1ull << 32)},
     .end = 0x100013},
    /* ---- addresses */
    {"xlat wraps", REAL, BYTES(0xd7), .before = {REG(RBX, 0xfff0), REG(RAX, 0x20), MEM(0x10, 1, 9)},
     .after = {REG(RAX, 9)}},
    {"movsb wraps", REAL, BYTES(0xf3, 0xa4),
     .before = {REG(RSI, 0xfffe), REG(RDI, 0x6000), REG(RCX, 4), MEM(0xfffe, 2, 0x2211)},
     .after = {REG(RSI, 2), REG(RDI, 0x6004), MEM(0x6000, 2, 0x2211), REG(RCX, 0)}},
    {"movsw across the end of the segment", REAL, BYTES(0xa5),
     .before = {REG(RSI, 0xffff), REG(RDI, 0x6000)}, .after = {REG(RSI, 0xffff)},
     .fault = FAULT(VECTOR_GP)},
    {"stosb downwards wraps", REAL, BYTES(0xf3, 0xaa), .flags = RFLAGS_DF,
     .before = {REG(RDI, 0x70001), REG(RCX, 3), REG(RAX, 0x5a)},
     .after = {REG(RDI, 0x7fffe), MEM(0xffff, 1, 0x5a), MEM(1, 1, 0x5a)}},
    {"stosd, 32-bit address beyond 64 KiB", REAL, BYTES(0x67, 0x66, 0xab),
     .before = {REG(RDI, 0x10000)}, .fault = FAULT(VECTOR_GP)},
    {"movsb by EDI cuts RDI", LONG, BYTES(0x67, 0xa4),
     .before = {REG(RSI, 0x100006000), REG(RDI, 0x700006100), MEM(0x6000, 1, 7)},
     .after = {REG(RSI, 0x6001), REG(RDI, 0x6101), MEM(0x6100, 1, 7)}},
    {"bt reaches down", REAL, BYTES(0x0f, 0xa3, 0x06, 0, 0x60),
     .before = {REG(RAX, 0xffff), MEM(0x5ffe, 2, 0x8000)}, .after = {REG(16, RFLAGS_CF)}},
    {"btr reaches up", PROTECTED_32, BYTES(0x0f, 0xb3, 0x05, 0, 0x60, 0, 0),
     .before = {REG(RAX, 100), MEM(0x600c, 4, 0xff)},
     .after = {REG(16, RFLAGS_CF), MEM(0x600c, 4, 0xef)}},
    {"bts reaches down 64 bits at a time", LONG, BYTES(0x48, 0x0f, 0xab, 0x07),
     .before = {REG(RDI, 0x6100), REG(RAX, (u64)-64)}, .after = {MEM(0x60f8, 8, 1)}},
    {"les", REAL, BYTES(0xc4, 0x1e, 0, 0x60), .before = {MEM(0x6000, 4, 0x12345678)},
     .after = {REG(RBX, 0x5678), REG(17 + SEG_ES, 0x12340)}},
    {"lds of 32 bits", REAL, BYTES(0x66, 0xc5, 0x1e, 0, 0x60),
     .before = {MEM(0x6000, 4, 0x89abcdef), MEM(0x6004, 2, 0x0100)},
     .after = {REG(RBX, 0x89abcdef), REG(17 + SEG_DS, 0x1000)}},
    {"a word at the last byte", REAL, BYTES(0xa1, 0xff, 0xff), .fault = FAULT(VECTOR_GP)},
    {"a word at the last byte by BP", REAL, BYTES(0x8b, 0x46, 0), .before = {REG(RBP, 0xffff)},
     .fault = FAULT(VECTOR_SS)},
    {"address of 16 bits wraps", REAL, BYTES(0x8a, 0x47, 0x20),
     .before = {REG(RBX, 0xfff0), MEM(0x10, 1, 0x77)}, .after = {REG(RAX, 0x77)}},
    {"a non-canonical address", LONG, BYTES(0x48, 0x8b, 0x00), .before = {REG(RAX, 0x800000000000)},
     .fault = FAULT(VECTOR_GP)},
    {"a non-canonical address by RBP", LONG, BYTES(0x48, 0x8b, 0x45, 0),
     .before = {REG(RBP, 0x800000000000)}, .fault = FAULT(VECTOR_SS)},
    {"push to a non-canonical address", LONG, BYTES(0x50), .before = {REG(RSP, 0x800000000008 + 0)},
     .fault = FAULT(VECTOR_SS)},
    {"cmpxchg8b", REAL, BYTES(0x0f, 0xc7, 0x0e, 0, 0x60),
     .before = {MEM(0x6000, 8, 0x0000000200000001), REG(RAX, 1), REG(RDX, 2), REG(RBX, 3)},
     .after = {MEM(0x6000, 8, 3), REG(16, RFLAGS_ZF)}},
    {"cmpxchg16b, not aligned", LONG, BYTES(0x48, 0x0f, 0xc7, 0x0f), .before = {REG(RDI, 0x6008)},
     .fault = FAULT(VECTOR_GP)},
    {"cmpxchg16b", LONG, BYTES(0xf0, 0x48, 0x0f, 0xc7, 0x0f),
     .before = {REG(RDI, 0x6010), MEM(0x6010, 8, 5), MEM(0x6018, 8, 6)},
     .after = {REG(RAX, 5), REG(RDX, 6), MEM(0x6010, 8, 5)}},
    /* ---- interrupts and bounds */
    {"int 20h", REAL, BYTES(0xcd, 0x20), .before = {MEM(0x80, 4, 0x00302000)}, .flags = RFLAGS_IF,
     .after = {REG(RSP, 0x7ffa), MEM(0x7ffa, 4, 0x1002), MEM(0x7ffe, 2, 0x202),
               REG(17 + SEG_CS, 0x300)},
     .end = 0x2000},
    {"into", REAL, BYTES(0xce), .flags = RFLAGS_OF, .before = {MEM(0x10, 4, 0x2000)},
     .after = {MEM(0x7ffa, 2, 0x1001)}, .end = 0x2000},
    {"into without overflow", REAL, BYTES(0xce)},
    {"bound: below", REAL, BYTES(0x62, 0x06, 0, 0x60),
     .before = {REG(RAX, 0xfffe), MEM(0x6000, 2, 0xffff), MEM(0x6002, 2, 5)},
     .fault = FAULT(VECTOR_BR)},
    {"bound: within", REAL, BYTES(0x62, 0x06, 0, 0x60),
     .before = {REG(RAX, 0xffff), MEM(0x6000, 2, 0xffff), MEM(0x6002, 2, 5)}},
    {"iret", REAL, BYTES(0xcf),
     .before = {MEM(0x8000, 4, 0x01002345), MEM(0x8004, 2, RFLAGS_CF | RFLAGS_DF)},
     .after = {REG(RSP, 0x8006), REG(17 + SEG_CS, 0x1000), REG(16, RFLAGS_CF)}, .end = 0x2345},
    {"retf imm16", REAL, BYTES(0xca, 2, 0), .before = {MEM(0x8000, 4, 0x01002345)},
     .after = {REG(RSP, 0x8006), REG(17 + SEG_CS, 0x1000)}, .end = 0x2345},
    {"div by 0", LONG, BYTES(0xf7, 0xf1), .fault = FAULT(VECTOR_DE)},
    {"idiv of the smallest by -1", LONG, BYTES(0x48, 0xf7, 0xf9),
     .before = {REG(RAX, 1ull << 63), REG(RDX, ~0ull), REG(RCX, ~0ull)}, .fault = FAULT(VECTOR_DE)},
    /* ---- what is undefined */
    {"lock nop", LONG, BYTES(0xf0, 0x90), .fault = FAULT(VECTOR_UD)},
    {"lock add to a register", LONG, BYTES(0xf0, 0x01, 0xc0), .fault = FAULT(VECTOR_UD)},
    {"lock movsb", REAL, BYTES(0xf0, 0xa4), .fault = FAULT(VECTOR_UD)},
    {"lock bt", REAL, BYTES(0xf0, 0x0f, 0xa3, 0x06, 0, 0x60), .fault = FAULT(VECTOR_UD)},
    {"lock cmp", REAL, BYTES(0xf0, 0x39, 0x06, 0, 0x60), .fault = FAULT(VECTOR_UD)},
    {"lock add", REAL, BYTES(0xf0, 0x01, 0x06, 0, 0x60), .before = {REG(RAX, 5)},
     .after = {MEM(0x6000, 2, 5)}},
    {"arpl in real mode", REAL, BYTES(0x63, 0xc0), .fault = FAULT(VECTOR_UD)},
    {"lldt in real mode", REAL, BYTES(0x0f, 0x00, 0xd0), .fault = FAULT(VECTOR_UD)},
    {"sldt in real mode", REAL, BYTES(0x0f, 0x00, 0xc0), .fault = FAULT(VECTOR_UD)},
    {"lar in real mode", REAL, BYTES(0x0f, 0x02, 0xc0), .fault = FAULT(VECTOR_UD)},
    {"sysenter in real mode", REAL, BYTES(0x0f, 0x34), .fault = FAULT(VECTOR_GP)},
    {"syscall in protected mode", PROTECTED_32, BYTES(0x0f, 0x05), .fault = FAULT(VECTOR_UD)},
    {"pusha in 64-bit mode", LONG, BYTES(0x60), .fault = FAULT(VECTOR_UD)},
    {"push es in 64-bit mode", LONG, BYTES(0x06), .fault = FAULT(VECTOR_UD)},
    {"call far in 64-bit mode", LONG, BYTES(0x9a, 0, 0, 0, 0, 8, 0), .fault = FAULT(VECTOR_UD)},
    {"82 in 64-bit mode", LONG, BYTES(0x82, 0xc0, 1), .fault = FAULT(VECTOR_UD)},
    {"salc in 64-bit mode", LONG, BYTES(0xd6), .fault = FAULT(VECTOR_UD)},
    {"mov cs", REAL, BYTES(0x8e, 0xc8), .fault = FAULT(VECTOR_UD)},
    {"mov to segment register 6", REAL, BYTES(0x8e, 0xf0), .fault = FAULT(VECTOR_UD)},
    {"15 bytes", LONG,
     .code = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
              0x90},
     .length = 15},
    {"16 bytes", LONG,
     .code = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
              0x66, 0x90},
     .length = 16, .fault = FAULT(VECTOR_GP)},
    /* ---- where code ends */
    {"code up to the end of the segment", REAL, BYTES(0x90), .rip = 0xffff, .end = 0x10000},
    {"code beyond the end of the segment", REAL, BYTES(0x90), .rip = 0xffff, .steps = 2,
     .fault = FAULT(VECTOR_GP), .end = 0x10000},
    {"an instruction across the end of the segment", REAL, BYTES(0xb8, 0x34, 0x12), .rip = 0xfffe,
     .fault = FAULT(VECTOR_GP)},
    {"code up to the limit", PROTECTED_32, BYTES(0x90, 0x40), .cs_limit = 0x100001, .steps = 2,
     .after = {REG(RAX, 1)}},
    {"code beyond the limit", PROTECTED_32, BYTES(0x90, 0x90, 0x40), .cs_limit = 0x100001,
     .steps = 3, .fault = FAULT(VECTOR_GP), .end = 0x100002},
    {"an instruction across the limit", PROTECTED_32, BYTES(0xb8, 1, 2, 3, 4), .cs_limit = 0x100003,
     .fault = FAULT(VECTOR_GP)},
    {"an instruction across pages", LONG, BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8),
     .rip = 0x100ffd, .after = {REG(RAX, 0x0807060504030201)}},
    {"code where there is no RAM: all ones", LONG, .rip = 0xc0000000, .length = 0,
     .fault = FAULT(VECTOR_UD)},
    {"code at a non-canonical address", LONG, .rip = 0x800000000000, .length = 0,
     .fault = FAULT(VECTOR_GP)},
    {"code in 16-bit protected mode", PROTECTED_16, BYTES(0xb8, 0x34, 0x12, 0x66, 0x40), .steps = 2,
     .after = {REG(RAX, 0x1235)}},
};

static void enter_mode(struct cpu_fixture *f, enum mode mode)
{
    switch (mode) {
    case REAL:
        cpu_fixture_real(f);
        break;
    case PROTECTED_16:
        cpu_fixture_protected(f, 0);
        load_selector(f, SEG_CS, FIXTURE_CODE16);
        f->cpu->rip = 0x1000;
        break;
    case PROTECTED_32:
        cpu_fixture_protected(f, 0);
        break;
    case LONG:
        cpu_fixture_long(f, 0);
        break;
    }
    cpu_update_mode(f->cpu);
}

/* Registers by number; 16: the arithmetic flags; from 17: bases of segments. */
static u64 get_register(const struct cpu *cpu, u32 number)
{
    return number < 16    ? cpu->gpr[number]
           : number == 16 ? cpu_arithmetic_flags(cpu)
                          : cpu->seg[number - 17].base;
}

static void prepare(struct cpu_fixture *f, const struct row *row)
{
    struct cpu *cpu = f->cpu;

    enter_mode(f, row->mode);
    memset(cpu->gpr, 0, 16 * 8);
    cpu->gpr[RSP] = row->mode == REAL ? 0x8000 : FIXTURE_STACK;
    cpu->rip = row->rip ? row->rip : cpu->rip;
    cpu->seg[SEG_CS].limit = row->cs_limit ? row->cs_limit : cpu->seg[SEG_CS].limit;
    cpu_set_rflags(cpu, row->flags | RFLAGS_FIXED);
    for (unsigned i = 0; i < ARRAY_SIZE(row->before); i++) {
        const struct place *p = &row->before[i];
        if (p->size) {
            cpu_fixture_put(f, p->at, p->value, p->size);
        } else if (p->at || p->value) {
            cpu->gpr[p->at] = p->value;
        }
    }
    if (row->length) {
        interpret_fixture_code(f, cpu->rip, row->code, row->length);
    }
}

static unsigned check_row(struct cpu_fixture *f, const struct row *row, u64 start, bool by_line)
{
    const struct cpu *cpu = f->cpu;
    unsigned wrong = 0;
    u64 end = row->end ? row->end : row->fault ? start : start + row->length;

    if (cpu->fault.pending != !!row->fault ||
        (row->fault && (cpu->fault.vector != row->fault - 1 || cpu->fault.error != row->error))) {
        print_error("%s: fault %u, vector %u, error %#x\n", row->name, cpu->fault.pending,
                    cpu->fault.vector, cpu->fault.error);
        wrong++;
    }
    if (cpu->rip != end) {
        print_error("%s: rIP is %#lx, not %#lx%s\n", row->name, cpu->rip, end,
                    by_line ? " (in a line)" : "");
        wrong++;
    }
    for (unsigned i = 0; i < MAX_EXPECTED; i++) {
        const struct place *p = &row->after[i];
        u64 is = p->size ? cpu_fixture_get(f, p->at, p->size) : get_register(cpu, p->at);
        if ((p->size || p->at || p->value) && is != p->value) {
            print_error("%s: %s %#x is %#lx, not %#lx%s\n", row->name,
                        p->size ? "memory" : "register", p->at, is, p->value,
                        by_line ? " (in a line)" : "");
            wrong++;
        }
    }
    return wrong;
}

/* Is the row one that can also run by lines, up to a UD2 behind it? */
static bool runs_by_line(const struct row *row)
{
    return !row->rip && !row->cs_limit && !row->fault && row->length < 15;
}

static void run_by_line(struct cpu_fixture *f, const struct row *row)
{
    static const u8 ud2[] = {0x0f, 0x0b};
    u64 end = row->end ? row->end : f->cpu->rip + row->length;
    for (unsigned i = 0; i < MAX_EXPECTED; i++) {
        end += row->after[i].at == 17 + SEG_CS ? row->after[i].value : 0;
    }

    interpret_fixture_code(f, end, ud2, 2);
    interpret_fixture_run(f, 10000);
    if (f->cpu->icount == (row->steps ? row->steps : 1)) {
        cpu_fixture_faulted(f, VECTOR_UD, -1);
    }
}

static void table(void **state)
{
    unsigned wrong = 0, by_line = 0;
    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i / 2];
        struct cpu_fixture *f = interpret_fixture_new();
        prepare(f, row);
        u64 start = f->cpu->rip;
        if (!(i & 1)) {
            interpret_fixture_run(f, row->steps ? row->steps : 1);
            wrong += check_row(f, row, start, false);
        } else if (runs_by_line(row)) {
            by_line++;
            run_by_line(f, row);
            wrong += check_row(f, row, start, true);
        }
        interpret_fixture_free(f);
    }
    printf("%zu rows, %u of them by cached lines too\n", ARRAY_SIZE(rows), by_line);
    assert_int_equal(wrong, 0);
}

/* With 32-bit addresses the offset wraps: in 64-bit mode, with a base that is not that of a page,
 * within one. */
static void string_offset_wraps(void **state)
{
    static const u8 code[] = {0x64, 0x67, 0xf3, 0xa4}; /* fs addr32 rep movsb */
    struct cpu_fixture *f = interpret_fixture_new();
    struct cpu *cpu = f->cpu;
    (void)state;
    cpu_fixture_long(f, 0);
    interpret_fixture_code(f, cpu->rip, code, sizeof(code));
    cpu->seg[SEG_FS].base = 0x200010 - 0xfffffffeull; /* below 0, and nothing is mapped there */
    cpu->gpr[RSI] = 0xfffffffe;
    cpu->gpr[RDI] = 0x300000;
    cpu->gpr[RCX] = 8;
    interpret_fixture_run(f, 1);
    assert_true(cpu->fault.pending);
    assert_int_equal(cpu->fault.vector, VECTOR_PF);
    assert_int_equal(cpu->gpr[RCX], 6);
    assert_int_equal(cpu->gpr[RSI], 0);
    interpret_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(string_offset_wraps),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
