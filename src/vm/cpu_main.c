/*
 * cpu_main.c - ringer-cpu: the process of one vCPU.
 *
 * It is started with the descriptors of enum VCPU_FD_* and one argument that says where the arena
 * is. It maps the arena and RAM, moves to a stack of its own in the hidden zone, unmaps everything
 * else, puts itself into its jail, and then runs the guest whenever the board orders it to.
 */
#include <linux/mman.h>
#include <linux/prctl.h>

#include "base/digest.h"
#include "base/format.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "exec/interpret/access.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"

#define SYNC_INTERVAL_NS 1000000ull

void vcpu_die(const char *what, long error)
{
    char line[160];
    size_t length = format(line, sizeof(line), "ringer-cpu: %s (error %ld)\n", what, -error);

    sys_write(VCPU_FD_STDERR, line, length < sizeof(line) ? length : sizeof(line) - 1);
    sys_exit(125);
}

/* ------------------------------------------------------------------ start */

/* "ADDRESS,BYTES,INDEX", all hexadecimal. */
static u64 parse_hex(const char **text)
{
    u64 value = 0;

    for (; **text; ++*text) {
        char c = **text;
        if (c >= '0' && c <= '9') {
            value = value * 16 + (u64)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + (u64)(c - 'a' + 10);
        } else {
            ++*text;
            break;
        }
    }
    return value;
}

static void map_fixed(u64 addr, u64 size, int prot, int flags, int fd, u64 offset)
{
    void *got;

    if (size == 0) {
        return;
    }
    got = sys_mmap((void *)addr, size, prot, flags | MAP_FIXED, fd, (long)offset);
    if (sys_failed(got)) {
        vcpu_die("cannot map memory", (long)got);
    }
}

static void map_private(u64 offset, u64 size)
{
    map_fixed(VM_STACK_START + offset, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
              -1, 0);
}

static void map_shared(u64 arena, u64 arena_bytes, u32 index)
{
    struct vm *vm = (struct vm *)arena;
    u64 exec;

    map_fixed(arena, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, VCPU_FD_ARENA, 0);
    if (vm->magic != VM_MAGIC || vm->vm_bytes != sizeof(struct vm) ||
        vm->cpu_bytes != sizeof(struct cpu) || vm->arena_bytes != arena_bytes ||
        index >= vm->cpu_count) {
        vcpu_die("the arena is of another version of Ringer", 0);
    }
    map_fixed((u64)vm->mem.base, vm->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, VCPU_FD_RAM, 0);
    vcpu_map_source(vm);
    exec = (u64)vm->exec + index * vm->exec_bytes + exec_code_offset();
    map_fixed(exec, exec_code_size(), PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, VCPU_FD_ARENA,
              exec - arena);
}

static void process_init(struct vm *vm, u32 index)
{
    struct vcpu_process *p = vcpu_process();

    p->vm = vm;
    p->index = index;
    p->cpu = &vm->cpus[index];
    p->inbox = &vm->inboxes[index];
    p->control = &vm->controls[index];
    p->ring = &vm->rings[index];
    p->trace = &vm->traces[index];
    p->deadline_ns = UINT64_MAX;
    p->engine = engine_find(vm->engine);
    if (!p->engine) {
        vcpu_die("no such engine", 0);
    }
}

static void cpu_init(struct vcpu_process *p)
{
    struct cpu *cpu = p->cpu;

    cpu->index = p->index;
    cpu->cpu_count = p->vm->cpu_count;
    cpu->inbox = p->inbox;
    cpu->clock = &p->vm->clock;
    cpu->debugger.list = p->vm->debugger;
    p->vm->mem.absence.bring = vcpu_bring; /* the same in every process */
    p->vm->mem.absence.context = NULL;
    mmu_init(&cpu->mmu, &p->vm->mem, &cpu_mmu_ops, cpu);
    cpu->ops.arm_timer = vcpu_arm_timer;
    cpu->ops.context = p;
    vcpu_bus_init(p);
    vcpu_trace_init(p);
    exec_init(cpu, p->vm->exec + p->index * p->vm->exec_bytes);
    if (p->vm->direct & VM_DIRECT) {
        vcpu_direct_attach(p);
    }
    cpu_reset(cpu);
    msr_set_firmware_state(cpu); /* there is no firmware that would do it */
    if (p->index == 0) {
        lapic_set_virtual_wire(cpu);
    }
    cpu->activity = p->index == 0 ? ACTIVITY_RUNNING : ACTIVITY_WAIT_FOR_SIPI;
}

