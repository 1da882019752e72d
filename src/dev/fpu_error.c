/*
 * fpu_error.c - x87 exceptions as interrupts, as on a PC since the 80287.
 *
 * The CPU, with CR0.NE clear, does not raise #MF but asserts FERR#.  That sets a latch, whose
 * output is IRQ 13.  The handler's write to port F0, of whatever value, clears the latch, and
 * asserts IGNNE# for as long as FERR# is asserted, so that the handler can execute x87
 * instructions:
 *
 *      FERR#   ___/~~~~~~~~~~~~~~~~~~\___        cleared by FNCLEX and its like
 *      IRQ 13  ___/~~~~~~~\______________
 *      OUT F0  ___________|______________
 *      IGNNE#  ___________/~~~~~~~~~~\___
 *
 * Port F1, which reset an 80287, clears the latch, too.
 *
 * Intel SDM vol. 1, "MS-DOS Compatibility Sub-mode" and "Guidelines for Writing x87 FPU Exception
 * Handlers"; Intel, "82371AB (PIIX4)", FERR#, IGNNE#, coprocessor error register.
 */
#include "dev/fpu_error.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

struct fpu_error {
    struct device device;
    struct slot slot;
    struct fpu_error_config config;
    bool ferr, latch, ignne;
};

static struct fpu_error *from_device(struct device *device)
{
    return container_of(device, struct fpu_error, device);
}

static void set_latch(struct fpu_error *f, bool level)
{
    f->latch = level;
    irq_set(&f->config.irq, level);
}

static void set_ignne(struct fpu_error *f, bool level)
{
    f->ignne = level;
    irq_set(&f->config.ignne, level);
}

void fpu_error_set(struct device *device, bool level)
{
    struct fpu_error *f = from_device(device);

    if (level && !f->ferr) {
        set_latch(f, true);
    }
    if (!level) {
        set_ignne(f, false);
    }
    f->ferr = level;
}

static u64 read(void *device, u64 offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0xff; /* they are for writing */
}

static void write(void *device, u64 offset, u64 value, unsigned size)
{
    struct fpu_error *f = device;

    (void)offset;
    (void)value;
    (void)size;
    set_latch(f, false);
    if (f->ferr) {
        set_ignne(f, true);
    }
}

static const struct bus_region_ops ops = {read, write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0xf0, .size = 2, .ops = &ops, .name = "FPU error"},
};

static void reset(struct device *device)
{
    struct fpu_error *f = from_device(device);

    f->ferr = false;
    set_latch(f, false);
    set_ignne(f, false);
}

static void destroy(struct device *device)
{
    struct fpu_error *f = from_device(device);

    device_remove_regions(&f->slot, regions, ARRAY_SIZE(regions));
    free(f);
}

static const struct field fields[] = {
    FIELD(struct fpu_error, ferr),
    FIELD(struct fpu_error, latch),
    FIELD(struct fpu_error, ignne),
    FIELDS_END,
};

int fpu_error_create(const struct slot *slot, const struct fpu_error_config *config,
                     struct device **device)
{
    struct fpu_error *f = calloc(1, sizeof(*f));
    int error;

    if (!f) {
        return -ENOMEM;
    }
    f->device = (struct device){.name = "fpu_error",
                                .block = f,
                                .block_bytes = sizeof(*f),
                                .state = {{fields, f}},
                                .reset = reset,
                                .destroy = destroy};
    f->slot = *slot;
    f->config = *config;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), f);
    if (error) {
        free(f);
        return error;
    }
    reset(&f->device);
    *device = &f->device;
    return 0;
}
