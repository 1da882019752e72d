/*
 * table.h - what x86_table.py makes of x86.def for the decoder.  Only isa/ includes this.
 *
 *      slot    one for each opcode of each space; names a range of candidates, directly or by
 *              ModRM.reg through eight more slots
 *      candidate   number of a row; the row is taken if (key & mask) == value.  At most one is,
 * since the generator rejects rows that overlap row     mask, value, operands.  The public half of
 * a row is in insn_rows[]
 */
#ifndef ISA_TABLE_H
#define ISA_TABLE_H

#include "base/types.h"
#include "isa/insn.h"

/* What a row can ask of an instruction.  The low 8 bits are the ModRM byte. */
enum {
    KEY_MEM = 1 << 8, /* has ModRM with a mod other than 3 */
    KEY_F2 = 1 << 9,
    KEY_F3 = 1 << 10,
    KEY_66 = 1 << 11,
    KEY_W = 1 << 12,  /* REX.W or VEX.W */
    KEY_B = 1 << 13,  /* REX.B */
    KEY_L = 1 << 14,  /* VEX.L */
    KEY_64 = 1 << 15, /* 64-bit mode */
};

/* Where the operand is encoded. */
enum operand_method {
    METHOD_NONE,
    METHOD_RM,     /* ModRM.rm: register or memory */
    METHOD_REG,    /* ModRM.reg */
    METHOD_VVVV,   /* VEX.vvvv */
    METHOD_OPCODE, /* low 3 bits of the opcode */
    METHOD_FIXED,
    METHOD_IMM4, /* bits 7 to 4 of an immediate byte: a vector register */
    METHOD_IMM,  /* mem_size: bytes fetched; reg: sign-extended */
    METHOD_REL,  /* mem_size: bytes fetched */
    METHOD_FAR,  /* mem_size: bytes of the offset */
    METHOD_ONE,
    METHOD_OFFSET, /* moffs */
    METHOD_SOURCE, /* string source: rSI */
    METHOD_DEST,   /* string destination: ES:rDI */
    METHOD_XLAT,   /* rBX */
};

/* The access of a struct operand_spec. */
enum {
    ACCESS_READ = 1,
    ACCESS_WRITE = 2,
};

struct operand_spec {
    u8 method, class, reg;
    u8 size, mem_size; /* size codes: rows of insn_sizes[] */
    u8 access;
};

/* The flags of a struct decode_row. */
enum {
    ROW_D64 = 1 << 0,
    ROW_F64 = 1 << 1,
    ROW_66 = 1 << 2,   /* 66 is a mandatory prefix, not an operand-size prefix */
    ROW_VVVV = 1 << 3, /* uses VEX.vvvv; else it must be 1111b */
    ROW_VSIB = 1 << 4,
    ROW_MODX = 1 << 5, /* mod is ignored and taken as 3 */
    ROW_LOCK = 1 << 6, /* LOCK is legal */
};

struct decode_row {
    u16 mask, value;
    u8 flags;
    u8 space, opcode, opcode_count; /* where it is: the first of its opcodes, how many there are */
    u8 operand_count;
    u8 operands[INSN_OPERANDS]; /* in insn_operand_specs[] */
};

/* The flags of a struct decode_slot. */
enum {
    SLOT_MODRM = 1 << 0,
    SLOT_BY_REG = 1 << 1, /* first is in insn_decode_groups[]: add ModRM.reg */
};

struct decode_slot {
    u16 first;
    u8 count;
    u8 flags;
};

/* Opcode spaces: the four legacy maps, then VEX maps 1 to 3. */
#define SPACE_VEX   3 /* plus the map */
#define SPACE_COUNT 7

/* Column of insn_sizes[]: operand size 2, 4, 8; plus 3 if VEX.L; plus 6 in 64-bit mode. */
#define SIZE_COLUMNS 12

extern const struct decode_slot insn_decode_slots[SPACE_COUNT][256];
extern const struct decode_slot insn_decode_groups[];
extern const u16 insn_decode_candidates[];
extern const struct decode_row insn_decode_rows[];
extern const struct operand_spec insn_operand_specs[];
extern const u8 insn_sizes[][SIZE_COLUMNS];

#endif
