/*
 * code.c - the interpreter's code cache: finding, building and dropping straight lines.
 */
#include "exec/interpret/code.h"

#include "base/string.h"
#include "exec/interpret/coherence.h"

#define NONE 0 /* in the 32-bit links, which are an index + 1 */

static u64 hash(u64 key)
{
    return (key * 0x9e3779b97f4a7c15ull) >> 40;
}

/* ------------------------------------------------------------------ context */

/* All that the ops of one line of bytes depend on: the code segment's size, and whether there is a
 * protected mode (some instructions are undefined in real and virtual-8086 mode). */
static unsigned decode_mode(const struct cpu *cpu)
{
    return cpu->code_mode | (cpu->real_mode || cpu->v86_mode ? 4 : 0);
}

void code_update_context(struct cpu *cpu)
{
    struct exec *x = cpu->exec;
    const struct segment *cs = &cpu->seg[SEG_CS];

    if (x->mmu_epoch != cpu->mmu.epoch || x->cs_base != cs->base || x->cs_limit != cs->limit) {
        x->mmu_epoch = cpu->mmu.epoch;
        x->cs_base = cs->base;
        x->cs_limit = cs->limit;
        x->epoch++;
    }
    x->context = (x->epoch << 4) | ((u64)decode_mode(cpu) << 1) | (cpu->cpl == 3);
}

/* ------------------------------------------------------------------ tables */

static struct line *find_line(struct exec *x, u64 key)
{
    for (u32 i = x->line_bucket[hash(key) % LINE_BUCKETS]; i != NONE;) {
        struct line *line = &x->lines[i - 1];
        if (line->key == key) {
            return line;
        }
        i = line->next_in_bucket;
    }
    return NULL;
}

static struct code_page *find_page(struct exec *x, gfn_t gfn)
{
    for (u32 i = x->page_bucket[hash(gfn) % PAGE_BUCKETS]; i != NONE;) {
        struct code_page *page = &x->pages[i - 1];
        if (page->gfn == gfn) {
            return page;
        }
        i = page->next_in_bucket;
    }
    return NULL;
}

static struct code_page *add_page(struct exec *x, gfn_t gfn)
{
    if (x->page_used == PAGE_POOL) {
        return NULL;
    }
    struct code_page *page = &x->pages[x->page_used++];
    u32 *bucket = &x->page_bucket[hash(gfn) % PAGE_BUCKETS];
    *page = (struct code_page){.gfn = gfn, .next_in_bucket = *bucket};
    *bucket = x->page_used;
    return page;
}

static struct line *add_line(struct exec *x, u64 key, struct code_page *page)
{
    if (x->line_used == LINE_POOL) {
        return NULL;
    }
    struct line *line = &x->lines[x->line_used++];
    u32 *bucket = &x->line_bucket[hash(key) % LINE_BUCKETS];
    *line = (struct line){.key = key, .next_in_bucket = *bucket, .next_in_page = page->first_line};
    *bucket = x->line_used;
    page->first_line = x->line_used;
    return line;
}

void code_flush(struct cpu *cpu)
{
    struct exec *x = cpu->exec;

    for (u32 i = 0; i < x->page_used; i++) {
        if (x->pages[i].held) {
            coherence_release(cpu, x->pages[i].gfn << PAGE_SHIFT);
        }
    }
    if (cpu->mmu.mirror) {
        mirror_flush_all(cpu->mmu.mirror);
    }
    memset(x->jump, 0, sizeof(x->jump));
    memset(x->line_bucket, 0, sizeof(x->line_bucket));
    memset(x->page_bucket, 0, sizeof(x->page_bucket));
    x->op_used = x->line_used = x->page_used = 0;
    x->link = NULL;
    x->flush_wanted = false;
    if (thunk_cache_is_low(&x->thunks)) {
        thunk_cache_empty(&x->thunks);
    }
    cpu->stats.code_flushes++;
}

/* ------------------------------------------------------------------ building */

static void end_line(struct op *op, unsigned offset)
{
    *op = (struct op){.fn = op_end, .offset = (u16)offset};
}

/* Decode the instruction at offset in the page at hva into *op.  False: it cannot be in a line. */
static bool build_op(struct cpu *cpu, const u8 *hva, unsigned offset, struct insn *insn,
                     struct op *op)
{
    u8 bytes[INSN_MAX_LENGTH]; /* another vCPU may store there meanwhile */
    unsigned room = PAGE_SIZE - offset < sizeof(bytes) ? PAGE_SIZE - offset : sizeof(bytes);

    memcpy(bytes, hva + offset, room);
    return insn_decode(insn, cpu->code_mode, bytes, room) == INSN_OK && /* and in this page */
           prepare_op(cpu, insn, offset, op);
}

/* Decode from offset in the page at hva until the line ends, into the pool's next ops.  op_count is
 * 0 if not even the first instruction can be in a line. */
