/*
 * locked.h - atomic operations on guest memory, at any alignment: the host's LOCK does what the
 * guest's would.  (The compiler's own builtins promise that only for aligned objects.)
 */
#ifndef EXEC_INTERPRET_LOCKED_H
#define EXEC_INTERPRET_LOCKED_H

#include "exec/interpret/operand.h"

#define LOCKED_EXCHANGE(type, suffix)                                                          \
    ({                                                                                         \
        type v = (type)value;                                                                  \
        __asm__ volatile("xchg" suffix " %[v], (%[p])" : [v] "+q"(v) : [p] "r"(p) : "memory"); \
        v;                                                                                     \
    })

/* Store value; returns what was there. */
ALWAYS_INLINE u64 locked_exchange(void *p, u64 value, unsigned size)
{
    return size == 1   ? LOCKED_EXCHANGE(u8, "b")
           : size == 2 ? LOCKED_EXCHANGE(u16, "w")
           : size == 4 ? LOCKED_EXCHANGE(u32, "l")
                       : LOCKED_EXCHANGE(u64, "q");
}

#define LOCKED_ADD(type, suffix)                            \
    ({                                                      \
        type v = (type)value;                               \
        __asm__ volatile("lock xadd" suffix " %[v], (%[p])" \
                         : [v] "+q"(v)                      \
                         : [p] "r"(p)                       \
                         : "memory", "cc");                 \
        v;                                                  \
    })

/* Add value; returns what was there. */
ALWAYS_INLINE u64 locked_add(void *p, u64 value, unsigned size)
{
    return size == 1   ? LOCKED_ADD(u8, "b")
           : size == 2 ? LOCKED_ADD(u16, "w")
           : size == 4 ? LOCKED_ADD(u32, "l")
                       : LOCKED_ADD(u64, "q");
}

#define LOCKED_COMPARE(type, suffix)                           \
    ({                                                         \
        type old = (type)expected;                             \
        __asm__ volatile("lock cmpxchg" suffix " %[v], (%[p])" \
                         : "+a"(old)                           \
                         : [v] "q"((type)value), [p] "r"(p)    \
                         : "memory", "cc");                    \
        old;                                                   \
    })

/* Store value if expected is there; returns what was there. */
ALWAYS_INLINE u64 locked_compare_exchange(void *p, u64 expected, u64 value, unsigned size)
{
    return size == 1   ? LOCKED_COMPARE(u8, "b")
           : size == 2 ? LOCKED_COMPARE(u16, "w")
           : size == 4 ? LOCKED_COMPARE(u32, "l")
                       : LOCKED_COMPARE(u64, "q");
}

#endif
