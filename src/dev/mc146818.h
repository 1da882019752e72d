/* mc146818.h - the real-time clock, and the CMOS memory in which a PC's firmware keeps its set-up.
 */
#ifndef DEV_MC146818_H
#define DEV_MC146818_H

#include "dev/device.h"

struct mc146818_config {
    struct irq irq; /* IRQ 8: a level */
    s64 epoch_s;    /* wall-clock time when the queue's clock is 0, seconds since 1970 UTC */
    u64 low_size;   /* RAM below 4 GiB, in bytes, with the first MiB */
    u64 high_size;  /* RAM from 4 GiB up, in bytes */
    unsigned cpus;
};

/* 0 or -errno. */
int mc146818_create(const struct slot *slot, const struct mc146818_config *config,
                    struct device **device);

/* The machine has been away for so long: the clock, which has a battery, went on.  No alarm of that
 * time rings. */
void mc146818_step(struct device *device, s64 seconds);

#endif
