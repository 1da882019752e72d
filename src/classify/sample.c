/* sample.c - see sample.h. */
#include "classify/sample.h"

#include "base/string.h"
#include "isa/msr.h"

u64 chance_u64(struct chance *chance)
{
    chance->state ^= chance->state << 13;
    chance->state ^= chance->state >> 7;
    chance->state ^= chance->state << 17;
    return chance->state * 0x2545f4914f6cdd1dull;
}

u64 chance_below(struct chance *chance, u64 limit)
{
    return (chance_u64(chance) >> 11) % limit;
}

enum insn_mode sample_mode(enum code_kind kind)
{
    return kind == CODE_64 ? INSN_MODE_64 : INSN_MODE_32;
}

/* ------------------------------------------------------------------ values */

static u64 a_small_number(struct chance *c)
{
    return chance_below(c, 1 + chance_below(c, 8)); /* 0 and 1 most often */
}

static u64 a_selector(struct chance *c)
{
    static const u16 ours[] = {
        SEL_CODE0, SEL_CODE0,  SEL_CODE0,     SEL_DATA0,  SEL_DATA0, SEL_DATA0, SEL_CODE3_32,
        SEL_DATA3, SEL_CODE3,  SEL_DATA3_B,   SEL_TSS,    SEL_LDT,   SEL_TSS_B, SEL_CONFORMING,
        SEL_LDT_B, SEL_PROBE,  SEL_PROBE,     SEL_PROBE,  SEL_PROBE, SEL_PROBE, SEL_PROBE,
        SEL_GATE,  SEL_ABSENT, SEL_READ_ONLY, SEL_BEYOND, SEL_LOCAL, 0,
    };
    u64 selector = ours[chance_below(c, ARRAY_SIZE(ours))];
    return selector | (chance_below(c, 2) ? 3 : 0);
}

static u64 a_code_selector(struct chance *c)
{
    static const u16 some[] = {SEL_CODE3 | 3, SEL_CODE3 | 3,      SEL_CODE3_32 | 3, SEL_CODE0,
                               SEL_GATE | 3,  SEL_CONFORMING | 3, SEL_CODE0,        SEL_CONFORMING};
    return some[chance_below(c, ARRAY_SIZE(some))];
}

static u64 a_stack_selector(struct chance *c)
{
    static const u16 some[] = {SEL_DATA3 | 3, SEL_DATA3_B | 3, SEL_DATA0};
    return some[chance_below(c, ARRAY_SIZE(some))];
}

static u64 a_data_pointer(struct chance *c)
{
    return DATA + 64 * (1 + chance_below(c, DATA_BYTES / 128 - 2));
}

static u64 a_code_pointer(struct chance *c)
{
    return CODE + 64 + chance_below(c, PAGE_SIZE - 128);
}

static u64 a_msr(struct chance *c)
{
    static const u32 some[] = {
        MSR_IA32_EFER,        MSR_STAR,           MSR_LSTAR,
        MSR_SFMASK,           MSR_FS_BASE,        MSR_GS_BASE,
        MSR_KERNEL_GS_BASE,   MSR_TSC_AUX,        MSR_IA32_TSC_ADJUST,
        MSR_IA32_SYSENTER_CS, MSR_IA32_APIC_BASE, MSR_IA32_PAT,
    };
    return some[chance_below(c, ARRAY_SIZE(some))];
}

/* What control registers and EFER can hold. */
static u64 a_control_value(struct chance *c, const struct machine_state *usual)
{
    switch (chance_below(c, 6)) {
    case 0:
        return usual->cr0 ^ CR0_TS;
    case 1:
        return usual->cr0 & ~CR0_WP;
    case 2:
        return CR3_B;
    case 3:
        return usual->cr4 ^ CR4_TSD;
    case 4:
        return usual->efer;
    default:
        return chance_below(c, 16);
    }
}

