/*
 * mc146818.c - the MC146818 real-time clock with 128 bytes of CMOS memory.
 *
 *      port 70  bit 7: NMI disable; bits 6-0: index        port 71  data
 *
 *      00 seconds  01 its alarm  02 minutes  03 alarm  04 hours  05 alarm  06 day of week
 *      07 day  08 month  09 year  0A-0D registers A to D  32 century, and what firmware stores
 *
 * The divider chain counts nanoseconds since divider_origin_ns on the queue's clock; the time of
 * day is base_s plus its whole seconds.  While the guest holds the clock (SET, or a divider
 * setting that is not the running one), the time registers are plain memory.
 *
 * Motorola, "MC146818A Real-Time Clock Plus RAM"; for the memory sizes, Ralf Brown's "CMOS Memory
 * Map" and SeaBIOS's and Bochs's use of it.
 *
 * LIMIT: no square wave and no daylight saving (DSE).
 */
#include "dev/mc146818.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/calendar.h"

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    WEEKDAY = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REGISTER_A = 0x0a,
    REGISTER_B = 0x0b,
    REGISTER_C = 0x0c,
    REGISTER_D = 0x0d,
    CENTURY = 0x32,

    A_RATE = 0x0f,
    A_DIVIDER = 0x70,
    A_DIVIDER_RUN = 0x20,
    A_UIP = 0x80,
    B_24H = 0x02,
    B_BINARY = 0x04,
    B_UIE = 0x10,
    B_AIE = 0x20,
    B_PIE = 0x40,
    B_SET = 0x80,
    C_UF = 0x10,
    C_AF = 0x20,
    C_PF = 0x40,
    C_IRQF = 0x80,
    D_VRT = 0x80,
    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0,

    UIP_NS = 244000,
    DAY_S = 86400,
};

#define SECOND_NS 1000000000ll
#define NO_TIME   INT64_MAX

struct mc146818 {
    struct device device;
    struct slot slot;
    struct irq irq;
    struct timer timer;
    struct mc146818_config config;
    u8 index;
    u8 cmos[128];
    bool running;
    s64 base_s;
    s64 divider_origin_ns;
    s64 seen_s;       /* updates up to this second are in register C */
    u64 seen_period;  /* periods of the periodic rate likewise */
    u8 weekday_shift; /* what the guest set the day of the week to, less what the date says */
};

static struct mc146818 *from_device(struct device *device)
{
    return container_of(device, struct mc146818, device);
}

static s64 floor_div(s64 a, s64 b)
{
    return a / b - (a % b < 0);
}

/* Nanoseconds that the divider chain has counted. */
static s64 divider_ns(const struct mc146818 *rtc)
{
    return (s64)timer_now(rtc->slot.timers) - rtc->divider_origin_ns;
}

static s64 current_s(const struct mc146818 *rtc)
{
    return rtc->base_s + floor_div(divider_ns(rtc), SECOND_NS);
}

static u8 encode(const struct mc146818 *rtc, unsigned value)
{
    if (rtc->cmos[REGISTER_B] & B_BINARY) {
        return value;
    }
    return value / 10 % 10 << 4 | value % 10;
}

static unsigned decode(const struct mc146818 *rtc, u8 raw)
{
    if (rtc->cmos[REGISTER_B] & B_BINARY) {
        return raw;
    }
    return (raw >> 4) * 10 + (raw & 15);
}

static u8 encode_hour(const struct mc146818 *rtc, unsigned hour)
{
    if (rtc->cmos[REGISTER_B] & B_24H) {
        return encode(rtc, hour);
    }
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct mc146818 *rtc, u8 raw)
{
    if (rtc->cmos[REGISTER_B] & B_24H) {
        return decode(rtc, raw);
    }
    return decode(rtc, raw & ~HOUR_PM) % 12 + (raw & HOUR_PM ? 12 : 0);
}

