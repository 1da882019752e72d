/*
 * literature.c - two lists of x86's sensitive, unprivileged instructions.
 *
 * Both were made by reading the manual of the 32-bit processor, both name instructions by their
 * mnemonics, and both mean by POP, PUSH and MOV those of segment registers, by CALL, JMP and RET
 * the far ones.  The first speaks of seventeen instructions, and names eighteen mnemonics where it
 * discusses them; the second names the same eighteen and IRET.
 */
#include "classify/literature.h"

#include <ctype.h>
#include <stddef.h>

#include "base/types.h"

static const struct literature_entry robin_irvine[] = {
    {"SGDT", INSN_SGDT},
    {"SIDT", INSN_SIDT},
    {"SLDT", INSN_SLDT},
    {"SMSW", INSN_SMSW},
    {"PUSHF", INSN_PUSHF},
    {"POPF", INSN_POPF},
    {"LAR", INSN_LAR},
    {"LSL", INSN_LSL},
    {"VERR", INSN_VERR},
    {"VERW", INSN_VERW},
    {"POP", INSN_POP_SEG},
    {"PUSH", INSN_PUSH_SEG},
    {"CALL", INSN_CALL_FAR},
    {"JMP", INSN_JMP_FAR},
    {"INT n", INSN_INT},
    {"RET", INSN_RET_FAR},
    {"STR", INSN_STR},
    {"MOV", INSN_MOV_SEG},
    {NULL, 0},
};

static const struct literature_entry bugnion_nieh_tsafrir[] = {
    {"PUSHF", INSN_PUSHF},       {"POPF", INSN_POPF},
    {"IRET", INSN_IRET},         {"LAR", INSN_LAR},
    {"VERR", INSN_VERR},         {"VERW", INSN_VERW},
    {"LSL", INSN_LSL},           {"POP seg", INSN_POP_SEG},
    {"PUSH seg", INSN_PUSH_SEG}, {"MOV seg", INSN_MOV_SEG},
    {"SGDT", INSN_SGDT},         {"SLDT", INSN_SLDT},
    {"SIDT", INSN_SIDT},         {"SMSW", INSN_SMSW},
    {"far CALL", INSN_CALL_FAR}, {"far JMP", INSN_JMP_FAR},
    {"far RET", INSN_RET_FAR},   {"STR", INSN_STR},
    {"INT n", INSN_INT},         {NULL, 0},
};

const struct literature_list literature[LITERATURE_LISTS] = {
    {
        .title = "Robin and Irvine, USENIX Security 2000",
        .says = "speaks of 17 instructions of the Pentium and names 18 mnemonics",
        .entries = robin_irvine,
    },
    {
        .title = "Bugnion, Nieh and Tsafrir, 2017",
        .says = "names 19 in five groups: the 18, and IRET",
        .entries = bugnion_nieh_tsafrir,
    },
};

bool literature_has(unsigned list, unsigned id)
{
    for (const struct literature_entry *e = literature[list].entries; e->name; e++) {
        if (e->id == id) {
            return true;
        }
    }
    return false;
}

const char *literature_relative(unsigned id)
{
    switch (id) {
    case INSN_LDS:
    case INSN_LES:
    case INSN_LFS:
    case INSN_LGS:
    case INSN_LSS:
        return "MOV segment";
    case INSN_INT1:
    case INSN_INT3:
    case INSN_INTO:
        return "INT n";
    default:
        return NULL;
    }
}

const char *instruction_name(unsigned id, const char *mnemonic, char *buffer, size_t size)
{
    static const struct literature_entry others[] = {
        {"CMOVcc", INSN_CMOVCC},         {"Jcc", INSN_JCC},
        {"SETcc", INSN_SETCC},           {"MOV control", INSN_MOV_CR},
        {"MOV debug", INSN_MOV_DR},      {"MOV segment", INSN_MOV_SEG},
        {"PUSH segment", INSN_PUSH_SEG}, {"POP segment", INSN_POP_SEG},
        {"far CALL", INSN_CALL_FAR},     {"far JMP", INSN_JMP_FAR},
        {"far RET", INSN_RET_FAR},       {"INT n", INSN_INT},
    };
    size_t i = 0;

    for (size_t k = 0; k < ARRAY_SIZE(others); k++) {
        if (others[k].id == id) {
            return others[k].name;
        }
    }
    for (; mnemonic[i] && i + 1 < size; i++) {
        buffer[i] = (char)toupper((unsigned char)mnemonic[i]);
    }
    buffer[i] = '\0';
    return buffer;
}
