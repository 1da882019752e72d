/*
 * interrupt.h - interrupt messages: from the IOAPIC, from MSIs and from a local APIC's ICR to the
 * local APICs' inboxes.
 *
 * Each vCPU has one inbox in the arena.  Any process of the VM may put something in, without locks;
 * only its own vCPU takes things out.  `attention` is what an engine looks at between instructions,
 * and what a halted vCPU sleeps on:
 *
 *      NONE    nothing new
 *      LOOK    look at the inbox
 *      ASLEEP  the vCPU sleeps in the host: wake it
 *      SIGNAL  the host's CPU runs the guest's code and does not look: send the vCPU a signal
 *
 * Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef BUS_INTERRUPT_H
#define BUS_INTERRUPT_H

#include <stdatomic.h>

#include "base/types.h"

/* The delivery mode field of an ICR, LVT, redirection entry or MSI. */
enum interrupt_delivery {
    INTERRUPT_FIXED = 0,
    INTERRUPT_LOWEST = 1,
    INTERRUPT_SMI = 2,
    INTERRUPT_NMI = 4,
    INTERRUPT_INIT = 5,
    INTERRUPT_SIPI = 6,
    INTERRUPT_EXTINT = 7,
};

/* The ICR's destination shorthand. */
enum interrupt_shorthand {
    INTERRUPT_TO_DEST = 0,
    INTERRUPT_TO_SELF = 1,
    INTERRUPT_TO_ALL = 2,
    INTERRUPT_TO_OTHERS = 3,
};

struct interrupt_message {
    u32 dest; /* APIC ID or logical destination, by dest_logical; 8 bits wide unless dest_wide */
    bool dest_logical;
    bool dest_wide; /* 32-bit destinations (x2APIC) */
    bool level;     /* trigger mode: level; a level-triggered EOI is broadcast to the IOAPICs */
    u8 vector;
    u8 delivery;  /* enum interrupt_delivery */
    u8 shorthand; /* enum interrupt_shorthand */
    u8 source;    /* index of the sending vCPU, for the shorthands */
};

/* Values of struct interrupt_inbox's attention. */
enum { ATTENTION_NONE, ATTENTION_LOOK, ATTENTION_ASLEEP, ATTENTION_SIGNAL };

/* Bits of struct interrupt_inbox's events. */
enum {
    INBOX_NMI = 1 << 0,
    INBOX_INIT = 1 << 1,
    INBOX_SIPI = 1 << 2,   /* sipi_vector is valid */
    INBOX_EXTINT = 1 << 3, /* level of the PIC's INTR line: set and cleared by the board */
    INBOX_PAUSE = 1 << 4,  /* the board wants the vCPU to leave cpu_run() */
    INBOX_TIMER = 1 << 5,  /* the vCPU's own host timer has expired */
    INBOX_SMI = 1 << 6,
    INBOX_A20_OFF = 1 << 7, /* level of the A20 gate, while it is shut: as INBOX_EXTINT */
    INBOX_IGNNE = 1 << 8,   /* level of IGNNE#: as INBOX_EXTINT */
    INBOX_LEVELS = INBOX_EXTINT | INBOX_A20_OFF | INBOX_IGNNE, /* these stay when it is looked at */
};

struct interrupt_inbox {
    _Atomic u64 irr[4]; /* vectors to merge into the local APIC's IRR */
    _Atomic u64 tmr[4]; /* those of them that are level-triggered */
    _Atomic u32 events;
    _Atomic u32 attention; /* ATTENTION_*; a futex: see above */
    _Atomic u32 sipi_vector;

    /* What the local APIC publishes, so that senders can match destinations. */
    _Atomic u32 apic_id; /* 8 bits, or 32 in x2APIC mode */
    _Atomic u32 ldr, dfr;
    _Atomic u32 mode; /* 0 disabled, 1 xAPIC, 2 x2APIC */
} __attribute__((aligned(64)));

/* What a sender needs; private to each process. */
struct interrupt_fabric {
    struct interrupt_inbox *inboxes;
    unsigned count;
    void (*wake)(_Atomic u32 *attention); /* a futex wake of all sleepers; NULL in unit tests */
    /* A vCPU's own: sleep while *word is value, or for less.  NULL: it cannot. */
    void (*wait)(_Atomic u32 *word, u32 value);
    /* Send a vCPU that runs guest code a signal; NULL where no engine does that. */
    void (*signal)(void *context, unsigned vcpu);
    void *context;
};

/* Route one message to all inboxes that it matches.  Returns how many there were. */
unsigned interrupt_send(const struct interrupt_fabric *fabric, const struct interrupt_message *m);

/* Set event bits in one inbox, and see that its vCPU looks. */
void interrupt_post_event(const struct interrupt_fabric *fabric, unsigned vcpu, u32 event);

/* Raise attention on an inbox without a reason of its own. */
void interrupt_kick(const struct interrupt_fabric *fabric, unsigned vcpu);

#endif