/* Put the running time into the time registers. */
static void store_time(struct mc146818 *rtc)
{
    s64 now_s = current_s(rtc), days = floor_div(now_s, DAY_S), year;
    unsigned second_of_day = (unsigned)(now_s - days * DAY_S), month, day;
    unsigned weekday = (unsigned)(days + 4 - 7 * floor_div(days + 4, 7)); /* 0 is Sunday */

    calendar_date(days, &year, &month, &day);
    rtc->cmos[SECONDS] = encode(rtc, second_of_day % 60);
    rtc->cmos[MINUTES] = encode(rtc, second_of_day / 60 % 60);
    rtc->cmos[HOURS] = encode_hour(rtc, second_of_day / 3600);
    rtc->cmos[WEEKDAY] = encode(rtc, (weekday + rtc->weekday_shift) % 7 + 1);
    rtc->cmos[DAY] = encode(rtc, day);
    rtc->cmos[MONTH] = encode(rtc, month);
    rtc->cmos[YEAR] = encode(rtc, (unsigned)(year - 100 * floor_div(year, 100)));
    rtc->cmos[CENTURY] = encode(rtc, (unsigned)floor_div(year, 100) % 100);
}

/* Let the clock go on from what the time registers say.  The divider chain is not touched. */
static void load_time(struct mc146818 *rtc)
{
    s64 year = decode(rtc, rtc->cmos[CENTURY]) * 100 + decode(rtc, rtc->cmos[YEAR]);
    s64 days = calendar_days(year, decode(rtc, rtc->cmos[MONTH]), decode(rtc, rtc->cmos[DAY]));
    s64 time_s = days * DAY_S + decode_hour(rtc, rtc->cmos[HOURS]) * 3600 +
                 decode(rtc, rtc->cmos[MINUTES]) * 60 + decode(rtc, rtc->cmos[SECONDS]);
    s64 weekday = days + 4 - 7 * floor_div(days + 4, 7);

    rtc->weekday_shift = (u8)((decode(rtc, rtc->cmos[WEEKDAY]) + 13 - weekday) % 7);
    rtc->base_s = time_s - floor_div(divider_ns(rtc), SECOND_NS);
    rtc->seen_s = time_s;
}

static bool alarm_matches(u8 raw, unsigned alarm, unsigned value)
{
    return (raw & ALARM_ANY) == ALARM_ANY || alarm == value;
}

/* The first second after after_s that the alarm matches, or NO_TIME. */
static s64 next_alarm(const struct mc146818 *rtc, s64 after_s)
{
    u8 raw_second = rtc->cmos[SECONDS_ALARM], raw_minute = rtc->cmos[MINUTES_ALARM];
    u8 raw_hour = rtc->cmos[HOURS_ALARM];
    unsigned second = decode(rtc, raw_second), minute = decode(rtc, raw_minute), i;
    unsigned hour = decode_hour(rtc, raw_hour);
    s64 from_s = after_s + 1, minute_s;

    for (i = 0; i <= DAY_S / 60; i++) {
        unsigned of_day;
        minute_s = floor_div(from_s, 60) * 60;
        of_day = (unsigned)(minute_s / 60 - floor_div(minute_s, DAY_S) * (DAY_S / 60));
        if (alarm_matches(raw_hour, hour, of_day / 60) &&
            alarm_matches(raw_minute, minute, of_day % 60)) {
            if ((raw_second & ALARM_ANY) == ALARM_ANY) {
                return from_s;
            }
            if (second < 60 && minute_s + second >= from_s) {
                return minute_s + second;
            }
        }
        from_s = minute_s + 60;
    }
    return NO_TIME;
}

/* The periodic rate's length in cycles of 32,768 Hz; 0: none. */
static unsigned period_cycles(const struct mc146818 *rtc)
{
    unsigned rate = rtc->cmos[REGISTER_A] & A_RATE;

    if (rate == 0) {
        return 0;
    }
    return rate <= 2 ? 128u << (rate - 1) : 1u << (rate - 1);
}

static bool divider_runs(const struct mc146818 *rtc)
{
    return (rtc->cmos[REGISTER_A] & A_DIVIDER) == A_DIVIDER_RUN;
}

