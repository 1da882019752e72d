/*
 * decode.c - the instruction decoder.
 *
 * Prefixes, opcode, ModRM, then the row whose key matches (table.h), then the row's operands:
 *
 *      66 F0 48 | 0F B1 | 0C 88 | - | -        lock cmpxchg [rax+rcx*4], rcx
 *      prefixes   opcode  ModRM   disp, immediate
 *
 * Intel SDM vol. 2A, "Instruction Format"; the VEX prefix: 2.3.  The operands are in operand.c.
 *
 * Freestanding.  What a processor fetches byte by byte is here a bounded buffer: every read checks
 * the limit, which is 15 bytes or what the caller has.
 */
#include "base/string.h"
#include "isa/decoder.h"
#include "isa/table.h"

/* What a byte is before the opcode. */
enum prefix {
    PREFIX_NONE,
    PREFIX_SEGMENT, /* plus enum segment_index */
    PREFIX_OPSIZE = PREFIX_SEGMENT + SEG_COUNT,
    PREFIX_ADSIZE,
    PREFIX_LOCK,
    PREFIX_REP,
    PREFIX_REX,
};

static const u8 prefixes[256] = {
    [0x26] = PREFIX_SEGMENT + SEG_ES, [0x2e] = PREFIX_SEGMENT + SEG_CS,
    [0x36] = PREFIX_SEGMENT + SEG_SS, [0x3e] = PREFIX_SEGMENT + SEG_DS,
    [0x40 ... 0x4f] = PREFIX_REX,     [0x64] = PREFIX_SEGMENT + SEG_FS,
    [0x65] = PREFIX_SEGMENT + SEG_GS, [0x66] = PREFIX_OPSIZE,
    [0x67] = PREFIX_ADSIZE,           [0xf0] = PREFIX_LOCK,
    [0xf2 ... 0xf3] = PREFIX_REP,
};

/* Read the legacy prefixes and REX; leaves d->at at the first byte that is none. */
static enum insn_result decode_prefixes(struct decoder *d)
{
    struct insn *insn = d->insn;

    for (; d->at < d->limit; d->at++) {
        u8 byte = d->bytes[d->at];
        u8 kind = prefixes[byte];

        if (likely(kind == PREFIX_NONE)) {
            return INSN_OK;
        }
        if (kind == PREFIX_REX) {
            if (!d->is64) {
                return INSN_OK;
            }
            insn->rex = byte;
            continue;
        }
        insn->rex = 0; /* REX counts only directly before the opcode */
        if (kind == PREFIX_OPSIZE) {
            insn->prefix_66 = true;
        } else if (kind == PREFIX_ADSIZE) {
            insn->prefix_67 = true;
        } else if (kind == PREFIX_LOCK) {
            insn->lock = true;
        } else if (kind == PREFIX_REP) {
            insn->rep = byte;
        } else if (!d->is64 || kind >= PREFIX_SEGMENT + SEG_FS) {
            d->segment = kind - PREFIX_SEGMENT;
        }
    }
    return out_of_bytes(d);
}

/* C4 and C5 are VEX if 64-bit mode, or what would be ModRM's mod is 3; else LES and LDS.  At the
 * byte after C4 or C5.  *vex tells which. */
static enum insn_result decode_vex(struct decoder *d, bool three, bool *vex)
{
    struct insn *insn = d->insn;
    u64 first, last;

