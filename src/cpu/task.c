/*
 * task.c - hardware task switches; see task.h.
 *
 *      32-bit TSS: 00 link  1c CR3  20 EIP  24 EFLAGS  28 EAX to EDI  48 ES CS SS DS FS GS
 *                  60 LDT  64 bit 0: T  66 I/O map
 *      16-bit TSS: 00 link  0e IP  10 FLAGS  12 AX to DI  22 ES CS SS DS  2a LDT
 *
 * The switch is made of three parts: checks, with which a failure belongs to the old task; the
 * switch itself, which cannot fail; and the loading of segment registers, with which a failure
 * belongs to the new task.  Intel SDM vol. 3A, "Task Switching".
 */
#include "cpu/task.h"

#include "base/string.h"
#include "cpu/control.h"
#include "cpu/debug.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/transfer.h"

#define TSS_CR3       0x1c
#define TSS_EIP       0x20
#define TSS_SEGMENTS  0x48
#define TSS_LDT       0x60
#define TSS_T         0x64
#define TSS_SAVE_SIZE (TSS_LDT - TSS_EIP)

#define TSS_16_IP        0x0e
#define TSS_16_LDT       0x2a
#define TSS_16_SAVE_SIZE (TSS_16_LDT - TSS_16_IP)

struct tss_32 { /* from TSS_EIP to TSS_LDT */
    u32 eip, eflags, gpr[8];
    struct {
        u16 selector, reserved;
    } seg[6];
};

struct tss_16 { /* from TSS_16_IP to TSS_16_LDT */
    u16 ip, flags, gpr[8], seg[4];
};

_Static_assert(sizeof(struct tss_32) == TSS_SAVE_SIZE, "layout");
_Static_assert(sizeof(struct tss_16) == TSS_16_SAVE_SIZE, "layout");

/* The new task, as its TSS has it. */
struct task {
    struct segment tr;
    struct descriptor descriptor;
    bool wide; /* a 32-bit TSS */
    bool trap; /* T */
    u32 cr3, eip, eflags, gpr[8];
    u16 seg[6], ldt;
};

static bool is_wide(u16 attributes)
{
    return attributes & 8;
}

/* ------------------------------------------------------------------ checks */

