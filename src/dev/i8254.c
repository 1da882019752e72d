/*
 * i8254.c - the 8254 interval timer, and port 0x61, which holds the gate of its channel 2.
 *
 *      port 40..42  the channels' counts          port 43  control word
 *      port 61      0 gate 2   1 speaker   2-3 check enables   4 refresh toggle   5 OUT 2
 *
 * Nothing counts here.  A channel remembers at which tick of the 1.193182 MHz clock its count was
 * loaded, and computes its count and its output from the ticks since.
 *
 * Intel, "8254 Programmable Interval Timer"; Intel, "82371AB (PIIX4)", NMISC.
 *
 * LIMIT: a new count in mode 3 takes effect at the end of the whole period, not of the half.
 * LIMIT: IRQ 0 in modes 2 to 4 shows rising edges only (its low phase is a pulse just before the
 * next rise), comes at most once in MIN_PERIOD_NS, and edges missed by a late host are not made up.
 */
#include "dev/i8254.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    ACCESS_LATCH = 0,
    ACCESS_LOW = 1,
    ACCESS_HIGH = 2,
    ACCESS_WORD = 3,
    STATUS_OUT = 0x80,
    STATUS_NULL_COUNT = 0x40,
    PORT61_GATE2 = 0x01,
    PORT61_WRITABLE = 0x0f,
    PORT61_REFRESH = 0x10,
    PORT61_OUT2 = 0x20,
    REFRESH_NS = 15085,
    MIN_PERIOD_NS = 50000,
};

#define NO_TICK UINT64_MAX

struct channel {
    u8 mode, access;
    bool bcd, gate;
    bool loaded;  /* a count was written since the control word */
    bool running; /* start is valid: counting, or paused at elapsed */
    bool paused;
    bool pending;               /* next_period waits for the end of the current period */
    u64 start;                  /* tick at which the count was written, or the gate rose */
    u64 elapsed;                /* ticks since start, while paused */
    u32 period, next_period;    /* 1 to 65,536 */
    u64 switch_tick;            /* when next_period takes over */
    u8 low_byte;                /* of a word that is half written */
    bool write_high, read_high; /* flip-flops of word access */
    bool count_latched, status_latched;
    u16 latched_count;
    u8 latched_status;
};

struct i8254 {
    struct device device;
    struct slot slot;
    struct channel channels[3];
    struct irq irq;
    struct timer timer;
    u64 rise; /* the tick of the next rising edge that the timer is armed for */
    u8 port61;
};

static struct i8254 *from_device(struct device *device)
{
    return container_of(device, struct i8254, device);
}

static u64 now_ticks(const struct i8254 *pit)
{
    return (u64)((unsigned __int128)timer_now(pit->slot.timers) * I8254_HZ / 1000000000u);
}

/* The first nanosecond at which now_ticks() is tick. */
static u64 tick_ns(u64 tick)
{
    return (u64)(((unsigned __int128)tick * 1000000000u + I8254_HZ - 1) / I8254_HZ);
}

