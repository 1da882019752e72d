/*
 * fpufaults.c - exceptions of x87 and SSE: which instructions wait for a pending #MF and which do
 * not, each cause of #MF and #XM and what it leaves, and what goes first when several apply.
 *
 * Intel SDM vol. 1, "x87 FPU Floating-Point Exception Handling", "SSE, SSE2 and SSE3 Exceptions";
 * vol. 3A, the tables of actions for combinations of EM, MP and TS; vol. 2, FXRSTOR, XRSTOR.
 */
#include "guest.h"

enum { CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_NE = 32 };
enum { CR4_OSFXSR = 1 << 9, CR4_OSXMMEXCPT = 1 << 10, CR4_OSXSAVE = 1 << 18 };
enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32, SF = 64, ES = 128 };

static u8 area[1024] __attribute__((aligned(64)));
static u16 control_word;
static const u32 one = 0x3f800000, zero = 0, denormal = 1, huge = 0x7f7fffff, tiny = 0x00800000,
                 snan = 0x7f800001, three = 0x40400000;

#define CODE(name, ...)                                                                   \
    static void name(word unused)                                                         \
    {                                                                                     \
        (void)unused;                                                                     \
        __asm__ volatile(__VA_ARGS__ ::"b"(area), "m"(control_word), "m"(one), "m"(zero), \
                         "m"(denormal), "m"(huge), "m"(tiny), "m"(snan), "m"(three)       \
                         : "rax", "rcx", "rdx", "memory", "cc");                          \
    }

/* ------------------------------------------------------------------ who waits */

/* 1/0 with ZE unmasked: nothing is told until an instruction waits. */
static void make_pending(void)
{
    u16 cw = 0x37f & ~ZE;

    __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp" ::"m"(cw));
}

CODE(w_fwait, "fwait")
CODE(w_fld1, "fld1")
CODE(w_fadd, "fadd %%st(0), %%st(0)")
CODE(w_fldcw, "fldcw %1")
CODE(w_fincstp, "fincstp")
CODE(w_ffree, "ffree %%st(3)")
CODE(w_fnop, "fnop")
CODE(w_fxch, "fxch")
CODE(w_fstp, "fstps (%0)")
CODE(w_fist, "fistpl (%0)")
CODE(w_fldenv, "fldenv (%0)")
CODE(w_fcom, "fcom")
CODE(w_fcmov, "fcmove %%st(1), %%st(0)")
CODE(w_fcomi, "fcomi %%st(1), %%st(0)")
CODE(w_emms, "emms")
CODE(w_mmx, "paddb %%mm0, %%mm1")
CODE(w_mmx_load, "movq (%0), %%mm0")
CODE(w_cvtpi, "cvtpi2ps %%mm0, %%xmm0")
CODE(n_fninit, "fninit")
CODE(n_fnclex, "fnclex")
CODE(n_fnstsw, "fnstsw %%ax")
CODE(n_fnstsw_m, "fnstsw (%0)")
CODE(n_fnstcw, "fnstcw (%0)")
CODE(n_fnstenv, "fnstenv (%0)")
CODE(n_fnsave, "fnsave (%0)")
CODE(n_fxsave, "fxsave (%0)")
CODE(n_sse, "addps %%xmm0, %%xmm0")
CODE(n_ldmxcsr, "stmxcsr (%0); ldmxcsr (%0)")

