/* test_lapic.c - cpu/lapic.c: priorities, modes, IPIs, virtual wire, and the timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu_small.h"

enum {
    ID = 0x020,
    VERSION = 0x030,
    TPR = 0x080,
    PPR = 0x0a0,
    EOI = 0x0b0,
    LDR = 0x0d0,
    DFR = 0x0e0,
    SVR = 0x0f0,
    ISR = 0x100,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER_REG = 0x320,
    LVT_LINT0_REG = 0x350,
    LVT_ERROR_REG = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
};

#define MASKED       0x10000u
#define ONE_SHOT     0u
#define PERIODIC     0x20000u
#define TSC_DEADLINE 0x40000u
#define NEVER        UINT64_MAX

static void enable(struct cpu *cpu)
{
    lapic_mmio_write(cpu, SVR, 0x1ff);
}

/* A fixed interrupt from outside, as the IOAPIC sends it, taken in. */
static void arrive(struct small *s, unsigned to, u8 vector, bool level)
{
    struct interrupt_message m = {.dest = to, .vector = vector, .level = level};

    assert_int_equal(interrupt_send(&s->cpu[to]->fabric, &m), 1);
    lapic_poll(s->cpu[to]);
}

static void test_priorities(void **state)
{
    static const struct {
        u8 tpr, in_service, requested;
        int taken;
        u8 ppr;
    } rows[] = {
        {0x00, 0, 0x31, 0x31, 0x00},    {0x00, 0, 0x10, 0x10, 0x00},
        {0x30, 0, 0x31, -1, 0x30},      {0x2f, 0, 0x31, 0x31, 0x2f},
        {0x00, 0x41, 0x4f, -1, 0x40},   {0x00, 0x41, 0x51, 0x51, 0x40},
        {0x45, 0x41, 0x51, 0x51, 0x45}, {0x50, 0x41, 0x51, -1, 0x50},
        {0x3f, 0x41, 0x4f, -1, 0x40},   {0xff, 0, 0xff, -1, 0xff},
        {0xef, 0xef, 0xff, 0xff, 0xef}, {0x00, 0xfe, 0xff, -1, 0xf0},
    };
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        lapic_reset(cpu);
        enable(cpu);
        if (rows[i].in_service) {
            arrive(s, 0, rows[i].in_service, false);
            assert_int_equal(lapic_acknowledge(cpu), rows[i].in_service);
        }
        lapic_mmio_write(cpu, TPR, rows[i].tpr);
        assert_int_equal(lapic_mmio_read(cpu, PPR), rows[i].ppr);
        arrive(s, 0, rows[i].requested, false);
        assert_int_equal(lapic_interrupt_pending(cpu), rows[i].taken >= 0);
        assert_int_equal(lapic_acknowledge(cpu), rows[i].taken);
        if (rows[i].taken < 0) { /* it waits */
            assert_int_equal(lapic_mmio_read(cpu, IRR + rows[i].requested / 32 * 16),
                             1u << rows[i].requested % 32);
        }
    }
}

static void test_highest_first(void **state)
{
    static const u8 order[] = {0xff, 0x91, 0x90, 0x3f, 0x20};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    enable(cpu);
    arrive(s, 0, 0x3f, false);
    arrive(s, 0, 0x91, false);
    arrive(s, 0, 0x20, false);
    arrive(s, 0, 0xff, false);
    arrive(s, 0, 0x90, false);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(lapic_acknowledge(cpu), order[i]);
        assert_int_equal(lapic_acknowledge(cpu), -1);
        lapic_mmio_write(cpu, EOI, 0);
    }
    assert_false(lapic_interrupt_pending(cpu));
}

