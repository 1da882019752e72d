/*
 * cpu_bus.c - a vCPU's side of the bus: port and MMIO accesses become messages to the board.
 */
#include <linux/futex.h>
#include <linux/time_types.h>

#include "base/digest.h"
#include "base/format.h"
#include "exec/interpret/coherence.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"

void vcpu_futex_wait(_Atomic u32 *word, u32 value)
{
    struct __kernel_timespec second = {.tv_sec = 1};

    sys_futex(word, FUTEX_WAIT, value, &second);
    vcpu_check_board();
}

static void kick(void *context)
{
    u64 one = 1;

    (void)context;
    sys_write(VCPU_FD_KICK, &one, sizeof(one));
}

/* The board is waited for in the middle of an instruction.  Other vCPUs must not wait for that. */
static void wait(void *context, _Atomic u32 *futex, u32 value)
{
    struct vcpu_process *p = context;
    bool inside = atomic_load(&p->vm->mem.coherence[p->index].inside);

    coherence_leave(p->cpu);
    vcpu_futex_wait(futex, value);
    if (inside) {
        coherence_enter(p->cpu);
    }
}

/* Another vCPU runs guest code.  This process cannot send it a signal, but the board can.  (When it
 * is this one, its code has just been left.) */
static void send_signal(void *context, unsigned vcpu)
{
    struct vcpu_process *p = context;

    if (vcpu != p->index) {
        atomic_store(&p->vm->controls[vcpu].signal_wanted, 1);
        kick(NULL);
    }
}

static void wake(_Atomic u32 *attention)
{
    sys_futex(attention, FUTEX_WAKE, ~0u >> 1, NULL);
}

/* What an access to a device takes under --icount: that of a port on an ISA bus.  Without it, a
 * guest that polls a timer would do so a thousand times as often as on a PC. */
#define BUS_ACCESS_NS 1000

/* Writes to the keyboard controller and to port 92 may move the A20 gate, those to port F0 IGNNE#,
 * and the next instruction has to find it moved. */
static bool moves_a_pin(const struct ring_message *m)
{
    static const struct {
        u16 start, end;
    } ports[] = {{0x60, 0x65}, {0x92, 0x93}, {0xf0, 0xf2}};
    bool does = false;

    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        does |= m->addr < ports[i].end && m->addr + m->size > ports[i].start;
    }
    return does && m->kind == RING_WRITE && m->space == BUS_PIO;
}

/* A doorbell says "look", and whoever looks sees all that was done before: it need not be waited
 * for. */
static bool is_doorbell(const struct vcpu_process *p, const struct ring_message *m)
{
    u64 page = m->addr & PAGE_MASK;

    for (unsigned i = 0; m->space == BUS_MMIO && i < VM_DOORBELLS; i++) {
        u64 doorbell = atomic_load_explicit(&p->vm->doorbells[i], memory_order_relaxed);
        if (doorbell == page || doorbell == 0) {
            return doorbell != 0;
        }
    }
    return false;
}

/* For lockstep: whatever engine it is, it has to tell the devices the same, and be told the same.
 */
static void note_exit(struct trail *trail, const struct ring_message *m, u64 reply)
{
    u64 words[] = {m->kind, m->space, m->size, m->addr, m->value, m->time_ns, reply};

    if (trail->interval) {
        trail->exits = digest_bytes(trail->exits, words, sizeof(words));
        trail->last_exit = *m;
        trail->last_exit.value = m->kind == RING_WRITE ? m->value : reply;
    }
}

/* Under --icount the board has no time of its own: every message tells it, and the vCPU waits until
 * it has been served.  Both that and the time it takes change when the next event is due. */
static u64 send(struct vcpu_process *p, struct ring_message *m, bool wants_reply)
{
    u64 value;

    if (!p->vm->clock.icount) {
        /* Where there is another vCPU, a write is done before this one goes on.  Else the other may
         * take the guest's lock and write to the same device, and the board, which has a ring for
         * each, would not know which came first: a UART's IER then lost its transmit interrupt. */
        if (wants_reply || (p->vm->cpu_count > 1 && !is_doorbell(p, m)) || moves_a_pin(m)) {
            return ring_call(p->ring, &p->ring_host, m);
        }
        ring_post(p->ring, &p->ring_host, m);
        return 0;
    }
    m->time_ns = clock_ns(p->cpu);
    value = ring_call(p->ring, &p->ring_host, m);
    note_exit(p->vm->trail, m, value);
    atomic_fetch_add(&p->vm->clock.warp_ns, BUS_ACCESS_NS);
    interrupt_post_event(&p->cpu->fabric, p->index, INBOX_PAUSE); /* for a new limit */
    return value;
}

static void trace(struct vcpu_process *p, bool is_write, enum bus_space space, u64 addr, u64 value,
                  unsigned size)
{
    char line[80];

    if (p->vm->trace_kinds & TRACE_IO) {
        format(line, sizeof(line), "io %s %s %lx size=%u value=%lx",
               space == BUS_PIO ? "port" : "mmio", is_write ? "write" : "read", addr, size, value);
        vcpu_trace(p, TRACE_IO, line);
    }
}

static u64 read(void *context, enum bus_space space, u64 addr, unsigned size)
{
    struct ring_message m = {.kind = RING_READ, .space = (u8)space, .size = (u8)size, .addr = addr};
    u64 value = send(context, &m, true);

    trace(context, false, space, addr, value, size);
    return value;
}

static void write(void *context, enum bus_space space, u64 addr, u64 value, unsigned size)
{
    struct ring_message m = {
        .kind = RING_WRITE, .space = (u8)space, .size = (u8)size, .addr = addr, .value = value};

    trace(context, true, space, addr, value, size);
    send(context, &m, false);
}

static int acknowledge(void *context)
{
    struct ring_message m = {.kind = RING_ACKNOWLEDGE};

    return (int)send(context, &m, true);
}

static void eoi(void *context, u8 vector)
{
    struct ring_message m = {.kind = RING_EOI, .value = vector};

    send(context, &m, false);
}

static void ferr(void *context, bool level)
{
    struct ring_message m = {.kind = RING_FERR, .value = level};

    send(context, &m, true); /* IGNNE# may follow at once */
}

void vcpu_bus_init(struct vcpu_process *p)
{
    p->ring_host = (struct ring_host){
        .bell = &p->vm->bell,
        .spin_ticks = p->vm->spin_ticks,
        .kick = kick,
        .wait = wait,
        .context = p,
    };
    p->cpu->port = (struct bus_port){
        .read = read,
        .write = write,
        .acknowledge = acknowledge,
        .eoi = eoi,
        .ferr = p->index == 0 ? ferr : NULL, /* as on a PC: the others' pins are not connected */
        .context = p,
    };
    p->cpu->fabric = (struct interrupt_fabric){
        .inboxes = p->vm->inboxes,
        .count = p->vm->cpu_count,
        .wake = wake,
        .wait = vcpu_futex_wait,
        .signal = send_signal,
        .context = p,
    };
}
