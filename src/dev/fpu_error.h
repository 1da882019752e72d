/* fpu_error.h - what a PC has between the FPU's error line and its interrupt: ports F0 and F1. */
#ifndef DEV_FPU_ERROR_H
#define DEV_FPU_ERROR_H

#include "dev/device.h"

struct fpu_error_config {
    struct irq irq;   /* IRQ 13 */
    struct irq ignne; /* the CPU's IGNNE#: go on in spite of the exception */
};

/* 0 or -errno. */
int fpu_error_create(const struct slot *slot, const struct fpu_error_config *config,
                     struct device **device);

/* The CPU's FERR#: an x87 exception is waited for. */
void fpu_error_set(struct device *device, bool level);

#endif
