/*
 * privileges.c - who may do what: every privileged and every sensitive instruction at each CPL,
 * with each IOPL and each bit of CR4 that has a say, against a rule; and ports by the permission
 * bitmap.
 *
 * Intel SDM vol. 3A, "Privileged Instructions", "User-Mode Instruction Prevention"; vol. 1,
 * "I/O Privilege Level", "I/O Permission Bit Map"; vol. 2, each instruction.
 */
#include "descriptors.h"

enum { CR4_TSD = 1 << 2, CR4_PCE = 1 << 8, CR4_UMIP = 1 << 11, IOPL_SHIFT = 12 };

/* What decides. */
enum rule {
    ALWAYS,    /* allowed */
    CPL_0,     /* #GP(0) at any other */
    IOPL,      /* CPL <= IOPL, or #GP(0) */
    PORTS,     /* IOPL, or the bitmap */
    UMIP,      /* CPL 0, or no CR4.UMIP */
    TSD,       /* CPL 0, or no CR4.TSD */
    AC_CPL_0,  /* #UD at any other */
    UNDEFINED, /* #UD */
};

/* All are to end in INT FFh after their last byte.  rDI is a buffer, EAX, ECX and EDX are 0. */
static const struct instruction {
    const char *name;
    u8 code[8], size;
    enum rule rule;
} instructions[] = {
    {"CLI", {0xfa}, 1, IOPL},
    {"STI", {0xfb}, 1, IOPL},
    {"IN AL, 80h", {0xe4, 0x80}, 2, PORTS},
    {"OUT 80h, AL", {0xe6, 0x80}, 2, PORTS},
    {"IN AL, DX", {0xec}, 1, PORTS},
    {"OUT DX, AL", {0xee}, 1, PORTS},
    {"IN AX, DX", {0x66, 0xed}, 2, PORTS},
    {"OUT DX, EAX", {0xef}, 1, PORTS},
    {"INSB", {0x6c}, 1, PORTS},
    {"OUTSB", {0x6e}, 1, PORTS},
    {"CLTS", {0x0f, 0x06}, 2, CPL_0},
    {"WBINVD", {0x0f, 0x09}, 2, CPL_0},
    {"INVLPG", {0x0f, 0x01, 0x3f}, 3, CPL_0},
    {"MOV rAX, CR0", {0x0f, 0x20, 0xc0}, 3, CPL_0},
    {"MOV rAX, CR2", {0x0f, 0x20, 0xd0}, 3, CPL_0},
    {"MOV rAX, CR3", {0x0f, 0x20, 0xd8}, 3, CPL_0},
    {"MOV rAX, CR4", {0x0f, 0x20, 0xe0}, 3, CPL_0},
    {"MOV CR2, rAX", {0x0f, 0x22, 0xd0}, 3, CPL_0},
    {"MOV rAX, DR0", {0x0f, 0x21, 0xc0}, 3, CPL_0},
    {"MOV rAX, DR7", {0x0f, 0x21, 0xf8}, 3, CPL_0},
    {"MOV DR0, rAX", {0x0f, 0x23, 0xc0}, 3, CPL_0},
    {"LGDT", {0x0f, 0x01, 0x17}, 3, CPL_0},
    {"LIDT", {0x0f, 0x01, 0x1f}, 3, CPL_0},
    {"LLDT", {0x0f, 0x00, 0xd0}, 3, CPL_0},
    {"SGDT", {0x0f, 0x01, 0x07}, 3, UMIP},
    {"SIDT", {0x0f, 0x01, 0x0f}, 3, UMIP},
    {"SLDT", {0x0f, 0x00, 0xc0}, 3, UMIP},
    {"STR", {0x0f, 0x00, 0xc8}, 3, UMIP},
    {"SMSW", {0x0f, 0x01, 0xe0}, 3, UMIP},
    {"SLDT of memory", {0x0f, 0x00, 0x07}, 3, UMIP},
    {"VERR", {0x0f, 0x00, 0xe0}, 3, ALWAYS},
    {"VERW", {0x0f, 0x00, 0xe8}, 3, ALWAYS},
    {"LAR", {0x0f, 0x02, 0xc0}, 3, ALWAYS},
    {"LSL", {0x0f, 0x03, 0xc0}, 3, ALWAYS},
    {"RDTSC", {0x0f, 0x31}, 2, TSD},
    {"RDMSR of MSR 10h", {0xb1, 0x10, 0x0f, 0x32}, 4, CPL_0},
    {"CPUID", {0x0f, 0xa2}, 2, ALWAYS},
    {"STAC", {0x0f, 0x01, 0xcb}, 3, AC_CPL_0},
    {"CLAC", {0x0f, 0x01, 0xca}, 3, AC_CPL_0},
    {"PUSHF, POPF", {0x9c, 0x9d}, 2, ALWAYS},
    {"PAUSE", {0xf3, 0x90}, 2, ALWAYS},
    {"RSM", {0x0f, 0xaa}, 2, UNDEFINED},
    {"UD2", {0x0f, 0x0b}, 2, UNDEFINED},
    {"UD1", {0x0f, 0xb9, 0xc0}, 3, UNDEFINED},
    {"UD0", {0x0f, 0xff, 0xc0}, 3, UNDEFINED},
    {"SLDT, group 6 of 6", {0x0f, 0x00, 0xf0}, 3, UNDEFINED},
    {"group 9 of 0", {0x0f, 0xc7, 0x07}, 3, UNDEFINED},
    {"POP of a reserved form", {0x8f, 0xc8}, 2, UNDEFINED},
    {"group 4 of 2", {0xfe, 0xd0}, 2, UNDEFINED},
    {"CALL far of a register", {0xff, 0xd8}, 2, UNDEFINED},
    {"LEA of a register", {0x8d, 0xc0}, 2, UNDEFINED},
    {"CLFLUSH of a lock", {0xf0, 0x0f, 0xae, 0x3f}, 4, UNDEFINED},
    {"LOCK NOP", {0xf0, 0x90}, 2, UNDEFINED},
};