    if (d->at == d->limit) {
        return out_of_bytes(d);
    }
    *vex = d->is64 || d->bytes[d->at] >= 0xc0;
    if (!*vex) {
        return INSN_OK;
    }
    if (insn->prefix_66 || insn->rep || insn->lock || insn->rex) {
        return INSN_UNDEFINED;
    }
    fetch(d, 1, &first);
    last = first;
    insn->map = 1;
    insn->vex = 2;
    if (three) {
        insn->vex = 3;
        insn->map = first & 31;
        if (insn->map < 1 || insn->map > 3) {
            return INSN_UNDEFINED;
        }
        if (!fetch(d, 1, &last)) {
            return out_of_bytes(d);
        }
    }
    insn->rex = ~first >> 5 & REX_R;
    if (three) {
        insn->rex |= (~first >> 5 & (REX_X | REX_B)) | (last >> 4 & REX_W);
    }
    if (!d->is64) {
        insn->rex &= REX_W; /* the registers 8 to 15 are not there */
    }
    insn->vex_vvvv = ~last >> 3 & 15;
    insn->vex_l = last >> 2 & 1;
    insn->vex_pp = last & 3;
    return INSN_OK;
}

/* Read the opcode with its escapes; sets map, opcode, and *space. */
static enum insn_result decode_opcode(struct decoder *d, unsigned *space)
{
    struct insn *insn = d->insn;
    u8 byte = d->bytes[d->at++];

    if (byte == 0x0f) {
        if (d->at == d->limit) {
            return out_of_bytes(d);
        }
        byte = d->bytes[d->at++];
        insn->map = 1;
        if (byte == 0x38 || byte == 0x3a) {
            insn->map = byte == 0x38 ? 2 : 3;
            if (d->at == d->limit) {
                return out_of_bytes(d);
            }
            byte = d->bytes[d->at++];
        }
    } else if (byte == 0xc4 || byte == 0xc5) {
        bool vex;
        enum insn_result result = decode_vex(d, byte == 0xc4, &vex);

        if (result) {
            return result;
        }
        if (vex) {
            if (d->at == d->limit) {
                return out_of_bytes(d);
            }
            byte = d->bytes[d->at++];
        }
    }
    *space = insn->map + (insn->vex ? SPACE_VEX : 0);
    insn->opcode = byte;
    insn->opcode_offset = (u8)(d->at - 1);
    return INSN_OK;
}

/* The bits that rows match on.  VEX.pp stands for the prefixes that it replaces. */
static inline u32 decode_key(const struct decoder *d)
{
    static const u16 by_pp[4] = {0, KEY_66, KEY_F3, KEY_F2};
    const struct insn *insn = d->insn;
    u32 key = insn->modrm;

    key |= insn->has_modrm && insn->modrm < 0xc0 ? KEY_MEM : 0;
    key |= insn->rex & REX_W ? KEY_W : 0;
    key |= insn->rex & REX_B ? KEY_B : 0;
    key |= d->is64 ? KEY_64 : 0;
    if (insn->vex) {
        return key | by_pp[insn->vex_pp] | (insn->vex_l ? KEY_L : 0);
    }
    key |= insn->rep == 0xf2 ? KEY_F2 : insn->rep ? KEY_F3 : 0;
    key |= insn->prefix_66 ? KEY_66 : 0;
    return key;
}

/* Read ModRM where the opcode has one, and find the row. */
static enum insn_result decode_row(struct decoder *d, unsigned space)
{
    struct insn *insn = d->insn;
    const struct decode_slot *slot = &insn_decode_slots[space][insn->opcode];
    const u16 *candidate;
    unsigned count;
    u32 key;

    if (slot->flags & SLOT_MODRM) {
        if (d->at == d->limit) {
            return out_of_bytes(d);
        }
        insn->has_modrm = true;
        insn->modrm = d->bytes[d->at++];
        if (slot->flags & SLOT_BY_REG) {
            slot = &insn_decode_groups[slot->first + (insn->modrm >> 3 & 7)];
        }
    }
    key = decode_key(d);
    candidate = &insn_decode_candidates[slot->first];
    for (count = slot->count; count; count--, candidate++) {
        const struct decode_row *row = &insn_decode_rows[*candidate];
        if ((key & row->mask) == row->value) {
            insn->row = *candidate;
            insn->id = insn_rows[*candidate].id;
            return INSN_OK;
        }
    }
    return INSN_UNDEFINED;
}

