/*
 * thunk.c - generates and keeps thunks: see thunk.h.
 *
 * Registers in a thunk: rdi the memory operand, rsi the image, rax rcx rdx the guest's where they
 * are implicit operands, r8 r9 r10 for ModRM.reg, ModRM.rm and VEX.vvvv.  All are free in a C call.
 *
 * Intel SDM vol. 2A, "Instruction Format".
 */
#include "exec/interpret/thunk.h"

#include "base/string.h"
#include "cpu/fpu.h"
#include "isa/pkru.h"

#define CODE_MAX     96 /* bytes of one thunk */
#define CODE_ALIGN   16
#define RESERVE      1024 /* thunks that are kept for the ops of lines being built */
#define FIXUP_OFFSET 0    /* of the code that failures return by, in code[] */

static const u8 host_register[THUNK_GPRS] = {8, 9, 10, RAX, RCX, RDX};

struct emitter {
    u8 *at;
};

static void emit(struct emitter *e, unsigned byte)
{
    *e->at++ = (u8)byte;
}

static void emit_bytes(struct emitter *e, const void *bytes, size_t size)
{
    memcpy(e->at, bytes, size);
    e->at += size;
}

void thunk_cache_empty(struct thunk_cache *cache)
{
    static const u8 fixup[] = {0xb8, 0x00, 0x00, 0x00, 0x80, 0xc3}; /* mov eax, THUNK_FAILED; ret */
    cache->used = 0;
    cache->code_used = CODE_MAX;
    memset(cache->hash, 0, sizeof(cache->hash));
    memcpy(cache->code + FIXUP_OFFSET, fixup, sizeof(fixup));
}

void thunk_cache_init(struct thunk_cache *cache)
{
    thunk_cache_empty(cache);
}

bool thunk_cache_is_low(const struct thunk_cache *cache)
{
    return cache->used + RESERVE > THUNK_POOL ||
           cache->code_used + RESERVE * CODE_MAX > THUNK_CODE_BYTES;
}

u64 thunk_fixup(const struct thunk_cache *cache, u64 host_rip)
{
    u64 start = (u64)(uintptr_t)cache->code;
    return host_rip - start < THUNK_CODE_BYTES ? start + FIXUP_OFFSET : 0;
}

/* ------------------------------------------------------------------ normalizing */

/* REX or VEX.W chooses the size of a general register or of its memory form, and is ignored outside
 * 64-bit mode, where our thunk's W would not be. */
static bool w_is_gpr_size(const struct insn *insn, const struct thunk *wanted)
{
    if ((wanted->gpr_read | wanted->gpr_written) != 0 ||
        !(wanted->attributes & (ATTR_MMX | ATTR_SSE | ATTR_AVX))) {
        return true;
    }
    return (insn->map == 1 &&
            (insn->opcode == 0x6e || insn->opcode == 0x7e || insn->opcode == 0x2a)) ||
           (insn->map == 3 && (insn->opcode == 0x16 || insn->opcode == 0x22));
}

struct fields {
    unsigned r, x_b, w, vvvv; /* as bits, not inverted; x is always 0 */
    unsigned modrm;
};

static struct fields normalize_fields(const struct insn *insn, enum insn_mode mode,
                                      const struct thunk *wanted)
{
    unsigned gprs = wanted->gpr_read | wanted->gpr_written;
    unsigned rex = mode == INSN_MODE_64 ? insn->rex : insn->rex & 8u;
    struct fields f = {.r = rex >> 2 & 1,
                       .x_b = rex & 1,
                       .w = rex >> 3 & 1,
                       .vvvv = insn->vex_vvvv,
                       .modrm = insn->modrm};
    if (mode != INSN_MODE_64) {
        f.vvvv &= 7;
        f.w = f.w && !w_is_gpr_size(insn, wanted);
    }
    if (gprs & BIT(THUNK_R)) {
        f.modrm = (f.modrm & 0xc7) | (host_register[THUNK_R] & 7) << 3;
        f.r = 1;
    }
    if (f.modrm < 0xc0) {
        f.modrm = (f.modrm & 0x38) | RDI; /* [rdi] */
        f.x_b = 0;
    } else if (gprs & BIT(THUNK_B)) {
        f.modrm = (f.modrm & 0xf8) | (host_register[THUNK_B] & 7);
        f.x_b = 1;
    }
    if (gprs & BIT(THUNK_V)) {
        f.vvvv = host_register[THUNK_V];
    }
    return f;
}

