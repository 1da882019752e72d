/*
 * string.c - MOVS STOS LODS CMPS SCAS, alone and repeated.
 *
 * A repeated one works through whole pieces of pages where both lie in plain RAM and the direction
 * is up; otherwise element by element.  It can be interrupted between two elements: registers say
 * how far it has come, and it is then executed again.
 */
#include "base/string.h"
#include "exec/interpret/code.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"

/* op->size is the element's, op->aux the address size, op->imm the prefix: */
enum { ONCE = 0, REPEAT = 0xf3, REPEAT_NOT = 0xf2 };

/* How many elements at most between two looks at attention. */
#define SLICE 4096

static u64 address_mask(const struct op *op)
{
    return bits_mask(op->aux * 8);
}

static void advance(struct cpu *cpu, const struct op *op, unsigned reg, u64 elements)
{
    u64 mask = address_mask(op), bytes = elements * op->size;
    u64 value = (cpu->rflags & RFLAGS_DF ? cpu->gpr[reg] - bytes : cpu->gpr[reg] + bytes) & mask;

    cpu->gpr[reg] = op->aux == 2 ? (cpu->gpr[reg] & ~mask) | value : value;
}

static u64 count_left(const struct cpu *cpu, const struct op *op)
{
    return cpu->gpr[RCX] & address_mask(op);
}

static void count_down(struct cpu *cpu, const struct op *op, u64 elements)
{
    u64 mask = address_mask(op), value = (cpu->gpr[RCX] - elements) & mask;

    cpu->gpr[RCX] = op->aux == 2 ? (cpu->gpr[RCX] & ~mask) | value : value;
}

ALWAYS_INLINE bool load_at(struct cpu *cpu, const struct op *op, unsigned segment, unsigned reg,
                           u64 *value)
{
    gva_t gva;

    if (!linear_address(cpu, segment, cpu->gpr[reg] & address_mask(op), op->size, ACCESS_READ,
                        &gva)) {
        return false;
    }
    return op->size == 1   ? load(cpu, segment, gva, 1, value)
           : op->size == 2 ? load(cpu, segment, gva, 2, value)
           : op->size == 4 ? load(cpu, segment, gva, 4, value)
                           : load(cpu, segment, gva, 8, value);
}

ALWAYS_INLINE bool store_at(struct cpu *cpu, const struct op *op, u64 value)
{
    gva_t gva;

    if (!linear_address(cpu, SEG_ES, cpu->gpr[RDI] & address_mask(op), op->size, ACCESS_WRITE,
                        &gva)) {
        return false;
    }
    return op->size == 1   ? store(cpu, SEG_ES, gva, 1, value)
           : op->size == 2 ? store(cpu, SEG_ES, gva, 2, value)
           : op->size == 4 ? store(cpu, SEG_ES, gva, 4, value)
                           : store(cpu, SEG_ES, gva, 8, value);
}

/* ------------------------------------------------------------------ one element */

/* Performs one element; false: an exception is pending and nothing has changed. */
typedef bool element_fn(struct cpu *cpu, const struct op *op);

APART bool movs(struct cpu *cpu, const struct op *op)
{
    u64 value;

    if (!load_at(cpu, op, op->segment, RSI, &value) || !store_at(cpu, op, value)) {
        return false;
    }
    advance(cpu, op, RSI, 1);
    advance(cpu, op, RDI, 1);
    return true;
}

APART bool stos(struct cpu *cpu, const struct op *op)
{
    if (!store_at(cpu, op, cpu->gpr[RAX])) {
        return false;
    }
    advance(cpu, op, RDI, 1);
    return true;
}

APART bool lods(struct cpu *cpu, const struct op *op)
{
    u64 value;

    if (!load_at(cpu, op, op->segment, RSI, &value)) {
        return false;
    }
    if (op->size < 4) {
        u64 mask = bits_mask(op->size * 8);
        cpu->gpr[RAX] = (cpu->gpr[RAX] & ~mask) | value;
    } else {
        cpu->gpr[RAX] = value;
    }
    advance(cpu, op, RSI, 1);
    return true;
}

