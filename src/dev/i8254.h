/* i8254.h - the programmable interval timer, and system control port B (0x61). */
#ifndef DEV_I8254_H
#define DEV_I8254_H

#include "dev/device.h"

#define I8254_HZ 1193182ull

struct i8254_config {
    struct irq irq; /* follows the output of channel 0 */
};

/* 0 or -errno. */
int i8254_create(const struct slot *slot, const struct i8254_config *config,
                 struct device **device);

#endif
