/*
 * test_fpu.c - saving and loading of x87, SSE and AVX state, exceptions of vector instructions, and
 * those whose memory operand is not one piece.
 */
#include "vector_fixture.h"

#define AREA 0x20000 /* of the memory operand, in rBX: page-aligned */

static int set_up(void **state)
{
    struct machine *m = machine_new();
    machine_paging_on(m);
    m->cpu->gpr[RBX] = AREA;
    m->cpu->gpr[GPR_CODE] = 0x123456780000;
    m->cpu->seg[SEG_CS].selector = 0x10;
    m->cpu->seg[SEG_DS].selector = 0x18;
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    machine_free(*state);
    return 0;
}

static u8 *ram(struct machine *m, u64 gpa)
{
    return m->mem.base + gpa;
}

static u64 ram_u64(struct machine *m, u64 gpa)
{
    u64 value;
    memcpy(&value, ram(m, gpa), 8);
    return value;
}

static void ram_put(struct machine *m, u64 gpa, u64 value)
{
    memcpy(ram(m, gpa), &value, 8);
}

static void xmm_put(struct machine *m, unsigned reg, u64 low, u64 high)
{
    u64 value[2] = {low, high};
    memcpy(machine_fpu(m)->xmm[reg], value, 16);
    machine_fpu(m)->xstate_bv |= XCR0_SSE;
}

static u64 xmm_low(struct machine *m, unsigned reg)
{
    u64 value;
    memcpy(&value, machine_fpu(m)->xmm[reg], 8);
    return value;
}

static void expect_fault(struct machine *m, bool completed, enum vector vector)
{
    assert_false(completed);
    assert_int_equal(m->cpu->fault.vector, vector);
}

/* ------------------------------------------------------------------ #UD and #NM */

#define ADDPS      0x0f, 0x58, 0xc1       /* addps xmm0, xmm1 */
#define VADDPS     0xc5, 0xf0, 0x58, 0xc1 /* vaddps xmm0, xmm1, xmm1 */
#define PADDB      0x0f, 0xfc, 0xc1       /* paddb mm0, mm1 */
#define FLD1       0xd9, 0xe8
#define FWAIT      0x9b
#define ADDPS_LOAD 0x0f, 0x58, 0x03 /* addps xmm0, [rbx] */

static void availability(void **state)
{
    struct machine *m = *state;
    struct paging *p = &m->cpu->mmu.paging;
    assert_true(RUN(m, ADDPS));
    assert_true(RUN(m, VADDPS));
    assert_true(RUN(m, PADDB));
    p->cr0 |= CR0_TS;
    expect_fault(m, RUN(m, ADDPS), VECTOR_NM);
    expect_fault(m, RUN(m, VADDPS), VECTOR_NM);
    expect_fault(m, RUN(m, PADDB), VECTOR_NM);
    expect_fault(m, RUN(m, FLD1), VECTOR_NM);
    expect_fault(m, RUN(m, FWAIT), VECTOR_NM);
    expect_fault(m, RUN(m, 0x0f, 0xae, 0x03), VECTOR_NM); /* fxsave [rbx] */
    p->cr0 &= ~CR0_MP;
    assert_true(RUN(m, FWAIT));
    assert_true(RUN(m, 0xc4, 0xe2, 0x60, 0xf2, 0xc1)); /* andn eax, ebx, ecx */
    p->cr0 |= CR0_EM;
    expect_fault(m, RUN(m, ADDPS), VECTOR_UD);
    expect_fault(m, RUN(m, VADDPS), VECTOR_NM); /* CR0.EM does not matter to AVX */
    expect_fault(m, RUN(m, PADDB), VECTOR_UD);
    expect_fault(m, RUN(m, FLD1), VECTOR_NM);
    p->cr0 &= ~(CR0_EM | CR0_TS);
    p->cr4 &= ~CR4_OSFXSR;
    expect_fault(m, RUN(m, ADDPS), VECTOR_UD);
    assert_true(RUN(m, PADDB));
    m->cpu->xcr0 = XCR0_X87 | XCR0_SSE;
    expect_fault(m, RUN(m, VADDPS), VECTOR_UD);
    m->cpu->xcr0 = FPU_COMPONENTS;
    p->cr4 &= ~CR4_OSXSAVE;
    expect_fault(m, RUN(m, VADDPS), VECTOR_UD);
    expect_fault(m, RUN(m, 0x0f, 0x01, 0xd0), VECTOR_UD); /* xgetbv */
    expect_fault(m, RUN(m, 0x0f, 0xae, 0x23), VECTOR_UD); /* xsave [rbx] */
}

