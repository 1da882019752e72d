/*
 * test_decode_zydis.c - the decoder against Zydis, on random and structured byte strings.
 *
 * Compared for each string: whether it is an instruction; length, mnemonic, operand and address
 * size, every visible operand (kind, register, size, access, address, immediate), flags, legal
 * prefixes and privilege.  Strings are made of random prefixes, an opcode of a random map (so that
 * all opcodes of all maps come up often), and a random tail.  The seed is fixed.
 *
 * Where the two differ on purpose, a list below says so, with the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "isa/insn.h"
#include "isa/rflags.h"

#define STRINGS_PER_MODE 1000000
#define SEED             0x9e3779b97f4a7c15ull

struct sample {
    u8 bytes[24];
    size_t size;
};

struct theirs {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static ZydisDecoder decoders[3];

static u64 random_next(u64 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1dull >> 16;
}

/* ---- Samples ---- */

static void put(struct sample *s, u64 byte)
{
    s->bytes[s->size++] = (u8)byte;
}

static void put_prefixes(struct sample *s, u64 *seed)
{
    static const u8 all[] = {0x66, 0xf2, 0xf3, 0x66, 0xf3, 0xf0, 0x67, 0x26,
                             0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x48, 0x41};
    unsigned count = random_next(seed) % 4;

    while (count--) {
        put(s, all[random_next(seed) % sizeof(all)]);
    }
    if (random_next(seed) % 3 == 0) {
        put(s, 0x40 + random_next(seed) % 16);
    }
}

static void put_vex(struct sample *s, u64 *seed)
{
    u64 r = random_next(seed);
    u64 last = r >> 8 & 0xff;

    if (r >> 60 & 1) { /* often with an unused vvvv */
        last |= 0x78;
    }
    if (r >> 40 & 3) {
        put(s, 0xc4);
        put(s, (r & 0xe0) | (1 + (r >> 44) % 3) | (r >> 50 & 1 ? 0xe0 : 0));
    } else {
        put(s, 0xc5);
        last |= r >> 50 & 1 ? 0x80 : 0;
    }
    put(s, last);
    put(s, r >> 24);
}

static void make_sample(struct sample *s, u64 *seed)
{
    u64 kind = random_next(seed) % 16;

    s->size = 0;
    if (kind < 5) {
        if (random_next(seed) % 16 == 0) {
            put_prefixes(s, seed);
        }
        put_vex(s, seed);
    } else if (kind < 15) {
        put_prefixes(s, seed);
        if (kind >= 8) {
            put(s, 0x0f);
        }
        if (kind >= 12) {
            put(s, kind & 1 ? 0x38 : 0x3a);
        }
    }
    while (s->size < 16) {
        put(s, random_next(seed));
    }
}

/* ---- The lists of differences ---- */

/* Extensions that Ringer's guests do not have: undefined here (or the NOPs that they were). */
static bool extension_is_absent(ZydisISAExt ext)
{
    switch (ext) {
    case ZYDIS_ISA_EXT_AMD3DNOW: /* AMD's */
    case ZYDIS_ISA_EXT_AMD_INVLPGB:
    case ZYDIS_ISA_EXT_CLZERO:
    case ZYDIS_ISA_EXT_FMA4:
    case ZYDIS_ISA_EXT_MCOMMIT:
    case ZYDIS_ISA_EXT_MONITORX:
    case ZYDIS_ISA_EXT_RDPRU:
    case ZYDIS_ISA_EXT_SNP:
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_SVM:
    case ZYDIS_ISA_EXT_TBM:
    case ZYDIS_ISA_EXT_XOP:
    case ZYDIS_ISA_EXT_PADLOCK:  /* VIA's */
    case ZYDIS_ISA_EXT_AMX_BF16: /* Intel's that are not shown to guests */
    case ZYDIS_ISA_EXT_AMX_INT8:
    case ZYDIS_ISA_EXT_AMX_TILE:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_CET:
    case ZYDIS_ISA_EXT_ENQCMD:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_HRESET:
    case ZYDIS_ISA_EXT_KEYLOCKER:
    case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
    case ZYDIS_ISA_EXT_KNC:
    case ZYDIS_ISA_EXT_KNCE:
    case ZYDIS_ISA_EXT_KNCV:
    case ZYDIS_ISA_EXT_MOVDIR:
    case ZYDIS_ISA_EXT_MPX:
    case ZYDIS_ISA_EXT_PCONFIG:
    case ZYDIS_ISA_EXT_PT:
    case ZYDIS_ISA_EXT_RTM:
    case ZYDIS_ISA_EXT_SERIALIZE:
    case ZYDIS_ISA_EXT_SGX:
    case ZYDIS_ISA_EXT_SGX_ENCLV:
    case ZYDIS_ISA_EXT_SMX:
    case ZYDIS_ISA_EXT_TDX:
    case ZYDIS_ISA_EXT_TSX_LDTRK:
    case ZYDIS_ISA_EXT_UINTR:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VMFUNC:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
    case ZYDIS_ISA_EXT_VTX:
    case ZYDIS_ISA_EXT_WAITPKG:
        return true;
    default:
        return false;
    }
}

