/*
 * apic.c - the local APIC alone: every vector, every pair of priorities, TPR and CR8, destinations
 * and shorthands that mean itself, NMI, errors, the local vector table, and the timer's divisors.
 *
 * Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": "Task and Processor
 * Priorities", "Interrupt Acceptance for Fixed Interrupts", "Issuing Interprocessor Interrupts",
 * "Error Handling", "APIC Timer".  With "x2apic" on the command line by its MSRs.
 */
#include "guest.h"

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_THERMAL = 0x330,
    LVT_PERFORMANCE = 0x340,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL_COUNT = 0x380,
    CURRENT_COUNT = 0x390,
    DIVIDE = 0x3e0,
    MASKED = 1 << 16,
    PERIODIC = 1 << 17,
    SHORT_SELF = 1 << 18,
    SHORT_ALL = 2 << 18,
    SHORT_OTHERS = 3 << 18,
    LOGICAL = 1 << 11,
    MODE_NMI = 4 << 8,
    MODE_LOWEST = 1 << 8,
    ESR_SEND_VECTOR = 1 << 5,
    ESR_RECEIVE_VECTOR = 1 << 6,
    TIMER_VECTOR = 0x61,
    ERROR_VECTOR = 0x71,
};

static u64 hz;
static bool x2apic;

/* ------------------------------------------------------------------ taking one */

static volatile int taken;
static volatile unsigned nmis;

static void on_vector(struct frame *frame)
{
    taken = (int)frame->vector;
    frame->flags &= ~(word)0x200; /* one at a time */
}

static void on_nmi(struct frame *frame)
{
    (void)frame;
    nmis++;
}

/* The vector that comes, or -1.  It is in service then. */
static int take(void)
{
    taken = -1;
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    return taken;
}

static bool bit_of(u32 base, unsigned vector)
{
    return lapic_read(base + 0x10 * (vector / 32)) >> vector % 32 & 1;
}

static void end(void)
{
    lapic_write(EOI, 0);
}

/* Itself, with whatever else the low half has. */
static void send(u32 destination, u32 low)
{
    if (x2apic) {
        wrmsr(0x830, (u64)destination << 32 | low);
        return;
    }
    lapic_write(ICR_HIGH, destination << 24);
    lapic_write(ICR, low);
}

static void send_self(unsigned vector)
{
    send(0, SHORT_SELF | vector);
}

static void drain(void)
{
    while (take() >= 0) {
        end();
    }
}

/* ------------------------------------------------------------------ vectors and priorities */

static void check_vectors(void)
{
    for (unsigned vector = 32; vector < 256; vector++) {
        send_self(vector);
        check_case(bit_of(IRR, vector) && !bit_of(ISR, vector), "vector %x is in IRR", vector);
        check_case(!bit_of(TMR, vector), "vector %x is an edge", vector);
        send_self(vector);
        check_case(take() == (int)vector, "vector %x comes: %x", vector, (unsigned)taken);
        check_case(!bit_of(IRR, vector) && bit_of(ISR, vector), "vector %x is in ISR", vector);
        check_case(take() < 0, "vector %x comes once", vector);
        send_self(vector);
        check_case(bit_of(IRR, vector) && take() < 0, "vector %x waits for its own end", vector);
        end();
        check_case(take() == (int)vector, "vector %x comes then", vector);
        end();
        check_case(!bit_of(ISR, vector) && take() < 0, "vector %x has ended", vector);
    }
    print("ok   every vector\n");
}

static unsigned model_ppr(unsigned tpr, unsigned in_service)
{
    return tpr >> 4 >= in_service >> 4 ? tpr : in_service & 0xf0;
}

/* In service `first`, pending `second`, and TPR. */
static void try_priorities(unsigned first, unsigned second, unsigned tpr)
{
    unsigned ppr = model_ppr(tpr, first);
    bool comes = second >> 4 > ppr >> 4;

    lapic_write(TPR, 0);
    if (first) {
        send_self(first);
        take();
    }
    lapic_write(TPR, tpr);
    check_case(lapic_read(PPR) == ppr, "PPR of TPR %x and %x in service: %x", tpr, first,
               lapic_read(PPR));
    send_self(second);
    int got = take();
    check_case((got == (int)second) == comes && (comes || got < 0),
               "%x in service, TPR %x: vector %x, sent %x", first, tpr, (unsigned)got, second);
    lapic_write(TPR, 0);
    while (got >= 0 || first) {
        end();
        first = 0;
        got = -1;
    }
    drain();
    end();
    end();
}