/* ------------------------------------------------------------------ faults of operands */

static void operand_faults(void **state)
{
    struct machine *m = *state;
    m->cpu->gpr[RBX] = AREA + 8;
    expect_fault(m, RUN(m, ADDPS_LOAD), VECTOR_GP);
    assert_true(RUN(m, 0xc5, 0xf8, 0x58, 0x03)); /* vaddps xmm0, xmm0, [rbx] */
    machine_page(m, AREA, 0);
    expect_fault(m, RUN(m, ADDPS_LOAD), VECTOR_GP); /* before #PF */
    m->cpu->gpr[RBX] = AREA;
    expect_fault(m, RUN(m, ADDPS_LOAD), VECTOR_PF);
    assert_int_equal(m->cpu->fault.cr2, AREA);
    assert_int_equal(m->cpu->fault.error, 0);
    machine_page(m, AREA, 1);
    assert_true(RUN(m, ADDPS_LOAD));
    expect_fault(m, RUN(m, 0x0f, 0x29, 0x03), VECTOR_PF); /* movaps [rbx], xmm0 */
    assert_int_equal(m->cpu->fault.error, PF_PRESENT | PF_WRITE);
    m->cpu->gpr[RBX] = 0x800000000000;
    expect_fault(m, RUN(m, 0x0f, 0x10, 0x03), VECTOR_GP); /* movups xmm0, [rbx]: not canonical */
}

static void store_across_pages(void **state)
{
    struct machine *m = *state;
    m->cpu->gpr[RBX] = AREA + PAGE_SIZE - 8;
    xmm_put(m, 3, 0x1111111111111111, 0x2222222222222222);
    machine_page(m, AREA + PAGE_SIZE, 1);
    expect_fault(m, RUN(m, 0x0f, 0x11, 0x1b), VECTOR_PF); /* movups [rbx], xmm3 */
    assert_int_equal(m->cpu->fault.cr2, AREA + PAGE_SIZE);
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE - 8), 0);
    machine_page(m, AREA + PAGE_SIZE, 3);
    assert_true(RUN(m, 0x0f, 0x11, 0x1b));
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE - 8), 0x1111111111111111);
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE), 0x2222222222222222);
}

/* ------------------------------------------------------------------ #XM and #MF */

static void simd_exception(void **state)
{
    struct machine *m = *state;
    machine_fpu(m)->mxcsr = 0x1f80 & ~0x200u; /* unmask division by zero */
    xmm_put(m, 0, 0x3f800000, 0);
    xmm_put(m, 1, 0, 0);
    expect_fault(m, RUN(m, 0xf3, 0x0f, 0x5e, 0xc1), VECTOR_XM); /* divss xmm0, xmm1 */
    assert_int_equal(machine_fpu(m)->mxcsr & 0x3f, 4);
    assert_int_equal(xmm_low(m, 0), 0x3f800000);
    m->cpu->mmu.paging.cr4 &= ~CR4_OSXMMEXCPT;
    expect_fault(m, RUN(m, 0xf3, 0x0f, 0x5e, 0xc1), VECTOR_UD);
}

static void x87_exception(void **state)
{
    struct machine *m = *state;
    assert_true(RUN(m, 0xdb, 0xe3)); /* fninit */
    machine_fpu(m)->fcw = 0x37b;     /* unmask division by zero */
    assert_true(RUN(m, FLD1));
    assert_true(RUN(m, 0xd9, 0xee)); /* fldz */
    assert_true(RUN(m, 0xde, 0xf9)); /* fdivp: the exception waits */
    u64 divp = m->cpu->fpu.last_ip;
    assert_int_equal(divp, m->cpu->gpr[GPR_CODE]);
    m->op[0].offset = 2;
    assert_true(RUN(m, 0xdf, 0xe0)); /* fnstsw ax does not wait */
    assert_int_equal(m->cpu->gpr[RAX] & 0x84, 0x84);
    expect_fault(m, RUN(m, FLD1), VECTOR_MF);
    expect_fault(m, RUN(m, FWAIT), VECTOR_MF);
    expect_fault(m, RUN(m, PADDB), VECTOR_MF);
    expect_fault(m, RUN(m, 0xd9, 0x23), VECTOR_MF); /* fldenv [rbx] */
    assert_int_equal(m->cpu->fpu.last_opcode, 0x6f9);
    assert_true(RUN(m, 0xdb, 0xe2)); /* fnclex */
    assert_true(RUN(m, FWAIT));
    assert_true(RUN(m, FLD1));
}