static void test_eoi(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    enable(cpu);
    arrive(s, 0, 0x31, false);
    assert_int_equal(lapic_acknowledge(cpu), 0x31);
    arrive(s, 0, 0x41, true);
    assert_int_equal(lapic_acknowledge(cpu), 0x41);
    lapic_mmio_write(cpu, EOI, 0);
    assert_int_equal(s->eois, 1);
    assert_int_equal(s->eoi_vector, 0x41);
    lapic_mmio_write(cpu, EOI, 0); /* 0x31: edge */
    lapic_mmio_write(cpu, EOI, 0); /* nothing in service */
    assert_int_equal(s->eois, 1);
    lapic_mmio_write(cpu, SVR, 0x11ff); /* no broadcasts */
    arrive(s, 0, 0x41, true);
    assert_int_equal(lapic_acknowledge(cpu), 0x41);
    lapic_mmio_write(cpu, EOI, 0);
    assert_int_equal(s->eois, 1);
}

/* What an EOI or a lower TPR lets through must bring the executor round. */
static void test_attention(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    enable(cpu);
    arrive(s, 0, 0x41, false);
    assert_int_equal(lapic_acknowledge(cpu), 0x41);
    arrive(s, 0, 0x42, false);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 0);
    lapic_mmio_write(cpu, EOI, 0);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 1);
    lapic_set_cr8(cpu, 5);
    assert_int_equal(lapic_mmio_read(cpu, TPR), 0x50);
    lapic_poll(cpu);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 0);
    lapic_set_cr8(cpu, 3);
    assert_int_equal(lapic_get_cr8(cpu), 3);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 1);
}

static void test_modes(void **state)
{
    const u64 base = 0xfee00000, disabled = base, xapic = base | 0x800, x2apic = base | 0xc00;
    const struct {
        u64 from, to;
        bool ok;
    } rows[] = {
        {disabled, disabled, true},
        {disabled, xapic, true},
        {disabled, x2apic, false},
        {xapic, disabled, true},
        {xapic, xapic, true},
        {xapic, x2apic, true},
        {x2apic, disabled, true},
        {x2apic, xapic, false},
        {x2apic, x2apic, true},
        {xapic, base | 0x400, false},
        {xapic, xapic | 1, false},
        {xapic, xapic | 0x200, false},
        {xapic, xapic | 1ull << 46, false},
        {xapic, 0x10000000 | 0x800, true},
        {xapic, xapic | 0x100, true},
    };
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        lapic_reset(cpu);
        if (rows[i].from != xapic) {
            assert_true(lapic_set_base(cpu, rows[i].from));
        }
        assert_int_equal(lapic_set_base(cpu, rows[i].to), rows[i].ok);
        if (rows[i].ok) {
            assert_int_equal(cpu->lapic.base, rows[i].to);
            assert_int_equal(atomic_load(&cpu->inbox->mode), rows[i].to & 0x400   ? 2
                                                             : rows[i].to & 0x800 ? 1
                                                                                  : 0);
            assert_int_equal(lapic_claims(cpu, (rows[i].to & PAGE_MASK) + 0x80),
                             (rows[i].to & 0xc00) == 0x800);
        }
    }
}

static void test_xapic_registers(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[3];

    assert_int_equal(lapic_mmio_read(cpu, ID), 3u << 24);
    assert_int_equal(lapic_mmio_read(cpu, VERSION), 0x01060014);
    assert_int_equal(lapic_mmio_read(cpu, SVR), 0xff);
    assert_int_equal(lapic_mmio_read(cpu, DFR), 0xffffffff);
    lapic_mmio_write(cpu, LDR, 0xffffffff);
    assert_int_equal(lapic_mmio_read(cpu, LDR), 0xff000000);
    assert_int_equal(atomic_load(&cpu->inbox->ldr), 0xff000000);
    lapic_mmio_write(cpu, DFR, 0);
    assert_int_equal(lapic_mmio_read(cpu, DFR), 0x0fffffff);
    assert_int_equal(atomic_load(&cpu->inbox->dfr), 0x0fffffff);
    lapic_mmio_write(cpu, LVT_TIMER_REG, 0x20020); /* software-disabled: stays masked */
    assert_int_equal(lapic_mmio_read(cpu, LVT_TIMER_REG), 0x30020);
    enable(cpu);
    lapic_mmio_write(cpu, LVT_TIMER_REG, 0xfffeffff);
    assert_int_equal(lapic_mmio_read(cpu, LVT_TIMER_REG), 0x600ff);
    lapic_mmio_write(cpu, SVR, 0xff);
    assert_int_equal(lapic_mmio_read(cpu, LVT_TIMER_REG), 0x700ff);
    arrive(s, 3, 0x55, false); /* lost */
    enable(cpu);
    assert_false(lapic_interrupt_pending(cpu));
    lapic_mmio_write(cpu, LVT_ERROR_REG, 0x22);
    assert_int_equal(lapic_mmio_read(cpu, 0x3f0), 0); /* no such register here */
    assert_int_equal(lapic_acknowledge(cpu), 0x22);
    assert_int_equal(lapic_mmio_read(cpu, ESR), 0);
    lapic_mmio_write(cpu, ESR, 0);
    assert_int_equal(lapic_mmio_read(cpu, ESR), 0x80);
}

