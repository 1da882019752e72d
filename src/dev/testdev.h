/* testdev.h - QEMU's pc-testdev: what test kernels poke at to see whether the machine answers. */
#ifndef DEV_TESTDEV_H
#define DEV_TESTDEV_H

#include "dev/device.h"
#include "mem/mem.h"

#define TESTDEV_ECHO       0xe0
#define TESTDEV_FLUSH      0xe4
#define TESTDEV_ECHO_BYTES 0xe8
#define TESTDEV_LINES_PORT 0x2000
#define TESTDEV_LINES      24
#define TESTDEV_MEMORY     0xff000000u
#define TESTDEV_MEMORY_LEN 0x10000

struct testdev_config {
    const struct mem *mem;           /* borrowed; what flush is about */
    struct irq lines[TESTDEV_LINES]; /* GSI 0 to 23 */
    bool no_echo_bytes;              /* port E9 is somebody else's: E8 to EB are left alone */
};

/* 0 or -errno. */
int testdev_create(const struct slot *slot, const struct testdev_config *config,
                   struct device **device);

#endif