/* Reads and checks the new TSS's descriptor. */
static bool read_tss_descriptor(struct cpu *cpu, u16 selector, enum task_switch_reason reason,
                                struct task *t)
{
    u32 error = selector & ~SELECTOR_RPL;
    bool back = reason == TASK_IRET;
    enum vector vector = back ? VECTOR_TS : VECTOR_GP;
    if (selector & SELECTOR_TI || segment_is_null(selector)) {
        return cpu_raise_error(cpu, vector, error);
    }
    if (!segment_read(cpu, selector, vector, &t->descriptor)) {
        return false;
    }
    u16 attributes = t->descriptor.attributes;
    unsigned type = attributes & (SEGMENT_S | SEGMENT_TYPE);
    unsigned busy = back ? SYSTEM_BUSY : 0;
    if (type != (SYSTEM_TSS | busy) && type != (SYSTEM_TSS_16 | busy)) {
        return cpu_raise_error(cpu, vector, error);
    }
    if (!(attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    t->wide = is_wide(attributes);
    t->tr = segment_from(&t->descriptor, selector);
    if (t->tr.limit < (t->wide ? TSS_LIMIT_MIN : TSS_16_LIMIT_MIN)) {
        return cpu_raise_error(cpu, VECTOR_TS, error);
    }
    return true;
}

static bool read_tss_32(struct cpu *cpu, struct task *t)
{
    struct tss_32 tss;
    u32 cr3;
    u16 ldt, trap;
    u64 base = t->tr.base;
    if (!system_read(cpu, system_address(cpu, base, TSS_CR3), &cr3, 4) ||
        !system_read(cpu, system_address(cpu, base, TSS_EIP), &tss, sizeof(tss)) ||
        !system_read(cpu, system_address(cpu, base, TSS_LDT), &ldt, 2) ||
        !system_read(cpu, system_address(cpu, base, TSS_T), &trap, 2)) {
        return false;
    }
    t->cr3 = cr3;
    t->eip = tss.eip;
    t->eflags = tss.eflags;
    t->ldt = ldt;
    t->trap = trap & 1;
    memcpy(t->gpr, tss.gpr, sizeof(t->gpr));
    for (unsigned i = 0; i < 6; i++) {
        t->seg[i] = tss.seg[i].selector;
    }
    return true;
}

static bool read_tss_16(struct cpu *cpu, struct task *t)
{
    struct tss_16 tss;
    u64 base = t->tr.base;
    if (!system_read(cpu, system_address(cpu, base, TSS_16_IP), &tss, sizeof(tss)) ||
        !system_read(cpu, system_address(cpu, base, TSS_16_LDT), &t->ldt, 2)) {
        return false;
    }
    t->eip = tss.ip;
    t->eflags = tss.flags;
    for (unsigned i = 0; i < 8; i++) {
        t->gpr[i] = tss.gpr[i];
    }
    for (unsigned i = 0; i < 6; i++) {
        t->seg[i] = i < 4 ? tss.seg[i] : 0;
    }
    return true;
}

/* Whatever is to be written later can be written. */
static bool probe_writes(struct cpu *cpu, const struct task *t)
{
    const struct segment *old = &cpu->seg[SEG_TR];
    bool wide = is_wide(old->attributes);
    gva_t save = system_address(cpu, old->base, wide ? TSS_EIP : TSS_16_IP);
    gva_t old_descriptor = system_address(cpu, cpu->gdtr.base, old->selector & ~7u);
    return (mmu_probe_write(&cpu->mmu, save, wide ? TSS_SAVE_SIZE : TSS_16_SAVE_SIZE,
                            ACCESS_WRITE) &&
            mmu_probe_write(&cpu->mmu, t->tr.base, 2, ACCESS_WRITE) &&
            mmu_probe_write(&cpu->mmu, t->descriptor.gva, 8, ACCESS_WRITE) &&
            mmu_probe_write(&cpu->mmu, old_descriptor, 8, ACCESS_WRITE)) ||
           cpu_raise_page_fault(cpu);
}

/* ------------------------------------------------------------------ the switch */

static void save_old(struct cpu *cpu, u64 rip, u32 eflags)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    if (!is_wide(tr->attributes)) {
        struct tss_16 tss = {.ip = (u16)rip, .flags = (u16)eflags};
        for (unsigned i = 0; i < 8; i++) {
            tss.gpr[i] = (u16)cpu->gpr[i];
        }
        for (unsigned i = 0; i < 4; i++) {
            tss.seg[i] = cpu->seg[i].selector;
        }
        system_write(cpu, system_address(cpu, tr->base, TSS_16_IP), &tss, sizeof(tss));
        return;
    }
    struct tss_32 tss;
    gva_t gva = system_address(cpu, tr->base, TSS_EIP);
    system_read(cpu, gva, &tss, sizeof(tss)); /* the words above selectors stay as they are */
    tss.eip = (u32)rip;
    tss.eflags = eflags;
    for (unsigned i = 0; i < 8; i++) {
        tss.gpr[i] = (u32)cpu->gpr[i];
    }
    for (unsigned i = 0; i < 6; i++) {
        tss.seg[i].selector = cpu->seg[i].selector;
    }
    system_write(cpu, gva, &tss, sizeof(tss));
}

static void set_old_available(struct cpu *cpu)
{
    struct descriptor d = {
        .gva = system_address(cpu, cpu->gdtr.base, cpu->seg[SEG_TR].selector & ~7u)};
    segment_set_busy(cpu, &d, false);
}

/* Saves the old task, and makes TR, CR3 and the general registers the new one's. */
static void make_switch(struct cpu *cpu, struct task *t, enum task_switch_reason reason,
                        u64 return_rip)
{
    u32 eflags = cpu_rflags(cpu);
    u16 old_selector = cpu->seg[SEG_TR].selector;
    bool nested = reason == TASK_CALL || reason == TASK_GATE;
    if (reason == TASK_IRET) {
        eflags &= ~RFLAGS_NT;
    }
    save_old(cpu, return_rip, eflags);
    if (!nested) {
        set_old_available(cpu);
    }
    if (nested) {
        system_write(cpu, system_address(cpu, t->tr.base, 0), &old_selector, 2);
        t->eflags |= RFLAGS_NT;
    }
    if (reason != TASK_IRET) {
        segment_set_busy(cpu, &t->descriptor, true);
    }
    t->tr.attributes |= SYSTEM_BUSY;
    cpu->seg[SEG_TR] = t->tr;
    cpu->mmu.paging.cr0 |= CR0_TS;
    cpu->dr[7] &= ~0x155ull; /* L0 to L3 and LE belong to a task */
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = t->gpr[i];
    }
    cpu->rip = t->eip;
}

/* ------------------------------------------------------------------ the new task's segments */

