/*
 * guest.c - the interpreter's side: see guest.h.
 *
 * CPL 3 in long mode, with Linux's GDT, an LDT of segments over the area, and an empty IDT: so a
 * software interrupt raises #GP in the interpreter, whose error code tells its vector.
 */
#include "guest.h"

#include <string.h>

#include "../unit/interpret_fixture.h"
#include "isa/paging.h"

#define AREA_GPA    0x200000u             /* where the guest has the area */
#define UPPER_HALF  0xffff800000000000ull /* the guest's physical memory, for the supervisor */
#define VSYSCALL    0xffffffffff600000ull /* Linux emulates what is executed there */
#define MOST_STEPS  2000                  /* of a sequence */
#define MOST_ROUNDS 20000                 /* of REP in a single instruction */

struct guest {
    struct cpu_fixture *f;
    struct area area;
};

/* ------------------------------------------------------------------ building it */

/* native_child.c makes the same by modify_ldt(). */
static void ldt_descriptors(struct cpu_fixture *f)
{
    const u16 local = SEGMENT_P | SEGMENT_S | FIXTURE_DPL3, absent = SEGMENT_S | FIXTURE_DPL3;
    const u16 code = FIXTURE_TYPE_CODE, data = FIXTURE_TYPE_DATA, db = SEGMENT_DB;
    const struct {
        u16 limit, attributes;
    } entries[LDT_COUNT] = {
        {0xefff, local | code},
        {0xffff, local | data},
        {0x8fff, local | data},
        {0x5fff, local | data | SEGMENT_TYPE_EXPAND},
        {0xbfff, local | data | db},
        {0xefff, local | SEGMENT_TYPE_ACCESSED | db},
        {0xefff, local | code | db},
        {0xefff, local | SEGMENT_TYPE_CODE | SEGMENT_TYPE_ACCESSED | db},
        {0xefff, absent | code | db},
        {0xefff, absent | data | db},
        {0x5fff, local | data | SEGMENT_TYPE_EXPAND | db},
    };

    for (u16 i = 0; i < LDT_COUNT; i++) {
        cpu_fixture_descriptor(f, (u16)(i * 8 + SELECTOR_TI), AREA, entries[i].limit,
                               entries[i].attributes);
    }
}

static void gdt_descriptors(struct cpu_fixture *f)
{
    const u16 user = FIXTURE_FLAT | FIXTURE_DPL3, local = SEGMENT_P | SEGMENT_S | FIXTURE_DPL3;
    const u16 code = FIXTURE_TYPE_CODE, data = FIXTURE_TYPE_DATA, db = SEGMENT_DB;

    memset(f->mem.base + FIXTURE_GDT, 0, 0x100);
    cpu_fixture_descriptor(f, 0x08, 0, 0xfffff, FIXTURE_FLAT | code | db);
    cpu_fixture_descriptor(f, 0x10, 0, 0xfffff, FIXTURE_FLAT | code | SEGMENT_L);
    cpu_fixture_descriptor(f, 0x18, 0, 0xfffff, FIXTURE_FLAT | data | db);
    cpu_fixture_descriptor(f, 0x20, 0, 0xfffff, user | code | db);
    cpu_fixture_descriptor(f, 0x28, 0, 0xfffff, user | data | db);
    cpu_fixture_descriptor(f, 0x30, 0, 0xfffff, user | code | SEGMENT_L);
    cpu_fixture_descriptor(f, CPU_SEGMENT, 0, 0,
                           local | SEGMENT_TYPE_EXPAND | SEGMENT_TYPE_ACCESSED | db);
}

/* The lower half: the area, for the user; the upper half: all of RAM, for the supervisor. */
static void page_tables(struct cpu_fixture *f)
{
    static const u64 rights[] = {
        [PAGE_CODE] = 7, [PAGE_DATA] = 7 | PTE_XD, [PAGE_READ_ONLY] = 5 | PTE_XD};
    const gpa_t pdpt = 0x20000, pd = 0x21000, pt = 0x22000;

    cpu_fixture_put(f, FIXTURE_PML4 + 256 * 8, (FIXTURE_PML4 + 0x1000) | 3, 8);
    cpu_fixture_put(f, FIXTURE_PML4, pdpt | 7, 8);
    cpu_fixture_put(f, pdpt, pd | 7, 8);
    cpu_fixture_put(f, pd + (AREA >> 21) * 8, pt | 7, 8);
    for (unsigned i = 0; i < AREA_PAGES; i++) {
        u64 entry = rights[area_pages[i]];
        cpu_fixture_put(f, pt + i * 8, entry ? entry | (AREA_GPA + i * PAGE_SIZE) : 0, 8);
    }
}

