/*
 * cpu_direct.c - a vCPU process whose engine runs guest code on the host's CPU: its protection
 * keys, its mirror's mappings, and what a signal says of guest code.  The gate between the two is
 * in cpu_gate.S, and the rules in cpu_gate.h.
 */
#include <asm/prctl.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/ucontext.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "base/string.h"
#include "cpu/fpu.h"
#include "cpu/segment.h"
#include "exec/direct/direct.h"
#include "vm/cpu_gate.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"

#define SELECTOR_ALLOW 0 /* SYSCALL_DISPATCH_FILTER_ALLOW */

#ifndef ARCH_CPUID_SET
#define ARCH_CPUID_SET 0x1012
#endif
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

/* The host's, which runs no instruction there: a jump to it is a system call. */
#define VSYSCALL_PAGE 0xffffffffff600000u

/* XSAVE's component of PKRU.  Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set". */
#define XCR0_PKRU_BIT 9u
#define XSTATE_PKRU   (1u << XCR0_PKRU_BIT)

/* The gate page: cpu_gate.h. */
struct gate {
    u64 rax, rcx, rdx;
    u8 selector;
    u64 frame[5];
};

_Static_assert(offsetof(struct gate, selector) == GATE_SELECTOR, "cpu_gate.S knows");
_Static_assert(offsetof(struct gate, frame) == GATE_FRAME, "cpu_gate.S knows");
_Static_assert(offsetof(struct cpu, gpr) == 0 && 15 * 8 == 0x78, "cpu_gate.S knows");
_Static_assert(GATE_PROCESS == VM_STACK_START, "cpu_gate.S knows");
_Static_assert(offsetof(struct vcpu_process, vmm_rsp) == GATE_VMM_RSP, "cpu_gate.S knows");
_Static_assert(offsetof(struct vcpu_process, signal_rsp) == GATE_SIGNAL_RSP, "cpu_gate.S knows");
_Static_assert(offsetof(struct vcpu_process, in_guest) == GATE_IN_GUEST, "cpu_gate.S knows");
_Static_assert(offsetof(struct vcpu_process, attention) == GATE_ATTENTION, "cpu_gate.S knows");
_Static_assert(ATTENTION_SIGNAL == GATE_ATTENTION_SIGNAL, "cpu_gate.S knows");

/* What the kernel puts on the stack; its own name for it. */
struct rt_sigframe {
    u64 return_address;
    struct ucontext uc;
    siginfo_t info;
};

_Static_assert(offsetof(struct rt_sigframe, info) == GATE_SIGINFO_OFFSET, "cpu_gate.S knows");

/* ------------------------------------------------------------------ the mirror's mappings */

/* RAM, or copies of code, which are in the arena. */
static bool map(void *context, gva_t gva, u64 size, const u8 *hva, unsigned rights)
{
    const struct vm *vm = vcpu_process()->vm;
    bool is_code = rights & MIRROR_EXECUTE;
    u64 offset = (u64)(hva - (is_code ? (const u8 *)vm : vm->mem.base));
    int prot = PROT_READ | (rights & MIRROR_WRITE ? PROT_WRITE : 0) |
               (rights & MIRROR_EXECUTE ? PROT_EXEC : 0);
    int populate = size < PIECE_LARGE_BYTES ? MAP_POPULATE : 0;

    (void)context;
    if (!is_code) {
        mem_need(&vm->mem, offset, size);
    }
    return !sys_failed(sys_mmap((void *)gva, size, prot, MAP_SHARED | MAP_FIXED | populate,
                                is_code ? VCPU_FD_ARENA : VCPU_FD_RAM, (long)offset));
}

/* A mapping that stayed would be a hole in the guest's protection. */
static bool unmap(void *context, gva_t start, gva_t end)
{
    long error = sys_munmap(start, end - start);

    (void)context;
    if (error < 0 && end - start <= PIECE_LARGE_BYTES) {
        vcpu_die("cannot unmap guest memory", error);
    }
    return error == 0;
}

/* ------------------------------------------------------------------ into guest code */

static void arm_signal_stack(void)
{
    const stack_t stack = {.ss_sp = (void *)(VM_STACK_START + SIGNAL_OFFSET),
                           .ss_flags = (int)SS_AUTODISARM,
                           .ss_size = SIGNAL_BYTES};

    syscall3(__NR_sigaltstack, (long)&stack, 0, 0);
}

