/* system.c - memory as the CPU itself uses it; see system.h. */
#include "cpu/system.h"

#include "base/string.h"
#include "cpu/segment.h"

/* Where the bytes are, if the soft TLB knows; its sets are named by privilege. */
static void *cached(struct cpu *cpu, gva_t gva, unsigned size, unsigned access)
{
    const struct mmu *mmu = &cpu->mmu;
    enum tlb_set set = access & ACCESS_USER ? TLB_USER
                       : access & ACCESS_AC ? TLB_SUPERVISOR_AC
                                            : TLB_SUPERVISOR;
    const struct tlb_entry *e = &mmu->sets[set][(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
    u64 tag = ((gva + size - 1) & PAGE_MASK) | mmu->generation;
    return (access & ACCESS_WRITE ? e->write_tag : e->read_tag) == tag ? (u8 *)gva + e->addend
                                                                       : NULL;
}

/* Outside long mode the MMU makes linear addresses wrap at 4 GiB.
 * LIMIT: data watchpoints do not see the CPU's own accesses to stacks in far transfers. */
static bool read_memory(struct cpu *cpu, gva_t gva, void *buffer, unsigned size, unsigned access)
{
    const void *hva = cached(cpu, gva, size, access);
    if (hva) {
        memcpy(buffer, hva, size);
        return true;
    }
    return mmu_read(&cpu->mmu, gva, buffer, size, access) || cpu_raise_page_fault(cpu);
}

static bool write_memory(struct cpu *cpu, gva_t gva, const void *buffer, unsigned size,
                         unsigned access)
{
    void *hva = cached(cpu, gva, size, access | ACCESS_WRITE);
    if (hva) {
        memcpy(hva, buffer, size);
        return true;
    }
    return mmu_write(&cpu->mmu, gva, buffer, size, access | ACCESS_WRITE) ||
           cpu_raise_page_fault(cpu);
}

gva_t system_address(const struct cpu *cpu, u64 base, u64 offset)
{
    return cpu->long_mode ? base + offset : (u32)(base + offset);
}

bool system_read(struct cpu *cpu, gva_t gva, void *buffer, unsigned size)
{
    return read_memory(cpu, gva, buffer, size, ACCESS_READ);
}

bool system_write(struct cpu *cpu, gva_t gva, const void *buffer, unsigned size)
{
    return write_memory(cpu, gva, buffer, size, ACCESS_WRITE);
}

struct stack system_stack_other(const struct segment *ss, u64 sp, unsigned cpl, bool wide,
                                u32 error)
{
    return (struct stack){
        .ss = *ss,
        .sp = sp,
        .mask = wide                          ? ~0ull
                : ss->attributes & SEGMENT_DB ? 0xffffffff
                                              : 0xffff,
        .wide = wide,
        .cpl = (u8)cpl,
        .error = error,
    };
}

struct stack system_stack_current(const struct cpu *cpu)
{
    return system_stack_other(&cpu->seg[SEG_SS], cpu->gpr[RSP], cpu->cpl,
                              cpu->code_mode == INSN_MODE_64, 0);
}

/* Checks [sp, sp + size) and gives its linear address. */
static bool locate(struct cpu *cpu, const struct stack *stack, u64 sp, unsigned size, bool write,
                   gva_t *gva)
{
    bool ok;
    if (stack->wide) {
        *gva = sp;
        ok = segment_is_canonical(sp) && segment_is_canonical(sp + size - 1);
    } else {
        *gva = (u32)(stack->ss.base + sp);
        ok = (stack->ss.attributes & SEGMENT_P) && segment_contains(&stack->ss, (u32)sp, size) &&
             (!write || segment_is_writable(stack->ss.attributes));
    }
    return ok || cpu_raise_error(cpu, VECTOR_SS, stack->error);
}

bool system_check_push(struct cpu *cpu, const struct stack *stack, unsigned size)
{
    /* A stack that wraps in the middle is legal where each push fits: those are checked alone. */
    gva_t gva;
    u64 sp = (stack->sp - size) & stack->mask;
    if (!stack->wide && sp > (stack->sp & stack->mask)) {
        return true;
    }
    return locate(cpu, stack, sp, size, true, &gva);
}

static unsigned privilege(const struct cpu *cpu, const struct stack *stack)
{
    return stack->cpl == 3 ? ACCESS_USER : cpu->rflags & RFLAGS_AC ? ACCESS_AC : 0;
}

/* #AC, as for any access of a program. */
static bool check_alignment(struct cpu *cpu, const struct stack *stack, gva_t gva, unsigned size)
{
    if (stack->cpl == 3 && cpu->cpl == 3 && (gva & (size - 1)) && (cpu->rflags & RFLAGS_AC) &&
        (cpu->mmu.paging.cr0 & CR0_AM)) {
        return cpu_raise_error(cpu, VECTOR_AC, 0);
    }
    return true;
}

bool system_push(struct cpu *cpu, struct stack *stack, u64 value, unsigned size)
{
    gva_t gva;
    u64 sp = (stack->sp - size) & stack->mask;
    if (!locate(cpu, stack, sp, size, true, &gva) || !check_alignment(cpu, stack, gva, size) ||
        !write_memory(cpu, gva, &value, size, privilege(cpu, stack))) {
        return false;
    }
    stack->sp = (stack->sp & ~stack->mask) | sp;
    return true;
}

bool system_pop(struct cpu *cpu, struct stack *stack, u64 *value, unsigned size)
{
    gva_t gva;
    u64 sp = stack->sp & stack->mask;
    *value = 0;
    if (!locate(cpu, stack, sp, size, false, &gva) || !check_alignment(cpu, stack, gva, size) ||
        !read_memory(cpu, gva, value, size, privilege(cpu, stack))) {
        return false;
    }
    system_release(stack, size);
    return true;
}

#define STACK_VALUES 6 /* what long mode pushes at most: SS, RSP, RFLAGS, CS, RIP, error code */

bool system_push_all(struct cpu *cpu, struct stack *stack, const u64 *values, unsigned count,
                     unsigned size)
{
    u64 frame[STACK_VALUES];
    if (!stack->wide || size != 8 || count > STACK_VALUES) {
        for (unsigned i = 0; i < count; i++) {
            if (!system_push(cpu, stack, values[i], size)) {
                return false;
            }
        }
        return true;
    }
    for (unsigned i = 0; i < count; i++) {
        frame[count - 1 - i] = values[i];
    }
    gva_t gva;
    u64 sp = stack->sp - count * 8;
    if (!locate(cpu, stack, sp, count * 8, true, &gva) || !check_alignment(cpu, stack, gva, 8) ||
        !write_memory(cpu, gva, frame, count * 8, privilege(cpu, stack))) {
        return false;
    }
    stack->sp = sp;
    return true;
}

bool system_pop_all(struct cpu *cpu, struct stack *stack, u64 *values, unsigned count,
                    unsigned size)
{
    if (!stack->wide || size != 8) {
        for (unsigned i = 0; i < count; i++) {
            if (!system_pop(cpu, stack, &values[i], size)) {
                return false;
            }
        }
        return true;
    }
    gva_t gva;
    if (!locate(cpu, stack, stack->sp, count * 8, false, &gva) ||
        !check_alignment(cpu, stack, gva, 8) ||
        !read_memory(cpu, gva, values, count * 8, privilege(cpu, stack))) {
        return false;
    }
    stack->sp += count * 8;
    return true;
}

void system_release(struct stack *stack, u64 bytes)
{
    stack->sp = (stack->sp & ~stack->mask) | ((stack->sp + bytes) & stack->mask);
}

void system_commit(struct cpu *cpu, const struct stack *stack)
{
    if (stack->mask == 0xffffffff) {
        cpu->gpr[RSP] = (u32)stack->sp; /* a 32-bit write */
    } else if (stack->mask == 0xffff) {
        cpu->gpr[RSP] = (cpu->gpr[RSP] & ~0xffffull) | (stack->sp & 0xffff);
    } else {
        cpu->gpr[RSP] = stack->sp;
    }
}