static u8 code[16], buffer[64] __attribute__((aligned(64)));

struct setting {
    unsigned cpl, iopl;
    bool bitmap, umip, tsd;
};

static u32 expected_of(enum rule rule, const struct setting *s)
{
    bool ok = true;

    switch (rule) {
    case ALWAYS:
        break;
    case CPL_0:
        ok = s->cpl == 0;
        break;
    case IOPL:
        ok = s->cpl <= s->iopl;
        break;
    case PORTS:
        ok = s->cpl <= s->iopl || s->bitmap;
        break;
    case UMIP:
        ok = s->cpl == 0 || !s->umip;
        break;
    case TSD:
        ok = s->cpl == 0 || !s->tsd;
        break;
    case AC_CPL_0:
        return s->cpl == 0 ? NO_FAULT : VECTOR_UD;
    case UNDEFINED:
        return VECTOR_UD;
    }
    return ok ? NO_FAULT : VECTOR_GP;
}

/* A TSS with a bitmap of ports. */
static u8 tss[104 + 8192 + 1] __attribute__((aligned(128)));

static void set_bitmap(bool allowed, unsigned limit)
{
    for (unsigned i = 0; i < 104; i++) {
        tss[i] = main_tss[i];
    }
    for (unsigned i = 104; i < sizeof(tss); i++) {
        tss[i] = allowed ? 0 : 0xff;
    }
    *(u16 *)(tss + 102) = 104;
    tss[sizeof(tss) - 1] = 0xff;
    set_descriptor(MAIN_TSS, (u32)(word)tss, limit, 0x89);
    __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
}

/* IRET to that CPL with that IOPL; at CPL 0 only POPF is needed. */
static void enter(word cpl_and_iopl)
{
    word cpl = cpl_and_iopl & 3, flags = 2 | (cpl_and_iopl >> 2) << IOPL_SHIFT;
    word cs = cpl ? RING_CODE + 9 * cpl : KERNEL_CS, ss = cpl ? RING_DATA + 9 * cpl : KERNEL_DS;

    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"r"(ss),
                     "r"((word)user_stack_end - 128), "r"(flags), "r"(cs), "r"(code), "D"(buffer),
                     "S"(buffer), "a"(0), "c"(0), "d"(0x80)
                     : "memory");
}

static void try_one(const struct instruction *i, const struct setting *s)
{
    for (unsigned n = 0; n < i->size; n++) {
        code[n] = i->code[n];
    }
    code[i->size] = 0xcd;
    code[i->size + 1] = 0xff;
    *(u16 *)buffer = sizeof(gdt) - 1;
    if (i->rule == CPL_0 && i->code[1] == 1 && i->code[2] == 0x1f) {
        __asm__ volatile("sidt %0" : "=m"(buffer));
    } else {
        __asm__ volatile("sgdt %0" : "=m"(buffer));
    }
    *(word *)(tss + 4) = (word)kernel_stack_end - 16384;
    attempt(enter, s->cpl | s->iopl << 2);
    u32 expected = expected_of(i->rule, s);
    check_case(fault.vector == expected && fault.error == 0,
               "%s at CPL %u, IOPL %u, bitmap %u umip %u tsd %u: vector %x error %x, not %x",
               i->name, s->cpl, s->iopl, s->bitmap, s->umip, s->tsd, fault.vector, fault.error,
               expected);
    if (expected != NO_FAULT) {
        check_case(fault.ip >= (word)code && fault.ip < (word)code + i->size, "%s: it faults at %l",
                   i->name, (u64)fault.ip);
    }
}

