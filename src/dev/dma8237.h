/* dma8237.h - the ISA DMA controllers' registers, the page registers and the POST port (0x80). */
#ifndef DEV_DMA8237_H
#define DEV_DMA8237_H

#include "dev/device.h"

/* 0 or -errno. */
int dma8237_create(const struct slot *slot, struct device **device);

/* What was written last to port 0x80. */
u8 dma8237_post_code(struct device *device);

#endif
