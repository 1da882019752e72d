/* debug_exit.h - QEMU's isa-debug-exit: a guest ends the machine with a number. */
#ifndef DEV_DEBUG_EXIT_H
#define DEV_DEBUG_EXIT_H

#include "dev/device.h"

#define DEBUG_EXIT_PORT 0xf4

/* 0 or -errno. */
int debug_exit_create(const struct slot *slot, struct device **device);

#endif
