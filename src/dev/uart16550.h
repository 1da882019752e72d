/* uart16550.h - a serial port. */
#ifndef DEV_UART16550_H
#define DEV_UART16550_H

#include "dev/device.h"
#include "dev/serial_port.h"

#define UART16550_COM1 0x3f8
#define UART16550_COM2 0x2f8

struct uart16550_config {
    u16 port; /* UART16550_COM1, with IRQ 4, or UART16550_COM2, with IRQ 3 */
    struct irq irq;
    const struct serial_port_ops *ops; /* may be NULL: connected to nothing */
    void *context;
};

/* 0 or -errno. */
int uart16550_create(const struct slot *slot, const struct uart16550_config *config,
                     struct device **device);

/* Bytes arrive from outside.  Returns how many were taken; ops->ready tells when more may come. */
size_t uart16550_receive(struct device *device, const u8 *bytes, size_t count);

/* The other side holds the line low for a while: a break. */
void uart16550_break(struct device *device);

#endif