#define GET_SELECTOR(name)                            \
    ({                                                \
        u32 value;                                    \
        __asm__("mov %%" #name ", %0" : "=r"(value)); \
        (u16) value;                                  \
    })
#define SET_SELECTOR(name, value) __asm__ volatile("mov %0, %%" #name ::"r"((u32)(value)))

/* 32-bit code needs data segments; what is null in the guest, is null.  FS and GS of a thread are
 * the flat segment with a base that WRFSBASE or WRGSBASE gives it: the host's GDT has none like it.
 */
static u16 data_selector(const struct cpu *cpu, unsigned seg)
{
    return cpu->code_mode == INSN_MODE_64 || segment_is_null(cpu->seg[seg].selector) ? 0
                                                                                     : DIRECT_DS;
}

static void load_selectors(struct vcpu_process *p)
{
    const struct cpu *cpu = p->cpu;

    p->selectors[SEG_CS] = cpu->code_mode == INSN_MODE_64 ? DIRECT_CS : DIRECT_CS_32;
    p->selectors[SEG_SS] = DIRECT_DS;
    p->selectors[SEG_DS] = data_selector(cpu, SEG_DS);
    p->selectors[SEG_ES] = data_selector(cpu, SEG_ES);
    p->selectors[SEG_FS] = data_selector(cpu, SEG_FS);
    p->selectors[SEG_GS] = data_selector(cpu, SEG_GS);
    if (cpu->code_mode != INSN_MODE_64) {
        SET_SELECTOR(ds, p->selectors[SEG_DS]);
        SET_SELECTOR(es, p->selectors[SEG_ES]);
        SET_SELECTOR(fs, p->selectors[SEG_FS]);
        SET_SELECTOR(gs, p->selectors[SEG_GS]);
    }
}

static struct rt_sigframe *frame_of(const struct vcpu_process *p)
{
    return (struct rt_sigframe *)p->signal_rsp;
}

/* A frame is always at the top of that stack, wherever the guest's RSP points: SS_AUTODISARM. */
static void enter(void *context, struct cpu *cpu, bool step)
{
    struct vcpu_process *p = context;
    struct gate *gate = p->gate;
    u32 flags = cpu_arithmetic_flags(cpu) | (cpu->rflags & (RFLAGS_DF | RFLAGS_AC | RFLAGS_ID)) |
                RFLAGS_IF | RFLAGS_FIXED | (step ? RFLAGS_TF : 0);
    bool traps = p->vm->clock.icount || p->vm->clock.tsc_traps;
    sigset_t none = 0;

    p->stepping = step;
    p->left_by = 0;
    cpu->direct->trap = (struct direct_trap){.kind = DIRECT_INTERRUPT};
    p->time_traps = traps && !step; /* direct.c does not step through RDTSC */
    load_selectors(p);
    gate->rax = cpu->gpr[RAX];
    gate->rcx = cpu->gpr[RCX];
    gate->rdx = cpu->gpr[RDX];
    gate->frame[0] = cpu->rip;
    gate->frame[1] = p->selectors[SEG_CS];
    gate->frame[2] = flags;
    gate->frame[3] = cpu->gpr[RSP];
    gate->frame[4] = p->selectors[SEG_SS];
    arm_signal_stack();
    if (p->hides_frames) {
        frame_of(p)->return_address = 0; /* for is_forged() */
    }
    if (p->time_traps) {
        syscall3(__NR_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0);
    }
    vcpu_gate_enter(cpu->gpr, cpu->seg[SEG_FS].base, cpu->seg[SEG_GS].base, gate, p->keys);
    if (p->time_traps) {
        p->time_traps = false; /* first: on_alarm() */
        syscall3(__NR_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0);
    }
    if (p->left_by == SIGALRM) {
        vcpu_on_timer(p);
    } else if (p->left_by == SIGUSR2) {
        vcpu_check_board();
    }
    syscall4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
}

/* ------------------------------------------------------------------ and back */

static void take_registers(struct cpu *cpu, const struct sigcontext *s, bool stepping)
{
    const u64 gpr[] = {s->rax, s->rcx, s->rdx, s->rbx, s->rsp, s->rbp, s->rsi, s->rdi,
                       s->r8,  s->r9,  s->r10, s->r11, s->r12, s->r13, s->r14, s->r15};
    u32 own = RFLAGS_DF | RFLAGS_AC | RFLAGS_NT | RFLAGS_ID | (stepping ? 0 : RFLAGS_TF);

    for (unsigned i = 0; i < ARRAY_SIZE(gpr); i++) {
        cpu->gpr[i] = gpr[i];
    }
    cpu->rip = s->rip;
    cpu_set_rflags(cpu, ((u32)s->eflags & (RFLAGS_ARITHMETIC | own)) |
                            (cpu->rflags & ~(own | RFLAGS_RF)));
    if (cpu->code_mode == INSN_MODE_64) {
        __asm__ volatile("rdfsbase %0" : "=r"(cpu->seg[SEG_FS].base));
        __asm__ volatile("rdgsbase %0" : "=r"(cpu->seg[SEG_GS].base));
    }
}

/* Guest code may have loaded segment registers; for the guest, its own tables say what is in them.
 * LIMIT: where the guest's GDT has no such descriptor it should have trapped. */
static void take_selector(struct vcpu_process *p, unsigned seg, u16 selector)
{
    struct cpu *cpu = p->cpu;
    u64 base = cpu->seg[seg].base;

    if (selector == p->selectors[seg]) {
        return;
    }
    if (!segment_load(cpu, seg, selector)) {
        cpu->fault.pending = false;
        cpu->seg[seg] = segment_null(selector);
        cpu->seg[seg].base = base;
    }
}

/* A far transfer without a trap: into compatibility mode, or out of it. */
static void take_code_selector(struct vcpu_process *p, u16 selector)
{
    struct cpu *cpu = p->cpu;
    struct descriptor d;

    if (selector == p->selectors[SEG_CS]) {
        return;
    }
    if (segment_read(cpu, selector, VECTOR_GP, &d)) {
        cpu->seg[SEG_CS] = segment_from(&d, selector);
    }
    cpu->fault.pending = false;
    cpu_update_mode(cpu);
}

static void take_segments(struct vcpu_process *p, u16 cs)
{
    take_selector(p, SEG_DS, GET_SELECTOR(ds));
    take_selector(p, SEG_ES, GET_SELECTOR(es));
    take_selector(p, SEG_FS, GET_SELECTOR(fs));
    take_selector(p, SEG_GS, GET_SELECTOR(gs));
    SET_SELECTOR(ds, 0);
    SET_SELECTOR(es, 0);
    SET_SELECTOR(fs, 0);
    SET_SELECTOR(gs, 0);
    take_code_selector(p, cs);
}

static const struct fpu_area *fpu_of(const struct sigcontext *s)
{
    u64 at = (u64)s->fpstate - (VM_STACK_START + SIGNAL_OFFSET);

    if (at > SIGNAL_BYTES - sizeof(struct fpu_area)) {
        vcpu_die("a signal frame without FPU state", 0);
    }
    return (const struct fpu_area *)s->fpstate;
}

/* The vector and FPU registers are only in the frame now. */
static void take_fpu(struct cpu *cpu, const struct fpu_area *area)
{
    fpu_load_area(area);
    if (area->fip - VM_HIDDEN_START >= VM_HIDDEN_END - VM_HIDDEN_START) { /* not a thunk's */
        cpu->fpu.last_ip = area->fip;
        cpu->fpu.last_dp = area->fdp;
        cpu->fpu.last_opcode = area->fop;
    }
}

static void classify(struct direct_trap *trap, int signal, const siginfo_t *info,
                     const struct sigcontext *s, bool stepping)
{
    *trap = (struct direct_trap){.kind = DIRECT_INSTRUCTION};
    switch (signal) {
    case SIGSEGV:
        if (s->trapno == VECTOR_PF && (s->rip & PAGE_MASK) == VSYSCALL_PAGE) {
            trap->kind = DIRECT_PAGE_FAULT; /* not as the kernel has it, which looks at RDI there */
            trap->address = s->rip;
            trap->access = ACCESS_FETCH;
        } else if (s->trapno == VECTOR_PF) {
            trap->kind = DIRECT_PAGE_FAULT;
            trap->address = s->cr2;
            trap->access =
                (s->err & PF_WRITE ? ACCESS_WRITE : 0) | (s->err & PF_FETCH ? ACCESS_FETCH : 0);
        } else if (s->trapno == VECTOR_OF) {
            trap->kind = DIRECT_BREAKPOINT;
        }
        break;
    case SIGTRAP:
        trap->kind = stepping && s->trapno == VECTOR_DB ? DIRECT_STEPPED
                     : info->si_code == TRAP_TRACE      ? DIRECT_TRACED
                                                        : DIRECT_BREAKPOINT;
        break;
    case SIGSYS:
        trap->kind = DIRECT_SYSCALL;
        if (info->si_code == SYS_SECCOMP) { /* in the host's vsyscall page */
            trap->address = (u64)info->_sifields._sigsys._call_addr;
        }
        break;
    case SIGILL:
    case SIGFPE:
    case SIGBUS:
        break;
    default:
        trap->kind = DIRECT_INTERRUPT;
        break;
    }
}

/* Guest code can jump to the gate's handler, with a frame that the kernel has not made: it put none
 * there since enter() cleared the return address; or, where guest code could write there, it has
 * not blocked the signals, as it does for each handler. */
static bool is_forged(const struct vcpu_process *p, const struct rt_sigframe *frame)
{
    sigset_t all = ~0ul, before = 0;

    if (!p->keys || p->hides_frames) {
        return p->keys && frame->return_address == 0;
    }
    syscall4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof(all));
    return !(before & 1ul << (SIGALRM - 1));
}

