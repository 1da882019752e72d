/* usual.c - the state that all variations start from: a small operating system's. */
#include "base/string.h"
#include "classify/state.h"
#include "isa/msr.h"
#include "isa/segment.h"

#define CODE_TYPE (SEGMENT_S | SEGMENT_TYPE_CODE | SEGMENT_TYPE_READABLE | SEGMENT_TYPE_ACCESSED)
#define DATA_TYPE (SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED)
#define FLAT      (SEGMENT_P | SEGMENT_G | SEGMENT_DB)
#define LONG_CODE (SEGMENT_P | SEGMENT_G | SEGMENT_L)
#define USER      SEGMENT_DPL
#define IDT_GATES 64u

u64 state_system_base(enum code_kind kind)
{
    return kind == CODE_64 ? 0xffff800000000000ull : 0xc0000000ull;
}

static u64 system_address(enum code_kind kind, u64 gpa)
{
    return state_system_base(kind) + gpa;
}

/* ------------------------------------------------------------------ descriptors */

static void put(u8 *at, u64 value, unsigned size)
{
    memcpy(at, &value, size);
}

/* limit in pages with SEGMENT_G, else in bytes. */
static void put_descriptor(u8 *at, u64 base, u32 limit, u32 attributes)
{
    put(at,
        (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)attributes << 40 |
            (u64)(limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56,
        8);
}

static void put_system(u8 *at, u64 base, u32 limit, u32 type, enum code_kind kind)
{
    put_descriptor(at, base, limit, SEGMENT_P | type);
    if (kind == CODE_64) {
        put(at + 8, base >> 32, 8);
    }
}

/* A gate to CPL 0. */
static void put_gate(u8 *at, u64 offset, u32 attributes, enum code_kind kind)
{
    put(at,
        (offset & 0xffff) | (u64)SEL_CODE0 << 16 | (u64)attributes << 40 |
            (offset >> 16 & 0xffff) << 48,
        8);
    if (kind == CODE_64) {
        put(at + 8, offset >> 32, 8);
    }
}

static void fill_gdt(u8 *gdt, enum code_kind kind)
{
    const u64 tables = system_address(kind, TABLES_GPA);
    const u32 own = kind == CODE_64 ? LONG_CODE : FLAT;

    put_descriptor(gdt + SEL_CODE0, 0, 0xfffff, own | CODE_TYPE);
    put_descriptor(gdt + SEL_DATA0, 0, 0xfffff, FLAT | DATA_TYPE);
    put_descriptor(gdt + SEL_CODE3_32, 0, 0xfffff, FLAT | CODE_TYPE | USER);
    put_descriptor(gdt + SEL_DATA3, 0, 0xfffff, FLAT | DATA_TYPE | USER);
    put_descriptor(gdt + SEL_CODE3, 0, 0xfffff, own | CODE_TYPE | USER);
    put_descriptor(gdt + SEL_DATA3_B, 0, 0xfffff, FLAT | DATA_TYPE | USER);
    put_descriptor(gdt + SEL_CONFORMING, 0, 0xfffff, own | CODE_TYPE | SEGMENT_TYPE_CONFORMING);
    put_system(gdt + SEL_TSS, tables + TSS_A, TSS_BYTES - 1, SYSTEM_TSS_BUSY, kind);
    put_system(gdt + SEL_LDT, tables + LDT_A, LDT_BYTES - 1, SYSTEM_LDT, kind);
    put_system(gdt + SEL_TSS_B, tables + TSS_B, TSS_BYTES - 1, SYSTEM_TSS, kind);
    put_system(gdt + SEL_LDT_B, tables + LDT_A, LDT_BYTES - 1, SYSTEM_LDT, kind);
    put_descriptor(gdt + SEL_READ_ONLY, 0, 0xfffff,
                   FLAT | SEGMENT_S | SEGMENT_TYPE_ACCESSED | USER);
    put_descriptor(gdt + SEL_PROBE, 0, 0xfffff, FLAT | DATA_TYPE | USER);
    put_gate(gdt + SEL_GATE, system_address(kind, HANDLERS_GPA),
             SEGMENT_P | USER | SYSTEM_CALL_GATE, kind);
    put_descriptor(gdt + SEL_ABSENT, 0, 0xfffff, (FLAT & ~SEGMENT_P) | DATA_TYPE | USER);
    put_descriptor(gdt + SEL_BEYOND, 0, 0xfffff, FLAT | DATA_TYPE | USER);
}

/* Of four gates three may be used by INT n at CPL 3. */
static void fill_idt(u8 *idt, enum code_kind kind)
{
    const unsigned size = kind == CODE_64 ? 16 : 8;

    for (unsigned vector = 0; vector < IDT_GATES; vector++) {
        u32 type = vector & 1 ? SYSTEM_TRAP_GATE : SYSTEM_INTERRUPT_GATE;
        u32 dpl = vector % 4 == 2 ? 0 : USER;
        put_gate(idt + vector * size, system_address(kind, HANDLERS_GPA + 16 * (vector + 1)),
                 SEGMENT_P | dpl | type, kind);
    }
}

static void fill_tss(u8 *tss, enum code_kind kind)
{
    put(tss + 4, system_address(kind, STACK0_GPA), kind == CODE_64 ? 8 : 4);
    if (kind == CODE_32) {
        put(tss + 8, SEL_DATA0, 2);
    }
    put(tss + 0x66, TSS_BYTES, 2); /* no I/O permission bitmap */
}

static void fill_tables(u8 *tables, enum code_kind kind)
{
    fill_gdt(tables + GDT_A, kind);
    memcpy(tables + GDT_B, tables + GDT_A, GDT_BYTES);
    put_descriptor(tables + LDT_A + (SEL_LOCAL & ~7u), 0, 0xfffff, FLAT | DATA_TYPE | USER);
    fill_tss(tables + TSS_A, kind);
    memcpy(tables + TSS_B, tables + TSS_A, TSS_BYTES);
    fill_idt(tables + IDT_A, kind);
    memcpy(tables + IDT_B, tables + IDT_A, IDT_BYTES);
}

/* ------------------------------------------------------------------ registers */

static struct segment segment(u16 selector, u64 base, u32 limit, u32 attributes)
{
    return (struct segment){
        .selector = selector, .base = base, .limit = limit, .attributes = (u16)attributes};
}

/* Only CS and SS tell the mode: the others are the user's at CPL 0 too. */
static void set_segments(struct machine_state *s, enum code_kind kind, unsigned cpl)
{
    const u64 tables = system_address(kind, TABLES_GPA);
    const u32 own = kind == CODE_64 ? LONG_CODE : FLAT;
    const struct segment data = segment(SEL_DATA3 | 3, 0, ~0u, FLAT | DATA_TYPE | USER);

    s->seg[SEG_CS] = cpl ? segment(SEL_CODE3 | 3, 0, ~0u, own | CODE_TYPE | USER)
                         : segment(SEL_CODE0, 0, ~0u, own | CODE_TYPE);
    s->seg[SEG_SS] = cpl ? data : segment(SEL_DATA0, 0, ~0u, FLAT | DATA_TYPE);
    s->seg[SEG_DS] = s->seg[SEG_ES] = s->seg[SEG_FS] = s->seg[SEG_GS] = data;
    s->seg[SEG_LDTR] = segment(SEL_LDT, tables + LDT_A, LDT_BYTES - 1, SEGMENT_P | SYSTEM_LDT);
    s->seg[SEG_TR] = segment(SEL_TSS, tables + TSS_A, TSS_BYTES - 1, SEGMENT_P | SYSTEM_TSS_BUSY);
    s->gdtr.base = tables + GDT_A;
    s->gdtr.limit = GDT_LIMIT;
    s->idtr.base = tables + IDT_A;
    s->idtr.limit = IDT_GATES * (kind == CODE_64 ? 16 : 8) - 1;
}

static void set_msrs(struct machine_state *s, enum code_kind kind)
{
    s->msr.star = (u64)SEL_CODE0 << 32 | (u64)(SEL_CODE3_32 | 3) << 48;
    s->msr.lstar = system_address(kind, HANDLERS_GPA + 0x800);
    s->msr.cstar = system_address(kind, HANDLERS_GPA + 0x900);
    s->msr.sfmask = RFLAGS_TF | RFLAGS_IF;
    s->msr.sysenter_cs = SEL_CODE0;
    s->msr.sysenter_esp = system_address(kind, STACK0_GPA);
    s->msr.sysenter_eip = system_address(kind, HANDLERS_GPA + 0xa00);
    s->msr.kernel_gs_base = system_address(kind, 0);
    s->msr.tsc_aux = 1;
    s->msr.bios_sign_id = MSR_BIOS_SIGN_ID_VALUE;
}

void state_usual(struct machine_state *s, enum code_kind kind, unsigned cpl, u64 xcr0)
{
    struct cpu_msrs msr = s->msr; /* as power-on left them */
    struct lapic lapic = s->lapic;

    memset(s, 0, sizeof(*s));
    s->msr = msr;
    s->lapic = lapic;
    s->rip = CODE;
    s->rflags = RFLAGS_FIXED | RFLAGS_IF;
    s->cpl = (u8)cpl;
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr3 = CR3_A;
    s->cr4 = CR4_PSE | CR4_MCE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    if (kind == CODE_64) {
        s->cr4 |= CR4_PAE | CR4_FSGSBASE;
        s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    }
    s->xcr0 = xcr0;
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->translation = 1;
    set_segments(s, kind, cpl);
    set_msrs(s, kind);
    fill_tables(s->tables, kind);
}
