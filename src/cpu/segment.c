/* segment.c - segment registers; see segment.h. */
#include "cpu/segment.h"

#include "cpu/system.h"

bool segment_contains(const struct segment *s, u32 offset, u32 size)
{
    u32 last = offset + (size - 1);
    if (last < offset) {
        return false;
    }
    u16 down = SEGMENT_S | SEGMENT_TYPE_CODE | SEGMENT_TYPE_EXPAND;
    if ((s->attributes & down) == (SEGMENT_S | SEGMENT_TYPE_EXPAND)) {
        return offset > s->limit && (s->attributes & SEGMENT_DB || last <= 0xffff);
    }
    return last <= s->limit;
}

/* Does the type allow the access? */
static bool type_allows(u16 attributes, unsigned access)
{
    if (access & ACCESS_FETCH) {
        return true;
    }
    if (attributes & SEGMENT_TYPE_CODE) {
        return !(access & ACCESS_WRITE) && (attributes & SEGMENT_TYPE_READABLE);
    }
    return !(access & ACCESS_WRITE) || (attributes & SEGMENT_TYPE_WRITABLE);
}

bool segment_check(struct cpu *cpu, unsigned seg, u64 offset, unsigned size, unsigned access)
{
    const struct segment *s = &cpu->seg[seg];
    bool ok;
    if (cpu->code_mode == INSN_MODE_64) {
        gva_t gva = segment_linear(cpu, seg, offset);
        ok = segment_is_canonical(gva) && segment_is_canonical(gva + size - 1);
    } else if (cpu->real_mode) {
        /* A code segment register can be written through in real mode, whatever its type says. */
        ok = (s->attributes & SEGMENT_P) && segment_contains(s, (u32)offset, size);
    } else {
        ok = (s->attributes & SEGMENT_P) && type_allows(s->attributes, access) &&
             segment_contains(s, (u32)offset, size);
    }
    return ok || cpu_raise_error(cpu, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
}

gva_t segment_linear(const struct cpu *cpu, unsigned seg, u64 offset)
{
    if (cpu->code_mode == INSN_MODE_64) {
        return seg == SEG_FS || seg == SEG_GS ? cpu->seg[seg].base + offset : offset;
    }
    return (u32)(cpu->seg[seg].base + offset);
}

/* ------------------------------------------------------------------ descriptors */

/* Where selector's descriptor of size bytes lies; false if outside of its table. */
static bool locate(const struct cpu *cpu, u16 selector, unsigned size, gva_t *gva)
{
    u32 offset = selector & ~7u;
    u64 base = cpu->gdtr.base;
    u32 limit = cpu->gdtr.limit;
    if (selector & SELECTOR_TI) {
        const struct segment *ldt = &cpu->seg[SEG_LDTR];
        if (!(ldt->attributes & SEGMENT_P)) {
            return false;
        }
        base = ldt->base;
        limit = ldt->limit;
    }
    *gva = system_address(cpu, base, offset);
    return offset + size - 1 <= limit;
}

bool segment_find(struct cpu *cpu, u16 selector, unsigned size, struct descriptor *d, bool *found)
{
    *found = locate(cpu, selector, size, &d->gva);
    d->low = d->high = 0;
    if (*found && !system_read(cpu, d->gva, &d->low, size)) {
        return false;
    }
    d->attributes = descriptor_attributes(d->low);
    return true;
}

static bool read_descriptor(struct cpu *cpu, u16 selector, unsigned size, enum vector vector,
                            struct descriptor *d)
{
    bool found;
    if (!segment_find(cpu, selector, size, d, &found)) {
        return false;
    }
    return found || cpu_raise_error(cpu, vector, selector & ~SELECTOR_RPL);
}

bool segment_read(struct cpu *cpu, u16 selector, enum vector vector, struct descriptor *d)
{
    return read_descriptor(cpu, selector, 8, vector, d);
}

bool segment_read_system(struct cpu *cpu, u16 selector, enum vector vector, struct descriptor *d)
{
    return read_descriptor(cpu, selector, cpu->long_mode ? 16 : 8, vector, d);
}

static bool write_type(struct cpu *cpu, const struct descriptor *d, u8 type)
{
    return system_write(cpu, d->gva + DESCRIPTOR_TYPE_BYTE, &type, 1);
}

bool segment_set_accessed(struct cpu *cpu, struct descriptor *d)
{
    if (d->attributes & SEGMENT_TYPE_ACCESSED) {
        return true;
    }
    d->attributes |= SEGMENT_TYPE_ACCESSED;
    return write_type(cpu, d, (u8)d->attributes);
}

bool segment_set_busy(struct cpu *cpu, const struct descriptor *d, bool busy)
{
    u8 type;
    if (!system_read(cpu, d->gva + DESCRIPTOR_TYPE_BYTE, &type, 1)) {
        return false;
    }
    return write_type(cpu, d, busy ? type | SYSTEM_BUSY : type & (u8)~SYSTEM_BUSY);
}

struct segment segment_from(const struct descriptor *d, u16 selector)
{
    return (struct segment){
        .base = descriptor_base(d->low) | (d->attributes & SEGMENT_S ? 0 : d->high << 32),
        .limit = descriptor_limit(d->low),
        .selector = selector,
        .attributes = d->attributes,
    };
}

/* ------------------------------------------------------------------ loads */

void segment_load_real(struct cpu *cpu, unsigned seg, u16 selector)
{
    struct segment *s = &cpu->seg[seg];
    s->selector = selector;
    s->base = (u32)selector << 4;
    if (cpu->v86_mode) {
        s->limit = 0xffff;
        s->attributes =
            SEGMENT_P | SEGMENT_DPL | SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED;
    } else if (!(s->attributes & SEGMENT_P)) {
        s->limit = 0xffff;
        s->attributes = SEGMENT_P | SEGMENT_S | SEGMENT_TYPE_WRITABLE | SEGMENT_TYPE_ACCESSED;
    } /* else limit and type stay as they are: "unreal mode" */
}

static bool load_ss(struct cpu *cpu, u16 selector)
{
    unsigned rpl = selector & SELECTOR_RPL;
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        if (cpu->code_mode != INSN_MODE_64 || cpu->cpl == 3 || rpl != cpu->cpl) {
            return cpu_raise_gp0(cpu);
        }
        cpu->seg[SEG_SS] = segment_null(selector);
        cpu_update_mode(cpu);
        return true;
    }
    if (!segment_read(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    if (rpl != cpu->cpl || !segment_is_writable(d.attributes) ||
        segment_dpl(d.attributes) != cpu->cpl) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_SS, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    cpu->seg[SEG_SS] = segment_from(&d, selector);
    cpu_update_mode(cpu);
    return true;
}

/* May code at cpl read the segment through a selector with that RPL? */
static bool is_readable(u16 attributes, unsigned rpl, unsigned cpl)
{
    if (!(attributes & SEGMENT_S)) {
        return false;
    }
    bool is_code = attributes & SEGMENT_TYPE_CODE;
    if (is_code && !(attributes & SEGMENT_TYPE_READABLE)) {
        return false;
    }
    if (is_code && segment_is_conforming(attributes)) {
        return true;
    }
    unsigned dpl = segment_dpl(attributes);
    return rpl <= dpl && cpl <= dpl;
}

static bool load_data(struct cpu *cpu, unsigned seg, u16 selector)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        cpu->seg[seg] = segment_null(selector);
        return true;
    }
    if (!segment_read(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    if (!is_readable(d.attributes, selector & SELECTOR_RPL, cpu->cpl)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    if (!segment_set_accessed(cpu, &d)) {
        return false;
    }
    cpu->seg[seg] = segment_from(&d, selector);
    return true;
}

bool segment_load(struct cpu *cpu, unsigned seg, u16 selector)
{
    if (cpu->real_mode || cpu->v86_mode) {
        segment_load_real(cpu, seg, selector);
        if (seg == SEG_SS) {
            cpu_update_mode(cpu);
        }
        return true;
    }
    return seg == SEG_SS ? load_ss(cpu, selector) : load_data(cpu, seg, selector);
}

void segment_drop_privileged(struct cpu *cpu)
{
    static const u8 which[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(which); i++) {
        struct segment *s = &cpu->seg[which[i]];
        bool conforming = segment_is_code(s->attributes) && segment_is_conforming(s->attributes);
        if ((s->attributes & SEGMENT_P) && !conforming && segment_dpl(s->attributes) < cpu->cpl) {
            *s = segment_null(0);
        }
    }
}

/* The upper half of a 16-byte descriptor: bits 12:8 of its second doubleword must be 0. */
static bool is_upper_valid(const struct descriptor *d)
{
    return !(d->high >> 40 & 0x1f);
}

bool segment_lldt(struct cpu *cpu, u16 selector)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        cpu->seg[SEG_LDTR] = segment_null(selector);
        return true;
    }
    if (selector & SELECTOR_TI) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!segment_read_system(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    if ((d.attributes & (SEGMENT_S | SEGMENT_TYPE)) != SYSTEM_LDT || !is_upper_valid(&d)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    struct segment ldt = segment_from(&d, selector);
    if (!segment_is_canonical(ldt.base)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    cpu->seg[SEG_LDTR] = ldt;
    return true;
}

bool segment_ltr(struct cpu *cpu, u16 selector)
{
    u32 error = selector & ~SELECTOR_RPL;
    struct descriptor d;
    if (segment_is_null(selector)) {
        return cpu_raise_gp0(cpu);
    }
    if (selector & SELECTOR_TI) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!segment_read_system(cpu, selector, VECTOR_GP, &d)) {
        return false;
    }
    unsigned type = d.attributes & (SEGMENT_S | SEGMENT_TYPE);
    if (!(type == SYSTEM_TSS || (type == SYSTEM_TSS_16 && !cpu->long_mode)) ||
        !is_upper_valid(&d)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!(d.attributes & SEGMENT_P)) {
        return cpu_raise_error(cpu, VECTOR_NP, error);
    }
    struct segment tr = segment_from(&d, selector);
    if (!segment_is_canonical(tr.base)) {
        return cpu_raise_error(cpu, VECTOR_GP, error);
    }
    if (!segment_set_busy(cpu, &d, true)) {
        return false;
    }
    tr.attributes |= SYSTEM_BUSY;
    cpu->seg[SEG_TR] = tr;
    return true;
}

/* ------------------------------------------------------------------ LAR, LSL, VERR, VERW */

/* Bit n: the instruction knows system descriptors of type n. */
#define LAR_TYPES      (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12)
#define LAR_TYPES_LONG (1u << 2 | 1u << 9 | 1u << 11 | 1u << 12)
#define LSL_TYPES      (1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11)
#define LSL_TYPES_LONG (1u << 2 | 1u << 9 | 1u << 11)

/* Finds a descriptor that LAR or LSL may look at. */
static bool look_at(struct cpu *cpu, u16 selector, u32 system_types, struct descriptor *d, bool *ok)
{
    *ok = false;
    if (segment_is_null(selector)) {
        return true;
    }
    bool found;
    if (!segment_find(cpu, selector, 8, d, &found) || !found) {
        return !found;
    }
    if (!(d->attributes & SEGMENT_S)) {
        if (!(system_types >> (d->attributes & SEGMENT_TYPE) & 1)) {
            return true;
        }
        if (cpu->long_mode && (!segment_find(cpu, selector, 16, d, &found) || !found)) {
            return !found;
        }
        if (!is_upper_valid(d)) {
            return true;
        }
    }
    unsigned dpl = segment_dpl(d->attributes);
    *ok = (segment_is_code(d->attributes) && segment_is_conforming(d->attributes)) ||
          (cpu->cpl <= dpl && (selector & SELECTOR_RPL) <= dpl);
    return true;
}

bool segment_lar(struct cpu *cpu, u16 selector, u32 *rights, bool *ok)
{
    struct descriptor d;
    if (!look_at(cpu, selector, cpu->long_mode ? LAR_TYPES_LONG : LAR_TYPES, &d, ok)) {
        return false;
    }
    if (*ok) {
        *rights = (u32)(d.low >> 32) & 0x00f0ff00;
    }
    return true;
}

bool segment_lsl(struct cpu *cpu, u16 selector, u32 *limit, bool *ok)
{
    struct descriptor d;
    if (!look_at(cpu, selector, cpu->long_mode ? LSL_TYPES_LONG : LSL_TYPES, &d, ok)) {
        return false;
    }
    if (*ok) {
        *limit = descriptor_limit(d.low);
    }
    return true;
}

bool segment_verify(struct cpu *cpu, u16 selector, bool for_write, bool *ok)
{
    struct descriptor d;
    if (!look_at(cpu, selector, 0, &d, ok)) {
        return false;
    }
    *ok = *ok && type_allows(d.attributes, for_write ? ACCESS_WRITE : ACCESS_READ);
    return true;
}
