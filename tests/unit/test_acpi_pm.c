/* test_acpi_pm.c - the PM timer, SCI, power button and power-off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dev/acpi_pm.h"
#include "fake_slot.h"

#define SCI    0
#define SECOND 1000000000ull

struct world {
    struct fake_slot f;
    struct device *pm;
};

static void init(struct world *w, bool timer_32bit)
{
    struct acpi_pm_config config;

    fake_slot_init(&w->f);
    config = (struct acpi_pm_config){.sci = fake_irq(&w->f, SCI), .timer_32bit = timer_32bit};
    assert_int_equal(acpi_pm_create(&w->f.slot, &config, &w->pm), 0);
}

static void done(struct world *w)
{
    device_destroy(w->pm);
    assert_int_equal(w->f.bus.count, 0);
    assert_null(w->f.timers.first);
    bus_map_destroy(&w->f.bus);
}

static void timer_counts(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 4), 0);
    fake_advance(&w.f, SECOND);
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 4), ACPI_PM_TMR_HZ);
    fake_out(&w.f, ACPI_PM_TMR, 0, 4); /* read-only */
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 4), ACPI_PM_TMR_HZ);
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 2), ACPI_PM_TMR_HZ & 0xffff);
    fake_advance(&w.f, 1199 * SECOND);
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 4), (u32)(1200 * ACPI_PM_TMR_HZ));
    done(&w);
    init(&w, false);
    fake_advance(&w.f, 10 * SECOND);
    assert_int_equal(fake_in(&w.f, ACPI_PM_TMR, 4), 10 * ACPI_PM_TMR_HZ & 0xffffff);
    done(&w);
}

static void timer_interrupt(void **state)
{
    struct world w;

    (void)state;
    init(&w, false);
    fake_out(&w.f, ACPI_PM1A_EVT + 2, 0x0001, 2);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT + 2, 2), 1);
    fake_advance(&w.f, 2343 * SECOND / 1000); /* the top bit changes after 2.3435 s */
    assert_false(w.f.level[SCI]);
    fake_advance(&w.f, SECOND / 1000);
    assert_true(w.f.level[SCI]);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT, 2), 1);
    fake_jump(&w.f, 3600 * SECOND);
    fake_out(&w.f, ACPI_PM1A_EVT, 0x0001, 2);
    assert_false(w.f.level[SCI]);
    fake_advance(&w.f, 3 * SECOND);
    assert_true(w.f.level[SCI]);
    assert_int_equal(w.f.rises[SCI], 2);
    fake_out(&w.f, ACPI_PM1A_EVT + 2, 0, 2);
    assert_false(w.f.level[SCI]);
    done(&w);
}

static void power_button(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    acpi_pm_press_power(w.pm);
    assert_false(w.f.level[SCI]);
    fake_out(&w.f, ACPI_PM1A_EVT + 2, 0xffff, 2);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT + 2, 2), 0x0721);
    assert_true(w.f.level[SCI]);
    fake_out(&w.f, ACPI_PM1A_EVT, 0x0400, 2); /* another bit */
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT, 2), 0x0100);
    fake_out(&w.f, ACPI_PM1A_EVT, 0x0100, 2);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT, 2), 0);
    assert_false(w.f.level[SCI]);
    acpi_pm_press_power(w.pm);
    w.pm->reset(w.pm);
    assert_false(w.f.level[SCI]);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_EVT, 4), 0);
    done(&w);
}

static void power_off(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_CNT, 2), 1); /* always in ACPI mode */
    fake_out(&w.f, ACPI_PM1A_CNT, ACPI_SLP_TYP_S5 << 10, 2);
    assert_int_equal(w.f.powers, 0);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_CNT, 2), ACPI_SLP_TYP_S5 << 10 | 1);
    fake_out(&w.f, ACPI_PM1A_CNT, 1 << 13 | 1 << 10, 2); /* a state that we do not have */
    assert_int_equal(w.f.powers, 0);
    fake_out(&w.f, ACPI_PM1A_CNT, 1 << 13 | ACPI_SLP_TYP_S5 << 10 | 1, 2);
    assert_int_equal(w.f.powers, 1);
    assert_int_equal(w.f.event, POWER_OFF);
    assert_int_equal(fake_in(&w.f, ACPI_PM1A_CNT, 2) & 1 << 13, 0); /* write-only */
    done(&w);
}

static void gpe_block(void **state)
{
    struct world w;

    (void)state;
    init(&w, true);
    fake_out(&w.f, ACPI_GPE0, 0xffffffff, 4);
    assert_int_equal(fake_in(&w.f, ACPI_GPE0, 4), 0);
    fake_out(&w.f, ACPI_GPE0 + 4, 0x12345678, 4);
    assert_int_equal(fake_in(&w.f, ACPI_GPE0 + 4, 4), 0x12345678);
    assert_false(w.f.level[SCI]);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer_counts), cmocka_unit_test(timer_interrupt),
        cmocka_unit_test(power_button), cmocka_unit_test(power_off),
        cmocka_unit_test(gpe_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
