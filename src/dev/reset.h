/* reset.h - the reset control register (0xcf9) and system control port A (0x92). */
#ifndef DEV_RESET_H
#define DEV_RESET_H

#include "dev/device.h"

#define RESET_PORT  0xcf9
#define RESET_VALUE 0x06 /* written there, resets: what the FADT tells */

/* 0 or -errno. */
int reset_create(const struct slot *slot, struct device **device);

/* The byte at 0xcf9: for the PCI host bridge, which has the ports 0xcf8 to 0xcff. */
u8 reset_read_control(struct device *device);
void reset_write_control(struct device *device, u8 value);

#endif
