/* inspect.c - the API's functions that read and write a held guest's registers and memory. */
#include "vm/inspect.h"

#include <errno.h>
#include <string.h>

#include "cpu/fpu.h"
#include "isa/insn.h"
#include "vm/machine.h"

_Static_assert(RINGER_ES == (int)SEG_ES && RINGER_GS == (int)SEG_GS &&
                   RINGER_LDTR == (int)SEG_LDTR && RINGER_TR == (int)SEG_TR,
               "segments have the same order");

/* The vCPU, if it may be looked at now; else NULL with *error. */
static struct cpu *held_cpu(struct ringer *m, unsigned index, int *error)
{
    if (index >= m->vm->cpu_count) {
        *error = machine_fail(m, -EINVAL, "there is no CPU %u", index);
        return NULL;
    }
    if (!m->held) {
        *error = machine_fail(m, -EBUSY, "the guest is running: pause it first");
        return NULL;
    }
    return &m->vm->cpus[index];
}

/* ------------------------------------------------------------------ registers */

int ringer_get_registers(struct ringer *m, unsigned index, struct ringer_registers *r)
{
    int error = 0;
    const struct cpu *cpu = held_cpu(m, index, &error);

    if (!cpu) {
        return error;
    }
    *r = (struct ringer_registers){
        .rip = cpu->rip,
        .rflags = cpu_rflags(cpu),
        .gdtr = {.base = cpu->gdtr.base, .limit = cpu->gdtr.limit},
        .idtr = {.base = cpu->idtr.base, .limit = cpu->idtr.limit},
        .cr0 = cpu->mmu.paging.cr0,
        .cr2 = cpu->cr2,
        .cr3 = cpu->mmu.paging.cr3,
        .cr4 = cpu->mmu.paging.cr4,
        .cr8 = lapic_get_cr8(cpu),
        .efer = cpu->mmu.paging.efer,
        .xcr0 = cpu->xcr0,
        .kernel_gs_base = cpu->msr.kernel_gs_base,
        .instructions = cpu->icount,
        .halted = cpu->activity != ACTIVITY_RUNNING,
    };
    memcpy(r->gpr, cpu->gpr, sizeof(r->gpr));
    memcpy(r->dr, cpu->dr, sizeof(r->dr));
    for (unsigned i = 0; i < RINGER_SEGMENTS; i++) {
        const struct segment *s = &cpu->seg[i];
        r->segment[i] = (struct ringer_segment){.base = s->base,
                                                .limit = s->limit,
                                                .selector = s->selector,
                                                .attributes = s->attributes};
    }
    return 0;
}

/* The privilege level follows from the mode and SS, as VM entry takes it (SDM vol. 3C, "Checks on
 * Guest Segment Registers"). */
static u8 privilege(const struct ringer_registers *r)
{
    if (!(r->cr0 & CR0_PE)) {
        return 0;
    }
    return r->rflags & RFLAGS_VM
               ? 3
               : (u8)bits_get(r->segment[RINGER_SS].attributes, SEGMENT_DPL_SHIFT, 2);
}

int ringer_set_registers(struct ringer *m, unsigned index, const struct ringer_registers *r)
{
    int error = 0;
    struct cpu *cpu = held_cpu(m, index, &error);

    if (cpu) {
        error = input_check_change(m);
    }
    if (error < 0) {
        return error;
    }
    cpu->inbox = &m->vm->inboxes[index]; /* not what a vCPU may have left there */
    memcpy(cpu->gpr, r->gpr, sizeof(r->gpr));
    memcpy(cpu->dr, r->dr, sizeof(r->dr));
    for (unsigned i = 0; i < RINGER_SEGMENTS; i++) {
        const struct ringer_segment *s = &r->segment[i];
        cpu->seg[i] = (struct segment){.base = s->base,
                                       .limit = s->limit,
                                       .selector = s->selector,
                                       .attributes = s->attributes};
    }
    cpu->gdtr = (struct table_register){.base = r->gdtr.base, .limit = r->gdtr.limit};
    cpu->idtr = (struct table_register){.base = r->idtr.base, .limit = r->idtr.limit};
    cpu->rip = r->rip;
    cpu->cr2 = r->cr2;
    cpu->xcr0 = r->xcr0;
    cpu->msr.kernel_gs_base = r->kernel_gs_base;
    cpu->mmu.paging.cr0 = r->cr0;
    cpu->mmu.paging.cr3 = r->cr3;
    cpu->mmu.paging.cr4 = r->cr4;
    cpu->mmu.paging.efer = r->efer;
    cpu->cpl = privilege(r);
    cpu->fault.pending = false;
    cpu->debugger.passed = 0;
    lapic_set_cr8(cpu, (u8)r->cr8);
    cpu_set_rflags(cpu, (u32)r->rflags);
    cpu_update_mode(cpu);
    atomic_store(&m->vm->controls[index].flush, 1);
    return 0;
}