static void emit_vex(struct emitter *e, const struct insn *insn, const struct fields *f)
{
    emit(e, 0xc4);
    emit(e, (f->r ? 0 : 0x80) | 0x40 | (f->x_b ? 0 : 0x20) | insn->map);
    emit(e, f->w << 7 | (~f->vvvv & 15) << 3 | (unsigned)!!insn->vex_l << 2 | insn->vex_pp);
}

static void emit_legacy_prefixes(struct emitter *e, const struct insn *insn, const struct fields *f,
                                 const struct thunk *wanted)
{
    bool vector = wanted->attributes & (ATTR_MMX | ATTR_SSE);
    bool x87 = wanted->attributes & ATTR_X87 && insn->map == 0;
    unsigned rex = f->w << 3 | f->r << 2 | f->x_b;
    /* 66 is a mandatory prefix of vector instructions (and of ADCX, opcode 0F 38 F6), but says the
     * operand size of integer ones, which a 16-bit code segment says without it. */
    bool mandatory = vector || (insn->map == 2 && insn->opcode == 0xf6);
    bool crc32 = insn->map == 2 && insn->rep == 0xf2;
    if (!x87 && (mandatory ? insn->prefix_66
                 : crc32   ? insn->op[1].size == 2
                           : insn->operand_size == 2)) {
        emit(e, 0x66);
    }
    if (!x87 && insn->rep) {
        emit(e, insn->rep);
    }
    if (rex && !x87) {
        emit(e, 0x40 | rex);
    }
    if (insn->map) {
        emit(e, 0x0f);
    }
    if (insn->map > 1) {
        emit(e, insn->map == 2 ? 0x38 : 0x3a);
    }
}

/* The bytes after ModRM.  One that names a register has a bit too many outside 64-bit mode. */
static void emit_immediate(struct emitter *e, const struct insn *insn, enum insn_mode mode)
{
    unsigned size = (unsigned)(insn->length - insn->imm_offset);
    bool names_register = insn->vex && insn->operands == 4 && insn->op[3].kind == OPERAND_REG;

    emit_bytes(e, insn->bytes + insn->imm_offset, size);
    if (names_register && mode != INSN_MODE_64) {
        e->at[-1] &= 0x7f;
    }
}

/* The instruction as a thunk holds it. */
static void emit_instruction(struct emitter *e, const struct insn *insn, enum insn_mode mode,
                             const struct thunk *wanted)
{
    struct fields f = normalize_fields(insn, mode, wanted);
    if (insn->vex) {
        emit_vex(e, insn, &f);
    } else {
        emit_legacy_prefixes(e, insn, &f, wanted);
    }
    emit(e, insn->opcode);
    if (insn->has_modrm) {
        emit(e, f.modrm);
    }
    if (insn->imm_offset < insn->length) {
        emit_immediate(e, insn, mode);
    }
}

/* ------------------------------------------------------------------ generating */

static void emit_gprs(struct emitter *e, unsigned opcode, unsigned mask)
{
    for (unsigned i = 0; i < THUNK_GPRS; i++) {
        if (mask & BIT(i)) { /* mov reg, [rsi + 8 * i] or mov [rsi + 8 * i], reg */
            unsigned reg = host_register[i];
            emit(e, 0x48 | reg >> 3 << 2);
            emit(e, opcode);
            emit(e, 0x40 | (reg & 7) << 3 | RSI);
            emit(e, 8 * i);
        }
    }
}

