/*
 * cpu.h - the architectural state of one x86 CPU, as every executor sees it.
 *
 * It lies in the arena: the vCPU's process works on it, the board reads it while the vCPU is paused
 * (or dead).  Functions on it are in this folder, a file for each chapter of the manual:
 *
 *      reset.c segment.c transfer.c task.c exception.c syscall.c control.c debug.c
 *      debugger.c msr.c cpuid.c clock.c kvm.c lapic.c fpu.c
 *
 * Three outcomes never mix.  A function that can meet a guest exception returns bool: false means
 * that cpu->fault holds it, and that nothing architectural has changed unless the manual says so.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/bits.h"
#include "base/types.h"
#include "bus/interrupt.h"
#include "bus/port.h"
#include "cpu/cpuid.h"
#include "cpu/debugger.h"
#include "cpu/lapic.h"
#include "isa/control.h"
#include "isa/insn.h"
#include "isa/rflags.h"
#include "isa/vector.h"
#include "mmu/mmu.h"

enum {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    GPR_ZERO = 16, /* always 0: base or index of an address that has none */
    GPR_CODE = 17, /* rIP of the first byte of the page being executed: see exec/interpret/op.h */
    GPR_SLOTS,
};

/* Beside the six of enum segment_index. */
enum {
    SEG_LDTR = SEG_COUNT,
    SEG_TR,
    SEG_SLOTS,
};

/* Bits of struct segment's attributes: those of a descriptor's second doubleword, from bit 8. */
#define SEGMENT_TYPE 0x000fu
#define SEGMENT_S    0x0010u
#define SEGMENT_DPL  0x0060u
#define SEGMENT_P    0x0080u /* clear: unusable (a null selector) */
#define SEGMENT_AVL  0x1000u
#define SEGMENT_L    0x2000u
#define SEGMENT_DB   0x4000u
#define SEGMENT_G    0x8000u

#define SEGMENT_DPL_SHIFT 5

/* Type bits of code and data segments (S = 1). */
#define SEGMENT_TYPE_ACCESSED   1u
#define SEGMENT_TYPE_WRITABLE   2u /* data */
#define SEGMENT_TYPE_READABLE   2u /* code */
#define SEGMENT_TYPE_EXPAND     4u /* data: expand-down */
#define SEGMENT_TYPE_CONFORMING 4u /* code */
#define SEGMENT_TYPE_CODE       8u

struct segment {
    u64 base;
    u32 limit; /* in bytes: the last valid offset, whatever G says */
    u16 selector;
    u16 attributes;
};

struct table_register { /* GDTR, IDTR */
    u64 base;
    u16 limit;
};

/* A guest exception that an instruction has met and that has not been delivered. */
struct fault {
    bool pending;
    bool has_error;
    u8 vector;
    u32 error;
    u64 cr2;      /* #PF */
    u64 dr6_bits; /* #DB: to be set in DR6 at delivery */
};

/* Intel SDM vol. 3C, "Guest Non-Register State": activity state. */
enum activity {
    ACTIVITY_RUNNING,
    ACTIVITY_HALTED,
    ACTIVITY_WAIT_FOR_SIPI,
    ACTIVITY_SHUTDOWN, /* triple fault */
};

/* FPU, SSE and AVX registers while they are not in the host CPU; see fpu.h. */
#define FPU_STATE_BYTES 4096

struct fpu {
    /* What FNSTENV and FXSAVE say of the last x87 instruction: the guest's, not our thunk's. */
    u64 last_ip, last_dp;
    u16 last_cs, last_ds, last_opcode;
    bool loaded; /* the guest's registers are in the host CPU now */
    bool ferr;   /* FERR# is asserted: fpu_error() */
    u8 state[FPU_STATE_BYTES] __attribute__((aligned(64))); /* an XSAVE area, standard format */
};

struct cpu_msrs {
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 tsc_aux, tsc_adjust, pat, misc_enable, mtrr_def_type;
    u64 mtrr_physical[16], mtrr_fixed[11];
    u64 spec_ctrl, bios_sign_id, mcg_status;
    u64 kvm_system_time, kvm_wall_clock;
    u64 debugctl;
};

/* The board reads these at any time. */
struct cpu_stats {
    u64 instructions; /* retired; brought up to date whenever an executor returns */
    u64 interrupts;   /* external ones delivered */
    u64 faults[32];   /* exceptions delivered, by vector */
    u64 pio_reads, pio_writes, mmio_reads, mmio_writes, halts, decodes, code_flushes;
};

struct vm_clock; /* clock.h */
struct exec;     /* exec/interpret: an executor's own state, in the arena */
struct direct;   /* exec/direct: likewise */
struct cpu;

/* What the process around the CPU does for it.  Function pointers are only called in the vCPU's own
 * process. */
struct cpu_ops {
    /* Ask for INBOX_TIMER at clock_ns() == deadline_ns; UINT64_MAX cancels. */
    void (*arm_timer)(void *context, u64 deadline_ns);
    /* One line for --trace; NULL where tracing is off. */
    void (*trace)(void *context, struct cpu *cpu, const char *line);
    void *context;
};

