/*
 * rtcmodes.c - the MC146818's clock, calendar and alarm in every format, its flags and interrupts,
 * and its memory.
 *
 * In real time it takes as long as it says; "short" on the command line leaves out what is alike.
 * "exact": the clock waits for the guest, as with --icount.
 *
 * Motorola, "MC146818 Real-Time Clock Plus RAM", "Time, Calendar and Alarm Locations", "Registers".
 */
#include "guest.h"

enum { SECOND, SECOND_ALARM, MINUTE, MINUTE_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH, YEAR };
enum { REG_A = 0xa, REG_B = 0xb, REG_C = 0xc, REG_D = 0xd, CENTURY = 0x32 };
enum { A_UIP = 0x80, A_RESET = 0x60, A_NORMAL = 0x20 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 4, B_24 = 2 };
enum { C_IRQ = 0x80, C_P = 0x40, C_A = 0x20, C_U = 0x10, ANY = 0xff };

static volatile unsigned count;
static volatile u8 causes;
static u64 hz;

static u8 get(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}
static void put(u8 index, u8 value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void on_rtc(struct frame *frame)
{
    (void)frame;
    count++;
    causes |= get(REG_C);
    pic_eoi(8);
}

static volatile unsigned sleeps;
static void on_pit(struct frame *frame)
{
    (void)frame;
    sleeps++;
    pic_eoi(0);
}

/* At rest: with --icount that costs nothing. */
static void sleep(unsigned ms)
{
    for (; ms; ms -= ms < 50 ? ms : 50) {
        sleeps = 0;
        pit_start(0, (u16)((ms < 50 ? ms : 50) * 1193));
        while (!sleeps) {
            wait_for_interrupt();
        }
    }
}

static u8 to_bcd(unsigned v)
{
    return (u8)(v / 10 << 4 | v % 10);
}

/* ------------------------------------------------------------------ formats */

static u8 format;

static unsigned from_bcd(u8 value)
{
    return (value >> 4) * 10 + (value & 15);
}

static u8 encode(unsigned v)
{
    return format & B_BINARY ? (u8)v : to_bcd(v);
}
static u8 encode_hour(unsigned v)
{
    if (format & B_24) {
        return encode(v);
    }
    return encode(v % 12 ? v % 12 : 12) | (v >= 12 ? 0x80 : 0);
}

struct time {
    unsigned year, month, day, hour, minute, second;
};

static void set_time(const struct time *t)
{
    put(REG_B, format | B_SET);
    put(SECOND, encode(t->second));
    put(MINUTE, encode(t->minute));
    put(HOUR, encode_hour(t->hour));
    put(DAY, encode(t->day));
    put(MONTH, encode(t->month));
    put(YEAR, encode(t->year % 100));
    put(CENTURY, encode(t->year / 100));
    put(WEEKDAY, 7);
    put(REG_B, format);
}

static bool time_is(const struct time *t)
{
    return get(SECOND) == encode(t->second) && get(MINUTE) == encode(t->minute) &&
           get(HOUR) == encode_hour(t->hour) && get(DAY) == encode(t->day) &&
           get(MONTH) == encode(t->month) && get(YEAR) == encode(t->year % 100);
}

/* Until a second has just begun.  What register C has said meanwhile is in causes. */
static void wait_update(void)
{
    u8 b = get(REG_B);

    causes = 0;
    get(REG_C);
    put(REG_B, b | B_UIE);
    while (!(causes & C_U)) {
        wait_for_interrupt();
    }
    put(REG_B, b);
}

/* Half a second after the divider starts again comes the first update; the calendar is set with
 * SET, in which nothing changes. */
static void try_rollover(const struct time *before, const struct time *after, const char *name)
{
    put(REG_A, A_RESET | 6);
    set_time(before);
    check_case(time_is(before), "%s, format %x: is set", name, format);
    put(REG_A, A_NORMAL | 6);
    wait_update();
    check_case(time_is(after), "%s, format %x: day %x hour %x second %x weekday %x", name, format,
               get(DAY), get(HOUR), get(SECOND), get(WEEKDAY));
    check_case(get(WEEKDAY) == (before->day == after->day ? 7 : 1), "%s: weekday %x", name,
               get(WEEKDAY));
}

static const struct {
    const char *name;
    struct time before, after;
} rollovers[] = {
    {"noon", {2023, 3, 4, 11, 59, 59}, {2023, 3, 4, 12, 0, 0}},
    {"one o'clock", {2023, 3, 4, 12, 59, 59}, {2023, 3, 4, 13, 0, 0}},
    {"midnight", {2023, 3, 4, 23, 59, 59}, {2023, 3, 5, 0, 0, 0}},
    {"a leap year's February", {2024, 2, 28, 23, 59, 59}, {2024, 2, 29, 0, 0, 0}},
    {"another's", {2023, 2, 28, 23, 59, 59}, {2023, 3, 1, 0, 0, 0}},
    {"April", {2023, 4, 30, 23, 59, 59}, {2023, 5, 1, 0, 0, 0}},
    {"a year's end", {2023, 12, 31, 23, 59, 59}, {2024, 1, 1, 0, 0, 0}},
    {"a century's end", {1999, 12, 31, 23, 59, 59}, {2000, 1, 1, 0, 0, 0}},
};

/* All formats once; each rollover in one of them, for each takes half a second. */
static void check_formats(void)
{
    static const u8 formats[] = {0, B_24, B_BINARY, B_BINARY | B_24};

    for (unsigned i = option("short") ? 6 : 0; i < ARRAY_SIZE(rollovers); i++) {
        format = formats[i % 4];
        try_rollover(&rollovers[i].before, &rollovers[i].after, rollovers[i].name);
    }
    for (unsigned hour = 0; hour < 24; hour++) {
        for (unsigned i = 0; i < 4; i++) {
            struct time t = {2023, 3, 4, hour, 0, 0};
            put(REG_A, A_RESET | 6);
            format = formats[i];
            set_time(&t);
            check_case(time_is(&t), "hour %u in format %x", hour, format);
        }
    }
    put(REG_A, A_NORMAL | 6);
    print("ok   formats and rollovers\n");
}

/* ------------------------------------------------------------------ alarm */

static void set_alarm(u8 hour, u8 minute, u8 second)
{
    put(HOUR_ALARM, hour);
    put(MINUTE_ALARM, minute);
    put(SECOND_ALARM, second);
}

/* Does the alarm come with the second that follows 11:59:59? */
static void try_alarm(u8 hour, u8 minute, u8 second, bool expected, const char *name)
{
    struct time t = {2023, 3, 4, 11, 59, 59};

    put(REG_A, A_RESET | 6);
    set_time(&t);
    set_alarm(hour, minute, second);
    get(REG_C);
    put(REG_A, A_NORMAL | 6);
    wait_update();
    check(!(causes & C_A) == !expected, name);
}

static void check_alarm(void)
{
    format = B_24;
    try_alarm(0x12, 0, 0, true, "an alarm");
    if (option("short")) {
        return;
    }
    try_alarm(0x12, 0, 1, false, "not an alarm of another second");
    try_alarm(ANY, 0xc0, 0, true, "any hour, any minute");
    format = 0;
    try_alarm(0x12, 0, 0, false, "not one of midnight, by 12 hours");
    try_alarm(0x92, 0, 0, true, "but one of noon");

    /* Every second, by its interrupt. */
    format = B_24;
    set_alarm(ANY, ANY, ANY);
    count = causes = 0;
    get(REG_C);
    put(REG_B, format | B_AIE);
    while (!count) {
        wait_for_interrupt();
    }
    put(REG_B, format);
    check((causes & (C_A | C_IRQ)) == (C_A | C_IRQ), "its interrupt, of any time");
}

/* ------------------------------------------------------------------ flags and interrupts */

static void check_flags(void)
{
    put(REG_A, A_NORMAL | 6); /* 1024 Hz */
    put(REG_B, format);
    get(REG_C);
    sleep(10);
    u8 c = get(REG_C);
    check((c & (C_P | C_IRQ)) == C_P, "PF comes without PIE, but no IRQ");
    sleep(10);
    check(get(REG_C) & C_P, "it waits in register C");
    check(!(get(REG_C) & (C_IRQ | C_A)), "  which a read clears");
    put(REG_A, A_NORMAL); /* none */
    get(REG_C);
    sleep(20);
    check(!(get(REG_C) & C_P), "rate 0: never");

    count = causes = 0;
    put(REG_A, A_NORMAL | 8); /* 256 Hz */
    put(REG_B, format | B_PIE);
    u64 start = rdtsc();
    while (count < 64) {
        wait_for_interrupt();
    }
    u64 took = rdtsc() - start;
    put(REG_B, format);
    check(took > hz * 23 / 100, "64 of 256 Hz take no less than a quarter of a second");
    check_is(causes & (C_P | C_IRQ), C_P | C_IRQ, "  by PF");
    get(REG_C);
    /* A cause that is not read holds the line: no other edge comes. */
    outb(0xa1, 0xff);
    put(REG_B, format | B_PIE);
    sleep(20);
    outb(0xa0, 0x0a);
    check(inb(0xa0) & 1, "the request waits in the 8259");
    outb(0xa1, 0xfe);
    inb(0xa1);
    count = 0;
    __asm__ volatile("sti; nop; nop; cli");
    put(REG_B, format);
    check(count >= 1, "  and comes when it is unmasked");
    get(REG_C);
}

static void check_update(void)
{
    put(REG_A, A_NORMAL | 6);
    wait_update();
    u64 start = rdtsc();
    wait_update();
    check(rdtsc() - start > hz * 8 / 10, "the update interrupt comes once a second");
    put(REG_B, format | B_SET | B_UIE);
    check(!(get(REG_B) & B_UIE), "SET clears UIE");
    put(REG_B, format);
    put(REG_B, format | B_SET);
    get(REG_C);
    u8 second = get(SECOND);
    sleep(1100);
    check(get(SECOND) == second && !(get(REG_C) & C_U), "with SET there is no update");
    check(!(get(REG_A) & A_UIP), "  and no UIP");
    put(REG_B, format);

    wait_update();
    second = get(SECOND);
    bool seen = false;
    sleep(999);
    for (unsigned i = 0; get(SECOND) == second && i < 10000000; i++) {
        seen |= (get(REG_A) & A_UIP) != 0;
    }
    /* It is not long: a busy host may miss it. */
    check(seen || !option("exact"), "UIP tells of an update");
    check(get(SECOND) == encode(from_bcd(second) + 1), "  after which the second is the next");
}

static void check_memory(void)
{
    bool good = true;
    u8 kept[128];

    check_is(get(REG_D) & 0x80, 0x80, "the battery is good");
    put(REG_C, 0xff);
    put(REG_D, 0);
    check_is(get(REG_D) & 0x80, 0x80, "register D cannot be written");
    put(REG_A, A_NORMAL | 0x86);
    check_is(get(REG_A) & 0x7f, A_NORMAL | 6, "UIP cannot be written");
    for (u8 i = 0x40; i < 0x80; i++) {
        kept[i] = get(i);
        put(i, (u8)(i * 37));
    }
    for (u8 i = 0x40; i < 0x80; i++) {
        good &= get(i) == (u8)(i * 37);
        put(i, kept[i]);
    }
    check(good, "memory");
    good = true;
    outb(0x70, 0x80 | 0x40); /* bit 7 masks NMIs and is no address bit */
    good &= inb(0x71) == kept[0x40];
    check(good, "bit 7 of the index");
    outb(0x70, 0);
}

void guest_main(void)
{
    hz = tsc_hz();
    handlers[PIC_VECTOR] = on_pit;
    handlers[PIC_VECTOR + 8] = on_rtc;
    pic_start(1 << 8 | 1 << 2 | 1 << 0);
    put(REG_B, B_24);
    check_memory();
    check_formats();
    check_alarm();
    check_flags();
    check_update();
}
