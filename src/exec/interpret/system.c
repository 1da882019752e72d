/*
 * system.c - control and debug registers, MSRs, CPUID, time, HLT: the instructions that are
 * privileged or sensitive, by the functions of cpu/.
 */
#include "cpu/clock.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/kvm.h"
#include "cpu/msr.h"
#include "exec/interpret/code.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

static void set_pair(struct cpu *cpu, u64 value)
{
    cpu->gpr[RAX] = (u32)value;
    cpu->gpr[RDX] = value >> 32;
}

static u64 get_pair(const struct cpu *cpu)
{
    return (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
}

/* ------------------------------------------------------------------ MOV to and from CR and DR */

static s64 mov_from_cr(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!is_privileged(cpu)) {
        return fault(cpu, op, left);
    }
    u64 value = control_read_cr(cpu, op->aux);
    cpu->gpr[op->dst >> 3] = cpu->code_mode == INSN_MODE_64 ? value : (u32)value;
    return next(cpu, op, left);
}

static s64 mov_to_cr(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value = cpu->gpr[op->src >> 3];

    if (!is_privileged(cpu) ||
        !control_write_cr(cpu, op->aux, cpu->code_mode == INSN_MODE_64 ? value : (u32)value)) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

bool prepare_mov_cr(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool to = insn->op[0].class == REG_CONTROL;

    (void)cpu;
    op->aux = insn->op[!to].reg;
    op->dst = op->src = reg_offset(&insn->op[to]);
    op->fn = to ? mov_to_cr : mov_from_cr;
    return true;
}

APART bool do_mov_from_dr(struct cpu *cpu, const struct op *op)
{
    u64 value;

    if (!is_privileged(cpu) || !control_read_dr(cpu, op->aux, &value)) {
        return false;
    }
    cpu->gpr[op->dst >> 3] = cpu->code_mode == INSN_MODE_64 ? value : (u32)value;
    return true;
}

static s64 mov_from_dr(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_mov_from_dr(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 mov_to_dr(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value = cpu->gpr[op->src >> 3];

    if (!is_privileged(cpu) ||
        !control_write_dr(cpu, op->aux, cpu->code_mode == INSN_MODE_64 ? value : (u32)value)) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

bool prepare_mov_dr(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool to = insn->op[0].class == REG_DEBUG;

    (void)cpu;
    op->aux = insn->op[!to].reg;
    op->dst = op->src = reg_offset(&insn->op[to]);
    op->fn = to ? mov_to_dr : mov_from_dr;
    return true;
}

/* ------------------------------------------------------------------ without operands in the table
 */

APART void do_cpuid(struct cpu *cpu)
{
    u32 out[4];

    cpu_cpuid(cpu, (u32)cpu->gpr[RAX], (u32)cpu->gpr[RCX], out);
    cpu->gpr[RAX] = out[CPUID_EAX];
    cpu->gpr[RBX] = out[CPUID_EBX];
    cpu->gpr[RCX] = out[CPUID_ECX];
    cpu->gpr[RDX] = out[CPUID_EDX];
}

static s64 cpuid(struct cpu *cpu, const struct op *op, s64 left)
{
    do_cpuid(cpu);
    return next(cpu, op, left);
}

APART bool do_rdmsr(struct cpu *cpu)
{
    u64 value;

    if (!is_privileged(cpu) || !cpu_rdmsr(cpu, (u32)cpu->gpr[RCX], &value)) {
        return false;
    }
    set_pair(cpu, value);
    return true;
}

static s64 rdmsr(struct cpu *cpu, const struct op *op, s64 left)
{
    set_icount(cpu, left);
    return do_rdmsr(cpu) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 wrmsr(struct cpu *cpu, const struct op *op, s64 left)
{
    set_icount(cpu, left);
    if (!is_privileged(cpu) || !cpu_wrmsr(cpu, (u32)cpu->gpr[RCX], get_pair(cpu))) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

/* CR4.TSD makes RDTSC and RDTSCP privileged. */
static bool time_allowed(struct cpu *cpu)
{
    return cpu->cpl == 0 || !(cpu->mmu.paging.cr4 & CR4_TSD) || cpu_raise_gp0(cpu);
}

static s64 rdtsc(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!time_allowed(cpu)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
    clock_note_read(cpu);
    set_pair(cpu, clock_tsc(cpu));
    return next(cpu, op, left);
}

static s64 rdtscp(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!time_allowed(cpu)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
    clock_note_read(cpu);
    set_pair(cpu, clock_tsc(cpu));
    cpu->gpr[RCX] = (u32)cpu->msr.tsc_aux;
    return next(cpu, op, left);
}

static s64 rdpid(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu->gpr[op->dst >> 3] = (u32)cpu->msr.tsc_aux;
    return next(cpu, op, left);
}

/* There are no performance counters: every index is wrong. */
static s64 rdpmc(struct cpu *cpu, const struct op *op, s64 left)
{
    cpu_raise_gp0(cpu);
    return fault(cpu, op, left);
}

static s64 hlt(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!is_privileged(cpu)) {
        return fault(cpu, op, left);
    }
    cpu->activity = ACTIVITY_HALTED;
    cpu->stats.halts++;
    return leave(cpu, op, left);
}

static s64 cli(struct cpu *cpu, const struct op *op, s64 left)
{
    return control_cli(cpu) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 sti(struct cpu *cpu, const struct op *op, s64 left)
{
    bool was_on = cpu->rflags & RFLAGS_IF;

    if (!control_sti(cpu)) {
        return fault(cpu, op, left);
    }
    if (!was_on && (cpu->rflags & RFLAGS_IF)) {
        cpu->interrupt_shadow = true;
    }
    return leave(cpu, op, left);
}

ALWAYS_INLINE s64 set_ac(struct cpu *cpu, const struct op *op, s64 left, bool on)
{
    if (cpu->cpl != 0) {
        cpu_raise(cpu, VECTOR_UD);
        return fault(cpu, op, left);
    }
    cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~RFLAGS_AC) | (on ? RFLAGS_AC : 0));
    return next(cpu, op, left);
}

static s64 clac(struct cpu *cpu, const struct op *op, s64 left)
{
    return set_ac(cpu, op, left, false);
}

static s64 stac(struct cpu *cpu, const struct op *op, s64 left)
{
    return set_ac(cpu, op, left, true);
}

static s64 clts(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!is_privileged(cpu)) {
        return fault(cpu, op, left);
    }
    control_clts(cpu);
    return leave(cpu, op, left);
}

/* INVD, WBINVD: memory is coherent. */
static s64 cache_flush(struct cpu *cpu, const struct op *op, s64 left)
{
    return is_privileged(cpu) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 swapgs(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!is_privileged(cpu)) {
        return fault(cpu, op, left);
    }
    u64 base = cpu->seg[SEG_GS].base;
    cpu->seg[SEG_GS].base = cpu->msr.kernel_gs_base;
    cpu->msr.kernel_gs_base = base;
    return next(cpu, op, left);
}

static s64 invlpg(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!is_privileged(cpu)) {
        return fault(cpu, op, left);
    }
    u64 offset = effective_address(cpu, op);
    if (cpu->code_mode != INSN_MODE_64 || op->segment == SEG_FS || op->segment == SEG_GS) {
        offset += cpu->seg[op->segment].base;
    }
    control_invlpg(cpu, cpu->long_mode ? offset : (u32)offset);
    return leave(cpu, op, left);
}

APART bool do_invpcid(struct cpu *cpu, const struct op *op)
{
    u64 descriptor[2];
    gva_t gva;

    if (!is_privileged(cpu) || !op_address(cpu, op, 16, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, descriptor, 16) ||
        !control_invpcid(cpu, cpu->gpr[op->dst >> 3], descriptor[0], descriptor[1])) {
        return false;
    }
    return true;
}

static s64 invpcid(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_invpcid(cpu, op) ? leave(cpu, op, left) : fault(cpu, op, left);
}

static s64 hypercall(struct cpu *cpu, const struct op *op, s64 left)
{
    set_icount(cpu, left);
    kvm_hypercall(cpu);
    return leave(cpu, op, left);
}

static s64 xsetbv(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!(cpu->mmu.paging.cr4 & CR4_OSXSAVE)) {
        cpu_raise(cpu, VECTOR_UD);
        return fault(cpu, op, left);
    }
    if (!is_privileged(cpu) || !control_write_xcr0(cpu, (u32)cpu->gpr[RCX], get_pair(cpu))) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

/* RDFSBASE and its kin: dst is the register, aux the segment. */
static bool fsgsbase_allowed(struct cpu *cpu)
{
    return (cpu->mmu.paging.cr4 & CR4_FSGSBASE) || cpu_raise(cpu, VECTOR_UD);
}

static s64 rd_base(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!fsgsbase_allowed(cpu)) {
        return fault(cpu, op, left);
    }
    u64 base = cpu->seg[op->aux].base;
    cpu->gpr[op->dst >> 3] = op->size == 8 ? base : (u32)base;
    return next(cpu, op, left);
}

static s64 wr_base(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 base = cpu->gpr[op->dst >> 3];

    base = op->size == 8 ? base : (u32)base;
    if (!fsgsbase_allowed(cpu)) {
        return fault(cpu, op, left);
    }
    if (bits_sign_extend(base, 48) != base) {
        cpu_raise_gp0(cpu);
        return fault(cpu, op, left);
    }
    cpu->seg[op->aux].base = base;
    return next(cpu, op, left);
}

/* CLFLUSH and prefetches: CLFLUSH is checked as a load of a byte, a prefetch never faults. */
static s64 clflush(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    return op_load(cpu, op, 1, &value) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_system(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static const struct {
        u16 id;
        op_fn *fn;
    } rows[] = {
        {INSN_CPUID, cpuid},      {INSN_RDMSR, rdmsr},       {INSN_WRMSR, wrmsr},
        {INSN_RDTSC, rdtsc},      {INSN_RDTSCP, rdtscp},     {INSN_RDPID, rdpid},
        {INSN_RDPMC, rdpmc},      {INSN_HLT, hlt},           {INSN_CLI, cli},
        {INSN_STI, sti},          {INSN_CLAC, clac},         {INSN_STAC, stac},
        {INSN_CLTS, clts},        {INSN_INVD, cache_flush},  {INSN_WBINVD, cache_flush},
        {INSN_SWAPGS, swapgs},    {INSN_INVLPG, invlpg},     {INSN_INVPCID, invpcid},
        {INSN_VMCALL, hypercall}, {INSN_VMMCALL, hypercall}, {INSN_XSETBV, xsetbv},
        {INSN_RDFSBASE, rd_base}, {INSN_RDGSBASE, rd_base},  {INSN_WRFSBASE, wr_base},
        {INSN_WRGSBASE, wr_base}, {INSN_CLFLUSH, clflush},   {INSN_CLFLUSHOPT, clflush},
        {INSN_CLWB, clflush},
    };
    bool is_gs = insn->id == INSN_RDGSBASE || insn->id == INSN_WRGSBASE;

    (void)cpu;
    op->aux = is_gs ? SEG_GS : SEG_FS;
    if (insn->operands && insn->op[0].kind == OPERAND_REG && insn->op[0].class == REG_GPR) {
        op->dst = reg_offset(&insn->op[0]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].id == insn->id) {
            op->fn = rows[i].fn;
            return true;
        }
    }
    return false;
}
