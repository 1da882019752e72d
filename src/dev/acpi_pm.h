/* acpi_pm.h - ACPI's fixed hardware.  The ACPI tables name these ports and values. */
#ifndef DEV_ACPI_PM_H
#define DEV_ACPI_PM_H

#include "dev/device.h"

#define ACPI_PM1A_EVT      0x600 /* status, then enable */
#define ACPI_PM1A_EVT_SIZE 4
#define ACPI_PM1A_CNT      0x604
#define ACPI_PM1A_CNT_SIZE 2
#define ACPI_PM_TMR        0x608
#define ACPI_PM_TMR_SIZE   4
#define ACPI_GPE0          0x620 /* status, then enable */
#define ACPI_GPE0_SIZE     8
#define ACPI_SCI_IRQ       9 /* level-triggered, active high */
#define ACPI_SLP_TYP_S5    5 /* what \_S5 holds */
#define ACPI_PM_TMR_HZ     3579545ull

struct acpi_pm_config {
    struct irq sci;
    bool timer_32bit; /* the FADT's TMR_VAL_EXT */
};

/* 0 or -errno. */
int acpi_pm_create(const struct slot *slot, const struct acpi_pm_config *config,
                   struct device **device);

/* The user presses the power button. */
void acpi_pm_press_power(struct device *device);

#endif
