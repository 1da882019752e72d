/* inspect.c - the API's functions that read and write a held guest's registers and memory. */
#include "vm/inspect.h"

#include <errno.h>
#include <string.h>

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

    if (!cpu) {
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
    cpu->mmu.paging.cr0 = r->cr0;
    cpu->mmu.paging.cr3 = r->cr3;
    cpu->mmu.paging.cr4 = r->cr4;
    cpu->mmu.paging.efer = r->efer;
    cpu->cpl = privilege(r);
    cpu->fault.pending = false;
    lapic_set_cr8(cpu, (u8)r->cr8);
    cpu_set_rflags(cpu, (u32)r->rflags);
    cpu_update_mode(cpu);
    atomic_store(&m->vm->controls[index].flush, 1);
    return 0;
}

/* ------------------------------------------------------------------ memory */

int ringer_read_memory(struct ringer *m, uint64_t gpa, void *buffer, size_t size)
{
    return mem_read(&m->vm->mem, gpa, buffer, size)
               ? 0
               : machine_fail(m, -EFAULT, "no memory at %#lx", (unsigned long)gpa);
}

int ringer_write_memory(struct ringer *m, uint64_t gpa, const void *buffer, size_t size)
{
    if (!mem_write(&m->vm->mem, gpa, buffer, size)) {
        return machine_fail(m, -EFAULT, "no memory at %#lx", (unsigned long)gpa);
    }
    for (unsigned i = 0; i < m->vm->cpu_count; i++) { /* it may have been code */
        atomic_store(&m->vm->controls[i].flush, 1);
    }
    return 0;
}

/* Copy what is mapped to RAM from gva on; returns how many bytes that were. */
static size_t peek(const struct ringer *m, const struct cpu *cpu, gva_t gva, u8 *buffer,
                   size_t size)
{
    size_t done = 0;

    while (done < size) {
        gva_t at = gva + done;
        size_t piece = PAGE_SIZE - at % PAGE_SIZE;
        struct walk walk;
        u32 fault;
        if (piece > size - done) {
            piece = size - done;
        }
        if (!mmu_walk(&m->vm->mem, &cpu->mmu.paging, at, ACCESS_READ | ACCESS_AC | ACCESS_PEEK,
                      &walk, &fault) ||
            !mem_read(&m->vm->mem, walk.gpa, buffer + done, piece)) {
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