/* ------------------------------------------------------------------ state in memory */

static void fnstenv_formats(void **state)
{
    struct machine *m = *state;
    struct fpu *fpu = &m->cpu->fpu;
    u32 word[7];
    u16 half[7];
    assert_true(RUN(m, 0xdb, 0xe3));
    assert_true(RUN(m, FLD1));
    fpu->last_ip = 0x12345678;
    fpu->last_dp = 0x9abcdef0;
    fpu->last_cs = 0x10;
    fpu->last_ds = 0x18;
    fpu->last_opcode = 0x1e8;
    assert_true(RUN(m, 0xd9, 0x33)); /* fnstenv [rbx] */
    memcpy(word, ram(m, AREA), sizeof(word));
    assert_int_equal(word[0], 0xffff037f);
    assert_int_equal(word[1], 0xffff3800);
    assert_int_equal(word[2], 0xffff3fff);
    assert_int_equal(word[3], 0x12345678);
    assert_int_equal(word[4], 0x01e80010);
    assert_int_equal(word[5], 0x9abcdef0);
    assert_int_equal(word[6], 0xffff0018);
    assert_true(RUN(m, 0x66, 0xd9, 0x33));
    memcpy(half, ram(m, AREA), sizeof(half));
    assert_int_equal(half[2], 0x3fff);
    assert_int_equal(half[3], 0x5678);
    assert_int_equal(half[4], 0x10);
    assert_int_equal(half[5], 0xdef0);
    m->cpu->real_mode = true;
    fpu->last_ip = 0x0123;
    fpu->last_cs = 0xf000;
    assert_true(RUN(m, 0x66, 0xd9, 0x33));
    memcpy(half, ram(m, AREA), sizeof(half));
    assert_int_equal(half[3], 0x0123);
    assert_int_equal(half[4], 0xf1e8);
}

static void fnsave_and_frstor(void **state)
{
    struct machine *m = *state;
    struct fpu_area *fpu = machine_fpu(m);
    u8 before[8][16];
    assert_true(RUN(m, 0xdb, 0xe3));
    assert_true(RUN(m, FLD1));
    assert_true(RUN(m, 0xd9, 0xeb)); /* fldpi */
    memcpy(before, fpu->st, sizeof(before));
    u16 fsw = fpu->fsw;
    u8 ftw = fpu->ftw;
    assert_true(RUN(m, 0xdd, 0x33)); /* fnsave [rbx] */
    assert_int_equal(fpu->fsw, 0);
    assert_int_equal(fpu->ftw, 0);
    assert_memory_equal(ram(m, AREA + 28), before[0], 10);
    assert_true(RUN(m, 0xdd, 0x23)); /* frstor [rbx] */
    assert_int_equal(fpu->fsw, fsw);
    assert_int_equal(fpu->ftw, ftw);
    assert_memory_equal(fpu->st, before, 20);
    assert_int_equal(m->cpu->fpu.last_opcode, 0x1eb);
}

