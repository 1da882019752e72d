/*
 * a20.h - the gate on address line 20.
 *
 * While it is shut, bit 20 of every physical address that a CPU puts out is 0, as on an 8086, which
 * had no such line.  The keyboard controller and port 92 both move it; the last to do so wins, and
 * each reads what there is.  (An ICH instead ORs its two sources.  A guest that opens the gate by
 * either door, or shuts it by both, cannot tell.)
 */
#ifndef BUS_A20_H
#define BUS_A20_H

#include "base/types.h"

struct a20_gate {
    bool on;
    void (*changed)(void *context, bool on);
    void *context;
};

static inline void a20_set(struct a20_gate *gate, bool on)
{
    if (gate->on != on) {
        gate->on = on;
        gate->changed(gate->context, on);
    }
}

#endif
