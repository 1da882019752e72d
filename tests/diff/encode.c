/* encode.c - bytes for a row of the instruction table: see encode.h. */
#include "encode.h"

#include <stdio.h>
#include <string.h>

#include "isa/table.h"

void encodings_init(struct encodings *e)
{
    memset(e, 0, sizeof(*e));
    for (unsigned i = 0; i < SPACE_COUNT * 256; i++) {
        unsigned space = i / 256, opcode = i % 256;
        const struct decode_slot *slot = &insn_decode_slots[space][opcode];
        unsigned groups = slot->flags & SLOT_BY_REG ? 8 : 1;
        for (unsigned reg = 0; reg < groups; reg++) {
            const struct decode_slot *s =
                groups == 8 ? &insn_decode_groups[slot->first + reg] : slot;
            for (unsigned k = 0; k < s->count; k++) {
                unsigned row = insn_decode_candidates[s->first + k];
                unsigned known = e->row[row].opcodes;
                if (!known || e->row[row].opcode[known - 1] != opcode) {
                    e->row[row].space = (u8)space;
                    e->row[row].opcode[known] = (u8)opcode;
                    e->row[row].opcodes++;
                }
            }
        }
    }
}

/* ------------------------------------------------------------------ what a row's key wants */

enum wish { EITHER, CLEAR, SET };

static enum wish wish(const struct decode_row *row, u16 bit)
{
    return !(row->mask & bit) ? EITHER : row->value & bit ? SET : CLEAR;
}

bool encode_possible(unsigned row, enum insn_mode mode)
{
    const struct decode_row *d = &insn_decode_rows[row];
    bool is64 = mode == INSN_MODE_64;

    if (wish(d, KEY_64) == (is64 ? CLEAR : SET)) {
        return false;
    }
    /* Outside 64-bit mode REX.B and REX.W are not there, VEX.W is. */
    return is64 || wish(d, KEY_B) != SET;
}

struct writer {
    struct random *r;
    const struct decode_row *row;
    const struct insn_row *public;
    enum insn_mode mode;
    u8 *at;
};

static void put(struct writer *w, unsigned byte)
{
    *w->at++ = (u8)byte;
}

/* A bit as the key wants it, or set once in n. */
static unsigned choose(struct writer *w, u16 bit, unsigned n)
{
    enum wish wanted = wish(w->row, bit);

    return wanted == SET || (wanted == EITHER && random_one_in(w->r, n));
}

/* ------------------------------------------------------------------ prefixes */

static unsigned rep_prefixes(struct writer *w, u8 *list)
{
    enum wish f2 = wish(w->row, KEY_F2), f3 = wish(w->row, KEY_F3);
    bool repeats = w->public->attributes & (ATTR_REP | ATTR_REPZ);

    if (f2 == SET || f3 == SET) {
        list[0] = f2 == SET ? 0xf2 : 0xf3;
        return 1;
    }
    if (!random_one_in(w->r, repeats ? 2 : 12)) {
        return 0;
    }
    list[0] = f3 == CLEAR && f2 == CLEAR ? 0 : random_one_in(w->r, 2) ? 0xf2 : 0xf3;
    if ((list[0] == 0xf3 && f3 == CLEAR) || (list[0] == 0xf2 && f2 == CLEAR)) {
        list[0] ^= 1;
    }
    return list[0] != 0;
}

static void shuffle(struct random *r, u8 *list, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned k = (unsigned)random_below(r, i);
        u8 byte = list[i - 1];
        list[i - 1] = list[k];
        list[k] = byte;
    }
}

static void legacy_prefixes(struct writer *w)
{
    static const u8 segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    u8 list[16];
    unsigned count = rep_prefixes(w, list);

    if (choose(w, KEY_66, 4)) {
        list[count++] = 0x66;
    }
    if (random_one_in(w->r, 6)) {
        list[count++] = 0x67;
    }
    if (random_one_in(w->r, 5)) {
        list[count++] = RANDOM_OF(w->r, segments);
    }
    if (random_one_in(w->r, w->public->attributes & ATTR_LOCK ? 3 : 60)) {
        list[count++] = 0xf0;
    }
    if (random_one_in(w->r, 300)) { /* up to and over the 15 bytes */
        unsigned total = 8 + (unsigned)random_below(w->r, 7);
        while (count < total) {
            list[count++] = RANDOM_OF(w->r, segments);
        }
    }
    shuffle(w->r, list, count);
    for (unsigned i = 0; i < count; i++) {
        put(w, list[i]);
    }
}

