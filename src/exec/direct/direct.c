/* direct.c - running guest code on the host's CPU, and what its traps mean: direct.h. */
#include "exec/direct/direct.h"

#include "base/string.h"
#include "cpu/clock.h"
#include "exec/interpret/access.h"
#include "exec/interpret/code.h"
#include "exec/interpret/coherence.h"
#include "exec/interpret/interpret.h"
#include "isa/debug.h"

/* What is interpreted at a time in a page that may not run itself. */
#define CHUNK_INSTRUCTIONS 256
#define REPEATS_MAX        4

/* ------------------------------------------------------------------ pages of code */

/* Bytes at gva of a page that the guest might execute before another; zero if it cannot. */
static void neighbours(const struct cpu *cpu, gva_t gva, u8 *bytes, unsigned size)
{
    struct walk walk;
    u32 error;

    memset(bytes, 0, size);
    if (mmu_walk(cpu->mmu.mem, &cpu->mmu.paging, gva,
                 access_privilege(cpu) | ACCESS_FETCH | ACCESS_PEEK, &walk, &error)) {
        const u8 *hva = mem_ptr(cpu->mmu.mem, walk.gpa);
        if (hva) {
            memcpy(bytes, hva, size);
        }
    }
}

enum verdict { VERDICT_NONE, VERDICT_SAFE, VERDICT_SENSITIVE };

/* Judge a copy: what else may come to stand in the page does not matter. */
static enum verdict judge(struct cpu *cpu, gva_t gva, const u8 *copy)
{
    struct sensitive_window window = {.mode = cpu->code_mode,
                                      .cpuid_faults = cpu->direct->host.cpuid_faults};

    if (sensitive_holds_pkru(copy)) {
        return VERDICT_SENSITIVE;
    }
    neighbours(cpu, gva - SENSITIVE_BEFORE, window.bytes, SENSITIVE_BEFORE);
    memcpy(window.bytes + SENSITIVE_BEFORE, copy, PAGE_SIZE);
    return !cpu->direct->pure && sensitive_holds_instruction(&window) ? VERDICT_SENSITIVE
                                                                      : VERDICT_SAFE;
}

const u8 *direct_copy_of_code(void *context, gva_t gva, gpa_t gpa)
{
    struct cpu *cpu = context;
    struct code_page *page = code_page_hold(cpu, gpa);

    if (!page) {
        return NULL;
    }
    u8 *copy = cpu->direct->copies[page - cpu->exec->pages];
    if (page->note == VERDICT_NONE) {
        memcpy(copy, mem_ptr(cpu->mmu.mem, gpa & PAGE_MASK), PAGE_SIZE);
        page->note = judge(cpu, gva & PAGE_MASK, copy);
    }
    return page->note == VERDICT_SAFE ? copy : NULL;
}

bool direct_may_join(void *context, const u8 *page, const u8 *next)
{
    (void)context;
    return !sensitive_joins_pkru(page, next);
}

void direct_let_go(void *context, gpa_t gpa)
{
    code_drop(context, gpa & PAGE_MASK, PAGE_SIZE);
    code_drop(context, gpa & PAGE_MASK, PAGE_SIZE); /* and now let go */
}

/* ------------------------------------------------------------------ traps */

static void interpret_one(struct cpu *cpu)
{
    cpu->direct->stats.instructions++;
    interpret_execute(cpu, cpu->icount + 1);
}

/* Instructions are counted, and have to end at the limit exactly? */
static bool are_counted(u64 limit)
{
    return limit != UINT64_MAX;
}

static void interpret_chunk(struct cpu *cpu, u64 limit)
{
    u64 until = cpu->icount + CHUNK_INSTRUCTIONS;

    if (are_counted(limit)) {
        interpret_execute(cpu, until < limit ? until : limit);
    } else {
        interpret_some(cpu, CHUNK_INSTRUCTIONS);
    }
}

/* In a page that may not run itself: until it is left, or something else has to be looked at. */
static void interpret_page(struct cpu *cpu, u64 limit)
{
    gva_t page = cpu->rip & PAGE_MASK;

    cpu->direct->stats.instructions++;
    do {
        interpret_chunk(cpu, limit);
    } while ((cpu->rip & PAGE_MASK) == page && cpu->direct->can_run(cpu) && cpu->icount < limit &&
             !interpret_must_return(cpu));
}

/* The same fault again, though what it missed was filled, and nothing was dropped since? */
static bool repeats(struct cpu *cpu)
{
    struct direct *d = cpu->direct;

    if (d->last_rip != cpu->rip || d->last_address != d->trap.address ||
        d->last_drops != d->mirror.stats.drops) {
        d->last_rip = cpu->rip;
        d->last_address = d->trap.address;
        d->last_drops = d->mirror.stats.drops;
        d->repeats = 0;
        return false;
    }
    return ++d->repeats >= REPEATS_MAX;
}

