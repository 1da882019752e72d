/*
 * encode.h - bytes for a row of the instruction table: prefixes in every order, opcode, ModRM, and
 * random bytes for all that the row leaves open.
 */
#ifndef TESTS_DIFF_ENCODE_H
#define TESTS_DIFF_ENCODE_H

#include "isa/insn.h"
#include "random.h"

#define ENCODE_BYTES 32 /* at least INSN_MAX_LENGTH more than what encode_row() chooses */

/* Where the rows are in the opcode maps: the decoder's table, turned round. */
struct encodings {
    struct {
        u8 space; /* 0 to 3: the legacy maps; 4 to 6: VEX maps */
        u8 opcodes;
        u8 opcode[16];
    } row[INSN_ROWS];
};

void encodings_init(struct encodings *e);

/* Does the row exist in this mode? */
bool encode_possible(unsigned row, enum insn_mode mode);

/* Bytes that nearly always decode to the row: the exceptions are those in which a prefix too many,
 * or VEX.vvvv, makes them undefined or another row's. */
void encode_row(const struct encodings *e, struct random *r, unsigned row, enum insn_mode mode,
                u8 bytes[ENCODE_BYTES]);

/* Bytes with an opcode that no row has, of any map.  False: try again. */
bool encode_no_row(struct random *r, enum insn_mode mode, u8 bytes[ENCODE_BYTES]);

/* The row's encoding, such as "VEX.256.66.0F38.W0 16 /r" or "F3 0F B8 /r", into text. */
void encode_text(const struct encodings *e, unsigned row, char *text, size_t size);

#endif