static void rex_prefix(struct writer *w)
{
    bool must = wish(w->row, KEY_W) == SET || wish(w->row, KEY_B) == SET;

    if (w->mode == INSN_MODE_64 && (must || random_one_in(w->r, 2))) {
        unsigned r_and_x = (unsigned)random_below(w->r, 4) << 1;
        put(w, 0x40 | choose(w, KEY_W, 2) << 3 | r_and_x | choose(w, KEY_B, 2));
    }
}

/* ------------------------------------------------------------------ VEX */

static void vex_prefixes(struct writer *w)
{
    static const u8 harmless[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67, 0x67};
    static const u8 wrong[] = {0x66, 0xf2, 0xf3, 0xf0, 0x48};

    if (random_one_in(w->r, 5)) {
        put(w, RANDOM_OF(w->r, harmless));
    }
    if (random_one_in(w->r, 80)) {
        put(w, RANDOM_OF(w->r, wrong));
    }
}

static void vex(struct writer *w, unsigned map)
{
    struct random *r = w->r;
    unsigned is64 = w->mode == INSN_MODE_64;
    unsigned pp = wish(w->row, KEY_66) == SET   ? 1
                  : wish(w->row, KEY_F3) == SET ? 2
                  : wish(w->row, KEY_F2) == SET ? 3
                                                : 0;
    unsigned long_vector = choose(w, KEY_L, 2), wide = choose(w, KEY_W, 4);
    bool uses_vvvv = w->row->flags & ROW_VVVV || random_one_in(r, 60);
    unsigned vvvv = uses_vvvv ? (unsigned)random_below(r, 16) : 15;
    /* Inverted.  Outside 64-bit mode R and X have to be 1, or it is LES or LDS. */
    unsigned rxb = is64 ? (unsigned)random_below(r, 8) : 6 | (unsigned)random_below(r, 2);

    vvvv |= is64 ? 0 : 8;
    if (map == 1 && !wide && random_one_in(r, 2)) {
        put(w, 0xc5);
        put(w, (rxb >> 2) << 7 | vvvv << 3 | long_vector << 2 | pp);
        return;
    }
    put(w, 0xc4);
    put(w, rxb << 5 | map);
    put(w, wide << 7 | vvvv << 3 | long_vector << 2 | pp);
}

/* ------------------------------------------------------------------ all of it */

static void modrm(struct writer *w)
{
    unsigned byte = (unsigned)random_below(w->r, 256);
    bool memory = choose(w, KEY_MEM, 2);

    if (memory) {
        byte = (byte & 0x3f) | (unsigned)random_below(w->r, 3) << 6;
    } else {
        byte |= 0xc0;
    }
    if (w->row->flags & ROW_VSIB) {
        byte = (byte & 0xf8) | 4;
    }
    put(w, (byte & ~(w->row->mask & 0xffu)) | (w->row->value & 0xffu));
}

/* Prefixes, escapes and opcode. */
static void opcode_bytes(struct writer *w, unsigned space, unsigned opcode)
{
    if (space > SPACE_VEX) {
        vex_prefixes(w);
        vex(w, space - SPACE_VEX);
    } else {
        legacy_prefixes(w);
        rex_prefix(w);
        if (space) {
            put(w, 0x0f);
        }
        if (space > 1) {
            put(w, space == 2 ? 0x38 : 0x3a);
        }
    }
    put(w, opcode);
}

void encode_row(const struct encodings *e, struct random *r, unsigned row, enum insn_mode mode,
                u8 bytes[ENCODE_BYTES])
{
    struct writer w = {r, &insn_decode_rows[row], &insn_rows[row], mode, bytes};
    unsigned space = e->row[row].space;
    unsigned opcode = e->row[row].opcode[random_below(r, e->row[row].opcodes)];

    for (unsigned i = 0; i < ENCODE_BYTES; i += 8) {
        u64 value = random_u64(r);
        memcpy(bytes + i, &value, 8);
    }
    opcode_bytes(&w, space, opcode);
    if (insn_decode_slots[space][opcode].flags & SLOT_MODRM) {
        modrm(&w);
    }
}

/* Prefixes and escapes; and what is an instruction on other processors that would wait, or write
 * where no operand says: CLZERO, MWAITX, XOP, ... */
