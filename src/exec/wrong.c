/* wrong.c - an executor that is wrong on purpose: wrong.h. */
#include "exec/wrong.h"

#include "exec/interpret/code.h"
#include "exec/interpret/interpret.h"

/* The instruction at cpu->rip, if it can be read without a trace. */
static bool decode(const struct cpu *cpu, struct insn *insn)
{
    gva_t gva = code_linear_rip(cpu);
    struct walk walk;
    u32 error;
    const u8 *bytes;

    if (!mmu_walk(cpu->mmu.mem, &cpu->mmu.paging, gva, ACCESS_READ | ACCESS_PEEK, &walk, &error)) {
        return false;
    }
    bytes = mem_ptr(cpu->mmu.mem, walk.gpa);
    return bytes && insn_decode(insn, (enum insn_mode)cpu->code_mode, bytes,
                                PAGE_SIZE - gva % PAGE_SIZE) == INSN_OK;
}

/* With the register's lowest bit inverted; after it, it is what it was. */
static void execute_with_wrong(struct cpu *cpu, unsigned reg)
{
    u64 value = cpu->gpr[reg];

    cpu->gpr[reg] ^= 1;
    interpret_execute(cpu, cpu->icount + 1);
    cpu->gpr[reg] = value;
}

void wrong_execute(struct cpu *cpu, u64 limit)
{
    bool user = cpu->cpl == 3;

    do {
        u64 before = cpu->icount;
        struct insn insn;
        bool decoded = decode(cpu, &insn);
        if (decoded && (insn.id == INSN_MOVNTI || (insn.id == INSN_OUT && insn.op[1].size == 4))) {
            execute_with_wrong(cpu, insn.op[1].reg);
        } else {
            interpret_execute(cpu, before + 1);
        }
        if (decoded && insn.id == INSN_BSWAP && cpu->icount > before) {
            cpu_set_arithmetic_flags(cpu, cpu_arithmetic_flags(cpu) ^ RFLAGS_CF);
        }
    } while (cpu->icount < limit && (cpu->cpl == 3) == user && !interpret_must_return(cpu));
}