/* Mnemonics: ours, theirs. */
static const char *const aliases[][2] = {
    {"fneni", "feni8087_nop"},
    {"fndisi", "fdisi8087_nop"},
    {"fnsetpm", "fsetpm287_nop"},
    {"fstp",
     "fstpnce"}, /* D9 D8+i: an alias of DD D8+i, but for what it does to an empty register */
};

/* strcmp(), where the compiler does not work out what it knows of the differences. */
static __attribute__((noinline)) bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Instructions where one side is right in a way that is not worth a list of its own. */
static bool difference_is_known(const struct insn *ours, enum insn_result result,
                                enum insn_mode mode, const struct theirs *theirs, const char *what)
{
    switch (theirs->insn.mnemonic) {
    case ZYDIS_MNEMONIC_VPINSRD: /* with W1 outside 64-bit mode; processors do not agree */
    case ZYDIS_MNEMONIC_VPEXTRD:
        return result == INSN_UNDEFINED && mode != INSN_MODE_64;
    case ZYDIS_MNEMONIC_SYSCALL: /* AMD's outside 64-bit mode; we model Intel's */
    case ZYDIS_MNEMONIC_SYSRET:
        return result == INSN_UNDEFINED && mode != INSN_MODE_64;
    case ZYDIS_MNEMONIC_MOVSXD: /* with 66 it reads a word; SDM vol. 2B, MOVSX/MOVSXD */
        return equal(what, "memory size") && ours->operand_size == 2;
    case ZYDIS_MNEMONIC_LGDT: /* Zydis has no privilege for these two */
    case ZYDIS_MNEMONIC_RSM:
        return equal(what, "privileged");
    case ZYDIS_MNEMONIC_PAUSE: /* with REX.B it is XCHG R8, as processors do it */
        return ours->id == INSN_XCHG;
    case ZYDIS_MNEMONIC_BSF: /* the destination stays if the source is 0, on every processor */
    case ZYDIS_MNEMONIC_BSR:
        return equal(what, "access");
    case ZYDIS_MNEMONIC_FUCOMP: /* Zydis shows ST0, here only */
        return equal(what, "register") || strstr(what, "operand") != NULL;
    case ZYDIS_MNEMONIC_NOP: /* the operands of 0F 18 to 0F 1F do not count */
        return result == INSN_OK && !equal(what, "length") && !equal(what, "mnemonic");
    default:
        break;
    }
    /* Zydis takes base 101b without mod for R13D if REX.B is set and the address size is 32.  SDM
     * vol. 2A, "Special Cases of REX Encodings": REX.B is not decoded there. */
    return equal(what, "base") && ours->mem.base == MEM_NO_REG && (ours->rex & 1) &&
           ours->address_size == 4;
}

/* ---- Comparison ---- */

static bool same_text(const char *ours, const char *theirs)
{
    if (!strcmp(ours, theirs)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (!strcmp(aliases[i][0], ours) && !strcmp(aliases[i][1], theirs)) {
            return true;
        }
    }
    return false;
}

