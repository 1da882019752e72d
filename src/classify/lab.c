/*
 * lab.c - see lab.h.  Physical memory, 2 MiB:
 *
 *      0x010000  GDT, LDT, TSS, IDT             (TABLES_GPA: one page, see state.h)
 *      0x020000  the supervisor's stack, entry points of gates
 *      0x040000  page tables, three sets 0x8000 apart
 *      0x100000  user memory: a page of code, a page of data
 *      0x110000  the same for the third set of page tables
 *
 * User memory is at AREA; the supervisor sees all of it at state_system_base().
 */
#define _GNU_SOURCE /* REG_RIP */
#include "classify/lab.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/clock.h"
#include "exec/engine.h"
#include "exec/interpret/access.h"
#include "exec/interpret/code.h"
#include "exec/interpret/coherence.h"
#include "exec/interpret/interpret.h"
#include "isa/paging.h"

#define RAM_BYTES    (2u << 20)
#define FRAMES_A     0x100000u
#define FRAMES_C     0x110000u
#define START_ICOUNT 1000000u /* the time of each run: --icount's clock follows it */
#define SIGNAL_STACK (1u << 16)

struct lab {
    struct cpu *cpu;
    struct mem mem;
    struct mem_coherence coherence;
    struct interrupt_inbox inbox;
    struct vm_clock clock;
    u64 device;
    enum code_kind tables_of; /* whose page tables are in RAM */
    bool has_tables;
    void *exec_memory;
    u64 exec_bytes;
};

/* ------------------------------------------------------------------ devices */

static u64 port_read(void *context, enum bus_space space, u64 addr, unsigned size)
{
    struct lab *lab = context;
    (void)space;
    (void)addr;
    return lab->device & bits_mask(size * 8);
}

static void port_write(void *context, enum bus_space space, u64 addr, u64 value, unsigned size)
{
    struct lab *lab = context;
    (void)space;
    (void)size;
    lab->device = lab->device * 31 + addr + value + 1;
}

static int port_acknowledge(void *context)
{
    (void)context;
    return -1;
}

static void port_eoi(void *context, u8 vector)
{
    (void)context;
    (void)vector;
}

static void arm_timer(void *context, u64 deadline_ns)
{
    (void)context;
    (void)deadline_ns;
}

/* ------------------------------------------------------------------ making it */

static void *zeroed(size_t align, size_t size)
{
    size = (size_t)bits_align_up(size, align);
    void *memory = aligned_alloc(align, size);
    return memory ? memset(memory, 0, size) : NULL;
}

static void connect_cpu(struct lab *lab)
{
    struct cpu *cpu = lab->cpu;

    cpu->cpu_count = 1;
    cpu->inbox = &lab->inbox;
    cpu->fabric = (struct interrupt_fabric){.inboxes = &lab->inbox, .count = 1};
    cpu->port = (struct bus_port){.read = port_read,
                                  .write = port_write,
                                  .acknowledge = port_acknowledge,
                                  .eoi = port_eoi,
                                  .context = lab};
    cpu->ops = (struct cpu_ops){.arm_timer = arm_timer, .context = lab};
    cpu->clock = &lab->clock;
    mmu_init(&cpu->mmu, &lab->mem, &cpu_mmu_ops, cpu);
    cpu_reset(cpu);
    exec_init(cpu, lab->exec_memory);
}

struct lab *lab_new(void)
{
    struct lab *lab = zeroed(64, sizeof(*lab));
    if (!lab) {
        return NULL;
    }
    lab->exec_bytes = exec_size();
    lab->exec_memory = mmap(NULL, lab->exec_bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    lab->mem.base = zeroed(PAGE_SIZE, RAM_BYTES);
    lab->mem.low_size = RAM_BYTES;
    lab->mem.code_holders = zeroed(64, RAM_BYTES / PAGE_SIZE);
    lab->mem.coherence = &lab->coherence;
    lab->mem.cpu_count = 1;
    lab->clock = (struct vm_clock){.icount = true, .tsc_khz = 1000000, .ns_per_tsc_32 = BIT(32)};
    lab->cpu = zeroed(64, sizeof(*lab->cpu));
    if (lab->exec_memory == MAP_FAILED || !lab->mem.base || !lab->mem.code_holders || !lab->cpu) {
        lab_destroy(lab);
        return NULL;
    }
    connect_cpu(lab);
    return lab;
}

void lab_destroy(struct lab *lab)
{
    if (!lab) {
        return;
    }
    if (lab->exec_memory != MAP_FAILED) {
        munmap(lab->exec_memory, lab->exec_bytes);
    }
    free(lab->mem.base);
    free(lab->mem.code_holders);
    free(lab->cpu);
    free(lab);
}

u64 lab_xcr0(struct lab *lab)
{
    return cpu_xcr0_supported(lab->cpu);
}

void lab_power_on(struct lab *lab, struct machine_state *state)
{
    cpu_reset(lab->cpu);
    state->msr = lab->cpu->msr;
    state->lapic = lab->cpu->lapic;
}

/* ------------------------------------------------------------------ signals */

/* The kernel tells a handler where its alternate stack is: the laboratory's address lies at its
 * bottom. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct lab *lab = *(struct lab **)uc->uc_stack.ss_sp;
    u64 fixup = thunk_fixup(&lab->cpu->exec->thunks, (u64)uc->uc_mcontext.gregs[REG_RIP]);

    (void)info;
    if (!fixup) {
        signal(number, SIG_DFL); /* a fault of our own: it comes again */
        return;
    }
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fixup;
}

