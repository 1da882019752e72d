/*
 * pitmodes.c - the 8254 in all its modes, by channel 2, whose gate is bit 0 of port 61h and whose
 * output is bit 5: counts, latches, read-back, gates, BCD.
 *
 * Intel, "82C54 Programmable Interval Timer", "Mode Definitions", "Read-Back Command".  A count is
 * right if it lies between those of just before and just after it was read, by the TSC: then a busy
 * host is no matter.
 */
#include "guest.h"

enum { CHANNEL2 = 0x42, CONTROL = 0x43, PORT61 = 0x61, GATE = 1, OUT2 = 0x20, SPEAKER = 2 };
enum { LOW = 1, HIGH = 2, WORD = 3, BCD = 1, PIT_HZ = 1193182 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };

static u64 hz;

static void open_gate(bool gate)
{
    outb(PORT61, (u8)((inb(PORT61) & 0x0c) | (gate ? GATE : 0)));
    inb(PORT61);
}

static bool output(void)
{
    return inb(PORT61) & OUT2;
}

static void control(unsigned mode, unsigned access, unsigned bcd)
{
    outb(CONTROL, (u8)(0x80 | access << 4 | mode << 1 | bcd));
}

static void load(u16 count)
{
    outb(CHANNEL2, (u8)count);
    outb(CHANNEL2, (u8)(count >> 8));
    inb(PORT61);
}

static u16 read_count(void)
{
    u8 low = inb(CHANNEL2);
    return (u16)(low | inb(CHANNEL2) << 8);
}

static u16 latch_count(void)
{
    outb(CONTROL, 0x80);
    return read_count();
}

static u8 read_status(void)
{
    outb(CONTROL, 0xe8);
    return inb(CHANNEL2);
}

/* Ticks of the PIT in so many of the TSC, for some minutes. */
static u64 ticks(u64 cycles)
{
    return cycles * PIT_HZ / hz;
}

static void wait_ticks(u64 n)
{
    u64 end = rdtsc() + n * hz / PIT_HZ + 1;
    while (rdtsc() < end) {}
}

/* When the count began, at least and at most: before and after it was loaded. */
static u64 from, to;

static void start(u16 count)
{
    from = rdtsc();
    load(count);
    to = rdtsc();
}

/* Is the count, which has begun with n and goes down by `step`, right now? */
static bool count_is_right(u32 n, unsigned step)
{
    u64 before = rdtsc();
    u16 count = latch_count();
    u64 after = rdtsc();
    u64 least = ticks(before - to), most = ticks(after - from) + 2;
    u64 gone = ((n - count) & 0xffff) / step;

    /* It may have gone round once and more on a busy host. */
    while (gone + 2 < least) {
        gone += step == 1 ? 65536 : n / step;
    }
    bool good = gone <= most;
    if (!good) {
        print("     count %x of %x, %l to %l ticks\n", count, n, least, most);
    }
    return good;
}

/* Is OUT low, or would it by now be high again, since a count of n is over? */
static bool is_low_for(u32 n)
{
    return !output() || ticks(rdtsc() - from) >= n;
}

/* ------------------------------------------------------------------ modes */

static void check_mode_0(void)
{
    open_gate(true);
    control(0, WORD, 0);
    check(!output(), "mode 0: the control word makes OUT low");
    start(50000);
    check(count_is_right(50000, 1), "  it counts down");
    wait_ticks(50100);
    check(output(), "  OUT is high at the end");
    check(count_is_right(50000, 1), "  and it counts on");
    start(50000);
    check(is_low_for(50000), "  a new count makes OUT low again");
    wait_ticks(5000);
    open_gate(false);
    u16 held = latch_count();
    wait_ticks(5000);
    check_is(latch_count(), held, "  the gate stops it");
    check(is_low_for(50000), "  and does not change OUT");
    open_gate(true);
    wait_ticks((u64)held + 100);
    check(output(), "  from where it goes on");
    outb(CHANNEL2, 0x34);
    inb(PORT61);
    u16 stopped = latch_count();
    wait_ticks(1000);
    check_is(latch_count(), stopped, "  the first byte of a new count stops it");
    outb(CHANNEL2, 0x12);
    inb(PORT61);
    wait_ticks(0x1234 + 100);
    check(output(), "  the second starts it");
}

