/*
 * vector_fixture.h - one instruction at a time, by the interpreter's handlers.
 *
 * The guest's RAM is at gpa 0 and its addresses are physical ones (paging is off, the code mode is
 * nevertheless 64-bit: the handlers do not mind).
 */
#ifndef TESTS_UNIT_VECTOR_FIXTURE_H
#define TESTS_UNIT_VECTOR_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "cpu/clock.h"
#include "cpu/fpu.h"
#include "exec/interpret/access.h"
#include "exec/interpret/code.h"
#include "exec/interpret/vector.h"

#define RAM_BYTES (1u << 20)

struct machine {
    struct cpu *cpu;
    struct mem mem;
    struct interrupt_inbox inbox;
    struct vm_clock clock;
    struct op op[2];
};

static struct machine *current; /* for the signal handler */

static inline void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    u64 fixup = thunk_fixup(&current->cpu->exec->thunks, (u64)uc->uc_mcontext.gregs[REG_RIP]);
    (void)info;
    if ((number == SIGFPE || number == SIGILL) && fixup) {
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fixup;
        return;
    }
    abort();
}

static inline s64 stop(struct cpu *cpu, const struct op *op, s64 left)
{
    (void)cpu;
    (void)op;
    return left;
}

static inline u64 no_read(void *context, gpa_t gpa, unsigned size)
{
    (void)context;
    (void)gpa;
    (void)size;
    return ~0ull;
}

static inline void no_write(void *context, gpa_t gpa, u64 value, unsigned size)
{
    (void)context;
    (void)gpa;
    (void)value;
    (void)size;
}

static inline void no_code(void *context, gpa_t gpa, unsigned size)
{
    (void)context;
    (void)gpa;
    (void)size;
}

/* cmocka takes these signals for itself before each test. */
static inline void machine_signals(void)
{
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static inline struct machine *machine_new(void)
{
    static const struct mmu_ops ops = {no_read, no_write, no_code};
    struct machine *m = calloc(1, sizeof(*m));
    m->mem.base = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    m->mem.low_size = RAM_BYTES;
    m->mem.code_holders = calloc(RAM_BYTES / PAGE_SIZE, 1);
    m->cpu = aligned_alloc(64, (sizeof(struct cpu) + 63) & ~63ul);
    memset(m->cpu, 0, sizeof(*m->cpu));
    m->cpu->exec = mmap(NULL, sizeof(struct exec), PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(m->cpu->exec, MAP_FAILED);
    thunk_cache_init(&m->cpu->exec->thunks);
    m->cpu->inbox = &m->inbox;
    m->cpu->clock = &m->clock;
    mmu_init(&m->cpu->mmu, &m->mem, &ops, m->cpu);
    m->cpu->mmu.paging.cr0 = CR0_PE | CR0_NE | CR0_MP;
    m->cpu->mmu.paging.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    m->cpu->xcr0 = FPU_COMPONENTS;
    m->cpu->code_mode = INSN_MODE_64;
    fpu_reset(m->cpu);
    current = m;
    machine_signals();
    return m;
}

/* 4-level paging, with all of RAM mapped where it is. */
static inline void machine_paging_on(struct machine *m)
{
    u64 *tables = (u64 *)(m->mem.base + 0x1000); /* PML4, PDPT, PD, PT, a page each */
    for (unsigned level = 0; level < 3; level++) {
        tables[level * 512] = (0x2000 + level * PAGE_SIZE) | 7;
    }
    for (unsigned i = 0; i < RAM_BYTES / PAGE_SIZE; i++) {
        tables[3 * 512 + i] = i * PAGE_SIZE | 7;
    }
    m->cpu->mmu.paging.cr3 = 0x1000;
    m->cpu->mmu.paging.cr0 |= CR0_PG | CR0_WP;
    m->cpu->mmu.paging.cr4 |= CR4_PAE;
    m->cpu->mmu.paging.efer |= EFER_LME | EFER_LMA;
    m->cpu->mmu.paging.physical_bits = 40;
    m->cpu->long_mode = true;
    mmu_flush(&m->cpu->mmu);
}

/* flags: 0 not present, 1 read-only, 3 writable. */
static inline void machine_page(struct machine *m, u64 gva, unsigned flags)
{
    u64 *table = (u64 *)(m->mem.base + 0x4000);
    table[gva / PAGE_SIZE] = (gva & PAGE_MASK) | flags;
    mmu_flush(&m->cpu->mmu);
}

static inline void machine_free(struct machine *m)
{
    munmap(m->mem.base, RAM_BYTES);
    free(m->mem.code_holders);
    munmap(m->cpu->exec, sizeof(struct exec));
    free(m->cpu);
    free(m);
}

/* Prepare the instruction as the interpreter would; false if no handler of ours wants it. */
static inline bool machine_prepare(struct machine *m, const struct insn *insn)
{
    struct op *op = m->op;
    if (thunk_cache_is_low(&m->cpu->exec->thunks)) {
        thunk_cache_empty(&m->cpu->exec->thunks);
    }
    memset(m->op, 0, sizeof(m->op));
    op->base = insn->mem.base == MEM_NO_REG ? GPR_ZERO : insn->mem.base;
    op->index = insn->mem.index == MEM_NO_REG ? GPR_ZERO : insn->mem.index;
    op->scale = insn->mem.scale;
    op->disp = (s32)insn->mem.disp;
    op->segment = insn->mem.segment;
    op->length = insn->length;
    op->ea = m->cpu->code_mode != INSN_MODE_64 ? EA_LEGACY : 0;
    op->ea |= insn->address_size == 4 ? EA_ADDRESS_32 : insn->address_size == 2 ? EA_ADDRESS_16 : 0;
    m->op[1].fn = stop;
    return vector_prepare(m->cpu, insn, op) || thunk_prepare(m->cpu, insn, op);
}

/* Execute what was prepared.  False: cpu->fault is pending. */
static inline bool machine_execute(struct machine *m)
{
    memset(&m->cpu->fault, 0, sizeof(m->cpu->fault));
    s64 left = m->op[0].fn(m->cpu, m->op, 10);
    assert_int_equal(left, m->cpu->fault.pending ? 10 : 9);
    return left == 9;
}

static inline bool machine_run(struct machine *m, const void *bytes, size_t size)
{
    struct insn insn;
    assert_int_equal(insn_decode(&insn, m->cpu->code_mode, bytes, size), INSN_OK);
    assert_int_equal(insn.length, size);
    assert_true(machine_prepare(m, &insn));
    machine_signals();
    return machine_execute(m);
}

#define RUN(m, ...) machine_run((m), (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static inline struct fpu_area *machine_fpu(struct machine *m)
{
    return (struct fpu_area *)m->cpu->fpu.state;
}

#endif
