/* debug_console.h - the debug console that Bochs has at port 0xe9. */
#ifndef DEV_DEBUG_CONSOLE_H
#define DEV_DEBUG_CONSOLE_H

#include "dev/device.h"
#include "dev/serial_port.h"

#define DEBUG_CONSOLE_PORT 0xe9

struct debug_console_config {
    const struct serial_port_ops *ops; /* only transmit is used */
    void *context;
};

/* 0 or -errno. */
int debug_console_create(const struct slot *slot, const struct debug_console_config *config,
                         struct device **device);

#endif
