/*
 * sensitive.c - pages that the host's CPU must not run itself.
 *
 * Two reasons, and two degrees of care.
 *
 *   Resource control.  WRPKRU and XRSTOR open what protection keys keep shut.  Their bytes may
 *   stand anywhere in a page, in an immediate or across two instructions: wherever they are, guest
 *   code could jump there.  So every offset counts.
 *
 *   Equivalence.  Some instructions that do not trap see the host instead of the guest: Popek and
 *   Goldberg's user-sensitive, unprivileged ones.  A guest that jumps into the middle of an
 *   instruction to find one only deceives itself; so they count where an instruction begins.  x86
 *   code has no marks for that, but falls into step with itself: of 16 decodings that start at
 *   different bytes before a place, most agree after a few instructions.
 */
#include "base/string.h"
#include "exec/direct/direct.h"
#include "isa/pkru.h"

/* ------------------------------------------------------------------ resource control */

bool sensitive_holds_pkru(const u8 *page)
{
    return pkru_is_changed_in(page, PAGE_SIZE);
}

bool sensitive_joins_pkru(const u8 *page, const u8 *next)
{
    const u8 *end = page + PAGE_SIZE;

    return pkru_is_changed_by(end[-2], end[-1], next[0]) ||
           pkru_is_changed_by(end[-1], next[0], next[1]);
}

/* ------------------------------------------------------------------ equivalence */

/* Instructions of user code that do not trap, and whose result tells of the host.  That PUSHF, MOV
 * from segment registers and the like do the same on both, direct_can_run() has seen to. */
static bool tells_of_host(const struct insn *insn, enum insn_mode mode, bool cpuid_faults)
{
    switch ((enum insn_id)insn->id) {
    case INSN_MOV_SEG: /* FS and GS of 32-bit threads: the host has other selectors for them */
        return mode == INSN_MODE_32 && insn->opcode == 0x8c && (insn->modrm >> 3 & 7) >= 4;
    case INSN_PUSH_SEG:
        return mode == INSN_MODE_32 && insn->map == 1;
    case INSN_CPUID:
        return !cpuid_faults;
    case INSN_RDTSCP: /* IA32_TSC_AUX */
    case INSN_RDPID:
    case INSN_XGETBV: /* XCR0, and what depends on it */
    case INSN_XSAVE:
    case INSN_XSAVEC:
    case INSN_XSAVEOPT:
    case INSN_XRSTOR:
    case INSN_RDPKRU: /* not offered to guests: #UD */
    case INSN_WRPKRU:
    case INSN_VMCALL:
    case INSN_VMMCALL: /* would ask the host's own hypervisor */
    case INSN_SGDT:    /* without UMIP, or where the host's kernel answers for it */
    case INSN_SIDT:
    case INSN_SLDT:
    case INSN_STR:
    case INSN_SMSW:
    case INSN_LAR: /* the host's descriptors */
    case INSN_LSL:
    case INSN_VERR:
    case INSN_VERW:
    case INSN_SYSENTER: /* does not say where it was */
        return true;
    default:
        return false;
    }
}

/* The second byte of every such instruction, after 0F; and the one that has no 0F. */
static bool may_tell(u8 first, u8 second, enum insn_mode mode)
{
    if (first != 0x0f) {
        return mode == INSN_MODE_32 && first == 0x8c && (second >> 3 & 7) >= 4;
    }
    switch (second) {
    case 0x00: /* SLDT STR VERR VERW */
    case 0x01: /* SGDT SIDT SMSW XGETBV RDTSCP RDPKRU WRPKRU VMCALL VMMCALL */
    case 0x02: /* LAR */
    case 0x03: /* LSL */
    case 0x34: /* SYSENTER */
    case 0xa2: /* CPUID */
    case 0xae: /* XSAVE XRSTOR XSAVEOPT */
    case 0xc7: /* XSAVEC RDPID */
        return true;
    case 0xa0: /* PUSH FS, PUSH GS */
    case 0xa8:
        return mode == INSN_MODE_32;
    default:
        return false;
    }
}

#define SWEEPS     16u /* decodings that start at neighbouring bytes */
#define SWEEP_BACK 48u /* so far before the place */

/* What our decoder does not know: an EVEX prefix of 4 bytes, opcode and ModRM, at least, of the
 * AVX-512 that libraries hold for other CPUs; else data, or the middle of something. */
static unsigned unknown_length(const u8 *bytes, enum insn_mode mode)
{
    return bytes[0] == 0x62 && mode == INSN_MODE_64 ? 6 : 1;
}

/* Decode from start on: does an instruction have its first opcode byte at place, and tell of the
 * host? */
static bool sweep_finds(const struct sensitive_window *w, unsigned start, unsigned place)
{
    while (start <= place) {
        struct insn insn;
        if (insn_decode(&insn, w->mode, w->bytes + start, sizeof(w->bytes) - start) != INSN_OK) {
            start += unknown_length(w->bytes + start, w->mode);
            continue;
        }
        if (start + insn.length > place) {
            return start + insn.opcode_offset - (insn.map == 1) == place &&
                   tells_of_host(&insn, w->mode, w->cpuid_faults);
        }
        start += insn.length;
    }
    return false;
}

/* Programs hardly ever have SLDT, SGDT, LAR and their like, while 0F 00 to 0F 03 are often a part
 * of some displacement: all sweeps must agree. */
static bool is_rare(u8 second)
{
    return second <= 0x03 && second != 0x01;
}

static bool is_likely(const struct sensitive_window *w, unsigned place)
{
    unsigned found = 0;

    if (!sweep_finds(w, place, place) && !sweep_finds(w, place - 1, place)) {
        return false; /* not even if an instruction, or its last prefix, began here */
    }
    for (unsigned i = 0; i < SWEEPS; i++) {
        found += sweep_finds(w, place - SWEEP_BACK + i, place);
    }
    bool rare = w->bytes[place] == 0x0f && is_rare(w->bytes[place + 1]);
    return found >= (rare ? SWEEPS : SWEEPS / 2);
}

bool sensitive_holds_instruction(const struct sensitive_window *w)
{
    for (unsigned i = SENSITIVE_BEFORE; i < sizeof(w->bytes) - 1; i++) {
        if (may_tell(w->bytes[i], w->bytes[i + 1], w->mode) && is_likely(w, i)) {
            return true;
        }
    }
    return false;
}
