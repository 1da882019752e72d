/*
 * io.c - IN, OUT, INS, OUTS: the instructions that cross the bus to a port.
 */
#include "cpu/control.h"
#include "cpu/debug.h"
#include "exec/interpret/code.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/operand.h"

static u64 port_read(struct cpu *cpu, u16 port, unsigned size)
{
    cpu->stats.pio_reads++;
    if (cpu->single_step_needed) {
        debug_check_data(cpu, port, size, false, true);
    }
    return cpu->port.read(cpu->port.context, BUS_PIO, port, size);
}

static void port_write(struct cpu *cpu, u16 port, u64 value, unsigned size)
{
    cpu->stats.pio_writes++;
    if (cpu->single_step_needed) {
        debug_check_data(cpu, port, size, true, true);
    }
    cpu->port.write(cpu->port.context, BUS_PIO, port, value & bits_mask(size * 8), size);
}

/* The port: imm, or DX where aux is set. */
static u16 port_of(const struct cpu *cpu, const struct op *op)
{
    return op->aux ? (u16)cpu->gpr[RDX] : (u16)op->imm;
}

static s64 in(struct cpu *cpu, const struct op *op, s64 left)
{
    u16 port = port_of(cpu, op);

    if (!io_allowed(cpu, port, op->size)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
    u64 value = port_read(cpu, port, op->size);
    if (op->size == 4) {
        cpu->gpr[RAX] = (u32)value;
    } else {
        u64 mask = bits_mask(op->size * 8);
        cpu->gpr[RAX] = (cpu->gpr[RAX] & ~mask) | (value & mask);
    }
    return leave(cpu, op, left);
}

static s64 out(struct cpu *cpu, const struct op *op, s64 left)
{
    u16 port = port_of(cpu, op);

    if (!io_allowed(cpu, port, op->size)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
    port_write(cpu, port, cpu->gpr[RAX], op->size);
    return leave(cpu, op, left);
}

bool prepare_in_out(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool is_in = insn->id == INSN_IN;

    (void)cpu;
    op->size = (insn->opcode & 1) == 0 ? 1 : insn->operand_size == 2 ? 2 : 4;
    op->aux = insn->opcode >= 0xec;
    op->imm = insn->imm & 0xff;
    op->fn = is_in ? in : out;
    return true;
}

/* ------------------------------------------------------------------ INS, OUTS */

static u64 address_mask(const struct op *op)
{
    return bits_mask(op->aux * 8);
}

static void step(struct cpu *cpu, const struct op *op, unsigned reg, u64 by)
{
    u64 mask = address_mask(op), value = (cpu->gpr[reg] + by) & mask;

    cpu->gpr[reg] = op->aux == 2 ? (cpu->gpr[reg] & ~mask) | value : value;
}

APART bool ins(struct cpu *cpu, const struct op *op)
{
    gva_t gva;
    void *hva;

    /* That the store will succeed is known before the port is read: reading it has effects. */
    if (!linear_address(cpu, SEG_ES, cpu->gpr[RDI] & address_mask(op), op->size, ACCESS_WRITE,
                        &gva) ||
        !probe_slow(cpu, SEG_ES, gva, op->size, &hva)) {
        return false;
    }
    u64 value = port_read(cpu, (u16)cpu->gpr[RDX], op->size);
    if (!store_slow(cpu, SEG_ES, gva, &value, op->size)) {
        return false;
    }
    step(cpu, op, RDI, cpu->rflags & RFLAGS_DF ? -(u64)op->size : op->size);
    return true;
}

APART bool outs(struct cpu *cpu, const struct op *op)
{
    gva_t gva;
    u64 value = 0;

    if (!linear_address(cpu, op->segment, cpu->gpr[RSI] & address_mask(op), op->size, ACCESS_READ,
                        &gva) ||
        !load_slow(cpu, op->segment, gva, &value, op->size)) {
        return false;
    }
    port_write(cpu, (u16)cpu->gpr[RDX], value, op->size);
    step(cpu, op, RSI, cpu->rflags & RFLAGS_DF ? -(u64)op->size : op->size);
    return true;
}

/* imm is not 0 with a REP prefix.  Between two elements interrupts and traps are taken. */
ALWAYS_INLINE s64 transfer(struct cpu *cpu, const struct op *op, s64 left,
                           bool (*element)(struct cpu *, const struct op *))
{
    if (op->imm && !(cpu->gpr[RCX] & address_mask(op))) {
        return next(cpu, op, left);
    }
    if (!io_allowed(cpu, (u16)cpu->gpr[RDX], op->size)) {
        return fault(cpu, op, left);
    }
    set_icount(cpu, left);
    do {
        if (!element(cpu, op)) {
            return fault(cpu, op, left);
        }
        if (!op->imm) {
            return leave(cpu, op, left);
        }
        step(cpu, op, RCX, ~0ull);
        if (!(cpu->gpr[RCX] & address_mask(op))) {
            return leave(cpu, op, left);
        }
    } while (!cpu->single_step_needed && !cpu->mmu.watch_hit &&
             !atomic_load_explicit(&cpu->inbox->attention, memory_order_relaxed));
    cpu->rip = op_rip(cpu, op);
    cpu->rflags |= RFLAGS_RF; /* as a trap or an interrupt between two iterations saves it */
    return cpu->single_step_needed ? left - 1 : left;
}

static s64 string_ins(struct cpu *cpu, const struct op *op, s64 left)
{
    return transfer(cpu, op, left, ins);
}

static s64 string_outs(struct cpu *cpu, const struct op *op, s64 left)
{
    return transfer(cpu, op, left, outs);
}

bool prepare_ins_outs(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->address_size;
    op->imm = insn->rep;
    op->segment = insn->mem.segment;
    op->size = (insn->opcode & 1) == 0 ? 1 : insn->operand_size == 2 ? 2 : 4;
    op->fn = insn->id == INSN_INS ? string_ins : string_outs;
    return true;
}
