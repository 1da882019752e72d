/*
 * operand.c - the decoder's second half: memory operands, registers, immediates and targets.
 *
 * Intel SDM vol. 2A, "Instruction Format": ModR/M, SIB, displacement and immediate bytes.
 */
#include "base/bits.h"
#include "isa/decoder.h"

/* 16-bit addressing.  Intel SDM vol. 2A, table "16-Bit Addressing Forms with the ModR/M Byte". */
static bool decode_mem16(struct decoder *d)
{
    static const u8 base[8] = {3, 3, 5, 5, 6, 7, 5, 3};
    static const u8 index[8] = {6, 7, 6, 7, MEM_NO_REG, MEM_NO_REG, MEM_NO_REG, MEM_NO_REG};
    struct insn_mem *mem = &d->insn->mem;
    unsigned mod = d->insn->modrm >> 6, rm = d->insn->modrm & 7;
    unsigned size = mod; /* of the displacement */
    u64 disp;

    mem->base = base[rm];
    mem->index = index[rm];
    if (mod == 0 && rm == 6) {
        mem->base = MEM_NO_REG;
        size = 2;
    }
    if (mem->base == 5) {
        mem->segment = SEG_SS;
    }
    if (size) {
        if (!fetch(d, size, &disp)) {
            return false;
        }
        mem->disp = (s64)bits_sign_extend(disp, 8 * size);
    }
    return true;
}

/* 32- and 64-bit addressing.  Same volume, tables "32-Bit Addressing Forms" and "SIB Byte". */
static bool decode_mem32(struct decoder *d)
{
    struct insn *insn = d->insn;
    struct insn_mem *mem = &insn->mem;
    unsigned mod = insn->modrm >> 6, base = insn->modrm & 7;
    unsigned size = mod == 2 ? 4 : mod; /* of the displacement */
    u64 value;

    if (base == 4) {
        unsigned index;

        if (!fetch(d, 1, &value)) {
            return false;
        }
        base = value & 7;
        index = (value >> 3 & 7) | (insn->rex & REX_X ? 8 : 0);
        if (index != 4 || mem->vsib) {
            mem->index = (u8)index;
            mem->scale = (u8)(value >> 6);
        }
    } else if (base == 5 && mod == 0 && d->is64) {
        mem->base = MEM_RIP;
    }
    if (base == 5 && mod == 0) {
        size = 4;
    } else {
        mem->base = (u8)(base | (insn->rex & REX_B ? 8 : 0));
        if (mem->base == 4 || mem->base == 5) {
            mem->segment = SEG_SS;
        }
    }
    if (size) {
        if (!fetch(d, size, &value)) {
            return false;
        }
        mem->disp = (s64)bits_sign_extend(value, 8 * size);
    }
    return true;
}

bool decoder_mem(struct decoder *d)
{
    bool ok = d->insn->address_size == 2 ? decode_mem16(d) : decode_mem32(d);

    if (d->segment != NO_SEGMENT) {
        d->insn->mem.segment = d->segment;
    }
    return ok;
}

/* Make *op the register `number` of spec's class.  False: there is no such register. */
static inline bool set_register(struct decoder *d, struct operand *op,
                                const struct operand_spec *spec, unsigned number)
{
    op->kind = OPERAND_REG;
    op->class = spec->class;
    op->reg = (u8)number;
    switch ((enum reg_class)spec->class) {
    case REG_GPR:
        if (op->size == 1 && number - 4 < 4 && !d->insn->rex) {
            op->class = REG_GPR_HIGH;
            op->reg = (u8)(number - 4);
        }
        break;
    case REG_SEGMENT:
        op->reg &= 7;
        return op->reg < SEG_COUNT && !(op->reg == SEG_CS && op->written);
    case REG_CONTROL:
        return 0x11d >> number & 1; /* CR0, CR2, CR3, CR4, CR8 */
    case REG_DEBUG:
        return number < 8;
    case REG_X87:
    case REG_MMX:
        op->reg &= 7;
        break;
    case REG_GPR_HIGH:
    case REG_VECTOR:
        break;
    }
    return true;
}

static void set_mem(struct decoder *d, struct operand *op, const struct operand_spec *spec)
{
    op->kind = OPERAND_MEM;
    op->size = insn_sizes[spec->mem_size][d->column];
}

