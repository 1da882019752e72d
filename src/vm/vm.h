/*
 * vm.h - the arena: what the board and the vCPU processes of one VM share.
 *
 * The arena is one memfd, RAM another.  Both are mapped at the same address in every process of the
 * VM, in the hidden zone, so pointers into them are good everywhere:
 *
 *      0x7000_0000_0000   ringer-cpu's image, in its own processes only
 *      0x7010_0000_0000   a vCPU process's stacks
 *      0x7100_0000_0000   arena slots, 64 GiB each: a machine takes the first free one
 *      0x7200_0000_0000   RAM, from the first free multiple of 64 GiB
 *      0x7400_0000_0000   end
 *
 * The board lays the arena out before it starts the vCPU processes; nothing is allocated later.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stdatomic.h>

#include "base/bits.h"
#include "base/types.h"
#include "bus/interrupt.h"
#include "bus/ring.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "mem/mem.h"

#define VM_HIDDEN_START 0x700000000000ull
#define VM_HIDDEN_END   0x740000000000ull
#define VM_LOWER_END    0x7ffffffff000ull /* end of a process's lower half, 4-level paging */
#define VM_STACK_START  0x701000000000ull
#define VM_ARENA_START  0x710000000000ull
#define VM_RAM_START    0x720000000000ull
#define VM_SLOT_BYTES   0x1000000000ull  /* 64 GiB */
#define VM_RAM_MAX      0x10000000000ull /* 1 TiB */
#define VM_CPUS_MAX     64
#define VM_DOORBELLS    32 /* pages of devices' doorbells that vCPUs know */

#define VM_MAGIC 0x31304d565247ull /* "GRVM01" */

/* The descriptors that a vCPU process starts with; it keeps no other. */
enum {
    VCPU_FD_STDERR = 2,
    VCPU_FD_ARENA = 3,
    VCPU_FD_RAM = 4,
    VCPU_FD_KICK = 5,
    VCPU_FD_SOURCE = 6, /* where there is a struct vm_source */
};

enum vcpu_state {
    VCPU_STARTING,
    VCPU_HELD, /* between two instructions, its registers in struct cpu */
    VCPU_RUNNING,
    VCPU_SHUTDOWN, /* the guest's triple fault; held */
    VCPU_COUNTED,  /* at vm's stop_at; held */
    VCPU_REFUSED,  /* its engine cannot run this guest; held */
    VCPU_STOPPED,  /* for the debugger: cpu->debugger.stop says why; held */
};

/* Exit statuses of a vCPU process that are not its own failures' (125). */
enum { VCPU_EXIT_DAMAGED = 126 /* the snapshot's memory is */ };

/* What a vCPU process leaves when it dies of a failure of its own. */
struct vcpu_death {
    _Atomic u32 signal; /* 0: none */
    s32 code;           /* si_code */
    u64 address;        /* si_addr */
    u64 host_rip, host_rsp;
    char text[128]; /* where it was in its own code, if it knew */
};

struct vcpu_control {
    _Atomic u32 order; /* by the board: odd to run, even to hold; only ever raised; a futex */
    _Atomic u32
        state; /* by the vCPU; VCPU_RUNNING by the board with its order: vcpu_state_word() */
    _Atomic u32 flush;         /* the board has changed RAM or registers: drop what is decoded */
    _Atomic u32 signal_wanted; /* another vCPU has something for this one, which runs guest code */
    struct vcpu_death death;
} __attribute__((aligned(64)));

static inline bool vcpu_order_is_run(u32 order)
{
    return order & 1;
}

/* A state goes with the order under which the vCPU went into it: what it has written late, when the
 * board has given another order already, says nothing of now. */
#define VCPU_STATE_BITS 8
#define VCPU_ORDER_MASK 0xffffffu /* so much of an order is in the word */

static inline u32 vcpu_state_word(u32 order, enum vcpu_state state)
{
    return order << VCPU_STATE_BITS | state;
}

/* What a vCPU is doing.  One that has stopped by itself while it was to run stays so when it is
 * ordered to hold. */
