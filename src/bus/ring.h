/*
 * ring.h - the message ring between one vCPU and the board: the front-side bus.
 *
 * One producer (the vCPU's process) and one consumer (the board), in shared memory, without locks.
 * A posted message goes in and the vCPU runs on; a call waits for its reply.  Messages are served
 * in order, so a posted write always takes effect before a later read.
 *
 *      vCPU                               board
 *      message, head + 1  ------------>   message out, tail + 1
 *      spin, then futex on `reply`  <--   reply_value, reply + 1
 *      bell: board asleep? kick it        asleep = 1, look once more, sleep
 *
 * What waiting means to the host is left to struct ring_host, so this file runs in ringer-cpu and
 * on the board alike.
 */
#ifndef BUS_RING_H
#define BUS_RING_H

#include <stdatomic.h>

#include "base/types.h"

#define RING_SLOTS 256u /* a power of two */

enum ring_kind {
    RING_READ,        /* call: space, addr, size; the reply is the value */
    RING_WRITE,       /* space, addr, size, value */
    RING_ACKNOWLEDGE, /* call: the PIC's vector */
    RING_EOI,         /* value is the vector */
    RING_FERR,        /* value is the level of FERR# */
    RING_STATE,       /* the vCPU's state in its control block has changed */
    RING_SYNC,        /* call, --icount: time_ns has been reached */
    RING_SYNC_HALT,   /* call, --icount: halted; value is the vCPU's own next deadline */
};

struct ring_message {
    u8 kind;  /* enum ring_kind */
    u8 space; /* enum bus_space */
    u8 size;
    bool wants_reply;
    u64 addr, value;
    u64 time_ns; /* --icount: the vCPU's time */
};

/* One for all rings of a VM: whether the board sleeps and must be kicked. */
struct ring_bell {
    _Atomic u32 asleep;
} __attribute__((aligned(64)));

struct ring {
    _Atomic u32 head __attribute__((aligned(64)));  /* the vCPU's: messages put in so far */
    u32 calls;                                      /* the vCPU's: replies asked for so far */
    _Atomic u32 tail __attribute__((aligned(64)));  /* the board's: messages taken; a futex */
    _Atomic u32 space_wanted;                       /* the vCPU sleeps on tail */
    _Atomic u32 reply __attribute__((aligned(64))); /* the board's: replies given; a futex */
    _Atomic u32 reply_wanted;                       /* the vCPU sleeps on reply */
    u64 reply_value;
    struct ring_message slots[RING_SLOTS] __attribute__((aligned(64)));
};

/* What one side needs of its host; private to each process. */
struct ring_host {
    struct ring_bell *bell;
    u64 spin_ticks; /* TSC ticks to spin before going to sleep; 0 on a single processor */
    /* vCPU: wake the board's event loop. */
    void (*kick)(void *context);
    /* vCPU: sleep while *futex == value; may return for no reason. */
    void (*wait)(void *context, _Atomic u32 *futex, u32 value);
    /* Board: wake who sleeps on futex. */
    void (*wake)(void *context, _Atomic u32 *futex);
    void *context;
};

/* ---- the vCPU's side */

/* Put a message in; waits only while the ring is full. */
void ring_post(struct ring *ring, const struct ring_host *host, const struct ring_message *m);

/* Put it in and wait for the board's reply. */
u64 ring_call(struct ring *ring, const struct ring_host *host, const struct ring_message *m);

/* Kick the board if it sleeps: there is something for it elsewhere. */
void ring_kick(const struct ring_host *host);

/* ---- the board's side */

/* Take the next message.  False if there is none. */
bool ring_take(struct ring *ring, const struct ring_host *host, struct ring_message *m);

/* Is there a message? */
bool ring_has_message(const struct ring *ring);

/* Answer the last message taken that has wants_reply. */
void ring_reply(struct ring *ring, const struct ring_host *host, u64 value);

#endif