/* The mnemonic alone, from what the disassembler prints. */
static void printed_mnemonic(const struct insn *ours, enum insn_mode mode, char *name, size_t size)
{
    static const char *const before[] = {"lock ", "rep ", "repe ", "repne "};
    char text[128];
    const char *start = text;

    insn_format(ours, mode, 0, text, sizeof(text));
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        if (!strncmp(start, before[i], strlen(before[i]))) {
            start += strlen(before[i]);
        }
    }
    snprintf(name, size, "%.*s", (int)strcspn(start, " "), start);
}

static bool same_register(const struct operand *ours, ZydisRegister reg)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);
    int id = ZydisRegisterGetId(reg);

    switch ((enum reg_class)ours->class) {
    case REG_GPR:
        if (ours->size == 1) { /* AL to BL, AH to BH, SPL to DIL, R8B to R15B */
            id = id >= 8 ? id - 4 : id;
            return class == ZYDIS_REGCLASS_GPR8 &&
                   (reg < ZYDIS_REGISTER_AH || reg > ZYDIS_REGISTER_BH) && ours->reg == id;
        }
        return ours->reg == id && class == (ours->size == 2   ? ZYDIS_REGCLASS_GPR16
                                            : ours->size == 4 ? ZYDIS_REGCLASS_GPR32
                                                              : ZYDIS_REGCLASS_GPR64);
    case REG_GPR_HIGH:
        return (int)reg == ZYDIS_REGISTER_AH + ours->reg;
    case REG_SEGMENT:
        return class == ZYDIS_REGCLASS_SEGMENT && ours->reg == id;
    case REG_CONTROL:
        return class == ZYDIS_REGCLASS_CONTROL && ours->reg == id;
    case REG_DEBUG:
        return class == ZYDIS_REGCLASS_DEBUG && ours->reg == id;
    case REG_X87:
        return class == ZYDIS_REGCLASS_X87 && ours->reg == id;
    case REG_MMX:
        return class == ZYDIS_REGCLASS_MMX && ours->reg == id;
    case REG_VECTOR:
        return class == (ours->size == 32 ? ZYDIS_REGCLASS_YMM : ZYDIS_REGCLASS_XMM) &&
               ours->reg == id;
    }
    return false;
}

static u8 mem_register(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE) {
        return MEM_NO_REG;
    }
    return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_IP ? MEM_RIP : (u8)ZydisRegisterGetId(reg);
}

static const char *compare_mem(const struct insn *ours, const struct operand *op,
                               const ZydisDecodedOperand *theirs)
{
    const struct insn_mem *mem = &ours->mem;
    unsigned shift;

    if (mem->base != mem_register(theirs->mem.base)) {
        return "base";
    }
    if (mem->index != mem_register(theirs->mem.index)) {
        return "index";
    }
    if (mem->index != MEM_NO_REG && theirs->mem.scale && 1 << mem->scale != theirs->mem.scale) {
        return "scale";
    }
    /* A moffs is zero-extended here. */
    shift = ours->id == INSN_MOV && !ours->has_modrm ? 64 - 8 * ours->address_size : 0;
    if ((u64)mem->disp << shift != (u64)theirs->mem.disp.value << shift) {
        return "displacement";
    }
    if (theirs->mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
        mem->segment != ZydisRegisterGetId(theirs->mem.segment)) {
        return "segment";
    }
    if (op->size && op->size * 8 != theirs->size) {
        return "memory size";
    }
    return NULL;
}

static const char *compare_immediate(const struct insn *ours, const struct operand *op,
                                     const ZydisDecodedOperand *theirs)
{
    u64 mask = op->size < 8 ? (1ull << 8 * op->size) - 1 : ~0ull;

    if (op->kind == OPERAND_REL) {
        return theirs->imm.is_relative && ours->imm == theirs->imm.value.u ? NULL : "relative";
    }
    if (op->kind == OPERAND_ONE) {
        return theirs->imm.value.u == 1 ? NULL : "constant 1";
    }
    if (op->kind != OPERAND_IMM) {
        return "immediate";
    }
    return (op->second ? ours->imm2 : ours->imm) == (theirs->imm.value.u & mask)
               ? NULL
               : "immediate value";
}

