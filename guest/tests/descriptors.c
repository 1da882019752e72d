/* descriptors.c - see descriptors.h. */
#include "descriptors.h"

enum { LAR_MASK = 0x00f0ff00, NONE = -1 };
#define IS_64 (sizeof(word) == 8)

/* ------------------------------------------------------------------ privilege */

static void set_ring(unsigned cpl)
{
    set_descriptor(RING_CODE + 8 * cpl, 0, 0xfffff, (u16)((IS_64 ? 0xa09b : 0xc09b) | cpl << 5));
    set_descriptor(RING_DATA + 8 * cpl, 0, 0xfffff, (u16)(0xc093 | cpl << 5));
}

u32 attempt_at(unsigned cpl, void (*what)(word), word argument)
{
    if (cpl == 0) {
        return attempt(what, argument);
    }
    set_ring(cpl);
    user_cs = RING_CODE + 8 * cpl + cpl;
    user_ss = RING_DATA + 8 * cpl + cpl;
    return attempt_user(what, argument);
}

/* ------------------------------------------------------------------ the model */

struct tried {
    unsigned attributes; /* type, S, DPL, P */
    unsigned rpl, cpl;
};

static unsigned type_of(const struct tried *t)
{
    return t->attributes & 15;
}
static unsigned dpl_of(const struct tried *t)
{
    return t->attributes >> 5 & 3;
}
static bool is_segment(const struct tried *t)
{
    return t->attributes & ATTRIBUTE_S;
}
static bool is_present(const struct tried *t)
{
    return t->attributes & ATTRIBUTE_P;
}
static bool is_code(const struct tried *t)
{
    return is_segment(t) && (t->attributes & TYPE_CODE);
}
static bool is_conforming(const struct tried *t)
{
    return is_code(t) && (t->attributes & TYPE_CONFORMING);
}
static bool is_readable(const struct tried *t)
{
    return is_segment(t) && (!is_code(t) || (t->attributes & TYPE_RW));
}
static bool is_writable(const struct tried *t)
{
    return is_segment(t) && !is_code(t) && (t->attributes & TYPE_RW);
}

/* CPL and RPL do not exceed DPL, which does not matter to conforming code. */
static bool is_accessible(const struct tried *t)
{
    return is_conforming(t) || (t->cpl <= dpl_of(t) && t->rpl <= dpl_of(t));
}

static u32 expect_data(const struct tried *t)
{
    return !is_readable(t) || !is_accessible(t) ? VECTOR_GP : is_present(t) ? NO_FAULT : VECTOR_NP;
}

static u32 expect_stack(const struct tried *t)
{
    bool allowed = is_writable(t) && t->rpl == t->cpl && dpl_of(t) == t->cpl;

    return !allowed ? VECTOR_GP : is_present(t) ? NO_FAULT : VECTOR_SS;
}

/* A bit for each type of system descriptor. */
static u32 lar_types(void)
{
    return IS_64 ? 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12
                 : 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12;
}
static u32 lsl_types(void)
{
    return IS_64 ? 1 << 2 | 1 << 9 | 1 << 11 : 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11;
}

static bool expect_look(const struct tried *t, u32 types)
{
    return (is_segment(t) || (types >> type_of(t) & 1)) && is_accessible(t);
}

/* ------------------------------------------------------------------ instructions */

static void load_fs(word selector)
{
    __asm__ volatile("mov %w0, %%fs" ::"r"(selector));
}
/* The old SS is loaded again: what runs on needs one. */
static void load_ss(word selector)
{
    __asm__ volatile("mov %%ss, %%ecx; mov %w0, %%ss; mov %%ecx, %%ss" ::"r"(selector) : "ecx");
}

static volatile bool zf;
static volatile u32 result;

#define LOOKING(name, instruction)               \
    static void name(word selector)              \
    {                                            \
        u32 value = 0x12345678;                  \
        bool z;                                  \
        __asm__ volatile(instruction "; setz %1" \
                         : "+r"(value), "=q"(z)  \
                         : "r"((u32)selector)    \
                         : "cc");                \
        result = value;                          \
        zf = z;                                  \
    }
LOOKING(do_lar, "lar %2, %0")
LOOKING(do_lsl, "lsl %2, %0")
LOOKING(do_verr, "verr %w2")
LOOKING(do_verw, "verw %w2")

static void do_lldt(word selector)
{
    __asm__ volatile("lldt %w0" ::"r"(selector));
}
static void do_ltr(word selector)
{
    __asm__ volatile("ltr %w0" ::"r"(selector));
}

