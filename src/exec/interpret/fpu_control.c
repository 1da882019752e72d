/*
 * fpu_control.c - x87 control instructions, LDMXCSR, and VZEROALL and VZEROUPPER outside 64-bit
 * mode.
 *
 * FNSTENV and its like are done here, since what the host would store has the thunks' instruction
 * and data pointers in it, and since the host in 64-bit mode does not know the formats of 16-bit
 * and real mode.
 *
 * Intel SDM vol. 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE"; vol. 2.
 */
#include "base/string.h"
#include "cpu/fpu.h"
#include "exec/interpret/operand.h"
#include "exec/interpret/vector.h"

/* The full tag word: 0 valid, 1 zero, 2 special, 3 empty, for each physical register. */
static u16 full_tags(const struct fpu_area *area)
{
    unsigned top = area->fsw >> 11 & 7;
    u16 tags = 0;
    for (unsigned physical = 0; physical < 8; physical++) {
        const u8 *st = area->st[(physical - top) & 7];
        u64 mantissa;
        u16 exponent;
        memcpy(&mantissa, st, 8);
        memcpy(&exponent, st + 8, 2);
        exponent &= 0x7fff;
        unsigned tag = 3;
        if (area->ftw & BIT(physical)) {
            bool zero = !exponent && !mantissa;
            bool normal = exponent && exponent != 0x7fff && mantissa >> 63;
            tag = zero ? 1 : normal ? 0 : 2;
        }
        tags |= (u16)(tag << 2 * physical);
    }
    return tags;
}

static u8 abridged_tags(u16 tags)
{
    u8 ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        ftw |= (u8)((tags >> 2 * i & 3) != 3 ? BIT(i) : 0);
    }
    return ftw;
}

/* Real and virtual-8086 mode keep linear addresses. */
static bool linear_format(const struct cpu *cpu)
{
    return cpu->real_mode || cpu->v86_mode;
}

/* The environment as seven words, of 2 or 4 bytes (wide).  Returns its size in bytes. */
static unsigned environment_get(const struct cpu *cpu, const struct fpu_area *area, bool wide,
                                u8 *image)
{
    const struct fpu *fpu = &cpu->fpu;
    unsigned unit = wide ? 4 : 2;
    u32 blank = wide ? 0xffff0000 : 0;
    u32 ip = (u32)fpu->last_ip, dp = (u32)fpu->last_dp, fop = fpu->last_opcode & 0x7ff;
    u32 word[7] = {area->fcw | blank, area->fsw | blank, full_tags(area) | blank};
    if (linear_format(cpu)) {
        ip += (u32)fpu->last_cs << 4;
        dp += (u32)fpu->last_ds << 4;
        word[3] = (ip & 0xffff) | blank;
        word[4] = (ip >> 16 << 12) | fop;
        word[5] = (dp & 0xffff) | blank;
        word[6] = dp >> 16 << 12;
    } else {
        word[3] = ip;
        word[4] = fpu->last_cs | (wide ? fop << 16 : 0);
        word[5] = dp;
        word[6] = fpu->last_ds | blank;
    }
    for (unsigned i = 0; i < 7; i++) {
        memcpy(image + i * unit, &word[i], unit);
    }
    return 7 * unit;
}

static unsigned environment_put(struct cpu *cpu, struct fpu_area *area, bool wide, const u8 *image)
{
    struct fpu *fpu = &cpu->fpu;
    unsigned unit = wide ? 4 : 2;
    u32 word[7] = {0};
    for (unsigned i = 0; i < 7; i++) {
        memcpy(&word[i], image + i * unit, unit);
    }
    area->fcw = fpu_fcw_defined((u16)word[0]);
    fpu_set_fsw(area, fpu_fsw_summary((u16)word[1], area->fcw));
    area->ftw = abridged_tags((u16)word[2]);
    if (linear_format(cpu)) {
        fpu->last_ip = (word[3] & 0xffff) | word[4] >> 12 << 16;
        fpu->last_dp = (word[5] & 0xffff) | word[6] >> 12 << 16;
        fpu->last_cs = fpu->last_ds = 0;
        fpu->last_opcode = word[4] & 0x7ff;
    } else {
        fpu->last_ip = word[3];
        fpu->last_cs = (u16)word[4];
        fpu->last_dp = word[5];
        fpu->last_ds = (u16)word[6];
        fpu->last_opcode = wide ? word[4] >> 16 & 0x7ff : 0;
    }
    return 7 * unit;
}