static void check_all(bool has_umip)
{
    for (unsigned n = 0; n < 128; n++) {
        struct setting s = {n & 3, n >> 2 & 3, n & 16, n & 32, n & 64};
        if (s.umip && !has_umip) {
            continue;
        }
        set_bitmap(s.bitmap, sizeof(tss) - 1);
        write_cr4((read_cr4() & ~(word)(CR4_UMIP | CR4_TSD)) | (s.umip ? CR4_UMIP : 0) |
                  (s.tsd ? CR4_TSD : 0));
        for (unsigned i = 0; i < ARRAY_SIZE(instructions); i++) {
            try_one(&instructions[i], &s);
        }
    }
    write_cr4(read_cr4() & ~(word)(CR4_UMIP | CR4_TSD));
    print("ok   every instruction at every CPL\n");
}

/* ------------------------------------------------------------------ the bitmap */

static const struct instruction in[3] = {
    {"IN AL, DX", {0xec}, 1, PORTS},
    {"IN AX, DX", {0x66, 0xed}, 2, PORTS},
    {"IN EAX, DX", {0xed}, 1, PORTS},
};

static word port;
static void enter_port(word size)
{
    (void)size;
    __asm__ volatile(
        "push %0; push %1; push $2; push %2; push %3; iretq" ::"r"((word)(RING_DATA + 27)),
        "r"((word)user_stack_end - 128), "r"((word)(RING_CODE + 27)), "r"(code), "d"(port)
        : "memory");
}

/* One port is denied, or all but those that are allowed; accesses around it. */
static void check_bitmap(void)
{
    static const u16 places[] = {0x80, 0x87, 0x88, 0x3ff};

    for (unsigned p = 0; p < ARRAY_SIZE(places); p++) {
        set_bitmap(true, sizeof(tss) - 1);
        tss[104 + places[p] / 8] |= (u8)(1 << places[p] % 8);
        for (unsigned size = 0; size < 3; size++) {
            for (int distance = -5; distance <= 2; distance++) {
                unsigned width = 1u << size, at = places[p] + (unsigned)distance;
                bool allowed = places[p] < at || places[p] >= at + width;
                for (unsigned n = 0; n < in[size].size; n++) {
                    code[n] = in[size].code[n];
                }
                code[in[size].size] = 0xcd;
                code[in[size].size + 1] = 0xff;
                *(word *)(tss + 4) = (word)kernel_stack_end - 16384;
                port = at;
                attempt(enter_port, 0);
                check_case((fault.vector == NO_FAULT) == allowed &&
                               (allowed || fault.vector == VECTOR_GP),
                           "%s of port %x, %x being denied: vector %x", in[size].name, at,
                           places[p], fault.vector);
            }
        }
    }
    /* A TSS that ends within its bitmap denies what is beyond; two bytes are always read. */
    code[0] = 0xec;
    code[1] = 0xcd;
    code[2] = 0xff;
    set_bitmap(true, 104 + 16);
    *(word *)(tss + 4) = (word)kernel_stack_end - 16384;
    port = 0x7f;
    attempt(enter_port, 0);
    check(fault.vector == NO_FAULT, "the last port of a short bitmap");
    port = 0x80;
    attempt(enter_port, 0);
    check(fault.vector == VECTOR_GP, "  and the first beyond it: its second byte is not there");
    set_bitmap(true, 103);
    *(word *)(tss + 4) = (word)kernel_stack_end - 16384;
    port = 0;
    attempt(enter_port, 0);
    check(fault.vector == VECTOR_GP, "no bitmap at all");
    set_bitmap(true, sizeof(tss) - 1);
}

void guest_main(void)
{
    u32 seven[4];

    cpuid(7, 0, seven);
    open_pages_to_user();
    for (unsigned cpl = 1; cpl < 4; cpl++) {
        attempt_at(cpl, (void (*)(word))user_end, 0); /* makes the descriptors */
    }
    check_all(seven[2] >> 2 & 1);
    check_bitmap();
}
