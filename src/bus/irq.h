/* irq.h - an interrupt line as a value: whom to tell, and which of its inputs this is. */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include "base/types.h"

struct irq {
    void (*set)(void *context, unsigned number, bool level);
    void *context;
    unsigned number;
};

/* Drive the line high (true: asserted) or low.  A zeroed struct irq is a line to nowhere. */
static inline void irq_set(const struct irq *irq, bool level)
{
    if (irq->set) {
        irq->set(irq->context, irq->number, level);
    }
}

#endif