/* Were keys open when the signal came?  Then what it interrupted was not guest code, but what guest
 * code has jumped to, and the registers in the frame may be Ringer's own. */
static bool was_open(const struct vcpu_process *p, const struct fpu_area *area)
{
    u32 pkru = 0;

    if (p->keys && area->xstate_bv & XSTATE_PKRU) { /* and then the kernel has made room for it */
        memcpy(&pkru, (const u8 *)area + p->pkru_offset, sizeof(pkru));
    }
    return p->keys && pkru != GATE_PKRU_GUEST;
}

/* The guest's code has gone where it has no business: as if it had jumped there at once when it was
 * entered.  No page of its own is there, unless the guest's tables say so.  32-bit code, which must
 * have become 64-bit code first, begins again. */
static void refuse_jump(struct vcpu_process *p)
{
    p->left_by = 0;
    p->cpu->direct->trap = (struct direct_trap){.kind = DIRECT_INTERRUPT};
    if (p->cpu->code_mode == INSN_MODE_64) {
        p->cpu->rip = (u64)vcpu_gate_signal;
    }
    take_segments(p, p->selectors[SEG_CS]);
}

/* Called by cpu_gate.S on the stack that guest code was entered from. */
void vcpu_leave_guest(const struct rt_sigframe *frame)
{
    struct vcpu_process *p = vcpu_process();
    struct cpu *cpu = p->cpu;
    struct direct_trap *trap = &cpu->direct->trap;
    const struct sigcontext *s = &frame->uc.uc_mcontext;
    bool in_gate = s->rip >= (u64)vcpu_gate_enter && s->rip < (u64)vcpu_gate_enter_end;
    const struct fpu_area *area;

    p->gate->selector = SELECTOR_ALLOW;
    if (is_forged(p, frame)) {
        p->in_guest = 0;
        refuse_jump(p);
        return;
    }
    p->in_guest = 0;
    area = fpu_of(s);
    p->left_by = frame->info.si_signo;
    classify(trap, p->left_by, &frame->info, s, p->stepping);
    if (trap->kind == DIRECT_INTERRUPT && in_gate) {
        take_fpu(cpu, area);
        return; /* it had not begun, and all is still in *cpu */
    }
    if (was_open(p, area)) {
        fpu_load_area(area);
        refuse_jump(p);
        return;
    }
    take_fpu(cpu, area);
    take_registers(cpu, s, p->stepping);
    take_segments(p, s->cs);
}