bool lab_signals(struct lab *lab)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_size = SIGNAL_STACK};

    stack.ss_sp =
        mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED) {
        return false;
    }
    *(struct lab **)stack.ss_sp = lab;
    return !sigaltstack(&stack, NULL) && !sigaction(SIGFPE, &action, NULL) &&
           !sigaction(SIGILL, &action, NULL);
}

/* ------------------------------------------------------------------ page tables */

#define PRESENT (PTE_P | PTE_RW | PTE_A | PTE_D)

static void put_entry(struct lab *lab, gpa_t table, unsigned index, unsigned size, u64 entry)
{
    memcpy(lab->mem.base + table + index * size, &entry, size);
}

/* A table of 4 KiB pages for AREA, at `table`: code is read-only. */
static void map_area(struct lab *lab, gpa_t table, unsigned entry_size, u64 frames)
{
    put_entry(lab, table, 0, entry_size, frames | PTE_P | PTE_A | PTE_US);
    put_entry(lab, table, 1, entry_size, (frames + PAGE_SIZE) | PRESENT | PTE_US);
}

static void map_32(struct lab *lab, gpa_t root, u64 frames)
{
    memset(lab->mem.base + root, 0, 2 * PAGE_SIZE);
    put_entry(lab, root, AREA >> 22, 4, (root + PAGE_SIZE) | PRESENT | PTE_US);
    put_entry(lab, root, (unsigned)(state_system_base(CODE_32) >> 22), 4, PRESENT | PTE_PS);
    map_area(lab, root + PAGE_SIZE, 4, frames);
}

static void map_64(struct lab *lab, gpa_t root, u64 frames)
{
    gpa_t at = root;

    memset(lab->mem.base + root, 0, 6 * PAGE_SIZE);
    put_entry(lab, root, 0, 8, (at += PAGE_SIZE) | PRESENT | PTE_US);
    put_entry(lab, at, 0, 8, (at + PAGE_SIZE) | PRESENT | PTE_US);
    at += PAGE_SIZE;
    put_entry(lab, at, AREA >> 21, 8, (at + PAGE_SIZE) | PRESENT | PTE_US);
    at += PAGE_SIZE;
    map_area(lab, at, 8, frames);
    at += PAGE_SIZE;
    put_entry(lab, root, 256, 8, at | PRESENT);
    put_entry(lab, at, 0, 8, (at + PAGE_SIZE) | PRESENT);
    put_entry(lab, at + PAGE_SIZE, 0, 8, PRESENT | PTE_PS);
}

static void put_page_tables(struct lab *lab, enum code_kind kind)
{
    void (*map)(struct lab *, gpa_t, u64) = kind == CODE_64 ? map_64 : map_32;

    if (lab->has_tables && lab->tables_of == kind) {
        return;
    }
    map(lab, CR3_A, FRAMES_A);
    map(lab, CR3_B, FRAMES_A);
    map(lab, CR3_C, FRAMES_C);
    lab->has_tables = true;
    lab->tables_of = kind;
}

/* ------------------------------------------------------------------ running */

void lab_put_code(struct lab *lab, const u8 bytes[INSN_MAX_LENGTH])
{
    static const gpa_t frames[] = {FRAMES_A, FRAMES_C};

    for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
        memcpy(lab->mem.base + frames[i] + CODE - AREA, bytes, INSN_MAX_LENGTH);
        code_written(lab->cpu, frames[i] + CODE - AREA, INSN_MAX_LENGTH);
    }
}

static u8 *data_of(struct lab *lab, const struct machine_state *state)
{
    gpa_t frames = state->cr3 == CR3_C ? FRAMES_C : FRAMES_A;
    return lab->mem.base + frames + (DATA - AREA);
}

static void load_state(struct lab *lab, const struct machine_state *s)
{
    struct cpu *cpu = lab->cpu;
    struct paging *paging = &cpu->mmu.paging;

    memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
    cpu->rip = s->rip;
    cpu->cpl = s->cpl;
    cpu->activity = s->activity;
    memcpy(cpu->seg, s->seg, sizeof(cpu->seg));
    cpu->gdtr = s->gdtr;
    cpu->idtr = s->idtr;
    paging->cr0 = s->cr0;
    paging->cr3 = s->cr3;
    paging->cr4 = s->cr4;
    paging->efer = s->efer;
    cpu->cr2 = s->cr2;
    cpu->xcr0 = s->xcr0;
    memcpy(cpu->dr, s->dr, sizeof(cpu->dr));
    cpu->msr = s->msr;
    cpu->lapic = s->lapic;
    lab->device = s->device;
    memcpy(lab->mem.base + TABLES_GPA, s->tables, TABLES_BYTES);
    cpu->fault = (struct fault){0};
    atomic_store(&lab->inbox.attention, 0);
    atomic_store(&lab->inbox.events, 0);
    cpu->interrupt_shadow = cpu->debug_shadow = cpu->debug_step = false;
    cpu->nmi_blocked = cpu->nmi_pending = false;
    cpu->debug_hits = 0;
    cpu->icount = START_ICOUNT;
    cpu_set_rflags(cpu, s->rflags);
    mmu_flush(&cpu->mmu);
    cpu_update_mode(cpu);
}