static void test_x2apic_registers(void **state)
{
    static const struct {
        u32 msr;
        u64 value;
        bool write, read;
    } rows[] = {
        {0x802, 0, false, true},           {0x803, 0, false, true},
        {0x808, 0xff, true, true},         {0x808, 0x100, false, true},
        {0x80a, 0, false, true},           {0x80b, 0, true, false},
        {0x80b, 1, false, false},          {0x80d, 0, false, true},
        {0x80e, 0, false, false},          {0x80f, 0x11ff, true, true},
        {0x80f, 0x8000, false, true},      {0x810, 0, false, true},
        {0x827, 0, false, true},           {0x828, 0, true, true},
        {0x828, 1, false, true},           {0x830, 0x10000, false, true},
        {0x830, 0x2000, false, true},      {0x831, 0, false, false},
        {0x832, 0x700ff, true, true},      {0x832, 0x80000, false, true},
        {0x832, 0x11000, true, true},      {0x832, 0x4000, false, true},
        {0x835, 0x5700, true, true},       {0x835, 0x800, false, true},
        {0x838, 0x100000000, false, true}, {0x838, 0xffffffff, true, true},
        {0x839, 0, false, true},           {0x83e, 0xb, true, true},
        {0x83e, 0x4, false, true},         {0x83f, 0x30, true, false},
        {0x83f, 0x130, false, false},      {0x840, 0, false, false},
        {0xbff, 0, false, false},          {0x800, 0, false, false},
    };
    struct small *s = *state;
    struct cpu *cpu = s->cpu[2];
    u64 value;

    assert_false(lapic_msr_read(cpu, 0x802, &value)); /* in xAPIC mode */
    assert_true(lapic_set_base(cpu, cpu->lapic.base | 0x400));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (lapic_msr_write(cpu, rows[i].msr, rows[i].value) != rows[i].write) {
            fail_msg("write of %x", rows[i].msr);
        }
        if (lapic_msr_read(cpu, rows[i].msr, &value) != rows[i].read) {
            fail_msg("read of %x", rows[i].msr);
        }
    }
    assert_true(lapic_msr_read(cpu, 0x802, &value));
    assert_int_equal(value, 2);
    assert_true(lapic_msr_read(cpu, 0x80d, &value));
    assert_int_equal(value, 4);
    assert_true(lapic_msr_read(cpu, 0x835, &value));
    assert_int_equal(value & ~0x10000ull, 0x700); /* status bits are not taken */
}

static void expect(struct small *s, unsigned to, u8 vector, bool arrives)
{
    u64 bit = 1ull << vector % 64;

    assert_int_equal(!!(atomic_exchange(&s->inboxes[to].irr[vector / 64], 0) & bit), arrives);
}