static bool is_periodic(const struct channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool is_triggered(const struct channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

/* Let a pending count take over if its time has come. */
static void sync(struct channel *c, u64 now)
{
    if (c->pending && c->running && !c->paused && now >= c->switch_tick) {
        c->start = c->switch_tick - 1;
        c->period = c->next_period;
        c->pending = false;
    }
}

/* Clocks counted: the first clock after start only loads the counter. */
static u64 clocks(const struct channel *c, u64 now)
{
    u64 d = c->paused ? c->elapsed : now - c->start;
    return d ? d - 1 : 0;
}

static bool output(const struct channel *c, u64 now)
{
    u64 n;

    if (!c->running) {
        return c->mode != 0;
    }
    n = clocks(c, now);
    switch (c->mode) {
    case 0:
        return n >= c->period;
    case 1: /* low for the first period after the trigger */
        return n >= c->period;
    case 2:
        return c->paused || n % c->period != c->period - 1;
    case 3:
        return c->paused || n % c->period < (c->period + 1) / 2;
    default: /* 4, 5: one clock low at the end */
        return n != c->period;
    }
}

/* The counting element, as a plain number. */
static u32 counter(const struct channel *c, u64 now)
{
    u32 modulus = c->bcd ? 10000 : 65536, phase, high;
    u64 n;

    if (!c->running) {
        return c->period % modulus;
    }
    n = clocks(c, now);
    if (c->mode == 2) {
        return (c->period - n % c->period) % modulus;
    }
    if (c->mode == 3) { /* counts by two, twice a period; an odd count lasts one longer high */
        phase = n % c->period;
        high = (c->period + 1) / 2;
        return ((c->period & ~1u) - 2 * (phase < high ? phase : phase - high)) % modulus;
    }
    return (c->period + modulus - n % modulus) % modulus;
}

static u16 encode(const struct channel *c, u32 value)
{
    if (!c->bcd) {
        return value;
    }
    return value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
}

static u32 decode(const struct channel *c, u16 raw)
{
    u32 value = raw;

    if (c->bcd) {
        value = (raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15);
    }
    return value ? value : c->bcd ? 10000 : 65536;
}

/* The first tick after now at which the output rises, or NO_TICK. */
static u64 next_rise(const struct channel *c, u64 now)
{
    u64 first, tick;

    if (!c->running || c->paused || is_triggered(c)) {
        return NO_TICK;
    }
    first = c->start + 1 + c->period + (c->mode == 4 ? 1 : 0);
    if (now < first) {
        return first;
    }
    if (!is_periodic(c)) {
        return NO_TICK;
    }
    tick = now + c->period - (now - first) % c->period;
    return c->pending && tick > c->switch_tick ? c->switch_tick : tick;
}

/* Arm the timer for the next rise of channel 0, no sooner than not_before_ns. */
static void arm(struct i8254 *pit, u64 now, u64 not_before_ns)
{
    u64 deadline_ns;

    pit->rise = next_rise(&pit->channels[0], now);
    if (pit->rise == NO_TICK) {
        timer_cancel(&pit->timer);
        return;
    }
    deadline_ns = tick_ns(pit->rise);
    timer_arm(&pit->timer, deadline_ns > not_before_ns ? deadline_ns : not_before_ns);
}

static void fire(void *arg)
{
    struct i8254 *pit = arg;
    u64 now = now_ticks(pit);

    sync(&pit->channels[0], now);
    if (pit->channels[0].mode != 0) {
        irq_set(&pit->irq, false);
    }
    irq_set(&pit->irq, true);
    arm(pit, now, timer_now(pit->slot.timers) + MIN_PERIOD_NS);
}

/* After channel 0 was written: its line, then its timer. */
static void restart_irq(struct i8254 *pit, u64 now)
{
    irq_set(&pit->irq, output(&pit->channels[0], now));
    arm(pit, now, 0);
}

static void load(struct channel *c, u64 now, u16 raw)
{
    u32 value = decode(c, raw);

    /* A period of 1 is illegal in modes 2 and 3. */
    if (is_periodic(c) && value == 1) {
        value = 2;
    }
    c->loaded = true;
    if (c->running && is_periodic(c) && !c->paused) {
        c->next_period = value;
        if (!c->pending) {
            u64 n = clocks(c, now);
            c->switch_tick = c->start + 1 + n - n % c->period + c->period;
            c->pending = true;
        }
        return;
    }
    if (c->running && is_triggered(c)) { /* the next trigger takes it */
        c->next_period = value;
        c->pending = true;
        c->switch_tick = NO_TICK;
        return;
    }
    c->period = value;
    c->pending = false;
    c->running = !is_triggered(c);
    c->start = now;
    c->paused = !c->gate;
    c->elapsed = 0;
}

static void set_gate(struct channel *c, u64 now, bool gate)
{
    bool rises = gate && !c->gate;

    if (gate == c->gate) {
        return;
    }
    sync(c, now);
    c->gate = gate;
    if (!c->loaded) {
        return;
    }
    if (is_triggered(c)) {
        if (rises) {
            c->period = c->pending ? c->next_period : c->period;
            c->pending = false;
            c->running = true;
            c->paused = false;
            c->start = now;
        }
    } else if (!rises) {
        c->elapsed = now - c->start;
        c->paused = true;
    } else if (is_periodic(c)) { /* begins a new period */
        c->period = c->pending ? c->next_period : c->period;
        c->pending = false;
        c->paused = false;
        c->start = now;
    } else {
        c->paused = false;
        c->start = now - c->elapsed;
    }
}

static u8 status(const struct channel *c, u64 now)
{
    bool null_count = !c->loaded || c->pending || (c->running && !c->paused && now == c->start);

    return (output(c, now) ? STATUS_OUT : 0) | (null_count ? STATUS_NULL_COUNT : 0) |
           c->access << 4 | c->mode << 1 | c->bcd;
}

static void latch_count(struct channel *c, u64 now)
{
    if (!c->count_latched) {
        c->count_latched = true;
        c->latched_count = encode(c, counter(c, now));
    }
}

static void latch_status(struct channel *c, u64 now)
{
    if (!c->status_latched) {
        c->status_latched = true;
        c->latched_status = status(c, now);
    }
}

static void read_back(struct i8254 *pit, u64 now, u8 value)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        if (!(value & 2u << i)) {
            continue;
        }
        sync(&pit->channels[i], now);
        if (!(value & 0x20)) {
            latch_count(&pit->channels[i], now);
        }
        if (!(value & 0x10)) {
            latch_status(&pit->channels[i], now);
        }
    }
}