/* ------------------------------------------------------------------ all of them */

enum { BASE = 0x5000, LIMIT = 0x12345 };

static void tell(const char *name, const struct tried *t, u32 expected)
{
    u32 error = expected == NO_FAULT ? 0 : TESTED;

    check_case(fault.vector == expected && fault.error == error,
               "%s of attributes %x, rpl %u, cpl %u: vector %x error %x, not %x", name,
               t->attributes, t->rpl, t->cpl, fault.vector, fault.error, expected);
}

static void check_look(void (*what)(word), const char *name, const struct tried *t, bool expected,
                       u32 value)
{
    attempt_at(t->cpl, what, TESTED | t->rpl);
    check_case(fault.vector == NO_FAULT && zf == expected && result == value,
               "%s of attributes %x, rpl %u, cpl %u: vector %x, zf %u, %x; not %u, %x", name,
               t->attributes, t->rpl, t->cpl, fault.vector, zf, result, expected, value);
}

static u32 high_dword(void)
{
    return (u32)(gdt[TESTED / 8] >> 32);
}

static void try_looks(const struct tried *t)
{
    bool lar = expect_look(t, lar_types()), lsl = expect_look(t, lsl_types());
    bool segment = is_segment(t) && is_accessible(t);

    check_look(do_lar, "LAR", t, lar, lar ? high_dword() & LAR_MASK : 0x12345678);
    check_look(do_lsl, "LSL", t, lsl, lsl ? LIMIT : 0x12345678);
    check_look(do_verr, "VERR", t, segment && is_readable(t), 0x12345678);
    check_look(do_verw, "VERW", t, segment && is_writable(t), 0x12345678);
    check_case(high_dword() == (BASE >> 24 << 24 | t->attributes << 8 | (LIMIT & 0xf0000)),
               "looking at attributes %x has changed it", t->attributes);
}

static void try_loads(const struct tried *t)
{
    attempt_at(t->cpl, load_fs, TESTED | t->rpl);
    tell("MOV FS", t, expect_data(t));
    bool accessed = expect_data(t) == NO_FAULT;
    check_case((high_dword() >> 8 & 0xff) == (t->attributes | accessed),
               "attributes %x are %x after MOV FS", t->attributes, high_dword() >> 8 & 0xff);
    attempt_at(t->cpl, load_ss, TESTED | t->rpl);
    tell("MOV SS", t, expect_stack(t));
}

static u32 expect_system(const struct tried *t, unsigned type)
{
    bool allowed = !is_segment(t) && type_of(t) == type;

    return !allowed ? VECTOR_GP : is_present(t) ? NO_FAULT : VECTOR_NP;
}

/* LLDT and LTR do not ask for DPL and RPL; at another CPL they are #GP(0).  Types 1 and 9 are an
 * available TSS. */
static void try_tables(const struct tried *t)
{
    u32 ltr = expect_system(t, 9);

    if (!IS_64 && ltr == VECTOR_GP) {
        ltr = expect_system(t, 1);
    }
    attempt_at(t->cpl, do_lldt, TESTED | t->rpl);
    if (t->cpl) {
        check_case(fault.vector == VECTOR_GP && fault.error == 0, "LLDT at CPL %u", t->cpl);
        return;
    }
    tell("LLDT", t, expect_system(t, 2));
    attempt(do_ltr, TESTED | t->rpl);
    tell("LTR", t, ltr);
    if (ltr == NO_FAULT) {
        check_case(high_dword() >> 9 & 1, "LTR sets the busy bit");
        gdt[MAIN_TSS / 8] &= ~(2ull << 40);
        do_ltr(MAIN_TSS);
    }
}

static void try_one(const struct tried *t)
{
    u16 attributes = (u16)t->attributes;

    gdt[TESTED / 8 + 1] = 0;
    set_descriptor(TESTED, BASE, LIMIT, attributes);
    try_looks(t);
    set_descriptor(TESTED, BASE, LIMIT, attributes);
    try_loads(t);
    set_descriptor(TESTED, BASE, LIMIT, attributes);
    try_tables(t);
}

void check_descriptors(void)
{
    for (unsigned cpl = 0; cpl < 4; cpl++) {
        for (unsigned attributes = 0; attributes < 0x100; attributes++) {
            for (unsigned rpl = 0; rpl < 4; rpl++) {
                struct tried t = {attributes, rpl, cpl};
                try_one(&t);
            }
        }
    }
    do_lldt(0);
    print("ok   every descriptor: loads, LAR, LSL, VERR, VERW, LLDT, LTR\n");
}