static void check_priorities(void)
{
    for (unsigned first = 0; first < 256; first += 0x1b) {
        for (unsigned second = 0x2f; second < 256; second += 0x0d) {
            if (first < 32 && first) {
                continue;
            }
            for (unsigned tpr = 0; tpr < 256; tpr += 0x0f) {
                try_priorities(first, second, tpr);
            }
        }
    }
    send_self(0x41);
    send_self(0x48);
    send_self(0x90);
    check(take() == 0x90, "of several the highest first");
    end();
    check(take() == 0x48, "  in one class, too");
    check(take() < 0, "  of which one does not interrupt another");
    end();
    check(take() == 0x41, "  but follows it");
    end();
    for (unsigned i = 0; i < 16; i++) {
        __asm__ volatile("mov %0, %%cr8" ::"r"((word)i));
        check_case(lapic_read(TPR) == i << 4, "CR8 of %u is TPR %x", i, lapic_read(TPR));
        lapic_write(TPR, i << 4 | 5);
        word cr8;
        __asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
        check_case(cr8 == i, "TPR of %x is CR8 %x", i << 4 | 5, (unsigned)cr8);
    }
    lapic_write(TPR, 0);
    print("ok   priorities\n");
}

/* ------------------------------------------------------------------ destinations */

static void expect_sent(u32 destination, u32 low, bool comes, const char *name)
{
    send(destination, low | 0x55);
    int got = take();
    check(got == (comes ? 0x55 : -1), name);
    if (got >= 0) {
        end();
    }
    drain();
}

static void check_destinations(void)
{
    expect_sent(0, SHORT_SELF, true, "shorthand: itself");
    expect_sent(0, SHORT_ALL, true, "shorthand: all");
    expect_sent(0, SHORT_OTHERS, false, "shorthand: all but itself");
    expect_sent(0, 0, true, "physical: its ID");
    expect_sent(5, 0, false, "physical: another");
    expect_sent(x2apic ? 0xffffffff : 0xff, 0, true, "physical: broadcast");
    expect_sent(0, MODE_LOWEST, true, "lowest priority");
    if (x2apic) {
        check_is(lapic_read(LDR), 1, "the logical ID of x2APIC 0");
        expect_sent(1, LOGICAL, true, "logical: bit 0 of cluster 0");
        expect_sent(2, LOGICAL, false, "logical: bit 1");
        expect_sent(0x10001, LOGICAL, false, "logical: another cluster");
        return;
    }
    lapic_write(LDR, 0x12u << 24);
    lapic_write(DFR, 0xffffffff);
    expect_sent(0x10, LOGICAL, true, "logical, flat: a bit that it has");
    expect_sent(0xed, LOGICAL, false, "logical, flat: those it has not");
    expect_sent(0xff, LOGICAL, true, "logical, flat: all");
    expect_sent(0x02, LOGICAL | MODE_LOWEST, true, "logical, lowest priority");
    lapic_write(DFR, 0x0fffffff);
    check_is(lapic_read(DFR), 0x0fffffff, "DFR reads back");
    expect_sent(0x12, LOGICAL, true, "logical, clusters: its bit of its cluster");
    expect_sent(0x11, LOGICAL, false, "logical, clusters: another bit");
    expect_sent(0x22, LOGICAL, false, "logical, clusters: another cluster");
    lapic_write(DFR, 0xffffffff);
}

static void check_nmi(void)
{
    handlers[VECTOR_NMI] = on_nmi;
    nmis = 0;
    send(0, MODE_NMI | 0x40); /* its vector does not count */
    __asm__ volatile("nop; nop");
    check_is(nmis, 1, "an NMI to itself, with IF clear");
    check(take() < 0, "  and no interrupt");
    lapic_write(TPR, 0xff);
    send(0, MODE_NMI);
    __asm__ volatile("nop; nop");
    check_is(nmis, 2, "TPR does not hold it back");
    lapic_write(TPR, 0);
}