/* ------------------------------------------------------------------ setting up */

static void hide(u64 start, u64 size, int prot, int key)
{
    long error = syscall4(__NR_pkey_mprotect, (long)start, (long)size, prot, key);

    if (error < 0) {
        vcpu_die("cannot give memory a protection key", error);
    }
}

/* Everything of ours gets a key that PKRU denies while guest code runs. */
static void hide_all(const struct vcpu_process *p)
{
    extern const char vcpu_image_start[], vcpu_image_text_end[], vcpu_image_end[];
    const struct vm *vm = p->vm;
    int rw = PROT_READ | PROT_WRITE;
    u64 arena = (u64)vm, arena_end = arena + vm->arena_bytes;
    u64 code = (u64)vm->exec + p->index * vm->exec_bytes + exec_code_offset();
    u64 code_end = code + exec_code_size();
    long key = syscall3(__NR_pkey_alloc, 0, 0, 0);

    if (key < 0) {
        vcpu_die("cannot have a protection key", key);
    }
    vcpu_pkru_open();
    hide((u64)vcpu_image_start, (u64)(vcpu_image_text_end - vcpu_image_start),
         PROT_READ | PROT_EXEC, (int)key);
    hide((u64)vcpu_image_text_end, (u64)(vcpu_image_end - vcpu_image_text_end), PROT_READ,
         (int)key);
    hide(VM_STACK_START, PAGE_SIZE, rw, (int)key);
    hide(VM_STACK_START + STACK_OFFSET, STACK_BYTES, rw, (int)key);
    if (vm->direct & VM_DIRECT_HIDE_SIGNALS) {
        hide(VM_STACK_START + SIGNAL_OFFSET, SIGNAL_BYTES, rw, (int)key);
    }
    hide(arena, code - arena, rw, (int)key);
    hide(code, code_end - code, rw | PROT_EXEC, (int)key);
    hide(code_end, arena_end - code_end, rw, (int)key);
    hide((u64)vm->mem.base, vm->ram_bytes, rw, (int)key);
    if (vm->source.base) {
        hide(vm->source.base, vm->source.bytes, PROT_READ, (int)key);
    }
}