/* A memory operand that is one register, without ModRM. */
static void set_string(struct decoder *d, struct operand *op, const struct operand_spec *spec,
                       u8 base)
{
    set_mem(d, op, spec);
    d->insn->mem.base = base;
    d->insn->mem.segment = d->segment != NO_SEGMENT ? d->segment : SEG_DS;
}

static bool decode_immediate(struct decoder *d, struct operand *op, const struct operand_spec *spec)
{
    unsigned size = insn_sizes[spec->mem_size][d->column];
    u64 value;

    if (!d->has_imm) {
        d->insn->imm_offset = (u8)d->at;
    }
    if (!fetch(d, size, &value)) {
        return false;
    }
    op->kind = OPERAND_IMM;
    op->second = d->has_imm;
    if (spec->reg) {
        value = bits_sign_extend(value, 8 * size);
        if (op->size < 8) {
            value &= (1ull << 8 * op->size) - 1;
        }
    }
    *(d->has_imm ? &d->insn->imm2 : &d->insn->imm) = value;
    d->has_imm = true;
    return true;
}

/* Relative displacements, far pointers and absolute offsets. */
static bool decode_target(struct decoder *d, struct operand *op, const struct operand_spec *spec)
{
    struct insn *insn = d->insn;
    unsigned size = insn_sizes[spec->mem_size][d->column];

    insn->imm_offset = (u8)d->at;
    if (spec->method == METHOD_REL) {
        op->kind = OPERAND_REL;
        op->size = (u8)size;
        if (!fetch(d, size, &insn->imm)) {
            return false;
        }
        insn->imm = bits_sign_extend(insn->imm, 8 * size);
        return true;
    }
    if (spec->method == METHOD_FAR) {
        op->kind = OPERAND_FAR;
        return fetch(d, size, &insn->imm) && fetch(d, 2, &insn->imm2);
    }
    set_mem(d, op, spec);
    insn->mem.segment = d->segment != NO_SEGMENT ? d->segment : SEG_DS;
    return fetch(d, insn->address_size, (u64 *)&insn->mem.disp);
}

enum insn_result decoder_operand(struct decoder *d, struct operand *op,
                                 const struct operand_spec *spec)
{
    struct insn *insn = d->insn;
    unsigned number = 0;
    u64 value;

    op->size = insn_sizes[spec->size][d->column];
    op->read = spec->access & ACCESS_READ;
    op->written = spec->access & ACCESS_WRITE;
    switch ((enum operand_method)spec->method) {
    case METHOD_NONE:
        return INSN_OK;
    case METHOD_RM:
        if (insn->modrm < 0xc0 && !(insn_decode_rows[insn->row].flags & ROW_MODX)) {
            set_mem(d, op, spec);
            return INSN_OK;
        }
        number = (insn->modrm & 7) | (insn->rex & REX_B ? 8 : 0);
        break;
    case METHOD_REG:
        number = (insn->modrm >> 3 & 7) | (insn->rex & REX_R ? 8 : 0);
        break;
    case METHOD_VVVV:
        number = d->is64 ? insn->vex_vvvv : insn->vex_vvvv & 7;
        break;
    case METHOD_OPCODE:
        number = (insn->opcode & 7) | (insn->rex & REX_B ? 8 : 0);
        break;
    case METHOD_FIXED:
        op->kind = OPERAND_REG;
        op->class = spec->class;
        op->reg = spec->reg;
        return INSN_OK;
    case METHOD_IMM4:
        insn->imm_offset = (u8)d->at;
        if (!fetch(d, 1, &value)) {
            return out_of_bytes(d);
        }
        number = value >> 4 & (d->is64 ? 15 : 7);
        break;
    case METHOD_IMM:
        return decode_immediate(d, op, spec) ? INSN_OK : out_of_bytes(d);
    case METHOD_ONE:
        op->kind = OPERAND_ONE;
        return INSN_OK;
    case METHOD_REL:
    case METHOD_FAR:
    case METHOD_OFFSET:
        return decode_target(d, op, spec) ? INSN_OK : out_of_bytes(d);
    case METHOD_SOURCE:
        set_string(d, op, spec, 6);
        return INSN_OK;
    case METHOD_DEST:
        set_string(d, op, spec, 7);
        insn->mem.segment = SEG_ES;
        return INSN_OK;
    case METHOD_XLAT:
        set_string(d, op, spec, 3);
        return INSN_OK;
    }
    return set_register(d, op, spec, number) ? INSN_OK : INSN_UNDEFINED;
}
