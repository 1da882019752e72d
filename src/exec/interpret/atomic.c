/*
 * atomic.c - CMPXCHG, CMPXCHG8B and 16B, XADD.  On memory always atomic, with LOCK or without.
 */
#include "cpu/cpuid.h"
#include "exec/interpret/condition.h"
#include "exec/interpret/handlers.h"
#include "exec/interpret/locked.h"

#define BY_SIZE(prefix)                                \
    {                                                  \
        prefix##_1, prefix##_2, prefix##_4, prefix##_8 \
    }

/* The flags of ADD a, b. */
#define SUM_FLAGS(type, a, b)                         \
    ({                                                \
        u16 f;                                        \
        type x = (type)(a);                           \
        __asm__("add %[y], %[x]\n\tlahf\n\tseto %%al" \
                : [x] "+&q"(x), "=&a"(f)              \
                : [y] "q"((type)(b))                  \
                : "cc");                              \
        f;                                            \
    })

#define ATOMIC_SIZE(bytes, type)                                                           \
    static s64 cmpxchg_r_##bytes(struct cpu *cpu, const struct op *op, s64 left)           \
    {                                                                                      \
        u64 old = reg_read(cpu, op->dst, bytes), rax = reg_read(cpu, RAX * 8, bytes);      \
        cpu->flags = COMPARE(type, rax, old);                                              \
        if (old == rax) {                                                                  \
            reg_write(cpu, op->dst, bytes, reg_read(cpu, op->src, bytes));                 \
        } else {                                                                           \
            reg_write(cpu, RAX * 8, bytes, old);                                           \
        }                                                                                  \
        return next(cpu, op, left);                                                        \
    }                                                                                      \
    static s64 cmpxchg_m_##bytes(struct cpu *cpu, const struct op *op, s64 left)           \
    {                                                                                      \
        u64 rax = reg_read(cpu, RAX * 8, bytes);                                           \
        type old;                                                                          \
        void *p = rmw_begin(cpu, op, bytes);                                               \
        if (!p) {                                                                          \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        old = (type)locked_compare_exchange(p, rax, reg_read(cpu, op->src, bytes), bytes); \
        if (!rmw_end(cpu, bytes, p)) {                                                     \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        cpu->flags = COMPARE(type, rax, old);                                              \
        if (old != (type)rax) {                                                            \
            reg_write(cpu, RAX * 8, bytes, old);                                           \
        }                                                                                  \
        return next(cpu, op, left);                                                        \
    }                                                                                      \
    static s64 xadd_r_##bytes(struct cpu *cpu, const struct op *op, s64 left)              \
    {                                                                                      \
        u64 a = reg_read(cpu, op->dst, bytes), b = reg_read(cpu, op->src, bytes);          \
        cpu->flags = SUM_FLAGS(type, a, b);                                                \
        reg_write(cpu, op->src, bytes, a);                                                 \
        reg_write(cpu, op->dst, bytes, a + b);                                             \
        return next(cpu, op, left);                                                        \
    }                                                                                      \
    static s64 xadd_m_##bytes(struct cpu *cpu, const struct op *op, s64 left)              \
    {                                                                                      \
        u64 b = reg_read(cpu, op->src, bytes);                                             \
        void *p = rmw_begin(cpu, op, bytes);                                               \
        if (!p) {                                                                          \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        type a = (type)locked_add(p, b, bytes);                                            \
        if (!rmw_end(cpu, bytes, p)) {                                                     \
            return fault(cpu, op, left);                                                   \
        }                                                                                  \
        cpu->flags = SUM_FLAGS(type, a, b);                                                \
        reg_write(cpu, op->src, bytes, a);                                                 \
        return next(cpu, op, left);                                                        \
    }

ATOMIC_SIZE(1, u8)
ATOMIC_SIZE(2, u16)
ATOMIC_SIZE(4, u32)
ATOMIC_SIZE(8, u64)

static bool prepare_atomic(const struct insn *insn, struct op *op, op_fn *const r[4],
                           op_fn *const m[4])
{
    unsigned s = (unsigned)__builtin_ctz(insn->op[0].size);

    op->src = reg_offset(&insn->op[1]);
    if (insn->op[0].kind == OPERAND_MEM) {
        op->fn = m[s];
    } else {
        op->dst = reg_offset(&insn->op[0]);
        op->fn = r[s];
    }
    return true;
}

bool prepare_cmpxchg(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = BY_SIZE(cmpxchg_r), *const m[] = BY_SIZE(cmpxchg_m);

    (void)cpu;
    return prepare_atomic(insn, op, r, m);
}

bool prepare_xadd(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    static op_fn *const r[] = BY_SIZE(xadd_r), *const m[] = BY_SIZE(xadd_m);

    (void)cpu;
    return prepare_atomic(insn, op, r, m);
}

/* ------------------------------------------------------------------ CMPXCHG8B, CMPXCHG16B */

static s64 cmpxchg8b(struct cpu *cpu, const struct op *op, s64 left)
{
    u64 expected = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
    u64 value = (u32)cpu->gpr[RBX] | cpu->gpr[RCX] << 32;
    void *p = rmw_begin(cpu, op, 8);

    if (!p) {
        return fault(cpu, op, left);
    }
    u64 old = locked_compare_exchange(p, expected, value, 8);
    if (!rmw_end(cpu, 8, p)) {
        return fault(cpu, op, left);
    }
    set_zero_flag(cpu, old == expected);
    if (old != expected) {
        cpu->gpr[RAX] = (u32)old;
        cpu->gpr[RDX] = old >> 32;
    }
    return next(cpu, op, left);
}

static bool exchange_16(void *p, u64 old[2], u64 low, u64 high)
{
    bool equal;

    __asm__ volatile("lock cmpxchg16b (%[p])\n\tsete %[equal]"
                     : "+&a"(old[0]), "+&d"(old[1]), [equal] "=q"(equal)
                     : [p] "r"(p), "b"(low), "c"(high)
                     : "cc", "memory");
    return equal;
}

APART bool do_cmpxchg16b(struct cpu *cpu, const struct op *op)
{
    u64 old[2] = {cpu->gpr[RAX], cpu->gpr[RDX]};
    gva_t gva;
    void *p;

    if (!op_address(cpu, op, 16, ACCESS_WRITE, &gva)) {
        return false;
    }
    if (gva & 15) {
        return cpu_raise_gp0(cpu);
    }
    if (!probe_slow(cpu, op->segment, gva, 16, &p) ||
        (!p && !load_slow(cpu, op->segment, gva, cpu->bounce, 16))) {
        return false;
    }
    bool equal = exchange_16(p ? p : cpu->bounce, old, cpu->gpr[RBX], cpu->gpr[RCX]);
    if (!p && !store_slow(cpu, op->segment, gva, cpu->bounce, 16)) {
        return false;
    }
    set_zero_flag(cpu, equal);
    if (!equal) {
        cpu->gpr[RAX] = old[0];
        cpu->gpr[RDX] = old[1];
    }
    return true;
}

static s64 cmpxchg16b(struct cpu *cpu, const struct op *op, s64 left)
{
    return do_cmpxchg16b(cpu, op) ? next(cpu, op, left) : fault(cpu, op, left);
}

bool prepare_cmpxchg8b(struct cpu *cpu, const struct insn *insn, struct op *op)
{
    bool is_16 = insn->operand_size == 8;

    op->fn = is_16 ? cmpxchg16b : cmpxchg8b;
    return !is_16 ||
           cpu_guest_features(cpu).leaf1_ecx & CPUID_1C_CX16; /* as the host's CPU has it */
}
