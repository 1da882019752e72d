/*
 * acpi_pm.c - ACPI fixed hardware: the PM1a event and control blocks, the PM timer and GPE0.
 *
 *      PM1_STS   15 WAK   10 RTC   9 SLPBTN   8 PWRBTN   5 GBL   4 BM   0 TMR   (write 1 to clear)
 *      PM1_EN             10 RTC   9 SLPBTN   8 PWRBTN   5 GBL          0 TMR
 *      PM1_CNT   13 SLP_EN   12-10 SLP_TYP   2 GBL_RLS   1 BM_RLD   0 SCI_EN
 *
 * The machine has no SMI and no legacy mode: SCI_EN always reads 1, and the FADT has no SMI_CMD.
 *
 * ACPI Specification, "ACPI Hardware Specification", "Fixed Hardware Registers".
 *
 * LIMIT: no sleep state but S5; other values of SLP_TYP do nothing.  LIMIT: GPE0 has no events.
 */
#include "dev/acpi_pm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    PM1_TMR = 1 << 0,
    PM1_PWRBTN = 1 << 8,
    PM1_EN_MASK = 0x0721,
    CNT_SCI_EN = 1 << 0,
    CNT_KEPT = 0x1c02,
    CNT_SLP_EN = 1 << 13,
    CNT_SLP_TYP_SHIFT = 10,
};

struct acpi_pm {
    struct device device;
    struct slot slot;
    struct irq sci;
    struct timer timer;
    unsigned timer_bits;
    u64 seen_toggles; /* changes of the timer's top bit that TMR_STS knows of */
    u16 status, enable, control;
    u8 gpe_enable[ACPI_GPE0_SIZE / 2];
};

static struct acpi_pm *from_device(struct device *device)
{
    return container_of(device, struct acpi_pm, device);
}

static u64 ticks(const struct acpi_pm *pm)
{
    return (u64)((unsigned __int128)timer_now(pm->slot.timers) * ACPI_PM_TMR_HZ / 1000000000u);
}

/* How often the top bit has changed: TMR_STS is set each time. */
static u64 toggles(const struct acpi_pm *pm)
{
    return ticks(pm) >> (pm->timer_bits - 1);
}

/* Bring TMR_STS and the SCI up to now, and wake up for the next change if it would interrupt. */
static void update(struct acpi_pm *pm)
{
    u64 count = toggles(pm);

    if (count != pm->seen_toggles) {
        pm->seen_toggles = count;
        pm->status |= PM1_TMR;
    }
    irq_set(&pm->sci, pm->status & pm->enable);
    if (pm->enable & PM1_TMR && !(pm->status & PM1_TMR)) {
        u64 next = (count + 1) << (pm->timer_bits - 1);
        timer_arm(&pm->timer, (u64)(((unsigned __int128)next * 1000000000u + ACPI_PM_TMR_HZ - 1) /
                                    ACPI_PM_TMR_HZ));
    } else {
        timer_cancel(&pm->timer);
    }
}

static void fire(void *arg)
{
    update(arg);
}

void acpi_pm_press_power(struct device *device)
{
    struct acpi_pm *pm = from_device(device);

    pm->status |= PM1_PWRBTN;
    update(pm);
}

/* The blocks take bytes, and wider accesses as their bytes: each bit acts by itself, and SLP_TYP
 * and SLP_EN share a byte. */
static u64 event_read(void *device, u64 offset, unsigned size)
{
    struct acpi_pm *pm = device;

    (void)size;
    update(pm);
    return ((u64)pm->status | (u64)pm->enable << 16) >> (8 * offset) & 0xff;
}

static void event_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct acpi_pm *pm = device;
    unsigned shift = 8 * (offset & 1);

    (void)size;
    update(pm);
    if (offset < 2) {
        pm->status &= ~(value << shift);
    } else {
        pm->enable &= ~(0xff << shift);
        pm->enable |= (value << shift) & PM1_EN_MASK;
    }
    update(pm);
}

static u64 control_read(void *device, u64 offset, unsigned size)
{
    struct acpi_pm *pm = device;

    (void)size;
    return (pm->control | CNT_SCI_EN) >> (8 * offset) & 0xff;
}