/* ------------------------------------------------------------------ x87, SSE, AVX */

/* What FNSTENV says of the physical register that holds these ten bytes. */
static u16 tag_of(const u8 *st)
{
    u64 fraction;
    u16 exponent;

    memcpy(&fraction, st, 8);
    memcpy(&exponent, st + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0 && fraction == 0) {
        return 1; /* zero */
    }
    return exponent == 0x7fff || !(fraction >> 63) ? 2 : 0; /* special, or valid */
}

static u16 full_tags(const struct fpu_area *area)
{
    unsigned top = area->fsw >> 11 & 7, tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        bool used = area->ftw >> i & 1;
        tags |= (unsigned)(used ? tag_of(area->st[(i - top) & 7]) : 3) << (2 * i);
    }
    return (u16)tags;
}

static u8 short_tags(u16 tags)
{
    unsigned used = 0;

    for (unsigned i = 0; i < 8; i++) {
        used |= (unsigned)((tags >> (2 * i) & 3) != 3) << i;
    }
    return (u8)used;
}

int ringer_get_fpu(struct ringer *m, unsigned index, struct ringer_fpu *fpu)
{
    int error = 0;
    const struct cpu *cpu = held_cpu(m, index, &error);

    if (!cpu) {
        return error;
    }
    const struct fpu_area *area = (const struct fpu_area *)cpu->fpu.state;
    *fpu = (struct ringer_fpu){
        .control = area->fcw,
        .status = area->fsw,
        .tag = full_tags(area),
        .opcode = cpu->fpu.last_opcode,
        .instruction_selector = cpu->fpu.last_cs,
        .data_selector = cpu->fpu.last_ds,
        .instruction_pointer = cpu->fpu.last_ip,
        .data_pointer = cpu->fpu.last_dp,
        .mxcsr = area->mxcsr,
    };
    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu->st[i], area->st[i], sizeof(fpu->st[i]));
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(fpu->ymm[i], area->xmm[i], 16);
        memcpy(fpu->ymm[i] + 16, area->ymm_high[i], 16);
    }
    return 0;
}

int ringer_set_fpu(struct ringer *m, unsigned index, const struct ringer_fpu *fpu)
{
    int error = input_check_change(m);
    struct cpu *cpu = error < 0 ? NULL : held_cpu(m, index, &error);

    if (!cpu) {
        return error;
    }
    struct fpu_area *area = (struct fpu_area *)cpu->fpu.state;
    area->fcw = (fpu->control & 0x1f3f) | 0x40;
    area->fsw = fpu_fsw_summary(fpu->status, area->fcw);
    area->ftw = short_tags(fpu->tag);
    area->mxcsr = fpu->mxcsr & ~MXCSR_RESERVED; /* XRSTOR takes no others */
    area->xstate_bv |= FPU_COMPONENTS;
    cpu->fpu.last_opcode = fpu->opcode & 0x7ff;
    cpu->fpu.last_cs = fpu->instruction_selector;
    cpu->fpu.last_ds = fpu->data_selector;
    cpu->fpu.last_ip = fpu->instruction_pointer;
    cpu->fpu.last_dp = fpu->data_pointer;
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area->st[i], fpu->st[i], sizeof(fpu->st[i]));
    }
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area->xmm[i], fpu->ymm[i], 16);
        memcpy(area->ymm_high[i], fpu->ymm[i] + 16, 16);
    }
    return 0;
}

/* ------------------------------------------------------------------ memory */

int ringer_read_memory(struct ringer *m, uint64_t gpa, void *buffer, size_t size)
{
    return mem_read(&m->vm->mem, gpa, buffer, size)
               ? 0
               : machine_fail(m, -EFAULT, "no memory at %#lx", (unsigned long)gpa);
}

/* What has been written may have been code, or page tables. */
static void flush_all(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        atomic_store(&m->vm->controls[i].flush, 1);
    }
}

int ringer_write_memory(struct ringer *m, uint64_t gpa, const void *buffer, size_t size)
{
    int error = input_check_change(m);

    if (error < 0) {
        return error;
    }
    if (!mem_write(&m->vm->mem, gpa, buffer, size)) {
        return machine_fail(m, -EFAULT, "no memory at %#lx", (unsigned long)gpa);
    }
    flush_all(m);
    return 0;
}