/* As POPF finds them. */
static u64 a_flags_image(struct chance *c)
{
    u64 image =
        chance_u64(c) & (RFLAGS_ARITHMETIC | RFLAGS_DF | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_ID);
    return image | RFLAGS_FIXED;
}

static u64 a_value(struct chance *c, const struct machine_state *usual)
{
    switch (chance_below(c, 9)) {
    case 0:
    case 1:
        return a_small_number(c);
    case 2:
        return a_selector(c);
    case 3:
        return a_data_pointer(c);
    case 4:
        return a_code_pointer(c);
    case 5:
        return a_msr(c);
    case 6:
        return a_control_value(c, usual);
    case 7:
        return a_flags_image(c);
    default:
        return chance_u64(c);
    }
}

/* ------------------------------------------------------------------ memory */

static void put(u8 *at, u64 value, unsigned size)
{
    memcpy(at, &value, size);
}

/* Frames and structures at `at`, 64 bytes: what the instruction finds at rSP, or at its operand.
 * size is that of each piece of a frame. */
static void fill_place(u8 *at, unsigned size, struct chance *c, const struct machine_state *usual)
{
    switch (chance_below(c, 7)) {
    case 0: /* interrupt frame: rIP, CS, RFLAGS, rSP, SS */
        put(at, a_code_pointer(c), size);
        put(at + size, a_code_selector(c), size);
        put(at + 2 * size, a_flags_image(c), size);
        put(at + 3 * size, a_data_pointer(c), size);
        put(at + 4 * size, a_stack_selector(c), size);
        break;
    case 1: /* far return to an outer level: rIP, CS, rSP, SS; a far pointer */
        put(at, a_code_pointer(c), size);
        put(at + size, a_code_selector(c), size);
        put(at + 2 * size, a_data_pointer(c), size);
        put(at + 3 * size, a_stack_selector(c), size);
        break;
    case 2: /* a far pointer to data; a selector */
        put(at, chance_below(c, 2) ? a_stack_selector(c) : a_data_pointer(c), 8);
        put(at + size, chance_below(c, 2) ? a_stack_selector(c) : a_selector(c), 2);
        break;
    case 3: /* a pseudo-descriptor */
        put(at, GDT_LIMIT, 2);
        put(at + 2, usual->gdtr.base ^ (chance_below(c, 2) ? GDT_B : 0), 8);
        break;
    case 4:
        put(at, a_flags_image(c), 8);
        break;
    case 5:
        memset(at, 0, 64);
        put(at, chance_below(c, 4), 1);
        break;
    default:
        for (unsigned i = 0; i < 64; i += 8) {
            put(at + i, a_value(c, usual), 8);
        }
        break;
    }
}

static void fill_fpu(struct fpu_area *fpu, struct chance *c)
{
    *fpu = (struct fpu_area){.fcw = 0x037f, .ftw = 0xff, .mxcsr = MXCSR_RESET};
    fpu->mxcsr_mask = 0xffff;
    fpu->xstate_bv = FPU_COMPONENTS;
    for (unsigned i = 0; i < 8; i++) { /* numbers near 1 */
        put(fpu->st[i], chance_u64(c) | BIT(63), 8);
        put(fpu->st[i] + 8, 0x3fff + chance_below(c, 4), 2);
    }
    for (unsigned i = 0; i < 16; i++) { /* small numbers: a gather's index is one of these */
        for (unsigned k = 0; k < 16; k += 8) {
            put(fpu->xmm[i] + k, chance_below(c, 64), 8);
            put(fpu->ymm_high[i] + k, chance_below(c, 64), 8);
        }
    }
}

/* ------------------------------------------------------------------ registers */