static void fxsave_and_fxrstor(void **state)
{
    struct machine *m = *state;
    struct fpu_area *fpu = machine_fpu(m);
    assert_true(RUN(m, 0xdb, 0xe3));
    assert_true(RUN(m, FLD1));
    xmm_put(m, 15, 0xfeed, 0xbeef);
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x03)); /* fxsave64 [rbx] */
    assert_int_equal(ram_u64(m, AREA + 8), m->cpu->gpr[GPR_CODE]);
    assert_int_equal(ram_u64(m, AREA), 0x01e800803800037f);
    assert_int_equal(ram_u64(m, AREA + 24), 0x0000ffff00001f80);
    assert_int_equal(ram_u64(m, AREA + 160 + 15 * 16), 0xfeed);
    assert_true(RUN(m, 0x0f, 0xae, 0x03)); /* fxsave [rbx] */
    assert_int_equal(ram_u64(m, AREA + 8), 0x0000001056780000);
    xmm_put(m, 15, 0, 0);
    assert_true(RUN(m, 0xdb, 0xe3));
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x0b)); /* fxrstor64 [rbx] */
    assert_int_equal(xmm_low(m, 15), 0xfeed);
    assert_int_equal(fpu->ftw, 0x80);
    ram_put(m, AREA + 24, 0x0000ffff00011f80);
    expect_fault(m, RUN(m, 0x0f, 0xae, 0x0b), VECTOR_GP);
    m->cpu->gpr[RBX] = AREA + 8;
    expect_fault(m, RUN(m, 0x0f, 0xae, 0x03), VECTOR_GP);
}

static void xsave_and_xrstor(void **state)
{
    struct machine *m = *state;
    struct fpu_area *fpu = machine_fpu(m);
    m->cpu->gpr[RAX] = 7;
    m->cpu->gpr[RDX] = 0;
    xmm_put(m, 5, 0x5555, 0);
    memset(fpu->ymm_high[5], 0x77, 16);
    fpu->xstate_bv |= XCR0_AVX;
    memset(ram(m, AREA), 0xcc, PAGE_SIZE);
    memset(ram(m, AREA + 512), 0, 64);
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x23)); /* xsave64 [rbx] */
    assert_int_equal(ram_u64(m, AREA + 512) & 6, 6);
    assert_int_equal(ram_u64(m, AREA + 160 + 5 * 16), 0x5555);
    assert_int_equal(ram_u64(m, AREA + 576 + 5 * 16), 0x7777777777777777);
    assert_int_equal(ram_u64(m, AREA + 416), 0xcccccccccccccccc); /* left alone */
    assert_int_equal(ram_u64(m, AREA + 832), 0xcccccccccccccccc);
    fpu_reset(m->cpu);
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x2b)); /* xrstor64 [rbx] */
    assert_int_equal(xmm_low(m, 5), 0x5555);
    assert_int_equal(fpu->ymm_high[5][0], 0x77);
    assert_true(RUN(m, VADDPS)); /* the host takes it */
    assert_int_equal(fpu->ymm_high[5][0], 0x77);
    ram_put(m, AREA + 512, 3); /* AVX in its initial state */
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x2b));
    assert_int_equal(fpu->ymm_high[5][0], 0);
    ram_put(m, AREA + 512, 8);
    expect_fault(m, RUN(m, 0x48, 0x0f, 0xae, 0x2b), VECTOR_GP);
    ram_put(m, AREA + 512, 3);
    ram_put(m, AREA + 528, 1);
    expect_fault(m, RUN(m, 0x48, 0x0f, 0xae, 0x2b), VECTOR_GP);
    m->cpu->gpr[RBX] = AREA + 16;
    expect_fault(m, RUN(m, 0x48, 0x0f, 0xae, 0x23), VECTOR_GP);
}

static void xsavec_compacts(void **state)
{
    struct machine *m = *state;
    m->cpu->gpr[RAX] = 7;
    m->cpu->gpr[RDX] = 0;
    xmm_put(m, 5, 0x5555, 0);
    assert_true(RUN(m, 0x48, 0x0f, 0xc7, 0x23)); /* xsavec64 [rbx] */
    assert_int_equal(ram_u64(m, AREA + 520), 0x8000000000000007);
    assert_int_equal(ram_u64(m, AREA + 512) & 4, 0);
    xmm_put(m, 5, 0, 0);
    assert_true(RUN(m, 0x48, 0x0f, 0xae, 0x2b));
    assert_int_equal(xmm_low(m, 5), 0x5555);
}

static void ldmxcsr_and_xgetbv(void **state)
{
    struct machine *m = *state;
    ram_put(m, AREA, 0x1f81);
    assert_true(RUN(m, 0x0f, 0xae, 0x13)); /* ldmxcsr [rbx] */
    assert_int_equal(machine_fpu(m)->mxcsr, 0x1f81);
    ram_put(m, AREA, 0x11f80);
    expect_fault(m, RUN(m, 0x0f, 0xae, 0x13), VECTOR_GP);
    m->cpu->gpr[RCX] = 0;
    assert_true(RUN(m, 0x0f, 0x01, 0xd0));
    assert_int_equal(m->cpu->gpr[RAX], 7);
    m->cpu->gpr[RCX] = 2;
    expect_fault(m, RUN(m, 0x0f, 0x01, 0xd0), VECTOR_GP);
}

