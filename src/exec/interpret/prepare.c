/*
 * prepare.c - from a decoded instruction to an op: which file's handlers perform it.
 *
 * One row an instruction; what has no row is looked for among those that the host executes
 * (vector.c).
 */
#include "exec/interpret/code.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/vector.h"

static prepare_fn *const rows[INSN_COUNT] = {
    [INSN_ADD] = prepare_alu,
    [INSN_OR] = prepare_alu,
    [INSN_ADC] = prepare_alu,
    [INSN_SBB] = prepare_alu,
    [INSN_AND] = prepare_alu,
    [INSN_SUB] = prepare_alu,
    [INSN_XOR] = prepare_alu,
    [INSN_CMP] = prepare_alu,
    [INSN_TEST] = prepare_alu,
    [INSN_INC] = prepare_unary,
    [INSN_DEC] = prepare_unary,
    [INSN_NEG] = prepare_unary,
    [INSN_NOT] = prepare_unary,

    [INSN_MOV] = prepare_mov,
    [INSN_MOVNTI] = prepare_mov,
    [INSN_MOVZX] = prepare_movzx,
    [INSN_MOVSX] = prepare_movsx,
    [INSN_MOVSXD] = prepare_movsx,
    [INSN_LEA] = prepare_lea,
    [INSN_XCHG] = prepare_xchg,
    [INSN_CMOVCC] = prepare_cmovcc,
    [INSN_SETCC] = prepare_setcc,
    [INSN_BSWAP] = prepare_bswap,
    [INSN_CBW] = prepare_cbw,
    [INSN_CWD] = prepare_cwd,
    [INSN_XLAT] = prepare_xlat,
    [INSN_SALC] = prepare_salc,
    [INSN_CLC] = prepare_flag,
    [INSN_STC] = prepare_flag,
    [INSN_CMC] = prepare_flag,
    [INSN_CLD] = prepare_flag,
    [INSN_STD] = prepare_flag,
    [INSN_LAHF] = prepare_flag,
    [INSN_SAHF] = prepare_flag,
    [INSN_NOP] = prepare_nop,
    [INSN_PAUSE] = prepare_nop,
    [INSN_PREFETCH] = prepare_nop,
    [INSN_PREFETCHW] = prepare_nop,
    [INSN_PREFETCHWT1] = prepare_nop,
    [INSN_PREFETCHNTA] = prepare_nop,
    [INSN_PREFETCHT0] = prepare_nop,
    [INSN_PREFETCHT1] = prepare_nop,
    [INSN_PREFETCHT2] = prepare_nop,
    [INSN_LFENCE] = prepare_nop,
    [INSN_SFENCE] = prepare_nop,
    [INSN_MFENCE] = prepare_nop,

    [INSN_ROL] = prepare_shift,
    [INSN_ROR] = prepare_shift,
    [INSN_RCL] = prepare_shift,
    [INSN_RCR] = prepare_shift,
    [INSN_SHL] = prepare_shift,
    [INSN_SHR] = prepare_shift,
    [INSN_SAR] = prepare_shift,
    [INSN_SHLD] = prepare_double_shift,
    [INSN_SHRD] = prepare_double_shift,

    [INSN_BT] = prepare_bit_test,
    [INSN_BTS] = prepare_bit_test,
    [INSN_BTR] = prepare_bit_test,
    [INSN_BTC] = prepare_bit_test,
    [INSN_BSF] = prepare_bit_scan,
    [INSN_BSR] = prepare_bit_scan,
    [INSN_TZCNT] = prepare_bit_scan,
    [INSN_LZCNT] = prepare_bit_scan,
    [INSN_POPCNT] = prepare_bit_scan,

    [INSN_MUL] = prepare_multiply,
    [INSN_IMUL] = prepare_imul,
    [INSN_DIV] = prepare_divide,
    [INSN_IDIV] = prepare_divide,
    [INSN_AAA] = prepare_decimal,
    [INSN_AAS] = prepare_decimal,
    [INSN_AAM] = prepare_decimal,
    [INSN_AAD] = prepare_decimal,
    [INSN_DAA] = prepare_decimal,
    [INSN_DAS] = prepare_decimal,

    [INSN_CMPXCHG] = prepare_cmpxchg,
    [INSN_CMPXCHG8B] = prepare_cmpxchg8b,
    [INSN_XADD] = prepare_xadd,

    [INSN_JCC] = prepare_jcc,
    [INSN_JMP] = prepare_jmp,
    [INSN_CALL] = prepare_call,
    [INSN_RET] = prepare_ret,
    [INSN_LOOP] = prepare_loop,
    [INSN_LOOPE] = prepare_loop,
    [INSN_LOOPNE] = prepare_loop,
    [INSN_JCXZ] = prepare_loop,

    [INSN_PUSH] = prepare_push,
    [INSN_POP] = prepare_pop,
    [INSN_PUSHA] = prepare_pusha,
    [INSN_POPA] = prepare_popa,
    [INSN_PUSHF] = prepare_pushf,
    [INSN_POPF] = prepare_popf,
    [INSN_ENTER] = prepare_enter,
    [INSN_LEAVE] = prepare_leave,

    [INSN_MOVS] = prepare_string,
    [INSN_STOS] = prepare_string,
    [INSN_LODS] = prepare_string,
    [INSN_CMPS] = prepare_string,
    [INSN_SCAS] = prepare_string,
    [INSN_IN] = prepare_in_out,
    [INSN_OUT] = prepare_in_out,
    [INSN_INS] = prepare_ins_outs,
    [INSN_OUTS] = prepare_ins_outs,

    [INSN_JMP_FAR] = prepare_far,
    [INSN_CALL_FAR] = prepare_far,
    [INSN_RET_FAR] = prepare_far,
    [INSN_IRET] = prepare_far,
    [INSN_SYSCALL] = prepare_far,
    [INSN_SYSRET] = prepare_far,
    [INSN_SYSENTER] = prepare_far,
    [INSN_SYSEXIT] = prepare_far,
    [INSN_INT] = prepare_int,
    [INSN_INT1] = prepare_int,
    [INSN_INT3] = prepare_int,
    [INSN_INTO] = prepare_int,
    [INSN_MOV_SEG] = prepare_mov_seg,
    [INSN_PUSH_SEG] = prepare_push_seg,
    [INSN_POP_SEG] = prepare_pop_seg,
    [INSN_LDS] = prepare_load_far_pointer,
    [INSN_LES] = prepare_load_far_pointer,
    [INSN_LFS] = prepare_load_far_pointer,
    [INSN_LGS] = prepare_load_far_pointer,
    [INSN_LSS] = prepare_load_far_pointer,
    [INSN_BOUND] = prepare_bound,

    [INSN_MOV_CR] = prepare_mov_cr,
    [INSN_MOV_DR] = prepare_mov_dr,
    [INSN_SGDT] = prepare_descriptor_table,
    [INSN_SIDT] = prepare_descriptor_table,
    [INSN_LGDT] = prepare_descriptor_table,
    [INSN_LIDT] = prepare_descriptor_table,
    [INSN_SLDT] = prepare_selector,
    [INSN_STR] = prepare_selector,
    [INSN_SMSW] = prepare_selector,
    [INSN_LMSW] = prepare_selector,
    [INSN_LLDT] = prepare_selector,
    [INSN_LTR] = prepare_selector,
    [INSN_VERR] = prepare_selector,
    [INSN_VERW] = prepare_selector,
    [INSN_LAR] = prepare_selector,
    [INSN_LSL] = prepare_selector,
    [INSN_ARPL] = prepare_selector,

    [INSN_CPUID] = prepare_system,
    [INSN_RDMSR] = prepare_system,
    [INSN_WRMSR] = prepare_system,
    [INSN_RDTSC] = prepare_system,
    [INSN_RDTSCP] = prepare_system,
    [INSN_RDPID] = prepare_system,
    [INSN_RDPMC] = prepare_system,
    [INSN_HLT] = prepare_system,
    [INSN_CLI] = prepare_system,
    [INSN_STI] = prepare_system,
    [INSN_CLAC] = prepare_system,
    [INSN_STAC] = prepare_system,
    [INSN_CLTS] = prepare_system,
    [INSN_INVD] = prepare_system,
    [INSN_WBINVD] = prepare_system,
    [INSN_SWAPGS] = prepare_system,
    [INSN_INVLPG] = prepare_system,
    [INSN_INVPCID] = prepare_system,
    [INSN_VMCALL] = prepare_system,
    [INSN_VMMCALL] = prepare_system,
    [INSN_XSETBV] = prepare_system,
    [INSN_RDFSBASE] = prepare_system,
    [INSN_RDGSBASE] = prepare_system,
    [INSN_WRFSBASE] = prepare_system,
    [INSN_WRGSBASE] = prepare_system,
    [INSN_CLFLUSH] = prepare_system,
    [INSN_CLFLUSHOPT] = prepare_system,
    [INSN_CLWB] = prepare_system,
};