static void write_control(struct i8254 *pit, u64 now, u8 value)
{
    unsigned n = value >> 6, mode = value >> 1 & 7;
    struct channel *c = &pit->channels[n % 3];

    if (n == 3) {
        read_back(pit, now, value);
        return;
    }
    sync(c, now);
    if ((value >> 4 & 3) == ACCESS_LATCH) {
        latch_count(c, now);
        return;
    }
    *c = (struct channel){.mode = mode > 5 ? mode - 4 : mode,
                          .access = value >> 4 & 3,
                          .bcd = value & 1,
                          .gate = c->gate,
                          .period = c->period};
    if (n == 0) {
        restart_irq(pit, now);
    }
}

static void write_count(struct i8254 *pit, struct channel *c, u64 now, u8 value)
{
    u16 raw = c->access == ACCESS_HIGH ? value << 8 : value;

    sync(c, now);
    if (c->access == ACCESS_LATCH) { /* no control word yet */
        return;
    }
    if (c->access == ACCESS_WORD) {
        c->write_high = !c->write_high;
        if (c->write_high) {
            c->low_byte = value;
            if (c->mode == 0) { /* the first byte stops the count */
                c->running = false;
                if (c == &pit->channels[0]) {
                    restart_irq(pit, now);
                }
            }
            return;
        }
        raw = value << 8 | c->low_byte;
    }
    load(c, now, raw);
    if (c == &pit->channels[0]) {
        if (c->pending) { /* the line stays as it is, only the next rise may move */
            arm(pit, now, 0);
        } else {
            restart_irq(pit, now);
        }
    }
}

static u8 read_count(struct channel *c, u64 now)
{
    bool high = c->access == ACCESS_HIGH;
    u16 value;

    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    sync(c, now);
    value = c->count_latched ? c->latched_count : encode(c, counter(c, now));
    if (c->access == ACCESS_WORD) {
        high = c->read_high;
        c->read_high = !c->read_high;
    }
    if (c->access != ACCESS_WORD || high) {
        c->count_latched = false;
    }
    return high ? value >> 8 : value;
}

static u64 pit_read(void *device, u64 offset, unsigned size)
{
    struct i8254 *pit = device;
    (void)size;
    return offset == 3 ? 0xff : read_count(&pit->channels[offset], now_ticks(pit));
}

static void pit_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8254 *pit = device;
    u64 now = now_ticks(pit);

    (void)size;
    if (offset == 3) {
        write_control(pit, now, value);
    } else {
        write_count(pit, &pit->channels[offset], now, value);
    }
}

