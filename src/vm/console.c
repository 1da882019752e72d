/* console.c - the machine's virtio console. */
#include "vm/console.h"

#include <errno.h>
#include <string.h>

#include "dev/virtio/console.h"
#include "vm/machine.h"

int console_create(struct ringer *m, struct pci_bus *bus, struct device **device)
{
    const struct virtio_console_config config = {
        .ops = &serial_port_ops,
        .context = m->serials[RINGER_PORT_HVC0],
    };
    int error;

    if (m->console.device) {
        return machine_fail(m, -EINVAL, "a machine has at most one virtio console");
    }
    error = virtio_console_create(bus, &config, device);
    m->console.device = *device;
    return error;
}

void console_resume(struct ringer *m)
{
    if (m->console.device) {
        virtio_console_resume(m->console.device);
    }
}

size_t console_offer(struct ringer *m, const u8 *bytes, size_t size)
{
    return m->console.device ? virtio_console_receive(m->console.device, bytes, size) : 0;
}

size_t console_offer_size(struct ringer *m, const u8 *bytes, size_t size)
{
    u16 dimensions[2];

    if (!m->console.device || size < sizeof(dimensions)) {
        return 0;
    }
    memcpy(dimensions, bytes, sizeof(dimensions));
    virtio_console_resize(m->console.device, dimensions[0], dimensions[1]);
    return sizeof(dimensions);
}

void console_ask_size(struct ringer *m)
{
    struct console *c = &m->console;

    if (c->size_due && input_offer(m, INPUT_HVC0_SIZE, c->size, sizeof(c->size))) {
        c->size_due = false;
    }
}

int ringer_console_resize(struct ringer *m, unsigned columns, unsigned rows)
{
    if (!m->console.device) {
        return machine_fail(m, -ENODEV, "the machine has no virtio console");
    }
    m->console.size[0] = (u16)(columns < UINT16_MAX ? columns : UINT16_MAX);
    m->console.size[1] = (u16)(rows < UINT16_MAX ? rows : UINT16_MAX);
    m->console.size_due = true;
    console_ask_size(m);
    return 0;
}
