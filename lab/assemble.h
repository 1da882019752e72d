/*
 * assemble.h - an assembler for the machine of machine.h.
 *
 *     ; a comment
 *     label:  move a b        an instruction: its name and its operands
 *             word 1 label 0  these words as they are
 *
 * A program begins at address 0.  An operand is a number, a label, or label+number or label-number.
 * The label `end` is the address behind the program.
 */
#ifndef LAB_ASSEMBLE_H
#define LAB_ASSEMBLE_H

#include "machine.h"

enum { PROGRAM_WORDS = 2048, PROGRAM_LABELS = 256, LABEL_SIZE = 24 };

struct label {
    char name[LABEL_SIZE];
    word address;
};

struct program {
    word words[PROGRAM_WORDS];
    word count;
    struct label labels[PROGRAM_LABELS];
    unsigned label_count;
};

/*
 * Assemble the texts, a list that NULL ends, as one program.  Returns NULL, or what is wrong with
 * them, in the error_size bytes at error.
 */
const char *assemble(struct program *program, const char *const *texts, char *error,
                     size_t error_size);

/* The label with this name; NULL if there is none. */
const struct label *program_label(const struct program *program, const char *name);

/* The address of a label that is known to be there. */
word program_address(const struct program *program, const char *name);

/* The last label at or before an address; NULL if there is none. */
const struct label *program_place(const struct program *program, word address);

#endif