/* The kernel puts each frame at the same place, which cpu_gate.S checks: learn where. */
static void learn_signal_stack(struct vcpu_process *p)
{
    p->learning = true;
    arm_signal_stack();
    __asm__ volatile("int3" ::: "memory");
    p->learning = false;
    if (p->signal_rsp == 0) {
        vcpu_die("signals do not arrive", 0);
    }
}

/* In an XSAVE area in the standard format.  CPUID.0DH, component 9. */
static u32 pkru_offset(void)
{
    u32 a = 0xd, b, c = XCR0_PKRU_BIT, d;

    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b;
}

void vcpu_direct_init(struct vcpu_process *p)
{
    u64 offset = (u64)p->vm->gates + p->index * PAGE_SIZE - (u64)p->vm;
    struct gate *alias = (struct gate *)GATE_PAGE;
    void *got =
        sys_mmap(alias, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, VCPU_FD_ARENA, (long)offset);
    long error;

    if (sys_failed(got)) {
        vcpu_die("cannot map the gate", (long)got);
    }
    p->gate = (struct gate *)((u64)p->vm + offset);
    p->attention = &p->inbox->attention;
    p->keys = p->vm->direct & VM_DIRECT_KEYS;
    p->hides_frames = p->keys && p->vm->direct & VM_DIRECT_HIDE_SIGNALS;
    p->pkru_offset = pkru_offset();
    if (p->keys) {
        hide_all(p);
    }
    learn_signal_stack(p);
    error = syscall6(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
                     (long)&alias->selector, 0);
    if (error < 0) {
        vcpu_die("no syscall user dispatch", error);
    }
    p->cpuid_faults = syscall3(__NR_arch_prctl, ARCH_CPUID_SET, 0, 0) == 0;
}

void vcpu_direct_attach(struct vcpu_process *p)
{
    struct cpu *cpu = p->cpu;
    const struct mirror_host host = {
        .map = map,
        .unmap = unmap,
        .copy_of_code = direct_copy_of_code,
        .may_join = direct_may_join,
        .let_go = direct_let_go,
        .context = cpu,
        .hidden_start = VM_HIDDEN_START,
        .hidden_end = VM_HIDDEN_END,
        .end = VM_LOWER_END,
    };

    mirror_init(&cpu->direct->mirror, &p->vm->mem, &host);
    cpu->direct->host =
        (struct direct_host){.enter = enter, .context = p, .cpuid_faults = p->cpuid_faults};
    cpu->mmu.mirror = &cpu->direct->mirror;
}