static void code_changed(void *context, unsigned offset, unsigned size)
{
    struct guest *g = context;
    unsigned room = PAGE_SIZE - offset % PAGE_SIZE;

    code_written(g->f->cpu, AREA_GPA + offset, size < room ? size : room);
    if (size > room) {
        code_written(g->f->cpu, AREA_GPA + offset + room, size - room);
    }
}

static void make_area(struct guest *g)
{
    u8 *contents = malloc(AREA_SIZE);

    area_contents(contents);
    g->area = (struct area){.live = g->f->mem.base + AREA_GPA,
                            .expected = malloc(AREA_SIZE),
                            .contents = contents,
                            .code_changed = code_changed,
                            .context = g};
    memcpy(g->area.live, contents, AREA_SIZE);
    memcpy(g->area.expected, contents, AREA_SIZE);
}

struct guest *guest_new(void)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct cpu_fixture *f = interpret_fixture_new();
    struct cpu *cpu = f->cpu;

    g->f = f;
    f->clock.icount = false; /* with it guests would not be offered RDRAND */
    cpu_fixture_long(f, 3);
    page_tables(f);
    gdt_descriptors(f);
    ldt_descriptors(f);
    cpu->mmu.paging.cr0 |= CR0_AM;
    cpu->mmu.paging.cr4 |= CR4_FSGSBASE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->xcr0 = cpu_xcr0_supported(cpu);
    cpu->gdtr = (struct table_register){UPPER_HALF + FIXTURE_GDT, 0x7f};
    cpu->idtr = (struct table_register){UPPER_HALF + FIXTURE_IDT, 0};
    cpu->seg[SEG_TR].base += UPPER_HALF;
    cpu->seg[SEG_TR].limit = 0x67; /* no I/O permission bitmap */
    cpu->seg[SEG_LDTR].base = UPPER_HALF + FIXTURE_LDT;
    cpu->seg[SEG_LDTR].limit = LDT_COUNT * 8 - 1;
    mmu_flush(&cpu->mmu);
    make_area(g);
    return g;
}

void guest_free(struct guest *g)
{
    free(g->area.expected);
    free((void *)g->area.contents);
    interpret_fixture_free(g->f);
    free(g);
}

bool guest_has(struct guest *g, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    u32 out[4];

    cpu_cpuid(g->f->cpu, leaf, subleaf, out);
    return out[reg] >> bit & 1;
}

u64 guest_fixup(const struct guest *g, u64 host_rip)
{
    return thunk_fixup(&g->f->cpu->exec->thunks, host_rip);
}

/* ------------------------------------------------------------------ registers */

static struct segment segment(struct cpu_fixture *f, u16 selector)
{
    gpa_t table = selector & SELECTOR_TI ? FIXTURE_LDT : FIXTURE_GDT;
    struct descriptor d = {.low = cpu_fixture_get(f, table + (selector & ~7u), 8)};

    if (!(selector & ~3u)) {
        return (struct segment){.selector = selector};
    }
    d.attributes = descriptor_attributes(d.low);
    return segment_from(&d, selector);
}

static void load_fpu(struct cpu *cpu, const struct fpu_area *from)
{
    struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;
    u32 mxcsr_mask = area->mxcsr_mask;

    memcpy(area, from, sizeof(*area));
    area->mxcsr_mask = mxcsr_mask;
    cpu->fpu.last_ip = from->fip;
    cpu->fpu.last_dp = from->fdp;
    cpu->fpu.last_opcode = from->fop;
    cpu->fpu.last_cs = cpu->fpu.last_ds = 0;
}

static void load_case(struct cpu_fixture *f, const struct diff_case *c)
{
    const struct registers *r = &c->before;
    struct cpu *cpu = f->cpu;

    memcpy(cpu->gpr, r->gpr, sizeof(r->gpr));
    cpu->rip = r->rip;
    cpu->seg[SEG_CS] = segment(f, (u16)r->cs);
    cpu->seg[SEG_SS] = segment(f, (u16)r->ss);
    cpu->seg[SEG_DS] = segment(f, (u16)r->ds);
    cpu->seg[SEG_ES] = segment(f, (u16)r->es);
    cpu->seg[SEG_FS] = segment(f, (u16)r->fs);
    cpu->seg[SEG_GS] = segment(f, (u16)r->gs);
    cpu->seg[SEG_FS].base = r->fs ? cpu->seg[SEG_FS].base : r->fs_base;
    cpu->seg[SEG_GS].base = r->gs ? cpu->seg[SEG_GS].base : r->gs_base;
    cpu->fault = (struct fault){0};
    cpu->interrupt_shadow = cpu->debug_shadow = false;
    cpu->activity = ACTIVITY_RUNNING;
    cpu->cpl = 3;
    cpu_set_rflags(cpu, (u32)r->flags);
    cpu_update_mode(cpu);
    load_fpu(cpu, &c->fpu);
}

