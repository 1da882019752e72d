/*
 * fpu_state.c - instructions that save and load x87, SSE and AVX state: FXSAVE, XSAVE and theirs.
 *
 * They work on the registers in memory (fpu_open(), fpu_close()), since what the host would save
 * has the thunks' instruction and data pointers in it, and since the host in 64-bit mode does not
 * know the formats of 16-bit and real mode.
 *
 * Intel SDM vol. 1, "x87 FPU State" (formats of FNSTENV), "Managing State Using the XSAVE Feature
 * Set"; vol. 2, FXSAVE.
 */
#include "base/string.h"
#include "cpu/fpu.h"
#include "exec/interpret/operand.h"
#include "exec/interpret/vector.h"

#define MXCSR_MASK   0xffffu
#define LEGACY_BYTES 512
#define XMM_OFFSET   160
#define HEADER       512 /* XSAVE: XSTATE_BV, XCOMP_BV */
#define AVX_OFFSET   576
#define AVX_BYTES    256
#define XSAVE_BYTES  (AVX_OFFSET + AVX_BYTES)
#define COMPACT      BIT(63)

/* Registers 8 to 15 exist only in 64-bit mode. */
static unsigned vector_registers(const struct cpu *cpu)
{
    return cpu->code_mode == INSN_MODE_64 ? 16 : 8;
}

/* ------------------------------------------------------------------ FXSAVE's image */

struct fx_image { /* the first 32 bytes, without REX.W */
    u16 fcw, fsw;
    u8 ftw, reserved0;
    u16 fop;
    u32 fip;
    u16 fcs, reserved1;
    u32 fdp;
    u16 fds, reserved2;
    u32 mxcsr, mxcsr_mask;
};

_Static_assert(sizeof(struct fx_image) == 32, "FXSAVE layout");

/* The guest's state in FXSAVE's format; wide is REX.W. */
static void fx_get(const struct cpu *cpu, const struct fpu_area *area, u8 *image, bool wide)
{
    const struct fpu *fpu = &cpu->fpu;
    struct fx_image fx;
    memcpy(image, area, LEGACY_BYTES);
    memcpy(&fx, image, sizeof(fx));
    fx.fop = fpu->last_opcode & 0x7ff;
    fx.mxcsr_mask = MXCSR_MASK;
    fx.fip = (u32)fpu->last_ip;
    fx.fcs = wide ? (u16)(fpu->last_ip >> 32) : fpu->last_cs;
    fx.reserved1 = wide ? (u16)(fpu->last_ip >> 48) : 0;
    fx.fdp = (u32)fpu->last_dp;
    fx.fds = wide ? (u16)(fpu->last_dp >> 32) : fpu->last_ds;
    fx.reserved2 = wide ? (u16)(fpu->last_dp >> 48) : 0;
    memcpy(image, &fx, sizeof(fx));
}

/* The x87 part of an image becomes the state's. */
static void fx_put_x87(struct cpu *cpu, struct fpu_area *area, const u8 *image, bool wide)
{
    struct fpu *fpu = &cpu->fpu;
    struct fx_image fx;
    memcpy(&fx, image, sizeof(fx));
    for (unsigned i = 0; i < 8; i++) { /* 10 of 16 bytes: what is between them is not kept */
        memcpy(area->st[i], image + 32 + i * 16, 10);
        memset(area->st[i] + 10, 0, 6);
    }
    area->fcw = fpu_fcw_defined(fx.fcw);
    area->fsw = fpu_fsw_summary(fx.fsw, area->fcw);
    area->ftw = fx.ftw;
    fpu->last_opcode = fx.fop & 0x7ff;
    fpu->last_ip = fx.fip;
    fpu->last_dp = fx.fdp;
    if (wide) {
        fpu->last_ip |= (u64)fx.fcs << 32 | (u64)fx.reserved1 << 48;
        fpu->last_dp |= (u64)fx.fds << 32 | (u64)fx.reserved2 << 48;
    } else {
        fpu->last_cs = fx.fcs;
        fpu->last_ds = fx.fds;
    }
}

