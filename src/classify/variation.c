/*
 * variation.c - which pieces of mode and resources are varied, and which are watched.
 *
 * Each variation leaves everything that a program may see unchanged, if the instruction under test
 * does not look at the piece itself: tables and frames that move are copied along.
 */
#include <stddef.h>

#include "base/string.h"
#include "classify/state.h"
#include "isa/segment.h"

#define FIELD(name) offsetof(struct machine_state, name)
#define EDIT(name, x)                                             \
    {                                                             \
        FIELD(name), sizeof(((struct machine_state *)0)->name), x \
    }
#define TABLE(offset, x)                      \
    {                                         \
        (u16)(FIELD(tables) + (offset)), 8, x \
    }

#define GDT(selector, x) TABLE(GDT_A + (selector), x), TABLE(GDT_B + (selector), x)

/* Attributes and limit of a descriptor, as a change of its 8 bytes. */
#define DESCRIPTOR_DPL   ((u64)SEGMENT_DPL << 40)
#define DESCRIPTOR_LIMIT 0x0ff0ull

/* How a VMM sets what guards instructions: IOPL is 0 already; RDTSC and RDPMC trap. */
#define GUARDS (CR4_TSD | CR4_PCE)

const struct variation variations[] = {
    {"CPL", VARY_MODE, {{0}}},
    {"guards", VARY_GUARD, {EDIT(cr4, GUARDS)}},
    {"guards and UMIP", VARY_GUARD, {EDIT(cr4, GUARDS | CR4_UMIP)}},
    {"IOPL", VARY_MODE, {EDIT(rflags, RFLAGS_IOPL)}},
    {"IOPL and IF", VARY_MODE, {EDIT(rflags, RFLAGS_IOPL | RFLAGS_IF)}},
    {"gates", VARY_LOCATION, {{0}}},
    {"IF", VARY_MODE, {EDIT(rflags, RFLAGS_IF)}},
    {"GDTR base", VARY_LOCATION, {EDIT(gdtr.base, GDT_A ^ GDT_B)}},
    {"GDTR limit", VARY_LOCATION, {EDIT(gdtr.limit, GDT_LIMIT ^ (GDT_LIMIT + 8))}},
    {"DPL in the GDT", VARY_LOCATION, {GDT(SEL_PROBE, DESCRIPTOR_DPL)}},
    {"limit in the GDT", VARY_LOCATION, {GDT(SEL_PROBE, DESCRIPTOR_LIMIT)}},
    {"IDTR base", VARY_LOCATION, {EDIT(idtr.base, IDT_A ^ IDT_B)}},
    {"IDTR limit", VARY_LOCATION, {EDIT(idtr.limit, 0x100)}},
    {"LDTR", VARY_LOCATION, {EDIT(seg[SEG_LDTR].selector, SEL_LDT ^ SEL_LDT_B)}},
    {"TR",
     VARY_LOCATION,
     {EDIT(seg[SEG_TR].selector, SEL_TSS ^ SEL_TSS_B), EDIT(seg[SEG_TR].base, TSS_A ^ TSS_B)}},
    {"CR0.MP", VARY_LOCATION, {EDIT(cr0, CR0_MP)}},
    {"CR0.EM", VARY_ALONE, {EDIT(cr0, CR0_EM)}},
    {"CR0.TS", VARY_ALONE, {EDIT(cr0, CR0_TS)}},
    {"CR0.WP", VARY_LOCATION, {EDIT(cr0, CR0_WP)}},
    {"CR0.AM", VARY_LOCATION, {EDIT(cr0, CR0_AM)}},
    {"CR0.CD", VARY_LOCATION, {EDIT(cr0, CR0_CD)}},
    {"CR2", VARY_LOCATION, {EDIT(cr2, 0x1000)}},
    {"CR3", VARY_ALONE, {EDIT(cr3, CR3_A ^ CR3_B)}},
    {"frames", VARY_LOCATION, {EDIT(cr3, CR3_A ^ CR3_C)}},
    {"CR4.TSD", VARY_LOCATION, {EDIT(cr4, CR4_TSD)}},
    {"CR4.PCE", VARY_LOCATION, {EDIT(cr4, CR4_PCE)}},
    {"CR4.UMIP", VARY_LOCATION, {EDIT(cr4, CR4_UMIP)}},
    {"CR4.DE", VARY_LOCATION, {EDIT(cr4, CR4_DE)}},
    {"CR4.PGE", VARY_LOCATION, {EDIT(cr4, CR4_PGE)}},
    {"CR4.OSFXSR", VARY_ALONE, {EDIT(cr4, CR4_OSFXSR)}},
    {"CR4.OSXSAVE", VARY_ALONE, {EDIT(cr4, CR4_OSXSAVE)}},
    {"CR4.FSGSBASE", VARY_LOCATION, {EDIT(cr4, CR4_FSGSBASE)}},
    {"CR8", VARY_LOCATION, {EDIT(lapic.tpr, 0x30)}},
    {"EFER.SCE", VARY_LOCATION, {EDIT(efer, EFER_SCE)}},
    {"XCR0.AVX", VARY_ALONE, {EDIT(xcr0, XCR0_AVX)}},
    {"DR0 to DR6", VARY_LOCATION, {EDIT(dr[0], 0x1234), EDIT(dr[3], 0x5678), EDIT(dr[6], 1)}},
    {"DR7", VARY_LOCATION, {EDIT(dr[7], 1ull << 18)}},
    {"TSC", VARY_LOCATION, {EDIT(msr.tsc_adjust, 0x123456)}},
    {"MSR TSC_AUX", VARY_LOCATION, {EDIT(msr.tsc_aux, 7)}},
    {"MSRs of SYSENTER", VARY_LOCATION, {EDIT(msr.sysenter_eip, 64), EDIT(msr.sysenter_esp, 64)}},
    {"MSRs of SYSCALL",
     VARY_LOCATION,
     {EDIT(msr.lstar, 64), EDIT(msr.cstar, 64), EDIT(msr.sfmask, RFLAGS_DF)}},
    {"MSR KERNEL_GS_BASE", VARY_LOCATION, {EDIT(msr.kernel_gs_base, 0x1000)}},
    {"MSRs of PAT and MTRRs", VARY_LOCATION, {EDIT(msr.pat, 1), EDIT(msr.mtrr_physical[0], 6)}},
    {"FS base", VARY_LOCATION, {EDIT(seg[SEG_FS].base, 0x40)}},
    {"GS base", VARY_LOCATION, {EDIT(seg[SEG_GS].base, 0x40)}},
    {"devices", VARY_LOCATION, {EDIT(device, 0x5a5a5a5a5a5a5a5a)}},
};
const unsigned variation_count = ARRAY_SIZE(variations);
_Static_assert(ARRAY_SIZE(variations) <= 64, "a bit each in an u64");

