/*
 * port.h - the bus as a CPU sees it.
 *
 * In ringer-cpu these functions put messages into the vCPU's ring; in the unit tests and the hosted
 * library they call straight into a bus_map.  They may block, but never fail: an address where
 * nothing answers reads as all ones.
 */
#ifndef BUS_PORT_H
#define BUS_PORT_H

#include "base/types.h"
#include "bus/region.h"

struct bus_port {
    u64 (*read)(void *context, enum bus_space space, u64 addr, unsigned size);
    void (*write)(void *context, enum bus_space space, u64 addr, u64 value, unsigned size);
    int (*acknowledge)(void *context);       /* INTA cycle: the PIC's vector; -1: INTR has fallen */
    void (*eoi)(void *context, u8 vector);   /* level-triggered EOI, for the IOAPICs */
    void (*ferr)(void *context, bool level); /* the CPU's FERR#; NULL: leads nowhere */
    void *context;
};

#endif