static void build(struct cpu *cpu, struct line *line, const u8 *hva, unsigned offset)
{
    struct exec *x = cpu->exec;
    struct op *ops = &x->ops[x->op_used];
    unsigned count = 0;
    bool ended = false;

    line->start = (u16)offset;
    while (!ended && offset < PAGE_SIZE) {
        unsigned looks = debugger_has_offset(cpu->debugger.list, offset);
        struct insn insn;
        if (count + looks >= LINE_OPS || !build_op(cpu, hva, offset, &insn, &ops[count + looks])) {
            break;
        }
        if (looks) {
            ops[count] = (struct op){.fn = op_look, .offset = (u16)offset};
        }
        ended = prepare_ends_line(&insn);
        offset += insn.length;
        count += 1 + looks;
    }
    end_line(&ops[count], offset);
    line->ops = ops;
    line->end = (u16)(offset - 1);
    line->op_count = (u16)count;
    cpu->stats.decodes += count;
}

/* The record of a page, which from then on has its stores seen: only then may its bytes be read. */
static struct code_page *watch_page(struct cpu *cpu, gpa_t gpa)
{
    struct code_page *page = find_page(cpu->exec, gpa >> PAGE_SHIFT);

    if (!page) {
        page = add_page(cpu->exec, gpa >> PAGE_SHIFT);
    }
    if (page && !page->held) {
        page->held = true;
        coherence_hold(cpu, gpa & PAGE_MASK);
    }
    return page;
}

struct code_page *code_page_hold(struct cpu *cpu, gpa_t gpa)
{
    struct code_page *page = watch_page(cpu, gpa);

    if (!page) {
        cpu->exec->flush_wanted = true;
    }
    return page;
}

/* A new line at gpa, or NULL. */
static struct line *build_line(struct cpu *cpu, u64 key, gpa_t gpa, const u8 *hva)
{
    struct exec *x = cpu->exec;
    struct code_page *page = watch_page(cpu, gpa);
    struct line built;

    if (!page || x->op_used + LINE_OPS + 1 > OP_POOL) {
        x->flush_wanted = true;
        return NULL;
    }
    build(cpu, &built, hva - (gpa & ~PAGE_MASK), gpa & ~PAGE_MASK);
    if (!built.op_count) {
        return NULL;
    }
    struct line *line = add_line(x, key, page);
    if (!line) {
        x->flush_wanted = true;
        return NULL;
    }
    x->op_used += built.op_count + 1;
    line->ops = built.ops;
    line->start = built.start;
    line->end = built.end;
    line->op_count = built.op_count;
    return line;
}

/* ------------------------------------------------------------------ finding */

/* Outside 64-bit mode a line is used only in a page that lies wholly within the limit of CS (and
 * for 16-bit code within 64 KiB), so that no op has to check either. */
static bool page_within_limit(const struct cpu *cpu, u64 linear)
{
    if (cpu->code_mode == INSN_MODE_64) {
        return bits_sign_extend(cpu->rip, 48) == cpu->rip;
    }
    u64 offset = linear & ~PAGE_MASK;
    u64 last = cpu->rip - offset + PAGE_SIZE - 1;
    return cpu->rip >= offset && last <= cpu->seg[SEG_CS].limit &&
           (cpu->code_mode != INSN_MODE_16 || last <= 0xffff);
}

gva_t code_linear_rip(const struct cpu *cpu)
{
    return cpu->code_mode == INSN_MODE_64 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip);
}

const struct op *code_find(struct cpu *cpu)
{
    struct exec *x = cpu->exec;
    struct jump *jump = code_jump_slot(x, cpu->rip);
    u64 linear = code_linear_rip(cpu);
    gpa_t gpa;
    u8 *hva;

    if (jump->rip == cpu->rip && jump->context == x->context && jump->op->fn != op_stale) {
        cpu->gpr[GPR_CODE] = jump->code_base;
        return jump->op;
    }
    if (!page_within_limit(cpu, linear) ||
        !mmu_fetch(&cpu->mmu, linear, cpu->cpl == 3 ? ACCESS_USER : 0, &gpa, &hva) || !hva) {
        return NULL;
    }
    u64 key = gpa | ((u64)decode_mode(cpu) << 60);
    struct line *line = find_line(x, key);
    if (!line) {
        line = build_line(cpu, key, gpa, hva);
    }
    if (!line) {
        return NULL;
    }
    cpu->gpr[GPR_CODE] = cpu->rip - (linear & ~PAGE_MASK);
    *jump = (struct jump){cpu->rip, x->context, line->ops, cpu->gpr[GPR_CODE]};
    return line->ops;
}

/* ------------------------------------------------------------------ one alone */