static void fill_registers(struct sample *s, enum code_kind kind, struct chance *c,
                           const struct machine_state *usual)
{
    bool plain = chance_below(c, 3) == 0; /* as WRMSR, XSETBV and their like want them */

    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = a_value(c, usual);
    }
    if (plain) {
        s->gpr[RAX] = chance_below(c, 2) ? a_small_number(c) : a_control_value(c, usual);
        s->gpr[RCX] = chance_below(c, 2) ? 0 : a_msr(c);
        s->gpr[RDX] = 0;
    }
    s->gpr[RBX] = a_data_pointer(c); /* insn_example()'s base */
    if (chance_below(c, 4)) {
        s->gpr[RSI] = a_data_pointer(c);
        s->gpr[RDI] = a_data_pointer(c);
        s->gpr[RBP] = STACK + 128;
    }
    s->gpr[RSP] = STACK;
    for (unsigned i = 0; i < 16 && kind == CODE_32; i++) {
        s->gpr[i] = i < 8 ? (u32)s->gpr[i] : 0;
    }
    s->flags = (u32)chance_u64(c) & (RFLAGS_ARITHMETIC | RFLAGS_ID);
    s->flags |= chance_below(c, 8) ? 0 : RFLAGS_DF;
    s->flags |= chance_below(c, 32) ? 0 : RFLAGS_NT;
}

/* Selectors everywhere but in the registers that point to memory. */
static void fill_selectors(struct sample *s, struct chance *c)
{
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = i == RSP || i == RBX ? s->gpr[i] : a_selector(c);
    }
    for (unsigned i = 0; i < DATA_BYTES; i += 64) {
        put(s->memory.data + i, a_selector(c), 2);
    }
}

/* What follows opcode and ModRM: a displacement, an immediate, a far pointer. */
static void fill_tail(u8 *bytes, struct chance *c)
{
    for (unsigned i = 0; i < INSN_MAX_LENGTH; i++) {
        bytes[i] = (u8)(chance_u64(c) >> 40);
    }
}

/* Immediates that the random ones never are. */
static void tame_tail(struct sample *s, enum code_kind kind, struct chance *c)
{
    u8 *at = s->memory.code + s->insn.imm_offset;
    unsigned room = s->insn.length - s->insn.imm_offset;

    if (s->insn.op[0].kind == OPERAND_FAR) {
        put(at, a_code_pointer(c), room - 2);
        put(at + room - 2, a_code_selector(c), 2);
    } else if (!s->insn.has_modrm && s->insn.mem.base == MEM_NO_REG && s->insn.mem.disp) {
        put(s->memory.code + s->insn.opcode_offset + 1, a_data_pointer(c), s->insn.address_size);
    } else if (room == 1 && chance_below(c, 2)) {
        *at = (u8)chance_below(c, 16);
    } else if (room == 2 && chance_below(c, 2)) {
        put(at, a_small_number(c), 2);
    }
    insn_decode(&s->insn, sample_mode(kind), s->memory.code, INSN_MAX_LENGTH);
}

bool sample_make(struct sample *s, unsigned row, enum code_kind kind, struct chance *c)
{
    static const u8 sizes[] = {2, 4, 8};
    struct machine_state usual = {0};

    fill_tail(s->memory.code, c);
    if (!insn_example(&s->insn, row, sample_mode(kind), chance_u64(c), s->memory.code)) {
        return false;
    }
    tame_tail(s, kind, c);
    state_usual(&usual, kind, 3, 0);
    fill_registers(s, kind, c, &usual);
    for (unsigned i = 0; i < DATA_BYTES; i += 64) {
        fill_place(s->memory.data + i, s->insn.operand_size, c, &usual);
    }
    fill_place(s->memory.data + (STACK - DATA), sizes[chance_below(c, 3)], c, &usual);
    if (chance_below(c, 2)) {
        fill_place(s->memory.data + (STACK - DATA), s->insn.operand_size, c, &usual);
    }
    if (chance_below(c, 3) == 0) {
        fill_selectors(s, c);
    }
    fill_fpu(&s->memory.fpu, c);
    return true;
}