static bool state_address(struct cpu *cpu, const struct op *op, unsigned size, unsigned align,
                          unsigned access, gva_t *gva)
{
    if (!op_address(cpu, op, size, access, gva)) {
        return false;
    }
    return *gva & (align - 1) ? cpu_raise_gp0(cpu) : true;
}

/* FXSAVE and FXRSTOR: CR0.EM gives #NM, unlike the instructions on XMM registers. */
static bool fx_check(struct cpu *cpu)
{
    return vector_check(cpu, ATTR_X87);
}

APART bool do_fxsave(struct cpu *cpu, const struct op *op)
{
    u8 image[LEGACY_BYTES] __attribute__((aligned(64)));
    gva_t gva;
    void *hva; /* all of the image must be there, though not all of it is written */
    if (!fx_check(cpu) || !state_address(cpu, op, LEGACY_BYTES, 16, ACCESS_WRITE, &gva) ||
        !probe_slow(cpu, op->segment, gva, LEGACY_BYTES, &hva)) {
        return false;
    }
    fx_get(cpu, fpu_open(cpu), image, op->aux);
    unsigned size = XMM_OFFSET + 16 * vector_registers(cpu);
    return store_slow(cpu, op->segment, gva, image, size);
}

static s64 op_fxsave(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_fxsave(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool do_fxrstor(struct cpu *cpu, const struct op *op)
{
    u8 image[LEGACY_BYTES] __attribute__((aligned(64)));
    struct fx_image fx;
    gva_t gva;
    if (!fx_check(cpu) || !state_address(cpu, op, LEGACY_BYTES, 16, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, image, sizeof(image))) {
        return false;
    }
    memcpy(&fx, image, sizeof(fx));
    if (fx.mxcsr & MXCSR_RESERVED) {
        cpu_raise_gp0(cpu);
        return false;
    }
    struct fpu_area *area = fpu_open(cpu);
    fx_put_x87(cpu, area, image, op->aux);
    area->mxcsr = fx.mxcsr;
    memcpy(area->xmm, image + XMM_OFFSET, 16 * vector_registers(cpu));
    fpu_close(cpu, XCR0_X87 | XCR0_SSE);
    return true;
}

static s64 op_fxrstor(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_fxrstor(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* ------------------------------------------------------------------ XSAVE and XRSTOR */

static bool xsave_check(struct cpu *cpu)
{
    if (!(cpu->mmu.paging.cr4 & CR4_OSXSAVE)) {
        return cpu_raise(cpu, VECTOR_UD);
    }
    return cpu->mmu.paging.cr0 & CR0_TS ? cpu_raise(cpu, VECTOR_NM) : true;
}

static u64 requested_components(const struct cpu *cpu)
{
    return ((u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32) & cpu->xcr0;
}

/* XINUSE.  Its bit for SSE is of the XMM registers alone, ... */
static u64 components_in_use(const struct fpu_area *area)
{
    return area->xstate_bv & FPU_COMPONENTS;
}

/* ... but XSAVEC, and XGETBV with it, also look at MXCSR. */
static u64 components_in_use_or_mxcsr(const struct fpu_area *area)
{
    return components_in_use(area) | (area->mxcsr != MXCSR_RESET ? XCR0_SSE : 0);
}

struct sink { /* where XSAVE writes: all of it may be written */
    struct cpu *cpu;
    const struct op *op;
    gva_t gva;
    u8 *hva; /* or NULL */
    bool failed;
};

static void sink_put(struct sink *sink, unsigned offset, const void *bytes, unsigned size)
{
    if (sink->hva) {
        memcpy(sink->hva + offset, bytes, size);
    } else if (!store_slow(sink->cpu, sink->op->segment, sink->gva + offset, bytes, size)) {
        sink->failed = true;
    }
}

/* mxcsr: MXCSR is saved. */
static void xsave_components(struct sink *sink, u64 saved, bool mxcsr, bool wide)
{
    struct cpu *cpu = sink->cpu;
    const struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;
    unsigned registers = vector_registers(cpu);
    u8 image[LEGACY_BYTES] __attribute__((aligned(64)));
    fx_get(cpu, area, image, wide);
    if (saved & XCR0_X87) {
        sink_put(sink, 0, image, 24);
        sink_put(sink, 32, image + 32, XMM_OFFSET - 32);
    }
    if (mxcsr) {
        sink_put(sink, 24, image + 24, 8);
    }
    if (saved & XCR0_SSE) {
        sink_put(sink, XMM_OFFSET, area->xmm, 16 * registers);
    }
    if (saved & XCR0_AVX) {
        sink_put(sink, AVX_OFFSET, area->ymm_high, 16 * registers);
    }
}

static bool open_sink(struct sink *sink, u64 components)
{
    unsigned size = components & XCR0_AVX ? XSAVE_BYTES : AVX_OFFSET;
    void *hva = NULL;
    if (!state_address(sink->cpu, sink->op, size, 64, ACCESS_WRITE, &sink->gva) ||
        !probe_slow(sink->cpu, sink->op->segment, sink->gva, size, &hva)) {
        return false;
    }
    sink->hva = hva;
    return true;
}

/* XSAVE, and XSAVEOPT (optimized), which leaves out what is in its initial state.  What is as it
 * was last restored from there it might leave out too, but that only saves time. */
APART bool do_xsave(struct cpu *cpu, const struct op *op, bool optimized)
{
    struct sink sink = {.cpu = cpu, .op = op};
    u64 rfbm = requested_components(cpu), xstate_bv;
    if (!xsave_check(cpu) || !open_sink(&sink, rfbm) ||
        !load_slow(cpu, op->segment, sink.gva + HEADER, &xstate_bv, sizeof(xstate_bv))) {
        return false;
    }
    u64 in_use = components_in_use(fpu_open(cpu));
    xsave_components(&sink, optimized ? rfbm & in_use : rfbm, rfbm & (XCR0_SSE | XCR0_AVX),
                     op->aux);
    xstate_bv = (xstate_bv & ~rfbm) | (in_use & rfbm);
    sink_put(&sink, HEADER, &xstate_bv, sizeof(xstate_bv));
    return !sink.failed;
}

static s64 op_xsave(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_xsave(cpu, op, false) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 op_xsaveopt(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_xsave(cpu, op, true) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* With these three components the compacted format lies as the standard one does. */
APART bool do_xsavec(struct cpu *cpu, const struct op *op)
{
    struct sink sink = {.cpu = cpu, .op = op};
    u64 rfbm = requested_components(cpu);
    if (!xsave_check(cpu) || !open_sink(&sink, rfbm)) {
        return false;
    }
    u64 in_use = components_in_use_or_mxcsr(fpu_open(cpu));
    u64 header[2] = {rfbm & in_use, rfbm | COMPACT};
    xsave_components(&sink, rfbm & in_use, rfbm & in_use & XCR0_SSE, op->aux);
    sink_put(&sink, HEADER, header, sizeof(header));
    return !sink.failed;
}

static s64 op_xsavec(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_xsavec(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

struct xrstor {
    u8 image[XSAVE_BYTES] __attribute__((aligned(64)));
    u64 rfbm, load; /* components asked for; those of them that the image holds */
    bool compact;
    u32 mxcsr;
};

/* The rules for the XSAVE header and MXCSR: #GP(0). */
static bool xrstor_check(struct cpu *cpu, struct xrstor *x)
{
    u64 header[8];
    memcpy(header, x->image + HEADER, sizeof(header));
    x->compact = header[1] & COMPACT;
    u64 allowed = x->compact ? header[1] & ~COMPACT : cpu->xcr0, rest = header[2];
    for (unsigned i = 3; x->compact && i < 8; i++) {
        rest |= header[i];
    }
    if (rest || (header[0] & ~allowed) || (x->compact ? allowed & ~cpu->xcr0 : header[1])) {
        return cpu_raise_gp0(cpu);
    }
    x->load = header[0] & x->rfbm;
    memcpy(&x->mxcsr, x->image + 24, sizeof(x->mxcsr));
    bool takes = x->compact ? x->load & XCR0_SSE : x->rfbm & (XCR0_SSE | XCR0_AVX);
    return takes && x->mxcsr & MXCSR_RESERVED ? cpu_raise_gp0(cpu) : true;
}

static void xrstor_put(struct cpu *cpu, struct fpu_area *area, const struct xrstor *x, bool wide)
{
    unsigned bytes = 16 * vector_registers(cpu);
    if (x->load & XCR0_X87) {
        fx_put_x87(cpu, area, x->image, wide);
    } else if (x->rfbm & XCR0_X87) {
        fpu_initialize_x87(cpu, area);
        memset(area->st, 0, sizeof(area->st));
    }
    if (x->load & XCR0_SSE) {
        memcpy(area->xmm, x->image + XMM_OFFSET, bytes);
    } else if (x->rfbm & XCR0_SSE) {
        memset(area->xmm, 0, bytes);
    }
    if (x->compact ? x->load & XCR0_SSE : x->rfbm & (XCR0_SSE | XCR0_AVX)) {
        area->mxcsr = x->mxcsr;
    } else if (x->rfbm & XCR0_SSE) {
        area->mxcsr = MXCSR_RESET;
    }
    if (x->load & XCR0_AVX) {
        memcpy(area->ymm_high, x->image + AVX_OFFSET, bytes);
    } else if (x->rfbm & XCR0_AVX) {
        memset(area->ymm_high, 0, bytes);
    }
}

APART bool do_xrstor(struct cpu *cpu, const struct op *op)
{
    struct xrstor x;
    gva_t gva;
    x.rfbm = requested_components(cpu);
    if (!xsave_check(cpu) || !state_address(cpu, op, AVX_OFFSET, 64, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, x.image, AVX_OFFSET) || !xrstor_check(cpu, &x)) {
        return false;
    }
    if (x.load & XCR0_AVX && !load_slow(cpu, op->segment, gva + AVX_OFFSET, x.image + AVX_OFFSET,
                                        16 * vector_registers(cpu))) {
        return false;
    }
    struct fpu_area *area = fpu_open(cpu);
    xrstor_put(cpu, area, &x, op->aux);
    if (vector_registers(cpu) == 16) { /* else registers 8 to 15 may hold something */
        area->xstate_bv &= ~x.rfbm;
        area->xstate_bv |= x.load;
        fpu_close(cpu, 0);
    } else {
        fpu_close(cpu, x.rfbm);
    }
    return true;
}

static s64 op_xrstor(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_xrstor(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 op_xgetbv(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value = cpu->xcr0;
    if (!(cpu->mmu.paging.cr4 & CR4_OSXSAVE)) {
        cpu_raise(cpu, VECTOR_UD);
        return fault(cpu, op, left);
    }
    if ((u32)cpu->gpr[RCX] > 1) {
        cpu_raise_gp0(cpu);
        return fault(cpu, op, left);
    }
    if ((u32)cpu->gpr[RCX] == 1) {
        value &= components_in_use_or_mxcsr(fpu_open(cpu));
    }
    cpu->gpr[RAX] = (u32)value;
    cpu->gpr[RDX] = value >> 32;
    return next(cpu, op, left);
}

op_fn *fpu_state_handler(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static const struct {
        u16 id;
        op_fn *fn;
    } areas[] = {
        {INSN_FXSAVE, op_fxsave},     {INSN_FXRSTOR, op_fxrstor}, {INSN_XSAVE, op_xsave},
        {INSN_XSAVEOPT, op_xsaveopt}, {INSN_XSAVEC, op_xsavec},   {INSN_XRSTOR, op_xrstor},
        {INSN_XGETBV, op_xgetbv},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        if (insn->id == areas[i].id) {
            op->aux = cpu->code_mode == INSN_MODE_64 && insn->rex & 8;
            return areas[i].fn;
        }
    }
    return NULL;
}
