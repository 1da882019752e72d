/*
 * align.c - #AC: which accesses of what size have to be aligned to what, at CPL 3 with CR0.AM and
 * RFLAGS.AC, and that without one of the three none has to be.
 *
 * Intel SDM vol. 3A, "Interrupt 17 - Alignment Check Exception (#AC)".  Accesses of 16 bytes are
 * not tried: whether MOVUPS has to be aligned then is up to the processor.
 */
#include "guest.h"

#define CR0_AM  (1u << 18)
#define FLAG_AC (1u << 18)

static u8 area[256] __attribute__((aligned(64)));
static u16 selector_of_data = USER_DS64;

/* The address is in rDI; RAX, RCX and RDX are 0, RBX is free.  RSP is kept in R8. */
static const struct instruction {
    const char *name;
    u8 code[16], size;
    u8 align; /* 1: never */
} instructions[] = {
    {"MOV AL, m8", {0x8a, 0x07}, 2, 1},
    {"MOV AX, m16", {0x66, 0x8b, 0x07}, 3, 2},
    {"MOV m16, AX", {0x66, 0x89, 0x07}, 3, 2},
    {"MOV EAX, m32", {0x8b, 0x07}, 2, 4},
    {"MOV m32, EAX", {0x89, 0x07}, 2, 4},
    {"MOV RAX, m64", {0x48, 0x8b, 0x07}, 3, 8},
    {"MOV m64, RAX", {0x48, 0x89, 0x07}, 3, 8},
    {"MOVZX EAX, m16", {0x0f, 0xb7, 0x07}, 3, 2},
    {"MOVZX EAX, m8", {0x0f, 0xb6, 0x07}, 3, 1},
    {"MOVSXD RAX, m32", {0x48, 0x63, 0x07}, 3, 4},
    {"ADD m32, EAX", {0x01, 0x07}, 2, 4},
    {"LOCK XADD m64, RAX", {0xf0, 0x48, 0x0f, 0xc1, 0x07}, 5, 8},
    {"XCHG m32, EAX", {0x87, 0x07}, 2, 4},
    {"CMPXCHG m32, ECX", {0x0f, 0xb1, 0x0f}, 3, 4},
    {"CMPXCHG8B", {0x0f, 0xc7, 0x0f}, 3, 8},
    {"BT m32, EAX", {0x0f, 0xa3, 0x07}, 3, 4},
    {"BT m16, imm", {0x66, 0x0f, 0xba, 0x27, 3}, 5, 2},
    {"SHL m64, 1", {0x48, 0xd1, 0x27}, 3, 8},
    {"IMUL EAX, m32", {0x0f, 0xaf, 0x07}, 3, 4},
    {"TEST m16, imm", {0x66, 0xf7, 0x07, 1, 0}, 5, 2},
    {"MOVBE", {0x0f, 0x38, 0xf0, 0x07}, 4, 4},
    {"STOSD", {0xab}, 1, 4},
    {"STOSQ", {0x48, 0xab}, 2, 8},
    {"SCASW", {0x66, 0xaf}, 2, 2},
    {"MOVSB", {0x48, 0x89, 0xfe, 0xa4}, 4, 1},
    {"LODSD", {0x48, 0x89, 0xfe, 0xad}, 4, 4},
    {"PUSH", {0x48, 0x89, 0xfc, 0x50}, 4, 8},
    {"PUSH of 16 bits", {0x48, 0x89, 0xfc, 0x66, 0x50}, 5, 2},
    {"POP", {0x48, 0x89, 0xfc, 0x58}, 4, 8},
    {"POPF", {0x48, 0x89, 0xfc, 0x9d}, 4, 8},
    {"CALL", {0x48, 0x89, 0xfc, 0xe8, 0, 0, 0, 0}, 8, 8},
    {"MOV FS, m16", {0x8e, 0x27}, 2, 2},
    {"MOV m16, DS", {0x8c, 0x1f}, 2, 2},
    {"LAR EAX, m16", {0x0f, 0x02, 0x07}, 3, 2},
    {"FLD m32", {0xd9, 0x07}, 2, 4},
    {"FLD m64", {0xdd, 0x07}, 2, 8},
    {"FLD m80", {0xdb, 0x2f}, 2, 8},
    {"FSTP m80", {0xd9, 0xee, 0xdb, 0x3f}, 4, 8},
    {"FNSTENV", {0xd9, 0x37}, 2, 4},
    {"FNSTENV of 16 bits", {0x66, 0xd9, 0x37}, 3, 2},
    {"FNSAVE", {0xdd, 0x37}, 2, 4},
    {"FBSTP", {0xd9, 0xee, 0xdf, 0x37}, 4, 8},
    {"SGDT", {0x0f, 0x01, 0x07}, 3, 4},
    {"FILD m16", {0xdf, 0x07}, 2, 2},
    {"FILD m32", {0xdb, 0x07}, 2, 4},
    {"FILD m64", {0xdf, 0x2f}, 2, 8},
    {"FNSTCW", {0xd9, 0x3f}, 2, 2},
    {"FNSTSW", {0xdd, 0x3f}, 2, 2},
    {"STMXCSR", {0x0f, 0xae, 0x1f}, 3, 4},
    {"MOVD XMM0, m32", {0x66, 0x0f, 0x6e, 0x07}, 4, 4},
    {"MOVQ XMM0, m64", {0xf3, 0x0f, 0x7e, 0x07}, 4, 8},
    {"MOVSS XMM0, m32", {0xf3, 0x0f, 0x10, 0x07}, 4, 4},
    {"MOVSD m64, XMM0", {0xf2, 0x0f, 0x11, 0x07}, 4, 8},
    {"MOVLPS XMM0, m64", {0x0f, 0x12, 0x07}, 3, 8},
    {"ADDSD XMM0, m64", {0xf2, 0x0f, 0x58, 0x07}, 4, 8},
    {"CVTSI2SD XMM0, m32", {0xf2, 0x0f, 0x2a, 0x07}, 4, 4},
    {"PINSRW XMM0, m16", {0x66, 0x0f, 0xc4, 0x07, 1}, 5, 2},
    {"MOVQ MM0, m64", {0x0f, 0x6f, 0x07}, 3, 8},
    {"MOVNTI m32, EAX", {0x0f, 0xc3, 0x07}, 3, 4},
    {"PREFETCHT0", {0x0f, 0x18, 0x0f}, 3, 1},
    {"CLFLUSH", {0x0f, 0xae, 0x3f}, 3, 1},
    {"LEA", {0x8d, 0x07}, 2, 1},
    {"NOP m32", {0x0f, 0x1f, 0x07}, 3, 1},
};

