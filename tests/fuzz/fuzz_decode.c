/*
 * fuzz_decode.c - random bytes as code, for the decoder and the disassembler.
 *
 * The first byte chooses the mode.  Besides what the sanitizers see: a result that names the bytes
 * it was made of, decodes the same again from just these, and is too short without the last.
 */
#include <stdlib.h>
#include <string.h>

#include "isa/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_one(const struct insn *insn, enum insn_mode mode, const u8 *bytes)
{
    struct insn again;
    char text[128];

    check(insn->length >= 1 && insn->length <= INSN_MAX_LENGTH);
    check(insn->id > INSN_INVALID && insn->id < INSN_COUNT && insn->row < INSN_ROWS);
    check(insn->operands <= INSN_OPERANDS && insn->imm_offset <= insn->length);
    check(!memcmp(insn->bytes, bytes, insn->length));
    check(insn_decode(&again, mode, bytes, insn->length) == INSN_OK);
    check(!memcmp(&again, insn, sizeof(again)));
    check(insn_decode(&again, mode, bytes, insn->length - 1u) == INSN_SHORT);
    check(insn_format(insn, mode, 0x1000, text, sizeof(text)) < sizeof(text));
    insn_format(insn, mode, 0x1000, text, 7);
    check(strlen(text) <= 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum insn_mode mode;

    if (!size) {
        return 0;
    }
    mode = data[0] % 3;
    for (size_t at = 1; at < size;) {
        struct insn insn;
        enum insn_result result = insn_decode(&insn, mode, data + at, size - at);

        check(insn.length <= size - at);
        if (result == INSN_OK) {
            check_one(&insn, mode, data + at);
        }
        at += result == INSN_OK ? insn.length : 1;
    }
    return 0;
}