static enum mirror_result fill_mirror(struct cpu *cpu, unsigned access, u32 *error)
{
    struct direct *d = cpu->direct;
    enum mirror_result result;

    if (repeats(cpu)) {
        return MIRROR_REFUSED;
    }
    result = mirror_fill(&d->mirror, &cpu->mmu.paging, d->trap.address, access, error);
    if (result != MIRROR_FILLED) {
        d->repeats = 0;
    }
    d->last_drops = d->mirror.stats.drops; /* not those that filling itself made */
    return result;
}

static void page_fault(struct cpu *cpu, u64 limit)
{
    struct direct *d = cpu->direct;
    unsigned access = d->trap.access | access_privilege(cpu);
    u32 error;

    d->stats.page_faults++;
    switch (fill_mirror(cpu, access, &error)) {
    case MIRROR_FILLED:
        d->filled = true;
        break;
    case MIRROR_FAULT:
        cpu->mmu.fault.gva = d->trap.address;
        cpu->mmu.fault.error = error;
        cpu_raise_page_fault(cpu);
        break;
    case MIRROR_REFUSED:
        if (access & ACCESS_FETCH && (d->trap.address ^ cpu->rip) < PAGE_SIZE) {
            interpret_page(cpu, limit);
        } else {
            interpret_one(cpu);
        }
        break;
    }
}

/* Back to the instruction: which one it was, its last byte tells. */
static void back_to_breakpoint(struct cpu *cpu)
{
    u8 last = 0;

    if (mmu_read(&cpu->mmu, cpu->rip - 1, &last, 1, access_privilege(cpu))) {
        cpu->rip -= last == 0xcc || last == 0xf1 || last == 0xce ? 1 : 2;
    }
}

static void handle(struct cpu *cpu, u64 limit)
{
    struct direct *d = cpu->direct;

    switch ((enum direct_trap_kind)d->trap.kind) {
    case DIRECT_INTERRUPT:
        break;
    case DIRECT_STEPPED:
        cpu->icount++;
        break;
    case DIRECT_PAGE_FAULT:
        page_fault(cpu, limit);
        break;
    case DIRECT_SYSCALL:
        d->stats.syscalls++;
        if (d->trap.address) { /* the host has done its RET already */
            cpu->gpr[RSP] -= 8;
            cpu->rip = d->trap.address;
        } else {
            cpu->rip -= 2;
        }
        interpret_one(cpu);
        break;
    case DIRECT_BREAKPOINT:
        back_to_breakpoint(cpu);
        interpret_one(cpu);
        break;
    case DIRECT_TRACED:
        cpu_raise_debug(cpu, DR6_BS);
        break;
    case DIRECT_INSTRUCTION:
        interpret_one(cpu);
        break;
    }
}

/* ------------------------------------------------------------------ running */

/* From here to end_running() whoever raises attention sends a signal as well. */
static bool begin_running(struct cpu *cpu)
{
    u32 nothing = ATTENTION_NONE;

    return atomic_compare_exchange_strong(&cpu->inbox->attention, &nothing, ATTENTION_SIGNAL);
}

static void end_running(struct cpu *cpu)
{
    u32 running = ATTENTION_SIGNAL;

    atomic_compare_exchange_strong(&cpu->inbox->attention, &running, ATTENTION_NONE);
}

/* Privilege decides what the mirror may hold; where supervisor code runs in it, too, nothing stays
 * when that changes. */
static void enter_privilege(struct cpu *cpu)
{
    struct direct *d = cpu->direct;
    unsigned privilege = access_privilege(cpu);

    if (d->privilege != privilege) {
        d->privilege = privilege;
        mirror_flush_all(&d->mirror);
    }
}

/* The instruction at rIP, if it can be read. */
static bool peek(struct cpu *cpu, struct insn *insn)
{
    u8 bytes[INSN_MAX_LENGTH];

    return (cpu->rip & ~PAGE_MASK) <= PAGE_SIZE - INSN_MAX_LENGTH &&
           mmu_read(&cpu->mmu, cpu->rip, bytes, sizeof(bytes), access_privilege(cpu)) &&
           insn_decode(insn, cpu->code_mode, bytes, sizeof(bytes)) == INSN_OK;
}

/* Has a step stored the host's TF into the guest's memory?  Then take it out. */
static void clear_pushed_tf(struct cpu *cpu)
{
    gva_t at = (cpu->gpr[RSP] & cpu->stack_mask) + 1; /* TF is in the second byte */
    u8 byte;

    if (mmu_read(&cpu->mmu, at, &byte, 1, access_privilege(cpu))) {
        byte &= (u8) ~(RFLAGS_TF >> 8);
        mmu_write(&cpu->mmu, at, &byte, 1, access_privilege(cpu));
    }
}

/* MOV SS and POP SS: the trap comes after the instruction that follows. */
static bool loads_ss(const struct insn *insn)
{
    return (insn->id == INSN_MOV_SEG || insn->id == INSN_POP_SEG) &&
           insn->op[0].kind == OPERAND_REG && insn->op[0].class == REG_SEGMENT &&
           insn->op[0].reg == SEG_SS;
}