static const struct instruction {
    const char *name;
    void (*what)(word);
    bool waits; /* #MF if one is pending */
    bool mmx;   /* EM is #UD, not #NM */
    bool sse;   /* is not of x87 */
    bool wait;  /* FWAIT: TS counts only with MP, and EM does not */
} instructions[] = {
    {"FWAIT", w_fwait, true, false, false, true},
    {"FLD1", w_fld1, true, false, false, false},
    {"FADD", w_fadd, true, false, false, false},
    {"FLDCW", w_fldcw, true, false, false, false},
    {"FINCSTP", w_fincstp, true, false, false, false},
    {"FFREE", w_ffree, true, false, false, false},
    {"FNOP", w_fnop, true, false, false, false},
    {"FXCH", w_fxch, true, false, false, false},
    {"FSTP", w_fstp, true, false, false, false},
    {"FISTP", w_fist, true, false, false, false},
    {"FLDENV", w_fldenv, true, false, false, false},
    {"FCOM", w_fcom, true, false, false, false},
    {"FCMOVE", w_fcmov, true, false, false, false},
    {"FCOMI", w_fcomi, true, false, false, false},
    {"EMMS", w_emms, true, true, false, false},
    {"PADDB", w_mmx, true, true, false, false},
    {"MOVQ mm", w_mmx_load, true, true, false, false},
    {"CVTPI2PS", w_cvtpi, true, true, false, false},
    {"FNINIT", n_fninit, false, false, false, false},
    {"FNCLEX", n_fnclex, false, false, false, false},
    {"FNSTSW AX", n_fnstsw, false, false, false, false},
    {"FNSTSW", n_fnstsw_m, false, false, false, false},
    {"FNSTCW", n_fnstcw, false, false, false, false},
    {"FNSTENV", n_fnstenv, false, false, false, false},
    {"FNSAVE", n_fnsave, false, false, false, false},
    {"FXSAVE", n_fxsave, false, false, false, false},
    {"ADDPS", n_sse, false, true, true, false},
    {"LDMXCSR", n_ldmxcsr, false, true, true, false},
};

static u32 expected_of(const struct instruction *i, bool em, bool mp, bool ts, bool pending)
{
    if (i->wait) {
        return ts && mp ? VECTOR_NM : pending ? VECTOR_MF : NO_FAULT;
    }
    if (em) {
        return i->mmx ? VECTOR_UD : VECTOR_NM;
    }
    if (ts) {
        return VECTOR_NM;
    }
    return i->waits && pending ? VECTOR_MF : NO_FAULT;
}

