/*
 * insn.h - a decoded instruction, and the decoder's interface.
 *
 * Everything here comes from one table, x86.def, by way of the generator x86_table.py: the enum of
 * instructions, the rows with operands, flags and Popek-Goldberg class, and the opcode maps.
 * Freestanding: no libc, no allocation, no mutable state.
 *
 * Intel SDM vol. 2A, "Instruction Format"; vol. 2D, "Opcode Map".
 */
#ifndef ISA_INSN_H
#define ISA_INSN_H

#include "base/types.h"
#include "isa/insn_id.h" /* generated: enum insn_id { INSN_INVALID, INSN_AAA, ... INSN_COUNT } */

#define INSN_MAX_LENGTH 15

/* How code is decoded: the code segment's D and L bits. */
enum insn_mode {
    INSN_MODE_16,
    INSN_MODE_32,
    INSN_MODE_64,
};

/* Popek and Goldberg's classes (CACM 1974), as bits of a set: an instruction may be in several.
 * docs/classify.md says what they mean on x86; `make check` compares the table's with what
 * experiments find (src/classify/). */
enum insn_class {
    CLASS_INNOCUOUS = 0,               /* in none of them */
    CLASS_PRIVILEGED = 1 << 0,         /* traps at CPL 3 whenever it would not at CPL 0 */
    CLASS_IO_PRIVILEGED = 1 << 1,      /* the same as long as CPL > IOPL: IN, OUT, CLI, STI */
    CLASS_CONTROL_SENSITIVE = 1 << 2,  /* changes resources or mode: LGDT, POPF, INT, ... */
    CLASS_LOCATION_SENSITIVE = 1 << 3, /* behaves by what the resources are: SGDT, LSL, ... */
    CLASS_MODE_SENSITIVE = 1 << 4,     /* behaves by the mode: PUSHF, PUSH CS, LAR, ... */
};

/* In the order of the ModRM.reg encoding. */
enum segment_index {
    SEG_ES,
    SEG_CS,
    SEG_SS,
    SEG_DS,
    SEG_FS,
    SEG_GS,
    SEG_COUNT,
};

enum operand_kind {
    OPERAND_NONE,
    OPERAND_REG, /* class, reg */
    OPERAND_MEM, /* the insn's one memory operand: insn->mem */
    OPERAND_IMM, /* insn->imm, or insn->imm2 if `second`; already extended to operand size */
    OPERAND_REL, /* insn->imm: signed displacement from the next instruction */
    OPERAND_FAR, /* insn->imm: offset, insn->imm2: selector */
    OPERAND_ONE, /* the constant 1 of D0/D1 shifts */
};

enum reg_class {
    REG_GPR,      /* size 1 (low byte), 2, 4 or 8 */
    REG_GPR_HIGH, /* AH, CH, DH, BH: reg is 0 to 3, the register that holds it */
    REG_SEGMENT,  /* enum segment_index */
    REG_CONTROL,
    REG_DEBUG,
    REG_X87,
    REG_MMX,
    REG_VECTOR, /* XMM or YMM, by size 16 or 32 */
};

struct operand {
    u8 kind;  /* enum operand_kind */
    u8 class; /* enum reg_class */
    u8 reg;
    u8 size; /* bytes that the instruction reads or writes there; 0 where it has none (LEA) or
              * where it is too large or varies (FXSAVE, XSAVE) */
    bool read, written;
    bool implicit; /* not in the encoding and not printed (CWD's DX) */
    bool second;   /* OPERAND_IMM: it is imm2 */
};

#define INSN_OPERANDS 5

/* Base and index of a memory operand that are not one of the 16 registers. */
enum {
    MEM_NO_REG = 16,
    MEM_RIP = 17,
};

/* Without a memory operand, segment is what a hidden DS:[...] access uses (MASKMOVDQU, MONITOR).  A
 * string instruction has one operand: rSI with its segment, or for STOS, SCAS and INS ES:rDI; the
 * ES:rDI of MOVS and CMPS is left out.  XLAT has rBX. */
struct insn_mem {
    u8 base, index; /* GPR 0 to 15, MEM_NO_REG, MEM_RIP; index is a vector register if vsib */
    u8 scale;       /* shift: 0 to 3 */
    u8 segment;     /* effective, after overrides and the SS default of rSP and rBP bases */
    bool vsib;
    s64 disp; /* sign-extended; for moffs operands the whole address */
};