static void test_ipi(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (unsigned i = 0; i < SMALL_CPUS; i++) {
        enable(s->cpu[i]);
        lapic_mmio_write(s->cpu[i], LDR, 1u << (24 + i));
    }
    lapic_mmio_write(cpu, ICR_HIGH, 2u << 24);
    lapic_mmio_write(cpu, ICR, 0x4051);
    expect(s, 2, 0x51, true);
    expect(s, 1, 0x51, false);
    lapic_mmio_write(cpu, ICR_HIGH, 0xau << 24); /* logical: 1 and 3 */
    lapic_mmio_write(cpu, ICR, 0x4852);
    expect(s, 0, 0x52, false);
    expect(s, 1, 0x52, true);
    expect(s, 2, 0x52, false);
    expect(s, 3, 0x52, true);
    lapic_mmio_write(cpu, ICR, 0xc4053); /* all but self */
    expect(s, 0, 0x53, false);
    expect(s, 1, 0x53, true);
    expect(s, 3, 0x53, true);
    lapic_mmio_write(cpu, ICR, 0x44054); /* self */
    expect(s, 0, 0x54, true);
    expect(s, 1, 0x54, false);
    lapic_mmio_write(cpu, ICR_HIGH, 1u << 24);
    lapic_mmio_write(cpu, ICR, 0x4500); /* INIT */
    assert_int_equal(atomic_exchange(&s->inboxes[1].events, 0), INBOX_INIT);
    lapic_mmio_write(cpu, ICR, 0x8500); /* INIT level de-assert */
    assert_int_equal(atomic_load(&s->inboxes[1].events), 0);
    lapic_mmio_write(cpu, ICR, 0x4699); /* SIPI */
    assert_int_equal(atomic_exchange(&s->inboxes[1].events, 0), INBOX_SIPI);
    assert_int_equal(atomic_load(&s->inboxes[1].sipi_vector), 0x99);
    lapic_mmio_write(cpu, ICR, 0x4400); /* NMI */
    assert_int_equal(atomic_exchange(&s->inboxes[1].events, 0), INBOX_NMI);
    lapic_mmio_write(cpu, ICR, 0x400f); /* illegal vector */
    lapic_mmio_write(cpu, ESR, 0);
    assert_int_equal(lapic_mmio_read(cpu, ESR), 0x20);
}

static void test_x2apic_ipi(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    u64 icr;

    for (unsigned i = 0; i < SMALL_CPUS; i++) {
        assert_true(lapic_set_base(s->cpu[i], s->cpu[i]->lapic.base | 0x400));
        assert_true(lapic_msr_write(s->cpu[i], 0x80f, 0x1ff));
    }
    assert_true(lapic_msr_write(cpu, 0x830, 3ull << 32 | 0x61));
    expect(s, 3, 0x61, true);
    expect(s, 0, 0x61, false);
    assert_true(lapic_msr_read(cpu, 0x830, &icr));
    assert_int_equal(icr, 3ull << 32 | 0x61);
    assert_true(lapic_msr_write(cpu, 0x830, 6ull << 32 | 0x862)); /* logical: 1 and 2 */
    expect(s, 1, 0x62, true);
    expect(s, 2, 0x62, true);
    expect(s, 3, 0x62, false);
    assert_true(lapic_msr_write(cpu, 0x83f, 0x63)); /* self */
    assert_int_equal(lapic_acknowledge(cpu), 0x63);
}