/* Up to 15 bytes at rIP, as many as can be fetched before a fault or the end of the segment.  Where
 * nothing answers on the bus the bytes are all ones.  True in *faulted: mmu.fault is set. */
static unsigned fetch_bytes(struct cpu *cpu, u8 *bytes, bool *faulted)
{
    unsigned access = cpu->cpl == 3 ? ACCESS_USER : 0, have = 0;
    u64 linear = code_linear_rip(cpu), room = INSN_MAX_LENGTH;

    *faulted = false;
    if (cpu->code_mode != INSN_MODE_64) {
        u64 limit = cpu->seg[SEG_CS].limit;
        room = cpu->rip > limit ? 0 : limit - cpu->rip + 1;
    } else if (bits_sign_extend(cpu->rip, 48) != cpu->rip) {
        room = 0;
    }
    room = room < INSN_MAX_LENGTH ? room : INSN_MAX_LENGTH;
    while (have < room) {
        gva_t gva = linear + have;
        unsigned piece = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
        gpa_t gpa;
        u8 *hva;
        piece = piece < room - have ? piece : (unsigned)room - have;
        gva = cpu->code_mode == INSN_MODE_64 ? gva : (u32)gva;
        if (!mmu_fetch(&cpu->mmu, gva, access, &gpa, &hva)) {
            *faulted = true;
            break;
        }
        if (hva) {
            memcpy(bytes + have, hva, piece);
        } else {
            memset(bytes + have, 0xff, piece);
        }
        have += piece;
    }
    return have;
}

const struct op *code_fetch_one(struct cpu *cpu)
{
    struct exec *x = cpu->exec;
    struct insn insn;
    u8 bytes[INSN_MAX_LENGTH] = {0};
    bool faulted;
    unsigned have = fetch_bytes(cpu, bytes, &faulted);

    switch (insn_decode(&insn, cpu->code_mode, bytes, have)) {
    case INSN_OK:
        break;
    case INSN_SHORT:
        if (faulted) {
            cpu_raise_page_fault(cpu);
        } else {
            cpu_raise_gp0(cpu);
        }
        return NULL;
    case INSN_TOO_LONG:
        cpu_raise_gp0(cpu);
        return NULL;
    case INSN_UNDEFINED:
        cpu_raise(cpu, VECTOR_UD);
        return NULL;
    }
    unsigned offset = code_linear_rip(cpu) & ~PAGE_MASK;
    if (!prepare_op(cpu, &insn, offset, &x->alone[0])) {
        cpu_raise(cpu, VECTOR_UD);
        return NULL;
    }
    end_line(&x->alone[1], offset + insn.length);
    cpu->gpr[GPR_CODE] = cpu->rip - offset;
    return &x->alone[0];
}

/* ------------------------------------------------------------------ stores into code */

/* Take a line out of its bucket, so that a page that is rewritten again and again does not leave a
 * long chain behind. */
static void unlink_line(struct exec *x, const struct line *line)
{
    u32 index = (u32)(line - x->lines) + 1;
    u32 *link = &x->line_bucket[hash(line->key) % LINE_BUCKETS];

    while (*link != index) {
        link = &x->lines[*link - 1].next_in_bucket;
    }
    *link = line->next_in_bucket;
}

static void make_stale(struct exec *x, struct line *line)
{
    unlink_line(x, line);
    for (unsigned i = 0; i < line->op_count; i++) {
        line->ops[i].fn = op_stale;
    }
}

/* What was noted of a page's bytes is true no longer. */
static void drop_note(struct cpu *cpu, struct code_page *page)
{
    if (page->note) {
        page->note = 0;
        if (cpu->mmu.mirror) {
            mirror_revoke(cpu->mmu.mirror, page->gfn << PAGE_SHIFT, MIRROR_EXECUTE);
        }
    }
}

void code_drop(struct cpu *cpu, gpa_t gpa, unsigned size)
{
    struct exec *x = cpu->exec;
    struct code_page *page = find_page(x, gpa >> PAGE_SHIFT);
    unsigned first = gpa & ~PAGE_MASK, last = first + size - 1;

    if (!page || !page->held) {
        return;
    }
    if (page->first_line == NONE && !page->note) { /* nothing came after the last store */
        page->held = false;
        coherence_release(cpu, gpa);
        return;
    }
    drop_note(cpu, page);
    for (u32 *link = &page->first_line; *link != NONE;) {
        struct line *line = &x->lines[*link - 1];
        if (line->start <= last && line->end >= first) {
            make_stale(x, line);
            *link = line->next_in_page;
        } else {
            link = &line->next_in_page;
        }
    }
}

void code_written(struct cpu *cpu, gpa_t gpa, unsigned size)
{
    const struct code_page *page = find_page(cpu->exec, gpa >> PAGE_SHIFT);

    coherence_stored(cpu, gpa, size, page && page->held);
    code_drop(cpu, gpa, size);
}
