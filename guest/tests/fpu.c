/* fpu.c - x87 and SSE: results, #MF, #XM, #NM and #UD by the control registers, XSAVE. */
#include "guest.h"

static u8 area[1024] __attribute__((aligned(64)));

static void divide_x87(word unused)
{
    (void)unused;
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"((u16){0x33b}));
}
static void pending_x87(word unused)
{
    (void)unused;
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; nop; nop; fld1" ::"m"((u16){0x33b}));
}
static void divide_sse(word unused)
{
    (void)unused;
    __asm__ volatile(
        "ldmxcsr %0; xorps %%xmm1, %%xmm1; movss %1, %%xmm0; divss %%xmm1, %%xmm0" ::"m"(
            (u32){0x1d80}),
        "m"((u32){0x3f800000}));
}
static void bad_mxcsr(word unused)
{
    (void)unused;
    __asm__ volatile("ldmxcsr %0" ::"m"((u32){0x10000}));
}
static void misaligned_sse(word address)
{
    __asm__ volatile("movaps (%0), %%xmm0" ::"r"(address));
}
static void use_sse(word unused)
{
    (void)unused;
    __asm__ volatile("xorps %xmm0, %xmm0");
}
static void use_avx(word unused)
{
    (void)unused;
    __asm__ volatile("vxorps %ymm0, %ymm0, %ymm0");
}
static void use_x87(word unused)
{
    (void)unused;
    __asm__ volatile("fld1; fstp %st(0)");
}
static void bad_xcr0(word value)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)value), "d"(0));
}

static void check_values(void)
{
    u32 third;
    u64 root, vector[2] = {0x0000000300000002, 0x0000000500000004};
    u16 status;

    __asm__ volatile("fninit; fildl %1; fld1; fdivp; fstps %0" : "=m"(third) : "m"((u32){3}));
    check_is(third, 0x3eaaaaab, "x87: 1/3");
    __asm__ volatile("cvtsi2sdl %1, %%xmm3; sqrtsd %%xmm3, %%xmm3; movsd %%xmm3, %0"
                     : "=m"(root)
                     : "m"((u32){2}));
    check_is(root, 0x3ff6a09e667f3bcd, "SSE2: square root of 2");
    __asm__ volatile("movdqu %0, %%xmm9; paddd %%xmm9, %%xmm9; movdqu %%xmm9, %0" : "+m"(vector));
    check(vector[0] == 0x0000000600000004 && vector[1] == 0x0000000a00000008, "SSE2: PADDD");
    __asm__ volatile("fninit; fld1; fldz; fdivp; fnstsw %0" : "=a"(status));
    check_is(status & 4, 0, "0/1 sets no ZE");
    __asm__ volatile("fninit; fld1; fldz; fdivrp; fnstsw %0" : "=a"(status));
    check_is(status & 4, 4, "1/0, masked, sets ZE");
}

static void check_faults(void)
{
    check_fault(divide_x87, 0, VECTOR_MF, 0, "#MF at FWAIT");
    check_fault(pending_x87, 0, VECTOR_MF, 0, "#MF at the next x87 instruction");
    __asm__ volatile("fninit");
    check_fault(divide_sse, 0, VECTOR_XM, 0, "#XM");
    write_cr4(read_cr4() & ~(word)(1u << 10));
    check_fault(divide_sse, 0, VECTOR_UD, 0, "#UD instead, without OSXMMEXCPT");
    write_cr4(read_cr4() | 1u << 10);
    __asm__ volatile("ldmxcsr %0" ::"m"((u32){0x1f80}));
    check_fault(bad_mxcsr, 0, VECTOR_GP, 0, "a reserved bit of MXCSR");
    check_fault(misaligned_sse, (word)area + 4, VECTOR_GP, 0, "misaligned MOVAPS");
}

static void check_control(void)
{
    write_cr0(read_cr0() | 8);
    check_fault(use_sse, 0, VECTOR_NM, 0, "SSE with TS");
    check_fault(use_x87, 0, VECTOR_NM, 0, "x87 with TS");
    __asm__ volatile("clts");
    write_cr0(read_cr0() | 4);
    check_fault(use_sse, 0, VECTOR_UD, 0, "SSE with EM");
    check_fault(use_x87, 0, VECTOR_NM, 0, "x87 with EM");
    write_cr0(read_cr0() & ~(word)4);
    write_cr4(read_cr4() & ~(word)(1u << 9));
    check_fault(use_sse, 0, VECTOR_UD, 0, "SSE without OSFXSR");
    write_cr4(read_cr4() | 1u << 9);
}

static void check_xsave(void)
{
    u32 r[4];

    cpuid(0xd, 0, r);
    check_fault(use_avx, 0, VECTOR_UD, 0, "AVX without OSXSAVE");
    check_fault(bad_xcr0, 3, VECTOR_UD, 0, "XSETBV without OSXSAVE");
    write_cr4(read_cr4() | 1u << 18);
    check_fault(use_avx, 0, VECTOR_UD, 0, "AVX without XCR0's bits");
    check_fault(bad_xcr0, 2, VECTOR_GP, 0, "XCR0 without x87");
    check_fault(bad_xcr0, 5, VECTOR_GP, 0, "XCR0 with AVX, without SSE");
    check_fault(bad_xcr0, 0xe7, VECTOR_GP, 0, "XCR0 with AVX-512");
    if (!(r[0] & 4)) {
        print("     the host has no AVX\n");
        return;
    }
    check_fault(bad_xcr0, 7, NO_FAULT, 0, "XCR0 with AVX");
    check_fault(use_avx, 0, NO_FAULT, 0, "AVX");
    __asm__ volatile("vpcmpeqd %%ymm5, %%ymm5, %%ymm5; xsave %0; vzeroall; xrstor %0; "
                     "vmovdqu %%ymm5, %1"
                     : "+m"(area), "=m"(*(u8(*)[32])(area + 900))
                     : "a"(7), "d"(0));
    check(*(u64 *)(area + 924) == ~0ull, "XSAVE and XRSTOR keep the YMM registers");
    check_is(*(u64 *)(area + 512) & 4, 4, "  XSTATE_BV");
}

void guest_main(void)
{
    write_cr0((read_cr0() & ~(word)0xc) | 0x22); /* MP, NE */
    write_cr4(read_cr4() | 3u << 9);             /* OSFXSR, OSXMMEXCPT */
    __asm__ volatile("fninit; ldmxcsr %0" ::"m"((u32){0x1f80}));
    check_values();
    check_faults();
    check_control();
    check_xsave();
}
