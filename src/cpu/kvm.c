/*
 * kvm.c - what Linux guests know from KVM: the paravirtual clock, and hypercalls.
 *
 * Source: Linux, "KVM-specific MSRs" and "Linux KVM Hypercall" (Documentation/virt/kvm/x86).
 *
 * The guest gives us the address of a structure with one factor and one starting point, and counts
 * on from there by its TSC:
 *
 *      ns = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) / 2^32
 *
 * The starting point is power-on for every vCPU, and the factor is clock.c's own, so the guest
 * computes exactly clock_ns(), on all vCPUs alike, which is what PVCLOCK_TSC_STABLE_BIT promises.
 * The structure thus has to be written again only if the guest sets its TSC.
 */
#include "cpu/kvm.h"

#include "base/string.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"

#define SYSTEM_TIME_ENABLE 1ull
#define TSC_STABLE_BIT     1u

#define NS_PER_SECOND 1000000000ull

enum { KVM_HC_VAPIC_POLL_IRQ = 1, KVM_EPERM = 1, KVM_ENOSYS = 1000 };

struct time_info { /* pvclock_vcpu_time_info */
    u32 version;   /* odd while the rest is being changed */
    u32 pad0;
    u64 tsc_timestamp;
    u64 system_time;
    u32 tsc_to_system_mul;
    s8 tsc_shift;
    u8 flags;
    u8 pad[2];
};
_Static_assert(sizeof(struct time_info) == 32, "pvclock ABI");

struct wall_clock { /* pvclock_wall_clock */
    u32 version;
    u32 sec;
    u32 nsec;
};
_Static_assert(sizeof(struct wall_clock) == 12, "pvclock ABI");

/* The guest may read at any time: an odd version, the rest, the next even version. */
static void publish(struct cpu *cpu, gpa_t gpa, void *structure, unsigned size)
{
    u32 version = 0;

    if (!mem_read(cpu->mmu.mem, gpa, &version, sizeof(version))) {
        return; /* not RAM: the guest's mistake, which KVM ignores too */
    }
    version = (version | 1) + 2;
    if (!mem_write(cpu->mmu.mem, gpa, &version, sizeof(version))) {
        return;
    }
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(structure, &version, sizeof(version));
    mem_write(cpu->mmu.mem, gpa, structure, size);
    atomic_thread_fence(memory_order_seq_cst);
    version++;
    mem_write(cpu->mmu.mem, gpa, &version, sizeof(version));
}

/* ns per tick as a 32-bit fraction and a shift of the ticks.  The factor is 32.32: below 1 GHz its
 * integer part is not 0. */
static void set_factor(struct time_info *info, u64 ns_per_tsc_32)
{
    while (ns_per_tsc_32 >> 32) {
        ns_per_tsc_32 >>= 1;
        info->tsc_shift++;
    }
    info->tsc_to_system_mul = (u32)ns_per_tsc_32;
}

void kvm_update_system_time(struct cpu *cpu)
{
    u64 msr = cpu->msr.kvm_system_time;
    struct time_info info = {.tsc_timestamp = cpu->msr.tsc_adjust + cpu->clock->tsc_start,
                             .flags = TSC_STABLE_BIT};

    if (!(msr & SYSTEM_TIME_ENABLE)) {
        return;
    }
    set_factor(&info, cpu->clock->icount ? 1ull << 32 : cpu->clock->ns_per_tsc_32);
    publish(cpu, msr & ~SYSTEM_TIME_ENABLE, &info, sizeof(info));
}

bool kvm_set_system_time(struct cpu *cpu, u64 value)
{
    cpu->msr.kvm_system_time = value;
    kvm_update_system_time(cpu);
    return true;
}

bool kvm_set_wall_clock(struct cpu *cpu, u64 value)
{
    struct wall_clock wall = {
        .sec = (u32)(cpu->clock->wall_ns_start / NS_PER_SECOND),
        .nsec = (u32)(cpu->clock->wall_ns_start % NS_PER_SECOND),
    };

    cpu->msr.kvm_wall_clock = value;
    if (value) {
        publish(cpu, value, &wall, sizeof(wall));
    }
    return true;
}

void kvm_hypercall(struct cpu *cpu)
{
    u64 number = cpu->gpr[RAX];
    bool is_64bit = cpu->long_mode && (cpu->seg[SEG_CS].attributes & SEGMENT_L);
    s64 result;

    if (!is_64bit) {
        number = (u32)number;
    }
    if (cpu->cpl != 0) {
        result = -KVM_EPERM;
    } else if (number == KVM_HC_VAPIC_POLL_IRQ) {
        result = 0; /* nothing to do: the call itself was the point */
    } else {
        result = -KVM_ENOSYS;
    }
    cpu->gpr[RAX] = is_64bit ? (u64)result : (u32)result;
}