/* Attribute bits of a row. */
enum {
    ATTR_LOCK = 1 << 0,     /* LOCK is legal (with a memory destination) */
    ATTR_REP = 1 << 1,      /* REP repeats it */
    ATTR_REPZ = 1 << 2,     /* REPE and REPNE repeat it by ZF */
    ATTR_BRANCH = 1 << 3,   /* may load rIP: ends a straight line */
    ATTR_ALIGN16 = 1 << 4,  /* #GP if its memory operand is not aligned to its size */
    ATTR_X87 = 1 << 5,      /* #NM by CR0.EM, CR0.TS; pending #MF */
    ATTR_MMX = 1 << 6,      /* #UD by CR0.EM, #NM by CR0.TS; pending #MF */
    ATTR_SSE = 1 << 7,      /* #UD by CR0.EM or no CR4.OSFXSR, #NM by CR0.TS */
    ATTR_AVX = 1 << 8,      /* #UD by CR4.OSXSAVE and XCR0, #NM by CR0.TS */
    ATTR_NOWAIT = 1 << 9,   /* x87 that does not report a pending #MF: FNINIT, FNSTCW, ... */
    ATTR_CPL0 = 1 << 10,    /* #GP(0) unless CPL is 0 */
    ATTR_UD_REAL = 1 << 11, /* #UD in real and virtual-8086 mode: ARPL, LAR, SLDT, VEX, ... */
};

/* What x86.def says of one encoding. */
struct insn_row {
    const char *mnemonic; /* lower case; x87 and vector names in full */
    u16 id;               /* enum insn_id */
    u8 classes;           /* enum insn_class: a set */
    u8 cpuid;             /* enum insn_cpuid (generated): the feature it belongs to */
    u32 attributes;       /* ATTR_* */
    u16 flags_read, flags_written, flags_undefined; /* as bits of the low half of RFLAGS */
};

struct insn {
    u16 id;  /* enum insn_id; INSN_INVALID never leaves the decoder */
    u16 row; /* in insn_rows[] */
    u8 length;
    u8 opcode;       /* the last opcode byte */
    u8 map;          /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    u8 operand_size; /* effective, in bytes: 2, 4, 8 */
    u8 address_size; /* effective, in bytes: 2, 4, 8 */
    u8 rep;          /* 0, 0xf2 or 0xf3: the last such prefix, also where it is mandatory */
    bool lock;       /* as given: legal */
    bool prefix_66, prefix_67;
    u8 rex; /* the REX byte or 0; for VEX its R, X, B and W bits in the same places, not inverted */
    u8 vex; /* 0 none, 2 or 3: bytes of the VEX prefix */
    u8 vex_vvvv, vex_l, vex_pp;
    bool has_modrm;
    u8 modrm;                         /* with mod, reg, rm; the extension bits are in rex */
    u8 opcode_offset;                 /* of the last opcode byte in the instruction */
    u8 imm_offset;                    /* of the first immediate byte; length where there is none */
    u8 operands;                      /* how many of op[] are in use */
    struct operand op[INSN_OPERANDS]; /* destination first, as the Intel manual prints them */
    struct insn_mem mem;
    u64 imm, imm2; /* immediates: at the operand's size, zero above it; REL: sign-extended */
    u8 bytes[INSN_MAX_LENGTH];
};

enum insn_result {
    INSN_OK,
    INSN_UNDEFINED, /* #UD */
    INSN_SHORT,     /* more bytes are needed than were given */
    INSN_TOO_LONG,  /* over 15 bytes: #GP(0) */
};

extern const struct insn_row insn_rows[];
extern const char *const insn_cpuid_names[]; /* by enum insn_cpuid; "" for CPUID_BASE */

/* Decode what is at bytes, of which size are there (more than 15 are not looked at).  On INSN_OK
 * all of *insn is set.  On INSN_UNDEFINED insn->length is what was consumed.  Illegal LOCK, illegal
 * register numbers (CR1, segment 6) and encodings that this mode does not have are INSN_UNDEFINED.
 */
enum insn_result insn_decode(struct insn *insn, enum insn_mode mode, const u8 *bytes, size_t size);

/* Make an instruction of a row, for experiments: decodes what it has written.  The caller fills
 * bytes with what immediates and displacements shall be; `random` chooses registers, prefixes and
 * forms where the row leaves them open.  A memory operand that has a ModRM byte is [rBX], with a
 * vector index where it is a VSIB one.  False where there is none in this mode, or where chance has
 * picked one that is undefined: try again. */
bool insn_example(struct insn *insn, unsigned row, enum insn_mode mode, u64 random,
                  u8 bytes[INSN_MAX_LENGTH]);

/* Print insn in Intel syntax, as if it lay at rip.  Always terminates; returns the length. */
size_t insn_format(const struct insn *insn, enum insn_mode mode, u64 rip, char *buffer,
                   size_t size);

static inline const struct insn_row *insn_row(const struct insn *insn)
{
    return &insn_rows[insn->row];
}

/* Of one class, or of CLASS_INNOCUOUS. */
const char *insn_class_name(enum insn_class class);

#endif