static void store_outcome(struct cpu *cpu, struct outcome *o)
{
    struct registers *r = &o->after;

    memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
    r->rip = cpu->rip;
    r->flags = cpu_rflags(cpu);
    r->cs = cpu->seg[SEG_CS].selector;
    r->ss = cpu->seg[SEG_SS].selector;
    r->ds = cpu->seg[SEG_DS].selector;
    r->es = cpu->seg[SEG_ES].selector;
    r->fs = cpu->seg[SEG_FS].selector;
    r->gs = cpu->seg[SEG_GS].selector;
    r->fs_base = cpu->seg[SEG_FS].base;
    r->gs_base = cpu->seg[SEG_GS].base;
    memcpy(&o->fpu, fpu_open(cpu), sizeof(o->fpu));
    o->fpu.fip = cpu->fpu.last_ip;
    o->fpu.fdp = cpu->fpu.last_dp;
    o->fpu.fop = cpu->fpu.last_opcode;
}

/* ------------------------------------------------------------------ running */

/* The length of the instruction at which the CPU stands. */
static unsigned current_length(const struct guest *g)
{
    const struct cpu *cpu = g->f->cpu;
    u64 offset = cpu->rip + (cpu->code_mode == INSN_MODE_64 ? 0 : cpu->seg[SEG_CS].base) - AREA;
    struct insn insn;

    insn_decode(&insn, cpu->code_mode, g->area.live + offset % AREA_SIZE, INSN_MAX_LENGTH);
    return insn.length;
}

/* INT3, INTO, INT1 and INT n: what the empty IDT makes #GP is a trap on the host, or a system call.
 */
static enum guest_end software_interrupt(const struct guest *g, struct outcome *o)
{
    unsigned vector = o->error >> 3;

    if (vector == 0x80) {
        return GUEST_KERNEL;
    }
    if (vector == VECTOR_BP || vector == VECTOR_OF || (vector == VECTOR_DB && o->error & 1)) {
        o->vector = (u8)vector;
        o->error = 0;
        o->after.rip += current_length(g);
    }
    return GUEST_EXCEPTION;
}

static bool is_elsewhere(const struct host_ranges *host, u64 address)
{
    if (address - FRAME < PAGE_SIZE || address - VSYSCALL < PAGE_SIZE) {
        return true;
    }
    for (unsigned i = 0; i < host->count; i++) {
        if (address >= host->range[i].start && address < host->range[i].end) {
            return true;
        }
    }
    return false;
}

static enum guest_end ending(const struct guest *g, const struct host_ranges *host,
                             struct outcome *o)
{
    const struct cpu *cpu = g->f->cpu;
    const struct fault *fault = &cpu->fault;

    if (cpu->cpl != 3) {
        return GUEST_KERNEL;
    }
    if (!fault->pending) {
        return GUEST_ENDLESS;
    }
    o->vector = fault->vector;
    o->error = fault->has_error ? fault->error : 0;
    o->cr2 = fault->vector == VECTOR_PF ? fault->cr2 : 0;
    if (o->vector == VECTOR_PF && is_elsewhere(host, o->cr2)) {
        return GUEST_ELSEWHERE;
    }
    return o->vector == VECTOR_GP && o->error & 2 ? software_interrupt(g, o) : GUEST_EXCEPTION;
}

/* Between fpu_load() and fpu_save() nothing but the interpreter runs, which is compiled to leave
 * the vector registers alone. */
static void interpret(struct cpu *cpu, const struct diff_case *c)
{
    u64 most = c->kind == CASE_SEQUENCE ? MOST_STEPS : MOST_ROUNDS;
    struct fpu_host host;

    cpu->icount = 0;
    fpu_host_save(&host);
    fpu_load(cpu);
    if (c->alone) {
        while (cpu->icount < most && !cpu->fault.pending && cpu->cpl == 3) {
            interpret_execute(cpu, cpu->icount + 1);
        }
    } else {
        interpret_execute(cpu, most);
    }
    fpu_save(cpu);
    fpu_host_restore(&host);
}

enum guest_end guest_run(struct guest *g, const struct diff_case *c, const struct host_ranges *host,
                         struct outcome *o)
{
    struct cpu *cpu = g->f->cpu;

    area_apply(&g->area, c);
    load_case(g->f, c);
    interpret(cpu, c);
    store_outcome(cpu, o);
    enum guest_end end = ending(g, host, o);
    area_collect(&g->area, c, o);
    return end;
}