/* Guest code that the host's CPU runs could jump to any byte of a thunk, so none holds an
 * instruction that changes PKRU (vm/cpu_gate.h).  No instruction of thunks is known that would; if
 * there were one it would be #UD.  INT3 in the gaps, so that nothing of former thunks goes on
 * there. */
static size_t generate(u8 *code, const struct thunk *wanted, const u8 *instruction, size_t size)
{
    /* mov rax, [rsi + flags]; add al, 127 (which overflows if it was 1); sahf */
    static const u8 flags_in[] = {0x48, 0x8b, 0x46, offsetof(struct thunk_image, flags),
                                  0x04, 0x7f, 0x9e};
    static const u8 flags_out[] = {0x9f, 0x0f, 0x90, 0xc0, 0x0f, 0xb7, 0xc0, 0xc3};
    static const u8 no_flags[] = {0x31, 0xc0, 0xc3}; /* xor eax, eax; ret */
    static const u8 undefined[] = {0x0f, 0x0b};
    struct emitter e = {code};
    if (wanted->flags_read) {
        emit_bytes(&e, flags_in, sizeof(flags_in));
    }
    emit_gprs(&e, 0x8b, wanted->gpr_read);
    emit_bytes(&e, instruction, size);
    emit_gprs(&e, 0x89, wanted->gpr_written);
    if (wanted->flags_written) {
        emit_bytes(&e, flags_out, sizeof(flags_out));
    } else {
        emit_bytes(&e, no_flags, sizeof(no_flags));
    }
    while ((e.at - code) % CODE_ALIGN) {
        emit(&e, 0xcc);
    }
    size = (size_t)(e.at - code);
    if (pkru_is_changed_in(code, size)) {
        memcpy(code, undefined, sizeof(undefined));
        memset(code + sizeof(undefined), 0xcc, size - sizeof(undefined));
    }
    return size;
}

static u32 *hash_slot(struct thunk_cache *cache, const u64 key[2])
{
    u64 h = (key[0] ^ key[1] * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
    return &cache->hash[h >> 32 & (THUNK_HASH - 1)];
}

const struct thunk *thunk_find(struct thunk_cache *cache, const struct insn *insn,
                               enum insn_mode mode, const struct thunk *wanted)
{
    union {
        u8 bytes[32];
        u64 key[4];
    } instruction = {{0}};
    struct emitter e = {instruction.bytes};
    emit_instruction(&e, insn, mode, wanted);
    size_t size = (size_t)(e.at - instruction.bytes);
    u32 *slot = hash_slot(cache, instruction.key);
    for (u32 i = *slot; i; i = cache->thunks[i - 1].next) {
        struct thunk *t = &cache->thunks[i - 1];
        if (t->key[0] == instruction.key[0] && t->key[1] == instruction.key[1]) {
            return t;
        }
    }
    if (cache->used == THUNK_POOL || cache->code_used + CODE_MAX > THUNK_CODE_BYTES || size > 16) {
        return NULL;
    }
    struct thunk *t = &cache->thunks[cache->used++];
    u8 *code = cache->code + cache->code_used;
    *t = *wanted;
    memcpy(t->key, instruction.key, sizeof(t->key));
    t->next = *slot;
    *slot = cache->used;
    t->code = (thunk_code *)(uintptr_t)code;
    size_t length = generate(code, wanted, instruction.bytes, size);
    cache->code_used += (u32)length;
    return t;
}

u32 thunk_run_apart(struct cpu *cpu, const struct thunk *thunk, void *memory,
                    struct thunk_image *image)
{
    struct fpu_host host;
    if (!(thunk->attributes & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX))) {
        return thunk->code(memory, image);
    }
    fpu_host_save(&host);
    fpu_load(cpu);
    u32 result = thunk->code(memory, image);
    fpu_save(cpu);
    fpu_host_restore(&host);
    return result;
}