static u16 compare(u64 a, u64 b, unsigned size)
{
    return size == 1   ? COMPARE(u8, a, b)
           : size == 2 ? COMPARE(u16, a, b)
           : size == 4 ? COMPARE(u32, a, b)
                       : COMPARE(u64, a, b);
}

APART bool cmps(struct cpu *cpu, const struct op *op)
{
    u64 a, b;

    if (!load_at(cpu, op, op->segment, RSI, &a) || !load_at(cpu, op, SEG_ES, RDI, &b)) {
        return false;
    }
    cpu->flags = compare(a, b, op->size);
    advance(cpu, op, RSI, 1);
    advance(cpu, op, RDI, 1);
    return true;
}

APART bool scas(struct cpu *cpu, const struct op *op)
{
    u64 b;

    if (!load_at(cpu, op, SEG_ES, RDI, &b)) {
        return false;
    }
    cpu->flags = compare(cpu->gpr[RAX], b, op->size);
    advance(cpu, op, RDI, 1);
    return true;
}

/* ------------------------------------------------------------------ pieces of pages */

static u64 min(u64 a, u64 b)
{
    return a < b ? a : b;
}

/* The host's memory at seg:reg, if it can be gone through upwards without a check for each element:
 * flat segment, plain RAM.  *room: bytes to the end of its page. */
static u8 *piece_at(struct cpu *cpu, const struct op *op, unsigned segment, unsigned reg,
                    unsigned access, u64 *room)
{
    const struct segment *s = &cpu->seg[segment];
    gva_t gva = cpu->gpr[reg] & address_mask(op);
    bool faulted;

    if (cpu->code_mode != INSN_MODE_64) {
        if (s->limit != 0xffffffff || op->aux == 2) {
            return NULL;
        }
        if (!linear_address(cpu, segment, gva, 1, access, &gva)) {
            cpu->fault.pending = false; /* the element will find the same */
            return NULL;
        }
    } else if (segment == SEG_FS || segment == SEG_GS) {
        gva += s->base;
    }
    *room = PAGE_SIZE - (gva & ~PAGE_MASK);
    if (op->aux != 8) { /* the offset wraps, in 64-bit mode perhaps within a page */
        *room = min(*room, address_mask(op) + 1 - (cpu->gpr[reg] & address_mask(op)));
    }
    if (cpu->single_step_needed || cpu->mmu.set == cpu->mmu.sets[TLB_UNCACHED] ||
        bits_sign_extend(gva, 48) != gva) {
        return NULL; /* each element is looked at, or trapped after */
    }
    u8 *p = access == ACCESS_WRITE ? tlb_write(&cpu->mmu, gva, 1) : tlb_read(&cpu->mmu, gva, 1);
    return p ? p : mmu_host(&cpu->mmu, gva, 1, access | access_privilege(cpu), &faulted);
}

static void fill(u8 *p, u64 value, unsigned size, u64 elements)
{
    switch (size) {
    case 1:
        __asm__ volatile("rep stosb" : "+D"(p), "+c"(elements) : "a"(value) : "memory");
        break;
    case 2:
        __asm__ volatile("rep stosw" : "+D"(p), "+c"(elements) : "a"(value) : "memory");
        break;
    case 4:
        __asm__ volatile("rep stosl" : "+D"(p), "+c"(elements) : "a"(value) : "memory");
        break;
    default:
        __asm__ volatile("rep stosq" : "+D"(p), "+c"(elements) : "a"(value) : "memory");
        break;
    }
}

/* Each returns how many elements it has done: 0 where it must be done by element. */
typedef u64 piece_fn(struct cpu *cpu, const struct op *op, u64 count);

APART u64 stos_piece(struct cpu *cpu, const struct op *op, u64 count)
{
    u64 room;
    u8 *p = piece_at(cpu, op, SEG_ES, RDI, ACCESS_WRITE, &room);
    u64 elements = p ? min(count, room / op->size) : 0;

    if (elements) {
        fill(p, cpu->gpr[RAX], op->size, elements);
        advance(cpu, op, RDI, elements);
    }
    return elements;
}