/* Set operand and address size, and the column of insn_sizes[]. */
static inline void decode_sizes(struct decoder *d, const struct decode_row *row)
{
    struct insn *insn = d->insn;
    bool other = insn->prefix_66 && !(row->flags & ROW_66);
    unsigned osize; /* 0, 1, 2 for 2, 4, 8 bytes */

    if (d->is64) {
        osize = !other;
        if ((insn->rex & REX_W) || (row->flags & ROW_F64) || (!other && (row->flags & ROW_D64))) {
            osize = 2;
        }
        insn->address_size = insn->prefix_67 ? 4 : 8;
    } else {
        bool is32 = d->mode == INSN_MODE_32;
        osize = is32 != other;
        insn->address_size = is32 != insn->prefix_67 ? 4 : 2;
    }
    insn->operand_size = (u8)(2 << osize);
    d->column = (u8)(osize + 3 * insn->vex_l + (d->is64 ? 6 : 0));
}

/* What is wrong with the prefixes and registers for this row, before the bytes after ModRM. */
static inline bool prefixes_allowed(const struct decoder *d, const struct decode_row *row)
{
    const struct insn *insn = d->insn;

    if (insn->lock && (!(row->flags & ROW_LOCK) || insn->modrm >= 0xc0)) {
        return false;
    }
    if (insn->vex && !(row->flags & ROW_VVVV) && insn->vex_vvvv) {
        return false;
    }
    return !(row->flags & ROW_VSIB) || (insn->address_size != 2 && (insn->modrm & 7) == 4);
}

/* A gather's destination, index and mask must be three different registers. */
static bool gather_registers_differ(const struct insn *insn)
{
    u8 dest = insn->op[0].reg, index = insn->mem.index, mask = insn->op[2].reg;

    return dest != index && dest != mask && index != mask;
}

static enum insn_result decode(struct decoder *d)
{
    struct insn *insn = d->insn;
    const struct decode_row *row;
    enum insn_result result;
    unsigned space;

    if ((result = decode_prefixes(d)) || (result = decode_opcode(d, &space)) ||
        (result = decode_row(d, space))) {
        return result;
    }
    row = &insn_decode_rows[insn->row];
    decode_sizes(d, row);
    if (!prefixes_allowed(d, row)) {
        return INSN_UNDEFINED;
    }
    if (insn->has_modrm && insn->modrm < 0xc0 && !(row->flags & ROW_MODX)) {
        insn->mem.vsib = row->flags & ROW_VSIB;
        if (!decoder_mem(d)) {
            return out_of_bytes(d);
        }
    } else if (d->segment != NO_SEGMENT) {
        insn->mem.segment = d->segment;
    }
    insn->operands = row->operand_count;
    for (unsigned i = 0; i < row->operand_count; i++) {
        result = decoder_operand(d, &insn->op[i], &insn_operand_specs[row->operands[i]]);
        if (result) {
            return result;
        }
    }
    if (unlikely(insn->mem.vsib) && !gather_registers_differ(insn)) {
        return INSN_UNDEFINED;
    }
    return INSN_OK;
}

enum insn_result insn_decode(struct insn *insn, enum insn_mode mode, const u8 *bytes, size_t size)
{
    struct decoder d = {
        .insn = insn,
        .bytes = bytes,
        .limit = size < INSN_MAX_LENGTH ? (unsigned)size : INSN_MAX_LENGTH,
        .is64 = mode == INSN_MODE_64,
        .mode = (u8)mode,
        .segment = NO_SEGMENT,
    };
    enum insn_result result;

    *insn = (struct insn){
        .mem = {.base = MEM_NO_REG, .index = MEM_NO_REG, .segment = SEG_DS},
    };
    result = decode(&d);
    insn->length = (u8)d.at;
    if (!insn->imm_offset) {
        insn->imm_offset = insn->length;
    }
    memcpy(insn->bytes, bytes, d.at);
    return result;
}
