/*
 * clock.c - the machine's time: clock.h has the contract.
 *
 * In real time everything follows from the host's TSC, which the board took for constant and
 * synchronized, with one multiplication: ns = (ticks * ns_per_tsc_32) / 2^32.  The same factor goes
 * to the guest in its paravirtual clock (kvm.c), so that both count alike to the last nanosecond.
 */
#include "cpu/clock.h"

#include "cpu/cpu.h"

static u64 host_tsc(void)
{
    u32 low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

static u64 host_ticks(const struct vm_clock *clock)
{
    return host_tsc() - clock->host_tsc_start;
}

u64 clock_host_ns(const struct vm_clock *clock)
{
    return (u64)(((unsigned __int128)host_ticks(clock) * clock->ns_per_tsc_32) >> 32);
}

u64 clock_counted(const struct cpu *cpu)
{
    return (cpu->stay.user ? cpu->stay.since : cpu->icount) - cpu->stay.untimed;
}

bool clock_note_mode(struct cpu *cpu)
{
    bool user = cpu->cpl == 3;

    if (!cpu->clock->supervisor_only || user == cpu->stay.user) {
        return false;
    }
    if (!user) {
        cpu->stay.untimed += cpu->icount - cpu->stay.since - CLOCK_ENTRY_NS;
    }
    cpu->stay.user = user;
    cpu->stay.inside = false;
    cpu->stay.since = cpu->icount;
    return true;
}

void clock_note_read(struct cpu *cpu)
{
    if (cpu->stay.user) {
        cpu->stay.untimed -= CLOCK_READ_NS;
    }
}

bool clock_stands(const struct cpu *cpu)
{
    return cpu->stay.inside;
}

static u64 virtual_ns(const struct cpu *cpu)
{
    return clock_counted(cpu) + atomic_load_explicit(&cpu->clock->warp_ns, memory_order_relaxed);
}

u64 clock_ns(const struct cpu *cpu)
{
    return cpu->clock->icount ? virtual_ns(cpu) : clock_host_ns(cpu->clock);
}

u64 clock_tsc_raw(const struct cpu *cpu)
{
    return cpu->clock->icount ? virtual_ns(cpu) : host_ticks(cpu->clock) + cpu->clock->tsc_start;
}

u64 clock_tsc(const struct cpu *cpu)
{
    return clock_tsc_raw(cpu) + cpu->msr.tsc_adjust;
}

/* Rounded up: at that nanosecond the TSC has reached the value, and is not one tick before it. */
u64 clock_tsc_to_ns(const struct cpu *cpu, u64 tsc)
{
    u64 raw = tsc - cpu->msr.tsc_adjust - cpu->clock->tsc_start;
    unsigned __int128 ns;

    if (raw >> 63 && tsc <= clock_tsc(cpu)) {
        return 0; /* before power-on, as the guest has set its TSC since */
    }
    if (cpu->clock->icount) {
        return raw;
    }
    ns = ((unsigned __int128)raw * cpu->clock->ns_per_tsc_32 + UINT32_MAX) >> 32;
    return ns > UINT64_MAX ? UINT64_MAX : (u64)ns;
}