/* ------------------------------------------------------------------ masked moves and gathers */

static void maskmovdqu_bytes(void **state)
{
    struct machine *m = *state;
    m->cpu->gpr[RDI] = AREA + PAGE_SIZE - 8;
    xmm_put(m, 1, 0x8877665544332211, 0x1111111111111111);
    xmm_put(m, 2, 0x8000000000000080, 0);
    machine_page(m, AREA + PAGE_SIZE, 0);        /* nothing is enabled there */
    assert_true(RUN(m, 0x66, 0x0f, 0xf7, 0xca)); /* maskmovdqu xmm1, xmm2 */
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE - 8), 0x8800000000000011);
    xmm_put(m, 2, ~0ull, 0x80);
    expect_fault(m, RUN(m, 0x66, 0x0f, 0xf7, 0xca), VECTOR_PF);
    assert_int_equal(m->cpu->fault.cr2, AREA + PAGE_SIZE);
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE - 8), 0x8800000000000011);
}

static void vmaskmov_faults_only_where_enabled(void **state)
{
    struct machine *m = *state;
    m->cpu->gpr[RBX] = AREA + PAGE_SIZE - 8;
    ram_put(m, AREA + PAGE_SIZE - 8, 0x2222222211111111);
    machine_page(m, AREA + PAGE_SIZE, 0);
    xmm_put(m, 2, 0x8000000000000000, 0);
    assert_true(RUN(m, 0xc4, 0xe2, 0x69, 0x2c, 0x03)); /* vmaskmovps xmm0, xmm2, [rbx] */
    assert_int_equal(xmm_low(m, 0), 0x2222222200000000);
    xmm_put(m, 1, 0x3333333344444444, 0);
    assert_true(RUN(m, 0xc4, 0xe2, 0x69, 0x2e, 0x0b)); /* vmaskmovps [rbx], xmm2, xmm1 */
    assert_int_equal(ram_u64(m, AREA + PAGE_SIZE - 8), 0x3333333311111111);
    xmm_put(m, 2, 0x8000000000000000, 0x80000000);
    expect_fault(m, RUN(m, 0xc4, 0xe2, 0x69, 0x2c, 0x03), VECTOR_PF);
    expect_fault(m, RUN(m, 0xc4, 0xe2, 0x69, 0x2e, 0x0b), VECTOR_PF);
}

static void gather_restarts(void **state)
{
    struct machine *m = *state;
    ram_put(m, AREA + 16, 0xaaaa);
    ram_put(m, AREA + PAGE_SIZE, 0xbbbb);
    ram_put(m, AREA, 0x99);
    xmm_put(m, 0, 1, 0x77ull << 32);
    xmm_put(m, 1, 4 | (u64)1024 << 32, 0); /* indices 4, 1024, 0 and 0 */
    xmm_put(m, 2, 0x8000000080000000, 0x80000000);
    machine_page(m, AREA + PAGE_SIZE, 0);
    /* vpgatherdd xmm0, [rbx + xmm1 * 4], xmm2 */
    expect_fault(m, RUN(m, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x8b), VECTOR_PF);
    assert_int_equal(m->cpu->fault.cr2, AREA + PAGE_SIZE);
    assert_int_equal(xmm_low(m, 0), 0xaaaa);
    assert_int_equal(xmm_low(m, 2), 0x8000000000000000);
    machine_page(m, AREA + PAGE_SIZE, 3);
    ram_put(m, AREA + 16, 0xdddd); /* is not looked at again */
    assert_true(RUN(m, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x8b));
    assert_int_equal(xmm_low(m, 0), 0x0000bbbb0000aaaa);
    assert_int_equal(xmm_low(m, 2), 0);
    assert_int_equal(machine_fpu(m)->xmm[0][8], 0x99);  /* enabled, from AREA */
    assert_int_equal(machine_fpu(m)->xmm[0][12], 0x77); /* not enabled: left alone */
}

/* ------------------------------------------------------------------ other modes */