/* Can the host's CPU step through the instruction at rIP, for who counts them?  Not through a
 * repeated one: it would trap after each iteration.  The time is not let trap for one step. */
static bool can_step(struct cpu *cpu, struct insn *insn)
{
    return peek(cpu, insn) && !insn->rep && !loads_ss(insn) && insn->id != INSN_RDTSC &&
           insn->id != INSN_RDTSCP;
}

/* After a step from `rip`.  The host's kernel performs SGDT and its like itself where the host has
 * UMIP, and steps on: two instructions are done then. */
static bool has_stepped_twice(const struct cpu *cpu, const struct insn *insn, u64 rip)
{
    bool is_umips = insn->id == INSN_SGDT || insn->id == INSN_SIDT || insn->id == INSN_SLDT ||
                    insn->id == INSN_SMSW || insn->id == INSN_STR;

    return is_umips && cpu->rip != rip + insn->length;
}

static void run_once(struct cpu *cpu, u64 limit)
{
    struct direct *d = cpu->direct;
    bool step = are_counted(limit);
    u64 start_ns;
    struct insn insn;
    u64 rip = cpu->rip;

    if (d->pure) {
        enter_privilege(cpu);
    }
    if (coherence_poll(cpu)) {
        code_flush(cpu);
    }
    mirror_enter(&d->mirror, &cpu->mmu.paging);
    if (step && !can_step(cpu, &insn)) {
        interpret_one(cpu);
        return;
    }
    if (!begin_running(cpu)) {
        return;
    }
    d->stats.entries++;
    start_ns = clock_host_ns(cpu->clock);
    d->host.enter(d->host.context, cpu, step);
    d->run_ns = clock_host_ns(cpu->clock) - start_ns;
    end_running(cpu);
    if (step && d->trap.kind == DIRECT_STEPPED) {
        if (insn.id == INSN_PUSHF) {
            clear_pushed_tf(cpu);
        }
        cpu->icount += has_stepped_twice(cpu, &insn, rip);
    }
    handle(cpu, limit);
}

/* User code is interpreted for as long as patience lasts, and then run. */
static void run_patiently(struct cpu *cpu)
{
    struct direct *d = cpu->direct;
    u64 before = cpu->icount, wanted;

    patience_enter(&d->patience, cpu->mmu.paging.cr3 & PAGE_MASK);
    wanted = patience_left(&d->patience);
    if (wanted) {
        interpret_some(cpu, wanted);
        patience_interpreted(&d->patience, cpu->icount - before);
        return;
    }
    mirror_enter(&d->mirror, &cpu->mmu.paging);
    patience_take(&d->patience, d->mirror.stats.drops);
    d->run_ns = 0;
    d->filled = false;
    run_once(cpu, UINT64_MAX);
    patience_ran(&d->patience, d->run_ns, d->filled, d->mirror.stats.drops);
}

/* What may not run now: the one instruction after STI, say, or all in a mode that the host's CPU
 * cannot be in. */
static void interpret_meanwhile(struct cpu *cpu, u64 limit)
{
    if (cpu->interrupt_shadow || cpu->direct->pure) {
        interpret_execute(cpu, cpu->icount + 1);
    } else {
        interpret_chunk(cpu, limit);
    }
}

/* Patience is no matter where instructions are counted, nor in virtual time: what runs where should
 * not depend on how quick the host is. */
void direct_execute_user(struct cpu *cpu, u64 limit, bool at_once)
{
    bool patiently = !at_once && !are_counted(limit) && !cpu->clock->icount;

    cpu->direct->can_run = runnable_as_is;
    cpu->direct->mirror.user_only = true;
    do {
        if (!cpu->direct->can_run(cpu)) {
            interpret_meanwhile(cpu, limit);
        } else if (patiently) {
            run_patiently(cpu);
        } else {
            run_once(cpu, limit);
        }
    } while (!interpret_must_return(cpu) && cpu->icount < limit && cpu->cpl == 3);
    cpu->stats.instructions = cpu->icount;
}

void direct_leave_user(struct cpu *cpu)
{
    patience_leave(&cpu->direct->patience);
}

void direct_execute_all(struct cpu *cpu, u64 limit)
{
    cpu->direct->can_run = runnable_if_mapped;
    cpu->direct->pure = true;
    bool user = cpu->cpl == 3; /* who leaves user mode, or enters it, comes back to the run loop */
    do {
        if (cpu->direct->can_run(cpu)) {
            run_once(cpu, limit);
        } else {
            interpret_meanwhile(cpu, limit);
        }
    } while (!interpret_must_return(cpu) && cpu->icount < limit && (cpu->cpl == 3) == user &&
             !(cpu->rip >> 63));
    cpu->stats.instructions = cpu->icount;
}