/* In an NMI's handler another NMI waits for IRET; more than one are one. */
static volatile unsigned inside;
static void on_nested_nmi(struct frame *frame)
{
    (void)frame;
    nmis++;
    if (nmis == 1) {
        send(0, MODE_NMI);
        send(0, MODE_NMI);
        __asm__ volatile("nop; nop; nop");
        inside = nmis;
    }
}

static void check_nmi_blocking(void)
{
    handlers[VECTOR_NMI] = on_nested_nmi;
    nmis = inside = 0;
    send(0, MODE_NMI);
    __asm__ volatile("nop; nop; nop; nop");
    check_is(inside, 1, "an NMI blocks others");
    check_is(nmis, 2, "  and lets one of them come after IRET");
    handlers[VECTOR_NMI] = NULL;
}

/* ------------------------------------------------------------------ errors, the vector table */

static u32 errors(void)
{
    lapic_write(ESR, 0);
    return lapic_read(ESR);
}

static void check_errors(void)
{
    errors();
    lapic_write(LVT_ERROR, ERROR_VECTOR);
    send_self(5);
    check(take() == ERROR_VECTOR, "a vector below 16: the error interrupt");
    end();
    check(lapic_read(ESR) == 0, "ESR shows nothing until it is written");
    check(errors() & ESR_SEND_VECTOR, "  and then that it was to be sent");
    check_is(errors(), 0, "  once");
    drain();
    for (unsigned vector = 0; vector < 16; vector++) {
        send_self(vector);
        check_case(errors() & ESR_SEND_VECTOR, "vector %x cannot be sent", vector);
        check_case(!(lapic_read(IRR) & 0xffff), "vector %x is not in IRR", vector);
        drain();
    }
    lapic_write(LVT_ERROR, MASKED);
    lapic_write(LVT_TIMER, 7);
    lapic_write(DIVIDE, 0xb);
    lapic_write(INITIAL_COUNT, 10);
    u64 until = rdtsc() + hz / 50;
    u32 got = 0;
    while (!got && rdtsc() < until) {
        take();
        got = errors();
    }
    check(got & ESR_RECEIVE_VECTOR, "a local vector below 16 is an error when it comes");
    lapic_write(LVT_TIMER, MASKED);
    errors();
}

static void check_table(void)
{
    static const struct {
        u32 offset, writable;
        const char *name;
    } rows[] = {
        {LVT_TIMER, 0x700ff, "LVT timer"},          {LVT_THERMAL, 0x107ff, "LVT thermal"},
        {LVT_PERFORMANCE, 0x107ff, "LVT counters"}, {LVT_LINT0, 0x1a7ff, "LVT LINT0"},
        {LVT_LINT1, 0x1a7ff, "LVT LINT1"},          {LVT_ERROR, 0x100ff, "LVT error"},
    };
    u32 svr = lapic_read(SVR);

    check(lapic_read(VERSION) >> 16 >= 5, "six local vectors at least");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u32 before = lapic_read(rows[i].offset), status = 1u << 12 | 1u << 14;
        if (!x2apic) { /* there reserved bits are #GP */
            lapic_write(rows[i].offset, 0xffffffff & ~(6u << 16));
            check_is(lapic_read(rows[i].offset) & ~status, rows[i].writable & ~(6u << 16),
                     rows[i].name);
        }
        lapic_write(rows[i].offset, 0x31);
        lapic_write(SVR, svr & ~0x100u);
        check_is(lapic_read(rows[i].offset) & (MASKED | 0xff), MASKED | 0x31,
                 "  is masked when the APIC is disabled by software");
        lapic_write(rows[i].offset, 0x32);
        check_is(lapic_read(rows[i].offset) & (MASKED | 0xff), MASKED | 0x32, "  and stays so");
        lapic_write(SVR, svr);
        check_is(lapic_read(rows[i].offset) & MASKED, MASKED, "  also when it is enabled again");
        lapic_write(rows[i].offset, before);
    }
    lapic_write(SVR, svr & ~0x100u);
    send_self(0x55);
    check(take() < 0, "disabled by software it takes no interrupt");
    lapic_write(SVR, svr);
    drain();
}

/* ------------------------------------------------------------------ the timer */

