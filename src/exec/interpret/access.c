/*
 * access.c - the interpreter's memory accesses off the fast path, and the CPU's side of the MMU:
 * which physical addresses are its own local APIC's, and which cross the bus.
 */
#include "exec/interpret/access.h"

#include "base/string.h"
#include "cpu/clock.h"
#include "cpu/debug.h"
#include "cpu/segment.h"
#include "exec/interpret/code.h"

bool linear_address(struct cpu *cpu, unsigned segment, u64 offset, unsigned size, unsigned access,
                    gva_t *gva)
{
    if (cpu->code_mode == INSN_MODE_64) {
        *gva = segment == SEG_FS || segment == SEG_GS ? cpu->seg[segment].base + offset : offset;
        return true; /* canonical or not: the slow path looks */
    }
    if (!segment_check(cpu, segment, offset, size, access)) {
        return false;
    }
    *gva = (u32)(cpu->seg[segment].base + offset);
    return true;
}

static bool raise_address_fault(struct cpu *cpu, unsigned segment)
{
    return cpu_raise_error(cpu, segment == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
}

static bool is_canonical(gva_t gva)
{
    return bits_sign_extend(gva, 48) == gva;
}

/* The checks that no TLB entry can answer: canonical addresses, and #AC. */
static bool check_canonical(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size)
{
    return cpu->code_mode != INSN_MODE_64 || (is_canonical(gva) && is_canonical(gva + size - 1)) ||
           raise_address_fault(cpu, segment);
}

/* What #AC asks of an operand of that size.  Intel SDM vol. 3A, "Alignment Requirements by Data
 * Type"; wider ones than 10 bytes that are no images of the FPU have rules of their own. */
static unsigned alignment(unsigned size)
{
    switch (size) {
    case 1:
    case 2:
    case 4:
    case 8:
        return size;
    case 10: /* m80 */
        return 8;
    case 14: /* FNSTENV and FNSAVE with operands of 16 bits */
    case 94:
        return 2;
    case 28:
    case 108:
        return 4;
    default:
        return 1;
    }
}

bool check_aligned(struct cpu *cpu, gva_t gva, unsigned align)
{
    if (unlikely(cpu->cpl == 3 && (cpu->rflags & RFLAGS_AC) && (cpu->mmu.paging.cr0 & CR0_AM) &&
                 (gva & (align - 1)))) {
        return cpu_raise_error(cpu, VECTOR_AC, 0);
    }
    return true;
}

static bool check_address(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size)
{
    return check_canonical(cpu, segment, gva, size) && check_aligned(cpu, gva, alignment(size));
}

/* Under --icount a device must see the exact time, and after an access that a debugger watches
 * nothing may follow: an instruction in a straight line that reaches a device, or a page that is
 * watched, leaves first, and is executed again alone. */
static bool may_go_on(struct cpu *cpu)
{
    if ((cpu->clock->icount || cpu->mmu.watches) && !cpu->exec->single) {
        cpu->exec->want_single = true;
        return false;
    }
    return true;
}

/* Whether the access may be made now: its address is canonical and mapped as it wants, and if it
 * reaches a device, it may. */
static bool may_access(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size, unsigned access)
{
    bool faulted;

    if (!check_canonical(cpu, segment, gva, size)) {
        return false;
    }
    if (mmu_host(&cpu->mmu, gva, size, access, &faulted)) {
        return true;
    }
    return faulted ? cpu_raise_page_fault(cpu) : may_go_on(cpu);
}

bool load_slow(struct cpu *cpu, unsigned segment, gva_t gva, void *value, unsigned size)
{
    return check_address(cpu, segment, gva, size) && load_unaligned(cpu, segment, gva, value, size);
}

bool load_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, void *value, unsigned size)
{
    unsigned access = access_privilege(cpu);

    if (!may_access(cpu, segment, gva, size, access)) {
        return false;
    }
    if (!mmu_read(&cpu->mmu, gva, value, size, access)) {
        return cpu_raise_page_fault(cpu);
    }
    if (unlikely(cpu->single_step_needed)) {
        debug_check_data(cpu, gva, size, false, false);
    }
    return true;
}