static const char *compare_operand(const struct insn *ours, const struct operand *op,
                                   const ZydisDecodedOperand *theirs)
{
    bool read = theirs->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
    bool written = theirs->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    const char *wrong = NULL;

    switch (theirs->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        if (op->kind != OPERAND_REG) {
            return "kind: register";
        }
        wrong = same_register(op, theirs->reg.value) ? NULL : "register";
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        if (op->kind != OPERAND_MEM) {
            return "kind: memory";
        }
        wrong = compare_mem(ours, op, theirs);
        break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        if (op->kind != OPERAND_FAR || ours->imm != theirs->ptr.offset ||
            ours->imm2 != theirs->ptr.segment) {
            return "far pointer";
        }
        return NULL;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        return compare_immediate(ours, op, theirs);
    default:
        return "kind";
    }
    if (wrong || !(op->read || op->written)) { /* no access: NOP, PREFETCH, LEA */
        return wrong;
    }
    if (!(theirs->actions & ZYDIS_OPERAND_ACTION_WRITE) && written) {
        read = true; /* written by a condition: what was there may stay, so it is read */
    }
    return read == op->read && written == op->written ? NULL : "access";
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
    case INSN_XLAT:
        return true;
    }
    return false;
}

/* String instructions have one operand here, the first memory operand with the same base there. */
static const char *compare_string(const struct insn *ours, const struct theirs *theirs)
{
    for (unsigned i = 0; i < theirs->insn.operand_count; i++) {
        const ZydisDecodedOperand *op = &theirs->op[i];
        if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && mem_register(op->mem.base) == ours->mem.base) {
            return ours->mem.segment == ZydisRegisterGetId(op->mem.segment) &&
                           ours->op[0].size * 8 == op->size
                       ? NULL
                       : "string operand";
        }
    }
    return "no string operand";
}

static const char *compare_operands(const struct insn *ours, const struct theirs *theirs)
{
    unsigned at = 0;

    if (is_string(ours)) {
        return compare_string(ours, theirs);
    }
    for (unsigned i = 0; i < theirs->insn.operand_count_visible; i++) {
        const char *wrong;
        if (at == ours->operands) {
            return "too few operands";
        }
        wrong = compare_operand(ours, &ours->op[at++], &theirs->op[i]);
        if (wrong) {
            return wrong;
        }
    }
    return at == ours->operands ? NULL : "too many operands";
}

/* Whose flags are right here, and in what Zydis differs. */
static bool flags_are_known(const struct insn *ours)
{
    switch (ours->id) {
    case INSN_SBB:    /* Zydis: AF undefined with a memory destination */
    case INSN_MOV_CR: /* Zydis: only MOV from CR and DR leave the flags undefined */
    case INSN_MOV_DR:
    case INSN_BEXTR:  /* Zydis: CF and OF undefined; they are cleared */
    case INSN_VPTEST: /* Zydis: OF, AF, PF and SF stay; they are cleared */
    case INSN_VTESTPS:
    case INSN_VTESTPD:
    case INSN_VMCALL: /* depends on what is called */
    case INSN_INT1:   /* as INT3; Zydis has none */
        return true;
    }
    return false;
}

static bool is_shift(const struct insn *ours)
{
    switch (ours->id) {
    case INSN_ROL:
    case INSN_ROR:
    case INSN_RCL:
    case INSN_RCR:
    case INSN_SHL:
    case INSN_SHR:
    case INSN_SAR:
    case INSN_SHLD:
    case INSN_SHRD:
        return true;
    }
    return false;
}

static const char *compare_flags(const struct insn *ours, const ZydisDecodedInstruction *theirs)
{
    static const ZydisAccessedFlags none;
    const struct insn_row *row = insn_row(ours);
    const ZydisAccessedFlags *flags = theirs->cpu_flags ? theirs->cpu_flags : &none;
    u16 mask = 0xdfff; /* Zydis has one bit for IOPL */
    u16 read = (u16)flags->tested, undefined = (u16)flags->undefined;
    u16 written = (u16)(flags->modified | flags->set_0 | flags->set_1);

    if (flags_are_known(ours)) {
        return NULL;
    }
    if (row->attributes & ATTR_REPZ) { /* ZF as it was before is not read */
        read &= (u16)~RFLAGS_ZF;
    }
    if (is_shift(ours)) { /* OF is defined if the count is 1 */
        written |= RFLAGS_OF;
        undefined &= (u16)~RFLAGS_OF;
    }
    if ((row->flags_read & mask) != read) {
        return "flags read";
    }
    if ((row->flags_written & mask) != written) {
        return "flags written";
    }
    return row->flags_undefined == undefined ? NULL : "flags undefined";
}

