/* bits.h - small operations on integers. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/types.h"

#define BIT(n) (1ull << (n))

/* The n low bits set; n is 0 to 64. */
static inline u64 bits_mask(unsigned n)
{
    return n >= 64 ? ~0ull : BIT(n) - 1;
}

/* Bits [low, low + count) of value. */
static inline u64 bits_get(u64 value, unsigned low, unsigned count)
{
    return (value >> low) & bits_mask(count);
}

/* The value's low `bits` bits, sign-extended to 64. */
static inline u64 bits_sign_extend(u64 value, unsigned bits)
{
    unsigned shift = 64 - bits;
    return (u64)((s64)(value << shift) >> shift);
}

static inline u64 bits_align_up(u64 value, u64 align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline bool bits_is_power_of_two(u64 value)
{
    return value && !(value & (value - 1));
}

#endif