/* Outside 64-bit mode W does not widen general registers, and 8 more vector registers stay as they
 * are. */
static void protected_mode(void **state)
{
    struct machine *m = *state;
    m->cpu->code_mode = INSN_MODE_32;
    m->cpu->long_mode = false;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        m->cpu->seg[i].limit = 0xffffffff;
        m->cpu->seg[i].attributes = SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_DB | 1;
    }
    m->cpu->gpr[RCX] = 0xffffffff;
    m->cpu->gpr[RDX] = 0x80000001;
    assert_true(RUN(m, 0xc4, 0xe2, 0xe8, 0xf2, 0xc1)); /* andn eax, edx, ecx with W1 */
    assert_int_equal(m->cpu->gpr[RAX], 0x7ffffffe);
    assert_true(RUN(m, 0xf3, 0x0f, 0x2a, 0xc2)); /* cvtsi2ss xmm0, edx */
    assert_int_equal((u32)xmm_low(m, 0), 0xcf000000);
    m->cpu->code_mode = INSN_MODE_16;
    m->cpu->gpr[RAX] = 0x11110000;
    m->cpu->gpr[RCX] = 0x00010300;
    assert_true(RUN(m, 0xf3, 0x0f, 0xb8, 0xc1)); /* popcnt ax, cx */
    assert_int_equal(m->cpu->gpr[RAX], 0x11110002);
    assert_true(RUN(m, 0x66, 0xf3, 0x0f, 0xb8, 0xc1)); /* popcnt eax, ecx */
    assert_int_equal(m->cpu->gpr[RAX], 3);
    m->cpu->gpr[RAX] = 0;
    m->cpu->gpr[RCX] = 0x4100;
    assert_true(RUN(m, 0xf2, 0x0f, 0x38, 0xf0, 0xc5)); /* crc32 eax, ch */
    u64 by_high_byte = m->cpu->gpr[RAX];
    m->cpu->gpr[RAX] = 0;
    m->cpu->gpr[RCX] = 0x41;
    assert_true(RUN(m, 0xf2, 0x0f, 0x38, 0xf0, 0xc1)); /* crc32 eax, cl */
    assert_int_equal(by_high_byte, m->cpu->gpr[RAX]);
    assert_int_not_equal(by_high_byte, 0);
}

/* In ringer-cpu the guest's registers stay in the host's between thunks. */
static void resident(void **state)
{
    struct machine *m = *state;
    struct fpu_host host;
    static const u8 bytes[] = {0x66, 0x0f, 0xfe, 0xfe}; /* paddd xmm7, xmm6 */
    struct insn insn;
    xmm_put(m, 6, 1, 0);
    xmm_put(m, 7, 41, 0);
    assert_int_equal(insn_decode(&insn, INSN_MODE_64, bytes, sizeof(bytes)), INSN_OK);
    assert_true(machine_prepare(m, &insn));
    fpu_host_save(&host);
    fpu_load(m->cpu);
    m->op[0].fn(m->cpu, m->op, 10);
    fpu_leave(m->cpu);
    fpu_host_restore(&host);
    assert_int_equal(xmm_low(m, 7), 42);
}

static void power_on(void **state)
{
    struct machine *m = *state;
    const struct fpu_area *fpu = machine_fpu(m);
    fpu_reset(m->cpu);
    assert_int_equal(fpu->fcw, 0x40);
    assert_int_equal(fpu->ftw, 0xff);
    assert_int_equal(fpu->mxcsr, 0x1f80);
    assert_true(RUN(m, 0xd9, 0x3b)); /* fnstcw [rbx] */
    assert_int_equal(ram_u64(m, AREA) & 0xffff, 0x40);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(availability),
        TEST(operand_faults),
        TEST(store_across_pages),
        TEST(simd_exception),
        TEST(x87_exception),
        TEST(fnstenv_formats),
        TEST(fnsave_and_frstor),
        TEST(fxsave_and_fxrstor),
        TEST(xsave_and_xrstor),
        TEST(xsavec_compacts),
        TEST(ldmxcsr_and_xgetbv),
        TEST(maskmovdqu_bytes),
        TEST(gather_restarts),
        TEST(protected_mode),
        TEST(resident),
        TEST(power_on),
        TEST(vmaskmov_faults_only_where_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
