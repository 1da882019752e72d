/* console.h - a virtio console of one port: Linux calls it hvc0. */
#ifndef DEV_VIRTIO_CONSOLE_H
#define DEV_VIRTIO_CONSOLE_H

#include "dev/pci/pci.h"
#include "dev/serial_port.h"

struct virtio_console_config {
    const struct serial_port_ops *ops; /* may be NULL: connected to nothing */
    void *context;
};

/* 0 or -errno. */
int virtio_console_create(struct pci_bus *bus, const struct virtio_console_config *config,
                          struct device **device);

/* Give the guest bytes.  Returns how many were taken: the driver has provided room for no more.
 * ops->ready() is called when it has. */
size_t virtio_console_receive(struct device *device, const u8 *bytes, size_t count);

/* ops->room() was too little and is more now. */
void virtio_console_resume(struct device *device);

/* The terminal has this size; 0 by 0, in the beginning, is not known. */
void virtio_console_resize(struct device *device, u16 columns, u16 rows);

#endif
