/* i8042.h - the keyboard controller, with a keyboard and perhaps a mouse. */
#ifndef DEV_I8042_H
#define DEV_I8042_H

#include "dev/device.h"

struct i8042_config {
    struct irq keyboard; /* IRQ 1: a level while a byte of the keyboard is there to read */
    struct irq aux;      /* IRQ 12 */
    bool mouse;          /* a PS/2 mouse is plugged in */
};

/* 0 or -errno. */
int i8042_create(const struct slot *slot, const struct i8042_config *config,
                 struct device **device);

#endif