bool store_slow(struct cpu *cpu, unsigned segment, gva_t gva, const void *value, unsigned size)
{
    return check_address(cpu, segment, gva, size) &&
           store_unaligned(cpu, segment, gva, value, size);
}

bool store_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, const void *value, unsigned size)
{
    unsigned access = access_privilege(cpu) | ACCESS_WRITE;

    if (!may_access(cpu, segment, gva, size, access)) {
        return false;
    }
    if (!mmu_write(&cpu->mmu, gva, value, size, access)) {
        return cpu_raise_page_fault(cpu);
    }
    if (unlikely(cpu->single_step_needed)) {
        debug_check_data(cpu, gva, size, true, false);
    }
    return true;
}

bool probe_slow(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size, void **hva)
{
    return check_address(cpu, segment, gva, size) && probe_unaligned(cpu, segment, gva, size, hva);
}

bool probe_unaligned(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size, void **hva)
{
    unsigned access = access_privilege(cpu) | ACCESS_WRITE;
    bool faulted;

    if (!check_canonical(cpu, segment, gva, size)) {
        return false;
    }
    *hva = mmu_host(&cpu->mmu, gva, size, access, &faulted);
    if (faulted || (!*hva && !mmu_probe_write(&cpu->mmu, gva, size, access))) {
        return cpu_raise_page_fault(cpu);
    }
    if (unlikely(cpu->single_step_needed)) {
        *hva = NULL; /* store_slow() will look for watchpoints */
    }
    return *hva || may_go_on(cpu);
}

/* bounce[0] is what the handler changes, bounce[1] what was there. */
void *rmw_begin_slow(struct cpu *cpu, unsigned segment, gva_t gva, unsigned size)
{
    void *hva;

    if (!probe_slow(cpu, segment, gva, size, &hva)) {
        return NULL;
    }
    if (hva) {
        return hva;
    }
    cpu->bounce[0] = 0;
    cpu->bounce_gva = gva;
    if (!load_slow(cpu, segment, gva, cpu->bounce, size)) {
        return NULL;
    }
    cpu->bounce[1] = cpu->bounce[0];
    return cpu->bounce;
}

bool rmw_end_slow(struct cpu *cpu, unsigned size)
{
    bool stored;

    if (!mmu_write_expected(&cpu->mmu, cpu->bounce_gva, cpu->bounce[1], cpu->bounce[0], size,
                            access_privilege(cpu), &stored)) {
        return cpu_raise_page_fault(cpu);
    }
    if (stored && unlikely(cpu->single_step_needed)) {
        debug_check_data(cpu, cpu->bounce_gva, size, true, false);
    }
    return stored;
}

/* ------------------------------------------------------------------ physical addresses */

static u64 lapic_read(struct cpu *cpu, gpa_t gpa, unsigned size)
{
    u32 offset = gpa & ~PAGE_MASK;
    u64 value = lapic_mmio_read(cpu, offset & ~3u);
    return bits_get(value, (offset & 3) * 8, size < 4 ? size * 8 : 32);
}

static u64 mmio_read(void *context, gpa_t gpa, unsigned size)
{
    struct cpu *cpu = context;

    if (lapic_claims(cpu, gpa)) {
        return lapic_read(cpu, gpa, size);
    }
    cpu->stats.mmio_reads++;
    return cpu->port.read(cpu->port.context, BUS_MMIO, gpa, size);
}

static void mmio_write(void *context, gpa_t gpa, u64 value, unsigned size)
{
    struct cpu *cpu = context;

    if (lapic_claims(cpu, gpa)) {
        if (size >= 4) { /* narrower writes are undefined: nothing happens */
            lapic_mmio_write(cpu, gpa & ~PAGE_MASK, (u32)value);
        }
        return;
    }
    cpu->stats.mmio_writes++;
    cpu->port.write(cpu->port.context, BUS_MMIO, gpa, value, size);
}

static void on_code_written(void *context, gpa_t gpa, unsigned size)
{
    code_written(context, gpa, size);
}

const struct mmu_ops cpu_mmu_ops = {mmio_read, mmio_write, on_code_written};
