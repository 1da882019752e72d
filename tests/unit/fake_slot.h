/* fake_slot.h - a slot for one device under test: a clock that the test sets, lines that count. */
#ifndef FAKE_SLOT_H
#define FAKE_SLOT_H

#include "dev/device.h"

#define FAKE_LINES 16

struct fake_slot {
    struct slot slot;
    struct bus_map bus;
    struct timer_queue timers;
    struct a20_gate a20;
    unsigned a20_changes;
    u64 now_ns;
    bool level[FAKE_LINES];
    unsigned rises[FAKE_LINES];
    unsigned powers;
    enum power_event event;
    u32 code;
};

static u64 fake_clock(void *clock)
{
    return ((struct fake_slot *)clock)->now_ns;
}

static void fake_line(void *context, unsigned n, bool level)
{
    struct fake_slot *f = context;

    f->rises[n] += level && !f->level[n];
    f->level[n] = level;
}

static void fake_power(void *context, enum power_event event, u32 code)
{
    struct fake_slot *f = context;

    f->powers++;
    f->event = event;
    f->code = code;
}

static void fake_a20(void *context, bool on)
{
    (void)on;
    ((struct fake_slot *)context)->a20_changes++;
}

static inline void fake_slot_init(struct fake_slot *f)
{
    *f = (struct fake_slot){.a20 = {.on = true, .changed = fake_a20, .context = f}};
    f->timers.clock_ns = fake_clock;
    f->timers.clock = f;
    f->slot = (struct slot){.bus = &f->bus,
                            .timers = &f->timers,
                            .a20 = &f->a20,
                            .power = fake_power,
                            .power_context = f};
}

static inline struct irq fake_irq(struct fake_slot *f, unsigned n)
{
    return (struct irq){.set = fake_line, .context = f, .number = n};
}

/* Let time pass, stopping at each deadline.  At most a million timers fire. */
static inline void fake_advance(struct fake_slot *f, u64 ns)
{
    u64 end_ns = f->now_ns + ns, next_ns;
    unsigned i;

    for (i = 0; i < 1000000; i++) {
        next_ns = timer_queue_next(&f->timers);
        if (next_ns > end_ns) {
            break;
        }
        if (next_ns > f->now_ns) {
            f->now_ns = next_ns;
        }
        timer_queue_run(&f->timers);
    }
    f->now_ns = end_ns;
}

/* Time passes at once, as on a host that was suspended. */
static inline void fake_jump(struct fake_slot *f, u64 ns)
{
    f->now_ns += ns;
    timer_queue_run(&f->timers);
}

static inline u64 fake_in(struct fake_slot *f, u16 port, unsigned size)
{
    return bus_map_read(&f->bus, BUS_PIO, port, size);
}

static inline void fake_out(struct fake_slot *f, u16 port, u64 value, unsigned size)
{
    bus_map_write(&f->bus, BUS_PIO, port, value, size);
}

static inline u8 inb(struct fake_slot *f, u16 port)
{
    return (u8)fake_in(f, port, 1);
}

static inline void outb(struct fake_slot *f, u16 port, u8 value)
{
    fake_out(f, port, value, 1);
}

#endif