static u64 port61_read(void *device, u64 offset, unsigned size)
{
    struct i8254 *pit = device;
    u64 now = now_ticks(pit);
    u8 value = pit->port61;

    (void)offset;
    (void)size;
    sync(&pit->channels[2], now);
    if (timer_now(pit->slot.timers) / REFRESH_NS & 1) {
        value |= PORT61_REFRESH;
    }
    if (output(&pit->channels[2], now)) {
        value |= PORT61_OUT2;
    }
    return value;
}

static void port61_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8254 *pit = device;

    (void)offset;
    (void)size;
    pit->port61 = value & PORT61_WRITABLE;
    set_gate(&pit->channels[2], now_ticks(pit), value & PORT61_GATE2);
}

static const struct bus_region_ops pit_ops = {pit_read, pit_write, 1, 1};
static const struct bus_region_ops port61_ops = {port61_read, port61_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x40, .size = 4, .ops = &pit_ops, .name = "i8254"},
    {.space = BUS_PIO, .base = 0x61, .size = 1, .ops = &port61_ops, .name = "port 61"},
};

static void reset(struct device *device)
{
    struct i8254 *pit = from_device(device);
    unsigned i;

    for (i = 0; i < 3; i++) {
        pit->channels[i] = (struct channel){.gate = i != 2, .period = 65536};
    }
    pit->port61 = 0;
    timer_cancel(&pit->timer);
    irq_set(&pit->irq, false);
}

static void destroy(struct device *device)
{
    struct i8254 *pit = from_device(device);

    timer_cancel(&pit->timer);
    device_remove_regions(&pit->slot, regions, ARRAY_SIZE(regions));
    free(pit);
}

static const struct field fields[] = {
    FIELD_EACH_MAX(struct i8254, channels, mode, 5),
    FIELD_EACH_MAX(struct i8254, channels, access, ACCESS_WORD),
    FIELD_EACH(struct i8254, channels, bcd),
    FIELD_EACH(struct i8254, channels, gate),
    FIELD_EACH(struct i8254, channels, loaded),
    FIELD_EACH(struct i8254, channels, running),
    FIELD_EACH(struct i8254, channels, paused),
    FIELD_EACH(struct i8254, channels, pending),
    FIELD_EACH(struct i8254, channels, start),
    FIELD_EACH(struct i8254, channels, elapsed),
    FIELD_EACH_MAX(struct i8254, channels, period, 65536),
    FIELD_EACH_MAX(struct i8254, channels, next_period, 65536),
    FIELD_EACH(struct i8254, channels, switch_tick),
    FIELD_EACH(struct i8254, channels, low_byte),
    FIELD_EACH(struct i8254, channels, write_high),
    FIELD_EACH(struct i8254, channels, read_high),
    FIELD_EACH(struct i8254, channels, count_latched),
    FIELD_EACH(struct i8254, channels, status_latched),
    FIELD_EACH(struct i8254, channels, latched_count),
    FIELD_EACH(struct i8254, channels, latched_status),
    FIELD_TIMER(struct i8254, timer),
    FIELD(struct i8254, rise),
    FIELD_MAX(struct i8254, port61, PORT61_WRITABLE),
    FIELDS_END,
};

/* A count is divided by. */
static bool loaded(struct device *device)
{
    const struct i8254 *pit = from_device(device);

    for (unsigned i = 0; i < ARRAY_SIZE(pit->channels); i++) {
        const struct channel *c = &pit->channels[i];
        if (c->period == 0 || (c->pending && c->next_period == 0)) {
            return false;
        }
    }
    return true;
}

int i8254_create(const struct slot *slot, const struct i8254_config *config, struct device **device)
{
    struct i8254 *pit = calloc(1, sizeof(*pit));
    int error;

    if (!pit) {
        return -ENOMEM;
    }
    pit->device = (struct device){.name = "i8254",
                                  .block = pit,
                                  .block_bytes = sizeof(*pit),
                                  .state = {{fields, pit}},
                                  .loaded = loaded,
                                  .reset = reset,
                                  .destroy = destroy};
    pit->slot = *slot;
    pit->irq = config->irq;
    timer_init(&pit->timer, slot->timers, fire, pit);
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), pit);
    if (error) {
        free(pit);
        return error;
    }
    reset(&pit->device);
    *device = &pit->device;
    return 0;
}
