/* condition.h - the 16 conditions of Jcc, SETcc and CMOVcc.  Intel SDM vol. 1, "EFLAGS Condition
 * Codes". */
#ifndef EXEC_INTERPRET_CONDITION_H
#define EXEC_INTERPRET_CONDITION_H

#include "exec/interpret/operand.h"

/* The flags in cpu->flags: AX after LAHF and SETO. */
#define AX_CF 0x0100u
#define AX_PF 0x0400u
#define AX_AF 0x1000u
#define AX_ZF 0x4000u
#define AX_SF 0x8000u
#define AX_OF 0x0001u

ALWAYS_INLINE bool condition(const struct cpu *cpu, unsigned code)
{
    u32 f = cpu->flags;
    bool less = ((f >> 15) ^ f) & 1;
    bool is;

    switch (code >> 1) {
    case 0:
        is = f & AX_OF;
        break;
    case 1:
        is = f & AX_CF;
        break;
    case 2:
        is = f & AX_ZF;
        break;
    case 3:
        is = f & (AX_CF | AX_ZF);
        break;
    case 4:
        is = f & AX_SF;
        break;
    case 5:
        is = f & AX_PF;
        break;
    case 6:
        is = less;
        break;
    default:
        is = less || (f & AX_ZF);
        break;
    }
    return is != (code & 1);
}

static inline void set_zero_flag(struct cpu *cpu, bool zero)
{
    cpu->flags = (u16)((cpu->flags & ~AX_ZF) | (zero ? AX_ZF : 0));
}

/* cpu->flags after CMP a, b. */
#define COMPARE(type, a, b)                              \
    ({                                                   \
        u16 f;                                           \
        __asm__("cmp %[y], %[x]\n\tlahf\n\tseto %%al"    \
                : "=&a"(f)                               \
                : [x] "q"((type)(a)), [y] "q"((type)(b)) \
                : "cc");                                 \
        f;                                               \
    })

/* Name a function for each of the 16 codes. */
#define FOR_EACH_CONDITION(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#endif