static u8 code[32];
static word flags, address;
static unsigned at_cpl;

static void enter(word unused)
{
    word cs = at_cpl ? USER_CS64 : KERNEL_CS, ss = at_cpl ? USER_DS64 : KERNEL_DS;
    word sp = (word)(at_cpl ? user_stack_end : kernel_stack_end - 16384) - 128;

    (void)unused;
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"r"(ss), "r"(sp),
                     "r"(flags), "r"(cs), "r"(code), "D"(address), "a"(0), "c"(0), "d"(0)
                     : "memory");
}

/* Its last instruction is INT FFh, which needs no stack of its own CPL if that is 3. */
static void try_one(const struct instruction *i, unsigned offset, bool checks)
{
    for (unsigned n = 0; n < sizeof(area); n++) {
        area[n] = 0;
    }
    address = (word)area + 64 + offset;
    *(u16 *)address = selector_of_data; /* for MOV to FS; elsewhere any value will do */
    for (unsigned n = 0; n < i->size; n++) {
        code[n] = i->code[n];
    }
    code[i->size] = 0xcd;
    code[i->size + 1] = 0xff;
    __asm__ volatile("fninit");
    attempt(enter, 0);
    u32 expected = checks && address % i->align ? VECTOR_AC : NO_FAULT;
    check_case(fault.vector == expected && fault.error == 0,
               "%s at %u of 16, CPL %u, AM %u, flags %l: vector %x error %x, not %x", i->name,
               offset, at_cpl, (read_cr0() & CR0_AM) != 0, (u64)flags, fault.vector, fault.error,
               expected);
    if (expected == VECTOR_AC) {
        check_case(fault.ip >= (word)code && fault.ip < (word)code + i->size, "%s faults at %l",
                   i->name, (u64)fault.ip);
    }
}

/* All four of AM and AC, and CPL 0, where the stack has to stay what it is. */
static void try_all(const struct instruction *i)
{
    bool uses_rsp = i->code[1] == 0x89 && i->code[2] == 0xfc;

    for (unsigned n = 0; n < 8; n++) {
        bool am = n & 1, ac = n & 2;
        at_cpl = n & 4 ? 3 : 0;
        if (!at_cpl && uses_rsp) {
            continue;
        }
        flags = 2 | (ac ? FLAG_AC : 0);
        write_cr0((read_cr0() & ~(word)CR0_AM) | (am ? CR0_AM : 0));
        for (unsigned offset = 0; offset < 16; offset++) {
            try_one(i, offset, am && ac && at_cpl == 3);
        }
    }
}

void guest_main(void)
{
    u32 one[4];

    open_pages_to_user();
    cpuid(1, 0, one);
    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9);
    *(word *)(main_tss + 4) = (word)kernel_stack_end - 20000;
    for (unsigned i = 0; i < ARRAY_SIZE(instructions); i++) {
        bool is_movbe = instructions[i].code[1] == 0x38 && instructions[i].code[2] == 0xf0;
        if (!is_movbe || one[2] >> 22 & 1) {
            try_all(&instructions[i]);
        }
    }
}
