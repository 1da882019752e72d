/*
 * software_interrupt.c - INT n, INT3, INTO and INT1, and INT n in virtual-8086 mode; see
 * exception.h.
 *
 * Intel SDM vol. 2, INT n; vol. 3B, "Virtual-8086 Mode Extensions".
 */
#include "cpu/exception.h"
#include "cpu/segment.h"
#include "cpu/system.h"
#include "cpu/task.h"

/* A software interrupt with rIP at its own instruction again if it fails, unless a task switch has
 * moved it already. */
static bool software(struct cpu *cpu, u8 vector, enum event_kind kind, u64 next_rip)
{
    u64 own_rip = cpu->rip;
    u16 task = cpu->seg[SEG_TR].selector;
    cpu->rip = next_rip;
    cpu->rflags &= ~RFLAGS_RF;
    if (cpu_deliver_event(cpu, vector, kind)) {
        return true;
    }
    if (cpu->seg[SEG_TR].selector == task) {
        cpu->rip = own_rip;
    }
    return false;
}

bool exception_int3(struct cpu *cpu, u64 next_rip)
{
    return software(cpu, VECTOR_BP, EVENT_SOFTWARE, next_rip);
}

bool exception_into(struct cpu *cpu, u64 next_rip)
{
    return software(cpu, VECTOR_OF, EVENT_SOFTWARE, next_rip);
}

bool exception_int1(struct cpu *cpu, u64 next_rip)
{
    return software(cpu, VECTOR_DB, EVENT_SOFTWARE_DEBUG, next_rip);
}

/* ------------------------------------------------------------------ INT n in virtual-8086 mode */

#define REDIRECTION_BYTES 32 /* the bitmap just below the I/O permission bitmap */

/* Is the vector's bit in the TSS's redirection bitmap clear: does it stay in the 8086 program? */
static bool is_redirected(struct cpu *cpu, u8 vector, bool *redirected)
{
    const struct segment *tr = &cpu->seg[SEG_TR];
    u16 map;
    u8 bits;
    if (tr->limit < TSS_LIMIT_MIN) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_read(cpu, system_address(cpu, tr->base, TSS_IO_MAP), &map, 2)) {
        return false;
    }
    u32 offset = map - REDIRECTION_BYTES + vector / 8u;
    if (map < REDIRECTION_BYTES || offset > tr->limit) {
        return cpu_raise_gp0(cpu);
    }
    if (!system_read(cpu, system_address(cpu, tr->base, offset), &bits, 1)) {
        return false;
    }
    *redirected = !(bits >> vector % 8 & 1);
    return true;
}

/* The 8086 program's own handler, by the interrupt table at 0. */
static bool redirect(struct cpu *cpu, u8 vector, u64 next_rip, bool virtual)
{
    u16 pointer[2];
    if (!system_read(cpu, vector * 4u, pointer, 4)) {
        return false;
    }
    u32 flags = cpu_rflags(cpu);
    if (virtual) {
        flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    }
    struct stack stack = system_stack_current(cpu);
    u64 frame[] = {flags, cpu->seg[SEG_CS].selector, next_rip};
    if (!system_check_push(cpu, &stack, 6) ||
        !system_push_all(cpu, &stack, frame, ARRAY_SIZE(frame), 2)) {
        return false;
    }
    system_commit(cpu, &stack);
    cpu->rflags &= ~(RFLAGS_TF | RFLAGS_RF | RFLAGS_NT | (virtual ? RFLAGS_VIF : RFLAGS_IF));
    cpu->debug_step = false;
    segment_load_real(cpu, SEG_CS, pointer[1]);
    cpu->rip = pointer[0];
    cpu_update_mode(cpu);
    return true;
}

bool exception_int_n(struct cpu *cpu, u8 vector, u64 next_rip)
{
    if (cpu->v86_mode) {
        bool low_iopl = (cpu->rflags & RFLAGS_IOPL) != RFLAGS_IOPL;
        if (cpu->mmu.paging.cr4 & CR4_VME) {
            bool redirected = false;
            if (!is_redirected(cpu, vector, &redirected)) {
                return false;
            }
            if (redirected) {
                return redirect(cpu, vector, next_rip, low_iopl);
            }
        }
        if (low_iopl) {
            return cpu_raise_gp0(cpu);
        }
    }
    return software(cpu, vector, EVENT_SOFTWARE, next_rip);
}