static inline enum vcpu_state vcpu_state_now(const struct vcpu_control *control)
{
    u32 word = atomic_load(&control->state), order = atomic_load(&control->order);
    enum vcpu_state state = word & bits_mask(VCPU_STATE_BITS);
    u32 age = (order - (word >> VCPU_STATE_BITS)) & VCPU_ORDER_MASK;
    bool stopped_before = age == 1 && !vcpu_order_is_run(order) && state > VCPU_RUNNING;

    return age == 0 || stopped_before ? state : VCPU_RUNNING;
}

/* What --trace may name.  A line of cpu->ops.trace belongs to the kind that it starts with. */
enum trace_kind {
    TRACE_EXITS = 1 << 0,
    TRACE_EXCEPTIONS = 1 << 1,
    TRACE_INTERRUPTS = 1 << 2,
    TRACE_IO = 1 << 3,
};

#define TRACE_BYTES 65536u /* a power of two */

/* Text on its way from a vCPU to the trace file. */
struct trace_ring {
    _Atomic u32 head __attribute__((aligned(64))); /* the vCPU's: bytes put in */
    _Atomic u32 tail __attribute__((aligned(64))); /* the board's: bytes taken; a futex */
    _Atomic u32 space_wanted;
    char text[TRACE_BYTES];
};

enum { /* bits of struct vm's direct */
       VM_DIRECT = 1 << 0,
       VM_DIRECT_KEYS = 1 << 1,         /* with protection keys */
       VM_DIRECT_HIDE_SIGNALS = 1 << 2, /* ... also of the signal stack: Linux 6.12 */
};

/*
 * Lockstep: what the vCPU was like at each event, for the board to compare two of them.  An event
 * is a change between user mode and others, and every `interval` instructions in supervisor mode.
 */
#define TRAIL_EVENTS 4096u /* that are kept; a power of two */

struct trail {
    u64 interval;        /* by the board; 0: no trail is kept */
    _Atomic u64 stop_at; /* by the board: how many events there are when the vCPU is to hold */
    _Atomic u64 count;   /* events so far */
    u64 exits;           /* digest of all that has gone over the bus, and when */
    struct ring_message last_exit;
    struct trail_event {
        u64 digest; /* of struct cpu_state, and of exits */
        u64 icount;
    } events[TRAIL_EVENTS]; /* a ring */
};

/* Where RAM comes from in a machine that goes on from a snapshot: its file "memory", by pieces. */
#define VM_PIECES_MAX 0x4000u

struct vm_source {
    u64 base;     /* where vCPU processes have it mapped, in the hidden zone; 0: there is none */
    u64 bytes;    /* as RAM has */
    u64 *digests; /* of its pieces; 0: zeros */
};

/* The board fills it in, and goes by a copy of its own: a guest that has broken out of its executor
 * could write here.  Only the members marked as shared are used by both in the arena. */
struct vm {
    u64 magic;
    u64 vm_bytes, cpu_bytes; /* sizeof of the structures: both programs agree on their layout */
    u64 arena_bytes, ram_bytes;
    s32 board_pid;
    u32 cpu_count;
    char engine[16];
    u32 direct; /* VM_DIRECT_*, where the engine runs guest code on the host's CPU */
    u32 trace_kinds;
    u64 spin_ticks;
    struct mem mem;
    struct vm_source source;
    struct vm_clock clock;               /* its warp_ns is shared */
    struct ring_bell bell;               /* shared */
    _Atomic u64 board_deadline_ns;       /* shared; --icount: the next event on the board */
    _Atomic u64 doorbells[VM_DOORBELLS]; /* shared: their addresses, ended by a 0 */
    _Atomic u64 stop_at; /* shared: the vCPU's icount at which it is to hold by itself */

    _Atomic u8 *pieces;             /* for mem's absence; shared */
    struct debugger_list *debugger; /* written by the board, while the vCPUs are held */

    /* One each for every vCPU. */
    struct interrupt_inbox *inboxes;
    struct ring *rings;
    struct vcpu_control *controls;
    struct trace_ring *traces;
    struct cpu *cpus;
    struct trail *trail; /* of vCPU 0 */
    u8 *gates;           /* a page for the way into guest code: cpu_gate.h */
    u8 *exec;            /* its executors' memory, exec_bytes each */
    u64 exec_bytes;
};

#endif
