/*
 * cpu_process.h - what a vCPU process knows of itself.
 *
 * A signal handler gets no context, and mutable state at file scope is not allowed; so it lies at a
 * fixed address of the process, below its stacks:
 *
 *      VM_STACK_START     struct vcpu_process
 *      + STACK_OFFSET     the stack of the main loop, after a page that is not mapped
 *      + SIGNAL_OFFSET    the stack of signal handlers, likewise
 */
#ifndef VM_CPU_PROCESS_H
#define VM_CPU_PROCESS_H

#include "exec/engine.h"
#include "vm/vm.h"

#define STACK_OFFSET  0x10000ull
#define STACK_BYTES   0x40000ull
#define SIGNAL_OFFSET 0x60000ull
#define SIGNAL_BYTES  0x20000ull

struct gate;

struct vcpu_process {
    u64 vmm_rsp, signal_rsp; /* the first four are cpu_gate.S's, too: cpu_gate.h */
    _Atomic u32 in_guest;    /* guest code runs, or is about to */
    _Atomic u32 *attention;  /* the inbox's */
    struct vm *vm;
    struct cpu *cpu;
    struct interrupt_inbox *inbox;
    struct vcpu_control *control;
    struct ring *ring;
    struct trace_ring *trace;
    const struct engine *engine;
    struct ring_host ring_host;
    u64 deadline_ns;  /* of the host timer; UINT64_MAX while it is off */
    u64 next_sync_ns; /* --icount */
    u64 next_event;   /* the trail's, by clock_counted() */
    u64 bringing;     /* a piece of RAM, and 1; 0: none */
    int timer;        /* POSIX timer ID */
    u32 index;

    /* Where the engine runs guest code on the host's CPU. */
    struct gate *gate;
    bool keys;                /* the hidden zone is behind a protection key meanwhile */
    bool cpuid_faults;        /* CPUID traps in this process */
    u16 selectors[SEG_COUNT]; /* what segment registers held as guest code was entered */
    bool time_traps;          /* RDTSC is to trap in this process */
    bool stepping;            /* one instruction was asked for */
    bool learning;            /* the next SIGTRAP tells where signal frames are */
    bool hides_frames;        /* guest code can neither read nor write the signal stack */
    u32 pkru_offset;          /* of PKRU in a signal frame's XSAVE area */
    int left_by;              /* the signal that ended the last run */
};

_Static_assert(sizeof(struct vcpu_process) <= PAGE_SIZE, "one page is mapped for it");

static inline struct vcpu_process *vcpu_process(void)
{
    return (struct vcpu_process *)VM_STACK_START;
}

/* cpu_start.S */
_Noreturn void vcpu_switch_stack(u64 top, void (*then)(void));
void vcpu_sigreturn(void);

/* cpu_main.c */
_Noreturn void vcpu_main(const u64 *stack);

/* One line on standard error, with the number of the vCPU, and the end of the process. */
_Noreturn void vcpu_die(const char *what, long error);

/* cpu_bus.c: fill in cpu->port, cpu->fabric and the ring's host functions. */
void vcpu_bus_init(struct vcpu_process *p);

/* Sleep while *word == value, at most a second at a time: the board may be gone, and then the
 * process ends. */
void vcpu_futex_wait(_Atomic u32 *word, u32 value);

/* cpu_trace.c: a line to the trace file; waits while the ring is full. */
void vcpu_trace_init(struct vcpu_process *p);
void vcpu_trace(struct vcpu_process *p, enum trace_kind kind, const char *line);

/* cpu_memory.c: map the file that RAM comes from, if there is one; and mem->absence.bring. */
void vcpu_map_source(const struct vm *vm);
void vcpu_bring(void *context, u64 piece);
void vcpu_give_up_piece(const struct vcpu_process *p); /* before an end that comes meanwhile */

/* cpu_signal.c: handlers, the host timer, the signal at the board's death.  0 or -errno. */
long vcpu_signals_init(struct vcpu_process *p);

/* The handler of all signals, while no guest code runs. */
struct siginfo; /* the kernel's */
void vcpu_on_signal(int signal, struct siginfo *info, void *context);

/* The host timer has expired. */
void vcpu_on_timer(struct vcpu_process *p);

/* cpu_direct.c: hide what is ours, and have system calls of guest code trap, before the jail is
 * shut; and give the CPU its mirror.  cpu_gate.S: cpu_gate.h. */
void vcpu_direct_init(struct vcpu_process *p);
void vcpu_direct_attach(struct vcpu_process *p);
void vcpu_gate_enter(const u64 *gpr, u64 fs_base, u64 gs_base, struct gate *gate, bool keys);
extern const char vcpu_gate_enter_end[];
void vcpu_gate_signal(void);
struct rt_sigframe;
void vcpu_leave_guest(const struct rt_sigframe *frame);
void vcpu_gate_signal_without_keys(void);
void vcpu_pkru_open(void);

/* cpu->ops.arm_timer */
void vcpu_arm_timer(void *context, u64 deadline_ns);

/* Ends the process, with a report, if the board is no more. */
void vcpu_check_board(void);

/* cpu_jail.c: unmap all but the hidden zone; then give up all system calls but a handful (and a few
 * more where guest code runs on the host's CPU). */
void vcpu_unmap_rest(void);
long vcpu_jail(bool direct);

#endif
