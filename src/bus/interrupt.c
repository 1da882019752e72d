/*
 * interrupt.c - which local APICs an interrupt message is for, and putting it into their inboxes.
 *
 * Runs on the board and, freestanding, in every vCPU process: atomics only, no state of its own.
 *
 * Intel SDM vol. 3A, "Determining IPI Destination", "Logical Destination Mode", "Logical
 * Destination Mode in x2APIC Mode".
 */
#include "bus/interrupt.h"

enum {
    MODE_DISABLED = 0,
    MODE_XAPIC = 1,
    MODE_X2APIC = 2,
    BROADCAST_NARROW = 0xff,
    FIRST_LEGAL_VECTOR = 16,
};

#define BROADCAST_WIDE 0xffffffffu

static bool is_broadcast(const struct interrupt_message *m)
{
    return m->dest_wide ? m->dest == BROADCAST_WIDE : (m->dest & 0xff) == BROADCAST_NARROW;
}

static u32 destination(const struct interrupt_message *m)
{
    return m->dest_wide ? m->dest : m->dest & 0xff;
}

static bool matches_physical(const struct interrupt_inbox *inbox, u32 mode, u32 dest)
{
    u32 id = atomic_load_explicit(&inbox->apic_id, memory_order_relaxed);
    return (mode == MODE_X2APIC ? id : id & 0xff) == dest;
}

static bool matches_logical(const struct interrupt_inbox *inbox, u32 mode, u32 dest)
{
    u32 ldr = atomic_load_explicit(&inbox->ldr, memory_order_relaxed);
    u32 model;

    if (mode == MODE_X2APIC) { /* cluster in the high half, one bit a CPU in the low half */
        return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
    }
    ldr >>= 24;
    dest &= 0xff;
    model = atomic_load_explicit(&inbox->dfr, memory_order_relaxed) >> 28;
    if (model == 0xf) { /* flat */
        return (ldr & dest) != 0;
    }
    if (model == 0) { /* cluster */
        return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
    }
    return false;
}

static bool matches(const struct interrupt_fabric *fabric, unsigned vcpu,
                    const struct interrupt_message *m)
{
    const struct interrupt_inbox *inbox = &fabric->inboxes[vcpu];
    u32 mode = atomic_load_explicit(&inbox->mode, memory_order_relaxed);

    if (mode == MODE_DISABLED) {
        return false;
    }
    switch ((enum interrupt_shorthand)m->shorthand) {
    case INTERRUPT_TO_SELF:
        return vcpu == m->source;
    case INTERRUPT_TO_ALL:
        return true;
    case INTERRUPT_TO_OTHERS:
        return vcpu != m->source;
    case INTERRUPT_TO_DEST:
        break;
    }
    if (is_broadcast(m)) {
        return true;
    }
    return m->dest_logical ? matches_logical(inbox, mode, destination(m))
                           : matches_physical(inbox, mode, destination(m));
}

void interrupt_kick(const struct interrupt_fabric *fabric, unsigned vcpu)
{
    struct interrupt_inbox *inbox;

    if (vcpu >= fabric->count) {
        return;
    }
    inbox = &fabric->inboxes[vcpu];
    switch (atomic_exchange(&inbox->attention, ATTENTION_LOOK)) {
    case ATTENTION_ASLEEP:
        if (fabric->wake) {
            fabric->wake(&inbox->attention);
        }
        break;
    case ATTENTION_SIGNAL:
        if (fabric->signal) {
            fabric->signal(fabric->context, vcpu);
        }
        break;
    default:
        break;
    }
}

void interrupt_post_event(const struct interrupt_fabric *fabric, unsigned vcpu, u32 event)
{
    if (vcpu >= fabric->count) {
        return;
    }
    atomic_fetch_or(&fabric->inboxes[vcpu].events, event);
    interrupt_kick(fabric, vcpu);
}

/* TMR before IRR: whoever takes a bit out of irr then finds its tmr bit. */
static void post_vector(const struct interrupt_fabric *fabric, unsigned vcpu,
                        const struct interrupt_message *m)
{
    struct interrupt_inbox *inbox = &fabric->inboxes[vcpu];
    u64 bit = 1ull << (m->vector % 64);

    /* LIMIT: "receive illegal vector" is not logged in the receiver's ESR. */
    if (m->vector < FIRST_LEGAL_VECTOR) {
        return;
    }
    if (m->level) {
        atomic_fetch_or(&inbox->tmr[m->vector / 64], bit);
    } else {
        atomic_fetch_and(&inbox->tmr[m->vector / 64], ~bit);
    }
    atomic_fetch_or(&inbox->irr[m->vector / 64], bit);
    interrupt_kick(fabric, vcpu);
}

static void post(const struct interrupt_fabric *fabric, unsigned vcpu,
                 const struct interrupt_message *m)
{
    switch (m->delivery) {
    case INTERRUPT_FIXED:
    case INTERRUPT_LOWEST:
        post_vector(fabric, vcpu, m);
        break;
    case INTERRUPT_SMI:
        interrupt_post_event(fabric, vcpu, INBOX_SMI);
        break;
    case INTERRUPT_NMI:
        interrupt_post_event(fabric, vcpu, INBOX_NMI);
        break;
    case INTERRUPT_INIT:
        interrupt_post_event(fabric, vcpu, INBOX_INIT);
        break;
    case INTERRUPT_SIPI:
        atomic_store(&fabric->inboxes[vcpu].sipi_vector, m->vector);
        interrupt_post_event(fabric, vcpu, INBOX_SIPI);
        break;
    case INTERRUPT_EXTINT:
        interrupt_post_event(fabric, vcpu, INBOX_EXTINT);
        break;
    default: /* delivery mode 3 is reserved */
        break;
    }
}

/* Lowest priority goes to one of the matching ones; without any state, the vector spreads them. */
static unsigned send_lowest(const struct interrupt_fabric *fabric,
                            const struct interrupt_message *m)
{
    unsigned found = 0, skip, vcpu;

    for (vcpu = 0; vcpu < fabric->count; vcpu++) {
        found += matches(fabric, vcpu, m);
    }
    if (found == 0) {
        return 0;
    }
    skip = m->vector % found;
    for (vcpu = 0; vcpu < fabric->count; vcpu++) {
        if (matches(fabric, vcpu, m) && skip-- == 0) {
            post(fabric, vcpu, m);
            return found;
        }
    }
    return 0; /* the vCPUs changed their destinations meanwhile */
}

unsigned interrupt_send(const struct interrupt_fabric *fabric, const struct interrupt_message *m)
{
    unsigned found = 0, vcpu;

    if (m->delivery == INTERRUPT_LOWEST) {
        return send_lowest(fabric, m);
    }
    for (vcpu = 0; vcpu < fabric->count; vcpu++) {
        if (matches(fabric, vcpu, m)) {
            post(fabric, vcpu, m);
            found++;
        }
    }
    return found;
}