static void reset(void)
{
    write_cr0((read_cr0() & ~(word)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
    __asm__ volatile("fninit; ldmxcsr %0" ::"m"((u32){0x1f80}));
    control_word = 0x37f;
}

static void check_waiting(void)
{
    for (unsigned n = 0; n < 16; n++) {
        bool em = n & 1, mp = n & 2, ts = n & 4, pending = n & 8;
        for (unsigned i = 0; i < ARRAY_SIZE(instructions); i++) {
            reset();
            /* An image that FLDENV may load without making an exception of its own. */
            __asm__ volatile("fnstenv %0" : "=m"(area));
            control_word = 0x37f;
            if (pending) {
                make_pending();
            }
            word cr0 = read_cr0() & ~(word)(CR0_EM | CR0_MP | CR0_TS);
            write_cr0(cr0 | (em ? CR0_EM : 0) | (mp ? CR0_MP : 0) | (ts ? CR0_TS : 0));
            attempt(instructions[i].what, 0);
            u32 expected = expected_of(&instructions[i], em, mp, ts, pending);
            check_case(fault.vector == expected && fault.error == 0,
                       "%s, EM %u MP %u TS %u, pending %u: vector %x, not %x", instructions[i].name,
                       em, mp, ts, pending, fault.vector, expected);
            if (fault.vector == VECTOR_MF) {
                check_case(fault.flags & 1u << 16, "#MF is a fault");
            }
        }
    }
    reset();
    print("ok   who waits, who is forbidden\n");
}

/* ------------------------------------------------------------------ the causes of #MF */

CODE(x_invalid, "fld1; fadds %7")
CODE(x_denormal, "fld1; fadds %4")
CODE(x_zero, "fldz; fld1; fdivp")
CODE(x_overflow, "flds %5; fmul %%st(0), %%st(0); fmul %%st(0); fstps (%0)")
CODE(x_underflow, "flds %6; fmul %%st(0), %%st(0); fstps (%0)")
CODE(x_inexact, "fld1; fdivs %8")
CODE(x_stack_under, "fadd %%st(1), %%st(0)")
CODE(x_stack_over, "fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1")

static const struct {
    const char *name;
    void (*what)(word);
    u8 mask, flags;
} causes[] = {
    {"#IA", x_invalid, IE, IE},
    {"#D", x_denormal, DE, DE},
    {"#Z", x_zero, ZE, ZE},
    {"#O", x_overflow, OE, OE},
    {"#U", x_underflow, UE, UE},
    {"#P", x_inexact, PE, PE},
    {"#IS under", x_stack_under, IE, IE | SF},
    {"#IS over", x_stack_over, IE, IE | SF},
};

static u16 status_word(void)
{
    u16 sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    return sw;
}

static void check_causes(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(causes); i++) {
        u16 cw = 0x37f;

        reset();
        __asm__ volatile("fninit; fldcw %0" ::"m"(cw));
        attempt(causes[i].what, 0);
        check_case(fault.vector == NO_FAULT && (status_word() & causes[i].flags) == causes[i].flags,
                   "%s, masked: vector %x, status %x", causes[i].name, fault.vector, status_word());
        check_case(!(status_word() & ES), "%s, masked, sets no ES", causes[i].name);
        cw &= (u16)~causes[i].mask;
        reset();
        __asm__ volatile("fninit; fldcw %0" ::"m"(cw));
        attempt(causes[i].what, 0);
        check_case(fault.vector == NO_FAULT, "%s, unmasked, is not told at once: %x",
                   causes[i].name, fault.vector);
        check_case((status_word() & (causes[i].flags | ES)) == (causes[i].flags | ES),
                   "%s, unmasked: status %x", causes[i].name, status_word());
        attempt(w_fwait, 0);
        check_case(fault.vector == VECTOR_MF, "%s, FWAIT: vector %x", causes[i].name, fault.vector);
        /* It is still pending: the handler has to clear it. */
        attempt(w_fwait, 0);
        check_case(fault.vector == VECTOR_MF, "%s stays", causes[i].name);
        __asm__ volatile("fnclex");
        attempt(w_fwait, 0);
        check_case(fault.vector == NO_FAULT, "%s, cleared", causes[i].name);
    }
    /* An exception that is there already becomes pending when it is unmasked. */
    reset();
    __asm__ volatile("fninit; fldz; fld1; fdivp");
    control_word = 0x37f & ~ZE;
    check_fault(w_fldcw, 0, NO_FAULT, 0, "FLDCW that unmasks");
    check_fault(w_fwait, 0, VECTOR_MF, 0, "  makes it pending");
    reset();
}

extern u8 divides_here[];
static void check_pointers(void)
{
    u16 cw = 0x37f & ~ZE;
    u64 image[64] __attribute__((aligned(16)));

    __asm__ volatile("fninit; fldcw %1; fld1; divides_here: fdivs %2; fxsave64 %0; fnclex"
                     : "=m"(image)
                     : "m"(cw), "m"(zero));
    check_is(image[1], (word)divides_here, "the instruction pointer of x87");
    check_is(image[2], (word)&zero, "and its data pointer");
    check_is(((u16 *)image)[1] & (ZE | ES), ZE | ES, "and the status");
}

/* ------------------------------------------------------------------ SSE */

static u32 left[4] __attribute__((aligned(16))), right[4] __attribute__((aligned(16)));
static u32 result[4] __attribute__((aligned(16)));

static void do_div(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; movaps %1, %%xmm2; divps %%xmm2, %%xmm1" ::"m"(left),
                     "m"(right));
}
static void do_mul(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; mulps %1, %%xmm1" ::"m"(left), "m"(right));
}
static void do_sqrt(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; sqrtps %%xmm1, %%xmm1" ::"m"(left));
}
static void do_convert(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; cvtps2dq %%xmm1, %%xmm1" ::"m"(left));
}
static void do_comi(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; stc; comiss %1, %%xmm1" ::"m"(left), "m"(right) : "cc");
}
static void do_misaligned(word unused)
{
    (void)unused;
    __asm__ volatile("movaps %0, %%xmm1; divps 4(%1), %%xmm1" ::"m"(left), "r"(right));
}

static const struct {
    const char *name;
    void (*what)(word);
    u32 a, b;
    u8 mask, flags;
} vector_causes[] = {
    {"#I", do_mul, 0x7f800001, 0x3f800000, IE, IE},
    {"#I of a square root", do_sqrt, 0xbf800000, 0, IE, IE},
    {"#I of a conversion", do_convert, 0x7f7fffff, 0, IE, IE},
    {"#I of a comparison", do_comi, 0x7fc00000, 0x3f800000, IE, IE},
    {"#D", do_mul, 1, 0x3f800000, DE, DE},
    {"#Z", do_div, 0x3f800000, 0, ZE, ZE},
    {"#O", do_mul, 0x7f7fffff, 0x7f7fffff, OE, OE},
    {"#U", do_mul, 0x00800000, 0x00800000, UE, UE},
    {"#P", do_div, 0x3f800000, 0x40400000, PE, PE},
    {"#P of a conversion", do_convert, 0x3fc00000, 0, PE, PE},
};

