/* compare.c - see compare.h. */
#include "compare.h"

#include <string.h>

#include "cpu/cpu.h"
#include "state.h"

#define MXCSR_MM      (1u << 17)
#define TASK_SIZE_MAX 0x7ffffffff000ull /* Linux's: from here on no program has anything */

/* What may differ in this case. */
struct tolerance {
    unsigned open; /* OPEN_* */
    u64 flags;
    u64 gpr[16]; /* bits */
    u64 words;   /* bits of each word that memory has changed to */
};

/* ------------------------------------------------------------------ what is open */

static void open_registers(struct tolerance *t, const struct insn *insn, u64 bits)
{
    const struct operand *to = &insn->op[0];

    if (t->open & OPEN_RESULTS) {
        t->gpr[RAX] = t->gpr[RBX] = t->gpr[RCX] = t->gpr[RDX] = 0xffffffff;
    }
    if (t->open & OPEN_DESTINATION && to->kind == OPERAND_REG && to->class == REG_GPR) {
        t->gpr[to->reg] = bits & bits_mask(to->size * 8);
    }
    t->words = t->open & OPEN_WORDS ? bits : 0;
}

/* is_exception: both sides met one at the instruction itself. */
static struct tolerance tolerance(const struct comparison *k, const struct diff_case *c,
                                  bool is_exception)
{
    struct tolerance t = {.flags = c->kind == CASE_SEQUENCE ? RFLAGS_RF : 0};
    struct insn insn;
    u64 bits;

    enum insn_result result = insn_decode(&insn, c->mode, c->code, c->code_size);
    if (result == INSN_TOO_LONG && differences_any(insn.id, k->vendor)) {
        t.open = OPEN_CASE; /* it may be shorter elsewhere */
    }
    if (c->kind == CASE_SINGLE && result == INSN_OK) {
        t.open = differences_of(&insn, c, k->vendor, &bits, k->used);
        t.flags |= is_exception ? 0 : insn_row(&insn)->flags_undefined;
        t.flags |= t.open & OPEN_RF ? RFLAGS_RF : 0;
        t.flags |= t.open & OPEN_FLAGS ? RFLAGS_ARITHMETIC : 0;
        open_registers(&t, &insn, bits);
    }
    return t;
}

/* ------------------------------------------------------------------ parts */

/* Linux says of an address beyond any program's that there is a page, whatever there is. */
static bool same_exception(const struct outcome *host, const struct outcome *guest)
{
    u32 ignored = host->vector == VECTOR_PF && host->cr2 >= TASK_SIZE_MAX ? PF_PRESENT : 0;

    return host->vector == guest->vector && !((host->error ^ guest->error) & ~ignored);
}

static bool same_general(const struct diff_case *c, const struct tolerance *t,
                         const struct outcome *host, const struct outcome *guest)
{
    /* Outside 64-bit mode, and so after a change to another, nobody sees the upper halves. */
    bool is64 = c->mode == INSN_MODE_64 && host->after.cs == USER_CODE64;
    u64 mask = is64 ? ~0ull : 0xffffffff;

    for (unsigned i = 0; i < (c->mode == INSN_MODE_64 ? 16 : 8); i++) {
        if ((host->after.gpr[i] ^ guest->after.gpr[i]) & mask & ~t->gpr[i]) {
            return false;
        }
    }
    return true;
}

/* The kernel's way to the handler makes null selectors of any RPL 0. */
static bool same_selector(u64 a, u64 b)
{
    return a == b || (a <= 3 && b <= 3);
}

static bool same_segments(const struct outcome *host, const struct outcome *guest)
{
    const struct registers *h = &host->after, *g = &guest->after;

    return h->cs == g->cs && h->ss == g->ss && same_selector(h->ds, g->ds) &&
           same_selector(h->es, g->es) && same_selector(h->fs, g->fs) &&
           same_selector(h->gs, g->gs);
}

static bool same_bases(const struct diff_case *c, const struct outcome *host,
                       const struct outcome *guest)
{
    const struct registers *h = &host->after, *g = &guest->after;

    return c->mode != INSN_MODE_64 || h->fs || h->gs ||
           (h->fs_base == g->fs_base && h->gs_base == g->gs_base);
}

/* Which instruction was the last?  AMD's CPUs say so only while an exception is pending, and how
 * wide the pointers are is the processor's. */
static bool same_pointers(const struct fpu_area *a, const struct fpu_area *b)
{
    u64 mask = bits_mask(48);

    return !(a->fsw & FSW_ES) ||
           (a->fop == b->fop && !((a->fip ^ b->fip) & mask) && !((a->fdp ^ b->fdp) & mask));
}

static bool same_x87(const struct fpu_area *a, const struct fpu_area *b)
{
    return a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && same_pointers(a, b) &&
           !memcmp(a->st, b->st, sizeof(a->st));
}

static bool same_vectors(const struct fpu_area *a, const struct fpu_area *b)
{
    return !memcmp(a->xmm, b->xmm, sizeof(a->xmm)) &&
           !memcmp(a->ymm_high, b->ymm_high, sizeof(a->ymm_high));
}

