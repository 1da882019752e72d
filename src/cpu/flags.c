/*
 * flags.c - what IOPL and the TSS allow: CLI, STI, PUSHF, POPF, and I/O ports.
 *
 * Intel SDM vol. 2, CLI, STI, PUSHF, POPF; vol. 1, "I/O Permission Bit Map"; vol. 3B, "Interrupt
 * Handling in Virtual-8086 Mode" and "Protected-Mode Virtual Interrupts".
 */
#include "cpu/control.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"

static unsigned iopl(const struct cpu *cpu)
{
    return (cpu->rflags & RFLAGS_IOPL) >> RFLAGS_IOPL_SHIFT;
}

/* Do CLI and STI act on VIF?  IOPL is known to be too low for them to act on IF. */
static bool uses_vif(const struct cpu *cpu)
{
    u64 cr4 = cpu->mmu.paging.cr4;
    return cpu->v86_mode ? cr4 & CR4_VME : cpu->cpl == 3 && (cr4 & CR4_PVI);
}

bool control_cli(struct cpu *cpu)
{
    if (iopl(cpu) >= cpu->cpl) {
        cpu->rflags &= ~RFLAGS_IF;
    } else if (uses_vif(cpu)) {
        cpu->rflags &= ~RFLAGS_VIF;
    } else {
        return cpu_raise_gp0(cpu);
    }
    return true;
}

bool control_sti(struct cpu *cpu)
{
    if (iopl(cpu) >= cpu->cpl) {
        cpu->rflags |= RFLAGS_IF;
    } else if (uses_vif(cpu) && !(cpu->rflags & RFLAGS_VIP)) {
        cpu->rflags |= RFLAGS_VIF;
    } else {
        return cpu_raise_gp0(cpu);
    }
    return true;
}

bool control_pushf(struct cpu *cpu, unsigned opsize, u64 *image)
{
    u32 flags = cpu_rflags(cpu) & ~(RFLAGS_VM | RFLAGS_RF);
    if (cpu->v86_mode && iopl(cpu) < 3) {
        if (opsize != 2 || !(cpu->mmu.paging.cr4 & CR4_VME)) {
            return cpu_raise_gp0(cpu);
        }
        flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    *image = opsize == 2 ? flags & 0xffff : flags;
    return true;
}

/* POPF in virtual-8086 mode with IOPL below 3. */
static bool popf_vme(struct cpu *cpu, unsigned opsize, u32 image)
{
    if (opsize != 2 || !(cpu->mmu.paging.cr4 & CR4_VME) || (image & RFLAGS_TF) ||
        ((image & RFLAGS_IF) && (cpu->rflags & RFLAGS_VIP))) {
        return cpu_raise_gp0(cpu);
    }
    u32 changes = 0xffff & ~(RFLAGS_IF | RFLAGS_IOPL);
    u32 flags = (cpu_rflags(cpu) & ~(changes | RFLAGS_VIF | RFLAGS_RF)) | (image & changes);
    cpu_set_rflags(cpu, flags | (image & RFLAGS_IF ? RFLAGS_VIF : 0));
    return true;
}

bool control_popf(struct cpu *cpu, unsigned opsize, u64 image)
{
    if (cpu->v86_mode && iopl(cpu) < 3) {
        return popf_vme(cpu, opsize, (u32)image);
    }
    u32 changes = RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
    if (cpu->cpl <= iopl(cpu)) {
        changes |= RFLAGS_IF;
    }
    if (cpu->cpl == 0) {
        changes |= RFLAGS_IOPL;
    }
    if (opsize == 2) {
        changes &= 0xffff;
    }
    cpu_set_rflags(cpu, (cpu_rflags(cpu) & ~(changes | RFLAGS_RF)) | ((u32)image & changes));
    return true;
}

/* The I/O permission bitmap of the TSS: two bytes are always read. */
static bool bitmap_allows(struct cpu *cpu, u16 port, unsigned size)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    unsigned type = tr->attributes & SEGMENT_TYPE;
    u16 map, bits;
    if (!(tr->attributes & SEGMENT_P) || !(type == SYSTEM_TSS || type == SYSTEM_TSS_BUSY) ||
        tr->limit < TSS_LIMIT_MIN) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_read(cpu, system_address(cpu, tr->base, TSS_IO_MAP), &map, 2)) {
        return false;
    }
    u32 offset = map + port / 8u;
    if (offset + 1 > tr->limit) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_read(cpu, system_address(cpu, tr->base, offset), &bits, 2)) {
        return false;
    }
    return !(bits >> port % 8 & bits_mask(size)) || cpu_raise_gp0(cpu);
}

bool io_allowed(struct cpu *cpu, u16 port, unsigned size)
{
    if (cpu->real_mode || (!cpu->v86_mode && cpu->cpl <= iopl(cpu))) {
        return true;
    }
    return bitmap_allows(cpu, port, size);
}