/* How many whole periods the divider chain has counted. */
static u64 periods(const struct mc146818 *rtc)
{
    unsigned cycles = period_cycles(rtc);
    s64 ns = divider_ns(rtc);

    if (!cycles || ns < 0) {
        return 0;
    }
    return (u64)((unsigned __int128)ns * 32768 / SECOND_NS) / cycles;
}

/* Bring register C's flags, and the line, up to now. */
static void sync(struct mc146818 *rtc)
{
    u8 *c = &rtc->cmos[REGISTER_C];

    if (divider_runs(rtc)) {
        u64 count = periods(rtc);
        if (count != rtc->seen_period) {
            rtc->seen_period = count;
            *c |= C_PF;
        }
    }
    if (rtc->running) {
        s64 now_s = current_s(rtc);
        if (now_s > rtc->seen_s) {
            if (!(*c & C_AF) && next_alarm(rtc, rtc->seen_s) <= now_s) {
                *c |= C_AF;
            }
            rtc->seen_s = now_s;
            *c |= C_UF;
        }
    }
    if (*c & rtc->cmos[REGISTER_B] & (C_PF | C_AF | C_UF)) {
        *c |= C_IRQF;
    } else {
        *c &= ~C_IRQF;
    }
    irq_set(&rtc->irq, *c & C_IRQF);
}

/* When the divider chain will have counted ns, on the queue's clock. */
static u64 deadline(const struct mc146818 *rtc, s64 ns)
{
    s64 when_ns;

    return __builtin_add_overflow(rtc->divider_origin_ns, ns, &when_ns) ? TIMER_NEVER
           : when_ns > 0                                                ? (u64)when_ns
                                                                        : 0;
}

static u64 second_deadline(const struct mc146818 *rtc, s64 time_s)
{
    s64 ns;

    if (__builtin_mul_overflow(time_s - rtc->base_s, SECOND_NS, &ns)) {
        return TIMER_NEVER;
    }
    return deadline(rtc, ns);
}

static u64 period_deadline(const struct mc146818 *rtc)
{
    unsigned __int128 cycles = (unsigned __int128)(rtc->seen_period + 1) * period_cycles(rtc);

    return deadline(rtc, (s64)((cycles * SECOND_NS + 32767) / 32768));
}

static u64 earlier(u64 a, u64 b)
{
    return a < b ? a : b;
}

/* One timer serves all three interrupts.  A flag that is already set needs none until the guest has
 * read it, so a guest that does not look is not interrupted again. */
static void arm(struct mc146818 *rtc)
{
    u8 wanted = rtc->cmos[REGISTER_B] & ~rtc->cmos[REGISTER_C];
    u64 deadline_ns = TIMER_NEVER;
    s64 alarm_s;

    if (wanted & B_PIE && period_cycles(rtc) && divider_runs(rtc)) {
        deadline_ns = period_deadline(rtc);
    }
    if (wanted & B_UIE && rtc->running) {
        deadline_ns = earlier(deadline_ns, second_deadline(rtc, rtc->seen_s + 1));
    }
    if (wanted & B_AIE && rtc->running) {
        alarm_s = next_alarm(rtc, rtc->seen_s);
        if (alarm_s != NO_TIME) {
            deadline_ns = earlier(deadline_ns, second_deadline(rtc, alarm_s));
        }
    }
    if (deadline_ns == TIMER_NEVER) {
        timer_cancel(&rtc->timer);
    } else {
        timer_arm(&rtc->timer, deadline_ns);
    }
}

static void update(struct mc146818 *rtc)
{
    sync(rtc);
    arm(rtc);
}

static void fire(void *arg)
{
    update(arg);
}

/* Start or stop the clock as registers A and B now say. */
static void set_running(struct mc146818 *rtc)
{
    bool run = divider_runs(rtc) && !(rtc->cmos[REGISTER_B] & B_SET);

    if (run && !rtc->running) {
        load_time(rtc);
    }
    rtc->running = run;
}

