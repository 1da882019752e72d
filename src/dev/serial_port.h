/* serial_port.h - what stands behind a serial port, or any other console of bytes. */
#ifndef DEV_SERIAL_PORT_H
#define DEV_SERIAL_PORT_H

#include "base/types.h"

struct serial_port_ops {
    /* The guest has sent these bytes.  Takes them all: whoever is slow buffers.  May be NULL. */
    void (*transmit)(void *context, const u8 *bytes, size_t count);
    /* There is room again after a receive call took less than it was given.  May call it.  May be
     * NULL. */
    void (*ready)(void *context);
    /* For devices that can wait: how many bytes transmit() takes now.  After it was 0 the device is
     * told when it is more.  May be NULL: any number. */
    size_t (*room)(void *context);
};

#endif