/* All gates lead elsewhere. */
static void move_gates(struct machine_state *state)
{
    const unsigned size = state->efer & EFER_LMA ? 16 : 8;

    for (unsigned at = 0; at < IDT_BYTES; at += size) {
        state->tables[IDT_A + at] ^= 8;
        state->tables[IDT_B + at] ^= 8;
    }
    state->tables[GDT_A + SEL_GATE] ^= 8;
    state->tables[GDT_B + SEL_GATE] ^= 8;
}

void variation_apply(const struct variation *variation, struct machine_state *state)
{
    if (variation == &variations[VARY_GATES]) {
        move_gates(state);
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(variation->edits); i++) {
        const struct edit *edit = &variation->edits[i];
        u64 value = 0;
        memcpy(&value, (u8 *)state + edit->offset, edit->size);
        value ^= edit->change;
        memcpy((u8 *)state + edit->offset, &value, edit->size);
    }
}

void variation_apply_together(struct machine_state *state)
{
    for (unsigned i = 0; i < variation_count; i++) {
        if (variations[i].kind == VARY_LOCATION) {
            variation_apply(&variations[i], state);
        }
    }
}

/* ------------------------------------------------------------------ pieces */

#define RANGE(first, last) \
    FIELD(first), (u16)(FIELD(last) + sizeof(((struct machine_state *)0)->last) - FIELD(first))
#define WHOLE(name) RANGE(name, name)

const struct piece pieces[] = {
    {"CPL", WHOLE(cpl), 0},
    {"IF", WHOLE(rflags), RFLAGS_IF},
    {"IOPL", WHOLE(rflags), RFLAGS_IOPL},
    {"VM VIF VIP", WHOLE(rflags), RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP},
    {"ES", WHOLE(seg[SEG_ES]), 0},
    {"CS", WHOLE(seg[SEG_CS]), 0},
    {"SS", WHOLE(seg[SEG_SS]), 0},
    {"DS", WHOLE(seg[SEG_DS]), 0},
    {"FS", WHOLE(seg[SEG_FS]), 0},
    {"GS", WHOLE(seg[SEG_GS]), 0},
    {"LDTR", WHOLE(seg[SEG_LDTR]), 0},
    {"TR", WHOLE(seg[SEG_TR]), 0},
    {"GDTR", RANGE(gdtr.base, gdtr.limit), 0},
    {"IDTR", RANGE(idtr.base, idtr.limit), 0},
    {"system tables", WHOLE(tables), 0},
    {"CR0", WHOLE(cr0), 0},
    {"CR2", WHOLE(cr2), 0},
    {"CR3", WHOLE(cr3), 0},
    {"CR4", WHOLE(cr4), 0},
    {"EFER", WHOLE(efer), 0},
    {"XCR0", WHOLE(xcr0), 0},
    {"debug registers", WHOLE(dr), 0},
    {"MSRs", WHOLE(msr), 0},
    {"local APIC", WHOLE(lapic), 0},
    {"TLB", WHOLE(translation), 0},
    {"activity", WHOLE(activity), 0},
    {"devices", WHOLE(device), 0},
};
const unsigned piece_count = ARRAY_SIZE(pieces);
_Static_assert(ARRAY_SIZE(pieces) <= 64, "a bit each in an u64");

static bool piece_differs(const struct piece *piece, const void *before, const void *after)
{
    const u8 *a = (const u8 *)before + piece->offset, *b = (const u8 *)after + piece->offset;
    u32 first, second;

    if (!piece->mask) {
        return memcmp(a, b, piece->size) != 0;
    }
    memcpy(&first, a, sizeof(first));
    memcpy(&second, b, sizeof(second));
    return (first ^ second) & piece->mask;
}

u64 pieces_changed(const struct machine_state *before, const struct machine_state *after)
{
    u64 changed = 0;

    for (unsigned i = 0; i < piece_count; i++) {
        changed |= piece_differs(&pieces[i], before, after) ? BIT(i) : 0;
    }
    return changed;
}
