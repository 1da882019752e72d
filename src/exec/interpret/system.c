/*
 * system.c - control and debug registers, descriptor tables, MSRs, CPUID, time, HLT: the
 * instructions that are privileged or sensitive, by the functions of cpu/.
 */
#include "base/string.h"
#include "cpu/clock.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/kvm.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "exec/interpret/code.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

/* Instructions that read time, or whose effects others see, want an exact count. */
static void set_icount(struct cpu *cpu, s64 left)
{
    if (!cpu->exec->single) {
        cpu->icount = cpu->exec->limit - (u64)left;
    }
}

static void set_pair(struct cpu *cpu, u64 value)
{
    cpu->gpr[RAX] = (u32)value;
    cpu->gpr[RDX] = value >> 32;
}

static u64 get_pair(const struct cpu *cpu)
{
    return (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
}

/* #GP(0) unless CPL is 0. */
static bool is_privileged(struct cpu *cpu)
{
    return cpu->cpl == 0 || cpu_raise_gp0(cpu);
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

/* ------------------------------------------------------------------ SGDT SIDT LGDT LIDT */

/* #GP(0) by CR4.UMIP: SGDT, SIDT, SLDT, STR and SMSW outside CPL 0. */
static bool umip_allows(struct cpu *cpu)
{
    return cpu->cpl == 0 || !(cpu->mmu.paging.cr4 & CR4_UMIP) || cpu_raise_gp0(cpu);
}

APART bool do_store_table(struct cpu *cpu, const struct op *op)
{
    const struct table_register *table = op->aux ? &cpu->idtr : &cpu->gdtr;
    unsigned size = cpu->code_mode == INSN_MODE_64 ? 10 : 6;
    u8 bytes[10];
    gva_t gva;

    memcpy(bytes, &table->limit, 2);
    memcpy(bytes + 2, &table->base, 8);
    if (!umip_allows(cpu) || !op_address(cpu, op, size, ACCESS_WRITE, &gva) ||
        !store_slow(cpu, op->segment, gva, bytes, size)) {
        return false;
    }
    return true;
}

static s64 store_table(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_store_table(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool do_load_table(struct cpu *cpu, const struct op *op)
{
    struct table_register *table = op->aux ? &cpu->idtr : &cpu->gdtr;
    unsigned size = cpu->code_mode == INSN_MODE_64 ? 10 : 6;
    u8 bytes[10] = {0};
    u64 base;
    gva_t gva;

    if (!is_privileged(cpu) || !op_address(cpu, op, size, ACCESS_READ, &gva) ||
        !load_slow(cpu, op->segment, gva, bytes, size)) {
        return false;
    }
    memcpy(&base, bytes + 2, 8);
    if (cpu->code_mode == INSN_MODE_64 && bits_sign_extend(base, 48) != base) {
        cpu_raise_gp0(cpu);
        return false;
    }
    memcpy(&table->limit, bytes, 2);
    table->base = op->size == 2 ? base & 0xffffff : base;
    return true;
}

static s64 load_table(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_load_table(cpu, op) ? leave(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_descriptor_table(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->id == INSN_SIDT || insn->id == INSN_LIDT;
    op->fn = insn->id == INSN_SGDT || insn->id == INSN_SIDT ? store_table : load_table;
    return true;
}

/* ------------------------------------------------------------------ instructions with a selector
 */

/* The r/m16 operand: aux is set for memory, src is the register. */
ALWAYS_INLINE bool load_word(struct cpu *cpu, const struct op *op, u64 *value)
{
    if (op->aux) {
        return op_load(cpu, op, 2, value);
    }
    *value = (u16)cpu->gpr[op->src >> 3];
    return true;
}

/* A 16-bit result: to memory 16 bits, to a register the operand size. */
static s64 store_word(struct cpu *cpu, const struct op *op, s64 left, u64 value)
{
    if (op->aux) {
        return op_store(cpu, op, 2, value) ? next(cpu, op, left) : fault(cpu, op, left);
    }
    if (op->size == 2) {
        reg_write(cpu, op->src, 2, value);
    } else {
        cpu->gpr[op->src >> 3] = op->size == 4 ? (u32)value : value;
    }
    return next(cpu, op, left);
}

static s64 sldt(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->seg[SEG_LDTR].selector)
                            : fault(cpu, op, left);
}

static s64 str(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->seg[SEG_TR].selector)
                            : fault(cpu, op, left);
}

static s64 smsw(struct cpu *cpu, const struct op *op, s64 left)
{
    return umip_allows(cpu) ? store_word(cpu, op, left, cpu->mmu.paging.cr0) : fault(cpu, op, left);
}

static s64 lmsw(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !control_lmsw(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return leave(cpu, op, left);
}

static s64 lldt(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !segment_lldt(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

static s64 ltr(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value;

    if (!is_privileged(cpu) || !load_word(cpu, op, &value) || !segment_ltr(cpu, (u16)value)) {
        return fault(cpu, op, left);
    }
    return next(cpu, op, left);
}

static void set_zero_flag(struct cpu *cpu, bool zero)
{
    cpu->flags = (u16)((cpu->flags & ~AX_ZF) | (zero ? AX_ZF : 0));
}

APART bool do_verify(struct cpu *cpu, const struct op *op, bool for_write)
{
    u64 value;
    bool ok;

    if (!load_word(cpu, op, &value) || !segment_verify(cpu, (u16)value, for_write, &ok)) {
        return false;
    }
    set_zero_flag(cpu, ok);
    return true;
}

static s64 verr(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_verify(cpu, op, false) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 verw(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_verify(cpu, op, true) ? next(cpu, op, left) : fault(cpu, op, left);
}

APART bool descriptor_part(struct cpu *cpu, const struct op *op,
                           bool (*part)(struct cpu *, u16, u32 *, bool *))
{
    u64 value;
    u32 result = 0;
    bool ok;

    if (!load_word(cpu, op, &value) || !part(cpu, (u16)value, &result, &ok)) {
        return false;
    }
    if (ok && op->size == 2) {
        reg_write(cpu, op->dst, 2, result);
    } else if (ok) {
        cpu->gpr[op->dst >> 3] = result;
    }
    set_zero_flag(cpu, ok);
    return true;
}

static s64 lar(struct cpu *cpu, const struct op *op, s64 left)
{
    return descriptor_part(cpu, op, segment_lar) ? next(cpu, op, left) : fault(cpu, op, left);
}

static s64 lsl(struct cpu *cpu, const struct op *op, s64 left)
{
    return descriptor_part(cpu, op, segment_lsl) ? next(cpu, op, left) : fault(cpu, op, left);
}

/* dst is the register with the RPL to have at least. */
static s64 arpl(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 value, rpl = cpu->gpr[op->dst >> 3] & 3;

    if (!load_word(cpu, op, &value)) {
        return fault(cpu, op, left);
    }
    bool raise = (value & 3) < rpl;
    u64 result = raise ? (value & ~3ull) | rpl : value;
    if (op->aux ? !op_store(cpu, op, 2, result) : false) {
        return fault(cpu, op, left);
    }
    if (!op->aux) {
        reg_write(cpu, op->src, 2, result);
    }
    set_zero_flag(cpu, raise);
    return next(cpu, op, left);
}

bool prepare_selector(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool has_two = insn->id == INSN_LAR || insn->id == INSN_LSL;
    const struct operand *rm = &insn->op[has_two];

    (void)cpu;
    op->aux = rm->kind == OPERAND_MEM;
    op->src = op->aux ? 0 : reg_offset(rm);
    op->dst = has_two                 ? reg_offset(&insn->op[0])
              : insn->id == INSN_ARPL ? reg_offset(&insn->op[1])
                                      : 0;
    op->fn = insn->id == INSN_SLDT   ? sldt
             : insn->id == INSN_STR  ? str
             : insn->id == INSN_SMSW ? smsw
             : insn->id == INSN_LMSW ? lmsw
             : insn->id == INSN_LLDT ? lldt
             : insn->id == INSN_LTR  ? ltr
             : insn->id == INSN_VERR ? verr
             : insn->id == INSN_VERW ? verw
             : insn->id == INSN_LAR  ? lar
             : insn->id == INSN_LSL  ? lsl
                                     : arpl;
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
    set_pair(cpu, clock_tsc(cpu));
    return next(cpu, op, left);
}

static s64 rdtscp(struct cpu *cpu, const struct op *op, s64 left)
{
    if (!time_allowed(cpu)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
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