static void test_virtual_wire(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    s->pic_vector = 0x08;
    interrupt_post_event(&cpu->fabric, 0, INBOX_EXTINT);
    assert_int_equal(lapic_poll(cpu), 0);
    assert_false(lapic_interrupt_pending(cpu)); /* LINT0 is masked */
    lapic_set_virtual_wire(cpu);
    assert_true(lapic_interrupt_pending(cpu));
    lapic_mmio_write(cpu, TPR, 0xff); /* no matter to ExtINT */
    assert_int_equal(lapic_acknowledge(cpu), 0x08);
    lapic_mmio_write(cpu, TPR, 0);
    arrive(s, 0, 0x80, false);
    assert_int_equal(lapic_acknowledge(cpu), 0x08); /* INTR comes first */
    atomic_fetch_and(&cpu->inbox->events, ~(u32)INBOX_EXTINT);
    assert_int_equal(lapic_acknowledge(cpu), 0x80);
    lapic_mmio_write(cpu, EOI, 0);
    lapic_mmio_write(cpu, LVT_LINT0_REG, 0x71); /* fixed: an edge each time INTR rises */
    lapic_poll(cpu);
    for (unsigned i = 0; i < 2; i++) {
        interrupt_post_event(&cpu->fabric, 0, INBOX_EXTINT);
        lapic_poll(cpu);
        lapic_poll(cpu);
        assert_int_equal(lapic_acknowledge(cpu), 0x71);
        lapic_mmio_write(cpu, EOI, 0);
        lapic_poll(cpu);
        assert_int_equal(lapic_acknowledge(cpu), -1);
        atomic_fetch_and(&cpu->inbox->events, ~(u32)INBOX_EXTINT);
        lapic_poll(cpu);
    }
    assert_true(lapic_set_base(cpu, 0xfee00000)); /* no APIC: INTR is the CPU's own pin */
    interrupt_post_event(&cpu->fabric, 0, INBOX_EXTINT);
    assert_true(lapic_interrupt_pending(cpu));
}

static void test_poll(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    interrupt_post_event(&cpu->fabric, 0, INBOX_PAUSE | INBOX_NMI | INBOX_EXTINT);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 1);
    assert_int_equal(lapic_poll(cpu), INBOX_PAUSE);
    assert_true(cpu->nmi_pending);
    assert_int_equal(atomic_load(&cpu->inbox->attention), 0);
    assert_int_equal(atomic_load(&cpu->inbox->events), INBOX_EXTINT);
    assert_int_equal(lapic_poll(cpu), 0);
}

/* ------------------------------------------------------------------ timer */

static void test_one_shot(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    enable(cpu);
    small_set_time(s, 1000);
    lapic_mmio_write(cpu, LVT_TIMER_REG, ONE_SHOT | 0x40);
    lapic_mmio_write(cpu, DIVIDE, 0x3); /* by 16 */
    lapic_mmio_write(cpu, INITIAL, 100);
    assert_int_equal(s->armed_ns, 2600);
    small_set_time(s, 1801);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 50);
    small_set_time(s, 2599);
    lapic_poll(cpu);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 1);
    assert_false(lapic_interrupt_pending(cpu));
    small_set_time(s, 2600);
    lapic_poll(cpu);
    assert_int_equal(lapic_acknowledge(cpu), 0x40);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 0);
    assert_int_equal(s->armed_ns, NEVER);
    lapic_mmio_write(cpu, EOI, 0);
    lapic_mmio_write(cpu, LVT_TIMER_REG, MASKED | 0x40); /* masked: it passes unseen */
    lapic_mmio_write(cpu, INITIAL, 1);
    small_set_time(s, 10000);
    lapic_poll(cpu);
    lapic_mmio_write(cpu, LVT_TIMER_REG, 0x40);
    lapic_poll(cpu);
    assert_false(lapic_interrupt_pending(cpu));
    lapic_mmio_write(cpu, INITIAL, 5);
    lapic_mmio_write(cpu, INITIAL, 0); /* stopped */
    assert_int_equal(s->armed_ns, NEVER);
}

static void test_dividers(void **state)
{
    static const u8 code[] = {0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa, 0xb};
    static const u64 by[] = {2, 4, 8, 16, 32, 64, 128, 1};
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    for (size_t i = 0; i < ARRAY_SIZE(code); i++) {
        lapic_mmio_write(cpu, DIVIDE, code[i]);
        lapic_mmio_write(cpu, INITIAL, 0xffffffff);
        assert_int_equal(s->armed_ns, 0xffffffff * by[i]);
    }
    lapic_mmio_write(cpu, INITIAL, 1000); /* at 1, after 400 on at 4 */
    small_set_time(s, 400);
    lapic_mmio_write(cpu, DIVIDE, 0x1);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 600);
    assert_int_equal(s->armed_ns, 400 + 2400);
}