struct cpu {
    /* ---- what executors touch all the time: keep it in the first lines of the structure */
    u64 gpr[GPR_SLOTS];
    u64 rip;
    u16 flags; /* the six arithmetic flags as the host's LAHF and SETO leave them in AX:
                * AH = SF ZF 0 AF 0 PF 1 CF, AL = OF; see cpu_rflags() */
    u8 cpl;
    u8 code_mode;   /* enum insn_mode of the code segment: derived, see cpu_update_mode() */
    u32 rflags;     /* all other flags; the arithmetic bits are 0, bit 1 is 1 */
    u64 stack_mask; /* 0xffff, 0xffffffff or ~0 by SS.B and mode: derived */
    /* For executors' slow paths: a value on its way to or from memory, and its linear address. */
    u64 bounce[2] __attribute__((aligned(16)));
    gva_t bounce_gva;
    bool long_mode;          /* EFER.LMA: derived */
    bool real_mode;          /* CR0.PE clear: derived */
    bool v86_mode;           /* RFLAGS.VM: derived */
    bool single_step_needed; /* TF, a breakpoint or a watchpoint is on: derived */
    bool interrupt_shadow;   /* after STI or a load of SS: nothing is taken for one instruction */
    bool debug_shadow;       /* the part of it that also holds off #DB (load of SS) */
    bool debug_step;         /* TF was set as the current instruction began: see debug.h */
    bool nmi_blocked, nmi_pending;
    u8 activity; /* enum activity */
    struct fault fault;

    struct segment seg[SEG_SLOTS];
    struct table_register gdtr, idtr;
    u64 cr2, xcr0;
    u64 dr[8];      /* 4 and 5 unused */
    u32 debug_hits; /* DR6_B0 to B3: watchpoints that the current instruction has met */
    struct cpu_msrs msr;
    u64 event_rip; /* rIP of the instruction being executed, valid while a fault is delivered */
    u32 index;     /* which vCPU this is; also its initial APIC ID */
    u32 cpu_count;

    struct interrupt_inbox *inbox;  /* its own */
    struct interrupt_fabric fabric; /* all: to send IPIs */
    struct bus_port port;
    struct cpu_ops ops;
    const struct vm_clock *clock;
    struct exec *exec;
    struct direct *direct; /* its mirror is mmu.mirror */
    struct cpu_stats stats;
    struct {         /* lockstep's clock: clock.h */
        bool user;   /* in user mode, since the icount `since` */
        bool inside; /* and something of it has been executed */
        u64 since;
        u64 untimed; /* instructions that took no time, less the time that none of them took */
    } stay;
    u64 icount; /* instructions retired since reset, exact whenever an executor is not running;
                 * the virtual time of --icount is derived from it: clock.h */

    struct debugger debugger;
    struct lapic lapic;
    struct cpuid_host host_cpuid;
    struct fpu fpu;
    struct mmu mmu;
};

/* ------------------------------------------------------------------ flags */

/* The six arithmetic flags out of cpu->flags. */
static inline u32 cpu_arithmetic_flags(const struct cpu *cpu)
{
    return ((cpu->flags >> 8) & (RFLAGS_ARITHMETIC & 0xff)) | (cpu->flags & 1 ? RFLAGS_OF : 0);
}

static inline void cpu_set_arithmetic_flags(struct cpu *cpu, u32 rflags)
{
    cpu->flags = (u16)((((rflags & RFLAGS_ARITHMETIC & 0xff) | RFLAGS_FIXED) << 8) |
                       (rflags & RFLAGS_OF ? 1 : 0));
}

static inline u32 cpu_rflags(const struct cpu *cpu)
{
    return cpu->rflags | cpu_arithmetic_flags(cpu);
}

/* Sets all of RFLAGS as given (bit 1 forced) and what is derived from it.  No checks. */
void cpu_set_rflags(struct cpu *cpu, u32 rflags);

/* ------------------------------------------------------------------ exceptions: exception.c */

/* Record an exception for delivery.  Always false, so that `return cpu_raise(...)` reads well. */
bool cpu_raise(struct cpu *cpu, enum vector vector);                  /* without error code */
bool cpu_raise_error(struct cpu *cpu, enum vector vector, u32 error); /* #TS #NP #SS #GP #AC */
bool cpu_raise_page_fault(struct cpu *cpu);                           /* from cpu->mmu.fault */
bool cpu_raise_debug(struct cpu *cpu, u64 dr6_bits);

static inline bool cpu_raise_gp0(struct cpu *cpu)
{
    return cpu_raise_error(cpu, VECTOR_GP, 0);
}

/* Deliver cpu->fault with cpu->rip at the instruction to be saved, following the rules for
 * exceptions in exceptions; a triple fault leaves activity = ACTIVITY_SHUTDOWN.  Where fault
 * follows fault without end it stops after a few, with the next one pending: look at attention, and
 * call it again. */
void cpu_deliver_fault(struct cpu *cpu);

enum event_kind {
    EVENT_EXTERNAL, /* INTR: from the local APIC or the PIC */
    EVENT_NMI,
    EVENT_SOFTWARE,       /* INT n, INT3, INTO: DPL checked; cpu->rip is the next instruction */
    EVENT_SOFTWARE_DEBUG, /* INT1 */
};

/* Deliver an interrupt with cpu->rip as the address to save.  A fault in delivery is itself
 * delivered: on return, the CPU is at the first instruction of some handler, or shut down, except
 * for the software events, where a fault is left in cpu->fault and false returned (the caller's rip
 * must then be the INT's own: exception.h has functions that see to it). */
bool cpu_deliver_event(struct cpu *cpu, u8 vector, enum event_kind kind);

/* ------------------------------------------------------------------ reset.c, control.c */

/* Power-on state.  Kept are index, cpu_count, inbox, fabric, port, ops, clock, exec, mmu's mem. */
void cpu_reset(struct cpu *cpu);
void cpu_init_signal(struct cpu *cpu);         /* INIT: then waits for SIPI, unless the BSP */
void cpu_start_up(struct cpu *cpu, u8 vector); /* SIPI */

/* Recompute all that is marked `derived` above, and the MMU's TLB set, after any change to CS, SS,
 * CPL, CR0, EFER, RFLAGS (TF, AC, VM) or DR7. */
void cpu_update_mode(struct cpu *cpu);

#endif