static void store_state(struct lab *lab, struct machine_state *s)
{
    const struct cpu *cpu = lab->cpu;
    const struct paging *paging = &cpu->mmu.paging;

    memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
    s->rip = cpu->rip;
    s->rflags = cpu_rflags(cpu);
    s->cpl = cpu->cpl;
    s->activity = cpu->activity;
    memcpy(s->seg, cpu->seg, sizeof(s->seg));
    s->gdtr = cpu->gdtr;
    s->idtr = cpu->idtr;
    s->cr0 = paging->cr0;
    s->cr2 = cpu->cr2;
    s->cr3 = paging->cr3;
    s->cr4 = paging->cr4;
    s->efer = paging->efer;
    s->xcr0 = cpu->xcr0;
    memcpy(s->dr, cpu->dr, sizeof(s->dr));
    s->msr = cpu->msr;
    s->lapic = cpu->lapic;
    s->device = lab->device;
    memcpy(s->tables, lab->mem.base + TABLES_GPA, TABLES_BYTES);
}

/* The TLB's entry of the page of data, for CPL 0 or 3. */
static const struct tlb_entry *data_entry(const struct mmu *mmu, unsigned cpl)
{
    enum tlb_set set = cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    return &mmu->sets[set][(DATA >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

static bool is_translated(const struct mmu *mmu, unsigned cpl)
{
    return data_entry(mmu, cpl)->read_tag == (DATA | mmu->generation);
}

/* Have the TLB know the page of data. */
static void translate_data(struct mmu *mmu, unsigned cpl)
{
    bool faulted;
    mmu_host(mmu, DATA, 1, ACCESS_READ | (cpl == 3 ? ACCESS_USER : 0), &faulted);
}

void lab_run(struct lab *lab, enum code_kind kind, const struct machine_state *before,
             const struct lab_memory *memory, struct lab_outcome *outcome)
{
    struct cpu *cpu = lab->cpu;
    u8 *data = data_of(lab, before);

    put_page_tables(lab, kind);
    memcpy(data, memory->data, DATA_BYTES);
    cpu->fpu.last_ip = cpu->fpu.last_dp = 0;
    cpu->fpu.last_cs = cpu->fpu.last_ds = cpu->fpu.last_opcode = 0;
    memcpy(cpu->fpu.state, &memory->fpu, sizeof(memory->fpu));
    load_state(lab, before);
    translate_data(&cpu->mmu, before->cpl);
    coherence_enter(cpu);
    interpret_execute(cpu, START_ICOUNT + 1);
    coherence_leave(cpu);
    outcome->completed = !cpu->fault.pending;
    outcome->vector = cpu->fault.vector;
    store_state(lab, &outcome->state);
    outcome->state.translation = is_translated(&cpu->mmu, before->cpl);
    memcpy(outcome->data, data, DATA_BYTES);
    memcpy(&outcome->fpu, cpu->fpu.state, sizeof(outcome->fpu));
    if (memcmp(data - PAGE_SIZE, memory->code, INSN_MAX_LENGTH) != 0) {
        lab_put_code(lab, memory->code); /* CR0.WP was 0 */
    }
}

/* ------------------------------------------------------------------ what a program can see */

/* Flags that POPF changes at any CPL. */
#define PROGRAM_FLAGS \
    (RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID)

/* LIMIT: not the x87's record of its last instruction (FIP, FCS, FDP, FDS), into which every x87
 * instruction puts CS.  docs/classify.md tells what follows from that. */
static bool fpu_differs(const struct fpu_area *a, const struct fpu_area *b)
{
    return a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw || a->mxcsr != b->mxcsr ||
           memcmp(a->st, b->st, sizeof(a->st)) != 0 ||
           memcmp(a->xmm, b->xmm, sizeof(a->xmm)) != 0 ||
           memcmp(a->ymm_high, b->ymm_high, sizeof(a->ymm_high)) != 0;
}

const char *lab_difference(const struct lab_outcome *a, const struct lab_outcome *b)
{
    static const char *const names[16] = {"rAX", "rCX", "rDX", "rBX", "rSP", "rBP", "rSI", "rDI",
                                          "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (a->state.gpr[i] != b->state.gpr[i]) {
            return names[i];
        }
    }
    if ((a->state.rflags ^ b->state.rflags) & PROGRAM_FLAGS) {
        return "flags";
    }
    if (a->state.rip != b->state.rip) {
        return "rIP";
    }
    if (memcmp(a->data, b->data, DATA_BYTES) != 0) {
        return "memory";
    }
    return fpu_differs(&a->fpu, &b->fpu) ? "vector registers" : NULL;
}