static const struct {
    u8 code, by;
} divisors[] = {{0xb, 1}, {0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {0xa, 128}};

/* Counts in 1/64 of a second, between what is certainly and what is at most. */
static void measure(unsigned code, u64 *least, u64 *most)
{
    lapic_write(LVT_TIMER, MASKED | TIMER_VECTOR);
    lapic_write(DIVIDE, code);
    u64 before = rdtsc();
    lapic_write(INITIAL_COUNT, 0xffffffff);
    u64 begun = rdtsc();
    while (rdtsc() < begun + hz / 256) {}
    u64 reading = rdtsc();
    u64 counts = 0xffffffffu - lapic_read(CURRENT_COUNT);
    u64 read = rdtsc();
    /* counts / (read - before) <= rate <= (counts + 1) / (reading - begun) */
    *least = counts * (hz / 64) / (read - before);
    *most = (counts + 1) * (hz / 64) / (reading - begun) + 1;
}

static void check_timer(void)
{
    u64 least, most, low, high;

    measure(0xb, &least, &most);
    for (unsigned i = 1; i < ARRAY_SIZE(divisors); i++) {
        unsigned by = divisors[i].by;
        measure(divisors[i].code, &low, &high);
        check_case(low <= most / by + 1 && high >= least / by,
                   "divided by %u: %l to %l, not %l to %l", by, low, high, least / by, most / by);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(divisors) && !x2apic; i++) {
        lapic_write(DIVIDE, divisors[i].code | 0xfffffff4);
        check_case(lapic_read(DIVIDE) == divisors[i].code, "DIVIDE holds three bits: %x",
                   lapic_read(DIVIDE));
    }
    lapic_write(DIVIDE, 0xb);
    /* Masked it runs out in silence. */
    lapic_write(LVT_TIMER, MASKED | TIMER_VECTOR);
    lapic_write(INITIAL_COUNT, 1000);
    u64 until = rdtsc() + hz / 100;
    while (rdtsc() < until) {}
    check_is(lapic_read(CURRENT_COUNT), 0, "a one-shot count runs out");
    check_is(lapic_read(INITIAL_COUNT), 1000, "  its initial one stays");
    check(!bit_of(IRR, TIMER_VECTOR), "  and masked it is no request");
    lapic_write(LVT_TIMER, TIMER_VECTOR);
    check(take() < 0, "  nor when it is unmasked later");
    lapic_write(LVT_TIMER, PERIODIC | MASKED | TIMER_VECTOR);
    lapic_write(INITIAL_COUNT, 0x1000000);
    u32 first = lapic_read(CURRENT_COUNT);
    check(first <= 0x1000000, "a periodic count begins with the initial one");
    lapic_write(INITIAL_COUNT, 0);
    check_is(lapic_read(CURRENT_COUNT), 0, "a count of 0 stops it");
    lapic_write(LVT_TIMER, 2u << 17 | MASKED | TIMER_VECTOR);
    lapic_write(INITIAL_COUNT, 1000);
    check(lapic_read(CURRENT_COUNT) == 0, "with TSC deadlines there is no count");
    lapic_write(LVT_TIMER, MASKED);
}

static void set_base(word value)
{
    wrmsr(0x1b, value);
}

static void check_base(void)
{
    u64 base = rdmsr(0x1b);

    check(base >> 8 & 1, "the first CPU says that it is");
    check_fault(set_base, base | 1, VECTOR_GP, 0, "a reserved bit of APIC_BASE");
    check_fault(set_base, (base & ~(3ull << 10)) | 1u << 10, VECTOR_GP, 0, "x2APIC without enable");
    if (x2apic) {
        check_fault(set_base, base & ~(1ull << 10), VECTOR_GP, 0, "from x2APIC to xAPIC");
    }
}

void guest_main(void)
{
    hz = tsc_hz();
    x2apic = option("x2apic");
    for (unsigned i = 32; i < 256; i++) {
        handlers[i] = on_vector;
    }
    pic_start(0);
    if (x2apic) {
        wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);
    }
    lapic_start();
    lapic_write(LVT_LINT0, MASKED);
    check_base();
    check_vectors();
    check_priorities();
    check_destinations();
    check_nmi();
    check_nmi_blocking();
    check_errors();
    check_table();
    check_timer();
}