static u32 mxcsr(void)
{
    u32 v;
    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}
static void set_mxcsr(u32 v)
{
    __asm__ volatile("ldmxcsr %0" ::"m"(v));
}

static void set_operands(u32 a, u32 b)
{
    for (unsigned i = 0; i < 4; i++) {
        left[i] = i == 2 ? a : 0x3f800000;
        right[i] = i == 2 ? b : 0x3f800000;
    }
    left[0] = a; /* for scalars */
    right[0] = b;
}

static void check_vectors(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(vector_causes); i++) {
        u8 flags = vector_causes[i].flags;

        reset();
        set_operands(vector_causes[i].a, vector_causes[i].b);
        attempt(vector_causes[i].what, 0);
        check_case(fault.vector == NO_FAULT && (mxcsr() & flags) == flags,
                   "%s, masked: vector %x, MXCSR %x", vector_causes[i].name, fault.vector, mxcsr());
        set_mxcsr(0x1f80 & ~(vector_causes[i].mask << 7));
        attempt(vector_causes[i].what, 0);
        __asm__ volatile("movaps %%xmm1, %0" : "=m"(result));
        check_case(fault.vector == VECTOR_XM && (mxcsr() & flags) == flags,
                   "%s, unmasked: vector %x, MXCSR %x", vector_causes[i].name, fault.vector,
                   mxcsr());
        check_case(result[2] == left[2] && result[0] == left[0] && result[1] == left[1],
                   "%s, unmasked, changes nothing: %x %x", vector_causes[i].name, result[0],
                   result[2]);
        /* The flag is there, but that alone does not fault again. */
        set_operands(0x3f800000, 0x3f800000);
        attempt(vector_causes[i].what, 0);
        check_case(fault.vector == NO_FAULT, "%s: a flag of before is no exception",
                   vector_causes[i].name);
        write_cr4(read_cr4() & ~(word)CR4_OSXMMEXCPT);
        set_operands(vector_causes[i].a, vector_causes[i].b);
        attempt(vector_causes[i].what, 0);
        check_case(fault.vector == VECTOR_UD, "%s without OSXMMEXCPT: vector %x",
                   vector_causes[i].name, fault.vector);
        write_cr4(read_cr4() | CR4_OSXMMEXCPT);
    }
    print("ok   causes of #XM\n");
    /* With an unmasked exception of the operands those of the results are not looked for. */
    reset();
    left[0] = 0x3f800000, right[0] = 0;          /* #Z */
    left[1] = 0x7f7fffff, right[1] = 0x00800000; /* #O */
    left[2] = right[2] = left[3] = right[3] = 0x3f800000;
    set_mxcsr(0x1f80 & ~(ZE << 7));
    check_fault(do_div, 0, VECTOR_XM, 0, "#Z and, in another lane, #O");
    check_is(mxcsr() & 0x3f, ZE, "  only #Z is noted");
    reset();
    set_operands(0x3f800000, 0);
    set_mxcsr(0x1f80 & ~(ZE << 7));
    check_fault(do_misaligned, 0, VECTOR_GP, 0, "a misaligned operand goes first");
    check_is(mxcsr() & 0x3f, 0, "  and nothing is noted");
    reset();
}

/* ------------------------------------------------------------------ images */

static void do_fxrstor(word at)
{
    __asm__ volatile("fxrstor (%0)" ::"r"(at) : "memory");
}
static void do_fxsave(word at)
{
    __asm__ volatile("fxsave (%0)" ::"r"(at) : "memory");
}
static void do_ldmxcsr(word value)
{
    set_mxcsr((u32)value);
}
static void do_xsave(word at)
{
    __asm__ volatile("xsave (%0)" ::"r"(at), "a"(3), "d"(0) : "memory");
}
static void do_xrstor(word at)
{
    __asm__ volatile("xrstor (%0)" ::"r"(at), "a"(3), "d"(0) : "memory");
}
static void do_xgetbv(word index)
{
    __asm__ volatile("xgetbv" ::"c"(index) : "eax", "edx");
}
static void do_xsetbv(word value)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)value), "d"((u32)(value >> 32)));
}