/* The exception classes whose memory operands must be aligned; SSE4 is so but for four. */
static bool must_be_aligned(const struct insn *ours, const ZydisDecodedInstruction *theirs)
{
    return theirs->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE1 ||
           theirs->meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE2 ||
           theirs->meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX1 ||
           ours->id == INSN_CVTPD2PI || ours->id == INSN_CVTTPD2PI;
}

static bool is_branch(const ZydisDecodedInstruction *theirs)
{
    switch (theirs->meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
        return true;
    case ZYDIS_CATEGORY_INTERRUPT: /* an INT always goes there, BOUND only by a fault */
        return theirs->mnemonic != ZYDIS_MNEMONIC_BOUND;
    default:
        return theirs->mnemonic == ZYDIS_MNEMONIC_RSM;
    }
}

static const char *compare_attributes(const struct insn *ours,
                                      const ZydisDecodedInstruction *theirs)
{
    const struct insn_row *row = insn_row(ours);
    ZydisInstructionAttributes attributes = theirs->attributes;

    if (!(row->attributes & ATTR_REP) != !(attributes & ZYDIS_ATTRIB_ACCEPTS_REP)) {
        return "rep";
    }
    if (!(row->attributes & ATTR_REPZ) != !(attributes & ZYDIS_ATTRIB_ACCEPTS_REPZ)) {
        return "repz";
    }
    if (!!(row->classes & CLASS_PRIVILEGED) != !!(attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)) {
        return "privileged";
    }
    if (ours->has_modrm && ours->modrm < 0xc0 &&
        theirs->meta.exception_class != ZYDIS_EXCEPTION_CLASS_SSE4 &&
        !(row->attributes & ATTR_ALIGN16) != !must_be_aligned(ours, theirs)) {
        return "alignment";
    }
    if (!(row->attributes & ATTR_BRANCH) != !is_branch(theirs)) {
        return "branch";
    }
    return ours->has_modrm == !!(attributes & ZYDIS_ATTRIB_HAS_MODRM) ? NULL : "has modrm";
}

static const char *compare_layout(const struct insn *ours, const ZydisDecodedInstruction *theirs)
{
    if (ours->opcode != theirs->opcode) {
        return "opcode";
    }
    if (ours->has_modrm && ours->opcode_offset + 1 != theirs->raw.modrm.offset) {
        return "opcode offset";
    }
    if (theirs->raw.imm[0].size && ours->imm_offset != theirs->raw.imm[0].offset) {
        return "immediate offset";
    }
    if (ours->address_size * 8 != theirs->address_width) {
        return "address size";
    }
    return NULL;
}

static const char *compare(const struct insn *ours, enum insn_result result, enum insn_mode mode,
                           const struct theirs *theirs, ZyanStatus status)
{
    char name[32];
    const char *wrong;

    if (!ZYAN_SUCCESS(status)) {
        if (result == INSN_TOO_LONG) {
            return status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? NULL : "too long";
        }
        return result == INSN_OK ? "not undefined" : result == INSN_SHORT ? "short" : NULL;
    }
    if (result != INSN_OK) {
        return "undefined";
    }
    if (ours->length != theirs->insn.length) {
        return "length";
    }
    printed_mnemonic(ours, mode, name, sizeof(name));
    if (!same_text(name, ZydisMnemonicGetString(theirs->insn.mnemonic))) {
        return "mnemonic";
    }
    (void)((wrong = compare_layout(ours, &theirs->insn)) ||
           (wrong = compare_operands(ours, theirs)) ||
           (wrong = compare_attributes(ours, &theirs->insn)) ||
           (wrong = compare_flags(ours, &theirs->insn)));
    return wrong;
}