/* ------------------------------------------------------------------ running */

static void set_state(struct vcpu_process *p, u32 order, enum vcpu_state state)
{
    struct ring_message m = {.kind = RING_STATE};

    atomic_store(&p->control->state, vcpu_state_word(order, state));
    ring_post(p->ring, &p->ring_host, &m);
}

/* Stay held until the board orders to run: if we have come here by ourselves, anew.  An order to
 * hold that follows one to run which was never seen wants its own answer. */
static void hold(struct vcpu_process *p, enum vcpu_state state)
{
    u32 seen = atomic_load(&p->control->order), order = seen;

    set_state(p, seen, state);
    while (!vcpu_order_is_run(order = atomic_load(&p->control->order)) ||
           (state != VCPU_HELD && order == seen)) {
        if (order != seen) {
            seen = order;
            set_state(p, seen, state);
        }
        vcpu_futex_wait(&p->control->order, order);
    }
    debugger_update(p->cpu);
    if (atomic_exchange(&p->control->flush, 0)) {
        exec_flush(p->cpu);
        mmu_flush(&p->cpu->mmu);
        if (!p->vm->clock.icount) { /* the registers may be those of a snapshot */
            vcpu_arm_timer(p, p->cpu->lapic.deadline_ns);
        }
    }
}

/* HLT, in real time: until something comes into the inbox. */
static void sleep_halted(struct vcpu_process *p)
{
    u32 expected = ATTENTION_NONE;

    if (!atomic_compare_exchange_strong(&p->inbox->attention, &expected, ATTENTION_ASLEEP)) {
        return;
    }
    while (atomic_load(&p->inbox->attention) == ATTENTION_ASLEEP) {
        vcpu_futex_wait(&p->inbox->attention, ATTENTION_ASLEEP);
    }
}

/* --icount: tell the board what time it is, and let it do what is due. */
static void sync_board(struct vcpu_process *p, enum ring_kind kind)
{
    struct ring_message m = {
        .kind = (u8)kind,
        .value = p->cpu->lapic.deadline_ns,
        .time_ns = clock_ns(p->cpu),
    };

    ring_call(p->ring, &p->ring_host, &m);
    p->next_sync_ns = clock_ns(p->cpu) + SYNC_INTERVAL_NS;
}

/* --icount: has the board something to do? */
static bool is_due(const struct vcpu_process *p)
{
    u64 now_ns = clock_ns(p->cpu);

    if (clock_stands(p->cpu)) {
        return false;
    }
    return now_ns >= p->next_sync_ns || now_ns >= atomic_load(&p->vm->board_deadline_ns);
}

/* --icount: have the board do what is due now, and return the icount at which it is due next.  The
 * local APIC's own deadline is cpu_run()'s. */
static u64 run_due(struct vcpu_process *p)
{
    u64 now_ns = clock_ns(p->cpu);
    u64 next_ns;

    if (is_due(p)) {
        sync_board(p, RING_SYNC);
    }
    if (p->cpu->stay.user) {
        return UINT64_MAX; /* no time passes */
    }
    next_ns = p->next_sync_ns;
    if (atomic_load(&p->vm->board_deadline_ns) < next_ns) {
        next_ns = atomic_load(&p->vm->board_deadline_ns);
    }
    return p->cpu->icount + (next_ns > now_ns ? next_ns - now_ns : 1);
}

static void trace_exit(struct vcpu_process *p, enum cpu_exit exit)
{
    static const char *const names[] = {"paused",   "halted",  "shutdown", "limit",
                                        "debugger", "refused", "mode"};
    char line[64];

    if (p->vm->trace_kinds & TRACE_EXITS) {
        format(line, sizeof(line), "exit %s rip=%lx", names[exit], p->cpu->rip);
        vcpu_trace(p, TRACE_EXITS, line);
    }
}

/* The icount at which the trail's next event is, unless the mode changes before. */
static u64 next_event(const struct vcpu_process *p)
{
    u64 counted = clock_counted(p->cpu);

    if (!p->vm->trail->interval || p->cpu->stay.user) {
        return UINT64_MAX;
    }
    return p->cpu->icount + (p->next_event > counted ? p->next_event - counted : 0);
}

static u64 min_of(u64 a, u64 b)
{
    return a < b ? a : b;
}

