/*
 * decoder.h - what the files of the decoder share: decode.c (prefixes, opcode, row) and operand.c.
 */
#ifndef ISA_DECODER_H
#define ISA_DECODER_H

#include "isa/insn.h"
#include "isa/table.h"

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

#define NO_SEGMENT 0xff

struct decoder {
    struct insn *insn;
    const u8 *bytes;
    unsigned at, limit;
    bool is64;
    u8 mode;      /* enum insn_mode */
    u8 segment;   /* override, or NO_SEGMENT */
    u8 column;    /* of insn_sizes[] */
    bool has_imm; /* an immediate has been fetched: the next one is the second */
};

/* What it means that the bytes have run out. */
static inline enum insn_result out_of_bytes(const struct decoder *d)
{
    return d->limit == INSN_MAX_LENGTH ? INSN_TOO_LONG : INSN_SHORT;
}

/* Fetch `size` bytes, little-endian, zero-extended.  False: not so many are left. */
static inline bool fetch(struct decoder *d, unsigned size, u64 *value)
{
    const u8 *from = d->bytes + d->at;

    if (d->limit - d->at < size) {
        d->at = d->limit;
        return false;
    }
    d->at += size;
    *value = 0;
    switch (size) {
    case 1:
        __builtin_memcpy(value, from, 1);
        break;
    case 2:
        __builtin_memcpy(value, from, 2);
        break;
    case 4:
        __builtin_memcpy(value, from, 4);
        break;
    default:
        __builtin_memcpy(value, from, 8);
        break;
    }
    return true;
}

/* ------------------------------------------------------------------ operand.c */

/* The memory operand that ModRM says: SIB and displacement.  False: the bytes have run out. */
bool decoder_mem(struct decoder *d);

/* One operand, as its row specifies it, with the bytes of an immediate. */
enum insn_result decoder_operand(struct decoder *d, struct operand *op,
                                 const struct operand_spec *spec);

#endif