/* ---- Report ---- */

#define REPORT_MAX 400

struct report {
    unsigned long compared, agreed, valid, wrong;
    char seen[REPORT_MAX][64];
    unsigned kinds;
};

/* Print the first difference of each kind. */
static void report_wrong(struct report *r, const struct sample *s, enum insn_mode mode,
                         const struct insn *ours, enum insn_result result,
                         const struct theirs *theirs, ZyanStatus status, const char *what)
{
    const char *name = ZYAN_SUCCESS(status) ? ZydisMnemonicGetString(theirs->insn.mnemonic) : "-";
    char key[64], text[128] = "-";

    r->wrong++;
    if (result == INSN_OK) {
        insn_format(ours, mode, 0, text, sizeof(text));
    }
    snprintf(key, sizeof(key), "%s: %s %.*s", what, name, ZYAN_SUCCESS(status) ? 0 : 12, text);
    for (unsigned i = 0; i < r->kinds; i++) {
        if (!strcmp(r->seen[i], key)) {
            return;
        }
    }
    if (r->kinds == REPORT_MAX) {
        return;
    }
    strcpy(r->seen[r->kinds++], key);
    fprintf(stderr, "mode %d: ", 16 << mode);
    for (unsigned i = 0; i < 15; i++) {
        fprintf(stderr, "%02x ", s->bytes[i]);
    }
    fprintf(stderr, "\n    %s; Zydis: %s, Ringer: %s\n", what, name, text);
}

static void test_random(void **state)
{
    struct report *r = calloc(1, sizeof(*r));
    u64 seed = SEED;

    (void)state;
    assert_non_null(r);
    for (int mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
        for (unsigned i = 0; i < STRINGS_PER_MODE; i++) {
            struct sample s;
            struct theirs theirs;
            struct insn ours;
            enum insn_result result;
            ZyanStatus status;
            const char *wrong;

            make_sample(&s, &seed);
            result = insn_decode(&ours, mode, s.bytes, s.size);
            status =
                ZydisDecoderDecodeFull(&decoders[mode], s.bytes, s.size, &theirs.insn, theirs.op);
            r->compared++;
            if (ZYAN_SUCCESS(status) && result == INSN_UNDEFINED &&
                extension_is_absent(theirs.insn.meta.isa_ext)) {
                continue;
            }
            r->valid += result == INSN_OK;
            wrong = compare(&ours, result, mode, &theirs, status);
            if (wrong && !(ZYAN_SUCCESS(status) &&
                           difference_is_known(&ours, result, mode, &theirs, wrong))) {
                report_wrong(r, &s, mode, &ours, result, &theirs, status, wrong);
            }
        }
    }
    print_message("%lu strings, %lu instructions, %lu differences of %u kinds\n", r->compared,
                  r->valid, r->wrong, r->kinds);
    assert_true(r->valid > r->compared / 4);
    assert_int_equal(r->wrong, 0);
    free(r);
}

/* Every proper beginning of an instruction is too short, and nothing past its end counts. */
static void test_truncated(void **state)
{
    u64 seed = SEED + 1;

    (void)state;
    for (unsigned i = 0; i < STRINGS_PER_MODE / 4; i++) {
        enum insn_mode mode = i % 3;
        struct insn insn, again;
        struct sample s;

        make_sample(&s, &seed);
        if (insn_decode(&insn, mode, s.bytes, s.size)) {
            continue;
        }
        for (size_t size = 0; size < insn.length; size++) {
            assert_int_equal(insn_decode(&again, mode, s.bytes, size), INSN_SHORT);
        }
        memset(s.bytes + insn.length, 0xff, sizeof(s.bytes) - insn.length);
        assert_int_equal(insn_decode(&again, mode, s.bytes, insn.length), INSN_OK);
        assert_memory_equal(&again, &insn, sizeof(insn));
    }
}

static int set_up(void **state)
{
    static const ZydisMachineMode modes[3] = {
        ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth widths[3] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
                                              ZYDIS_STACK_WIDTH_64};

    (void)state;
    for (int i = 0; i < 3; i++) {
        if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoders[i], modes[i], widths[i]))) {
            return -1;
        }
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_truncated),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