static void write_a(struct mc146818 *rtc, u8 value)
{
    bool ran = divider_runs(rtc);

    if (rtc->running) {
        store_time(rtc);
    }
    rtc->cmos[REGISTER_A] = value & ~A_UIP;
    if (!ran &&
        divider_runs(rtc)) { /* out of divider reset, the first update is half a second on */
        rtc->divider_origin_ns = (s64)timer_now(rtc->slot.timers) - SECOND_NS / 2;
    }
    rtc->seen_period = periods(rtc);
    set_running(rtc);
}

static void write_b(struct mc146818 *rtc, u8 value)
{
    if (rtc->running) {
        store_time(rtc);
    }
    if (value & B_SET) {
        value &= ~B_UIE;
    }
    rtc->cmos[REGISTER_B] = value;
    set_running(rtc);
    /* If the data mode changed while the clock ran, the registers follow it. */
}

static bool is_time(u8 index)
{
    return index == CENTURY || (index <= YEAR && (index >= WEEKDAY || !(index & 1)));
}

static void write_data(struct mc146818 *rtc, u8 value)
{
    sync(rtc);
    if (is_time(rtc->index)) {
        if (rtc->running) {
            store_time(rtc);
        }
        rtc->cmos[rtc->index] = value;
        if (rtc->running) {
            load_time(rtc);
        }
    } else if (rtc->index == REGISTER_A) {
        write_a(rtc, value);
    } else if (rtc->index == REGISTER_B) {
        write_b(rtc, value);
    } else if (rtc->index != REGISTER_C && rtc->index != REGISTER_D) {
        rtc->cmos[rtc->index] = value;
    }
    update(rtc);
}

static bool update_in_progress(const struct mc146818 *rtc)
{
    s64 ns = divider_ns(rtc);
    s64 fraction_ns = ns - floor_div(ns, SECOND_NS) * SECOND_NS;

    return rtc->running && fraction_ns >= SECOND_NS - UIP_NS;
}

static u8 read_data(struct mc146818 *rtc)
{
    u8 value;

    if (is_time(rtc->index) && rtc->running) {
        store_time(rtc);
    }
    switch (rtc->index) {
    case REGISTER_A:
        return rtc->cmos[REGISTER_A] | (update_in_progress(rtc) ? A_UIP : 0);
    case REGISTER_C:
        sync(rtc);
        value = rtc->cmos[REGISTER_C];
        rtc->cmos[REGISTER_C] = 0;
        update(rtc);
        return value;
    default:
        return rtc->cmos[rtc->index];
    }
}

static u64 port_read(void *device, u64 offset, unsigned size)
{
    (void)size;
    return offset == 0 ? 0xff : read_data(device);
}

static void port_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct mc146818 *rtc = device;

    (void)size;
    if (offset == 0) {
        /* LIMIT: the NMI disable of bit 7 has nothing to disable: no device here sends one. */
        rtc->index = value & 0x7f;
    } else {
        write_data(rtc, value);
    }
}

static const struct bus_region_ops port_ops = {port_read, port_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x70, .size = 2, .ops = &port_ops, .name = "mc146818"},
};

static u64 at_most(u64 value, u64 limit)
{
    return value < limit ? value : limit;
}

static void store_word(u8 *at, u64 value)
{
    at[0] = (u8)value;
    at[1] = (u8)(value >> 8);
}