static void set_memory_operand(const struct cpu *cpu, const struct insn *insn, struct op *op)
{
    const struct insn_mem *mem = &insn->mem;

    op->base = mem->base == MEM_NO_REG ? GPR_ZERO : mem->base == MEM_RIP ? GPR_CODE : mem->base;
    op->index = mem->index == MEM_NO_REG || mem->vsib ? GPR_ZERO : mem->index;
    op->scale = mem->scale;
    op->segment = mem->segment;
    op->disp = (s32)mem->disp;
    if (cpu->code_mode != INSN_MODE_64) {
        op->ea = EA_LEGACY | (insn->address_size == 2 ? EA_ADDRESS_16 : EA_ADDRESS_32);
        return;
    }
    op->ea = insn->address_size == 4 ? EA_ADDRESS_32 : 0;
    if (mem->segment == SEG_FS || mem->segment == SEG_GS) {
        op->ea |= EA_SEGMENT_BASE;
    }
    if (mem->base == MEM_RIP) {
        s64 from_page = mem->disp + op->offset + op->length;
        if (from_page == (s32)from_page) {
            op->disp = (s32)from_page;
        } else {
            op->ea |= EA_RIP;
        }
    }
}

static bool has_memory_operand(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->operands; i++) {
        if (insn->op[i].kind == OPERAND_MEM) {
            return true;
        }
    }
    return false;
}