#define X87_STATE_MAX 108

/* FNSTENV and FNSAVE (op->aux: with the registers). */
APART bool do_fnstenv(struct cpu *cpu, const struct op *op)
{
    u8 image[X87_STATE_MAX];
    gva_t gva;
    bool wide = op->size != 2;
    unsigned size = (wide ? 28 : 14) + (op->aux ? 80 : 0);
    if (!vector_check(cpu, ATTR_X87) || !op_address(cpu, op, size, ACCESS_WRITE, &gva)) {
        return false;
    }
    struct fpu_area *area = fpu_open(cpu);
    unsigned at = environment_get(cpu, area, wide, image);
    for (unsigned i = 0; op->aux && i < 8; i++) {
        memcpy(image + at + 10 * i, area->st[i], 10);
    }
    if (!store_slow(cpu, op->segment, gva, image, size)) {
        return false;
    }
    if (op->aux) {
        fpu_initialize_x87(cpu, area);
    } else {
        area->fcw |= FSW_EXCEPTIONS;
        area->fsw = fpu_fsw_summary(area->fsw, area->fcw);
    }
    fpu_close(cpu, XCR0_X87);
    return true;
}

static s64 op_fnstenv(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_fnstenv(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static u16 current_fsw(const struct cpu *cpu)
{
    u16 fsw = ((const struct fpu_area *)cpu->fpu.state)->fsw;
    if (cpu->fpu.loaded) {
        __asm__ volatile("fnstsw %0" : "=a"(fsw));
    }
    return fsw;
}

/* A waiting instruction: may it go on, or is an exception due before it? */
static bool wait_check(struct cpu *cpu)
{
    return current_fsw(cpu) & FSW_ES ? fpu_error(cpu) : true;
}

/* FLDENV and FRSTOR (op->aux). */
APART bool do_fldenv(struct cpu *cpu, const struct op *op)
{
    u8 image[X87_STATE_MAX];
    gva_t gva;
    bool wide = op->size != 2;
    unsigned size = (wide ? 28 : 14) + (op->aux ? 80 : 0);
    if (!vector_check(cpu, ATTR_X87) || !wait_check(cpu) ||
        !op_address(cpu, op, size, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, image, size)) {
        return false;
    }
    struct fpu_area *area = fpu_open(cpu);
    unsigned at = environment_put(cpu, area, wide, image);
    for (unsigned i = 0; op->aux && i < 8; i++) {
        memcpy(area->st[i], image + at + 10 * i, 10);
    }
    fpu_close(cpu, XCR0_X87);
    return true;
}

static s64 op_fldenv(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_fldenv(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 op_fninit(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!vector_check(cpu, ATTR_X87)) {
        return fault(cpu, op, left);
    }
    struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;
    fpu_initialize_x87(cpu, area);
    area->xstate_bv |= XCR0_X87;
    if (cpu->fpu.loaded) {
        __asm__ volatile("fninit");
    }
    fpu_error_look(cpu, 0);
    return next(cpu, op, left);
}

static s64 op_fnclex(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!vector_check(cpu, ATTR_X87)) {
        return fault(cpu, op, left);
    }
    if (cpu->fpu.loaded) {
        __asm__ volatile("fnclex");
    } else {
        ((struct fpu_area *)cpu->fpu.state)->fsw &=
            (u16) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
    }
    fpu_error_look(cpu, 0);
    return next(cpu, op, left);
}

static s64 op_fwait(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 cr0 = cpu->mmu.paging.cr0;
    if (cr0 & CR0_MP && cr0 & CR0_TS) {
        cpu_raise(cpu, VECTOR_NM);
        return fault(cpu, op, left);
    }
    return wait_check(cpu) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* LDMXCSR; op->aux: VLDMXCSR. */
APART bool do_ldmxcsr(struct cpu *cpu, const struct op *op)
{
    u64 value;
    if (!vector_check(cpu, op->aux ? ATTR_AVX : ATTR_SSE) || !op_load(cpu, op, 4, &value)) {
        return false;
    }
    u32 mxcsr = (u32)value;
    if (mxcsr & MXCSR_RESERVED) {
        cpu_raise_gp0(cpu);
        return false;
    }
    if (cpu->fpu.loaded) {
        __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    } else {
        ((struct fpu_area *)cpu->fpu.state)->mxcsr = mxcsr;
    }
    return true;
}

static s64 op_ldmxcsr(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_ldmxcsr(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* The host, in 64-bit mode, would clear registers 8 to 15 too, which keep their values here.  VEX
 * instructions of 128 bits clear upper halves one by one. */
static void zero_uppers(struct cpu *cpu)
{
    if (!cpu->fpu.loaded) {
        memset(((struct fpu_area *)cpu->fpu.state)->ymm_high, 0, 8 * 16);
        return;
    }
    __asm__ volatile("vmovaps %xmm0, %xmm0; vmovaps %xmm1, %xmm1; vmovaps %xmm2, %xmm2\n\t"
                     "vmovaps %xmm3, %xmm3; vmovaps %xmm4, %xmm4; vmovaps %xmm5, %xmm5\n\t"
                     "vmovaps %xmm6, %xmm6; vmovaps %xmm7, %xmm7");
}

static void zero_all(struct cpu *cpu)
{
    struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;

    if (!cpu->fpu.loaded) {
        memset(area->xmm, 0, 8 * 16);
        memset(area->ymm_high, 0, 8 * 16);
        return;
    }
    __asm__ volatile("vxorps %xmm0, %xmm0, %xmm0; vxorps %xmm1, %xmm1, %xmm1\n\t"
                     "vxorps %xmm2, %xmm2, %xmm2; vxorps %xmm3, %xmm3, %xmm3\n\t"
                     "vxorps %xmm4, %xmm4, %xmm4; vxorps %xmm5, %xmm5, %xmm5\n\t"
                     "vxorps %xmm6, %xmm6, %xmm6; vxorps %xmm7, %xmm7, %xmm7");
}

/* op->aux: VZEROALL. */
static s64 op_vzero(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!vector_check(cpu, ATTR_AVX)) {
        return fault(cpu, op, left);
    }
    if (op->aux) {
        zero_all(cpu);
    } else {
        zero_uppers(cpu);
    }
    return next(cpu, op, left);
}

op_fn *fpu_control_handler(const struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool is_zero_all = insn->id == INSN_VZEROALL;

    static const struct {
        u16 id;
        u8 aux;
        op_fn *fn;
    } handlers[] = {
        {INSN_FNSTENV, 0, op_fnstenv},  {INSN_FNSAVE, 1, op_fnstenv},
        {INSN_FLDENV, 0, op_fldenv},    {INSN_FRSTOR, 1, op_fldenv},
        {INSN_FNINIT, 0, op_fninit},    {INSN_FWAIT, 0, op_fwait},
        {INSN_FNCLEX, 0, op_fnclex},    {INSN_LDMXCSR, 0, op_ldmxcsr},
        {INSN_VLDMXCSR, 1, op_ldmxcsr},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (insn->id == handlers[i].id) {
            op->aux = handlers[i].aux;
            op->size = insn->operand_size;
            return handlers[i].fn;
        }
    }
    if (cpu->code_mode != INSN_MODE_64 && (is_zero_all || insn->id == INSN_VZEROUPPER)) {
        op->aux = is_zero_all;
        return op_vzero;
    }
    return NULL;
}