/* What a PC's firmware leaves in the CMOS memory. */
static void store_setup(u8 *cmos, const struct mc146818_config *config)
{
    const u64 kib = 1024, mib = 1024 * kib;
    u64 above_1m = config->low_size > mib ? config->low_size - mib : 0;
    u64 above_16m = config->low_size > 16 * mib ? config->low_size - 16 * mib : 0;
    u64 high = at_most(config->high_size / (64 * kib), 0xffffff);
    unsigned sum = 0, i;

    cmos[0x14] = 0x06; /* equipment: FPU, mouse port */
    store_word(&cmos[0x15], at_most(config->low_size / kib, 640));
    store_word(&cmos[0x17], at_most(above_1m / kib, 0xffff));
    for (i = 0x10; i <= 0x2d; i++) {
        sum += cmos[i];
    }
    cmos[0x2e] = (u8)(sum >> 8);
    cmos[0x2f] = (u8)sum;
    store_word(&cmos[0x30], at_most(above_1m / kib, 0xffff));
    store_word(&cmos[0x34], at_most(above_16m / (64 * kib), 0xffff));
    store_word(&cmos[0x5b], high);
    cmos[0x5d] = (u8)(high >> 16);
    cmos[0x5f] = (u8)(config->cpus ? config->cpus - 1 : 0);
}

/* The clock has a battery: a reset takes only the interrupt enables and flags. */
static void reset(struct device *device)
{
    struct mc146818 *rtc = from_device(device);

    if (rtc->running) {
        store_time(rtc);
    }
    rtc->cmos[REGISTER_B] &= B_SET | B_BINARY | B_24H;
    rtc->cmos[REGISTER_C] = 0;
    rtc->index = 0;
    timer_cancel(&rtc->timer);
    irq_set(&rtc->irq, false);
}

static void destroy(struct device *device)
{
    struct mc146818 *rtc = from_device(device);

    timer_cancel(&rtc->timer);
    device_remove_regions(&rtc->slot, regions, ARRAY_SIZE(regions));
    free(rtc);
}

static const struct field fields[] = {
    FIELD(struct mc146818, index),
    FIELD_ARRAY(struct mc146818, cmos),
    FIELD(struct mc146818, running),
    FIELD(struct mc146818, base_s),
    FIELD(struct mc146818, divider_origin_ns),
    FIELD(struct mc146818, seen_s),
    FIELD(struct mc146818, seen_period),
    FIELD_MAX(struct mc146818, weekday_shift, 6),
    FIELD_TIMER(struct mc146818, timer),
    FIELDS_END,
};

/* Nothing that is computed from these may overflow. */
static bool loaded(struct device *device)
{
    const struct mc146818 *rtc = from_device(device);
    const s64 seconds_max = 1ll << 48, ns_max = 1ll << 62;

    return rtc->base_s > -seconds_max && rtc->base_s < seconds_max && rtc->seen_s > -seconds_max &&
           rtc->seen_s < seconds_max && rtc->divider_origin_ns > -ns_max &&
           rtc->divider_origin_ns < ns_max && rtc->seen_period < 1ull << 48;
}

void mc146818_step(struct device *device, s64 seconds)
{
    struct mc146818 *rtc = from_device(device);

    rtc->base_s += seconds;
    rtc->seen_s += seconds;
    update(rtc);
}

int mc146818_create(const struct slot *slot, const struct mc146818_config *config,
                    struct device **device)
{
    struct mc146818 *rtc = calloc(1, sizeof(*rtc));
    int error;

    if (!rtc) {
        return -ENOMEM;
    }
    rtc->device = (struct device){.name = "mc146818",
                                  .block = rtc,
                                  .block_bytes = sizeof(*rtc),
                                  .state = {{fields, rtc}},
                                  .loaded = loaded,
                                  .reset = reset,
                                  .destroy = destroy};
    rtc->slot = *slot;
    rtc->irq = config->irq;
    timer_init(&rtc->timer, slot->timers, fire, rtc);
    rtc->cmos[REGISTER_A] = A_DIVIDER_RUN | 0x06; /* 1,024 Hz */
    rtc->cmos[REGISTER_B] = B_24H;
    rtc->cmos[REGISTER_D] = D_VRT;
    store_setup(rtc->cmos, config);
    rtc->base_s = config->epoch_s;
    rtc->running = true;
    rtc->seen_s = current_s(rtc);
    rtc->seen_period = periods(rtc);
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), rtc);
    if (error) {
        free(rtc);
        return error;
    }
    reset(&rtc->device);
    *device = &rtc->device;
    return 0;
}