static void test_periodic(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];
    unsigned arms;

    enable(cpu);
    lapic_mmio_write(cpu, LVT_TIMER_REG, PERIODIC | 0x40);
    lapic_mmio_write(cpu, DIVIDE, 0xb);
    lapic_mmio_write(cpu, INITIAL, 1000);
    small_set_time(s, 1000);
    lapic_poll(cpu);
    assert_int_equal(lapic_acknowledge(cpu), 0x40);
    lapic_mmio_write(cpu, EOI, 0);
    assert_int_equal(s->armed_ns, 2000);
    arms = s->arms;
    small_set_time(s, 1000007300); /* a second late: one interrupt, in phase again */
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 700);
    lapic_poll(cpu);
    assert_int_equal(s->arms, arms + 1);
    assert_int_equal(s->armed_ns, 1000008000);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 700);
    assert_int_equal(lapic_acknowledge(cpu), 0x40);
    lapic_mmio_write(cpu, EOI, 0);
    lapic_poll(cpu);
    assert_false(lapic_interrupt_pending(cpu));
    interrupt_post_event(&cpu->fabric, 0, INBOX_TIMER); /* the host's was early: armed again */
    arms = s->arms;
    lapic_poll(cpu);
    assert_int_equal(s->arms, arms + 1);
    assert_false(lapic_interrupt_pending(cpu));
}

static void test_tsc_deadline(void **state)
{
    struct small *s = *state;
    struct cpu *cpu = s->cpu[0];

    enable(cpu);
    small_set_time(s, 5000);
    lapic_set_tsc_deadline(cpu, 9000); /* not in that mode: ignored */
    assert_int_equal(lapic_get_tsc_deadline(cpu), 0);
    lapic_mmio_write(cpu, LVT_TIMER_REG, TSC_DEADLINE | 0x41);
    lapic_mmio_write(cpu, INITIAL, 1000); /* ignored in this one */
    assert_int_equal(s->armed_ns, NEVER);
    lapic_set_tsc_deadline(cpu, 9000);
    assert_int_equal(lapic_get_tsc_deadline(cpu), 9000);
    assert_int_equal(s->armed_ns, 9000);
    assert_int_equal(lapic_mmio_read(cpu, CURRENT), 0);
    small_set_time(s, 8999);
    lapic_poll(cpu);
    assert_false(lapic_interrupt_pending(cpu));
    small_set_time(s, 9000);
    lapic_poll(cpu);
    assert_int_equal(lapic_acknowledge(cpu), 0x41);
    assert_int_equal(lapic_get_tsc_deadline(cpu), 0);
    lapic_mmio_write(cpu, EOI, 0);
    lapic_set_tsc_deadline(cpu, 100); /* past: at once */
    assert_int_equal(atomic_load(&cpu->inbox->attention), 1);
    assert_int_equal(lapic_acknowledge(cpu), 0x41);
    lapic_mmio_write(cpu, EOI, 0);
    lapic_set_tsc_deadline(cpu, 20000);
    assert_true(cpu_wrmsr(cpu, MSR_IA32_TSC_ADJUST, 10000)); /* the TSC runs ahead: sooner */
    assert_int_equal(s->armed_ns, 10000);
    lapic_set_tsc_deadline(cpu, 0);
    assert_int_equal(s->armed_ns, NEVER);
    lapic_set_tsc_deadline(cpu, UINT64_MAX); /* never, but no overflow */
    lapic_poll(cpu);
    assert_false(lapic_interrupt_pending(cpu));
    lapic_mmio_write(cpu, LVT_TIMER_REG, ONE_SHOT | 0x41); /* another mode disarms */
    assert_int_equal(s->armed_ns, NEVER);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_priorities),       TEST(test_highest_first), TEST(test_eoi),
        TEST(test_attention),        TEST(test_modes),         TEST(test_xapic_registers),
        TEST(test_x2apic_registers), TEST(test_ipi),           TEST(test_x2apic_ipi),
        TEST(test_virtual_wire),     TEST(test_poll),          TEST(test_one_shot),
        TEST(test_dividers),         TEST(test_periodic),      TEST(test_tsc_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