static void check_mode_1(void)
{
    open_gate(false);
    control(1, WORD, 0);
    check(output(), "mode 1: OUT is high");
    load(30000);
    wait_ticks(2000);
    check(output(), "  a count alone does nothing");
    from = rdtsc();
    open_gate(true);
    to = rdtsc();
    check(is_low_for(30000), "  a trigger makes OUT low");
    check(count_is_right(30000, 1), "  and starts it");
    open_gate(false);
    wait_ticks(20000);
    from = rdtsc();
    open_gate(true);
    to = rdtsc();
    check(count_is_right(30000, 1), "  another trigger starts it again");
    wait_ticks(30100);
    check(output(), "  OUT is high at the end");
    open_gate(false);
    from = rdtsc();
    open_gate(true);
    load(10000);
    check(is_low_for(30000), "  a new count waits for the next trigger");
    open_gate(false);
    from = rdtsc();
    open_gate(true);
    to = rdtsc();
    check(count_is_right(10000, 1), "  which takes it");
}

static void check_mode_2(unsigned mode)
{
    open_gate(true);
    control(mode, WORD, 0);
    check(output(), mode == 2 ? "mode 2: OUT is high" : "mode 6: is mode 2");
    start(40000);
    check(count_is_right(40000, 1), "  it counts down");
    bool good = true, seen_low_part = false;
    for (unsigned i = 0; i < 20; i++) {
        u16 count = latch_count();
        good &= count >= 1 && count <= 40000;
        seen_low_part |= count < 20000;
        wait_ticks(4500);
    }
    check(good && seen_low_part, "  between its count and 1, again and again");
    open_gate(false);
    check(output(), "  the gate makes OUT high");
    wait_ticks(5000);
    from = rdtsc();
    open_gate(true);
    to = rdtsc();
    check(count_is_right(40000, 1), "  and starts a new period");
}

static void check_mode_3(unsigned mode)
{
    unsigned high = 0, low = 0;
    bool even = true;

    open_gate(true);
    control(mode, WORD, 0);
    check(output(), mode == 3 ? "mode 3: OUT is high" : "mode 7: is mode 3");
    start(40000);
    even &= count_is_right(40000, 2);
    for (unsigned i = 0; i < 64; i++) {
        even &= !(latch_count() & 1);
        if (output()) {
            high++;
        } else {
            low++;
        }
        wait_ticks(2711);
    }
    check(even, "  it counts down by 2");
    check(high >= 16 && low >= 16, "  OUT is high half of the time");
    open_gate(false);
    check(output(), "  the gate makes OUT high");
    u16 held = latch_count();
    wait_ticks(3000);
    check(latch_count() == held, "  and stops it");
}

static void check_modes_4_5(void)
{
    open_gate(true);
    control(4, WORD, 0);
    check(output(), "mode 4: OUT is high");
    start(20000);
    check(count_is_right(20000, 1), "  it counts down");
    wait_ticks(21000);
    check(output(), "  OUT is high but for one clock at the end");
    check(count_is_right(20000, 1), "  and it counts on");
    open_gate(false);
    u16 held = latch_count();
    wait_ticks(1000);
    check_is(latch_count(), held, "  the gate stops it");
    control(5, WORD, 0);
    check(output(), "mode 5: OUT is high");
    load(20000);
    wait_ticks(1000);
    from = rdtsc();
    open_gate(true);
    to = rdtsc();
    check(count_is_right(20000, 1), "  a trigger starts it");
    check(output(), "  OUT stays high");
    open_gate(false);
    check(count_is_right(20000, 1), "  the gate does not stop it");
}

/* ------------------------------------------------------------------ reading */