/* Where gva is in guest memory, and how many bytes of up to size lie there in one page. */
static bool find_piece(const struct ringer *m, const struct cpu *cpu, gva_t gva, gpa_t *gpa,
                       size_t *size)
{
    size_t in_page = PAGE_SIZE - gva % PAGE_SIZE;
    struct walk walk;
    u32 fault;

    if (!mmu_walk(&m->vm->mem, &cpu->mmu.paging, gva, ACCESS_READ | ACCESS_AC | ACCESS_PEEK, &walk,
                  &fault)) {
        return false;
    }
    *gpa = walk.gpa;
    if (*size > in_page) {
        *size = in_page;
    }
    return true;
}

/* Copy what is mapped to RAM from gva on; returns how many bytes that were. */
static size_t peek(const struct ringer *m, const struct cpu *cpu, gva_t gva, u8 *buffer,
                   size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t piece = size - done;
        gpa_t gpa;
        if (!find_piece(m, cpu, gva + done, &gpa, &piece) ||
            !mem_read(&m->vm->mem, gpa, buffer + done, piece)) {
            break;
        }
        done += piece;
    }
    return done;
}

int ringer_read_virtual(struct ringer *m, unsigned index, uint64_t gva, void *buffer, size_t size)
{
    int error = 0;
    const struct cpu *cpu = held_cpu(m, index, &error);

    if (!cpu) {
        return error;
    }
    return peek(m, cpu, gva, buffer, size) == size
               ? 0
               : machine_fail(m, -EFAULT, "%#lx is not mapped to memory", (unsigned long)gva);
}

/* One pass over the pages of [gva, gva + size); the first only looks. */
static bool poke(const struct ringer *m, const struct cpu *cpu, gva_t gva, const u8 *buffer,
                 size_t size, bool write)
{
    for (size_t done = 0; done < size;) {
        size_t piece = size - done;
        gpa_t gpa;
        if (!find_piece(m, cpu, gva + done, &gpa, &piece) || !mem_ptr(&m->vm->mem, gpa) ||
            (write && !mem_write(&m->vm->mem, gpa, buffer + done, piece))) {
            return false;
        }
        done += piece;
    }
    return true;
}

int ringer_write_virtual(struct ringer *m, unsigned index, uint64_t gva, const void *buffer,
                         size_t size)
{
    int error = input_check_change(m);
    const struct cpu *cpu = error < 0 ? NULL : held_cpu(m, index, &error);

    if (!cpu) {
        return error;
    }
    if (!poke(m, cpu, gva, buffer, size, false)) {
        return machine_fail(m, -EFAULT, "%#lx is not mapped to memory", (unsigned long)gva);
    }
    poke(m, cpu, gva, buffer, size, true);
    flush_all(m);
    return 0;
}

/* ------------------------------------------------------------------ instructions */

static int disassemble(const struct ringer *m, const struct cpu *cpu, gva_t gva, char *text,
                       size_t size)
{
    struct insn insn;
    u8 bytes[INSN_MAX_LENGTH];
    size_t count = peek(m, cpu, gva, bytes, sizeof(bytes));
    enum insn_mode mode =
        cpu->code_mode < INSN_MODE_64 ? (enum insn_mode)cpu->code_mode : INSN_MODE_64;

    if (count == 0) {
        snprintf(text, size, "not mapped to memory");
        return -EFAULT;
    }
    switch (insn_decode(&insn, mode, bytes, count)) {
    case INSN_OK:
        insn_format(&insn, mode, gva - cpu->seg[SEG_CS].base, text, size);
        return insn.length;
    case INSN_SHORT:
        snprintf(text, size, "its end is not mapped to memory");
        return -EFAULT;
    case INSN_UNDEFINED:
    case INSN_TOO_LONG:
        break;
    }
    snprintf(text, size, "undefined: %02x %02x", bytes[0], count > 1 ? bytes[1] : 0);
    return -EILSEQ;
}

int ringer_disassemble(struct ringer *m, unsigned index, uint64_t gva, char *text, size_t text_size)
{
    int error = 0;
    const struct cpu *cpu = held_cpu(m, index, &error);

    return cpu ? disassemble(m, cpu, gva, text, text_size) : error;
}

void inspect_instruction(struct ringer *m, unsigned index, char *text, size_t size)
{
    const struct cpu *cpu = &m->vm->cpus[index];

    disassemble(m, cpu, cpu->seg[SEG_CS].base + cpu->rip, text, size);
}