static bool same_memory(const struct outcome *host, const struct outcome *guest, u64 ignored)
{
    if (host->changes != guest->changes || host->rest != guest->rest) {
        return false;
    }
    for (unsigned i = 0; i < host->changes && i < CASE_CHANGES; i++) {
        const struct change *a = &host->change[i], *b = &guest->change[i];
        if (a->offset != b->offset || (a->value ^ b->value) & ~ignored) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ all of it */

static const char *compare_fpu(const struct outcome *host, const struct outcome *guest)
{
    struct fpu_area h = host->fpu, g = guest->fpu;

    state_normalize(&h);
    state_normalize(&g);
    if (!same_x87(&h, &g)) {
        return "x87 state";
    }
    if (h.mxcsr != g.mxcsr) {
        return "MXCSR";
    }
    return same_vectors(&h, &g) ? NULL : "a vector register";
}

static const char *compare_state(const struct diff_case *c, const struct tolerance *t,
                                 const struct outcome *host, const struct outcome *guest)
{
    u64 mask = c->mode == INSN_MODE_64 ? ~0ull : 0xffffffff;

    if (!same_general(c, t, host, guest)) {
        return "a general register";
    }
    if ((host->after.rip ^ guest->after.rip) & mask) {
        return "rIP";
    }
    u64 rf = host->vector == VECTOR_DB || host->vector == VECTOR_BP ? 0 : RFLAGS_RF;
    if ((host->after.flags ^ guest->after.flags) & ~(t->flags | rf)) {
        return "flags";
    }
    if (!same_segments(host, guest)) {
        return "a segment register";
    }
    if (!same_bases(c, host, guest)) {
        return "the base of FS or GS";
    }
    if (!(t->open & OPEN_MEMORY) && !same_memory(host, guest, t->words)) {
        return "memory";
    }
    return compare_fpu(host, guest);
}

/* From 64-bit code to other code or back, with a stack on which it matters whether the old mode or
 * the new one governs it. */
static bool is_new_stack(const struct diff_case *c, const struct outcome *host,
                         const struct outcome *guest)
{
    bool leaves = host->after.cs != USER_CODE64 || guest->after.cs != USER_CODE64;
    bool enters = host->after.cs == USER_CODE64 || guest->after.cs == USER_CODE64;

    return c->mode == INSN_MODE_64 ? leaves && c->before.gpr[RSP] >> 32
                                   : enters && c->before.ss != USER_DATA;
}

/* Did it end at its first instruction?  (One that leads to itself may do so in another segment.) */
static bool stays(const struct diff_case *c, const struct outcome *o)
{
    return segment_of_ldt(o->after.cs) + o->after.rip == case_start(c) && o->vector != VECTOR_BP;
}

static bool is_memory_fault(const struct diff_case *c, const struct outcome *o)
{
    return stays(c, o) && (o->vector == VECTOR_PF || o->vector == VECTOR_SS ||
                           o->vector == VECTOR_GP || o->vector == VECTOR_AC);
}

/* Has the host loaded MXCSR's bit 17, which only AMD's have? */
static bool has_misaligned_mode(const struct outcome *host)
{
    return host->fpu.mxcsr & MXCSR_MM;
}

/* Has a hypervisor a part of the upper half for itself? */
static bool is_hidden_half(const struct outcome *host, const struct outcome *guest)
{
    return host->vector == VECTOR_GP && guest->vector == VECTOR_PF && guest->cr2 >= TASK_SIZE_MAX;
}

/* Has an instruction, which should have been the only one, written over what follows it, or jumped
 * into itself?  Then others were executed that nobody has looked at. */
static bool goes_astray(const struct diff_case *c, const struct outcome *guest)
{
    u64 start = case_start(c), end = segment_of_ldt(guest->after.cs) + guest->after.rip;

    return c->kind == CASE_SINGLE &&
           (guest->code_changed || (end > start && end < start + c->code_size));
}

/* Do the rules say that this case cannot be compared? */
static bool is_open(const struct diff_case *c, const struct tolerance *t,
                    const struct outcome *host, const struct outcome *guest)
{
    bool both_stay = stays(c, host) && stays(c, guest);
    bool memory = is_memory_fault(c, host) || is_memory_fault(c, guest);

    return t->open & OPEN_CASE || (t->open & OPEN_EXCEPTION && both_stay) ||
           (t->open & OPEN_FAULT && memory) || is_new_stack(c, host, guest) ||
           has_misaligned_mode(host) || is_hidden_half(host, guest) || goes_astray(c, guest);
}

bool compare_possible(const struct comparison *k, const struct diff_case *c)
{
    return !(tolerance(k, c, false).open & OPEN_CASE);
}

const char *compare_outcomes(struct comparison *k, const struct diff_case *c,
                             const struct outcome *host, const struct outcome *guest)
{
    bool both_stay = stays(c, host) && stays(c, guest);
    struct tolerance t = tolerance(k, c, both_stay);

    k->hidden = c->kind == CASE_UNDEFINED && guest->vector == VECTOR_UD && stays(c, guest) &&
                !(host->vector == VECTOR_UD && stays(c, host));
    k->once = t.open & OPEN_ONCE;
    k->not_compared = k->hidden || is_open(c, &t, host, guest);
    if (k->not_compared) {
        return NULL;
    }
    if (!same_exception(host, guest)) {
        return "the exception";
    }
    if (host->cr2 != guest->cr2) {
        return "CR2";
    }
    return both_stay && t.open & OPEN_PARTIAL ? NULL : compare_state(c, &t, host, guest);
}