/* The icount at which cpu_run() is to come back. */
static u64 next_limit(struct vcpu_process *p)
{
    u64 due = p->vm->clock.icount ? run_due(p) : UINT64_MAX;

    return min_of(min_of(due, atomic_load(&p->vm->stop_at)), next_event(p));
}

/* Leave the trail's next event if it is one, and hold if it is that at which the board waits. */
static void keep_trail(struct vcpu_process *p, enum cpu_exit exit)
{
    struct trail *trail = p->vm->trail;
    struct trail_event *event = &trail->events[atomic_load(&trail->count) % TRAIL_EVENTS];
    struct cpu_state state;

    if (!trail->interval || (exit != EXIT_MODE && !(exit == EXIT_LIMIT && !p->cpu->stay.user &&
                                                    clock_counted(p->cpu) >= p->next_event))) {
        return;
    }
    cpu_state_get(p->cpu, &state);
    *event = (struct trail_event){.digest = digest_word(cpu_state_digest(&state), trail->exits),
                                  .icount = p->cpu->icount};
    p->next_event = clock_counted(p->cpu) + trail->interval;
    if (atomic_fetch_add(&trail->count, 1) + 1 >= atomic_load(&trail->stop_at)) {
        hold(p, VCPU_COUNTED);
    }
}

/* Hold where the board has asked to: with all that is due at that instruction done and delivered,
 * so that it is the same state however the guest came there. */
static void check_count(struct vcpu_process *p)
{
    if (p->cpu->icount >= atomic_load(&p->vm->stop_at) && !(p->vm->clock.icount && is_due(p))) {
        hold(p, VCPU_COUNTED);
    }
}

static _Noreturn void run(void)
{
    struct vcpu_process *p = vcpu_process();
    bool icount = p->vm->clock.icount;

    cpu_init(p);
    hold(p, VCPU_HELD);
    for (;;) {
        enum cpu_exit exit = cpu_run(p->cpu, p->engine, next_limit(p));

        trace_exit(p, exit);
        keep_trail(p, exit);
        switch (exit) {
        case EXIT_PAUSED: /* under --icount also by ourselves: to make a new limit */
            if (!vcpu_order_is_run(atomic_load(&p->control->order))) {
                hold(p, VCPU_HELD);
            }
            break;
        case EXIT_HALTED:
            if (!icount) {
                sleep_halted(p);
            } else if (atomic_load(&p->inbox->attention) == 0) {
                sync_board(p, RING_SYNC_HALT);
            }
            break;
        case EXIT_SHUTDOWN:
            hold(p, VCPU_SHUTDOWN);
            break;
        case EXIT_REFUSED:
            hold(p, VCPU_REFUSED);
            break;
        case EXIT_DEBUGGER:
            hold(p, VCPU_STOPPED);
            break;
        case EXIT_LIMIT:
            check_count(p);
            break;
        case EXIT_MODE:
            break;
        }
    }
}

static void enter(void)
{
    long error;

    vcpu_unmap_rest();
    syscall3(__NR_prctl, PR_SET_NAME, (long)"ringer-cpu", 0); /* executed by descriptor: has none */
    error = vcpu_signals_init(vcpu_process());
    if (error < 0) {
        vcpu_die("cannot set up signals", error);
    }
    if (vcpu_process()->vm->direct & VM_DIRECT) {
        vcpu_direct_init(vcpu_process());
    }
    error = vcpu_jail(vcpu_process()->vm->direct & VM_DIRECT);
    if (error < 0) {
        vcpu_die("cannot install the seccomp filter", error);
    }
    run();
}

void vcpu_main(const u64 *stack)
{
    const char *argument;
    u64 arena, bytes;
    u32 index;

    if (stack[0] != 2) {
        vcpu_die("is started by ringer, not by hand", 0);
    }
    argument = (const char *)stack[2];
    arena = parse_hex(&argument);
    bytes = parse_hex(&argument);
    index = (u32)parse_hex(&argument);
    map_private(0, PAGE_SIZE);
    map_private(STACK_OFFSET, STACK_BYTES);
    map_private(SIGNAL_OFFSET, SIGNAL_BYTES);
    map_shared(arena, bytes, index);
    process_init((struct vm *)arena, index);
    vcpu_switch_stack(VM_STACK_START + STACK_OFFSET + STACK_BYTES, enter);
}