bool prepare_op(struct cpu *cpu, const struct insn *insn, unsigned offset, struct op *op)
{
    *op = (struct op){.base = GPR_ZERO,
                      .index = GPR_ZERO,
                      .segment = insn->mem.segment,
                      .length = insn->length,
                      .offset = (u16)offset,
                      .size = insn->operand_size};
    if ((insn_row(insn)->attributes & ATTR_UD_REAL) && (cpu->real_mode || cpu->v86_mode)) {
        return false;
    }
    if (has_memory_operand(insn)) {
        set_memory_operand(cpu, insn, op);
    }
    if (rows[insn->id]) {
        return rows[insn->id](cpu, insn, op);
    }
    return vector_prepare(cpu, insn, op) || thunk_prepare(cpu, insn, op);
}

bool prepare_ends_line(const struct insn *insn)
{
    switch (insn->id) {
    case INSN_JCC:
    case INSN_JCXZ:
    case INSN_LOOP:
    case INSN_LOOPE:
    case INSN_LOOPNE:
    case INSN_INTO:
        return false;
    case INSN_IN:
    case INSN_OUT:
    case INSN_STI:
    case INSN_HLT:
    case INSN_WRMSR:
    case INSN_INVLPG:
    case INSN_INVPCID:
    case INSN_LGDT:
    case INSN_LIDT:
        return true;
    case INSN_MOV_CR:
        return insn->op[0].class == REG_CONTROL;
    default:
        return insn_row(insn)->attributes & ATTR_BRANCH;
    }
}
