/* i8259.h - the PC's pair of interrupt controllers. */
#ifndef DEV_I8259_H
#define DEV_I8259_H

#include "dev/device.h"

#define I8259_ELCR 0x4d0 /* 16 bits, one an input: 1 is level-triggered */

struct i8259_config {
    struct irq output; /* INTR to the processor: a level */
};

/* 0 or -errno. */
int i8259_create(const struct slot *slot, const struct i8259_config *config,
                 struct device **device);

/* Input line n, 0 to 15.  Input 2 is the cascade: driving it does nothing. */
struct irq i8259_irq(struct device *device, unsigned n);

/* The INTA cycle: the vector of the request of highest priority, which is then in service.  Where
 * none is left, the vector of a spurious IRQ7 (or 15). */
u8 i8259_acknowledge(struct device *device);

#endif