APART u64 movs_piece(struct cpu *cpu, const struct op *op, u64 count)
{
    u64 from_room, to_room;
    const u8 *from = piece_at(cpu, op, op->segment, RSI, ACCESS_READ, &from_room);
    u8 *to = from ? piece_at(cpu, op, SEG_ES, RDI, ACCESS_WRITE, &to_room) : NULL;
    u64 elements = to ? min(count, min(from_room, to_room) / op->size) : 0;

    if (!elements || (to > from && to < from + elements * op->size)) {
        return 0; /* overlapping so that elements are copied again */
    }
    memmove(to, from, elements * op->size);
    advance(cpu, op, RSI, elements);
    advance(cpu, op, RDI, elements);
    return elements;
}

static u64 no_piece(struct cpu *cpu, const struct op *op, u64 count)
{
    (void)cpu;
    (void)op;
    (void)count;
    return 0;
}

/* ------------------------------------------------------------------ repetition */

static bool attention(const struct cpu *cpu)
{
    return atomic_load_explicit(&cpu->inbox->attention, memory_order_relaxed);
}

/* Does the loop end before the count does?  Only CMPS and SCAS look at ZF. */
static bool ends_by_flag(const struct cpu *cpu, const struct op *op, bool by_zf)
{
    return by_zf && (op->imm == REPEAT) != !!(cpu->flags & AX_ZF);
}

ALWAYS_INLINE s64 string(struct cpu *cpu, const struct op *op, s64 left, element_fn *element,
                         piece_fn *piece, bool by_zf)
{
    if (op->imm == ONCE) {
        return element(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
    }
    for (u64 done = 0; count_left(cpu, op);) {
        u64 count = min(count_left(cpu, op), PAGE_SIZE);
        u64 elements = cpu->rflags & RFLAGS_DF ? 0 : piece(cpu, op, count);
        if (!elements) {
            if (!element(cpu, op)) {
                return fault(cpu, op, left);
            }
            elements = 1;
        }
        count_down(cpu, op, elements);
        if (ends_by_flag(cpu, op, by_zf) || !count_left(cpu, op)) {
            break;
        }
        done += elements;
        if (cpu->mmu.watch_hit) { /* the debugger stops between two iterations, as an interrupt */
            cpu->rflags |= RFLAGS_RF;
            return fault(cpu, op, left);
        }
        if (cpu->single_step_needed) { /* each iteration is followed by its traps */
            cpu->rip = op_rip(cpu, op);
            cpu->rflags |= RFLAGS_RF; /* as they save it; and no breakpoint here a second time */
            return left - 1;
        }
        if (done >= SLICE) {
            done = 0;
            if (attention(cpu)) {
                cpu->rflags |= RFLAGS_RF;    /* as saved by an interrupt between two iterations */
                return fault(cpu, op, left); /* no exception: it goes on from here later */
            }
        }
    }
    return next(cpu, op, left);
}

static s64 string_movs(struct cpu *cpu, const struct op *op, s64 left)
{
    return string(cpu, op, left, movs, movs_piece, false);
}

static s64 string_stos(struct cpu *cpu, const struct op *op, s64 left)
{
    return string(cpu, op, left, stos, stos_piece, false);
}

static s64 string_lods(struct cpu *cpu, const struct op *op, s64 left)
{
    return string(cpu, op, left, lods, no_piece, false);
}

static s64 string_cmps(struct cpu *cpu, const struct op *op, s64 left)
{
    return string(cpu, op, left, cmps, no_piece, true);
}

static s64 string_scas(struct cpu *cpu, const struct op *op, s64 left)
{
    return string(cpu, op, left, scas, no_piece, true);
}

bool prepare_string(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    (void)cpu;
    op->aux = insn->address_size;
    op->imm = insn->rep;
    op->segment = insn->mem.segment;
    op->size = insn->opcode & 1 ? insn->operand_size : 1;
    op->fn = insn->id == INSN_MOVS   ? string_movs
             : insn->id == INSN_STOS ? string_stos
             : insn->id == INSN_LODS ? string_lods
             : insn->id == INSN_CMPS ? string_cmps
                                     : string_scas;
    return true;
}
