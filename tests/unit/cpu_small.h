/*
 * cpu_small.h - one or more CPUs for tests that execute nothing: local APIC, CPUID, MSRs, clock.
 *
 * Time is virtual (--icount) and stands still unless a test moves it.
 */
#ifndef TESTS_CPU_SMALL_H
#define TESTS_CPU_SMALL_H

#include <stdlib.h>
#include <string.h>

#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpuid.h"
#include "cpu/kvm.h"
#include "cpu/lapic.h"
#include "cpu/msr.h"
#include "isa/msr.h"

enum { SMALL_CPUS = 4, SMALL_RAM = 64 * 1024 };

struct small {
    struct interrupt_inbox inboxes[SMALL_CPUS];
    struct cpu *cpu[SMALL_CPUS];
    struct vm_clock clock;
    struct mem mem;
    u8 code_holders[SMALL_RAM / PAGE_SIZE];
    u64 armed_ns;  /* last arm_timer() of CPU 0 */
    unsigned arms; /* how many */
    u8 pic_vector; /* what an INTA cycle gives */
    unsigned eois; /* broadcast */
    u8 eoi_vector; /* the last one */
};

static inline void small_arm(void *context, u64 deadline_ns)
{
    struct small *s = context;

    s->armed_ns = deadline_ns;
    s->arms++;
}

static inline int small_acknowledge(void *context)
{
    return ((struct small *)context)->pic_vector;
}

static inline void small_eoi(void *context, u8 vector)
{
    struct small *s = context;

    s->eois++;
    s->eoi_vector = vector;
}

static inline int small_setup(void **state)
{
    struct small *s = aligned_alloc(64, (sizeof(*s) + 63) / 64 * 64);

    memset(s, 0, sizeof(*s));
    s->clock = (struct vm_clock){.icount = true, .tsc_khz = 1000000, .ns_per_tsc_32 = 1ull << 32};
    s->mem = (struct mem){
        .base = aligned_alloc(PAGE_SIZE, SMALL_RAM),
        .low_size = SMALL_RAM,
        .code_holders = s->code_holders,
    };
    memset(s->mem.base, 0, SMALL_RAM);
    s->armed_ns = UINT64_MAX;
    for (unsigned i = 0; i < SMALL_CPUS; i++) {
        struct cpu *cpu = aligned_alloc(64, sizeof(*cpu));

        memset(cpu, 0, sizeof(*cpu));
        s->cpu[i] = cpu;
        cpu->index = i;
        cpu->cpu_count = SMALL_CPUS;
        cpu->inbox = &s->inboxes[i];
        cpu->fabric = (struct interrupt_fabric){.inboxes = s->inboxes, .count = SMALL_CPUS};
        cpu->clock = &s->clock;
        cpu->port.acknowledge = small_acknowledge;
        cpu->port.eoi = small_eoi;
        cpu->port.context = s;
        mmu_init(&cpu->mmu, &s->mem, NULL, NULL);
        cpu->xcr0 = XCR0_X87;
        lapic_reset(cpu);
        msr_reset(cpu);
    }
    s->cpu[0]->ops.arm_timer = small_arm;
    s->cpu[0]->ops.context = s;
    *state = s;
    return 0;
}

static inline int small_teardown(void **state)
{
    struct small *s = *state;

    for (unsigned i = 0; i < SMALL_CPUS; i++) {
        free(s->cpu[i]);
    }
    free(s->mem.base);
    free(s);
    return 0;
}

static inline void small_set_time(struct small *s, u64 ns)
{
    atomic_store(&s->clock.warp_ns, ns);
}

#endif
