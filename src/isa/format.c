/*
 * format.c - the disassembler: a decoded instruction as text, in Intel syntax.
 *
 *      lock add qword ptr gs:[rax+rcx*4+0x10], rbx
 *
 * A segment is shown where it is not the default one, a branch or RIP-relative address as the
 * address that it comes to, an immediate as an unsigned number of the operand's size.
 */
#include "base/format.h"

#include "base/string.h"
#include "isa/insn.h"

struct text {
    char *buffer;
    size_t size, length;
};

static const char segments[SEG_COUNT][4] = {"es", "cs", "ss", "ds", "fs", "gs"};

__attribute__((__format__(__printf__, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
    size_t at = t->length < t->size ? t->length : t->size;
    va_list args;

    va_start(args, fmt);
    t->length += vformat(t->buffer + at, t->size - at, fmt, args);
    va_end(args);
}

static void add_gpr(struct text *t, unsigned reg, unsigned size)
{
    static const char low[8][4] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};
    static const char word[8][4] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

    if (reg >= 8) {
        add(t, "r%u%s", reg, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
    } else if (size == 1) {
        add(t, "%s", low[reg]);
    } else {
        add(t, "%s%s", size == 2 ? "" : size == 4 ? "e" : "r", word[reg]);
    }
}

static void add_register(struct text *t, const struct operand *op)
{
    switch ((enum reg_class)op->class) {
    case REG_GPR:
        add_gpr(t, op->reg, op->size);
        break;
    case REG_GPR_HIGH:
        add(t, "%ch", "acdb"[op->reg & 3]);
        break;
    case REG_SEGMENT:
        add(t, "%s", segments[op->reg]);
        break;
    case REG_CONTROL:
        add(t, "cr%u", op->reg);
        break;
    case REG_DEBUG:
        add(t, "dr%u", op->reg);
        break;
    case REG_X87:
        add(t, "st(%u)", op->reg);
        break;
    case REG_MMX:
        add(t, "mm%u", op->reg);
        break;
    case REG_VECTOR:
        add(t, "%cmm%u", op->size == 32 ? 'y' : 'x', op->reg);
        break;
    }
}

static const char *size_name(unsigned size)
{
    switch (size) {
    case 1:
        return "byte ptr ";
    case 2:
        return "word ptr ";
    case 4:
        return "dword ptr ";
    case 6:
        return "fword ptr ";
    case 8:
        return "qword ptr ";
    case 10:
        return "tbyte ptr ";
    case 16:
        return "xmmword ptr ";
    case 32:
        return "ymmword ptr ";
    }
    return "";
}

static u64 truncate(u64 value, unsigned size)
{
    return size < 8 ? value & ((1ull << 8 * size) - 1) : value;
}

/* The index of a gather is as long as its data, except where one has 4-byte and the other 8-byte
 * elements: then the longer of the two has the vector length. */
static char vsib_letter(const struct insn *insn)
{
    bool half = insn->id == INSN_VGATHERDPD || insn->id == INSN_VPGATHERDQ;

    return insn->vex_l && !half ? 'y' : 'x';
}

static void add_index(struct text *t, const struct insn *insn)
{
    const struct insn_mem *mem = &insn->mem;

    if (mem->base != MEM_NO_REG) {
        add(t, "+");
    }
    if (mem->vsib) {
        add(t, "%cmm%u", vsib_letter(insn), mem->index);
    } else {
        add_gpr(t, mem->index, insn->address_size);
    }
    if (mem->scale) {
        add(t, "*%u", 1u << mem->scale);
    }
}

static void add_displacement(struct text *t, const struct insn *insn, u64 rip)
{
    const struct insn_mem *mem = &insn->mem;
    s64 disp = mem->disp;

    if (mem->base == MEM_RIP) {
        add(t, "0x%llx",
            (unsigned long long)truncate(rip + insn->length + (u64)disp, insn->address_size));
    } else if (mem->base == MEM_NO_REG && mem->index == MEM_NO_REG) {
        add(t, "0x%llx", (unsigned long long)truncate((u64)disp, insn->address_size));
    } else if (disp < 0) {
        add(t, "-0x%llx", 0 - (unsigned long long)disp);
    } else if (disp) {
        add(t, "+0x%llx", (unsigned long long)disp);
    }
}

static unsigned default_segment(const struct insn *insn)
{
    const struct insn_mem *mem = &insn->mem;
    bool stack = mem->base == 5 || (mem->base == 4 && insn->address_size != 2);

    return stack ? SEG_SS : SEG_DS;
}

static void add_mem(struct text *t, const struct insn *insn, unsigned size, u64 rip)
{
    const struct insn_mem *mem = &insn->mem;

    add(t, "%s", size_name(size));
    if (mem->segment != default_segment(insn)) {
        add(t, "%s:", segments[mem->segment]);
    }
    add(t, "[");
    if (mem->base < MEM_NO_REG) {
        add_gpr(t, mem->base, insn->address_size);
    }
    if (mem->index != MEM_NO_REG) {
        add_index(t, insn);
    }
    add_displacement(t, insn, rip);
    add(t, "]");
}

static unsigned instruction_pointer_size(const struct insn *insn, enum insn_mode mode)
{
    return mode == INSN_MODE_64 ? 8 : insn->operand_size;
}

static void add_operand(struct text *t, const struct insn *insn, const struct operand *op,
                        enum insn_mode mode, u64 rip)
{
    switch ((enum operand_kind)op->kind) {
    case OPERAND_NONE:
        break;
    case OPERAND_REG:
        add_register(t, op);
        break;
    case OPERAND_MEM:
        add_mem(t, insn, op->size, rip);
        break;
    case OPERAND_IMM:
        add(t, "0x%llx",
            (unsigned long long)truncate(op->second ? insn->imm2 : insn->imm, op->size));
        break;
    case OPERAND_REL:
        add(t, "0x%llx",
            (unsigned long long)truncate(rip + insn->length + insn->imm,
                                         instruction_pointer_size(insn, mode)));
        break;
    case OPERAND_FAR:
        add(t, "0x%x:0x%llx", (unsigned)insn->imm2, (unsigned long long)insn->imm);
        break;
    case OPERAND_ONE:
        add(t, "1");
        break;
    }
}

static bool is_string(const struct insn *insn)
{
    switch (insn->id) {
    case INSN_MOVS:
    case INSN_CMPS:
    case INSN_STOS:
    case INSN_LODS:
    case INSN_SCAS:
    case INSN_INS:
    case INSN_OUTS:
        return true;
    }
    return false;
}

static const char *by_size(unsigned size, const char *two, const char *four, const char *eight)
{
    return size == 2 ? two : size == 4 ? four : eight;
}

/* The mnemonics that depend on more than the row.  NULL: the row's own. */
static const char *special_mnemonic(const struct insn *insn)
{
    unsigned size = insn->operand_size;

    switch (insn->id) {
    case INSN_CBW:
        return by_size(size, "cbw", "cwde", "cdqe");
    case INSN_CWD:
        return by_size(size, "cwd", "cdq", "cqo");
    case INSN_JCXZ:
        return by_size(insn->address_size, "jcxz", "jecxz", "jrcxz");
    case INSN_PUSHF:
        return by_size(size, "pushf", "pushfd", "pushfq");
    case INSN_POPF:
        return by_size(size, "popf", "popfd", "popfq");
    case INSN_PUSHA:
        return by_size(size, "pusha", "pushad", "");
    case INSN_POPA:
        return by_size(size, "popa", "popad", "");
    case INSN_IRET:
        return by_size(size, "iret", "iretd", "iretq");
    case INSN_CMPXCHG8B:
        return by_size(size, "cmpxchg8b", "cmpxchg8b", "cmpxchg16b");
    }
    return NULL;
}

static void add_mnemonic(struct text *t, const struct insn *insn)
{
    const struct insn_row *row = insn_row(insn);
    const char *special = special_mnemonic(insn);
    unsigned size = insn->op[0].size;

    if (insn->lock) {
        add(t, "lock ");
    }
    if (insn->rep && (row->attributes & ATTR_REPZ)) {
        add(t, insn->rep == 0xf3 ? "repe " : "repne ");
    } else if (insn->rep && (row->attributes & ATTR_REP)) {
        add(t, "rep ");
    }
    switch (insn->id) {
    case INSN_FXSAVE:
    case INSN_FXRSTOR:
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XSAVES:
    case INSN_XRSTOR:
    case INSN_XRSTORS:
        add(t, "%s%s", row->mnemonic, insn->operand_size == 8 ? "64" : "");
        return;
    }
    add(t, "%s", special ? special : row->mnemonic);
    if (is_string(insn)) {
        add(t, "%c", size == 1 ? 'b' : size == 2 ? 'w' : size == 4 ? 'd' : 'q');
    }
}

/* What a string instruction shows of its operands: the segment, where it is not the usual one. */
static void add_string_segment(struct text *t, const struct insn *insn)
{
    if (insn->mem.base == 6 && insn->mem.segment != SEG_DS) {
        add(t, " %s:[", segments[insn->mem.segment]);
        add_gpr(t, insn->mem.base, insn->address_size);
        add(t, "]");
    }
}

size_t insn_format(const struct insn *insn, enum insn_mode mode, u64 rip, char *buffer, size_t size)
{
    struct text t = {.buffer = buffer, .size = size};
    const char *separator = " ";

    if (size) {
        buffer[0] = '\0';
    }
    add_mnemonic(&t, insn);
    if (is_string(insn)) {
        add_string_segment(&t, insn);
        return t.length;
    }
    for (unsigned i = 0; i < insn->operands && insn->id != INSN_XLAT; i++) {
        if (!insn->op[i].implicit) {
            add(&t, "%s", separator);
            add_operand(&t, insn, &insn->op[i], mode, rip);
            separator = ", ";
        }
    }
    return t.length;
}