static bool is_no_opcode(unsigned space, unsigned opcode, enum insn_mode mode)
{
    static const u8 one_byte[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65, 0x66,
                                  0x67, 0x8f, 0xc4, 0xc5, 0xc6, 0xc7, 0xf0, 0xf2, 0xf3};
    static const u8 two_bytes[] = {0x01, 0x05, 0x0e, 0x0f, 0x34, 0x37, 0x38, 0x3a, 0xae, 0xc7};
    const u8 *list = space == 0 ? one_byte : two_bytes;
    unsigned count = space == 0 ? ARRAY_SIZE(one_byte) : space == 1 ? ARRAY_SIZE(two_bytes) : 0;

    for (unsigned i = 0; i < count; i++) {
        if (list[i] == opcode) {
            return true;
        }
    }
    return space == 0 && mode == INSN_MODE_64 && opcode >> 4 == 4;
}

bool encode_no_row(struct random *r, enum insn_mode mode, u8 bytes[ENCODE_BYTES])
{
    static const struct decode_row no_row;
    static const struct insn_row no_public;
    struct writer w = {r, &no_row, &no_public, mode, bytes};
    unsigned space = (unsigned)random_below(r, SPACE_COUNT), opcode;

    opcode = (unsigned)random_below(r, 256);
    if (is_no_opcode(space, opcode, mode)) {
        return false;
    }
    for (unsigned i = 0; i < ENCODE_BYTES; i += 8) {
        u64 value = random_u64(r);
        memcpy(bytes + i, &value, 8);
    }
    opcode_bytes(&w, space, opcode);
    return true;
}

/* ------------------------------------------------------------------ as text */

static const char *prefix_text(const struct decode_row *d)
{
    enum wish f2 = wish(d, KEY_F2), f3 = wish(d, KEY_F3), opsize = wish(d, KEY_66);

    return f2 == SET                                       ? "F2 "
           : f3 == SET                                     ? "F3 "
           : opsize == SET                                 ? "66 "
           : opsize == CLEAR && f2 == CLEAR && f3 == CLEAR ? "NP "
           : f2 == CLEAR && f3 == CLEAR                    ? "NF "
                                                           : "";
}

static size_t vex_text(const struct decode_row *d, unsigned map, char *text, size_t size)
{
    static const char *const maps[] = {"0F", "0F38", "0F3A"};
    enum wish l = wish(d, KEY_L), w = wish(d, KEY_W);
    const char *pp = prefix_text(d);

    return (size_t)snprintf(text, size, "VEX.%s%s%s%s%s ",
                            l == SET     ? "256."
                            : l == CLEAR ? "128."
                                         : "",
                            pp[0] == 'N' || !pp[0] ? "" : (char[]){pp[0], pp[1], '.', 0},
                            maps[map - 1],
                            w == SET     ? ".W1"
                            : w == CLEAR ? ".W0"
                                         : "",
                            "");
}

void encode_text(const struct encodings *e, unsigned row, char *text, size_t size)
{
    static const char *const escapes[] = {"", "0F ", "0F 38 ", "0F 3A "};
    const struct decode_row *d = &insn_decode_rows[row];
    unsigned space = e->row[row].space, opcode = e->row[row].opcode[0];
    bool has_modrm = insn_decode_slots[space][opcode].flags & SLOT_MODRM;
    size_t at = space > SPACE_VEX
                    ? vex_text(d, space - SPACE_VEX, text, size)
                    : (size_t)snprintf(text, size, "%s%s", prefix_text(d), escapes[space]);

    at += (size_t)snprintf(text + at, size - at, "%02X%s", opcode,
                           e->row[row].opcodes > 1 ? "+r" : "");
    if (has_modrm && (d->mask & 0xff) == 0xff) {
        at += (size_t)snprintf(text + at, size - at, " %02X", d->value & 0xffu);
    } else if (has_modrm && (d->mask & 0xf8) == 0xf8) {
        at += (size_t)snprintf(text + at, size - at, " %02X+i", d->value & 0xf8u);
    } else if (has_modrm && (d->mask & 0x38)) {
        at += (size_t)snprintf(text + at, size - at, " /%u", d->value >> 3 & 7u);
    } else if (has_modrm) {
        at += (size_t)snprintf(text + at, size - at, " /r");
    }
    if (space <= SPACE_VEX && wish(d, KEY_W) != EITHER) {
        at += (size_t)snprintf(text + at, size - at, " W%u", wish(d, KEY_W) == SET);
    }
    if (wish(d, KEY_MEM) != EITHER && (d->mask & 0xc7) == 0) {
        snprintf(text + at, size - at, "%s", wish(d, KEY_MEM) == SET ? " mem" : " reg");
    }
}
