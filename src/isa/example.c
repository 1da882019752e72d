/*
 * example.c - the decoder backwards: bytes that are an instruction of a given row.
 *
 * What the row's key asks for is written as it is; what it leaves open, chance decides:
 *
 *      66 F2 F3 | REX or VEX | escape, opcode | ModRM, SIB | what the caller wants to follow
 */
#include "isa/decoder.h"
#include "isa/table.h"

struct chance {
    u64 bits;
};

/* The next `count` bits. */
static unsigned draw(struct chance *c, unsigned count)
{
    unsigned value = (unsigned)c->bits & ((1u << count) - 1);
    c->bits >>= count;
    return value;
}

struct writer {
    u8 *bytes;
    unsigned at;
};

static void put(struct writer *w, unsigned byte)
{
    w->bytes[w->at++] = (u8)byte;
}

/* One of the key's bits: as the row wants it, or by chance if it may be open. */
static bool pick(const struct decode_row *row, unsigned bit, struct chance *c, bool open)
{
    bool chosen = draw(c, 1) && open;
    return row->mask & bit ? row->value & bit : chosen;
}

struct form {
    bool memory, w, r, b, l, opsize;
    unsigned modrm, opcode;
};

static struct form choose(const struct decode_row *row, enum insn_mode mode, struct chance *c)
{
    bool is64 = mode == INSN_MODE_64, vex = row->space > SPACE_VEX;
    struct form form;

    form.memory = pick(row, KEY_MEM, c, true) && !(row->flags & ROW_MODX);
    form.w = pick(row, KEY_W, c, is64 || vex);
    form.r = draw(c, 1) && is64;
    form.b = pick(row, KEY_B, c, is64 && !form.memory);
    form.l = pick(row, KEY_L, c, true);
    form.opsize = pick(row, KEY_66, c, draw(c, 1) && !vex && !(row->flags & ROW_66));
    form.modrm = (row->value & 0xff) | (draw(c, 8) & ~row->mask & 0xff);
    form.opcode = row->opcode + draw(c, 4) % row->opcode_count;
    if (form.memory) { /* [rBX]; with SIB: [rBX + a vector register] */
        form.modrm = (form.modrm & 0x38) | (row->flags & ROW_VSIB ? 4 : 3);
    } else {
        form.modrm |= 0xc0;
    }
    return form;
}

static void put_legacy(struct writer *w, const struct decode_row *row, const struct form *form,
                       enum insn_mode mode)
{
    unsigned rex = (form->w ? REX_W : 0) | (form->r ? REX_R : 0) | (form->b ? REX_B : 0);

    if (form->opsize) {
        put(w, 0x66);
    }
    if (row->mask & row->value & (KEY_F2 | KEY_F3)) {
        put(w, row->value & KEY_F2 ? 0xf2 : 0xf3);
    }
    if (rex && mode == INSN_MODE_64) {
        put(w, 0x40 | rex);
    }
    if (row->space > 0) {
        put(w, 0x0f);
    }
    if (row->space > 1) {
        put(w, row->space == 2 ? 0x38 : 0x3a);
    }
}

static void put_vex(struct writer *w, const struct decode_row *row, const struct form *form,
                    enum insn_mode mode, struct chance *c)
{
    unsigned vvvv = row->flags & ROW_VVVV ? draw(c, mode == INSN_MODE_64 ? 4 : 3) : 0;
    unsigned pp = row->value & KEY_66 ? 1 : row->value & KEY_F3 ? 2 : row->value & KEY_F2 ? 3 : 0;

    put(w, 0xc4); /* R, X, B and vvvv are inverted */
    put(w, (form->r ? 0 : 0x80) | 0x40 | (form->b ? 0 : 0x20) | (row->space - SPACE_VEX));
    put(w, (form->w ? 0x80 : 0) | (~vvvv & 15) << 3 | (form->l ? 4 : 0) | pp);
}

bool insn_example(struct insn *insn, unsigned row_number, enum insn_mode mode, u64 random,
                  u8 bytes[INSN_MAX_LENGTH])
{
    const struct decode_row *row = &insn_decode_rows[row_number];
    struct writer w = {bytes, 0};
    struct chance c = {random};
    struct form form = choose(row, mode, &c);

    if ((row->mask & KEY_64) && !(row->value & KEY_64) != (mode != INSN_MODE_64)) {
        return false;
    }
    if (row->space > SPACE_VEX) {
        put_vex(&w, row, &form, mode, &c);
    } else {
        put_legacy(&w, row, &form, mode);
    }
    put(&w, form.opcode);
    if (insn_decode_slots[row->space][form.opcode].flags & SLOT_MODRM) {
        put(&w, form.modrm);
        if (form.memory && (row->flags & ROW_VSIB)) {
            put(&w, draw(&c, 3) << 3 | 3);
        }
    }
    return insn_decode(insn, mode, bytes, INSN_MAX_LENGTH) == INSN_OK && insn->row == row_number;
}
