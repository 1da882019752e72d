/* literature.h - what others have found by reading the manual, to be compared with. */
#ifndef CLASSIFY_LITERATURE_H
#define CLASSIFY_LITERATURE_H

#include "isa/insn.h"

#define LITERATURE_LISTS 2

struct literature_entry {
    const char *name; /* as the authors write it; NULL ends the list */
    u16 id;           /* enum insn_id */
};

struct literature_list {
    const char *title;
    const char *says;
    const struct literature_entry *entries;
};

extern const struct literature_list literature[LITERATURE_LISTS];

/* Is the instruction in a list? */
bool literature_has(unsigned list, unsigned id);

/* The listed instruction that does what this one does too, and that stands for it; or NULL. */
const char *literature_relative(unsigned id);

/* "SGDT", "MOV segment", "far CALL". */
const char *instruction_name(unsigned id, const char *mnemonic, char *buffer, size_t size);

#endif
