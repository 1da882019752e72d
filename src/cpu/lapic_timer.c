/*
 * lapic_timer.c - the local APIC's timer: one-shot, periodic and TSC-deadline.
 *
 * Intel SDM vol. 3A, "APIC Timer".  A tick of the undivided timer is one nanosecond
 * (LAPIC_TIMER_HZ).  The count is not kept: it follows from deadline_ns, the time of the next
 * expiry.  A timer that is noticed late, as after a long pause of the host's, expires once.
 */
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/lapic_local.h"

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE, TIMER_RESERVED };

#define LVT_TIMER_SHIFT 17

static enum timer_mode mode_in(u32 lvt)
{
    return (enum timer_mode)bits_get(lvt, LVT_TIMER_SHIFT, 2);
}

static enum timer_mode timer_mode(const struct lapic *l)
{
    return mode_in(l->lvt[LVT_TIMER]);
}

static u64 divider(const struct lapic *l)
{
    unsigned code = (l->timer_divide & 3) | ((l->timer_divide >> 1) & 4);

    return BIT((code + 1) & 7);
}

static u64 timer_period_ns(const struct lapic *l)
{
    return l->timer_initial * divider(l);
}

void lapic_timer_arm(struct cpu *cpu, u64 deadline_ns)
{
    struct lapic *l = &cpu->lapic;

    if (l->deadline_ns == LAPIC_NEVER && deadline_ns == LAPIC_NEVER) {
        return;
    }
    l->deadline_ns = deadline_ns;
    if (cpu->ops.arm_timer) {
        cpu->ops.arm_timer(cpu->ops.context, deadline_ns);
    }
}

/* The deadline is past, by however much: one interrupt, and on to the period that now runs. */
static void timer_expire(struct cpu *cpu, u64 now)
{
    struct lapic *l = &cpu->lapic;
    u64 period = timer_period_ns(l);

    if (timer_mode(l) == TIMER_PERIODIC && period) {
        l->timer_start_ns = now - (now - l->deadline_ns) % period;
        lapic_timer_arm(cpu, l->timer_start_ns + period);
    } else {
        l->tsc_deadline = 0;
        lapic_timer_arm(cpu, LAPIC_NEVER);
    }
    lapic_local_event(cpu, LVT_TIMER);
}

void lapic_timer_check(struct cpu *cpu)
{
    u64 now;

    if (cpu->lapic.deadline_ns == LAPIC_NEVER) {
        return;
    }
    now = clock_ns(cpu);
    if (now >= cpu->lapic.deadline_ns) {
        timer_expire(cpu, now);
    }
}

u32 lapic_timer_current(const struct cpu *cpu)
{
    const struct lapic *l = &cpu->lapic;
    u64 now = clock_ns(cpu), period = timer_period_ns(l), left;

    if (l->deadline_ns == LAPIC_NEVER || timer_mode(l) == TIMER_TSC_DEADLINE || !period) {
        return 0;
    }
    if (now < l->deadline_ns) {
        left = l->deadline_ns - now;
    } else if (timer_mode(l) == TIMER_PERIODIC) {
        left = period - (now - l->deadline_ns) % period;
    } else {
        left = 0;
    }
    return (u32)((left + divider(l) - 1) / divider(l));
}

void lapic_timer_set_initial(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;

    if (timer_mode(l) == TIMER_TSC_DEADLINE) {
        return;
    }
    l->timer_initial = value;
    if (!value) {
        lapic_timer_arm(cpu, LAPIC_NEVER);
        return;
    }
    l->timer_start_ns = clock_ns(cpu);
    lapic_timer_arm(cpu, l->timer_start_ns + timer_period_ns(l));
}

/* The count goes on from where it is, at the new rate. */
void lapic_timer_set_divide(struct cpu *cpu, u32 value)
{
    struct lapic *l = &cpu->lapic;
    u32 count = lapic_timer_current(cpu);

    l->timer_divide = value;
    if (l->deadline_ns != LAPIC_NEVER && timer_mode(l) != TIMER_TSC_DEADLINE) {
        u64 deadline = clock_ns(cpu) + count * divider(l);

        l->timer_start_ns = deadline - timer_period_ns(l);
        lapic_timer_arm(cpu, deadline);
    }
}

void lapic_timer_lvt_changed(struct cpu *cpu, u32 old_lvt)
{
    struct lapic *l = &cpu->lapic;
    enum timer_mode old = mode_in(old_lvt), new = timer_mode(l);

    if (old != new && (old == TIMER_TSC_DEADLINE || new == TIMER_TSC_DEADLINE)) {
        l->timer_initial = 0;
        l->tsc_deadline = 0;
        lapic_timer_arm(cpu, LAPIC_NEVER);
    }
}

u64 lapic_get_tsc_deadline(struct cpu *cpu)
{
    lapic_timer_check(cpu);
    return timer_mode(&cpu->lapic) == TIMER_TSC_DEADLINE ? cpu->lapic.tsc_deadline : 0;
}

void lapic_set_tsc_deadline(struct cpu *cpu, u64 tsc)
{
    struct lapic *l = &cpu->lapic;
    u64 deadline, now;

    if (timer_mode(l) != TIMER_TSC_DEADLINE) {
        return;
    }
    l->tsc_deadline = tsc;
    if (tsc == 0) {
        lapic_timer_arm(cpu, LAPIC_NEVER);
        return;
    }
    deadline = clock_tsc_to_ns(cpu, tsc);
    now = clock_ns(cpu);
    if (deadline > now) {
        lapic_timer_arm(cpu, deadline);
    } else {
        timer_expire(cpu, now);
    }
}

void lapic_tsc_changed(struct cpu *cpu)
{
    if (cpu->lapic.tsc_deadline) {
        lapic_set_tsc_deadline(cpu, cpu->lapic.tsc_deadline);
    }
}