static void check_reading(void)
{
    u8 status;

    open_gate(true);
    control(2, WORD, 0);
    status = read_status();
    check_is(status & ~STATUS_NULL, STATUS_OUT | WORD << 4 | 2 << 1, "status: OUT, access, mode");
    check(status & STATUS_NULL, "  no count has been loaded");
    load(60000);
    wait_ticks(10);
    check_is(read_status(), STATUS_OUT | WORD << 4 | 2 << 1, "  then it has");
    outb(CONTROL, 0x80);
    inb(PORT61);
    wait_ticks(3000);
    outb(CONTROL, 0x80); /* ignored: the first one has not been read */
    u16 first = read_count(), now = latch_count();
    check((u16)(first - now) >= 3000 || first < now, "a second latch before the read is ignored");
    outb(CONTROL, 0xc8); /* status and count */
    status = inb(CHANNEL2);
    u16 latched = read_count();
    check(status == (STATUS_OUT | WORD << 4 | 2 << 1) && latched <= 60000 && latched,
          "read-back of both: the status comes first");
    open_gate(false);
    control(0, LOW, 0);
    outb(CHANNEL2, 0x77);
    wait_ticks(10);
    check(inb(CHANNEL2) == 0x77 && inb(CHANNEL2) == 0x77, "the low byte only");
    check_is(read_status() & 0x3f, LOW << 4, "  in the status");
    control(0, HIGH, 0);
    outb(CHANNEL2, 0x12);
    wait_ticks(10);
    check(inb(CHANNEL2) == 0x12 && inb(CHANNEL2) == 0x12, "the high byte only");
    open_gate(true);

    control(0, WORD, 0);
    start(0);
    wait_ticks(1000);
    check(is_low_for(65536) && count_is_right(65536, 1), "a count of 0 is 65536");
    control(2, WORD, BCD);
    start(0x2000);
    bool digits = true;
    for (unsigned i = 0; i < 200; i++) {
        u16 count = latch_count();
        for (unsigned shift = 0; shift < 16; shift += 4) {
            digits &= (count >> shift & 15) < 10;
        }
        digits &= count <= 0x2000 && count;
        wait_ticks(37);
    }
    check(digits, "BCD: no digit above 9");
    check_is(read_status() & 0x3f, WORD << 4 | 2 << 1 | BCD, "  in the status");
    control(0, WORD, BCD);
    start(0);
    wait_ticks(8000);
    check(is_low_for(10000), "BCD: a count of 0 is 10000");
    wait_ticks(2100);
    check(output(), "  which is over then");
}

/* A new count while it runs, in mode 2, counts from the next period on. */
static void check_reload(void)
{
    open_gate(true);
    control(2, WORD, 0);
    start(50000);
    wait_ticks(100);
    load(1000);
    u16 count = latch_count();
    u8 status = read_status();
    bool over = ticks(rdtsc() - from) >= 50000; /* on a busy host */
    check(over || count > 1000, "mode 2: a new count waits for the end of the period");
    check(over || status & STATUS_NULL, "  which the status says");
    wait_ticks(51000);
    check(latch_count() <= 1000, "  and counts then");
    check(!(read_status() & STATUS_NULL), "  which the status says, too");
}

static void check_port61(void)
{
    u8 a = inb(PORT61) & 0x10;
    u64 end = rdtsc() + hz / 100;

    while ((inb(PORT61) & 0x10) == a && rdtsc() < end) {}
    check((inb(PORT61) & 0x10) != a || rdtsc() < end, "port 61h: the refresh bit toggles");
    outb(PORT61, 0x0f);
    check_is(inb(PORT61) & 0x0f, 0x0f, "  its lower bits read back");
    outb(PORT61, 0);
    check_is(inb(PORT61) & 0x0f, 0, "  and are clear again");
}

void guest_main(void)
{
    hz = tsc_hz();
    check_mode_0();
    check_mode_1();
    check_mode_2(2);
    check_mode_2(6);
    check_mode_3(3);
    check_mode_3(7);
    check_modes_4_5();
    check_reading();
    check_reload();
    check_port61();
}