static void control_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct acpi_pm *pm = device;
    unsigned written = (unsigned)value << (8 * offset), type;

    (void)size;
    pm->control &= ~(0xff << (8 * offset));
    pm->control |= written & CNT_KEPT;
    type = pm->control >> CNT_SLP_TYP_SHIFT & 7;
    if (written & CNT_SLP_EN && type == ACPI_SLP_TYP_S5) {
        pm->slot.power(pm->slot.power_context, POWER_OFF, 0);
    }
}

static u64 timer_read(void *device, u64 offset, unsigned size)
{
    struct acpi_pm *pm = device;

    (void)offset;
    (void)size;
    return ticks(pm) & bits_mask(pm->timer_bits);
}

static void timer_write(void *device, u64 offset, u64 value, unsigned size)
{
    (void)device; /* read-only */
    (void)offset;
    (void)value;
    (void)size;
}

static u64 gpe_read(void *device, u64 offset, unsigned size)
{
    struct acpi_pm *pm = device;
    unsigned half = ACPI_GPE0_SIZE / 2;

    (void)size;
    return offset < half ? 0 : pm->gpe_enable[offset - half];
}

static void gpe_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct acpi_pm *pm = device;
    unsigned half = ACPI_GPE0_SIZE / 2;

    (void)size;
    if (offset >= half) {
        pm->gpe_enable[offset - half] = (u8)value;
    }
}

static const struct bus_region_ops event_ops = {event_read, event_write, 1, 1};
static const struct bus_region_ops control_ops = {control_read, control_write, 1, 1};
static const struct bus_region_ops timer_ops = {timer_read, timer_write, 4, 4};
static const struct bus_region_ops gpe_ops = {gpe_read, gpe_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO,
     .base = ACPI_PM1A_EVT,
     .size = ACPI_PM1A_EVT_SIZE,
     .ops = &event_ops,
     .name = "acpi pm1a event"},
    {.space = BUS_PIO,
     .base = ACPI_PM1A_CNT,
     .size = ACPI_PM1A_CNT_SIZE,
     .ops = &control_ops,
     .name = "acpi pm1a control"},
    {.space = BUS_PIO,
     .base = ACPI_PM_TMR,
     .size = ACPI_PM_TMR_SIZE,
     .ops = &timer_ops,
     .name = "acpi pm timer"},
    {.space = BUS_PIO,
     .base = ACPI_GPE0,
     .size = ACPI_GPE0_SIZE,
     .ops = &gpe_ops,
     .name = "acpi gpe0"},
};

static void reset(struct device *device)
{
    struct acpi_pm *pm = from_device(device);
    unsigned i;

    pm->status = pm->enable = pm->control = 0;
    for (i = 0; i < ARRAY_SIZE(pm->gpe_enable); i++) {
        pm->gpe_enable[i] = 0;
    }
    pm->seen_toggles = toggles(pm);
    update(pm);
}

static void destroy(struct device *device)
{
    struct acpi_pm *pm = from_device(device);

    timer_cancel(&pm->timer);
    device_remove_regions(&pm->slot, regions, ARRAY_SIZE(regions));
    free(pm);
}

static const struct field fields[] = {
    FIELD(struct acpi_pm, seen_toggles),
    FIELD(struct acpi_pm, status),
    FIELD(struct acpi_pm, enable),
    FIELD(struct acpi_pm, control),
    FIELD_ARRAY(struct acpi_pm, gpe_enable),
    FIELD_TIMER(struct acpi_pm, timer),
    FIELDS_END,
};

int acpi_pm_create(const struct slot *slot, const struct acpi_pm_config *config,
                   struct device **device)
{
    struct acpi_pm *pm = calloc(1, sizeof(*pm));
    int error;

    if (!pm) {
        return -ENOMEM;
    }
    pm->device = (struct device){.name = "acpi pm",
                                 .block = pm,
                                 .block_bytes = sizeof(*pm),
                                 .state = {{fields, pm}},
                                 .reset = reset,
                                 .destroy = destroy};
    pm->slot = *slot;
    pm->sci = config->sci;
    pm->timer_bits = config->timer_32bit ? 32 : 24;
    timer_init(&pm->timer, slot->timers, fire, pm);
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), pm);
    if (error) {
        free(pm);
        return error;
    }
    reset(&pm->device);
    *device = &pm->device;
    return 0;
}