static bool load_ldt(struct cpu *cpu, u16 selector)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    cpu->seg[SEG_LDTR] = segment_null(selector);
    if (segment_is_null(selector)) {
        return true;
    }
    if (selector & SELECTOR_TI) {
        return cpu_raise_error(cpu, VECTOR_TS, error);
    }
    if (!segment_read(cpu, selector, VECTOR_TS, &d)) {
        return false;
    }
    if ((d.attributes & (SEGMENT_S | SEGMENT_TYPE)) != SYSTEM_LDT || !(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_TS, error);
    }
    cpu->seg[SEG_LDTR] = segment_from(&d, selector);
    return true;
}

/* Checks one of CS, SS and the data segments as a task switch does; CPL is the new one. */
static bool load_segment(struct cpu *cpu, unsigned seg, u16 selector)
{
    u32 error = selector & ~SELECTOR_RPL;
    unsigned rpl = selector & SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        return (seg != SEG_CS && seg != SEG_SS) || cpu_raise_error(cpu, VECTOR_TS, error);
    }
    if (!segment_read(cpu, selector, VECTOR_TS, &d)) {
        return false;
    }
    u16 a = d.attributes;
    unsigned dpl = segment_dpl(a);
    bool conforming = segment_is_code(a) && segment_is_conforming(a);
    bool ok;
    if (seg == SEG_CS) {
        ok = segment_is_code(a) && (conforming ? dpl <= rpl : dpl == rpl);
    } else if (seg == SEG_SS) {
        ok = segment_is_writable(a) && dpl == cpu->cpl && rpl == cpu->cpl;
    } else {
        ok = (a & SEGMENT_S) && (!segment_is_code(a) || (a & SEGMENT_TYPE_READABLE)) &&
             (conforming || (dpl >= cpu->cpl && dpl >= rpl));
    }
    if (!ok) {
        return cpu_raise_error(cpu, VECTOR_TS, error);
    }
    if (!(a & SEGMENT_P)) {
        return cpu_raise_error(cpu, seg == SEG_SS ? VECTOR_SS : VECTOR_NP, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    cpu->seg[seg] = segment_from(&d, selector);
    return true;
}

static bool load_segments(struct cpu *cpu, const struct task *t)
{
    static const u8 order[] = {SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < 6; i++) { /* selectors first: a handler sees them all */
        cpu->seg[i] = segment_null(t->seg[i]);
    }
    cpu->cpl = t->eflags & RFLAGS_VM ? 3 : t->seg[SEG_CS] & SELECTOR_RPL;
    cpu_set_rflags(cpu, t->eflags);
    cpu_update_mode(cpu);
    if (!load_ldt(cpu, t->ldt)) {
        return false;
    }
    for (unsigned i = 0; i < 6; i++) {
        if (cpu->v86_mode) {
            segment_load_real(cpu, i, t->seg[i]);
        } else if (!load_segment(cpu, order[i], t->seg[order[i]])) {
            return false;
        }
    }
    return true;
}

/* CR3 from a 32-bit TSS; nothing is loaded while paging is off. */
static bool load_cr3(struct cpu *cpu, const struct task *t)
{
    if (!t->wide || !(cpu->mmu.paging.cr0 & CR0_PG)) {
        return true;
    }
    if (cpu->mmu.paging.cr3 == t->cr3 && !(cpu->mmu.paging.cr4 & CR4_PAE)) {
        return true;
    }
    return control_write_cr3(cpu, t->cr3);
}

static bool push_error(struct cpu *cpu, const struct task *t, u32 error)
{
    struct stack stack = system_stack_current(cpu);
    if (!system_push(cpu, &stack, error, t->wide ? 4 : 2)) {
        return false;
    }
    system_commit(cpu, &stack);
    return true;
}

bool task_switch(struct cpu *cpu, u16 tss_selector, enum task_switch_reason reason, u64 return_rip,
                 bool has_error, u32 error)
{
    struct task t = {0};
    if (!read_tss_descriptor(cpu, tss_selector, reason, &t) ||
        !(t.wide ? read_tss_32(cpu, &t) : read_tss_16(cpu, &t)) || !probe_writes(cpu, &t)) {
        return false;
    }
    make_switch(cpu, &t, reason, return_rip);
    bool done = load_cr3(cpu, &t) && load_segments(cpu, &t) &&
                (!has_error || push_error(cpu, &t, error)) &&
                transfer_check_rip(cpu, &cpu->seg[SEG_CS], cpu->rip);
    cpu_update_mode(cpu);
    cpu->debug_step = false;
    return done && (!t.trap || cpu_raise_debug(cpu, DR6_BT));
}
