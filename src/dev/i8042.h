/* i8042.h - the keyboard controller, with a keyboard and perhaps a mouse. */
#ifndef DEV_I8042_H
#define DEV_I8042_H

#include "dev/device.h"

struct i8042_config {
    struct irq keyboard; /* IRQ 1: a level while a byte of the keyboard is there to read */
    struct irq aux;      /* IRQ 12 */
    bool mouse;          /* a PS/2 mouse is plugged in */
    /* The keyboard has sent all that i8042_key() has given it; NULL: nobody wants to know. */
    void (*keyboard_ready)(void *context);
    void *context;
};

/* 0 or -errno. */
int i8042_create(const struct slot *slot, const struct i8042_config *config,
                 struct device **device);

/* A key goes down or up: see ps2_keyboard_key().  False, and nothing done, while the codes of the
 * last one have not all been read: keyboard_ready() tells when.  A key is lost as on a PC if the
 * guest has turned scanning off. */
bool i8042_key(struct device *device, u16 key, bool down);

#endif