static void check_images(void)
{
    u32 mask, features[4];

    reset();
    check_fault(do_fxsave, (word)area + 8, VECTOR_GP, 0, "FXSAVE, misaligned");
    check_fault(do_fxrstor, (word)area + 8, VECTOR_GP, 0, "FXRSTOR, misaligned");
    do_fxsave((word)area);
    mask = *(u32 *)(area + 28) ? *(u32 *)(area + 28) : 0xffbf;
    for (unsigned bit = 0; bit < 32; bit++) {
        u32 expected = mask >> bit & 1 ? NO_FAULT : VECTOR_GP, value = 0x1f80 | 1u << bit;
        /* No flag together with its unmasked exception: that is no exception, either. */
        attempt(do_ldmxcsr, value);
        check_case(fault.vector == expected, "LDMXCSR of %x: vector %x", value, fault.vector);
        *(u32 *)(area + 24) = value;
        attempt(do_fxrstor, (word)area);
        check_case(fault.vector == expected, "FXRSTOR of MXCSR %x: vector %x", value, fault.vector);
    }
    reset();
    cpuid(1, 0, features);
    check_fault(do_xgetbv, 0, VECTOR_UD, 0, "XGETBV without OSXSAVE");
    check_fault(do_xsave, (word)area, VECTOR_UD, 0, "XSAVE without OSXSAVE");
    if (!(features[2] >> 26 & 1)) {
        return;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    check_fault(do_xgetbv, 0, NO_FAULT, 0, "XGETBV");
    check_fault(do_xgetbv, 5, VECTOR_GP, 0, "XGETBV of what is not there");
    check_fault(do_xsetbv, 0, VECTOR_GP, 0, "XCR0 of 0");
    check_fault(do_xsetbv, 1ull << 63 | 3, VECTOR_GP, 0, "XCR0 with bit 63");
    attempt_user(do_xsetbv, 3);
    check(fault.vector == VECTOR_GP, "XSETBV at CPL 3");
    check_fault(do_xsetbv, 3, NO_FAULT, 0, "XCR0 of x87 and SSE");
    check_fault(do_xsave, (word)area + 16, VECTOR_GP, 0, "XSAVE, misaligned");
    check_fault(do_xsave, (word)area, NO_FAULT, 0, "XSAVE");
    check_fault(do_xrstor, (word)area + 16, VECTOR_GP, 0, "XRSTOR, misaligned");
    check_fault(do_xrstor, (word)area, NO_FAULT, 0, "XRSTOR");
    *(u64 *)(area + 512) = 1 << 2;
    check_fault(do_xrstor, (word)area, VECTOR_GP, 0, "XRSTOR of what XCR0 has not");
    *(u64 *)(area + 512) = 3;
    *(u64 *)(area + 520) = 1;
    check_fault(do_xrstor, (word)area, VECTOR_GP, 0, "XRSTOR of a compact image without its bit");
    *(u64 *)(area + 520) = 0;
    *(u64 *)(area + 528) = 1;
    check_fault(do_xrstor, (word)area, VECTOR_GP, 0, "XRSTOR with a reserved byte of its header");
    *(u64 *)(area + 528) = 0;
    *(u32 *)(area + 24) = 0x1f80 | 1u << 16;
    check_fault(do_xrstor, (word)area, VECTOR_GP, 0, "XRSTOR with a reserved bit of MXCSR");
    *(u64 *)(area + 512) = 1;
    check_fault(do_xrstor, (word)area, VECTOR_GP, 0, "  even if SSE's state is the initial one");
    *(u32 *)(area + 24) = 0x1f80;
    write_cr0(read_cr0() | CR0_TS);
    check_fault(do_xsave, (word)area + 16, VECTOR_NM, 0, "XSAVE with TS: #NM before #GP");
    write_cr0(read_cr0() & ~(word)CR0_TS);
}

void guest_main(void)
{
    open_pages_to_user();
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    reset();
    check_waiting();
    check_causes();
    check_pointers();
    check_vectors();
    check_images();
}
