/*
 * machine.h - struct ringer: a machine as the board's process holds it.
 *
 * Everything is private to this process but what the arena holds.  One thread at a time; only
 * machine_stop() may come from elsewhere.
 */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H

#include <ringer/ringer.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/timer.h"
#include "boot/boot.h"
#include "bus/region.h"
#include "host/process.h"
#include "vm/arena.h"
#include "vm/balloon.h"
#include "vm/console.h"
#include "vm/input.h"
#include "vm/keyboard.h"
#include "vm/made.h"
#include "vm/nic.h"
#include "vm/pc.h"
#include "vm/serial.h"
#include "vm/snapshot.h"
#include "vm/watch.h"

struct vcpu { /* the board's side of a vCPU process */
    struct ringer *machine;
    unsigned index;
    struct host_process process; /* pid 0: it has ended */
    uv_poll_t poll;              /* of its pidfd */
    bool polled;
    bool stays; /* it is not to run with the others: ringer_go() */
};

struct machine_debug {
    struct debugger_list list; /* what the one in the arena is to be */
    void (*stopped)(void *context, const struct ringer_stop *stop);
    void *context;
};

/* --icount: a SYNC message that waits for its answer. */
struct sync {
    bool pending, halted;
    bool input_ready; /* a watched descriptor can be read: at the next SYNC */
    u64 deadline_ns;  /* halted: of the vCPU's own timer */
    u64 start_ns;     /* virtual time at its beginning, and the host's */
    u64 host_start_ns;
};

/* Where RAM comes from, piece by piece, while it is not all there: the file of a snapshot. */
struct machine_source {
    int fd; /* -1: there is none */
    struct memory_pieces pieces;
};

struct ringer {
    struct arena arena;
    struct machine_source source;
    struct vm *shared; /* in the arena, where a vCPU can write: only what vm.h marks as shared */
    struct vm *vm;     /* the rest of it, in a copy that no vCPU reaches */
    struct ringer_config config; /* its strings are owned, see api.c */
    char error[512];

    int program;  /* a descriptor of ringer-cpu */
    int kick_fd;  /* an eventfd: the vCPUs and machine_stop() wake the event loop */
    int timer_fd; /* a timerfd: the next device timer */
    u64 timer_set_ns, timer_for_ns; /* host time that it is set to, and the deadline meant */
    struct vcpu *vcpus;
    u32 host_tsc_khz;
    u64 poll_ticks;  /* TSC ticks that the board looks for another message after an answer */
    u64 slice_ticks; /* and that it serves messages before the event loop gets its turn */

    uv_loop_t loop;
    bool loop_made;
    uv_poll_t kick_poll, timer_poll;
    struct watch *watches;

    struct ring_host ring_host;
    struct interrupt_fabric fabric;
    struct timer_queue timers;
    struct bus_map bus;
    unsigned doorbells_seen; /* bus.changes when the vCPUs were told of doorbells */
    struct a20_gate a20;
    struct slot slot;
    struct pc pc;
    struct keyboard *keyboard;
    struct console console;
    struct balloon balloon;
    struct disk *disks;
    struct nic *nics[NICS_MAX];
    unsigned nic_count;
    struct share *shares;
    struct vsock_host *vsock;
    u64 random_state; /* --icount: what virtio-rng gives comes from it */
    struct serial *serials[RINGER_SERIAL_PORTS], *debug_console;
    void (*serial_ready[RINGER_SERIAL_PORTS])(void *context);
    void *serial_ready_context[RINGER_SERIAL_PORTS];

    u64 now_ns; /* --icount: the time of the last message */
    struct sync sync;
    struct input input;
    u64 run_until; /* vCPU 0's icount at which ringer_run_until() is to return */
    struct machine_debug debug;
    struct made made;
    struct snapshot_order snapshot;

    bool loaded;  /* there is something to run */
    bool running; /* ringer_run() is on the stack */
    bool serving; /* a message is being served: a device is on the stack */
    bool held;    /* all vCPUs are held, or gone */
    bool paused;  /* ringer_pause() */
    bool counted; /* the vCPU is at shared->stop_at */
    bool ended;   /* exit says how */
    bool was_run;
    struct ringer_exit exit;
    _Atomic bool stop_requested;
    u64 run_start_ns; /* host_monotonic_ns() at the first ringer_run() */
};

/* Leave a line for ringer_error() and return error, which is negative. */
int machine_fail(struct ringer *machine, int error, const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));

/* The machine has ended so; only the first end counts. */
void machine_end(struct ringer *machine, enum ringer_exit_reason reason, unsigned cpu, u32 code);

/* Is ringer_run() to return? */
static inline bool machine_is_done(const struct ringer *machine)
{
    return machine->ended || machine->counted || machine->input.over;
}

/* Hold all vCPUs between two instructions; let them go.  0 or -errno. */
int machine_hold(struct ringer *machine);
void machine_release(struct ringer *machine);

/* Tell the vCPU at which instruction it is to hold by itself. */
void machine_set_stop(struct ringer *machine);

#endif
