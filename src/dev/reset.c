/*
 * reset.c - two ports by which a guest resets the machine.
 *
 *      port CF9   3 full   2 RST_CPU: resets as it becomes 1   1 SYS_RST: a hard reset
 *      port 92    1 A20   0 resets as it becomes 1
 *
 * CF9 lies inside the dword of PCI's CONFIG_ADDRESS, so the PCI host bridge has the port, and
 * passes a byte access on.
 *
 * Intel, "82371AB (PIIX4)", RC; Intel, "I/O Controller Hub 9", PORT92.
 */
#include "dev/reset.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    CONTROL_RST_CPU = 0x04,
    CONTROL_KEPT = 0x0a,
    PORT92_RESET = 0x01,
    PORT92_A20 = 0x02,
};

struct reset {
    struct device device;
    struct slot slot;
    u8 control;
    bool port92_reset; /* bit 0 of port 92, as it was written last */
};

static struct reset *from_device(struct device *device)
{
    return container_of(device, struct reset, device);
}

void reset_write_control(struct device *device, u8 value)
{
    struct reset *r = from_device(device);

    r->control = value & CONTROL_KEPT;
    if (value & CONTROL_RST_CPU) {
        r->slot.power(r->slot.power_context, POWER_RESET, 0);
    }
}

u8 reset_read_control(struct device *device)
{
    return from_device(device)->control;
}

static u64 port92_read(void *device, u64 offset, unsigned size)
{
    struct reset *r = device;

    (void)offset;
    (void)size;
    return (r->slot.a20->on ? PORT92_A20 : 0) | (r->port92_reset ? PORT92_RESET : 0);
}

static void port92_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct reset *r = device;
    bool resets = value & PORT92_RESET && !r->port92_reset;

    (void)offset;
    (void)size;
    r->port92_reset = value & PORT92_RESET;
    a20_set(r->slot.a20, value & PORT92_A20);
    if (resets) {
        r->slot.power(r->slot.power_context, POWER_RESET, 0);
    }
}

static const struct bus_region_ops port92_ops = {port92_read, port92_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x92, .size = 1, .ops = &port92_ops, .name = "port 92"},
};

static void reset(struct device *device)
{
    struct reset *r = from_device(device);

    r->control = 0;
    r->port92_reset = false;
    a20_set(r->slot.a20, true);
}

static void destroy(struct device *device)
{
    struct reset *r = from_device(device);

    device_remove_regions(&r->slot, regions, ARRAY_SIZE(regions));
    free(r);
}

static const struct field fields[] = {
    FIELD(struct reset, control),
    FIELD(struct reset, port92_reset),
    FIELDS_END,
};

int reset_create(const struct slot *slot, struct device **device)
{
    struct reset *r = calloc(1, sizeof(*r));
    int error;

    if (!r) {
        return -ENOMEM;
    }
    r->device = (struct device){.name = "reset",
                                .block = r,
                                .block_bytes = sizeof(*r),
                                .state = {{fields, r}},
                                .reset = reset,
                                .destroy = destroy};
    r->slot = *slot;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), r);
    if (error) {
        free(r);
        return error;
    }
    reset(&r->device);
    *device = &r->device;
    return 0;
}
